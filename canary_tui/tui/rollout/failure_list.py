"""The list of failed targets: one row for each kind of failure, which opens to its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from canary_tui.tui.rollout.failure_groups import Failure, FailureGroup
from canary_tui.tui.shared.formats import in_short
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit, texts_width

_NAME = 16
"""Most cells of a target's name, which stands in full above the list."""
_LEAST = 8
"""Cells that are left at least for a last line or names."""
_MARK = 7
"""Cells of ` [ ] ! ` before a row's texts."""


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A row of the list: a group, or one target, inside of an open group or alone."""

    names: tuple[str, ...]
    shown: Failure
    inside: bool = False


def rows_of(groups: list[FailureGroup], opened: set[tuple[str, ...]]) -> list[FailureRow]:
    """List the rows of groups; `opened` has the names of those that are open, by their first target."""
    rows: list[FailureRow] = []
    for group in groups:
        rows.append(FailureRow(group.names, group.first))
        if len(group.names) > 1 and group.names[:1] in opened:
            rows += [FailureRow((one.name,), one, inside=True) for one in group.failures]
    return rows


class FailureList(RowWidget, can_focus=True):
    """The list; `space` marks a row's targets."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("space", "mark", "Mark", show=False),
        Binding("right,enter", "open", "Open", show=False),
        Binding("left", "fold", "Close", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(classes="failures")
        self.names: tuple[str, ...] = ()
        self.marked: set[str] = set()
        self.groups: list[FailureGroup] = []
        self.rows: list[FailureRow] = []
        self._opened: set[tuple[str, ...]] = set()
        self._at = self._top = 0
        self._selected = ""
        """The target that was selected last: a group that takes it in does not change it."""

    class Moved(Message):
        """A person has moved the cursor, or has opened or closed a group."""

    def show(self, names: tuple[str, ...], groups: list[FailureGroup]) -> None:
        """Update the list; the cursor and the marks stay with their targets."""
        self.marked &= set(names)
        if groups != self.groups or names != self.names:
            self.names, self.groups = names, groups
            self._lay_out()

    def _lay_out(self) -> None:
        here, inside = self.current, bool(self.rows) and self.rows[self._at].inside
        self._selected = here
        self.rows = rows_of(self.groups, self._opened)
        holds = [place for place, row in enumerate(self.rows) if here in row.names]
        self._at = holds[-1 if inside else 0] if holds else min(self._at, max(0, len(self.rows) - 1))
        self._keep_visible()
        self.refresh()

    @property
    def current_names(self) -> tuple[str, ...]:
        """The targets of the selected row."""
        return self.rows[self._at].names if self.rows else ()

    @property
    def current(self) -> str:
        """The selected target: of a group its first one, unless another was selected before; "" if there is none."""
        names = self.current_names
        return self._selected if self._selected in names else next(iter(names), "")

    @property
    def current_failure(self) -> Failure | None:
        return self.rows[self._at].shown if self.rows else None

    def render_line(self, y: int) -> Strip:
        index = self._top + y
        if index >= len(self.rows):
            return self.strip([], self.size.width)
        over = "cursor" if index == self._at and self.has_focus else ""
        hidden = self._hidden(y)
        sign = f"  {hidden} " if hidden else ""
        row = self.strip(self.pieces(self.rows[index], self.size.width - len(sign)), self.size.width - len(sign), over)
        return Strip.join([row, self.strip([(sign, "name")], len(sign), over)]) if hidden else row

    def pieces(self, row: FailureRow, width: int) -> list[TonedText]:
        """Write a row: mark, number or name, step and end, last line; and the names of a group where it is wide."""
        failure, many = row.shown, len(row.names) > 1
        marked = sum(name in self.marked for name in row.names)
        mark = "[x]" if marked == len(row.names) else "[~]" if marked else "[ ]"
        head: list[TonedText] = [
            (f" {'  ' if row.inside else ''}{mark} ", "plain"),
            (f"{failure.symbol} ", failure.kind),
        ]
        head.append(
            (f"{len(row.names):,} x " if many else f"{fit(failure.name, min(_NAME, len(failure.name)))}  ", "strong")
        )
        head.append((f"{failure.where}  " if failure.where else "", "dim"))
        head.append((fit(failure.end, min(len(failure.end), max(1, width - texts_width(head)))), failure.kind))
        room = width - texts_width(head) - 4
        names = in_short(row.names) if many else ""
        for_names = min(len(names), room // 2 if failure.last_line else room)
        said = failure.last_line
        tail: list[TonedText] = (
            [(f"  {fit(said, min(len(said), room - for_names))}", "plain")] if said and room > 8 else []
        )
        if names and room > 8:
            tail.append((f"  {fit(names, for_names)}", "dim"))
        return [*head, *tail]

    def cut(self, row: FailureRow) -> bool:
        """Whether a row has no room for all of its texts."""
        failure, many = row.shown, len(row.names) > 1
        whole = f"{failure.where}  {failure.end}  {failure.last_line}  {in_short(row.names) if many else failure.name}"
        number = 8 if many else 2 * row.inside
        return len(whole) + _MARK + number + 2 > self.screen.size.width or (not many and len(failure.name) > _NAME)

    def _hidden(self, y: int) -> str:
        """Tell in the first and the last row the number of hidden rows."""
        below = len(self.rows) - self._top - self.size.height
        if y == self.size.height - 1 and below > 0:
            return f"↓ {below} more"
        return f"↑ {self._top} more" if y == 0 and self._top else ""

    def action_move(self, rows: int) -> None:
        self._at = max(0, min(self._at + rows, len(self.rows) - 1))
        self._selected = next(iter(self.current_names), "")
        self._keep_visible()
        self.refresh()
        self.post_message(self.Moved())

    def action_open(self) -> None:
        """Open the selected group to its targets; a second time, close it."""
        if self.rows and len(self.current_names) > 1:
            self._opened ^= {self.current_names[:1]}
            self._lay_out()
            self.post_message(self.Moved())

    def action_fold(self) -> None:
        """Close the group of the selected row."""
        group = next((group for group in self.groups if self.current in group.names), None)
        if group is not None and group.names[:1] in self._opened:
            self._opened.discard(group.names[:1])
            self.rows = rows_of(self.groups, self._opened)
            self._at = next(place for place, row in enumerate(self.rows) if row.names == group.names)
            self._keep_visible()
            self.refresh()
            self.post_message(self.Moved())

    def restart(self) -> None:
        """Move the cursor to the first row."""
        self._at = self._top = 0
        self._selected = ""
        self.refresh()

    def _keep_visible(self) -> None:
        height = max(1, self.size.height)
        self._top = min(max(self._top, self._at - height + 1), self._at, max(0, len(self.rows) - height))

    def on_resize(self) -> None:
        self._keep_visible()
        self.refresh()

    def action_mark(self) -> None:
        """Mark the selected row's targets, or unmark them, and move on."""
        names = set(self.current_names)
        if names:
            self.marked = self.marked - names if names <= self.marked else self.marked | names
            self.action_move(1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
