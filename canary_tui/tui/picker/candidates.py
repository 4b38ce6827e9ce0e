"""The picker's offer for one environment: its targets with their last outcome, and the first marks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.selection import Selection, SelectionError, TargetFacts, parse_selection
from canary_tui.domain.fleet.tables import Fleet, Target
from canary_tui.domain.planning.build import Choices, Picking, PlanError, picking
from canary_tui.tui.picker.picker import Picker, RowTest, TargetRow

if TYPE_CHECKING:
    from canary_tui.store.inventory import LastKnown


@dataclass(frozen=True, slots=True)
class Candidates:
    """The targets of one environment. `why_not` tells why none can be picked, `origin` explains the first marks."""

    picker: Picker = field(default_factory=lambda: Picker(()))
    facts: tuple[TargetFacts, ...] = ()
    why_not: str = ""
    origin: str = ""

    def test_of(self, selection: Selection) -> RowTest:
        """Turn a selection into a test of the picker's rows."""
        matches, facts = selection.matches, self.facts
        return lambda index: matches(facts[index])

    def sentence(self, origin: str) -> str:
        """Tell the line below the table the canaries and the number of targets after them."""
        if self.why_not:
            return f"Enter shows the plan. {self.why_not}"
        picker = self.picker
        if not picker.marked:
            return f"No canaries yet of {count(len(picker.rows), 'target')}; space marks, s suggests"
        number, later = len(picker.marked), len(picker.rows) - len(picker.marked)
        whence = _whence(picker, origin)
        # The numbers first: a narrow terminal cuts the words at the end.
        canaries = f"{number:,} {'canary' if number == 1 else 'canaries'}{self._spread()}, {later:,} after the gate"
        return f"{canaries} ({whence})" if whence else canaries

    def _spread(self) -> str:
        tags = self.picker.tag_names()
        if not tags:
            return ""
        values = {self.picker.rows[index].tags.get(tags[0]) for index in self.picker.marked} - {None}
        return f" in {count(len(values), tags[0])}" if values else ""

    def remarks(self) -> Iterator[str]:
        """Warn about marked targets, where the plan cannot know of it."""
        rows = (self.picker.rows[index] for index in self.picker.marked)
        bad = sum(1 for row in rows if row.outcome not in {None, "ok", "skipped", "not-started"})
        if bad:
            yield f"{bad:,} {'canary' if bad == 1 else 'canaries'} failed {'its' if bad == 1 else 'their'} last rollout"


def candidates_of(fleet: Fleet, choices: Choices) -> Candidates:
    """List the targets that take part.

    Raises:
        PlanError: no target takes part, or the file has no such environment.

    """
    offered = picking(fleet, choices)
    targets = {target.name: target for target in fleet.targets}
    rows = [_row(targets[name]) for name in offered.candidates]
    facts = tuple(_facts(row, choices.release) for row in rows)
    preselected, origin = _preselected(choices, offered, facts) if offered.pickable else ((), "")
    marks = [index for index, row in enumerate(rows) if row.name in preselected]
    why_not = "" if offered.pickable else _why_not(choices, offered)
    return Candidates(Picker(rows, marks), facts, why_not, origin)


def learn(candidates: Candidates, known: Mapping[str, LastKnown], release: str, now: float) -> Candidates:
    """Add the outcomes of earlier rollouts; marks, filter and order stay."""
    rows = [_learned(row, known.get(row.name), now) for row in candidates.picker.rows]
    candidates.picker.rows = rows
    return replace(candidates, facts=tuple(_facts(row, release) for row in rows))


def _learned(row: TargetRow, known: LastKnown | None, now: float) -> TargetRow:
    if known is None:
        return row
    age = max(0.0, now - known.at)
    return replace(row, on=known.release, outcome=known.outcome, age=age, seen=True, aftermath=known.aftermath)


def _preselected(choices: Choices, offered: Picking, facts: Iterable[TargetFacts]) -> tuple[Collection[str], str]:
    if choices.canaries is not None:
        return frozenset(choices.canaries), "named by you"
    if choices.canary_selection is not None:
        try:
            chosen = parse_selection(choices.canary_selection).select(facts)
        except SelectionError as error:
            raise PlanError([f"--canary {choices.canary_selection}: {error}"]) from None
        return frozenset(chosen), f"from --canary {choices.canary_selection}"
    return frozenset(offered.preselected), offered.origin


def _why_not(choices: Choices, offered: Picking) -> str:
    if choices.only is not None:
        return f"No canaries to pick: --only {choices.only} is the subset itself"
    # The plan tells the rest; here one line has to do.
    return (
        f"No canaries to pick: {offered.notes[0]}" if offered.notes else "No gate in this fleet, so no canaries to pick"
    )


def _row(target: Target) -> TargetRow:
    return TargetRow(target.name, target.address, target.roles, target.environments, target.tags)


def _facts(row: TargetRow, release: str) -> TargetFacts:
    return TargetFacts(
        row.name,
        row.address,
        row.roles,
        row.environments,
        row.tags,
        row.on,
        outdated=bool(row.on) and row.on != release,
        failed=row.outcome not in {None, "ok", "skipped", "not-started"},
    )


def _whence(picker: Picker, origin: str) -> str:
    """Tell the origin of the marks, and the operator's changes."""
    if not picker.preselected or not picker.changed:
        return origin if picker.preselected else ""
    more = len(picker.marked - picker.preselected)
    fewer = len(picker.preselected - picker.marked)
    changed = ", ".join(f"{verb} {number:,}" for verb, number in (("added", more), ("removed", fewer)) if number)
    return f"you {changed}; {origin}" if origin else f"you {changed}"
