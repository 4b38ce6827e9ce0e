from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from driving import press, screen_lines, screen_text, shows, until
from recorded import BY, Recorded, Stage, Wire, make_plan
from test_gate_panel import waiting

from canary_tui.domain.fleet.tables import Limits
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.rollout import events as e
from canary_tui.engine.identity import operator
from canary_tui.engine.messages import GiveUp, Progress
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.rollout.status import Kind, Roster
from canary_tui.tui.rollout.target_list import TargetList
from canary_tui.tui.shared.panel import read_since


def second_wave(tmp_path: Path, targets: int = 8, canaries: int = 2) -> Recorded:
    limits = Limits(failures=Share(5))
    recorded = Recorded(tmp_path / "r", make_plan(targets, canaries, limits=limits)).at_gate()
    recorded.approve_gate()
    recorded.add(e.WaveStarted(1))
    return recorded


def listed(app: Stage) -> list[str]:
    """The rows of the target list, without its titles."""
    region = app.screen.query_one(TargetList).region
    rows = [line[region.x : region.right].rstrip() for line in screen_lines(app)[region.y + 1 : region.bottom]]
    return [row for row in rows if row]


async def test_one_glance_says_where_we_are_and_what_is_waited_for(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3", at=time.time() - 8)
    async with waiting(recorded) as (app, _, wire, _gate):
        wire.size = 41_000_000
        await shows(
            app,
            "shop 1.4.2 · production · wave 2 of 2 rest",
            "1 > running",
            "2 + ok",
            "0/6",
            "engine ok",
            "41 MB",
        )
        assert re.search(r"web-3: unpack \d+ s ", screen_text(app))


async def test_the_whole_screen_at_80x24(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 6, 2)
    recorded.begin("web-3")
    recorded.fail("web-4", "exit 1")
    recorded.print("web-3", "unpacking")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "web-4  ! failed after 0 s: exit 1", "engine ok")
        lines = screen_lines(app)
        assert len(lines) == 24
        assert all(len(line) <= 80 for line in lines)
        rows = listed(app)
        assert [row.split()[:2] for row in rows] == [
            ["!", "web-4"],
            [">", "web-3"],
            ["·", "web-5"],
            ["·", "web-6"],
            ["+", "web-1"],
            ["+", "web-2"],
        ]
        assert "failed: unpack" in rows[0]


async def test_a_lost_connection_is_reconnecting_not_failed(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "> web-3")
        recorded.add(e.ConnectionLost("web-3", "no answer for 15 s"), time.time() - 6)
        await shows(app, "~ web-3", "web-3: reconnecting")
        recorded.add(e.ConnectionRestored("web-3"))
        await shows(app, "> web-3")


@pytest.mark.found("fault 2")
async def test_a_lost_target_shows_how_long_it_is_still_asked_and_the_newest_cause(tmp_path: Path) -> None:
    """Each wait stands on its row with its limit, counted from the step's start whatever is told in between."""
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded, (140, 24)) as (app, _, _wire, _gate):
        recorded.add(e.ConnectionLost("web-3", "no answer for 15 s"), time.time() - 130)
        recorded.add(e.ConnectionLost("web-3", "connection refused"))
        await shows(app, "lost, 1", " m left", "connection refused", "web-3: reconnecting 2m1")


async def test_waiting_targets_are_held_behind_a_gate_and_pending_before_their_turn(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "· web-3", "pending")
        recorded.end("web-1")
        recorded.deploy("web-1", "web-2")
        recorded.open_gate()
        await shows(app, "# web-3", "held")


