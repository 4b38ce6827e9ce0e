"""The sliding window of targets at work: which step comes next on which target, and what is still under way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action, StartStep
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState

_OF_PHASE: dict[Phase, tuple[Group, Group]] = {
    "rollback": ("rolling back", "rollback begun"),
    "finally": ("in finally", "finally begun"),
}
"""For each phase but the first, the group of those that have not ended, and of those among them that have begun."""


def next_step(plan: Plan, target: TargetState, phase: Phase) -> StartStep:
    """The start of the step at which a target is in a phase."""
    track = target.track(phase)
    return StartStep(target.name, phase, applicable(plan, target.name, phase)[track.position], track.attempts + 1)


def deploying_steps(plan: Plan, state: RolloutState, parallel: int) -> Iterator[Action]:
    """The steps that a wave starts now: a target keeps its place from its first step to its last."""
    for target in state.in_group("in window"):
        if target.running is None:
            yield next_step(plan, target, "steps")
    places = parallel - state.index.count("in window")
    for name in state.index.among("unfinished", 0, state.wave):
        target = state.targets[name]
        if places <= 0:
            return
        if target.in_window or target.running is not None or target.probe != "ok":
            continue
        if reason := _needless(plan, target):
            yield e.TargetSkipped(target.name, reason)
            continue
        places -= 1
        yield next_step(plan, target, "steps")


def _needless(plan: Plan, target: TargetState) -> str:
    if not applicable(plan, target.name, "steps"):
        return "no step is for its roles"
    return f"already on {plan.release}" if _has_it_already(plan, target) else ""


def _has_it_already(plan: Plan, target: TargetState) -> bool:
    return target.previous == plan.release and not plan.redeploy and not target.changed


def nothing_to_do(plan: Plan, state: RolloutState) -> bool:
    """Whether every target of every wave was reached, and said that it is on the release already."""
    return all(target.probe == "ok" and _has_it_already(plan, target) for target in state.targets.values())


def skip_all(plan: Plan, state: RolloutState) -> list[Action]:
    """The skipping of every target that is not skipped yet, where there is nothing to do."""
    return [e.TargetSkipped(name, f"already on {plan.release}") for name in state.index.among("unfinished")]


def other_steps(
    plan: Plan, state: RolloutState, phase: Phase, first_wave: int, last_wave: int, parallel: int
) -> Iterator[Action]:
    """The steps that start now in a phase that needs no place in a wave."""
    waiting, begun = _OF_PHASE[phase]
    at_work = list(state.index.among(begun, first_wave, last_wave))
    for name in at_work:
        if state.targets[name].running is None:
            yield next_step(plan, state.targets[name], phase)
    fresh = (name for name in state.index.among(waiting, first_wave, last_wave) if name not in at_work)
    for name in islice(fresh, max(parallel - len(at_work), 0)):
        yield next_step(plan, state.targets[name], phase)


def busy(state: RolloutState) -> bool:
    """Whether a step or a probe is under way."""
    return state.index.count("running") + state.index.count("probing") > 0


def to_cancel(state: RolloutState) -> list[str]:
    """The targets whose step was not asked to stop yet."""
    running = ((target.name, target.running) for target in state.in_group("running"))
    return [name for name, one in running if one is not None and not one.cancelling]
