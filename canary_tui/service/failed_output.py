"""The last words of what failed, from the targets' logs, and the failures in groups: for those who see no screen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.narration import step_of
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import FAILING, PHASES, TargetState
from canary_tui.domain.rollout.words import OUTCOME_WORDS
from canary_tui.store.files import close_file, read_only
from canary_tui.store.logs.format import OURS, LogLine, end_mark, log_path, parse_line

LAST_LINES = 10
"""Lines of a failed step's output that are printed."""
_TAIL = 1 << 16
"""Bytes of a log that are read for them."""
_LONGEST = 2_000


def last_lines(logs: Path, target: str, execution: str) -> list[str]:
    """The last lines that an execution printed, in order; empty where it is not the last one in the target's log."""
    lines = list(_tail(log_path(logs, target)))
    while lines and not (lines[-1].stream == OURS and lines[-1].text.startswith(end_mark(execution))):
        if lines.pop().stream == OURS:
            return []
    found: list[str] = []
    for line in reversed(lines[:-1]):
        if line.stream == OURS or len(found) == LAST_LINES:
            break
        found.append(line.text + ("…" if line.hidden else ""))
    return found[::-1]


def _tail(path: Path) -> Iterator[LogLine]:
    try:
        fd = read_only(path)
        try:
            start = max(0, os.fstat(fd).st_size - _TAIL)
            data = os.pread(fd, _TAIL, start)
        finally:
            close_file(fd)
    except OSError:  # they are words about a failure, which is told without them, too
        return
    whole = data.split(b"\n")[1 if start else 0 :]
    yield from (parse_line(line, longest=_LONGEST) for line in whole if line)


@dataclass(frozen=True, slots=True, order=True)
class _Kind:
    """Failures of one kind: the same step, the same reason, the same last line."""

    step: str
    why: str
    last_line: str


def failure_lines(plan: Plan, state: RolloutState, said: Mapping[str, str]) -> list[str]:
    """All failures in groups, a line or two each; `said` has the last line that a failed execution printed."""
    groups: dict[_Kind, list[str]] = {}
    for target in state.targets.values():
        for kind in _failures(plan, target, said):
            groups.setdefault(kind, []).append(target.name)
        for ruling in target.rulings if target.steps.outcome in ("ok", "excluded") else ():
            groups.setdefault(_Kind(target.steps.outcome or "", str(ruling), ""), []).append(target.name)
    lines: list[str] = []
    for kind, names in groups.items():
        lines.append(f"{kind.step}: {kind.why}: {count(len(names), 'target')}: {compress_names(names)}")
        lines += [f"    {kind.last_line.strip()}"] if kind.last_line else []
    return lines


def _failures(plan: Plan, target: TargetState, said: Mapping[str, str]) -> Iterator[_Kind]:
    for phase in PHASES:
        track = target.track(phase)
        if track.outcome in FAILING:
            step = step_of(plan, target, phase) if track.execution else "preflight"
            yield _Kind(
                step,
                track.why or OUTCOME_WORDS[track.outcome],
                said.get(track.execution, ""),
            )
