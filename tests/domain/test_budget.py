"""The failure budget, against plain arithmetic, for every outcome of every target of fleets of up to six."""

from __future__ import annotations

import itertools

import pytest

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Limits, Ssh
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.failures import blocked
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Outcome

ME = e.Operator("ann", "here")


def stops(outcomes: tuple[str, ...], failures: str, consecutive: int | None) -> bool:
    """The rule, as an operator would work it out on paper; the targets ended in this order."""
    bad = [outcome != "ok" for outcome in outcomes]
    allowed = len(bad) * int(failures[:-1]) // 100 if failures.endswith("%") else int(failures)
    row = 0
    for one in bad:
        row = row + 1 if one else 0
    too_many_in_a_row = consecutive is not None and row > consecutive
    return sum(bad) > allowed or too_many_in_a_row or "unknown" in outcomes


def rollout(count: int, limits: Limits) -> tuple[Plan, RolloutState]:
    names = tuple(f"web-{number}" for number in range(count))
    targets = {name: PlannedTarget(name, name, Ssh(), steps=(0,)) for name in names}
    plan = Plan("shop", "2", "", targets, (PlannedWave("all", names, count),), (RunStep(run="true"),), limits=limits)
    state = RolloutState()
    events: list[e.Event] = [e.RolloutStarted("r", plan, ME, attended=True, version="0")]
    for name in names:
        events += [e.ProbeStarted(name), e.TargetProbed(name, "ok", "boot", "1")]
    events.append(e.WaveStarted(0))
    events += [e.StepStarted(name, "steps", 0, 1, name) for name in names]
    for event in events:
        record(state, event)
    return plan, state


def record(state: RolloutState, event: e.Event) -> None:
    apply(state, e.Record(state.seq + 1, state.at + 1, event))


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize(("failures", "consecutive"), [("0", None), ("1", None), ("34%", None), ("6", 1), ("2", 0)])
def test_the_budget_agrees_with_arithmetic_for_every_outcome(
    count: int, failures: str, consecutive: int | None
) -> None:
    kinds: tuple[Outcome, ...] = (
        ("ok", "failed", "unreachable", "unknown") if count < 6 else ("ok", "timed-out", "unreachable")
    )
    for outcomes in itertools.product(kinds, repeat=count):
        plan, state = rollout(count, Limits(failures=Share(failures), consecutive=consecutive))
        for number, outcome in enumerate(outcomes):
            record(state, e.StepFinished(f"web-{number}", f"web-{number}", outcome))
        sentence = blocked(plan, state)
        assert bool(sentence) == stops(outcomes, failures, consecutive), (outcomes, sentence)
