"""How pieces of text with a tone become one row of the screen; every row of our own widgets is made here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from canary_tui.tui.terminal import one_line

TONES = (
    "plain",
    "dim",
    "strong",
    "heading",
    "hit",
    "cursor",
    "chosen",
    "rule",
    "time",
    "name",
    "note",
    "stderr",
    "running",
    "pending",
    "ok",
    "undone",
    "failed",
    "unreachable",
    "unknown",
    "skipped",
    "excluded",
    "held",
)

Piece = tuple[str, str]
"""A text and the tone it is drawn in."""


def fit(text: str, width: int) -> str:
    """Text in exactly so many cells; `…` says that something was cut off."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def pieces_width(pieces: Iterable[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


class Toned(Widget):
    """A widget that draws itself row by row; subclasses say which pieces a row has."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES}
    ALLOW_SELECT = False

    def tone(self, name: str) -> Style:
        """A tone's style, to be laid over the widget's own."""
        # A partial style has no background to blend a translucent colour with; a whole one would hide the row's own.
        blended = self.get_component_rich_style(f"tone--{name}")
        return self.get_component_rich_style(f"tone--{name}", partial=True) + Style(color=blended.color)

    def strip(self, pieces: Iterable[Piece], width: int, over: str = "") -> Strip:
        """One row of exactly `width` cells; `over` is a tone laid over all of it."""
        base = self.rich_style
        top = self.tone(over) if over else None
        segments = []
        for text, tone in pieces:
            style = base + self.tone(tone)
            if top is not None:
                # What was searched for stays visible on the row of the cursor, too.
                style = base + top + self.tone(tone) if tone == "hit" else style + top
            segments.append(Segment(one_line(text), style))
        return Strip(segments).adjust_cell_length(width, base + top if top else base)
