"""While a person is asked whether to stop, nothing new is started; what runs goes on, and no engine ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm import Farm
from fronts import ANN, Front, canary_tui, folded, plan_of, told
from marks import DEPLOY, HOLD, fleet_file, let_go, names, operations, times, untouched, waves, with_mark
from on_screen import CTRL_C, ENTER, run, start

from canary_tui.domain.rollout import events as e
from canary_tui.engine.messages import Heartbeat

TWO_STEPS = HOLD + '[[steps]]\nname = "after"\nrun = "echo x >> after"\n'


def asked(farm: Farm) -> dict[str, list[str]]:
    """What every server was asked to do so far."""
    return {target.name: operations(target) for target in farm.targets}


@pytest.mark.parametrize("key", [CTRL_C, "X"], ids=["ctrl+c", "X"])
@pytest.mark.criterion("G5", by_keys=True)
def test_from_the_first_ctrl_c_to_continue_nothing_new_reaches_any_server(
    any_farm: Farm, state: Path, key: str
) -> None:
    half = len(any_farm.targets) // 2
    wave = f'[[waves]]\nname = "all"\nparallel = {half}\n'
    with run(state, fleet_file(any_farm, TWO_STEPS + wave)) as screen:
        start(screen)
        screen.shows("X Stop", f"{half} > running")
        screen.until(lambda: len(with_mark(any_farm, "pid")) == half)
        screen.press(key)
        screen.shows("STOP? nothing new starts until you choose", f"{half} > running", "STOPPING?", "> Continue")
        at_work = with_mark(any_farm, "pid")
        let_go(any_farm)
        screen.until(lambda: len(told(state, e.StepFinished)) == half)
        screen.shows("no step runs on any target")
        before = asked(any_farm)
        screen.read()
        assert asked(any_farm) == before
        assert with_mark(any_farm) == at_work
        assert with_mark(any_farm, "after") == set()
        assert untouched([target for target in any_farm.targets if target.name not in at_work])
        assert told(state, e.EngineStopped) == [], "the engine waits for the answer"
        screen.press(ENTER)
        screen.shows("SUCCEEDED")
    assert with_mark(any_farm) == with_mark(any_farm, "after") == names(any_farm)
    assert set(times(any_farm).values()) == {1}


@pytest.mark.criterion("G5", by_keys=True)
def test_the_second_ctrl_c_stops_what_runs_and_starts_nothing(any_farm: Farm, state: Path) -> None:
    with run(state, fleet_file(any_farm, TWO_STEPS + waves("web-1"))) as screen:
        start(screen)
        screen.shows("X Stop", "1 > running")
        screen.until(lambda: with_mark(any_farm, "pid") == {"web-1"})
        screen.press(CTRL_C)
        screen.shows("STOP? nothing new starts until you choose")
        screen.read()
        screen.press(CTRL_C)
        screen.shows("PAUSED")
    assert [one.stage for one in told(state, e.StopRequested)] == ["asking", "running"]
    assert [one.confirmed for one in told(state, e.CancelFinished)] == [True]
    assert with_mark(any_farm, "after") == set()
    assert untouched(any_farm.targets[1:])


async def test_a_front_that_is_lost_while_it_asks_leaves_the_rollout_to_be_resumed(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, TWO_STEPS), canaries=("web-1",)))
        await front.event(e.StepStarted)
        await front.stop("asking")
        await front.event(e.StopRequested)
        front.hang_up()
        await front.event(e.FrontLost)
        let_go(farm)
        assert await front.exited() == 130
    assert folded(state).paused == "detached"
    assert with_mark(farm, "after") == set()
    assert canary_tui(state, "resume", "--headless").code == 4, "what was only asked holds nobody later"
    assert with_mark(farm, "after") == {"web-1"}


async def test_a_gate_expires_while_held_and_what_follows_from_it_waits(farm: Farm, state: Path) -> None:
    """F7: nobody gets more time for an approval by asking whether to stop, and nothing is started meanwhile."""
    clean = '[[finally]]\nname = "tidy"\nrun = "echo x >> cleaned"\n'
    gate = waves("web-1", gate='expires = "2s"\non-expire = "abort"')
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, DEPLOY + clean + gate)))
        await front.event(e.GateOpened)
        await front.stop("asking")
        await front.event(e.StopRequested)
        await front.approve()
        await front.event(e.GateExpired)
        beats = sum(isinstance(one, Heartbeat) for one in front.notices)
        await front.notice(Heartbeat, beats + 2)
        assert front.poll().verdict is None
        assert with_mark(farm, "cleaned") == set()
        await front.decide(e.StopWithdrawn(ANN))
        assert (await front.ended()).exit_code == 6
        assert front.events(e.GateApproved) == []
    assert with_mark(farm, "cleaned") == {"web-1"}
    assert untouched(farm.targets[1:])
