"""The widget that paints a log: only visible rows, at most fifteen times a second, from any source of lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.message import Message
from textual.strip import Strip

from canary_tui.store.logs.lines import Lines
from canary_tui.store.logs.search import Direction, Search
from canary_tui.tui.actions import bindings
from canary_tui.tui.logs.log_window import Drawn, LogWindow, Matching, VisibleRow
from canary_tui.tui.shared.rows import RowWidget, ToneSpan, cut, wrapped

_LOOK_BUDGET = 0.035
_COUNT_BUDGET = 0.015
"""Seconds of a frame for finding the next match, and for counting and filtering, so that keys are not kept waiting."""
_MOST_FOUND = 1_000_000
"""Most matches that a search counts; a filter keeps all of its lines, four bytes each."""
_SIDEWAYS = 16


class LogSource(Drawn, Protocol):
    """A source of lines. `shape` returns the drawn text of one line and the tones of its parts."""

    clocked: bool
    """Each drawn line begins with its time."""

    @property
    def reader(self) -> Lines: ...

    @property
    def edition(self) -> int:
        """A number that changes with the lines' numbers or look; always 0 where lines are only added."""
        ...

    def moved(self, line: int) -> int:
        """Return the number in this edition of a line of the last one."""
        ...

    def poll(self) -> None:
        """Take in new lines; the cost is that of the new ones."""
        ...

    def shape(self, line: int) -> tuple[str, Sequence[ToneSpan]]: ...

    def text_column(self, line: int) -> int:
        """Return the column of a drawn line at which its text begins."""
        ...

    def whole(self, line: int) -> str:
        """Return all of a line's text, however long."""
        ...


