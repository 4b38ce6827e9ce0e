"""A rollout between an engine and its front: lost fronts, targets that come back, connections that are kept."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from farm import Farm
from fronts import ANN, Front, canary_tui, folded, headless, only_rollout, plan_of, told, until
from links import write_config
from marks import DEPLOY, HOLD, fleet_file, let_go, names, times, untouched, with_mark

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.failures import pending_failures
from canary_tui.engine.messages import Answered, Asked, Decide, Heartbeat, Preflight, Preflighted, Refused, Start

TWO_STEPS = HOLD + '[[steps]]\nname = "after"\nrun = "echo x >> after"\n'


# A front that is gone


async def test_without_its_front_an_engine_begins_nothing_and_sees_running_steps_to_their_end(
    farm: Farm, state: Path
) -> None:
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, TWO_STEPS), canaries=("web-1", "web-2")))
        await until(lambda: with_mark(farm, "pid") == {"web-1", "web-2"})
        front.hang_up()
        await front.event(e.FrontLost)
        assert front.process.poll() is None, "it stays while steps run"
        let_go(farm)
        assert await front.exited() == 130
    assert folded(state).paused == "detached"
    assert with_mark(farm, "after") == set()
    assert untouched(farm.targets[2:])
    assert canary_tui(state, "resume", "--headless").code == 4
    assert with_mark(farm, "after") == {"web-1", "web-2"}
    assert set(times(farm).values()) == {0, 1}


async def test_a_person_takes_a_rollout_over_from_a_headless_engine(farm: Farm, state: Path) -> None:
    """F9: what waits without a person goes on with one."""
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1").code == 4
    async with Front(state) as front:
        await front.resume(only_rollout(state))
        await front.until(lambda state: state.attended and state.gate)
        await front.approve("took over")
        assert (await front.ended()).exit_code == 0
    assert set(times(farm).values()) == {1}


async def test_a_decision_for_another_rollout_is_refused(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.send(Decide("2020-01-01T000000Z-shop-0000", e.Aborted(ANN, "no", rollback=False)))
        assert "no rollout is under way" in (await front.notice(Refused)).reason
        await front.start(plan_of(fleet_file(farm, DEPLOY), canaries=("web-1",)))
        await front.event(e.GateOpened)
        await front.send(Decide("2020-01-01T000000Z-shop-0000", e.Aborted(ANN, "no", rollback=False)))
        assert "it is meant for rollout 2020" in (await front.notice(Refused, 2)).reason
        assert front.poll().aborted == "none"


async def test_an_engine_has_one_rollout_at_a_time(farm: Farm, state: Path) -> None:
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        await front.send(Start(plan_of(fleet, canaries=("web-2",)), ANN))
        assert "under way" in (await front.notice(Refused)).reason
    assert with_mark(farm) == {"web-1"}


# Preflight


async def test_preflight_alone_looks_at_everybody_and_leaves_no_rollout(farm: Farm, state: Path) -> None:
    """A8"""
    plan = plan_of(fleet_file(farm, DEPLOY, {"dead": ""}), canaries=("web-1",))
    async with Front(state) as front:
        await front.send(Preflight(plan))
        await front.notice(Preflighted, len(plan.targets))
        found = {one.target: one for one in front.notices if isinstance(one, Preflighted)}
        await front.quit()
        assert await front.exited() == 0
    assert found.keys() == names(farm) | {"dead"}
    assert found["dead"].outcome == "unreachable"
    assert {one.release for name, one in found.items() if name != "dead"} == {"1.0"}
    assert not (state / "rollouts").exists() or list((state / "rollouts").iterdir()) == []
    assert untouched(farm.targets)


@pytest.mark.found("drive 2")
async def test_a_passphrase_that_the_preflight_was_told_is_not_asked_for_at_the_start(
    farm: Farm, state: Path, tmp_path: Path
) -> None:
    """One engine asks for each secret once, and hides it in the logs of the rollout, too."""
    key = tmp_path / "locked"
    shutil.copy(farm.identity, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key], check=True)
    config = write_config(farm, tmp_path / "config")
    config.write_text(config.read_text().replace(str(farm.identity), str(key)))
    fleet = fleet_file(farm, '[[steps]]\nname = "say"\nrun = "echo it is open sesame"\n')
    fleet.write_text(fleet.read_text().replace(str(farm.ssh_config), str(config)))
    plan = plan_of(fleet, canaries=("web-1",))
    async with Front(state) as front:
        await front.send(Preflight(plan))
        await front.send(Answered((await front.notice(Asked)).question, "open sesame"))
        await front.notice(Preflighted, len(plan.targets))
        await front.start(plan)
        await front.event(e.GateOpened)
        assert len([one for one in front.notices if isinstance(one, Asked)]) == 1
    assert "it is [secret]" in (only_rollout(state).logs / "web-1.log").read_text()


async def test_a_preflight_that_a_bug_ends_is_said_to_have_ended_and_the_engine_goes_on(
    farm: Farm, state: Path
) -> None:
    """No fleet file leads to such a plan: its script is missing."""
    script = '[[steps]]\nname = "look"\nscript = "look.sh"\n'
    fleet = fleet_file(farm, script + DEPLOY)
    (fleet.parent / "look.sh").write_text("#!/bin/sh\n")
    plan = plan_of(fleet, canaries=("web-1",))
    async with Front(state) as front:
        await front.send(Preflight(replace(plan, scripts={})))
        refused = await front.notice(Refused)
        assert (refused.command, "a bug ended it" in refused.reason) == ("Preflight", True)
        await front.send(Preflight(plan))
        await front.notice(Preflighted, len(plan.targets))
        await front.quit()
        assert await front.exited() == 0


async def test_a_dead_target_can_be_left_out_before_the_first_change(farm: Farm, state: Path) -> None:
    """A8, G2"""
    plan = plan_of(fleet_file(farm, DEPLOY, {"dead": ""}), canaries=("web-1",))
    async with Front(state) as front:
        await front.start(plan)
        await front.until(lambda state: all(one.probe in ("ok", "failed") for one in state.targets.values()))
        assert pending_failures(plan, front.state) == ("dead",)
        assert untouched(farm.targets)
        await front.treat("skip", "dead", note="down")
        assert "never reached" in (await front.notice(Refused)).reason
        await front.treat("exclude", "dead", note="down")
        await front.event(e.GateOpened)
        await front.approve()
        assert (await front.ended()).exit_code == 5
        assert "not: dead" in front.state.reason
    assert with_mark(farm) == names(farm)


async def test_a_dead_target_that_comes_back_is_looked_at_again(
    tmp_path: Path, state: Path, four_servers: Farm
) -> None:
    """A8, G2: nothing of it was changed meanwhile."""
    with Farm(tmp_path / "farm", 2, net=67) as farm:
        fleet = fleet_file(farm, DEPLOY)
        known = farm.known_hosts.read_text()
        farm.known_hosts.write_text("")
        plan = plan_of(fleet, canaries=("web-1",))
        async with Front(state) as front:
            await front.start(plan)
            await front.until(lambda state: len(pending_failures(plan, state)) == 2)
            farm.known_hosts.write_text(known)
            await front.treat("retry", "web-1", "web-2")
            await front.event(e.GateOpened)
            await front.approve()
            assert (await front.ended()).exit_code == 0
        assert with_mark(farm) == {"web-1", "web-2"}
    assert len(told(state, e.TargetProbed)) == 4


async def test_a_fleet_whose_only_canary_is_left_out_stops(farm: Farm, state: Path) -> None:
    """A4"""
    plan = plan_of(fleet_file(farm, DEPLOY, {"dead": ""}), canaries=("dead",))
    async with Front(state) as front:
        await front.start(plan)
        await front.until(lambda state: pending_failures(plan, state) == ("dead",))
        await front.treat("exclude", "dead", note="down")
        assert (await front.ended()).exit_code == 1
    assert untouched(farm.targets)


async def test_an_engine_tells_that_it_lives(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.notice(Heartbeat, 2)
        await front.start(plan_of(fleet_file(farm, HOLD), canaries=("web-1",)))
        await until(lambda: farm.targets[0].read("pid"))
        beats = [one for one in front.notices if isinstance(one, Heartbeat)]
        await front.notice(Heartbeat, len(beats) + 2)
        let_go(farm)
        await front.event(e.GateOpened)
