from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

import pytest
from driving import nothing_is_read_yet, press, screen_lines, screen_text, shows, type_text, until
from recorded import BY, Changes, Recorded, Stage, make_plan
from test_gate_panel import readable, waiting

from canary_tui.domain.fleet.tables import Limits
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.tui.logs.log_view import LogView
from canary_tui.tui.rollout import panels
from canary_tui.tui.rollout.failure_list import FailureList
from canary_tui.tui.rollout.failure_panel import FailurePanel

LOCKED = e.TargetProbed(
    "web-1", "failed", held_by="2026-11-23T091500Z-other-0a1b2c3d",
    detail="locked by 2026-11-23T091500Z-other-0a1b2c3d (ann@desk since 2026-11-23 09:15Z); let it end, or --break-lock it",
)  # fmt: skip


def failed(tmp_path: Path, targets: int = 6, canaries: int = 3, **changes: Unpack[Changes]) -> Recorded:
    recorded = Recorded(tmp_path / "r", make_plan(targets, canaries, **changes)).start()
    recorded.deploy("web-1")
    recorded.fail("web-2", "exit 1")
    recorded.fail("web-3", "exit 7")
    return recorded


async def panel_of(app: Stage) -> FailurePanel:
    panel = app.screen.query_one(FailurePanel)
    await readable(panel)
    return panel


async def test_all_failing_targets_stand_in_one_list_with_what_each_way_out_does(tmp_path: Path) -> None:
    async with waiting(failed(tmp_path)) as (app, _, _wire, _gate):
        await shows(app, "2 targets failed. What now?", "! web-2", "failed: exit 1", "! web-3", "exit 7")
        await shows(app, "R Retry   K Skip the step   E Exclude   B Roll back", "X Abort ...", "T Shell on web-2")
        assert "U Settle" not in screen_text(app)
        await until(lambda: app.screen.query_one(LogView).size.height >= 8)


async def test_a_failure_without_an_exit_code_of_its_own_is_not_told_as_exit_0(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).start()
    recorded.begin("web-1")
    recorded.end("web-1", "failed", 0)
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "1 target failed", "! web-1")
        assert "exit 0" not in screen_text(app)


