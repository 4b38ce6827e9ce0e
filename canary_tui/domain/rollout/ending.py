"""The end of a rollout: why the deploying part ends, and then rolling back, `finally`, the last look, the locks.

    deploying ──(ending)──▶ winding down ──▶ rolling back ──▶ finishing ──▶ finished
                            what runs ends    RollbackStarted   FinallyStarted   RolloutFinished
                                              (only if asked)   release read, lock released, target by target

An unknown outcome is settled, by a person or by the next engine, before anything is rolled back or concluded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from canary_tui.domain.planning.plan import Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action, Cancel, ReadRelease, Unlock
from canary_tui.domain.rollout.failures import blocked, settle_first, settleable
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import can_roll_back
from canary_tui.domain.rollout.verdict import verdict
from canary_tui.domain.rollout.window import busy, next_step, other_steps, to_cancel
from canary_tui.domain.rollout.words import Ending

CLEANING = 8
"""Targets at once in `finally` steps."""
LEAVING = 64
"""Targets at once whose release is read back, and whose lock is released then."""

_UNSEEN: tuple[Group, ...] = ("unprobed", "probing")


def ending(plan: Plan, state: RolloutState) -> Ending | None:
    """Why the deploying part ends before its plan does; None where it goes on."""
    if state.aborted != "none":
        return "aborted"
    if state.gate is not None and state.gate.decision == "expired":
        return "expired"
    if probing(state):
        return None
    if blocked(plan, state):
        asks = state.attended and (plan.limits.on_failure == "ask" or bool(settleable(state)))
        return None if asks else "failed"
    return "failed" if _nothing_proven(plan, state) else None


def probing(state: RolloutState) -> bool:
    """Whether preflight is not through."""
    return state.stage == "preflight" and any(state.index.count(group) for group in _UNSEEN)


def _nothing_proven(plan: Plan, state: RolloutState) -> bool:
    """The wave before a gate is through, and none of its targets ran every step."""
    if state.wave < 0 or plan.waves[state.wave].gate is None or state.gate is not None:
        return False
    if state.index.any("unfinished", state.wave, state.wave):
        return False
    tracks = (state.targets[name].steps for name in plan.waves[state.wave].targets)
    return not any(track.outcome == "ok" and not track.skipped for track in tracks)


def wind_down(plan: Plan, state: RolloutState, why: Ending) -> Sequence[Action]:
    """From the last step that deploys to rolling back, or to `finally`."""
    if busy(state):
        rolling = set(state.index.among("rolling back"))
        deploying = [name for name in to_cancel(state) if name not in rolling]
        return [Cancel(name) for name in deploying] if why == "aborted" else []
    if not state.attended and settleable(state):
        return settle_first(state)
    if _rolls_back(plan, state, why):
        changed = [t for wave in reversed(plan.waves) for t in (state.targets[n] for n in wave.targets) if t.changed]
        able = tuple(target.name for target in changed if can_roll_back(plan, target))
        return [e.RollbackStarted(why, able, tuple(t.name for t in changed if t.name not in able))]
    return [e.FinallyStarted(why, _touched(plan, state))]


def _rolls_back(plan: Plan, state: RolloutState, why: Ending) -> bool:
    if not plan.rollback:
        return False
    gate = plan.waves[state.wave].gate if state.wave >= 0 else None
    match why:
        case "aborted":
            return state.aborted == "rollback"
        case "expired":
            return gate is not None and gate.on_expire == "rollback"
        case "failed":
            return plan.limits.on_failure == "rollback"
        case "completed":
            return False


def _touched(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    touched = (target for target in state.targets.values() if target.started_at)
    return tuple(target.name for target in touched if applicable(plan, target.name, "finally"))


def single_rollbacks(plan: Plan, state: RolloutState) -> Iterator[Action]:
    """The next steps of targets that a person rolls back one by one, while the others go on."""
    for target in state.in_group("rolling back"):
        if target.running is None:
            yield next_step(plan, target, "rollback")


def second_looks(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """The questions to targets that failed which release they run now: whoever decides about them wants to know."""
    if plan.current is None:
        return []
    return [ReadRelease(name) for name in islice(state.index.among("failed unread"), LEAVING)]


def roll_back(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """Newest wave first, each as parallel as it went out; one that fails holds up nobody else."""
    if not state.index.count("rolling back"):
        if settleable(state):
            return settle_first(state)
        assert state.ending is not None
        return [e.FinallyStarted(state.ending, _touched(plan, state))]
    newest = state.targets[state.index.last("rolling back")].wave
    return list(other_steps(plan, state, "rollback", newest, newest, plan.waves[newest].parallel))


def finish(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """The `finally` steps, then each target's last questions, then the verdict."""
    if state.index.count("in finally"):
        return list(other_steps(plan, state, "finally", 0, len(plan.waves) - 1, CLEANING))
    if settleable(state):
        return settle_first(state)
    return _leave(plan, state) or [verdict(plan, state)]


def _leave(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """A target's last two questions follow each other, so that one connection does for both."""
    reads = plan.current is not None
    if state.index.count("locked"):
        first = islice(state.in_group("locked"), LEAVING)
        return [ReadRelease(target.name) if reads and target.unread else Unlock(target.name) for target in first]
    return [ReadRelease(target.name) for target in islice(state.in_group("unread"), LEAVING if reads else 0)]
