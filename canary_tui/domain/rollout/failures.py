"""Failures, and whether a rollout's limits allow them: in sentences with numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from canary_tui.domain.fleet.names import compress_names
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import FAILING, TargetState
from canary_tui.domain.rollout.words import OUTCOME_WORDS

_FEW, _LONG = 5, 60
"""Reasons in a sentence, or names of one; and characters of names in short that are not cut to the first few."""
_LOOKED_AT = 100
"""Targets of which the reasons are looked at: the policy asks for the sentence at every step."""


def failed_targets(state: RolloutState) -> tuple[TargetState, ...]:
    """Targets whose deployment counts against the limits, in the order of the waves."""
    return tuple(state.targets[name] for name in state.index.among("failing"))


def blocked(plan: Plan, state: RolloutState) -> str:
    """Why nothing more is started, as a sentence with numbers; "" where the limits hold."""
    return blocking(plan, state)[0]


def blocking(plan: Plan, state: RolloutState) -> tuple[str, Sequence[TargetState]]:
    """The same with the targets that it speaks of."""
    index = state.index
    if index.count("unknown"):
        unknown = [state.targets[name] for name in index.among("unknown")]
        return f"{counted(unknown, 'target')} with an unknown outcome: {named(unknown)}", unknown
    if index.any("failing before a gate", state.wave):
        before = [state.targets[name] for name in index.among("failing before a gate", state.wave)]
        word = plan.members(before[0].wave, len(before))
        return f"{len(before)} {word} not ok, so nothing more starts: {named(before)}", before
    failed, total = index.count("failing"), len(state.targets)
    allowed = plan.limits.failures.of(total)
    if failed > allowed:
        bad = failed_targets(state)
        numbers = f"{counted(bad, 'target')} of {total} not ok, limits.failures allows {allowed or 'none'}"
        return f"{numbers}: {named(bad)}", bad
    most = plan.limits.consecutive
    if most is not None and (in_a_row := _in_a_row(state)) > most:
        bad = failed_targets(state)
        return f"{in_a_row} targets in a row not ok, limits.consecutive allows {most or 'none'}: {named(bad)}", bad
    return "", ()


def _in_a_row(state: RolloutState) -> int:
    """The number of targets that ended badly in a row, counted back from the last one that ended."""
    row = 0
    for name in state.index.ended_lately():
        target = state.targets[name]
        if target.failing:
            row += 1
        elif target.steps.outcome == "ok":
            break
    return row


def pending_failures(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """Targets about which a person must decide before anything goes on; empty while within the limits."""
    if not state.deploying or not blocked(plan, state):
        return ()
    return tuple(target.name for target in failed_targets(state))


def settleable(state: RolloutState) -> tuple[str, ...]:
    """Targets with a step of which only a person can say what became of it."""
    return tuple(target.name for target in state.in_group("unknown") if target.running is None)


def settle_first(state: RolloutState) -> Sequence[Action]:
    """An unknown outcome is for a person to settle, or for the next engine to ask the target about again."""
    return [] if state.attended else [e.EngineStopped("unknown")]


def counted(things: Collection[object], word: str, plural: str = "") -> str:
    """`1 target`, `2 targets`."""
    return f"{len(things)} {word if len(things) == 1 else plural or word + 's'}"


def named(targets: Sequence[TargetState]) -> str:
    """The first few, with why they are among them where that is known, each reason once."""
    reasons: dict[str, list[str]] = {}
    for target in targets[:_LOOKED_AT]:
        reasons.setdefault(_why(target), []).append(target.name)
    first = list(reasons.items())[:_FEW]
    told = ", ".join(f"{_few(names)} ({why})" if why else _few(names).replace(" ", ", ") for why, names in first)
    left = len(targets) - sum(len(names) for _, names in first)
    return f"{told} and {left} more" if left else told


def _few(names: Sequence[str]) -> str:
    """All names in short, or the first of them where that is long."""
    told = compress_names(names)
    if len(told) <= _LONG or len(names) <= _FEW:
        return told
    return f"{' '.join(names[:_FEW])} and {len(names) - _FEW} more"


def _why(target: TargetState) -> str:
    track = target.steps
    if target.rulings and track.outcome in ("ok", "excluded"):
        return "; ".join(map(str, target.rulings))
    if track.outcome == "ok" and target.reported:
        return f"reports {target.reported}"
    if track.outcome not in FAILING:
        return ""
    return track.why or OUTCOME_WORDS[track.outcome]