async def test_retry_is_sent_at_once_for_all_listed(tmp_path: Path) -> None:
    recorded = failed(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await panel_of(app)
        await press(pilot, "R")
        await until(lambda: wire.sent)
        [treat] = wire.decided
        assert isinstance(treat, e.FailureTreated)
        assert (treat.treatment, treat.targets) == ("retry", ("web-2", "web-3"))
        recorded.add(e.FailureTreated(treat.targets, "retry", BY))
        await until(lambda: "What now" not in screen_text(app))


@pytest.mark.parametrize(
    ("key", "treatment", "doing"),
    [
        pytest.param("K", "skip", "skipping the step on", id="skip"),
        pytest.param("E", "exclude", "excluding", id="exclude"),
        pytest.param("B", "rollback", "rolling back", id="roll back"),
    ],
)
async def test_all_but_retry_need_a_note(tmp_path: Path, key: str, treatment: str, doing: str) -> None:
    async with waiting(failed(tmp_path)) as (app, pilot, wire, _):
        await panel_of(app)
        height = app.screen.query_one(LogView).size.height
        await press(pilot, key)
        await shows(
            app, "2 targets: web-[2-3] =", f"Reason for {doing} 2 targets (recorded):", "enter decides, esc leaves"
        )
        assert app.screen.query_one(LogView).size.height == height, "nothing above moves"
        await press(pilot, "enter")
        await shows(app, "Please give a reason")
        assert wire.sent == []
        await type_text(pilot, "known flake")
        await press(pilot, "enter")
        await until(lambda: wire.sent)
        treat = wire.decided[0]
        assert isinstance(treat, e.FailureTreated)
        assert (treat.treatment, treat.targets, treat.note) == (treatment, ("web-2", "web-3"), "known flake")


async def test_a_decision_is_for_the_marked_targets_only(tmp_path: Path) -> None:
    async with waiting(failed(tmp_path)) as (app, pilot, wire, _):
        await panel_of(app)
        app.screen.query_one(FailureList).focus()
        await press(pilot, "j", "space")
        await shows(app, "[x] ! web-3", "keys act on web-3")
        await press(pilot, "R")
        await until(lambda: wire.sent)
        treat = wire.decided[0]
        assert isinstance(treat, e.FailureTreated)
        assert treat.targets == ("web-3",)


async def test_keys_typed_before_the_list_could_be_read_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    async with waiting(recorded) as (app, pilot, wire, _):
        with nothing_is_read_yet(monkeypatch):
            recorded.fail("web-2")
            await until(lambda: app.screen.query_one(FailurePanel).display)
            await press(pilot, "R", "E", "B", "K")
        await panel_of(app)
        assert wire.sent == []
        assert not app.screen.query_one(FailurePanel).asking


async def test_an_unknown_outcome_is_settled_by_a_typed_word_and_a_note(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    recorded.begin("web-2")
    recorded.end("web-2", "unknown", None, "the target rebooted")
    async with waiting(recorded) as (app, pilot, wire, _):
        await panel_of(app)
        await shows(app, "? web-2", "unknown: the target rebooted", "U Settle web-2")
        text = screen_text(app)
        assert "R Retry" not in text, "nobody knows whether it would run twice"
        await press(pilot, "R")
        assert wire.sent == []
        await press(pilot, "U")
        await shows(app, "Settle web-2 =", "Type done, failed or retry, then why:")
        for wrong in ("", "done", "yes it is"):
            await type_text(pilot, wrong)
            await press(pilot, "enter")
            assert wire.sent == []
        await type_text(pilot, "done saw it in the log")
        await press(pilot, "enter")
        await until(lambda: wire.sent)
        [settle] = wire.decided
        assert isinstance(settle, e.UnknownSettled)
        assert (settle.target, settle.settlement, settle.note) == ("web-2", "ok", "saw it in the log")


async def test_failures_within_the_limit_ask_nobody_and_stand_first_in_the_list(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 1, limits=Limits(failures=Share(3)))).at_gate()
    recorded.approve_gate()
    recorded.add(e.WaveStarted(1))
    recorded.fail("web-5")
    async with waiting(recorded) as (app, _, _wire, _gate):
        await shows(app, "! web-5", "1 ! failed")
        assert "What now" not in screen_text(app)
        rows = [row for row in screen_text(app).splitlines() if " web-" in row and row[1:2] in "!+>·"]
        assert rows[0].split()[:2] == ["!", "web-5"]


async def test_a_list_that_changes_while_deciding_closes_the_field(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    recorded.fail("web-2")
    recorded.begin("web-3")
    async with waiting(recorded) as (app, pilot, wire, _):
        panel = await panel_of(app)
        await press(pilot, "E")
        await until(lambda: panel.asking)
        await type_text(pilot, "half a no")
        recorded.end("web-3", "failed", 1, "exit 1")
        await shows(app, "the list changed while you were deciding")
        assert not panel.asking
        await press(pilot, "enter")
        assert wire.sent == []


async def test_a_locked_target_says_whose_it_is_and_is_no_target_to_skip_steps_on(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1))
    recorded.add(e.RolloutStarted("2026-11-23T101500Z-shop-7f3a", recorded.plan, BY, True, "0.1"))
    for name in recorded.plan.targets:
        recorded.add(e.ProbeStarted(name))
        recorded.add(e.TargetProbed(name, "ok") if name != "web-1" else LOCKED)
    async with waiting(recorded) as (app, pilot, wire, _):
        await panel_of(app)
        await shows(app, "! web-1", "locked by 2026-11-23T091500Z-other-0a1b2c3d (ann@desk", "R Retry", "E Exclude")
        assert "K Skip" not in screen_text(app)
        await press(pilot, "R")
        await until(lambda: wire.sent)
        treat = wire.decided[0]
        assert isinstance(treat, e.FailureTreated)
        assert treat.treatment == "retry"


async def test_a_long_list_in_a_small_terminal_covers_no_key_and_says_how_many_it_hides(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(12, 10)).start()
    for number in range(1, 10):
        recorded.fail(f"web-{number}", f"exit {number}")
    async with waiting(recorded, (60, 18)) as (app, pilot, _wire, _):
        await panel_of(app)
        keys = ("R Retry   K Skip the step   E Exclude   B Roll back", "X Abort ...   T Shell on web-1")
        await shows(app, "9 targets failed. What now? ==", "keys act on all 9", *keys, "↓ 5 more")
        app.screen.query_one(FailureList).focus()
        await press(pilot, "space", *["j"] * 9)
        await shows(app, "keys act on web-1 ==", "[ ] ! web-9", "↑ 5 more", "T Shell on web-9")
        assert not app.screen.show_vertical_scrollbar
        await pilot.resize_terminal(80, 40)
        await shows(app, "R Retry: the failed step on these", "[ ] ! web-4", "[ ] ! web-9", "↑ 3 more")


def alike(tmp_path: Path) -> Recorded:
    """Thirty targets of which 23 fail in one way, and seven in another; what they print has their own names in it."""
    recorded = Recorded(tmp_path / "r", make_plan(40, 30)).start()
    for number in range(1, 31):
        name, code = f"web-{number}", 2 if number < 8 else 3
        recorded.begin(name)
        recorded.print(name, "starting", f"E: cannot open /etc/{name}.conf", stream="err")
        recorded.end(name, "failed", code, "")
    return recorded


@pytest.mark.found("M12")
@pytest.mark.parametrize("size", [(80, 24), (132, 44)])
async def test_failures_alike_are_one_row_with_their_number_names_and_last_line(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """One row for each step, end and last line, however many targets; a target's own name makes no other kind."""
    async with waiting(alike(tmp_path), size) as (app, pilot, wire, _):
        await panel_of(app)
        first, second = "7 x unpack  failed: exit 2  E: cannot open", "23 x unpack  failed: exit 3  E: cannot open"
        await shows(app, "30 targets failed. What now?", f"[ ] ! {first}", f"[ ] ! {second}", "web-[")
        assert screen_text(app).count("[ ] !") == 2
        app.screen.query_one(FailureList).focus()
        await press(pilot, "j", "space")
        await shows(app, "keys act on 23 of 30", f"[x] ! {second}")
        await press(pilot, "R")
        await until(lambda: wire.sent)
        [treat] = wire.decided
        assert isinstance(treat, e.FailureTreated)
        assert treat.targets == tuple(f"web-{number}" for number in range(8, 31))


@pytest.mark.found("M12")
async def test_a_row_opens_to_its_targets_and_each_of_them_can_be_chosen(tmp_path: Path) -> None:
    async with waiting(alike(tmp_path), (132, 44)) as (app, pilot, _wire, _):
        await panel_of(app)
        app.screen.query_one(FailureList).focus()
        await press(pilot, "right", "j", "j", "space")
        await shows(app, "[~] ! 7 x", "[x] ! web-2", "keys act on web-2")
        await press(pilot, "left")
        await shows(app, "[~] ! 7 x", "23 x")
        assert "! web-2  unpack" not in screen_text(app)


@pytest.mark.found("M12")
async def test_the_log_of_a_failed_target_is_wrapped_unless_a_person_said_otherwise(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 2)).start()
    recorded.begin("web-1")
    recorded.print("web-1", "config/shop.toml: " + "word " * 12 + "unknown key")
    async with waiting(recorded) as (app, pilot, _wire, _):
        await shows(app, "config/shop.toml")
        assert "unknown key" not in screen_text(app)
        recorded.end("web-1", "failed", 1, "exit 1")
        await shows(app, "1 target failed")
        await until(lambda: app.screen.query_one(LogView).window.wrap)
        await press(pilot, "w")
        assert not app.screen.query_one(LogView).window.wrap
        await shows(app, "T Shell on web-1")
        assert not app.screen.query_one(LogView).window.wrap


@pytest.mark.found("M12")
async def test_targets_that_wait_for_the_decision_about_others_are_named(tmp_path: Path) -> None:
    """After R on one of two failed targets it does not run before the other is decided, and that is told."""
    recorded = failed(tmp_path, 6, 4)
    async with waiting(recorded, (132, 44)) as (app, _pilot, _wire, _):
        await panel_of(app)
        await shows(app, "waiting for this decision: 1 not begun")
        recorded.add(e.FailureTreated(("web-2",), "retry", BY))
        await shows(app, "1 target failed", "waiting for this decision: 1 begun: web-2; 1 not begun")


@pytest.mark.found("drive 4")
async def test_a_step_that_a_person_had_run_again_and_that_fails_again_says_so(tmp_path: Path) -> None:
    """The panel after a retry that changed nothing is not the one before it."""
    recorded = failed(tmp_path)
    async with waiting(recorded) as (app, _pilot, _wire, _):
        await shows(app, "2 targets failed. What now?", "failed: exit 1")
        recorded.add(e.FailureTreated(("web-2", "web-3"), "retry", BY))
        recorded.fail("web-2", "exit 1")
        recorded.fail("web-3", "exit 7")
        await shows(app, "2 targets failed. What now?", "failed again: exit 1", "failed again: exit 7")


@pytest.mark.found("drive 5")
async def test_at_80x24_many_failures_leave_room_for_what_waits_and_for_whole_titles(tmp_path: Path) -> None:
    """The list of failures gives way to the sentences above it, and a column's title is whole or not there."""
    recorded = Recorded(tmp_path / "r", make_plan(40, 30)).start()
    for number in range(1, 13):
        recorded.begin(f"web-{number}")
        recorded.print(f"web-{number}", "a reason that is too long for a row of this list, however it is written")
        recorded.end(f"web-{number}", "failed", number, "")
    recorded.add(e.FailureTreated(("web-2",), "retry", BY))
    async with waiting(recorded) as (app, _pilot, _wire, _):
        await panel_of(app)
        await shows(app, "waiting for this decision: 1 begun: web-2", "last line: a reason", "1 of 40")
        assert "…" not in screen_lines(app)[2]


@pytest.mark.found("drive 5")
@pytest.mark.parametrize("more", [pytest.param(0, id="it fits"), pytest.param(1, id="it does not")])
async def test_a_failure_is_told_in_full_above_the_list_only_if_its_row_cannot(tmp_path: Path, more: int) -> None:
    """No sentence of the panel stands there twice."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).start()
    recorded.begin("web-1")
    recorded.print("web-1", "x" * (40 + more))
    recorded.end("web-1", "failed", 1, "")
    async with waiting(recorded) as (app, _pilot, _wire, _):
        await shows(app, "[ ] ! web-1  unpack  failed: exit 1  xxxx")
        await until(lambda: screen_text(app).count("last line: ") == more)
        assert ("x…" in screen_text(app)) == bool(more)


def shell_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets on which the screens open a shell from now on, instead of one."""
    opened: list[str] = []
    monkeypatch.setattr(panels, "ssh_program", lambda: "ssh")
    monkeypatch.setattr(panels, "open_shell", lambda _app, target, _ssh: opened.append(target.name))
    return opened


@pytest.mark.found("M1")
async def test_a_shell_opens_on_the_target_that_the_panel_and_the_footer_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1: the cursor and the log turn to the first failed target as the panel opens."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-2")
    opened = shell_opened(monkeypatch)
    async with waiting(recorded) as (app, pilot, _wire, _):
        await shows(app, "T Shell on web-2", "> web-2")
        recorded.fail("web-4")
        panel = await panel_of(app)
        await shows(app, "T Shell on web-4", "web-4  ! failed")
        assert screen_text(app).count("T Shell on web-4") == 2, "in the panel and in the footer"
        await press(pilot, "T")
        await until(lambda: opened == ["web-4"])
        await readable(panel)
        await press(pilot, "j", "T")
        await until(lambda: len(opened) == 2)
        await shows(app, f"T Shell on {opened[1]}")
        assert opened[1] == "web-2", "a person moved the list's cursor since"


