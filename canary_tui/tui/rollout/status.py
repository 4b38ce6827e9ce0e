"""The status of a target on every screen: one symbol, one word, one tone; and the order of all targets."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from canary_tui.domain.fleet.step_names import default_name
from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.domain.rollout.rulings import waived
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import Running, TargetState, Track
from canary_tui.domain.rollout.words import OUTCOME_WORDS, Outcome

Kind = Literal[
    "failed", "unknown", "unreachable", "running", "pending", "ok", "undone", "waived", "skipped", "excluded", "held"
]

SYMBOLS: dict[Kind, str] = {
    "pending": "·",
    "running": ">",
    "ok": "+",
    "undone": "<",
    "waived": "*",
    "failed": "!",
    "unreachable": "~",
    "unknown": "?",
    "skipped": "=",
    "excluded": "-",
    "held": "#",
}
COUNTED: tuple[Kind, ...] = (
    "failed",
    "unknown",
    "unreachable",
    "running",
    "ok",
    "waived",
    "undone",
    "skipped",
    "excluded",
)
"""The order of the counts: first those that need a person. Pending is the rest."""

_KINDS: dict[Outcome, Kind] = {
    "ok": "ok",
    "failed": "failed",
    "timed-out": "failed",
    "unreachable": "unreachable",
    "unknown": "unknown",
    "cancelled": "failed",
    "skipped": "skipped",
    "excluded": "excluded",
    "not-started": "pending",
}
_PHASE_WORDS: dict[Phase, str] = {"steps": "running", "rollback": "rolling back", "finally": "finishing"}
_RANKS: dict[Kind, int] = {
    "failed": 0,
    "unknown": 0,
    "unreachable": 0,
    "running": 1,
    "pending": 2,
    "ok": 4,
    "undone": 3,
    "waived": 3,
    "skipped": 5,
    "excluded": 6,
    "held": 7,
}
_WAITING_RANK = 7


@dataclass(frozen=True, slots=True)
class Status:
    """The status of one target. `word` is never empty; `kind` names symbol and tone."""

    kind: Kind
    word: str

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.kind]


def status_of(state: RolloutState, target: TargetState) -> Status:
    """Name a target's state now."""
    if target.running is not None:
        return _running(target.running)
    track = target.rollback or target.steps
    if track.outcome == "ok" and target.rollback is None and (steps := waived(target.rulings)):
        return Status("waived", f"ok, {steps}")
    if track.outcome is not None:
        return _ended(track, rolled_back=target.rollback is not None)
    if target.rollback is not None:
        return Status("pending", "to roll back")
    if target.probe == "running":
        return Status("running", "connecting")
    if target.probe == "failed":
        return Status("unreachable", "not reached")
    return _waiting(state, target)


def _running(running: Running) -> Status:
    if running.lost:
        return Status("unreachable", "reconnecting")
    if running.orphaned:
        return Status("unknown", "asking again")
    if running.cancelling:
        return Status("running", "stopping")
    return Status("running", _PHASE_WORDS[running.phase])


def _ended(track: Track, *, rolled_back: bool) -> Status:
    assert track.outcome is not None
    kind, word = _KINDS[track.outcome], OUTCOME_WORDS[track.outcome]
    if rolled_back and kind == "ok":
        return Status("undone", "rolled back")
    return Status(kind, f"rollback {word}" if rolled_back else word)


def _waiting(state: RolloutState, target: TargetState) -> Status:
    """Call a target held behind a gate or a stop, pending before its turn, and half done in the middle."""
    begun = target.steps.position > 0 or target.steps.attempts > 0
    if state.verdict is not None:
        return Status("held", "half done") if begun else Status("pending", "not started")
    gate = state.gates.get(state.wave)
    behind_gate = gate is not None and gate.decision == "open" and target.wave > state.wave
    if behind_gate or state.stop != "none" or state.aborted != "none" or state.paused is not None:
        return Status("held", "half done" if begun else "held")
    return Status("pending", "half done" if begun else "pending")


def step_name(step: Step) -> str:
    """Name a step."""
    return step.name or default_name(step)


def current_step(plan: Plan, target: TargetState) -> Step | None:
    """Return the step that runs on a target, or the one that it ended at; None before its first."""
    if target.running is not None:
        steps = plan.phase_steps(target.running.phase)
        return steps[target.running.step] if target.running.step < len(steps) else None
    planned = plan.targets[target.name]
    if target.rollback is not None:
        return _at(plan.rollback, planned.rollback, target.rollback.position)
    return _at(plan.steps, planned.steps, target.steps.position)


def _at(steps: tuple[Step, ...], applying: tuple[int, ...], position: int) -> Step | None:
    return steps[applying[position]] if position < len(applying) else None


class Roster:
    """All targets, failed first and otherwise in the plan's order, kept sorted as single targets change.

    A row is a place in that order; a name is a target. Placing one target costs two bisections.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.longest = max(map(len, names), default=0)
        self.counts: Counter[Kind] = Counter()
        self._index = {name: index for index, name in enumerate(names)}
        self._kinds: list[Kind | None] = [None] * len(names)
        self._ranks = [0] * len(names)
        self._buckets: list[list[int]] = [[] for _ in range(_WAITING_RANK + 1)]

    def __len__(self) -> int:
        return len(self.names)

    def place(self, name: str, kind: Kind, *, later: bool, begun: bool = False) -> None:
        """Note a target's status.

        `later`: its wave has not come yet, so it goes to the end. `begun`: between two steps it keeps the place that
        it has while one runs.
        """
        index = self._index[name]
        rank = _RANKS[kind]
        if kind in ("pending", "held"):
            rank = _RANKS["running"] if begun else _WAITING_RANK if later else rank
        known = self._kinds[index]
        if known is not None:
            self.counts[known] -= 1
            if self._ranks[index] != rank:
                bucket = self._buckets[self._ranks[index]]
                bucket.pop(bisect_left(bucket, index))
        if known is None or self._ranks[index] != rank:
            insort(self._buckets[rank], index)
        self.counts[kind] += 1
        self._kinds[index], self._ranks[index] = kind, rank

    def place_in_plan(self, name: str) -> int:
        return self._index[name]

    def kind(self, name: str) -> Kind:
        return self._kinds[self._index[name]] or "pending"

    def at(self, row: int) -> str:
        """Return the name in a row; IndexError past the last."""
        for bucket in self._buckets:
            if row < len(bucket):
                return self.names[bucket[row]]
            row -= len(bucket)
        raise IndexError(row)

    def row(self, name: str) -> int:
        """Return a target's row."""
        index = self._index[name]
        rank = self._ranks[index]
        before = sum(len(bucket) for bucket in self._buckets[:rank])
        return before + bisect_left(self._buckets[rank], index)
