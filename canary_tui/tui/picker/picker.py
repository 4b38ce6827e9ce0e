"""The picker without a screen: shown targets, their order, their marks, and suggestions."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canary_tui.domain.rollout.words import Outcome
    from canary_tui.store.inventory import Aftermath

_DIGITS = re.compile(r"([0-9]+)")
_UNDO_DEPTH = 100

RowTest = Callable[[int], bool]
"""Whether the row with an index is shown."""
SortValue = tuple[tuple[int, str], ...]
SortKey = Callable[["TargetRow"], SortValue]


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target in the picker. `on` is the release last seen there, `age` the seconds since `outcome`.

    `seen`: some rollout had this target. `aftermath` is what `outcome` alone does not tell.
    """

    name: str
    address: str = ""
    roles: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    on: str = ""
    outcome: Outcome | None = None
    age: float = 0.0
    seen: bool = False
    aftermath: Aftermath = ""


def natural(text: str) -> SortValue:
    """Make a key that sorts `web-2` before `web-10`."""
    parts = _DIGITS.split(text.lower())
    return tuple((int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts))


class Picker:
    """Rows with marks. The marks do not depend on the shown rows or their order. A row is named by its index."""

    def __init__(self, rows: Sequence[TargetRow], preselected: Iterable[int] = ()) -> None:
        self.rows = rows
        self.preselected = frozenset(preselected)
        self.marked: set[int] = set(self.preselected)
        self.shown: list[int] = list(range(len(rows)))
        self.only_marked = False
        self._order: list[int] = self.shown
        self._test: RowTest | None = None
        self._past: list[frozenset[int]] = []

    @property
    def hidden(self) -> set[int]:
        """The marked rows that are not shown."""
        return self.marked.difference(self.shown)

    @property
    def changed(self) -> int:
        """The number of marks that differ from the first ones."""
        return len(self.marked ^ self.preselected)

    def marked_names(self) -> tuple[str, ...]:
        """The marked targets, in the order of the file."""
        return tuple(self.rows[index].name for index in sorted(self.marked))

    # -- the shown rows

    def narrow(self, test: RowTest | None) -> None:
        """Show the rows that pass `test`; None shows all."""
        self._test = test
        self._show()

    def toggle_only_marked(self) -> None:
        """Show only the marked rows of those that pass, or all that pass again."""
        self.only_marked = not self.only_marked
        self._show()

    def sort(self, key: SortKey | None, *, reverse: bool = False) -> None:
        """Order by `key`, ties as in the file; None is the order of the file."""
        order = list(range(len(self.rows)))
        if key is not None:
            order.sort(key=lambda index: key(self.rows[index]), reverse=reverse)
        elif reverse:
            order.reverse()
        self._order = order
        self._show()

    def _show(self) -> None:
        shown: Iterable[int] = self._order
        if self.only_marked:
            shown = [index for index in shown if index in self.marked]
        self.shown = list(shown) if self._test is None else list(filter(self._test, shown))

    # -- marks

    def mark(self, marked: Iterable[int]) -> None:
        """Make these the marks; `undo` brings back those before."""
        new = set(marked)
        if new != self.marked:
            self._past = [*self._past[1 - _UNDO_DEPTH :], frozenset(self.marked)]
            self.marked = new

    def toggle(self, position: int) -> None:
        """Toggle the mark of the row shown at `position`."""
        self.mark(self.marked ^ {self.shown[position]})

    def mark_span(self, first: int, last: int) -> None:
        """Mark the rows shown from `first` to `last`, both included, in either order."""
        first, last = sorted((first, last))
        self.mark(self.marked.union(self.shown[first : last + 1]))

    def toggle_all_shown(self) -> None:
        """Mark all that are shown, or unmark them when all are marked."""
        shown = set(self.shown)
        self.mark(self.marked - shown if shown <= self.marked else self.marked | shown)

    def invert_shown(self) -> None:
        """Toggle the mark of every shown row."""
        self.mark(self.marked ^ set(self.shown))

    def mark_random(self, count: int, dice: random.Random) -> None:
        """Replace the marks among the shown rows by `count` random ones."""
        count = min(count, len(self.shown))
        self.mark((self.marked - set(self.shown)).union(dice.sample(self.shown, count)))

    def mark_one_each(self, tag: str) -> None:
        """Replace the marks among the shown rows by the first row of each value of a tag."""
        self.mark((self.marked - set(self.shown)).union(self._first_of_each(self.shown, tag)))

    def undo(self) -> bool:
        """Restore the marks before the last change; False if there was none."""
        if not self._past:
            return False
        self.marked = set(self._past.pop())
        return True

    # -- suggestions

    def tag_names(self) -> tuple[str, ...]:
        """List every tag, in the order in which the file first uses it."""
        return tuple(dict.fromkeys(tag for row in self.rows for tag in row.tags))

    def suggest(self) -> str:
        """Mark suitable canaries, and return their origin in words."""
        by_role = [index for index, row in enumerate(self.rows) if "canary" in row.roles]
        if 0 < len(by_role) < len(self.rows):
            self.mark(by_role)
            return "from role 'canary'"
        for tag in self.tag_names():
            spread = self._first_of_each(range(len(self.rows)), tag)
            if 1 < len(spread) <= max(2, len(self.rows) // 4):
                self.mark(spread)
                return f"one of each {tag}"
        count = max(1, len(self.rows) // 20)
        self.mark(range(min(count, len(self.rows) - 1)))
        return "the first 5 %" if count > 1 else "the first target"

    def _first_of_each(self, among: Iterable[int], tag: str) -> list[int]:
        first: dict[str, int] = {}
        for index in among:
            value = self.rows[index].tags.get(tag)
            if value is not None:
                first.setdefault(value, index)
        return list(first.values())