async def test_the_panel_s_cursor_stays_on_its_target_when_another_fails_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-1")
    recorded.fail("web-3")
    opened = shell_opened(monkeypatch)
    async with waiting(recorded) as (app, pilot, _wire, _):
        await panel_of(app)
        await shows(app, "T Shell on web-3")
        recorded.end("web-1", "failed", 1, "exit 1")
        await shows(app, "2 targets failed", "T Shell on web-3")
        await press(pilot, "T")
        await until(lambda: opened == ["web-3"])
        app.screen.query_one(FailureList).focus()
        await press(pilot, "k")
        await shows(app, "T Shell on web-1", "web-1  ! failed")


@pytest.mark.found("M1")
async def test_a_shell_key_pressed_as_the_panel_opens_says_for_which_target_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-2")
    opened = shell_opened(monkeypatch)
    async with waiting(recorded, notifications=True) as (app, pilot, _wire, _):
        with nothing_is_read_yet(monkeypatch):
            recorded.fail("web-4")
            await until(lambda: app.screen.query_one(FailurePanel).display)
            await press(pilot, "T")
            await shows(app, "T is for web-4 now")
        assert opened == []


@pytest.mark.found("M11")
@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40)])
@pytest.mark.parametrize(
    ("key", "label"),
    [
        pytest.param("K", "Reason for skipping the step on 30 targets", id="skip"),
        pytest.param("E", "Reason for excluding 30 targets", id="exclude"),
        pytest.param("B", "Reason for rolling back 30 targets", id="roll back"),
    ],
)
async def test_the_label_of_the_field_is_whole_and_the_names_are_cut(
    tmp_path: Path, size: tuple[int, int], key: str, label: str
) -> None:
    """M11."""
    recorded = Recorded(tmp_path / "r", named(make_plan(32, 30), "app-{}.eu-central-1.example.net")).start()
    for name in recorded.plan.waves[0].targets:
        recorded.begin(name)
        recorded.end(name)
        recorded.fail(name)
    async with waiting(recorded, size) as (app, pilot, _wire, _):
        panel = await panel_of(app)
        await press(pilot, key)
        await shows(app, label, "30 target", "…  enter decides, esc leaves")
        assert panel.field.size.width >= 8


def named(plan: Plan, pattern: str) -> Plan:
    """The plan with other names."""
    new = {name: pattern.format(name.partition("-")[2]) for name in plan.targets}
    targets = {new[name]: replace(target, name=new[name]) for name, target in plan.targets.items()}
    waves = tuple(replace(wave, targets=tuple(new[name] for name in wave.targets)) for wave in plan.waves)
    return replace(plan, targets=targets, waves=waves)


@pytest.mark.found("M11")
async def test_the_label_of_a_long_name_s_outcome_is_whole(tmp_path: Path) -> None:
    """M11."""
    recorded = Recorded(tmp_path / "r", named(make_plan(4, 2), "app-{}." + "eu-central-1.example.net" * 2)).start()
    name = recorded.plan.waves[0].targets[0]
    recorded.begin(name)
    recorded.end(name, "unknown", None, "the target rebooted")
    async with waiting(recorded, (60, 18)) as (app, pilot, _wire, _):
        panel = await panel_of(app)
        await press(pilot, "U")
        await shows(app, "Settle app-1.eu", "Type done, failed or retry, then why:", "enter decides, esc leaves")
        assert panel.field.size.width >= 8
