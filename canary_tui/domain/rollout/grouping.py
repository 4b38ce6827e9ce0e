"""The groups that one target is in: those that the policy asks about, kept up by the index."""

from __future__ import annotations

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.target import TargetState, Track


def groups(plan: Plan, target: TargetState) -> tuple[Group, ...]:
    """The groups that a target is in, as far as the policy asks about all of them."""
    outcome, running = target.steps.outcome, target.running
    rolls_back = _open(target, target.rollback)
    finishes = _open(target, target.finally_)
    places: dict[Group, bool] = {
        "unprobed": target.probe == "none" and outcome is None,
        "probing": target.probe == "running",
        "orphaned": running is not None and running.orphaned,
        "running": running is not None,
        "in window": target.in_window,
        "unfinished": outcome is None or running is not None,
        "failing": target.failing,
        "failing before a gate": target.failing and plan.waves[target.wave].gate is not None,
        "unknown": target.unknown_phase is not None,
        "rolling back": rolls_back,
        "rollback begun": rolls_back and _begun(target, target.rollback),
        "in finally": finishes,
        "finally begun": finishes and _begun(target, target.finally_),
        "unread": target.unread,
        "failed unread": target.failing and target.unread and target.can_be_asked,
        "locked": target.locked,
    }
    return tuple(group for group, there in places.items() if there)


def _open(target: TargetState, track: Track | None) -> bool:
    return track is not None and (track.outcome is None or target.running is not None)


def _begun(target: TargetState, track: Track | None) -> bool:
    return track is not None and (target.running is not None or track.position > 0 or track.attempts > 0)