async def test_the_cursor_stays_on_its_target_when_the_order_changes(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    for name in ("web-3", "web-4", "web-5"):
        recorded.begin(name)
        recorded.print(name, f"this is {name}")
    async with waiting(recorded) as (app, pilot, _wire, _gate):
        await press(pilot, "j")
        await shows(app, "this is web-4")
        recorded.end("web-5", "failed", 1, "exit 1")
        await until(lambda: listed(app)[0].split()[:2] == ["!", "web-5"])
        assert app.screen.query_one(TargetList).cursor == "web-4"
        await shows(app, "this is web-4")
        await press(pilot, "n")
        await shows(app, "this is web-5")


async def test_a_list_that_gets_lower_keeps_its_cursor_in_sight(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(30, 2)).start()
    async with waiting(recorded, (80, 40)) as (app, pilot, _wire, _gate):
        await shows(app, "web-30")
        await press(pilot, "end")
        await until(lambda: app.screen.query_one(TargetList).cursor == "web-30")
        for size in ((80, 20), (60, 18)):
            await pilot.resize_terminal(*size)
            await until(lambda: app.size == size)
            await shows(app, "web-30 ")


async def test_before_a_key_is_pressed_a_target_that_waits_makes_room_for_one_that_was_at_work(tmp_path: Path) -> None:
    """However quick the canary was: a shell opened at the gate is one on the canary."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1))
    recorded.add(e.RolloutStarted("2026-11-23T101500Z-shop-7f3a", recorded.plan, BY, True, "0.1"))
    recorded.add(e.ProbeStarted("web-1"))
    recorded.add(e.TargetProbed("web-1", "ok", boot="b", release="1.4.1"))
    recorded.add(e.ProbeStarted("web-2"))
    async with waiting(recorded) as (app, _, _wire, _gate):
        await until(lambda: app.screen.query_one(TargetList).cursor == "web-2")
        recorded.add(e.TargetProbed("web-2", "ok", boot="b", release="1.4.1"))
        for name in ("web-3", "web-4"):
            recorded.add(e.ProbeStarted(name))
            recorded.add(e.TargetProbed(name, "ok", boot="b", release="1.4.1"))
        recorded.add(e.WaveStarted(0))
        recorded.deploy("web-1")
        recorded.open_gate()
        await shows(app, "== GATE")
        await until(lambda: app.screen.query_one(TargetList).cursor == "web-1")


async def test_before_a_key_is_pressed_the_log_is_that_of_who_works_or_failed(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    async with waiting(recorded) as (app, _pilot, _wire, _gate):
        recorded.begin("web-3")
        recorded.print("web-3", "three works")
        await shows(app, "three works")
        recorded.begin("web-4")
        recorded.print("web-4", "four too")
        recorded.end("web-3", "failed", 1, "exit 1")
        await shows(app, "web-3  ! failed")
        assert "four too" not in screen_text(app), "whoever is looked at stays until it has ended well"


async def test_an_upload_shows_how_far_it_is_and_how_long_it_still_takes(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded, (200, 30)) as (app, _, wire, _gate):
        wire.say(Progress("web-3", 0, 100_000_000))
        started = time.monotonic()
        await until(lambda: time.monotonic() > started + 0.1)
        wire.say(Progress("web-3", 50_000_000, 100_000_000))
        await shows(app, "50 % 0 s left", "MB/s")


@pytest.mark.found("drive 7")
async def test_a_screen_that_still_reads_says_so_and_counts_no_targets(tmp_path: Path) -> None:
    """Before the journal is replayed, the first frame says what is waited for and tells no place in an empty list."""
    screen = RolloutScreen(second_wave(tmp_path, 60).directory, None)
    screen.call_after_refresh = lambda *_arguments, **_more: True  # type: ignore[method-assign]  # as while it reads
    async with Stage(screen).run_test(size=(80, 24)) as pilot:
        await shows(pilot.app, "waiting for the journal")
        screen.targets.flush()
        await pilot.pause()
        assert " of 0" not in screen_text(pilot.app)


@pytest.mark.found("drive 6")
async def test_an_upload_is_told_also_where_another_log_is_shown(tmp_path: Path) -> None:
    """Whatever is looked at in a terminal of 80x24, the second row says how far the upload is."""
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded) as (app, pilot, wire, _gate):
        await shows(app, "web-3")
        await press(pilot, "G")
        wire.say(Progress("web-3", 50_000_000, 100_000_000))
        await until(lambda: re.search(r"web-3: unpack \d+ s, 50 % ", screen_lines(app)[1]))
        assert "web-3" not in screen_lines(app)[2]


async def test_big_rollouts_show_a_cell_for_each_target(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 60, 2)
    recorded.begin("web-3")
    recorded.fail("web-4")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "++>!" + "·" * 56)


async def test_a_directory_with_only_a_journal_is_enough(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r").start()
    recorded.logs.close()
    for path in (recorded.directory / "logs").iterdir():
        path.unlink()
    (recorded.directory / "logs").rmdir()
    app = Stage(RolloutScreen(recorded.directory, None))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "wave 1 of 2 canary", "READ ONLY", "· web-1")
        await press(pilot, "l", "slash", "a", "enter", "e", "y", "g", "G")
        await shows(app, "READ ONLY")
    recorded.writer.close()


async def test_an_empty_directory_waits_for_the_journal(tmp_path: Path) -> None:
    app = Stage(RolloutScreen(tmp_path / "r", Wire()))
    async with app.run_test(size=(80, 24)):
        await shows(app, "waiting for the journal")
        recorded = Recorded(tmp_path / "r").start()
        await shows(app, "wave 1 of 2 canary")
    recorded.close()


@pytest.mark.parametrize("size", [(60, 18), (70, 20), (80, 24), (120, 40), (200, 60)])
async def test_any_size_and_any_resize_shows_targets_and_log(tmp_path: Path, size: tuple[int, int]) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    recorded.print("web-3", "hello from here")
    async with waiting(recorded, (100, 30)) as (app, pilot, _, _gate):
        await shows(app, "hello from here")
        await pilot.resize_terminal(*size)
        await until(lambda: app.size == size)
        await shows(app, "hello from here", "> web-3", "wave 2 of 2", "FOLLOW")
        assert all(len(line) <= size[0] for line in screen_lines(app))


async def test_preflight_is_shown_and_who_was_not_reached_stands_first(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1))
    recorded.add(e.RolloutStarted("r1", recorded.plan, BY, True, "0.1"))
    for name in ("web-1", "web-2", "web-3"):
        recorded.add(e.ProbeStarted(name))
    recorded.add(e.TargetProbed("web-1", "ok", release="1.4.1"))
    recorded.add(e.TargetProbed("web-3", "unreachable", detail="no route to host"))
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "preflight", "2/4", "~ web-3", "> web-2  connecting")
        await until(lambda: "web-3" in listed(app)[0])


def test_a_roster_is_sorted_as_if_it_had_been_sorted_anew() -> None:
    names = tuple(f"t{number}" for number in range(50))
    roster = Roster(names)
    kinds: tuple[Kind, ...] = (
        "failed",
        "running",
        "ok",
        "pending",
        "unknown",
        "held",
        "excluded",
        "skipped",
        "unreachable",
    )
    ranks: dict[Kind, int] = {"failed": 0, "unknown": 0, "unreachable": 0, "running": 1, "pending": 2}
    ranks |= {"ok": 3, "skipped": 4, "excluded": 5, "held": 6}
    now: dict[str, Kind] = {}
    for turn in range(400):
        name, kind = names[turn * 7 % 50], kinds[turn * 11 % 9]
        now[name] = kind
        roster.place(name, kind, later=False)
    order = sorted(names, key=lambda name: (ranks[now[name]], names.index(name)))
    assert [roster.at(row) for row in range(len(names))] == order
    assert [roster.row(name) for name in order] == list(range(50))
    assert sum(roster.counts.values()) == 50
    assert all(roster.counts[kind] == list(now.values()).count(kind) for kind in kinds)


async def test_a_target_in_the_middle_of_its_steps_is_never_called_pending_nor_not_started(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.begin("web-2")
    recorded.end("web-2")
    recorded.end("web-1", "failed", 1, "exit 1")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "! web-1", "· web-2  half done", "· web-3  pending")
        recorded.add(e.StopRequested("starting", BY))
        await shows(app, "# web-2  half done", "# web-3  held")
        assert [row.split()[1] for row in listed(app)[:2]] == ["web-1", "web-2"]


async def test_a_target_that_went_back_is_not_counted_as_ok(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.deploy("web-2")
    recorded.begin("web-1")
    recorded.end("web-1")
    recorded.fail("web-1")
    recorded.add(e.FailureTreated(("web-1",), "rollback", BY, "bad"))
    recorded.add(e.StepStarted("web-1", "rollback", 0, 1, "b" * 32))
    recorded.add(e.StepFinished("web-1", "b" * 32, "ok", 0))
    recorded.open_gate()
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "< web-1  rolled back", "1 + ok  1 < rolled back", "canaries 2: < web-1 rolled back")


async def test_times_keep_to_their_column_however_long_they_get(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    for name, seconds in (("web-3", 66), ("web-4", 754), ("web-5", 7100)):
        recorded.begin(name, at=time.time() - seconds)
    async with waiting(recorded) as (app, _, _wire, _gate):
        await until(lambda: any(re.search(r"web-5 .* 1h58m$", row) for row in listed(app)))
        assert re.search(r"web-3 .* 1m\ds$", listed(app)[0])
        assert re.search(r"web-4 .* 12m3\ds$", listed(app)[1])


async def test_a_stop_that_was_asked_for_stays_in_sight_without_its_panel(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "wave 2 of 2")
        assert "STOPPING" not in screen_text(app)
        recorded.add(e.StopRequested("starting", BY))
        await shows(app, "STOPPING · shop 1.4.2")


async def test_with_the_engine_gone_no_key_offers_to_stop(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded) as (app, _, wire, _gate):
        await shows(app, "X Stop")
        wire.gone = "the engine is gone: signal 9"
        await until(lambda: "X Stop" not in screen_text(app))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param("/nowhere", "no shell: the ssh program is not installed here", id="no ssh"),
        pytest.param(None, "no shell: these screens are on no terminal of their own", id="no terminal"),
    ],
)
async def test_where_no_shell_can_be_had_the_key_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, said: str
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    async with waiting(Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()) as (app, pilot, wire, _):
        await shows(app, "T Shell", "GATE")
        await until(lambda: read_since(app.screen.query_one(TargetList).turned_at))
        await press(pilot, "T")
        await until(lambda: [one.message for one in app._notifications] == [said])
        assert wire.sent == []


async def test_a_rollout_that_is_watched_offers_no_shell(tmp_path: Path) -> None:
    """Minor 20: who only watches acts on no target."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, (120, 24), read_only=True) as (app, pilot, _wire, _gate):
        await shows(app, "f Follow", "READ ONLY")
        assert "T Shell" not in screen_text(app)
        recorded.add(e.Aborted(BY, "bad", rollback=False))
        recorded.add(e.FinallyStarted("aborted", ()))
        recorded.add(e.RolloutFinished("aborted", "aborted by maria (bad)", 3))
        await shows(app, "exit code 3")
        await press(pilot, "escape")
        await shows(app, "v Result", "aborted")
        assert "T Shell" not in screen_text(app)


@pytest.mark.found("fault 2")
async def test_the_wait_for_a_lost_target_can_be_ended_by_a_key(tmp_path: Path) -> None:
    """The key is there while the target under the cursor is lost, and at no other time."""
    recorded = second_wave(tmp_path)
    recorded.begin("web-3")
    async with waiting(recorded) as (app, pilot, wire, _gate):
        await shows(app, "> web-3")
        await pilot.press("W")
        recorded.add(e.ConnectionLost("web-3", "connection refused"))
        await shows(app, "~ web-3", "W Stop waiting")
        assert not wire.sent
        await pilot.press("W")
        assert wire.sent == [GiveUp(recorded.state.rollout, "web-3", operator())]


@pytest.mark.found("M8")
async def test_a_release_is_in_doubt_from_the_first_step_that_may_change_it_until_it_is_read(tmp_path: Path) -> None:
    """The release before stands with a question mark once a step that may change it has begun, until the target says."""
    recorded = second_wave(tmp_path)
    async with waiting(recorded, (160, 40)) as (app, _, _wire, _gate):
        await shows(app, "web-3")
        assert "1.4.1 ?" not in screen_text(app)
        recorded.begin("web-3")
        await shows(app, "1.4.1 ?")
        recorded.end("web-3", "failed", 1)
        await until(lambda: any("web-3" in row and "1.4.1 ?" in row for row in listed(app)))
        recorded.add(e.ReleaseRead("web-3", "1.4.2"))
        await until(lambda: any("web-3" in row and "1.4.2" in row for row in listed(app)))
        recorded.add(e.FailureTreated(("web-3",), "skip", BY))
        recorded.begin("web-3")
        recorded.end("web-3")
        await until(lambda: any("web-3" in row and "1.4.1 ?" in row for row in listed(app)))
        assert any("web-1" in row and row.split()[-1] == "1.4.2" for row in listed(app)), "every step was ok there"
