"""Sitting down at a rollout that another engine works on: handed over, or read only until that one has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from farm import Farm
from fronts import ANN, Front, canary_tui, folded, headless, only_rollout, plan_of, told, until
from marks import DEPLOY, HOLD, fleet_file, let_go, times
from on_screen import Terminal

from canary_tui.domain.rollout import events as e
from canary_tui.engine.messages import Busy, Opened, Refused, Resume, Start, WithdrawResume
from canary_tui.store.history import history
from canary_tui.store.lock import held_by

LOCAL = """
[[steps]]
name = "here"
local = "until [ -e {go} ]; do sleep 0.05; done"
timeout = "60s"
[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed"
"""


@pytest.mark.found("M4")
async def test_an_engine_whose_screen_is_gone_hands_a_running_step_over(farm: Farm, state: Path) -> None:
    """A resume beside an engine without a screen sits down at once; the step that runs is neither cut nor repeated."""
    fleet = fleet_file(farm, HOLD)
    async with Front(state) as front, Front(state) as other:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await until(lambda: farm.targets[0].read("pid"))
        front.hang_up()
        await other.send(Resume(str(only_rollout(state).path), ANN))
        await other.notice(Opened)
        assert (farm.targets[0].home / "go").exists() is False, "the step still runs"
        [one] = history(state)
        assert one.engine is not None
        let_go(farm)
        other.directory = only_rollout(state)
        await until(lambda: told(state, e.GateOpened))
        assert folded(state).targets["web-1"].steps.outcome == "ok"
        assert times(farm)["web-1"] == 1
        assert [event.reason for event in told(state, e.EngineStopped)] == ["detached"]


@pytest.mark.found("M4")
async def test_while_somebody_sits_at_a_rollout_another_screen_waits_and_then_takes_over(
    farm: Farm, state: Path
) -> None:
    """Nobody is pushed away from the screens: whoever resumes is told who sits there, and follows when that ends."""
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front, Front(state) as other, Front(state) as third:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        resume = Resume(str(only_rollout(state).path), e.Operator("bob", "desk"))
        await other.send(resume)
        assert (await other.notice(Busy)).who == "ann@desk"
        await third.send(resume)
        await third.notice(Busy)
        await third.send(WithdrawResume())
        await asyncio.sleep(0.5)  # nothing happens: that is what is looked at
        assert not any(isinstance(one, Opened | Refused) for one in other.notices)
        assert not told(state, e.FrontLost)
        front.hang_up()
        await other.notice(Opened)
        await until(lambda: told(state, e.EngineResumed))
        assert [event.by.user for event in told(state, e.EngineResumed)] == ["bob"]
        await asyncio.sleep(0.5)
        assert not any(isinstance(one, Opened | Refused) for one in third.notices), "it gave up"


@pytest.mark.found("M4")
async def test_a_step_that_only_its_engine_can_see_to_its_end_is_not_handed_over(
    farm: Farm, state: Path, tmp_path: Path
) -> None:
    """A local command dies with its engine, so the other one waits for its end."""
    go = tmp_path / "go-here"
    fleet = fleet_file(farm, LOCAL.format(go=go))
    async with Front(state) as front, Front(state) as other:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.StepStarted)
        front.hang_up()
        await until(lambda: told(state, e.FrontLost))
        await other.send(Resume(str(only_rollout(state).path), ANN))
        await other.notice(Busy)
        await asyncio.sleep(0.6)
        assert not told(state, e.EngineStopped)
        go.touch()
        await other.notice(Opened)
        await until(lambda: told(state, e.GateOpened))
        assert folded(state).targets["web-1"].steps.outcome == "ok"


@pytest.mark.found("M4")
async def test_the_screens_are_read_only_until_the_engine_has_ended_and_then_steer(farm: Farm, state: Path) -> None:
    """A screen without control says so in its header, answers no acting key, and gets the control by itself."""
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        rollout = only_rollout(state).id
        with Terminal(state, "resume", rollout) as screen:
            await asyncio.to_thread(screen.shows, "READ ONLY · ann@desk sits at its screens")
            assert "T Shell" not in screen.text
            await asyncio.to_thread(screen.press, "X")
            await asyncio.to_thread(screen.shows, "Read only: ann@desk sits")
            front.hang_up()
            await asyncio.to_thread(screen.shows, "A Approve", "engine ok", "T Shell")
    assert not told(state, e.StopRequested)


@pytest.mark.found("M4")
async def test_a_screen_that_only_watches_says_who_sits_at_the_rollout_and_how_to_steer_it(
    farm: Farm, state: Path
) -> None:
    """`watch` tells a rollout that somebody steers from one without an engine, and its acting keys say what to do."""
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        with Terminal(state, "watch") as screen:
            await asyncio.to_thread(screen.shows, "READ ONLY · ann@desk sits at its screens")
            front.process.kill()
            await asyncio.to_thread(screen.shows, "READ ONLY · no engine is at work")
            await asyncio.to_thread(screen.press, "A")
            await asyncio.to_thread(screen.shows, "Read only: no engine is at work")
            assert "T Shell" not in screen.text


@pytest.mark.found("M3")
def test_the_list_of_open_rollouts_marks_those_on_which_an_engine_works(farm: Farm, state: Path) -> None:
    """`history` and the list of open rollouts tell a rollout at work from one whose engine was killed."""
    fleet = fleet_file(farm, DEPLOY)
    assert headless(state, fleet, "--canary", "web-1").code == 4
    assert "open, at a gate" in canary_tui(state, "history").out
    [one] = history(state)
    assert one.engine is None
    assert held_by(only_rollout(state).lock) is None


@pytest.mark.found("M5")
async def test_a_new_rollout_names_the_interrupted_one_before_anything_is_connected(farm: Farm, state: Path) -> None:
    """Where an open rollout of ours holds targets, `run` refuses at once with the command that resumes it."""
    fleet = fleet_file(farm, DEPLOY)
    assert headless(state, fleet, "--canary", "web-1").code == 4
    first = only_rollout(state).id
    asked = [len(target.commands()) for target in farm.targets]
    ran = headless(state, fleet, "--canary", "web-2", release="2.1")
    assert ran.code == 7
    assert f"resume it with: canary-tui --state-dir {state} resume {first}" in ran.err
    assert f"--break-lock {first}" in ran.err
    assert "2.0 of" in ran.err
    async with Front(state) as front:
        await front.send(Start(plan_of(fleet, canaries=("web-2",)), ANN))
        assert first in (await front.notice(Refused)).reason
    assert [len(target.commands()) for target in farm.targets] == asked, "nothing was connected to"
    assert only_rollout(state).id == first, "and nothing begun"
    assert headless(state, fleet, "--canary", "web-2", "--break-lock", first, release="2.1").code == 4
