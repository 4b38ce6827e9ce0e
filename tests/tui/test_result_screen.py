from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import pytest
from driving import nothing_is_read_yet, press, screen_lines, screen_text, shows, type_text, until
from recorded import BY, Recorded, Stage, Wire, make_plan
from test_gate_panel import waiting

from canary_tui.cli.main import _parser
from canary_tui.cli.options import choices_of
from canary_tui.cli.options import plan_of as options_plan
from canary_tui.domain.fleet.tables import Limits
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.planning.plan import Excluded, Plan
from canary_tui.domain.rollout import events as e
from canary_tui.engine.messages import Ended
from canary_tui.tui.rollout.log_pane import QueryField
from canary_tui.tui.rollout.report import similar_command
from canary_tui.tui.rollout.result_screen import ResultScreen
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.shared import panel
from canary_tui.tui.shared.panel import GUARD
from canary_tui.tui.shared.rows import TONES


def finished(tmp_path: Path, *, redeploy: bool = False) -> Recorded:
    excluded = (Excluded("web-9", "by --exclude"),)
    plan = make_plan(
        6, 1, limits=Limits(failures=Share(3)), excluded=excluded, redeploy=redeploy, directory=str(tmp_path)
    )
    recorded = Recorded(tmp_path / "r", plan).at_gate()
    recorded.approve_gate()
    recorded.add(e.WaveStarted(1))
    recorded.deploy("web-2", "web-3", "web-4", "web-6")
    recorded.fail("web-5", "exit 3")
    return recorded


def finish(recorded: Recorded) -> None:
    recorded.add(e.FinallyStarted("completed", ()))
    for name in recorded.plan.targets:
        recorded.add(e.ReleaseRead(name, "1.4.1" if name == "web-5" else "1.4.2"))
    recorded.add(e.RolloutFinished("succeeded", "5 of 6 targets on 1.4.2; not: web-5 (exit 3)", 5))


@pytest.mark.found("M12")
async def test_targets_that_ended_alike_are_one_row_of_the_result(tmp_path: Path) -> None:
    """Six failures of one kind are a row with their number and one with their names."""
    plan = make_plan(8, 1, limits=Limits(failures=Share(6)))
    recorded = Recorded(tmp_path / "r", plan).at_gate()
    recorded.approve_gate()
    recorded.add(e.WaveStarted(1))
    recorded.deploy("web-2")
    for number in range(3, 9):
        recorded.fail(f"web-{number}", "exit 3" if number < 8 else "exit 4")
    recorded.add(e.FinallyStarted("completed", ()))
    recorded.add(e.RolloutFinished("succeeded", "2 of 8 targets on 1.4.2", 5))
    async with waiting(recorded, (80, 40)) as (app, pilot, _wire, _gate):
        await press(pilot, "v")
        await shows(app, "Not ok: 6 targets", "! 5 targets  failed  unpack  exit 3", "web-[3-7]")
        await shows(app, "! web-8      failed  unpack  exit 4")


@pytest.mark.found("drive 3")
async def test_a_finally_step_that_was_stopped_is_told_in_the_words_of_every_screen(tmp_path: Path) -> None:
    """An outcome is told by its word and its reason, never by its name in the journal or an empty reason."""
    recorded = finished(tmp_path)
    async with waiting(recorded, (120, 40)) as (app, _, _wire, _gate):
        recorded.add(e.FinallyStarted("completed", ("web-1", "web-2")))
        for name in ("web-1", "web-2"):
            recorded.add(e.StepStarted(name, "finally", 0, 1, name[-1] * 32))
        recorded.add(e.StepFinished("web-1", "1" * 32, "failed", 3))
        recorded.add(e.StepFinished("web-2", "2" * 32, "cancelled"))
        recorded.add(e.RolloutFinished("succeeded", "5 of 6 targets on 1.4.2; not: web-5 (exit 3)", 5))
        await shows(app, "finally failed (exit 3)", "finally stopped")
        assert "cancelled" not in screen_text(app)