class LogView(RowWidget, can_focus=True):
    """One widget for all logs of any number and length. It keeps the visible rows and a small cache."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("move", "lines")

    class Moved(Message):
        """The title's words about the log have changed."""

    def __init__(self) -> None:
        super().__init__(id="log")
        self.source: LogSource | None = None
        self.window = LogWindow(_Nothing())
        self.searching: Matching | None = None
        self.note = ""
        """The result of the last search in words, until the next one."""
        self._instead = ""
        self.touched = False
        """A person has moved in this log, or has searched it."""
        self._looking: Search | None = None
        self._direction: Direction = 1
        self._below: int | None = None
        """The line from which a new search looks down, if it finds nothing above."""
        self._rows: list[VisibleRow] = []
        self._seen = (-1, -1)
        self._strips: LRUCache[tuple[object, ...], Strip] = LRUCache(512)

    # the source, the filter and the search

    def show(self, source: LogSource) -> None:
        """Show another log from its newest line; a search and a filter stay."""
        wrap, query = self.window.wrap, self.filter_query
        self.source = source
        self.window = LogWindow(source)
        self.window.set_wrap(wrap)
        self.window.resize(self.size.width, self.size.height)
        self.window.set_filter(Matching(source.reader, query) if query else None)
        self.searching = Matching(source.reader, self.searching.query, _MOST_FOUND) if self.searching else None
        self._looking, self.note = None, ""
        self.flush()
        self.redraw()

    @property
    def filter_query(self) -> str:
        return self.window.matching.query if self.window.matching else ""

    def filter(self, query: str) -> None:
        """Show only lines that contain `query`; "" shows all again."""
        if self.source is not None:
            matching = Matching(self.source.reader, query) if query else None
            if matching is not None:
                matching.advance(_LOOK_BUDGET)  # before it counts: the place is kept among what was found by then
            self.window.set_filter(matching)
            self.flush()
            self.redraw()

    def search(self, query: str) -> None:
        """Highlight `query` and go to its nearest line at or above the cursor, else below it."""
        if self.source is None:
            return
        self.searching = Matching(self.source.reader, query, _MOST_FOUND) if query else None
        self.note = ""
        if query:
            self._look(-1, either_way=True)
        self.redraw()

    @property
    def busy(self) -> bool:
        """Whether a search, a filter or an index goes on in the next frame."""
        matchings = (self.window.matching, self.searching)
        behind = self.source is not None and self.source.reader.behind
        return behind or self._looking is not None or any(one and not one.complete for one in matchings)

    def follow(self) -> None:
        self.window.end()
        self.redraw()

    def set_wrap(self, wrap: bool) -> None:
        self.window.set_wrap(wrap)
        self.redraw()

    def set_clocked(self, clocked: bool) -> None:
        """Show or hide the time of each line."""
        if self.source is not None:
            self.source.clocked = clocked
            self.redraw()

    def current_line(self) -> str:
        """Return all of the text of the selected line, or of the newest one."""
        window = self.window
        if not window.count:
            return ""
        number = window.line(window.count - 1 if window.follow else window.cursor)
        return self.source.whole(number) if self.source is not None else ""

    def mode(self, *, keys: bool = True) -> str:
        """Tell the title whether the view follows, with or without the keys that change it."""
        if self.window.follow:
            return "FOLLOW"
        new = f" +{self.window.unseen:,} new" if self.window.unseen else ""
        return f"PAUSED{new}{' (G follows)' if keys else ''}"

    def finds(self, *, keys: bool = True) -> str:
        """Tell the search and the filter with their counts; `+` while lines are still to be searched."""
        parts = []
        if matching := self.window.matching:
            more = "" if matching.complete else "+"
            parts.append(f"& {matching.query}: {len(matching.found):,}{more}")
        if searching := self.searching:
            parts.append((self.note or self._place(searching)) + (" (n N)" if keys and searching.found else ""))
        return "  ".join(parts)

    def _place(self, searching: Matching) -> str:
        window = self.window
        rank = 0 if window.follow or not window.count else searching.rank(window.line(window.cursor))
        more = "" if searching.complete else "+"
        return f"/ {searching.query}: {f'{rank:,} of ' if rank else ''}{len(searching.found):,}{more}"

    # painting

    def flush(self) -> None:
        """Take in new lines and continue a search; paint if anything visible can have changed."""
        source = self.source
        if source is None:
            return
        self._poll(source)
        self._work()
        window = self.window
        found = len(self.searching.found) if self.searching else 0
        seen = (window.count, found)
        if seen == self._seen:
            return
        grown = window.count != self._seen[0]
        self._seen = seen
        # Lines below the window change nothing that is visible; the title counts them.
        if window.follow or (grown and len(self._rows) < window.height):
            self.redraw()
        else:
            self.post_message(self.Moved())

    def _poll(self, source: LogSource) -> None:
        edition = source.edition
        if edition and self._looking is not None:
            return  # a search would lose its place
        source.poll()
        if source.edition != edition:
            self.window.renumber(source.moved)
            if self.searching is not None:
                self.searching = Matching(source.reader, self.searching.query, _MOST_FOUND)
            self.redraw()

    def redraw(self) -> None:
        """Compute the visible rows and paint them."""
        self._rows = self.window.rows()
        self._seen = (self.window.count, len(self.searching.found) if self.searching else 0)
        self.refresh()
        self.post_message(self.Moved())

    def say_instead(self, text: str) -> None:
        """Change the text that stands in a log without lines."""
        if text != self._instead:
            self._instead = text
            if not self._rows:
                self.refresh()

    def _empty_row(self, y: int) -> Strip:
        """Paint a row of an empty log: the reason why it is empty."""
        text = f"no line has {self.filter_query!r}; esc clears the filter" if self.window.matching else self._instead
        if not text or self._rows:
            return self.strip([], self.size.width)
        lines = wrapped(text, max(1, self.size.width - 2))
        return self.strip([(f" {lines[y]}", "dim")] if y < len(lines) else [], self.size.width)

    def render_line(self, y: int) -> Strip:
        if y >= len(self._rows):
            return self._empty_row(y)
        row = self._rows[y]
        under_cursor = not self.window.follow and self.has_focus and row.position == self.window.cursor
        number = self.window.line(row.position)
        query = self.searching.query if self.searching else ""
        key = (number, row.start, row.stop, self.window.left, self.size.width, query, under_cursor, self._look_of())
        strip = self._strips.get(key)
        if strip is None:
            strip = self._strips[key] = self._paint(row, number, "cursor" if under_cursor else "")
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def _look_of(self) -> tuple[object, ...]:
        source = self.source
        return (id(source), source is not None and (source.clocked, source.edition), self.rich_style)

    def _paint(self, row: VisibleRow, number: int, over: str) -> Strip:
        assert self.source is not None
        text, spans = self.source.shape(number)
        hits = self._hits(number, text) if self.searching else []
        pieces = cut(text, [*spans, *hits], row.start, row.stop)
        width = self.size.width
        cells, left = cell_len(text[row.start : row.stop]), self.window.left
        strip = self.strip(pieces, max(width, cells), over).crop_extend(left, left + width, self.rich_style)
        return self._signed(strip, over, before=0 < left < cells, after=cells > left + width)

    def _signed(self, strip: Strip, over: str, *, before: bool, after: bool) -> Strip:
        """Put a sign at each edge beyond which the line continues."""
        sign, width = self.strip([("…", "note")], 1, over), self.size.width
        if before and width > 1:
            strip = Strip.join([sign, strip.crop(1, width)])
        if after and width > 1:
            strip = Strip.join([strip.crop(0, width - 1), sign])
        return strip

    def _hits(self, number: int, drawn: str) -> list[ToneSpan]:
        """Return the spans of the searched text in a drawn line, after time and name."""
        assert self.searching is not None
        assert self.source is not None
        before = self.source.text_column(number)
        return [(before + start, before + stop, "hit") for start, stop in self.searching.spans(drawn[before:])]

    def on_resize(self, event: events.Resize) -> None:
        self.window.resize(event.size.width, event.size.height)
        self.redraw()

    def on_focus(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def on_blur(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    # keys

    def action_up(self) -> None:
        self.window.up()
        self._by_hand()

    def action_down(self) -> None:
        self.window.down()
        self._by_hand()

    def action_page_up(self) -> None:
        self.window.page(-1)
        self._by_hand()

    def action_page_down(self) -> None:
        self.window.page(1)
        self._by_hand()

    def action_top(self) -> None:
        self.window.home()
        self._by_hand()

    def action_bottom(self) -> None:
        self.window.end()
        self._by_hand()

    def action_left(self) -> None:
        self.window.scroll_left(_SIDEWAYS)
        self._by_hand()

    def action_right(self) -> None:
        self.window.scroll_right(_SIDEWAYS)
        self._by_hand()

    def action_next_match(self) -> None:
        self._look(1)
        self._by_hand(looks=True)

    def action_previous_match(self) -> None:
        self._look(-1)
        self._by_hand(looks=True)

    def _by_hand(self, *, looks: bool = False) -> None:
        """Show what a key did; one that moves ends a search that goes on, which would take the text away later."""
        self.touched = True
        if not looks and self._looking is not None and self.searching is not None:
            self._looking, self._below = None, None
            self.note = f"/ {self.searching.query}: left; n goes on"
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self.window.up(3)
        self._by_hand()

    def on_mouse_scroll_down(self) -> None:
        self.window.down(3)
        self._by_hand()

    # searching, a bounded piece at a time

    def _look(self, direction: Direction, *, either_way: bool = False) -> None:
        window = self.window
        if self.searching is None:
            return
        if not window.count:
            self.note = f"/ {self.searching.query}: no lines yet"
            return
        cursor = window.line(window.count - 1 if window.follow else window.cursor)
        self._looking = self.searching.nearest(cursor if either_way else cursor + direction, direction)
        self._below = cursor + 1 if either_way else None
        self._direction, self.note = direction, ""
        self._work()

    def _work(self) -> None:
        if self._looking is not None and self.searching is not None:
            self._look_further(self._looking, self.searching)
        for matching in (self.window.matching, self.searching):
            if matching is not None:
                matching.advance(_COUNT_BUDGET)

    def _look_further(self, looking: Search, searching: Matching) -> None:
        """Search on for the next match; go there, or say that there is none."""
        found = looking.step(_LOOK_BUDGET)
        if found:
            self._looking = None
            self.window.show(found[0])
            self.redraw()
        elif looking.done and self._below is not None and self._direction < 0:
            self._looking, self._direction = searching.nearest(self._below, 1), 1
            self._look_further(self._looking, searching)
        elif looking.done:
            self._looking = None
            self.note = f"/ {searching.query}: {self._nothing(searching)}"
            self.post_message(self.Moved())

    def _nothing(self, searching: Matching) -> str:
        if self._below is not None or (searching.complete and not searching.found):
            return "not found"
        return "no more below" if self._direction > 0 else "no more above"


class _Nothing:
    """A source without lines."""

    lines = 0

    def displayed(self, start: int, stop: int) -> Sequence[str]:  # noqa: ARG002  the protocol's signature
        return []
