"""The visible rows of a log: scrolling, following, wrapping and filtering as arithmetic, without a screen."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len, chop_cells

from canary_tui.store.logs.lines import Lines
from canary_tui.store.logs.search import Direction, Search


class Drawn(Protocol):
    """Numbered lines of text that only grow, as they are drawn."""

    @property
    def lines(self) -> int: ...

    def displayed(self, start: int, stop: int) -> Sequence[str]:
        """Return the drawn text of lines `start` to `stop`."""
        ...


@dataclass(frozen=True, slots=True)
class VisibleRow:
    """A row of the screen: characters `start` to `stop` of a shown line. `first`: the line begins here."""

    position: int
    start: int
    stop: int
    first: bool


class Matching:
    """The numbers of the lines that contain a text, found for a bounded time at a time.

    Letters in lower case match both cases; one capital makes the search exact. `most` bounds the memory.
    """

    def __init__(self, log: Lines, query: str, most: int = 1 << 32) -> None:
        self.query = query
        self.found = array("I")
        self.log = log
        self._most = most
        self._search = Search(log, query)
        self._exact = query != query.lower()

    def advance(self, budget: float) -> None:
        """Search on for `budget` seconds."""
        if not self.complete and len(self.found) < self._most:
            self.found.extend(self._search.step(budget))

    @property
    def complete(self) -> bool:
        """Whether every line has been searched."""
        return self._search.done

    def rank(self, line: int) -> int:
        """Return a matching line's place among the matches, from 1; 0 while it is unknown."""
        place = bisect_left(self.found, line)
        return place + 1 if place < len(self.found) and self.found[place] == line else 0

    def nearest(self, start: int, direction: Direction) -> Search:
        """Make a search for the first match from `start` on, down (1) or up (-1)."""
        return Search(self.log, self.query, start, direction)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character ranges of the text in a line."""
        text = text if self._exact else text.lower()
        spans, start = [], text.find(self.query)
        while start >= 0:
            spans.append((start, start + len(self.query)))
            start = text.find(self.query, start + max(1, len(self.query)))
        return spans


class LogWindow:
    """A view of `height` rows and `width` cells on a growing log.

    Positions count the shown lines: all of them, or with a filter the matching ones. `cursor` is the line that
    `y` copies. While it follows, the last row shows the newest line; otherwise nothing but a key moves the text.
    """

    def __init__(self, source: Drawn) -> None:
        self.source = source
        self.width, self.height = 80, 24
        self.wrap = False
        self.left = 0
        self.top, self.skipped = 0, 0
        """The first visible line and how many of its rows are above the window."""
        self.cursor = 0
        self.follow = True
        self.seen = 0
        """The number of lines when following stopped, shown or not."""
        self.matching: Matching | None = None

    @property
    def count(self) -> int:
        """The number of shown lines, visible or not."""
        return self.source.lines if self.matching is None else len(self.matching.found)

    @property
    def unseen(self) -> int:
        """The number of lines that came since following stopped; with a filter, of the shown ones."""
        if self.follow:
            return 0
        before = self.seen if self.matching is None else bisect_left(self.matching.found, self.seen)
        return max(0, self.count - before)

    def line(self, position: int) -> int:
        """Return the number in the log of a shown line."""
        return position if self.matching is None else self.matching.found[position]

    def position(self, line: int) -> int:
        """Return the position of the first shown line at or after `line`."""
        if self.matching is None:
            return min(line, max(0, self.count - 1))
        return min(bisect_left(self.matching.found, line), max(0, self.count - 1))

    def resize(self, width: int, height: int) -> None:
        """Keep the top line when the shape changes, and the cursor among the visible lines."""
        self.width, self.height = max(1, width), max(1, height)
        self.skipped = 0
        if not self.follow and (visible := self.rows()):
            self.cursor = min(self.cursor, visible[-1].position)

    def set_wrap(self, wrap: bool) -> None:
        """Wrap long lines or not; the selected line stays visible to its end."""
        self.wrap, self.left, self.skipped = wrap, 0, 0
        if not self.follow and self.count:
            self._show_end(self.cursor)

    def set_filter(self, matching: Matching | None) -> None:
        """Show only matching lines, or all again; the cursor stays at its line, or at the next shown one."""
        line = self.line(self.cursor) if self.count else 0
        self.matching = matching
        if not self.follow:
            self.cursor = self.top = self.position(line)
            self.skipped = 0

    def renumber(self, moved: Callable[[int], int]) -> None:
        """Follow lines to their new numbers, which `moved` returns; visible lines stay if they still exist."""
        if not self.follow:
            self.top, self.cursor, self.seen = moved(self.top), moved(self.cursor), self.source.lines
            self._clamp()

    def rows(self) -> list[VisibleRow]:
        """Return the visible rows, top down; fewer than `height` if the log is short."""
        if self.follow:
            self._to_end()
        rows: list[VisibleRow] = []
        position, texts = self.top, self._texts(self.top, self.top + self.height)
        for offset, text in enumerate(texts):
            skip = self.skipped if offset == 0 else 0
            rows.extend(self._split(position + offset, text)[skip:])
            if len(rows) >= self.height:
                break
        return rows[: self.height]

    def up(self, lines: int = 1) -> None:
        """Move the cursor up; at the top, scroll."""
        self._pause()
        self._place(self.cursor - lines)

    def down(self, lines: int = 1) -> None:
        """Move the cursor down; past the newest line, follow again."""
        if self.follow:
            return
        if self.cursor + lines >= self.count and self.cursor == self.count - 1:
            self.end()
            return
        self._place(self.cursor + lines)

    def page(self, pages: int) -> None:
        """Scroll by whole windows, with the cursor."""
        visible = len({row.position for row in self.rows()})
        step = max(1, visible - 1)
        if pages < 0:
            self._pause()
            self.top, self.skipped = max(0, self.top - step), 0
            self.cursor = self.top
        elif not self.follow:
            self.top, self.skipped = self.top + step, 0
            self._clamp()
            self.cursor = min(self.count - 1, self.top + step)

    def home(self) -> None:
        self._pause()
        self.top = self.skipped = self.cursor = 0

    def end(self) -> None:
        """Follow: show the newest line and stay with it."""
        self.follow = True

    def show(self, line: int) -> None:
        """Put the cursor on a line of the log, in the middle of the window if it is not visible."""
        self._pause()
        position = self.position(line)
        visible = [row.position for row in self.rows()]
        self.cursor = position
        if position not in visible:
            self.top, self.skipped = max(0, position - self.height // 2), 0
            self._clamp()

    def scroll_left(self, cells: int) -> None:
        self.left = max(0, self.left - cells)

    def scroll_right(self, cells: int) -> None:
        """Scroll right, as far as the widest visible line reaches."""
        if self.wrap:
            return
        widest = max((cell_len(text) for text in self._texts(self.top, self.top + self.height)), default=0)
        self.left = min(self.left + cells, max(0, widest - self.width // 2))

    def _pause(self) -> None:
        if not self.follow:
            return
        rows = self.rows()
        self.follow = False
        self.seen = self.source.lines
        self.cursor = max(0, rows[-1].position if rows else 0)

    def _place(self, position: int) -> None:
        position = max(0, min(position, self.count - 1))
        downwards, self.cursor = position > self.cursor, position
        if position < self.top or (position == self.top and self.skipped):
            self.top, self.skipped = position, 0
            return
        if downwards:
            self._show_end(position)

    def _show_end(self, position: int) -> None:
        visible = self.rows()
        if visible and position >= visible[-1].position and not self._ends_in(visible, position):
            self.top, self.skipped = self._top_for(position)

    def _ends_in(self, rows: list[VisibleRow], position: int) -> bool:
        last = rows[-1]
        if last.position != position:
            return False
        return last.stop >= self._split(position, self._texts(position, position + 1)[0])[-1].stop

    def _to_end(self) -> None:
        self.cursor = max(0, self.count - 1)
        self.top, self.skipped = self._top_for(self.cursor)

    def _clamp(self) -> None:
        """Leave no empty rows below the last line."""
        self.top = max(0, self.top)
        last = self._top_for(max(0, self.count - 1))
        self.top, self.skipped = min((self.top, self.skipped), last)

    def _top_for(self, position: int) -> tuple[int, int]:
        """Return the top at which a line's end stands in the last row."""
        if not self.wrap:
            return max(0, position - self.height + 1), 0
        first = max(0, position - self.height + 1)
        rows = 0
        for offset, text in reversed(list(enumerate(self._texts(first, position + 1)))):
            rows += len(self._split(0, text))
            if rows >= self.height:
                return first + offset, rows - self.height
        return first, 0

    def _texts(self, start: int, stop: int) -> Sequence[str]:
        stop = min(stop, self.count)
        if stop <= start:
            return []
        if self.matching is None:
            return self.source.displayed(start, stop)
        numbers = self.matching.found[start:stop]
        return [self.source.displayed(number, number + 1)[0] for number in numbers]

    def _split(self, position: int, text: str) -> list[VisibleRow]:
        if not self.wrap or len(text) * 2 <= self.width or cell_len(text) <= self.width:
            return [VisibleRow(position, 0, len(text), first=True)]
        if text.isascii():
            starts = range(0, len(text), self.width)
            return [
                VisibleRow(position, start, min(start + self.width, len(text)), first=not start) for start in starts
            ]
        rows, start = [], 0
        for piece in chop_cells(text, self.width):
            rows.append(VisibleRow(position, start, start + len(piece), first=not start))
            start += len(piece)
        return rows
