"""A decision looks at the targets that are at work and those that come next, never at the whole fleet."""

from __future__ import annotations

from _collections_abc import dict_items, dict_values

import pytest

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Limits, Ssh
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import Outcome

FLEET, PARALLEL = 2000, 20
NAMES = tuple(f"web-{number}" for number in range(FLEET))


class Counted(dict[str, TargetState]):
    """Counts how many targets are looked at."""

    looks = 0

    def __getitem__(self, name: str) -> TargetState:
        self.looks += 1
        return super().__getitem__(name)

    def values(self) -> dict_values[str, TargetState]:
        self.looks += len(self)
        return super().values()

    def items(self) -> dict_items[str, TargetState]:
        self.looks += len(self)
        return super().items()


@pytest.fixture
def rollout() -> tuple[Plan, RolloutState]:
    plan = Plan(
        "shop", "2", "", {name: PlannedTarget(name, name, Ssh(), steps=(0,)) for name in NAMES},
        (PlannedWave("all", NAMES, PARALLEL),), (RunStep(run="true"),), limits=Limits(failures=Share("50%")),
    )  # fmt: skip
    state = RolloutState()
    record(state, e.RolloutStarted("r", plan, e.Operator("ann", "here"), True, "0"))
    for name in NAMES:
        record(state, e.ProbeStarted(name))
        record(state, e.TargetProbed(name, "ok", "boot", "1"))
    record(state, e.WaveStarted(0))
    return plan, state


def record(state: RolloutState, event: e.Event) -> None:
    apply(state, e.Record(state.seq + 1, float(state.seq + 1), event))


def start_what_is_due(plan: Plan, state: RolloutState) -> None:
    for action in next_actions(plan, state):
        if isinstance(action, effects.StartStep):
            record(state, e.StepStarted(action.target, "steps", 0, 1, action.target))


@pytest.mark.parametrize("bad", [0, FLEET // 3], ids=["all well", "a third has failed"])
def test_a_decision_does_not_walk_the_fleet(rollout: tuple[Plan, RolloutState], bad: int) -> None:
    plan, state = rollout
    for number in range(FLEET // 2):
        start_what_is_due(plan, state)
        outcome: Outcome = "failed" if number < bad else "ok"
        record(state, e.StepFinished(NAMES[number], NAMES[number], outcome, 1 if number < bad else 0))
    state.targets = counted = Counted(state.targets)
    assert len(next_actions(plan, state)) == 1
    assert counted.looks < 5 * PARALLEL
