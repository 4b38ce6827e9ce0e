"""Tells a plan line by line: the one source of words for `canary-tui plan` and for the plan's screen.

A line says what it is and leaves how it is drawn to the face: how names are shortened, lines wrapped, words coloured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Confirm, Gate, Limits, OnExpire, OnFailure
from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.fleet.units import spoken_duration
from canary_tui.domain.planning.plan import Phase, Plan

LineKind = Literal[
    "warning", "section", "wave", "gate", "item", "instruction", "step", "nothing", "absent", "limits", "excluded"
]

_PHASES: tuple[Phase, ...] = ("steps", "rollback", "finally")
_CONFIRM: dict[Confirm, str] = {
    "count": "typing how many targets come next",
    "release": "typing the release",
    "fleet": "typing the fleet's name",
    "key": "one key",
}
_ON_FAILURE: dict[OnFailure, str] = {"ask": "asks", "abort": "ends", "rollback": "rolls back"}
_ON_EXPIRE: dict[OnExpire, str] = {"abort": "aborts", "hold": "stays closed", "rollback": "rolls back"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan. `label` is what it is about, `aside` what may be left out, `names` are targets under it."""

    kind: LineKind
    text: str = ""
    label: str = ""
    number: int = 0
    """Of a wave or step, from 1."""
    aside: str = ""
    names: tuple[str, ...] = ()


def tell(plan: Plan) -> Iterator[Line]:
    """The whole plan: warnings, waves, steps, limits, excluded targets."""
    yield from (Line("warning", warning) for warning in plan.warnings)
    yield from _waves(plan)
    yield from _steps(plan, "Steps", plan.steps, {name: one.steps for name, one in plan.targets.items()})
    rollback = {name: one.rollback for name, one in plan.targets.items()}
    yield from _steps(plan, "Rollback", plan.rollback, rollback, "none: a changed target cannot be rolled back")
    if plan.finally_:
        yield from _steps(plan, "Finally", plan.finally_, {name: one.finally_ for name, one in plan.targets.items()})
    yield Line("section", "Limits")
    yield Line("limits", limits_text(plan.limits))
    yield from _excluded(plan)


def head(plan: Plan) -> Iterator[str]:
    """Fleet, release and environment; numbers and the plan's hash; what becomes of targets that have the release."""
    where = f" to {plan.environment}" if plan.environment else ""
    yield f"{plan.fleet} {plan.release}{where}"
    yield f"{count(len(plan.targets), 'target')} in {count(len(plan.waves), 'wave')}, plan {plan.hash[:12]}"
    if plan.redeploy:
        yield "targets that report the release already get it again (--redeploy)"
    elif plan.current:
        yield "targets that report the release already are skipped"


def plan_lines(plan: Plan) -> list[str]:
    """The plan as plain lines of text, for `canary-tui plan`."""
    return [*head(plan), *(text for line in tell(plan) for text in _plain(line))]


def full_lines(plan: Plan) -> list[str]:
    """The plan, and below it everything that will run: each step's whole text, and the names of the variables."""
    return [*plan_lines(plan), *_variables(plan), *_texts(plan)]


def _variables(plan: Plan) -> Iterator[str]:
    names = sorted({name for target in plan.targets.values() for name in target.variables})
    yield from ("", "variables of the steps", f"  {' '.join(names) or 'none'}")


def _texts(plan: Plan) -> Iterator[str]:
    for phase in _PHASES:
        for index, step in enumerate(plan.phase_steps(phase)):
            yield from _quoted(f"text of {phase} {index + 1} {step.name}", step_text(plan, step))
    if plan.current is not None:
        yield from _quoted("text that asks a target for its release", plan.current)


def _quoted(title: str, text: str) -> Iterator[str]:
    yield from ("", title)
    yield from (f"  | {line}".rstrip() for line in text.rstrip("\n").split("\n"))


def step_text(plan: Plan, step: Step) -> str:
    """Everything that a step runs, sends or asks, as the journal will have it: an approval is bound to it."""
    match step:
        case RunStep():
            return step.run
        case LocalStep():
            return step.local
        case ScriptStep():
            return plan.scripts[step.script]
        case UploadStep():
            return f"upload {step.upload}\nto {step.to}\nmode {step.mode}"
        case HttpStep(expect=expect):
            contains = f"\nthe body contains {expect.contains!r}" if expect.contains is not None else ""
            within = spoken_duration(expect.within)
            return f"{step.http}\nasked by the {step.from_}\nstatus {expect.status} within {within}{contains}"
        case _:
            assert_never(step)


