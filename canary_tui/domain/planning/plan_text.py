"""The plan as plain lines of text, for `canary-tui plan` and for whoever reads before approving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Confirm, Gate, Limits
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import Plan, PlannedTarget

_CONFIRM: dict[Confirm, str] = {
    "count": "types how many targets come next",
    "release": "types the release",
    "fleet": "types the fleet's name",
    "key": "presses one key",
}


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan: warnings, waves, steps, excluded targets, limits."""
    return [
        *_head(plan),
        *(f"! {warning}" for warning in plan.warnings),
        *_waves(plan),
        *_steps("steps", plan.steps, [(one, one.steps) for one in plan.targets.values()]),
        *_steps("rollback", plan.rollback, [(one, one.rollback) for one in plan.targets.values()]),
        *_steps("finally", plan.finally_, [(one, one.finally_) for one in plan.targets.values()]),
        *_excluded(plan),
        "",
        *_limits(plan.limits),
    ]


def _head(plan: Plan) -> Iterator[str]:
    where = f" to {plan.environment}" if plan.environment else ""
    yield f"{plan.fleet} {plan.release}{where}"
    yield f"{count(len(plan.targets), 'target')} in {count(len(plan.waves), 'wave')}, plan {plan.hash[:12]}"
    if plan.redeploy:
        yield "targets that are on the release already get it again (--redeploy)"
    elif plan.current:
        yield "targets that say they are on the release already are skipped"


def _waves(plan: Plan) -> Iterator[str]:
    for index, wave in enumerate(plan.waves, 1):
        at_once = f", {wave.parallel} at once" if len(wave.targets) > 1 else ""
        yield ""
        yield f"wave {index} {wave.name}: {count(len(wave.targets), 'target')}{at_once} ({wave.origin})"
        yield f"    {compress_names(wave.targets)}"
        if wave.gate:
            yield from _gate(wave.gate)


def _gate(gate: Gate) -> Iterator[str]:
    yield f"  gate: a person approves, and {_CONFIRM[gate.confirm]}"
    if gate.expires is not None:
        yield f"    expires after {duration_text(gate.expires)}, then {gate.on_expire}"
    yield from (f"    {line}" for line in gate.instructions.splitlines())
    yield from (f"    [ ] {item}" for item in gate.checklist)


def _steps(
    title: str, steps: Sequence[Step], targets: Sequence[tuple[PlannedTarget, tuple[int, ...]]]
) -> Iterator[str]:
    if not steps:
        return
    yield ""
    yield title
    for index, step in enumerate(steps):
        yield f"  {index + 1} {step.name}{_what(step)}"
        without = [target.name for target, applied in targets if index not in applied]
        if without:
            yield f"      not on {compress_names(without)}: only for {', '.join(step.roles)}"


def _what(step: Step) -> str:
    """The part of a step that its name does not say, where it fits the line."""
    match step:
        case RunStep() | LocalStep():
            return ""
        case ScriptStep():
            return f": {step.script}"
        case UploadStep():
            return f": {step.upload} -> {step.to}"
        case HttpStep():
            return f": {step.http} from the {step.from_}"
        case _:
            assert_never(step)


def _excluded(plan: Plan) -> Iterator[str]:
    if not plan.excluded:
        return
    yield ""
    yield f"left alone: {count(len(plan.excluded), 'target')}"
    for reason in dict.fromkeys(one.reason for one in plan.excluded):
        yield f"    {compress_names(one.target for one in plan.excluded if one.reason == reason)}: {reason}"


def _limits(limits: Limits) -> Iterator[str]:
    row = f", or {limits.consecutive} in a row" if limits.consecutive else ""
    yield f"stops when more than {limits.failures} of the targets fail{row}; then: {limits.on_failure}"
    yield f"a target that cannot be reached before the start: {limits.on_unavailable}"


def duration_text(seconds: Duration) -> str:
    """A duration as a fleet file writes it: `90m`, `2h`, `500ms`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"
