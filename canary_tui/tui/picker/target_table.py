"""The picker's table: one widget for any number of rows, painted line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from canary_tui.tui.actions import bindings
from canary_tui.tui.picker.columns import GAP, Column, PlacedColumn, columns_for, lay_out
from canary_tui.tui.picker.picker import Picker
from canary_tui.tui.terminal import one_line

_MARKS = 4
"""Columns of `>[x]` before the first cell."""


class TableHead(Widget):
    """The line of column titles above a table."""

    DEFAULT_CSS = """
    TableHead { height: 1; color: $foreground 60%; text-style: bold; }
    TableHead:ansi { color: $foreground; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._text = self._place = ""

    def show(self, laid: Sequence[PlacedColumn], ordered_by: Column | None, *, reverse: bool) -> None:
        """Change the titles; a sign marks the one that sorts the rows."""
        sign = "↓" if reverse else "↑"
        titles = [one.column.title + (sign if one.column is ordered_by else "") for one in laid]
        cells = (set_cell_size(title, one.width + GAP) for title, one in zip(titles, laid, strict=True))
        self._text = " " * (_MARKS + 1) + "".join(cells)
        self.refresh()

    def show_place(self, row: int, rows: int) -> None:
        """Change the place at the right: the row of the cursor, counted from 1, and the number of rows."""
        place = f" {row:,} of {rows:,} " if rows else ""
        if place != self._place:
            self._place = place
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  Textual's signature
        """Paint the only line; the titles come before the place."""
        room = self.size.width - len(self._place)
        place = self._place if cell_len(self._text.rstrip()) <= room else ""
        text = set_cell_size(self._text, self.size.width - len(place)) + place
        return Strip([Segment(text, self.rich_style)], self.size.width)


class TargetTable(ScrollView, can_focus=True):
    """The rows of a picker, with a cursor, marks and a range being drawn."""

    DEFAULT_CSS = """
    TargetTable { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; background: $background; }
    TargetTable > .table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    TargetTable > .table--marked { color: $primary; text-style: bold; }
    TargetTable > .table--bad { color: $error; text-style: bold; }
    TargetTable > .table--open { color: $warning; text-style: bold; }
    TargetTable:nocolor > .table--cursor { text-style: reverse; }
    """
    COMPONENT_CLASSES = {"table--cursor", "table--marked", "table--bad", "table--open"}  # noqa: RUF012  Textual's declaration
    BINDINGS = bindings(
        "move",
        *(
            f"picker.{name}"
            for name in ("mark", "range", "all", "invert", "extend-down", "extend-up", "sort", "reverse")
        ),
    )

    cursor = reactive(0, repaint=False)

    class Changed(Message):
        """The marks, the order or the range have changed."""

    def __init__(self, head: TableHead) -> None:
        super().__init__()
        self.head = head
        self.picker = Picker(())
        self.range_start: int | None = None
        """The start of a range that is being drawn."""
        self.ordered_by: Column | None = None
        self.reverse = False
        self._columns: tuple[Column, ...] = columns_for(())
        self._placed: tuple[PlacedColumn, ...] = ()

    def load(self, picker: Picker) -> None:
        """Show another picker, from its top."""
        self.picker = picker
        self._columns = columns_for(picker.tag_names())
        self.ordered_by, self.reverse, self.range_start = None, False, None
        self._lay_out()
        self.show_again(to_top=True)

    def learn(self) -> None:
        """Show what the rows have learned."""
        self._lay_out()
        self.refresh()

    def show_again(self, *, to_top: bool = False) -> None:
        """Show the picker's rows anew."""
        self.range_start = None
        self.virtual_size = Size(0, len(self.picker.shown))
        self.cursor = 0 if to_top else self.validate_cursor(self.cursor)
        if to_top:
            self._scroll_to_row(0)
        self._show_place()
        self.refresh()
        self.post_message(self.Changed())

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002  Textual's signature
        """Choose the columns anew."""
        self._lay_out()
        self.call_after_refresh(self._keep_in_sight)

    def _lay_out(self) -> None:
        room = self.size.width - _MARKS - 1
        self._placed = lay_out(self._columns, self.picker.rows, max(20, room))
        self.head.show(self._placed, self.ordered_by, reverse=self.reverse)
        self.refresh()  # the rows were perhaps painted for the old columns already

    # -- the cursor

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, len(self.picker.shown) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the changed rows, and keep the cursor in sight."""
        if self.range_start is not None:
            self.refresh()
        else:
            self.refresh_line(old)
            self.refresh_line(new)
        self._show_place()
        self._keep_in_sight()

    def _show_place(self) -> None:
        self.head.show_place(self.cursor + 1, len(self.picker.shown))

    def _keep_in_sight(self) -> None:
        height, top = self.scrollable_content_region.height, round(self.scroll_y)
        if self.cursor < top:
            self._scroll_to_row(self.cursor)
        elif height and self.cursor >= top + height:
            self._scroll_to_row(self.cursor - height + 1)

    def _scroll_to_row(self, row: int) -> None:
        # Forced: otherwise a table whose scrollbar was not laid out yet does not scroll.
        self.scroll_to(y=row, animate=False, force=True)

    def action_up(self) -> None:
        """Move up one row."""
        self.cursor -= 1

    def action_down(self) -> None:
        """Move down one row."""
        self.cursor += 1

    def action_page_up(self) -> None:
        """Move up one screen."""
        self.cursor -= self.scrollable_content_region.height

    def action_page_down(self) -> None:
        """Move down one screen."""
        self.cursor += self.scrollable_content_region.height

    def action_top(self) -> None:
        """Move to the first row."""
        self.cursor = 0

    def action_bottom(self) -> None:
        """Move to the last row."""
        self.cursor = len(self.picker.shown) - 1

    # -- marks

    def action_mark(self) -> None:
        """Mark the range that is being drawn, or toggle the selected row and move on."""
        if self.range_start is not None:
            self.picker.mark_span(self.range_start, self.cursor)
            self.range_start = None
        elif self.picker.shown:
            self.picker.toggle(self.cursor)
            self.cursor += 1
        self.marks_changed()

    def action_span(self) -> None:
        """Start a range here, or cancel it."""
        self.range_start = self.cursor if self.range_start is None and self.picker.shown else None
        self.marks_changed()

    def action_all(self) -> None:
        """Mark or unmark all shown rows."""
        self.picker.toggle_all_shown()
        self.marks_changed()

    def action_invert(self) -> None:
        """Invert the marks of all shown rows."""
        self.picker.invert_shown()
        self.marks_changed()

    def action_extend_down(self) -> None:
        """Mark this row and the next, and move there."""
        self._extend(1)

    def action_extend_up(self) -> None:
        """Mark this row and the one before, and move there."""
        self._extend(-1)

    def _extend(self, by: int) -> None:
        self.picker.mark_span(self.cursor, self.validate_cursor(self.cursor + by))
        self.cursor += by
        self.marks_changed()

    def marks_changed(self) -> None:
        """Repaint the marks, and tell the screen."""
        self.refresh()
        self.post_message(self.Changed())

    # -- order

    def action_sort(self) -> None:
        """Sort by the next column; after the last, as in the file."""
        order: list[Column | None] = [None, *(one.column for one in self._placed)]
        place = order.index(self.ordered_by) if self.ordered_by in order else 0
        self.ordered_by = order[(place + 1) % len(order)]
        self._sort()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.reverse = not self.reverse
        self._sort()

    def _sort(self) -> None:
        under_cursor = self.picker.shown[self.cursor : self.cursor + 1]
        key = self.ordered_by.sort_key if self.ordered_by is not None else None
        self.picker.sort(key, reverse=self.reverse)
        self.head.show(self._placed, self.ordered_by, reverse=self.reverse)
        self.show_again()
        # Where only the marked are shown, one that has lost its mark is gone now.
        for index in set(under_cursor).intersection(self.picker.shown):
            self.cursor = self.picker.shown.index(index)

    # -- painting

    def render_line(self, y: int) -> Strip:
        """Paint the row at the terminal's line `y`."""
        position = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if position >= len(self.picker.shown):
            return self._blank(position, width)
        return Strip(self._row(position)).adjust_cell_length(width, self._style_of(position))

    def _blank(self, position: int, width: int) -> Strip:
        if position or not self.picker.rows:
            return Strip.blank(width, self.rich_style)
        text = "     nothing is marked" if self.picker.only_marked else "     no target fits the filter"
        return Strip([Segment(text, self.rich_style)]).adjust_cell_length(width, self.rich_style)

    def _style_of(self, position: int) -> Style:
        at_cursor = position == self.cursor
        return self.get_component_rich_style("table--cursor") if at_cursor else self.rich_style

    def _row(self, position: int) -> Iterator[Segment]:
        index = self.picker.shown[position]
        row = self.picker.rows[index]
        marked = index in self.picker.marked
        plain = self._style_of(position)
        style = plain
        if marked and position != self.cursor:
            style += self.get_component_rich_style("table--marked", partial=True)
        box = "[~]" if self._in_range(position) else "[x]" if marked else "[ ]"
        yield Segment((">" if position == self.cursor else " ") + box + " ", style)
        for laid in self._placed:
            tone = laid.column.tone(row)
            cell_style = plain + self.get_component_rich_style(tone, partial=True) if tone else style
            yield Segment(set_cell_size(one_line(laid.column.cell(row)), laid.width), cell_style)
            yield Segment(" " * GAP, style)

    def _in_range(self, position: int) -> bool:
        if self.range_start is None:
            return False
        first, last = sorted((self.range_start, self.cursor))
        return first <= position <= last
