from __future__ import annotations

from driving import press, screen_text, shows, type_text, until
from recorded import BY, Recorded, make_plan
from test_gate_panel import readable, waiting

from canary_tui.domain import events as e
from canary_tui.tui.widgets.stop_panel import StopPanel


def at_work(tmp_path) -> Recorded:
    recorded = Recorded(tmp_path / "r", make_plan(6, 3)).start()
    for name in ("web-1", "web-2", "web-3"):
        recorded.begin(name)
    return recorded


async def test_ctrl_c_asks_with_keep_going_chosen_and_sends_nothing(tmp_path):
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        await shows(app, "STOP? nothing is stopped yet", "> Keep going", "3 steps running", "web-1: unpack")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "enter")
        await until(lambda: "STOP?" not in screen_text(app))
        assert wire.sent == []


async def test_stop_starting_can_be_withdrawn(tmp_path):
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "down", "enter")
        await until(lambda: wire.sent)
        assert isinstance(wire.decided[0], e.StopRequested)
        assert not wire.decided[0].running
        recorded.add(e.StopRequested(False, BY))
        await shows(app, "STOPPING: nothing new is started")
        await press(pilot, "enter")
        await until(lambda: len(wire.sent) == 2)
        assert isinstance(wire.decided[1], e.StopWithdrawn)


async def test_a_second_ctrl_c_stops_what_runs_and_each_target_says_what_it_showed(tmp_path):
    recorded = at_work(tmp_path)
    async with waiting(recorded) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "ctrl+c")
        await until(lambda: wire.sent)
        assert wire.decided[0].running
        recorded.add(e.StopRequested(True, BY))
        executions = {name: recorded.state.targets[name].running.execution for name in ("web-1", "web-2", "web-3")}
        for name, execution in executions.items():
            recorded.add(e.CancelStarted(name, execution))
        await shows(app, "STOPPING what runs", "3 steps still running", "is being stopped")
        recorded.add(e.CancelFinished("web-1", executions["web-1"], True))
        recorded.end("web-1", "cancelled", None)
        recorded.add(e.CancelFinished("web-2", executions["web-2"], False, "no answer in 10 s"))
        recorded.end("web-2", "unknown", None)
        await shows(
            app,
            "+ web-1 stopped: its processes are gone",
            "? web-2 unconfirmed: no answer in 10 s",
            "web-3: unpack",
        )
        recorded.add(e.CancelFinished("web-3", executions["web-3"], True))
        recorded.end("web-3", "cancelled", None)
        recorded.add(e.EngineStopped("interrupted"))
        await shows(app, "PAUSED", "stop of web-2 unconfirmed: no answer in 10 s", "gone on the target: web-[1,3]")


async def test_ctrl_c_twice_in_a_hurry_only_asks(tmp_path):
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c", "ctrl+c")
        await shows(app, "STOP?")
        assert wire.sent == []


async def test_enter_typed_before_the_question_could_be_read_stops_nothing(tmp_path):
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "ctrl+c", "down", "enter")
        await shows(app, "STOP?")
        assert wire.sent == []


async def test_abort_from_the_stop_panel_says_which_steps_are_stopped(tmp_path):
    async with waiting(at_work(tmp_path)) as (app, pilot, wire, _):
        await press(pilot, "X")
        await readable(app.screen.query_one(StopPanel))
        await press(pilot, "down", "down", "down", "enter")
        await shows(app, "ABORT shop", "3 steps that run now: web-1 unpack, web-2 unpack, web-3 unpack")
        await type_text(pilot, "wrong release")
        await press(pilot, "enter")
        await readable(app.screen.query_one("#abort"))
        await press(pilot, "L")
        await until(lambda: wire.sent)
        assert isinstance(wire.decided[0], e.Aborted)
        assert not wire.decided[0].rollback
