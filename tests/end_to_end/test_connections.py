"""How often a target is logged in to, and how long the connection stays, seen from the servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, plan_of, until
from marks import fleet_file, let_go, names, operations, waves, with_mark

from canary_tui.domain.rollout import events as e

STEPS = """
[release]
current = "cat REVISION"
[[steps]]
name = "first"
run = "echo $RELEASE > REVISION"
[[steps]]
name = "plain"
run = "true"
durable = false
[[steps]]
name = "second"
run = "echo x > begun; [ $WAVE != rest ] || until [ -e go ]; do sleep 0.1; done"
[[rollback]]
name = "back"
run = "echo x > back"
[[rollback]]
name = "back-again"
run = "echo x > back-again"
[[finally]]
name = "tidy"
run = "echo x > tidied"
"""
WAVES = """
[[waves]]
name = "canary"
targets = "web-1"
[waves.gate]
[[waves]]
name = "second"
targets = "web-2"
[[waves]]
name = "rest"
parallel = {count}
"""


def open_now(farm: Farm) -> dict[str, int]:
    """How many connections each target has."""
    return {target.name: len(target.sessions()) for target in farm.targets}


def made(farm: Farm) -> dict[str, int]:
    """How many connections each target has had."""
    return {target.name: len(target.connections()) for target in farm.targets}


def one_each(farm: Farm, **others: int) -> dict[str, int]:
    """One for everybody but these."""
    return {name: others.get(name.replace("-", ""), 1) for name in names(farm)}


async def test_a_target_has_one_connection_for_all_its_steps_which_ends_with_its_wave(
    any_farm: Farm, state: Path
) -> None:
    """A canary's stays until the gate is answered. What the end asks of it, lock and all, is worth one more."""
    canary, *rest = any_farm.targets
    plan = plan_of(fleet_file(any_farm, STEPS + WAVES.format(count=len(rest))))
    async with Front(state) as front:
        await front.start(plan)
        await front.event(e.GateOpened)
        assert open_now(any_farm) == made(any_farm) == one_each(any_farm)
        await front.approve()
        await until(lambda: with_mark(any_farm, "begun") == names(any_farm))
        await until(lambda: open_now(any_farm) == one_each(any_farm, web1=0, web2=0))
        assert "unlock" not in operations(canary), "the lock stays until the rollout ends"
        let_go(any_farm)
        assert (await front.ended()).exit_code == 0
    assert made(any_farm) == one_each(any_farm, web1=2, web2=2)
    assert with_mark(any_farm, "tidied") == names(any_farm)
    assert {target.name: operations(target).count("hello") for target in any_farm.targets} == made(any_farm)
    assert {operations(target)[-1] for target in any_farm.targets} == {"unlock"}
    await until(lambda: not any(open_now(any_farm).values()))


@pytest.mark.parametrize(
    ("approved", "connections"), [pytest.param(False, 1, id="at the gate"), pytest.param(True, 2, id="later")]
)
async def test_a_rollback_takes_the_connection_that_a_canary_has_or_one_more(
    any_farm: Farm, state: Path, approved: bool, connections: int
) -> None:
    canary, second, *_ = any_farm.targets
    plan = plan_of(fleet_file(any_farm, STEPS + waves("web-1", parallel=1)))
    async with Front(state) as front:
        await front.start(plan)
        await front.event(e.GateOpened)
        if approved:
            await front.approve()
            await until(lambda: second.read("begun") and not canary.sessions())
        await front.abort("it is broken", rollback=True)
        assert (await front.ended()).exit_code == 3
    assert with_mark(any_farm, "back-again") == ({"web-1", "web-2"} if approved else {"web-1"})
    assert made(any_farm) == one_each(any_farm, web1=connections)
    assert operations(canary)[-1] == "unlock"
    await until(lambda: not any(open_now(any_farm).values()))
