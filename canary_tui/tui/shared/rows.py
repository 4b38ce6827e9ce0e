"""Texts with tones, made into the rows of our own widgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Self

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Region
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
    "waived",
    "failed",
    "unreachable",
    "unknown",
    "skipped",
    "excluded",
    "held",
)

TonedText = tuple[str, str]
"""A text and the tone it is drawn in."""
ToneSpan = tuple[int, int, str]
"""Characters `start` to `stop` of a text and the tone they are drawn in."""


def fit(text: str, width: int) -> str:
    """Fit a text into exactly `width` cells; `…` marks a cut."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def texts_width(pieces: Iterable[TonedText]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def cut(text: str, spans: Sequence[ToneSpan], start: int, stop: int) -> list[TonedText]:
    """Cut characters `start` to `stop` into toned texts; where spans overlap, the last one wins."""
    edges = sorted({start, stop, *(edge for span in spans for edge in span[:2] if start < edge < stop)})
    pieces: list[TonedText] = []
    for left, right in pairwise(edges):
        tone = next((tone for first, last, tone in reversed(spans) if first <= left < last), "plain")
        pieces.append((text[left:right], tone))
    return pieces


@lru_cache(maxsize=4)
def wrapped(text: str, width: int) -> tuple[str, ...]:
    """Wrap a text that no file of ours wrote; each row of a widget asks for its line anew."""
    return tuple(line.plain for line in Content(one_line(text)).wrap(width))


class Tones(Widget):
    """The tones of a screen: each screen has one of these widgets, unseen.

    If every widget had its own tones, each change of the focus would match all rules with twenty more nodes a widget.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES}
    DEFAULT_CSS = "Tones { display: none; }"


class RowWidget(Widget):
    """A widget that is drawn row by row from toned texts. Its screen has `Tones`."""

    ALLOW_SELECT = False
    _looks: dict[str, Style] | None = None
    """The widget's own style (as "") and the tones that were used since the last refresh."""

    @property
    def rich_style(self) -> Style:
        """The widget's own style, kept: Textual computes it from all ancestors for each row, a third of a paint."""
        style = self._kept.get("")
        if style is None:
            style = self._kept[""] = super().rich_style
        return style

    def tone(self, name: str) -> Style:
        """Return a tone's style, to be laid over the widget's own."""
        style = self._kept.get(name)
        if style is None:
            styles = self.screen.query_exactly_one(Tones).get_component_styles(f"tone--{name}")
            style = styles.partial_rich_style
            if styles.has_rule("color"):  # translucent ones let this widget's background through
                style += Style(color=(self.background_colors[1] + styles.color).rich_color)
            self._kept[name] = style
        return style

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Paint again. Every change of a style, here or above, comes through this method, and never with regions."""
        if not regions:
            self._looks = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._looks = None

    @property
    def _kept(self) -> dict[str, Style]:
        if self._looks is None:
            self._looks = {}
        return self._looks

    def strip(self, pieces: Iterable[TonedText], width: int, over: str = "") -> Strip:
        """Make one row of exactly `width` cells; `over` is a tone laid over all of it."""
        base = self.rich_style
        top = self.tone(over) if over else None
        segments, room = [], width
        for text, tone in pieces:
            style = base + self.tone(tone)
            if top is not None:
                # What was searched for stays visible on the row of the cursor, too.
                style = base + top + self.tone(tone) if tone == "hit" else style + top
            segments.append(Segment(one_line(text), style))
            room -= segments[-1].cell_length
        if room < 0:
            return Strip(segments, width - room).crop(0, width)
        if room:
            segments.append(Segment(" " * room, base + top if top else base))
        return Strip(segments, width)
