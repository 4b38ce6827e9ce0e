"""The plan as text with styles: warnings, waves, steps, limits, excluded targets; and the results of preflight."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Gate, Limits
from canary_tui.domain.planning.plan import Plan, PlannedWave
from canary_tui.engine.messages import Preflighted
from canary_tui.tui.shared.formats import short_size, short_time
from canary_tui.tui.terminal import one_line

StyledText = tuple[str, str]
"""A text and its style; a newline in the text ends the line."""

_HEAD = "bold $accent"
_DIM = "$foreground 65%"
_NAME_LINES = 4
"""Lines of names before the rest is counted."""
_SINGLE_ROWS = 200
"""Most targets whose good preflight has a row of its own."""
_GROWING_ROWS = 30
"""The same while preflight goes on: painting 200 rows ten times a second keeps a key waiting for 100 ms."""
_CLOCK_OFF = 5.0
"""Seconds that a target's clock may differ before it is shown in colour."""

_CONFIRM = {
    "count": "typing how many targets come next",
    "release": "typing the release",
    "fleet": "typing the fleet's name",
    "key": "one key",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The width of the text, and whether every name is shown."""

    width: int
    all_names: bool = False

    def names(self, names: Iterable[str], indent: int) -> Iterator[StyledText]:
        """Write names over as many lines as are allowed, indented."""
        words = " ".join(names) if self.all_names else compress_names(names)
        pad = " " * indent
        room = max(20, self.width - indent)
        lines = textwrap.wrap(one_line(words), room, break_long_words=True, break_on_hyphens=False)
        shown = lines if self.all_names else lines[:_NAME_LINES]
        for line in shown:
            yield (f"{pad}{line}\n", "")
        if len(lines) > len(shown):
            yield (f"{pad}... and {count(len(lines) - len(shown), 'line')} more; n shows all\n", _DIM)


def plan_pieces(plan: Plan, remarks: Sequence[str], layout: Layout) -> Iterator[StyledText]:
    """Write the whole plan, warnings first."""
    warnings = (*remarks, *plan.warnings)
    for warning in warnings:
        yield ("! ", "bold $warning")
        yield (_hanging(one_line(warning), layout.width, 2) + "\n", "$warning")
    if warnings:
        yield ("\n", "")
    yield from _waves(plan, layout)
    yield from _steps("Steps", plan, plan.steps, layout)
    yield from _steps("Rollback", plan, plan.rollback, layout, none="none: a changed target cannot be rolled back")
    if plan.finally_:
        yield from _steps("Finally", plan, plan.finally_, layout)
    yield ("\nLimits\n", _HEAD)
    yield (f"  {_hanging(_limits(plan.limits), layout.width, 2)}\n", "")
    yield from _left_alone(plan, layout)


def _hanging(text: str, width: int, indent: int) -> str:
    return textwrap.fill(text, max(20, width - 1), subsequent_indent=" " * indent, initial_indent=" " * indent)[indent:]


def _beside(text: str, used: int, width: int, indent: int) -> str:
    """Put the text after two blanks if the line has room, else on lines of its own."""
    if not text or used + 2 + len(text) <= width:
        return f"  {text}" if text else ""
    return f"\n{' ' * indent}{_hanging(text, width, indent)}"


def _waves(plan: Plan, layout: Layout) -> Iterator[StyledText]:
    yield ("Waves\n", _HEAD)
    for number, wave in enumerate(plan.waves, 1):
        at_once = f"{min(wave.parallel, len(wave.targets)):,} at once"
        yield (f"  {number}  {one_line(wave.name):10}", "bold")
        size = f"  {count(len(wave.targets), 'target')}, {at_once}"
        yield (size, "")
        used = 5 + max(10, len(wave.name)) + len(size)
        yield (_beside(one_line(wave.origin), used, layout.width, 5) + "\n", _DIM)
        yield from layout.names(wave.targets, 5)
        if wave.gate is not None:
            yield from _gate(plan, number, wave.gate, layout)


def _gate(plan: Plan, number: int, gate: Gate, layout: Layout) -> Iterator[StyledText]:
    following: PlannedWave | None = plan.waves[number] if number < len(plan.waves) else None
    coming = f" ({len(following.targets):,})" if following is not None and gate.confirm == "count" else ""
    if gate.approve:
        text = f"a person approves by {_CONFIRM[gate.confirm]}{coming}"
    else:
        text = "the checks decide alone"
    if gate.expires is not None:
        text += f"; after {short_time(gate.expires)} unanswered: {gate.on_expire}"
    yield ("     gate: ", "bold")
    yield (_hanging(text, layout.width, 11) + "\n", "")
    for item in gate.checklist:
        yield (f"           [ ] {one_line(item)}\n", "")
    for line in textwrap.wrap(one_line(gate.instructions), max(20, layout.width - 11)):
        yield (f"           {line}\n", _DIM)


def _steps(title: str, plan: Plan, steps: Sequence[Step], layout: Layout, none: str = "none") -> Iterator[StyledText]:
    yield (f"\n{title}\n", _HEAD)
    if not steps:
        yield (f"  {none}\n", _DIM)
    widest = min(24, max((len(step.name) for step in steps), default=0))
    for index, step in enumerate(steps):
        yield (f"  {index + 1}  {one_line(step.name):{widest}}  ", "bold")
        told = _hanging(one_line(what(step)), layout.width, widest + 7)
        yield (told, "")
        used = widest + 7 + len(told.rpartition("\n")[2]) if "\n" not in told else layout.width
        yield (_beside(_how(step), used, layout.width, widest + 7) + "\n", _DIM)
        yield from _not_on(plan, title, index, step, layout)


def what(step: Step) -> str:
    """Describe a step in one line."""
    match step:
        case RunStep():
            return _first_line(step.run)
        case ScriptStep():
            return f"script {step.script}"
        case UploadStep():
            return f"{step.upload} -> {step.to}"
        case HttpStep():
            return f"{step.http} answers {step.expect.status} within {short_time(step.expect.within)}"
        case LocalStep():
            return f"here: {_first_line(step.local)}"
        case _:
            assert_never(step)


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    first = lines[0] if len(lines[0]) <= 60 else lines[0][:59] + "…"
    return first + (f" (+{count(len(lines) - 1, 'line')})" if len(lines) > 1 else "")


def _how(step: Step) -> str:
    parts = [f"up to {short_time(step.timeout)}"]
    if step.retries:
        parts.append(f"retried {step.retries} x")
    if isinstance(step, RunStep) and not step.durable:
        parts.append("not durable")
    return ", ".join(parts)


def _not_on(plan: Plan, title: str, index: int, step: Step, layout: Layout) -> Iterator[StyledText]:
    if title != "Steps":
        return
    without = [name for name, target in plan.targets.items() if index not in target.steps]
    if without:
        yield (f"     not on {count(len(without), 'target')} without role {' or '.join(step.roles)}:\n", _DIM)
        yield from layout.names(without, 7)


def _limits(limits: Limits) -> str:
    some = f"{limits.failures} targets may fail" if limits.failures not in {"0", "1"} else ""
    text = some or ("no target may fail" if limits.failures == "0" else "1 target may fail")
    if limits.consecutive is not None:
        text += f", {limits.consecutive} in a row"
    unavailable = "skipped" if limits.on_unavailable == "skip" else "a failure"
    then = {"ask": "you are asked", "abort": "the rollout ends", "rollback": "it is rolled back"}[limits.on_failure]
    return f"{text}; when more do, {then}. Unreachable before the start: {unavailable}."


def _left_alone(plan: Plan, layout: Layout) -> Iterator[StyledText]:
    reasons: dict[str, list[str]] = {}
    for excluded in plan.excluded:
        reasons.setdefault(excluded.reason, []).append(excluded.target)
    if reasons:
        yield ("\nLeft alone\n", _HEAD)
    for reason, names in reasons.items():
        yield (f"  {count(len(names), 'target')}: {one_line(reason)}\n", "")
        yield from layout.names(names, 5)


# -- preflight


def preflight_pieces(total: int, looked: Sequence[Preflighted], layout: Layout) -> Iterator[StyledText]:
    """Write the results of preflight so far: failures first, a row for each target while they are few."""
    bad = [one for one in looked if one.outcome != "ok"]
    good = [one for one in looked if one.outcome == "ok"]
    yield (f"Preflight  {len(looked):,}/{total:,}\n", _HEAD)
    for one in bad:
        symbol = "~" if one.outcome == "unreachable" else "!"
        yield (f"  {symbol} {one_line(one.target):20}  {one.outcome:12}", "bold $error")
        yield (f" {_hanging(one_line(one.detail), layout.width, 37)}\n", "")
    if len(good) > (_SINGLE_ROWS if len(looked) == total else _GROWING_ROWS):
        yield (f"  + {len(good):,} ok\n", "bold $success")
        yield from layout.names([one.target for one in good], 4)
        return
    for one in good:
        yield (f"  + {one_line(one.target):20}  ok          ", "$success")
        yield (f" {_findings(one)}", "")
        yield (f"{_clock(one)}\n", "bold $warning" if abs(one.clock_offset) > _CLOCK_OFF else _DIM)


def _findings(one: Preflighted) -> str:
    parts = [f"runs {one_line(one.release)}" if one.release else "", f"{short_size(one.free_bytes)} free"]
    return "  ".join(part for part in parts if part)


def _clock(one: Preflighted) -> str:
    return f"  clock {one.clock_offset:+.1f} s" if abs(one.clock_offset) >= 0.1 else ""
