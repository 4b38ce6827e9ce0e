"""The verdict of a rollout, once nothing more is to be done, its exit code, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.failures import blocking, counted, failed_targets, named
from canary_tui.domain.rollout.rulings import waived
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.window import nothing_to_do
from canary_tui.domain.rollout.words import Verdict
from canary_tui.errors import ExitCode


def verdict(plan: Plan, state: RolloutState) -> e.RolloutFinished:
    """The verdict, with the sentence that says why in numbers, and names the locks that could not be released."""
    end = _ending(plan, state)
    left = [target for target in state.targets.values() if target.left_locked]
    return replace(end, reason=f"{end.reason}; lock left on {_left(left)}") if left else end


def _ending(plan: Plan, state: RolloutState) -> e.RolloutFinished:
    rolled_back = [state.targets[name] for name in state.rollback_order]
    stuck = [t for t in rolled_back if t.track("rollback").outcome != "ok"]
    stuck += [state.targets[name] for name in state.unnamed]
    done = _undone(rolled_back, stuck) if rolled_back or stuck else _done(plan, state)
    undone = bool(rolled_back) and not stuck
    match state.ending:
        case "aborted":
            by = state.aborted_by.user if state.aborted_by else "nobody"
            reason = f"aborted by {by}" + (f" ({state.abort_note})" if state.abort_note else "")
            word: Verdict = "rolled-back" if undone else "aborted"
            return e.RolloutFinished(word, f"{reason}; {done}", ExitCode.ABORTED)
        case "expired":
            return e.RolloutFinished(
                "rolled-back" if undone else "expired", f"the gate expired; {done}", ExitCode.EXPIRED
            )
        case "failed":
            reason, said = blocking(plan, state)
            if not rolled_back and not stuck:
                done = _done(plan, state, said)
            reason = reason or _unproven(plan, state)
            code = ExitCode.LOCKED if _locked_out(state) else ExitCode.FAILED
            return e.RolloutFinished("rolled-back" if undone else "failed", f"{reason}; {done}", code)
        case "completed" | None:
            if nothing_to_do(plan, state):
                done = f"nothing to do: {len(state.targets)} of {len(state.targets)} report {plan.release} already"
            return e.RolloutFinished("succeeded", done, _completed_code(plan, state))
        case _:
            assert_never(state.ending)


def _completed_code(plan: Plan, state: RolloutState) -> ExitCode:
    targets = list(state.targets.values())
    clean = all(target.finally_ is None or target.finally_.outcome == "ok" for target in targets)
    return ExitCode.SUCCEEDED if clean and all(_has_it(plan, target) for target in targets) else ExitCode.PARTLY


def _locked_out(state: RolloutState) -> bool:
    """Nothing was changed anywhere, for another rollout is at work on some of the targets."""
    return state.wave < 0 and any(target.held_by for target in failed_targets(state))


def _has_it(plan: Plan, target: TargetState) -> bool:
    """It ran every step, and does not say itself that it has another release; or it had this one before."""
    track = target.steps
    if track.outcome == "skipped" or (track.outcome is None and not target.changed):
        return target.previous == plan.release
    return track.outcome == "ok" and not track.skipped and target.reported in (None, "", plan.release)


def _done(plan: Plan, state: RolloutState, said: Sequence[TargetState] = ()) -> str:
    """The numbers, and the targets without the release but for those that were `said` already."""
    targets = list(state.targets.values())
    others = [target for target in targets if not _has_it(plan, target)]
    unclean = [target for target in targets if target.finally_ is not None and target.finally_.outcome != "ok"]
    done = f"{len(targets) - len(others)} of {counted(targets, 'target')} on {plan.release}"
    if excluded := sum(target.steps.outcome == "excluded" and target.rollback is None for target in others):
        done += f" ({excluded} excluded)"
    names = {target.name for target in said}
    if more := [target for target in others if target.name not in names]:
        done += f"; {'also not' if said else 'not'}: {named(more)}"
    return f"{done}; finally not ok on {', '.join(t.name for t in unclean)}" if unclean else done


def _undone(rolled_back: Sequence[TargetState], stuck: Sequence[TargetState]) -> str:
    undone = len([target for target in rolled_back if target not in stuck])
    text = f"{undone} of {counted({t.name for t in (*rolled_back, *stuck)}, 'changed target')} rolled back"
    return f"{text}; not: {', '.join(target.name for target in stuck)}" if stuck else text


def _unproven(plan: Plan, state: RolloutState) -> str:
    reasons = {_why_not(state.targets[name]) for name in plan.waves[state.wave].targets}
    why = ", ".join(sorted(reasons))
    word = plan.members(state.wave, 1)
    return f"no {word} ran every step ({why}), so nothing was tested; choose others, or --redeploy"


def _why_not(canary: TargetState) -> str:
    track = canary.steps
    return track.detail or waived(canary.rulings) or track.outcome or ""


def _left(targets: Sequence[TargetState]) -> str:
    shown = ", ".join(f"{target.name} ({target.left_locked})" for target in targets[:5])
    return shown if len(targets) <= 5 else f"{shown} and {len(targets) - 5} more"
