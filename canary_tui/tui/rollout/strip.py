"""The strip of cells above the list: one cell for each target of a big rollout, in the plan's order."""

from __future__ import annotations

from itertools import pairwise

from textual import events
from textual.message import Message
from textual.strip import Strip

from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.status import SYMBOLS, Kind
from canary_tui.tui.shared.rows import RowWidget, TonedText

FROM_TARGETS = 41
"""The least number of targets with a strip; the list alone shows fewer."""
_MOST_ROWS = 4


class HeatStrip(RowWidget):
    """The strip, at most four rows high; with too many targets, a cell shows the worst of several."""

    class Picked(Message):
        """A cell was clicked."""

        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

    def __init__(self, follower: Follower) -> None:
        super().__init__(id="strip")
        self._follower = follower
        self._kinds: list[Kind] = []
        self._seen: tuple[int, int] = (-1, -1)

    def flush(self) -> None:
        """Compute the cells again after a change; hide the strip while there are few targets."""
        seen = (self._follower.version, self.size.width)
        if seen == self._seen:
            return
        self._seen = seen
        names = self._follower.roster.names
        self.display = len(names) >= FROM_TARGETS
        if not self.display:
            return
        per_row = max(1, self.size.width - 2)
        rows = min(_MOST_ROWS, -(-len(names) // per_row))
        self.styles.height = rows
        kinds = self._cells(names, rows * per_row)
        if kinds != self._kinds:
            self._kinds = kinds
            self.refresh()

    def render_line(self, y: int) -> Strip:
        per_row = max(1, self.size.width - 2)
        pieces: list[TonedText] = [(" ", "plain")]
        start = y * per_row
        row = self._kinds[start : start + per_row]
        while row:
            kind = row[0]
            run = next((index for index, other in enumerate(row) if other != kind), len(row))
            pieces.append((SYMBOLS[kind] * run, kind))
            row = row[run:]
        return self.strip(pieces, self.size.width)

    def on_resize(self) -> None:
        self.flush()

    def on_click(self, event: events.Click) -> None:
        per_row = max(1, self.size.width - 2)
        names = self._follower.roster.names
        cells = min(len(names), max(1, len(self._kinds)))
        index = event.y * per_row + event.x - 1
        if 0 <= index < cells:
            self.post_message(self.Picked(names[index * len(names) // cells]))

    def _cells(self, names: tuple[str, ...], room: int) -> list[Kind]:
        kinds = [self._follower.roster.kind(name) for name in names]
        if len(kinds) <= room:
            return kinds
        edges = [cell * len(kinds) // room for cell in range(room + 1)]
        return [min(kinds[left:right], key=_URGENCY.index) for left, right in pairwise(edges)]


_URGENCY: list[Kind] = [
    "failed",
    "unknown",
    "unreachable",
    "running",
    "pending",
    "held",
    "waived",
    "excluded",
    "skipped",
    "undone",
    "ok",
]