def _plain(line: Line) -> Iterator[str]:  # noqa: C901 - one case for each kind
    match line.kind:
        case "warning":
            yield f"! {line.text}"
        case "section":
            yield from ("", line.text.lower())
        case "wave":
            yield f"  {line.number} {line.label}: {line.text} ({line.aside})"
        case "gate":
            yield f"      gate: {line.text}"
        case "item":
            yield f"        [ ] {line.text}"
        case "instruction":
            yield f"        {line.text}"
        case "step":
            yield f"  {line.number} {line.label}: {line.text} ({line.aside})"
        case "nothing" | "limits" | "excluded":
            yield f"  {line.text}"
        case "absent":
            yield f"      {line.text}"
        case _:
            assert_never(line.kind)
    if line.names:
        yield f"      {compress_names(line.names)}"


def _waves(plan: Plan) -> Iterator[Line]:
    yield Line("section", "Waves")
    for index, wave in enumerate(plan.waves):
        at_once = min(wave.parallel, len(wave.targets))
        text = count(len(wave.targets), "target") + (f", {at_once:,} at once" if at_once > 1 else "")
        yield Line("wave", text, wave.name, index + 1, wave.origin, wave.targets)
        if wave.gate is not None:
            yield Line("gate", gate_text(plan, index, wave.gate), "gate")
            yield from (Line("instruction", text) for text in wave.gate.instructions.splitlines())
            yield from (Line("item", item) for item in wave.gate.checklist)


def gate_text(plan: Plan, wave: int, gate: Gate) -> str:
    """The sentence about the gate after a wave: who approves, by what, and when it expires."""
    following = len(plan.waves[wave + 1].targets) if wave + 1 < len(plan.waves) else 0
    coming = f" ({following:,})" if following and gate.confirm == "count" else ""
    text = f"a person approves by {_CONFIRM[gate.confirm]}{coming}" if gate.approve else "nobody has to approve"
    if gate.expires is None:
        return text
    return f"{text}; expires after {spoken_duration(gate.expires)}, then {_ON_EXPIRE[gate.on_expire]}"


def _steps(
    plan: Plan, title: str, steps: Sequence[Step], applied: dict[str, tuple[int, ...]], none: str = "none"
) -> Iterator[Line]:
    yield Line("section", title)
    if not steps:
        yield Line("nothing", none)
    for index, step in enumerate(steps):
        yield Line("step", what(step), step.name, index + 1, _how(step))
        without = tuple(name for name in plan.targets if index not in applied[name])
        if without:
            roles = " or ".join(step.roles)
            yield Line("absent", f"not on {count(len(without), 'target')} without role {roles}:", names=without)


def what(step: Step) -> str:
    """The work of a step, in one line."""
    match step:
        case RunStep():
            return _first_line(step.run)
        case ScriptStep():
            return f"script {step.script}"
        case UploadStep():
            return f"{step.upload} -> {step.to}"
        case HttpStep():
            asked = ", asked on the target" if step.from_ == "target" else ""
            return f"{step.http} answers {step.expect.status} within {spoken_duration(step.expect.within)}{asked}"
        case LocalStep():
            return f"here: {_first_line(step.local)}"
        case _:
            assert_never(step)


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    first = lines[0] if len(lines[0]) <= 60 else lines[0][:59] + "…"
    return first + (f" (+{count(len(lines) - 1, 'line')})" if len(lines) > 1 else "")


def _how(step: Step) -> str:
    parts = [f"up to {spoken_duration(step.timeout)}"]
    if step.retries:
        parts.append(f"retried {step.retries} x")
    if traits(step).stopped_by == "connection":
        parts.append("not durable")
    return ", ".join(parts)


def limits_text(limits: Limits) -> str:
    """The limits as two sentences: `stops at the first failed target and asks`."""
    most, row = limits.failures, limits.consecutive
    text = "stops at the first failed target"
    if most != "0":
        number = {"1": "1 target fails"}.get(most, f"{most} targets fail").replace("% targets", "% of the targets")
        text = f"stops when more than {number}"
    if row is not None:
        text += f", or more than {row} in a row"
    unavailable = "skipped" if limits.on_unavailable == "skip" else "a failure"
    return f"{text}, and {_ON_FAILURE[limits.on_failure]}. Unreachable before the start: {unavailable}."


def _excluded(plan: Plan) -> Iterator[Line]:
    reasons: dict[str, list[str]] = {}
    for excluded in plan.excluded:
        reasons.setdefault(excluded.reason, []).append(excluded.target)
    if reasons:
        yield Line("section", "Excluded")
    for reason, names in reasons.items():
        yield Line("excluded", f"{count(len(names), 'target')}: {reason}", names=tuple(names))
