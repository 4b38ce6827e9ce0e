"""Rolling back over real servers: exactly what changed, each to what it had, and the table is the targets' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, folded, only_rollout, plan_of
from links import write_config
from marks import DEPLOY, ROLLBACK, another_host_key, fleet_file, untouched, with_mark

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Outcome
from canary_tui.engine.messages import Refused

THREE_WAVES = """
[[waves]]
name = "canary"
targets = "web-1"
[waves.gate]
[[waves]]
name = "half"
targets = "web-2 | web-3"
[waves.gate]
[[waves]]
name = "rest"
"""


def rolled_back(state: RolloutState, target: str) -> Outcome | None:
    """How a target's rollback ended."""
    rollback = state.targets[target].rollback
    return rollback.outcome if rollback else None


async def at_the_second_gate(front: Front, plan: Plan) -> None:
    await front.start(plan)
    await front.event(e.GateOpened)
    await front.approve()
    await front.event(e.GateOpened, 2)


@pytest.mark.criterion("H1", "H3")
async def test_exactly_what_changed_goes_back_to_what_it_had_newest_first(any_farm: Farm, state: Path) -> None:
    (any_farm.targets[1].home / "REVISION").write_text("0.9\n")
    async with Front(state) as front:
        await at_the_second_gate(front, plan_of(fleet_file(any_farm, DEPLOY + ROLLBACK + THREE_WAVES)))
        assert with_mark(any_farm) == {"web-1", "web-2", "web-3"}
        await front.abort("no good", rollback=True)
        ended = await front.ended()
        assert ended.exit_code == 3
        assert "3 of 3 changed targets rolled back" in ended.message
        [begun] = front.events(e.RollbackStarted)
        read_back = {event.target: event.release for event in front.events(e.ReleaseRead)}
    one, two, three, *untouched_ones = any_farm.targets
    assert [target.read("back").strip() for target in (one, two, three)] == ["1.0", "0.9", "1.0"]
    assert {name: value + "\n" for name, value in read_back.items()} == {
        target.name: target.read("REVISION") for target in (one, two, three)
    }
    assert read_back == {"web-1": "1.0", "web-2": "0.9", "web-3": "1.0"}
    at = [float(target.read("back-at")) for target in (one, two, three)]
    assert at[0] > max(at[1:]), "the newest wave first"
    assert begun.targets[-1] == "web-1"
    assert untouched(untouched_ones)


async def test_a_rollback_step_knows_both_releases(farm: Farm, state: Path) -> None:
    """H1: RELEASE is what the target goes back to."""
    body = DEPLOY + '[[rollback]]\nrun = "echo $PREVIOUS to $RELEASE > told"\n'
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
        await front.event(e.GateOpened)
        await front.abort("no", rollback=True)
        await front.ended()
    assert farm.targets[0].read("told") == "2.0 to 1.0\n"


@pytest.mark.criterion("H2")
async def test_a_target_without_a_former_release_is_named_and_not_guessed(any_farm: Farm, state: Path) -> None:
    (any_farm.targets[1].home / "REVISION").unlink()
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(any_farm, DEPLOY + ROLLBACK), canaries=("web-1", "web-2")))
        await front.event(e.GateOpened)
        await front.abort("no", rollback=True)
        ended = await front.ended()
        assert front.events(e.RollbackStarted)[0].unnamed == ("web-2",)
        assert "1 of 2 changed targets rolled back; not: web-2" in ended.message
        assert front.state.verdict == "aborted"
    assert with_mark(any_farm, "back") == {"web-1"}
    assert any_farm.targets[1].read("REVISION") == "2.0\n"


@pytest.mark.criterion("H2")
async def test_an_unreachable_target_does_not_fail_the_rollback_of_the_others(
    any_farm: Farm, state: Path, tmp_path: Path
) -> None:
    """L6: between the deploying and the rollback the server of web-2 shows another host key."""
    two, known = any_farm.targets[1], tmp_path / "known_hosts"
    known.write_text(any_farm.known_hosts.read_text())
    config = write_config(any_farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {known}")
    fleet = fleet_file(any_farm, DEPLOY + ROLLBACK)
    fleet.write_text(fleet.read_text().replace(str(any_farm.ssh_config), str(config)))
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1", "web-2", "web-3")))
        await front.event(e.GateOpened)
        entry = f"[{two.address}]:{any_farm.port} "
        assert entry in known.read_text()
        known.write_text(known.read_text().replace(entry + any_farm.host_key(two), entry + another_host_key(tmp_path)))
        assert two.kill_sessions() == 1
        await front.abort("no", rollback=True)
        ended = await front.ended()
        assert ended.exit_code == 3
        assert "2 of 3 changed targets rolled back; not: web-2" in ended.message
        assert rolled_back(front.state, "web-2") == "unreachable"
    assert with_mark(any_farm, "back") == {"web-1", "web-3"}
    assert untouched(any_farm.targets[3:])


@pytest.mark.criterion("H1", "H2")
async def test_a_rollback_that_fails_on_one_goes_on_with_the_others(any_farm: Farm, state: Path) -> None:
    body = DEPLOY + ROLLBACK.replace('run = "', 'run = "[ ! -e stuck ] || exit 9; ')
    (any_farm.targets[0].home / "stuck").touch()
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(any_farm, body), canaries=("web-1", "web-2")))
        await front.event(e.GateOpened)
        await front.abort("no", rollback=True)
        ended = await front.ended()
        assert "1 of 2 changed targets rolled back; not: web-1" in ended.message
        rollback = front.state.targets["web-1"].rollback
        assert rollback is not None
        assert rollback.exit_code == 9
    assert with_mark(any_farm, "back") == {"web-2"}
    assert folded(state).targets["web-1"].reported == "2.0"


async def test_without_rollback_steps_an_abort_cannot_ask_for_one(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, DEPLOY), canaries=("web-1",)))
        await front.event(e.GateOpened)
        await front.abort("no", rollback=True)
        assert "no [[rollback]] steps" in (await front.notice(Refused)).reason
        assert front.poll().aborted == "none"
    assert with_mark(farm) == {"web-1"}


async def test_a_rollback_goes_on_after_a_kill(farm: Farm, state: Path) -> None:
    """H1, A6: what is rolled back already is not rolled back again."""
    body = DEPLOY + ROLLBACK.replace('> REVISION"', '> REVISION; [ -e go ] || until [ -e late ]; do sleep 0.1; done"')
    (farm.targets[0].home / "go").touch()
    async with Front(state) as front:
        await at_the_second_gate(front, plan_of(fleet_file(farm, body + THREE_WAVES)))
        (farm.targets[2].home / "go").touch()
        await front.abort("no", rollback=True)
        await front.until(lambda state: state.targets["web-3"].rollback and farm.targets[1].read("back"))
        await front.until(lambda state: rolled_back(state, "web-3") == "ok")
        front.process.kill()
        await front.exited()
    (farm.targets[1].home / "late").touch()
    async with Front(state) as front:
        await front.resume(only_rollout(state))
        assert (await front.ended()).exit_code == 3
        assert front.state.verdict == "rolled-back"
    assert {target.name: target.read("back").split() for target in farm.targets} == {
        "web-1": ["1.0"], "web-2": ["1.0"], "web-3": ["1.0"], "web-4": [],
    }  # fmt: skip
