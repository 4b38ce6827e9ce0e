"""What the terminal must be able to do for the screens, and how its colours are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import TextIO

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from canary_tui.text.safe import blanked, stripped

SMALLEST = (60, 18)
"""Columns and rows below which the screens do not fit."""
KEEP_TITLE, FORMER_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""The terminal puts its title aside, and takes it up again."""
_LONGEST_TITLE = 120


class StripControls(LineFilter):
    """The last net before the terminal: no text of a target, a file or a person can steer it.

    Widths stay right: most of these characters count as no cell, and the others become blanks.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  Textual's
        """The segments of one line without control characters in their texts."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [_stripped(segment) for segment in segments]


def _stripped(segment: Segment) -> Segment:
    if segment.control or segment.text.isprintable():
        return segment
    return Segment(stripped(segment.text, cell_len), segment.style)


def one_line(text: str) -> str:
    """Text of unknown origin as it may stand in one line of a screen: every hostile character becomes a blank."""
    return blanked(text)


def title(words: str) -> str:
    """What gives the terminal's window a title; ended by ST, because a bell is for what waits."""
    return f"\x1b]2;{one_line(words)[:_LONGEST_TITLE]}\x1b\\"


def printable(text: str) -> str:
    """Several lines of unknown origin, as they may be printed."""
    return "".join(one_line(line) + "\n" for line in text.splitlines())


def refusal(environ: Mapping[str, str], terminals: Sequence[TextIO | None]) -> str:
    """Why the screens cannot be shown here, "" where they can; `terminals` are what is read and drawn on."""
    if not all(one is not None and one.isatty() for one in terminals):
        return "this is not a terminal; --headless prints lines instead of screens"
    if environ.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        return f"TERM is {environ.get('TERM', 'not set')!s}: no screens there; --headless prints lines instead"
    return ""


def colourless(environ: Mapping[str, str]) -> bool:
    """Whether NO_COLOR asks for none; an empty value asks for nothing."""
    return bool(environ.get("NO_COLOR"))


def speak_utf8(drawn_on: TextIO | None) -> None:
    """Make the stream that is drawn on UTF-8: an ASCII locale would print lines as escapes."""
    if isinstance(drawn_on, TextIOWrapper) and drawn_on.encoding.lower().replace("-", "") != "utf8":
        drawn_on.reconfigure(encoding="utf-8")
