"""The list of a rollout's targets, and the cursor on the target whose log is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import zip_longest
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from canary_tui.tui.actions import bindings
from canary_tui.tui.rollout.columns import Columns, Row, lay_out
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit

_WAITING = ("pending", "held")
_QUIET = (*_WAITING, "ok", "undone", "waived", "skipped", "excluded")


class TargetList(RowWidget, can_focus=True):
    """The list, failed targets first. The cursor stays on its target, not on its row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # `G` is the list's here, and follows the log from everywhere else; `f` follows it from here, too.
        *bindings("move"),
    ]

    class Chosen(Message):
        """Another target is under the cursor, moved there by a person or not."""

        def __init__(self, target: str, *, by_hand: bool) -> None:
            super().__init__()
            self.target, self.by_hand = target, by_hand

    def __init__(self, follower: Follower, pinned: Callable[[], bool]) -> None:
        super().__init__(id="targets")
        self._follower = follower
        self._pinned = pinned
        """Whether a person reads the log, which goes where the cursor goes."""
        self._top = 0
        self._cursor = ""
        self.turned_at = float("-inf")
        """The time at which the cursor was last moved by anything but a person."""
        self._steered = False
        """A person has moved the cursor; from then on nothing else moves it."""
        self._rows: list[tuple[list[TonedText], bool]] = []

    @property
    def cursor(self) -> str:
        """The target whose log is shown; "" before there are any."""
        return self._cursor

    def flush(self) -> None:
        """Compose the visible rows again; repaint those that differ."""
        roster = self._follower.roster
        if len(roster) and not self._steered and not (self._cursor and self._pinned()):
            self._drift()
        columns = lay_out(self.size.width, roster.longest)
        rows = [self._header(columns), *(self._row(roster.at(row), columns) for row in self._visible())]
        before, self._rows = self._rows, rows
        changed = [y for y, (row, old) in enumerate(zip_longest(rows, before)) if row != old]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            return self.strip([], width)
        pieces, chosen = self._rows[y]
        over = ("cursor" if self.has_focus else "chosen") if chosen else ""
        return self.strip(pieces, width, over)

    def choose(self, target: str) -> None:
        """Put the cursor on a target."""
        if target in self._follower.state.targets:
            self._go(self._follower.roster.row(target))

    def turn_to(self, target: str) -> None:
        """Put the cursor on a target that needs a person; it may be moved from there again."""
        if target in self._follower.state.targets:
            self._choose(target)
            self._keep_visible()
            self.flush()

    def action_up(self) -> None:
        self._go(self._position() - 1)

    def action_down(self) -> None:
        self._go(self._position() + 1)

    def action_page_up(self) -> None:
        self._go(self._position() - max(1, self.size.height - 2))

    def action_page_down(self) -> None:
        self._go(self._position() + max(1, self.size.height - 2))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(len(self._follower.roster) - 1)

    def action_next_failed(self) -> None:
        """Move to the next target that is not ok; after the last comes the first. They stand at the top."""
        roster = self._follower.roster
        troubled = roster.counts["failed"] + roster.counts["unknown"] + roster.counts["unreachable"]
        if troubled:
            here = self._position()
            self._go(here + 1 if here + 1 < troubled else 0)

    def on_resize(self) -> None:
        self._keep_visible()
        self.flush()

    def on_focus(self) -> None:
        self.flush()
        self.refresh()

    def on_blur(self) -> None:
        self.flush()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if 0 < event.y <= len(self._visible()):
            self._go(self._top + event.y - 1)

    def _go(self, row: int) -> None:
        roster = self._follower.roster
        if len(roster):
            self._steered = True
            self._choose(roster.at(max(0, min(row, len(roster) - 1))), by_hand=True)
            self._keep_visible()
            self.flush()

    def _drift(self) -> None:
        """Move the cursor to a target that needs a person or runs, and keep it there until that has ended.

        An ended target comes before a waiting one: before the first step every target runs a probe for a moment, and
        the canary may be done in less.
        """
        roster = self._follower.roster
        first = roster.at(0)
        if not self._cursor or self._interest(first) > self._interest(self._cursor):
            self._choose(first)

    def _interest(self, target: str) -> int:
        kind = self._follower.roster.kind(target)
        return 0 if kind in _WAITING else 1 if kind in _QUIET else 2

    def _choose(self, target: str, *, by_hand: bool = False) -> None:
        if target != self._cursor:
            self.turned_at = float("-inf") if by_hand else time.monotonic()
            self._cursor = target
            self.post_message(self.Chosen(target, by_hand=by_hand))

    def _position(self) -> int:
        return self._follower.roster.row(self._cursor) if self._cursor else 0

    def _keep_visible(self) -> None:
        height, position = max(1, self.size.height - 1), self._position()
        if position < self._top:
            self._top = position
        elif position >= self._top + height:
            self._top = position - height + 1

    def _visible(self) -> range:
        self._top = min(self._top, max(0, len(self._follower.roster) - max(1, self.size.height - 1)))
        return range(self._top, min(self._top + max(0, self.size.height - 1), len(self._follower.roster)))

    def _row(self, name: str, columns: Columns) -> tuple[list[TonedText], bool]:
        target = self._follower.state.targets[name]
        status = self._follower.status(target)
        row = Row(self._follower, target, status)
        cells = [column.cell(row, width) for column, width in columns]
        return [(f" {status.symbol} ", status.kind), *cells], name == self._cursor

    def _header(self, columns: Columns) -> tuple[list[TonedText], bool]:
        """Write the titles, bright where the keys go, and the cursor's place where not all rows are in sight."""
        tone = "rule" if self.has_focus else "heading"
        titles = "   " + "".join(column.heading(width)[0] for column, width in columns)
        number = len(self._follower.roster)
        if number <= max(0, self.size.height - 1):
            return [(titles, tone)], False
        place = f" {self._position() + 1:,} of {number:,} "
        room = self.size.width - len(place)
        titles = titles.rstrip()
        while titles and len(titles) > room:  # whole titles or none
            titles = titles.rpartition(" ")[0].rstrip()
        return [(fit(titles, max(0, room)), tone), (place, "dim")], False