async def test_the_result_says_the_verdict_and_who_is_not_ok_first(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    async with waiting(recorded, (100, 40)) as (app, _, _wire, _gate):
        await shows(app, "wave 2 of 2")
        finish(recorded)
        await shows(
            app,
            "PARTLY DONE: 5 of 6 targets on 1.4.2; not: web-5 (exit 3)",
            "Not ok: 1 target",
            "exit code 5",
            "by --exclude",
            "approved by maria@laptop",
            f"{recorded.directory}/logs/"[:60],
        )
        text = screen_text(app)
        assert text.index("! web-5") < text.index("web-[1-4,6]")
        lines = text.splitlines()
        assert any(line.split()[:3] == ["1.4.1", "1", "web-5"] for line in lines), "releases are read back"


async def test_the_command_for_a_similar_rollout_repeats_what_the_plan_knows(tmp_path: Path) -> None:
    """M9: also after `resume`, which is told no fleet file."""
    (tmp_path / "shop.toml").write_text(FLEET)
    (tmp_path / "other.toml").write_text(FLEET.replace("shop", "other"))
    (tmp_path / "broken.toml").write_text("name = ")
    recorded = finished(tmp_path, redeploy=True)
    async with waiting(recorded, (220, 40)) as (app, _, _wire, _gate):
        finish(recorded)
        await shows(
            app,
            f"similar    canary-tui run {tmp_path}/shop.toml --release 1.4.2 --env production"
            " --canary web-1 --exclude web-9 --redeploy --headless",
        )


@pytest.mark.found("M9")
@pytest.mark.parametrize("ends", [True, False], ids=["no fleet file", "paused"])
async def test_no_command_is_printed_that_would_not_work(tmp_path: Path, ends: bool) -> None:
    """M9: nobody knows the fleet file, or what is left is for `resume`."""
    if not ends:
        (tmp_path / "shop.toml").write_text(FLEET)
    recorded = finished(tmp_path)
    async with waiting(recorded, (180, 40)) as (app, _, _wire, _gate):
        if ends:
            finish(recorded)
        else:
            recorded.add(e.StopRequested("starting", BY))
            recorded.add(e.EngineStopped("interrupted"))
        await shows(app, "logs  ", "exit code 5" if ends else "exit code 130")
        assert "canary-tui run" not in screen_text(app)


FLEET = """
name = "shop"
[[targets]]
name = "web-[1-12]"
[[targets]]
name = "db-1"
[[targets]]
name = "api-[08-11].eu"
[[targets]]
name = "bastion"
[[steps]]
run = "true"
"""


@pytest.mark.found("M9")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--canary", "web-1 | db-1"], id="two names"),
        pytest.param(["--canary", "web-[1-3] | api-[08-09].eu | bastion", "--redeploy"], id="ranges"),
        pytest.param(["--canary", "web-2", "--exclude", "db-1", "--exclude", "web-[5-7] | bastion"], id="exclude"),
        pytest.param(["--only", "web-1 | bastion"], id="only"),
        pytest.param(["--only", "*"], id="only all"),
        pytest.param(["--only", "web-*", "--exclude", "web-3"], id="only and exclude"),
    ],
)
def test_the_command_for_a_similar_rollout_makes_the_same_canaries(tmp_path: Path, arguments: list[str]) -> None:
    """M9"""
    fleet = tmp_path / "a fleet.toml"
    fleet.write_text(FLEET)

    def planned(words: list[str]) -> Plan:
        options = _parser()[0].parse_args(words)
        return options_plan(options.fleet, choices_of(options, attended=False))

    plan = planned(["run", str(fleet), "--release", "1.4.2", *arguments])
    program, *words = shlex.split(similar_command(plan, fleet))
    again = planned(words)
    assert program == "canary-tui"
    assert (again.canaries, again.targets, again.redeploy) == (plan.canaries, plan.targets, plan.redeploy)
    assert [wave.targets for wave in again.waves] == [wave.targets for wave in plan.waves]


