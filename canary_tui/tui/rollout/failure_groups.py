"""Failed targets in groups: the same step, the same end and the same last line, a target's own name left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState, Track
from canary_tui.service.failed_output import last_lines
from canary_tui.store.logs.grouping import own_words
from canary_tui.tui.rollout.status import Kind, current_step, status_of, step_name
from canary_tui.tui.terminal import one_line

_BUDGET = 0.03
"""Seconds of one look for reading logs; what is left is read in the next looks."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One target: the step it ended at, how, why, and the last line that the step printed."""

    name: str
    kind: Kind
    symbol: str
    where: str
    end: str
    last_line: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures alike, in the plan's order."""

    failures: tuple[Failure, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.failures)

    @property
    def first(self) -> Failure:
        return self.failures[0]


class LastWords:
    """The last line of each failed execution, read once."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._read: dict[str, str] = {}
        self._ends = 0.0

    def begin(self) -> None:
        """Begin a look: only so many logs are read in it."""
        self._ends = time.monotonic() + _BUDGET

    def of(self, target: str, execution: str) -> str:
        """Return the line; "" while it was not read yet, and where there is none."""
        if execution not in self._read and execution and time.monotonic() < self._ends:
            lines = [line.strip() for line in last_lines(self._logs, target, execution)]
            self._read[execution] = next((one_line(line) for line in reversed(lines) if line), "")
        return self._read.get(execution, "")


class Grouper:
    """Groups the failures of one plan."""

    def __init__(self, plan: Plan, words: LastWords) -> None:
        self.plan = plan
        self._words = words
        self._own = own_words(plan)

    def group(self, state: RolloutState, names: Iterable[str]) -> list[FailureGroup]:
        """Group the failed targets of these names; the groups are in the order of their first ones."""
        self._words.begin()
        groups: dict[tuple[str, ...], list[Failure]] = {}
        for name in names:
            failure = failure_of(self.plan, state, state.targets[name], self._words.of)
            alike = (
                failure.symbol,
                failure.where,
                self._common(name, failure.end),
                self._common(name, failure.last_line),
            )
            groups.setdefault(alike, []).append(failure)
        return [FailureGroup(tuple(failures)) for failures in groups.values()]

    def _common(self, name: str, text: str) -> str:
        for word in self._own.get(name, ()):
            text = text.replace(word, "\0")
        return text


def failure_of(plan: Plan, state: RolloutState, target: TargetState, said: Callable[[str, str], str]) -> Failure:
    """Tell how one target failed; `said` returns the last line of its execution."""
    status, track = status_of(state, target), _track(target)
    step = current_step(plan, target)
    where = step_name(step) if step is not None and track.attempts else "preflight" if target.probe == "failed" else ""
    again = " again" if track.again and track.attempts else ""  # else the screen after a retry is the one before it
    attempts = f"{again} after {track.attempts} attempts" if track.attempts > 1 else again
    reason = f"{attempts}: {track.why}" if track.why else attempts
    last = said(target.name, track.execution) if track.attempts else ""
    return Failure(target.name, status.kind, status.symbol, where, f"{status.word}{reason}", last)


def _track(target: TargetState) -> Track:
    phase = target.unknown_phase
    return target.track(phase) if phase is not None else target.steps


def held_up(state: RolloutState) -> tuple[tuple[str, ...], int]:
    """List the targets of the wave that were begun and wait while a person is asked, and count those not begun."""
    wave = [target for target in state.targets.values() if target.wave == state.wave]
    idle = [target for target in wave if target.steps.outcome is None and target.running is None]
    begun = tuple(target.name for target in idle if target.started_at > 0)
    return begun, len(idle) - len(begun)
