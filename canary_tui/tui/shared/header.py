"""The line at the top of every screen: its subject on the left, a count on the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from canary_tui.tui.terminal import one_line


class TitleBar(Widget):
    """One line of plain text; a narrow terminal cuts the left part."""

    DEFAULT_CSS = """
    TitleBar { height: 1; dock: top; background: $panel; color: $foreground; text-style: bold; }
    TitleBar:nocolor { text-style: reverse; }
    TitleBar:ansi { text-style: reverse; }
    """

    def __init__(self, left: str = "", right: str = "", *, id: str | None = None) -> None:  # noqa: A002  Textual's name
        super().__init__(id=id)
        self._left, self._right = one_line(left), one_line(right)

    def show(self, left: str, right: str = "") -> None:
        """Change the texts."""
        self._left, self._right = one_line(left), one_line(right)
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  Textual's signature
        """Paint the only line."""
        right = f" {self._right} " if self._right else ""
        room = max(0, self.size.width - cell_len(right))
        text = set_cell_size(f" {self._left}", room) + right
        return Strip([Segment(text, self.rich_style)], cell_len(text))