async def test_q_leaves_with_the_exit_code_and_not_before_it_could_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = finished(tmp_path)
    async with waiting(recorded, (100, 40)) as (app, pilot, _, _gate):
        with nothing_is_read_yet(monkeypatch):
            finish(recorded)
            await until(lambda: isinstance(app.screen, ResultScreen))
            await press(pilot, "q")
            await pilot.pause()
            assert isinstance(app.screen, ResultScreen), "a q that was meant for something else"
        result = app.screen
        await until(lambda: time.monotonic() > result._painted_at + GUARD)
        await press(pilot, "q")
        await until(lambda: app.return_value is not None)
        assert app.return_value == 5


async def test_escape_looks_at_the_logs_again_and_v_at_the_result(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    recorded.print("web-5", "the reason why")
    async with waiting(recorded, (100, 40)) as (app, pilot, _, _gate):
        finish(recorded)
        await until(lambda: isinstance(app.screen, ResultScreen))
        await press(pilot, "escape")
        await shows(app, "the reason why", "partly done")
        await press(pilot, "v")
        await shows(app, "Not ok: 1 target")


async def test_a_paused_rollout_says_how_to_go_on(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, (100, 30)) as (app, _, wire, _gate):
        await shows(app, "GATE")
        recorded.add(e.StopRequested("starting", BY))
        recorded.add(e.EngineStopped("interrupted"))
        wire.say(Ended(130, "interrupted"))
        await shows(app, "PAUSED: it was stopped by the operator", f"canary-tui resume {recorded.state.rollout}")
        await shows(app, "exit code 130", "held")


async def test_a_rolled_back_rollout_names_what_could_not_be_undone(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    recorded.add(e.Aborted(BY, "bad", rollback=True))
    recorded.add(e.RollbackStarted("aborted", (), ("web-1",)))
    recorded.add(e.FinallyStarted("aborted", ()))
    recorded.add(e.RolloutFinished("aborted", "aborted by maria (bad); 0 of 1 changed target rolled back", 3))
    async with waiting(recorded, (100, 30)) as (app, _, _wire, _gate):
        await shows(app, "gate never approved")
        await shows(app, "ABORTED: aborted by maria (bad)", "by hand", "previous release unknown: web-1", "exit code 3")


async def test_a_rollout_that_had_ended_before_opens_on_its_logs(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    recorded.print("web-5", "the reason why")
    finish(recorded)
    screen = RolloutScreen(recorded.directory, None)
    app = Stage(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "the reason why", "partly done")
        assert app.screen is screen
        await press(pilot, "v")
        await shows(app, "Not ok: 1 target")
    recorded.close()


async def test_a_lost_engine_is_said_across_the_screen_with_what_to_do(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    wire = Wire()
    app = Stage(RolloutScreen(recorded.directory, wire))
    async with app.run_test(size=(120, 24)):
        await shows(app, "GATE")
        wire.gone = "the engine is gone: signal 9"
        await shows(
            app, "the engine is gone: signal 9", "canary-tui resume", "locked: the engine is silent", "engine gone"
        )
    recorded.close()


async def test_an_engine_that_gives_up_without_ending_the_journal_says_why(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).start()
    async with waiting(recorded, (120, 24)) as (app, _, wire, _gate):
        await shows(app, "wave 1 of 2")
        wire.say(Ended(1, "the disk is full"))
        await shows(app, "the disk is full; resume it with: canary-tui resume 2026-11-23T101500Z-shop-7f3a")


async def test_a_journal_that_cannot_be_believed_is_said_and_nothing_more_is_taken(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    app = Stage(RolloutScreen(recorded.directory, Wire()))
    async with app.run_test(size=(80, 24)):
        await shows(app, "GATE")
        os.truncate(recorded.directory / "journal.jsonl", 100)
        await until(lambda: "GATE" not in screen_text(app))
        await shows(app, "the journal became shorter")
    recorded.close()


async def test_a_paused_rollout_that_an_engine_goes_on_with_shows_its_gate_and_not_the_end_of_the_last_engine(
    tmp_path: Path,
) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    recorded.add(e.EngineStopped("waiting"))
    async with waiting(recorded, (100, 30)) as (app, _, _wire, _gate):
        recorded.print("web-1", "a late line")
        await shows(app, "a late line")
        recorded.add(e.EngineResumed(BY, True))
        await shows(app, "GATE canary", "A Approve")


async def test_who_types_a_search_when_it_ends_goes_on_typing_and_is_told_in_one_line(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    recorded.print("web-5", "the reason why")
    async with waiting(recorded, (80, 30)) as (app, pilot, _, _gate):
        await shows(app, "the reason why")
        await press(pilot, "slash")
        await type_text(pilot, "rea")
        finish(recorded)
        await shows(app, "PARTLY DONE: 5 of 6 targets", "v shows the result")
        assert len([row for row in screen_lines(app) if "PARTLY DONE" in row and row.endswith("result")]) == 1
        await type_text(pilot, "son v")
        assert app.screen.query_one(QueryField).value == "reason v"
        await press(pilot, "enter", "v")
        await shows(app, "Not ok: 1 target", "exit code 5")
        await press(pilot, "escape")
        await shows(app, "the reason why", "v Result")
        await until(lambda: "v shows the result" not in screen_text(app))


async def test_who_reads_back_in_a_log_when_it_ends_reads_on_and_shows_the_result_by_its_key(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    recorded.print("web-5", *(f"line {number}" for number in range(200)))
    async with waiting(recorded, (80, 30)) as (app, pilot, _, _gate):
        await shows(app, "line 199")
        await press(pilot, "tab", "g")
        await shows(app, "PAUSED", "line 0")
        recorded.add(e.StopRequested("starting", BY))
        recorded.add(e.EngineStopped("interrupted"))
        await shows(app, "PAUSED: it was stopped by the operator", "v shows the result", "line 0")
        await press(pilot, "j", "j")
        assert isinstance(app.screen, RolloutScreen)
        await press(pilot, "v")
        await shows(app, "exit code 130", "canary-tui resume")


async def test_a_result_that_was_kept_back_is_not_offered_once_an_engine_goes_on(tmp_path: Path) -> None:
    recorded = finished(tmp_path)
    async with waiting(recorded, (80, 30)) as (app, pilot, _, _gate):
        await shows(app, "wave 2 of 2")
        await press(pilot, "ampersand")
        recorded.add(e.EngineStopped("waiting"))
        await shows(app, "PAUSED: it waits", "v shows the result")
        recorded.add(e.EngineResumed(BY, True))
        await until(lambda: "v shows the result" not in screen_text(app))
        await press(pilot, "escape")
        finish(recorded)
        await shows(app, "Not ok: 1 target")


@pytest.mark.found("M7")
async def test_a_skipped_step_is_told_with_its_person_and_reason_and_is_no_plain_ok(tmp_path: Path) -> None:
    """The list, the counts and the result say `ok, unpack skipped` in amber, by whom and why; nowhere is it just ok."""
    recorded = finished(tmp_path)
    recorded.add(e.FailureTreated(("web-5",), "skip", BY, "I know"))
    recorded.begin("web-5")
    recorded.end("web-5")
    async with waiting(recorded, (130, 40)) as (app, _, _wire, _gate):
        await shows(app, "* web-5  ok, unpack skipped", "5 + ok", "1 * step skipped")
        finish(recorded)
        await shows(app, "Ok by a person's word: 1 target", "* web-5", "unpack skipped by maria@laptop: I know")
        [row] = [row for row in screen_lines(app) if row.strip().startswith("ok  ")]
        assert row.split() == ["ok", "5", "web-[1-4,6]"]
        assert "Not ok" not in screen_text(app)


def test_a_skipped_step_has_a_tone_of_attention() -> None:
    """The list and the panels draw it in the tone of what a person should look at, not in that of ok."""
    assert "waived" in TONES
    assert panel._TONE_COLOURS["waived"] == panel._TONE_COLOURS["unknown"] != panel._TONE_COLOURS["ok"]
