from __future__ import annotations

import time
from pathlib import Path

import pytest
from driving import nothing_is_read_yet, press, screen_text, shows, type_text, until
from recorded import BY, Recorded, Wire, make_plan
from test_gate_panel import readable, waiting

from canary_tui.domain.rollout import events as e
from canary_tui.tui.rollout.abort_panel import AbortPanel
from canary_tui.tui.rollout.stop_panel import StopPanel


def at_work(tmp_path: Path) -> Recorded:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    for name in ("web-1", "web-2", "web-3"):
        recorded.begin(name)
    return recorded


def stages(wire: Wire) -> list[str]:
    """What was asked of the engine: the stages of stopping, and "go on"."""
    found: list[str] = []
    for one in wire.decided:
        assert isinstance(one, e.StopRequested | e.StopWithdrawn)
        found.append(one.stage if isinstance(one, e.StopRequested) else "go on")
    return found


@pytest.mark.parametrize("key", ["ctrl+c", "X"])
@pytest.mark.parametrize("way_out", ["enter", "escape"])
async def test_asking_holds_the_rollout_until_it_is_to_keep_going(tmp_path: Path, key: str, way_out: str) -> None:
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, key)
        await shows(app, "STOP? telling the engine", "> Continue", "3 steps running", "web-1: unpack")
        assert stages(wire) == ["asking"]
        recorded.add(e.StopRequested("asking", BY))
        await shows(app, "STOP? nothing new starts until you choose", "STOPPING? · shop 1.4.2")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, way_out)
        await until(lambda: "STOP?" not in screen_text(app))
        assert stages(wire) == ["asking", "go on"]
        recorded.add(e.StopWithdrawn(BY))
        await until(lambda: "STOPPING?" not in screen_text(app))


async def test_only_what_is_chosen_has_the_sign_of_the_choice(tmp_path: Path) -> None:
    async with waiting(at_work(tmp_path)) as (app, pilot, _wire, _):
        await press(pilot, "ctrl+c")
        await shows(app, "STOP?", "3 steps running")
        below = screen_text(app).partition("STOP?")[2]
        assert [row.strip() for row in below.splitlines() if row.strip().startswith(">")] == [
            "> Continue         start what was held back; nothing is stopped"
        ]


async def test_keep_going_withdraws_a_hold_that_the_journal_does_not_show_yet(tmp_path: Path) -> None:
    async with waiting(at_work(tmp_path)) as (_, pilot, wire, _):
        await press(pilot, "ctrl+c", "escape", "ctrl+c", "escape")
        assert stages(wire) == ["asking", "go on", "asking", "go on"]


async def test_stop_starting_can_be_withdrawn(tmp_path: Path) -> None:
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        recorded.add(e.StopRequested("asking", BY))
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "down", "enter")
        await until(lambda: stages(wire) == ["asking", "starting"])
        recorded.add(e.StopRequested("starting", BY))
        await shows(app, "STOPPING: nothing new starts")
        await press(pilot, "enter")
        await until(lambda: stages(wire) == ["asking", "starting", "go on"])


async def test_leaving_the_question_leaves_a_stop_that_was_chosen(tmp_path: Path) -> None:
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        recorded.add(e.StopRequested("starting", BY))
        await shows(app, "STOPPING · shop")
        await press(pilot, "ctrl+c")
        await shows(app, "STOPPING: nothing new starts")
        await press(pilot, "escape")
        await until(lambda: not app.screen.query_one(StopPanel).display)
        assert wire.sent == []


async def test_a_second_ctrl_c_stops_what_runs_and_each_target_says_what_it_showed(tmp_path: Path) -> None:
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        pressed = time.monotonic()
        await readable(app.screen.query_one(StopPanel))
        await until(lambda: time.monotonic() > pressed + 1.0)
        await press(pilot, "ctrl+c")
        await until(lambda: stages(wire) == ["asking", "running"])
        recorded.add(e.StopRequested("running", BY))
        executions = {}
        for name in ("web-1", "web-2", "web-3"):
            running = recorded.state.targets[name].running
            assert running is not None
            executions[name] = running.execution
            recorded.add(e.CancelStarted(name, running.execution))
        await shows(app, "STOPPING running steps", "3 steps still running", "is being stopped")
        recorded.add(e.CancelFinished("web-1", executions["web-1"], True, "its processes are gone"))
        recorded.end("web-1", "cancelled", None)
        recorded.add(e.CancelFinished("web-2", executions["web-2"], False, "no answer in 10 s"))
        recorded.end("web-2", "unknown", None)
        await shows(
            app,
            "+ web-1 stopped (its processes are gone)",
            "? web-2 unconfirmed: no answer in 10 s",
            "web-3: unpack",
        )
        recorded.add(e.CancelFinished("web-3", executions["web-3"], True, "its processes are gone"))
        recorded.end("web-3", "cancelled", None)
        recorded.add(e.EngineStopped("interrupted"))
        await shows(
            app, "PAUSED", "stop of web-2 unconfirmed: no answer in 10 s", "stopped: web-[1,3] (its processes are gone)"
        )


async def test_ctrl_c_twice_in_a_hurry_only_asks(tmp_path: Path) -> None:
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c", "ctrl+c")
        await shows(app, "STOP?", "press ctrl+c again to stop running steps")
        assert stages(wire) == ["asking"]


async def test_a_ctrl_c_that_is_held_down_only_asks(tmp_path: Path) -> None:
    """Fault 3."""
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        until_then = time.monotonic() + 2.5
        while time.monotonic() < until_then:
            await press(pilot, "ctrl+c")
        await shows(app, "press ctrl+c again to stop running steps")
        assert stages(wire) == ["asking"]


async def test_enter_typed_before_the_question_could_be_read_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        with nothing_is_read_yet(monkeypatch):
            await press(pilot, "ctrl+c", "down", "enter")
            await shows(app, "STOP?")
            assert stages(wire) == ["asking"]


async def test_abort_from_the_stop_panel_says_which_steps_are_stopped(tmp_path: Path) -> None:
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "X")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "down", "down", "down", "enter")
        await shows(app, "ABORT shop", "3 steps that run now: web-1 unpack, web-2 unpack, web-3 unpack")
        await type_text(pilot, "wrong release")
        await press(pilot, "enter")
        await readable(app.screen.query_one("#abort", AbortPanel))
        await press(pilot, "K")
        await until(lambda: len(wire.decided) == 2)
        held, aborted = wire.decided
        assert held == e.StopRequested("asking", held.by)
        assert isinstance(aborted, e.Aborted), "the abort is the answer: nothing is to be withdrawn"
        assert not aborted.rollback


@pytest.mark.parametrize("keys", [["escape"], ["w", "h", "y", "enter", "escape"]], ids=["in the note", "after it"])
async def test_a_hold_lasts_while_an_abort_is_thought_about_and_ends_when_it_is_not_made(
    tmp_path: Path, keys: list[str]
) -> None:
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        recorded.add(e.StopRequested("asking", BY))
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "up", "down", "down", "down", "enter")
        await shows(app, "ABORT shop", "STOPPING?")
        assert stages(wire) == ["asking"]
        await press(pilot, *keys)
        await until(lambda: "ABORT" not in screen_text(app))
        await until(lambda: stages(wire) == ["asking", "go on"])
