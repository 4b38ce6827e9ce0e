"""No key is swallowed without a word, and what a screen says is true, whole and in the words of every other one."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from driving import SHOP, nothing_is_read_yet, opened, press, screen_lines, screen_text, shows, until
from recorded import BY, Recorded, make_plan
from test_app_life import started
from test_failures_panel import shell_opened
from test_gate_panel import readable, waiting
from test_log_view import watched
from test_result_screen import finish, finished
from textual.widgets._toast import Toast

from canary_tui.domain.fleet.tables import Gate
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.words import OUTCOME_WORDS, PAUSE_WORDS
from canary_tui.engine.messages import Ended, Refused
from canary_tui.service.endings import closing_line
from canary_tui.store.inventory import Aftermath
from canary_tui.store.logs.format import log_path
from canary_tui.tui import app as the_app
from canary_tui.tui.keys import Settings
from canary_tui.tui.picker.columns import columns_for
from canary_tui.tui.picker.picker import TargetRow
from canary_tui.tui.rollout.result_screen import ResultScreen
from canary_tui.tui.rollout.target_list import TargetList


async def test_ctrl_c_right_after_a_rollout_has_stopped_does_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who presses it again and again wants the rollout to stop, and then to see how it ended."""
    async with opened(tmp_path, engine=("--directory", str(tmp_path / "a-rollout"))) as (app, pilot):
        await started(app, pilot)
        await press(pilot, "ctrl+c")
        app.link._take(Ended(130, "stopped"))
        await press(pilot, "ctrl+c", "ctrl+c")
        await shows(app, "It has stopped. Press ctrl+c again")
        assert app.return_value is None
        monkeypatch.setattr(the_app, "_AFTER_STOP", 0.0)
        await press(pilot, "ctrl+c")
        await until(lambda: app.return_value is not None)


@pytest.mark.parametrize(
    ("ago", "told", "untold"),
    [
        pytest.param(5, r"unpack \d+ s +engine", ["limit", "silent"], id="short"),
        pytest.param(35, r"unpack \d+ s, silent \d+ s", ["limit"], id="silent"),
        pytest.param(70, r"unpack 1 m [\d s]+\(limit 2 m\), silent 1 m", [], id="half of its time"),
    ],
)
async def test_a_limit_is_told_from_half_of_it_on_and_a_silence_from_30_seconds_on(
    tmp_path: Path, ago: int, told: str, untold: list[str]
) -> None:
    """A limit beside every time reads as how long it will take; a hang is told by its silence."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1", at=time.time() - ago)
    recorded.print("web-1", "begun")
    os.utime(log_path(recorded.directory / "logs", "web-1"), (time.time() - ago,) * 2)
    async with waiting(recorded, (132, 30)) as (app, _pilot, _wire, _):
        await until(lambda: re.search(rf"web-1: {told}", screen_text(app)))
        assert not [word for word in untold if word in screen_text(app)]


async def test_digits_after_a_refused_approval_tick_nothing(tmp_path: Path) -> None:
    """Who types the number of targets, or the release, behind an A that did not open has no item in mind."""
    gate = Gate(checklist=("one", "two", "three", "four"))
    async with waiting(Recorded(tmp_path / "r", make_plan(6, 2, gate)).at_gate()) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "4", "2", "1")
        await shows(app, "A does nothing yet")
        assert wire.decided == []
        panel._explained_at = float("-inf")
        await press(pilot, "3")
        await until(lambda: wire.decided)


async def test_a_bad_preflight_stands_beside_the_question_of_the_start(tmp_path: Path) -> None:
    fleet = SHOP.replace('name = "web-[13-20]"', 'name = "dead-[13-20]"').replace("web-13", "dead-13")
    async with opened(tmp_path, fleet) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "enter")
        await shows(app, "Nothing was connected to yet")
        await press(pilot, "P")
        await shows(app, "8 targets of 20 not ok")
        await press(pilot, "S")
        await shows(app, "Start shop 1.4.2 in production: 2 canaries of 20 targets?", "PREFLIGHT: 8 of 20 not ok")


async def test_a_rollout_that_starts_below_the_help_is_shown_once_the_help_is_closed(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with opened(tmp_path, engine=("--directory", str(recorded.directory))) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "enter")
        await shows(app, "Nothing was connected to yet")
        app.action_help()
        await shows(app, "Keys here")
        plan = app.screen_stack[-2]
        await plan.run_action("start")
        await plan.run_action("confirm")
        await until(lambda: app.link.opened)
        await shows(app, "Keys here")
        await press(pilot, "escape")
        await shows(app, "wave 1 of 2 canary")
    recorded.close()


async def test_a_passphrase_is_asked_for_in_our_own_words(tmp_path: Path) -> None:
    async with opened(tmp_path, engine=("--ask", "passphrase", "--words", "The key is locked.")) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "enter")
        await shows(app, "Nothing was connected to yet")
        await press(pilot, "P")
        await shows(app, "A passphrase", "The key is locked.", "enter opens the key")
        assert "server's own words" not in screen_text(app)


async def test_esc_clears_the_search_then_the_filter_and_an_empty_log_says_why(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.print("web-1", "first", "second")
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "second")
        await press(pilot, "ampersand", *"zzz", "enter", "slash", *"first", "enter")
        await shows(app, "no line has 'zzz'; esc clears the filter")
        await press(pilot, "escape")
        await until(lambda: pane.view.searching is None)
        assert pane.view.filter_query == "zzz"
        await press(pilot, "escape")
        await shows(app, "first", "second")
        assert not pane.finds_something


async def test_the_log_of_a_target_that_never_ran_tells_why_in_full(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2))
    recorded.add(e.RolloutStarted("2026-11-23T101500Z-shop-7f3a", recorded.plan, BY, True, "0.1"))
    why = "no route to host; " + "is the machine on, and is its name right? " * 3 + "END"
    for name in recorded.plan.targets:
        recorded.add(e.ProbeStarted(name))
        recorded.add(e.TargetProbed(name, "ok" if name != "web-1" else "unreachable", detail=why))
    async with watched(recorded) as (app, _pilot, _pane):
        await until(lambda: "END" in "".join(line[33:] for line in screen_lines(app)))


async def test_a_key_that_decides_says_on_a_read_only_screen_that_it_does_not(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, (120, 30), read_only=True, notifications=True) as (app, pilot, _wire, _):
        await shows(app, "GATE")
        await press(pilot, "X")
        await shows(app, "Read only: no engine is at work")


def test_a_target_of_an_open_rollout_has_a_tone_of_its_own() -> None:
    [last] = [column for column in columns_for(()) if column.title == "LAST ROLLOUT"]
    opened_row = TargetRow("web-1", "a", (), (), {}, "1.4.1", None, 60, seen=True)
    assert last.tone(opened_row) == "table--open"
    assert last.tone(TargetRow("web-2", "b")) == ""
    stopped = TargetRow("web-1", "a", (), (), {}, "1.4.1", "cancelled", 60, seen=True)
    assert last.cell(stopped).startswith("STOPPED"), "as the row of a rollout and its log say"


@pytest.mark.found("M7")
@pytest.mark.parametrize(
    ("aftermath", "word", "tone"),
    [
        pytest.param("", "ok", "", id="nothing else happened"),
        pytest.param("step skipped", "STEP SKIPPED", "table--open", id="a person skipped a step"),
        pytest.param("rolled back", "ROLLED BACK", "table--open", id="an abort took it back"),
        pytest.param("rollback failed", "ROLLBACK FAILED", "table--bad", id="an abort did not"),
    ],
)
def test_the_picker_calls_a_target_ok_only_if_every_step_was_and_stayed(
    aftermath: Aftermath, word: str, tone: str
) -> None:
    """The last rollout's word is that of the rollout's own screen, also where the steps alone ended ok."""
    [last] = [column for column in columns_for(()) if column.title == "LAST ROLLOUT"]
    row = TargetRow("web-1", outcome="ok", age=3540, seen=True, aftermath=aftermath)
    assert (last.cell(row).split("  ")[0].removesuffix(" 59 m ago"), last.tone(row)) == (word, tone)
    assert len(last.cell(row)) <= last.most


def test_every_outcome_and_pause_has_one_word() -> None:
    assert OUTCOME_WORDS["cancelled"] == PAUSE_WORDS["interrupted"] == "stopped"
    words = [*OUTCOME_WORDS.values()]
    assert len(set(words)) == len(words)


@pytest.mark.found("drive 5")
async def test_a_title_does_not_give_a_status_as_its_own_reason(tmp_path: Path) -> None:
    """A stopped target is `stopped after 0 s`, without `stopped` as the reason."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.end("web-1", "cancelled", None, "stopped")
    async with watched(recorded) as (app, _pilot, _pane):
        await shows(app, "web-1  ! stopped after 0 s")
        assert "stopped after 0 s:" not in screen_text(app)


async def test_a_refusal_that_a_panel_tells_is_told_once(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, notifications=True) as (app, _pilot, wire, _):
        await shows(app, "GATE")
        wire.say(Refused("Decide", "something changed"))
        await shows(app, "refused: something changed")
        assert not app.screen.query(Toast), "the panel says it"


async def test_a_notice_stands_at_the_top_where_it_covers_neither_question_nor_keys(tmp_path: Path) -> None:
    settings = Settings(complaints=("one", "two", "three"))
    async with opened(tmp_path, settings=settings) as (app, _pilot):
        await shows(app, "18 after the gate", "one", "two", "three")
        [toast] = app.screen.query(Toast)
        assert toast.region.y < 4


async def test_q_as_the_result_comes_up_says_what_it_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = finished(tmp_path)
    async with waiting(recorded, (100, 40), notifications=True) as (app, pilot, _, _gate):
        with nothing_is_read_yet(monkeypatch):
            finish(recorded)
            await until(lambda: isinstance(app.screen, ResultScreen))
            await press(pilot, "q")
            await shows(app, "This is the result. Press q again to leave.")


async def test_an_engine_that_gives_up_names_the_command_once(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).start()
    async with waiting(recorded, (120, 24)) as (app, _, wire, _gate):
        await shows(app, "wave 1 of 2")
        wire.say(Ended(130, closing_line(recorded.state)))
        await shows(app, "resume it with: canary-tui resume 2026-11-23T101500Z-shop-7f3a")
        assert screen_text(app).count("canary-tui resume") == 1


@pytest.mark.found("M2")
async def test_a_search_that_goes_on_does_not_take_away_what_a_person_has_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.print("web-1", "needle", *(f"line {number}" for number in range(20_000)))
    monkeypatch.setattr("canary_tui.tui.logs.log_view._LOOK_BUDGET", 0.0)
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "line 19999")
        pane.view.search("needle")
        assert pane.view._looking is not None
        pane.view.focus()
        await press(pilot, "k", "k")
        await shows(app, "/ needle: left")
        assert pane.view._looking is None
        assert "line 199" in screen_text(app)


@pytest.mark.found("M1")
async def test_a_shell_key_pressed_as_the_list_turns_says_for_which_target_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no panel is open: the list's cursor may have moved between the look and the key."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-2")
    opened_on = shell_opened(monkeypatch)
    async with waiting(recorded, notifications=True) as (app, pilot, _wire, _):
        with nothing_is_read_yet(monkeypatch):
            await shows(app, "T Shell on web-2")
            await press(pilot, "T")
            await shows(app, "T is for web-2 now; press it again")
        assert opened_on == []
        await press(pilot, "j", "k", "T")
        await until(lambda: opened_on)


async def test_g_and_capital_g_go_to_the_ends_of_the_list_and_its_title_counts(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(60, 2)).start()
    async with waiting(recorded) as (app, pilot, _wire, _):
        targets = app.screen.query_one(TargetList)
        targets.focus()
        await press(pilot, "G")
        await shows(app, "60 of 60")
        await press(pilot, "g")
        await shows(app, "1 of 60")


async def test_what_an_abort_keeps_is_the_release_only_where_it_is_done(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    recorded.deploy("web-1")
    recorded.begin("web-2")
    recorded.end("web-2")
    recorded.fail("web-3")
    async with waiting(recorded, (132, 40)) as (app, pilot, _wire, _):
        await shows(app, "1 target failed")
        await press(pilot, "X")
        await shows(app, "Reason for the abort")
        await press(pilot, *"bad", "enter")
        await shows(app, "K Keep: 1 target keeps 1.4.2: web-1; 2 targets stay half done: web-[2-3]")


@pytest.mark.parametrize("width", [60, 80])
async def test_the_footer_of_a_narrow_picker_has_the_keys_that_matter_most(tmp_path: Path, width: int) -> None:
    async with opened(tmp_path, size=(width, 24)) as (app, _pilot):
        await shows(app, "18 after the gate")
        assert all(key in screen_lines(app)[-1] for key in ("enter Plan", "space Mark", "/ Filter", "? Help"))
