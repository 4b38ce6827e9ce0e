"""The terminal: its smallest size, its title, its encoding, its colours, and the last filter before it."""

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
"""The columns and rows that the screens need."""
KEEP_TITLE, FORMER_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""The sequences that make the terminal save its title, and restore it."""
_LONGEST_TITLE = 120


class StripControls(LineFilter):
    """The last filter before the terminal: no text of a target, a file or a person can steer it.

    Deleting keeps the widths right: most of these characters count as no cell, and the others become blanks.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  Textual's
        """Remove control characters from the texts of one line's segments."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [_stripped(segment) for segment in segments]


def _stripped(segment: Segment) -> Segment:
    if segment.control or segment.text.isprintable():
        return segment
    return Segment(stripped(segment.text, cell_len), segment.style)


def one_line(text: str) -> str:
    """Make text of unknown origin fit for one line of a screen: every hostile character becomes a blank."""
    return blanked(text)


def title(words: str) -> str:
    """Write the sequence that sets the window's title; ST ends it, because BEL would ring."""
    return f"\x1b]2;{one_line(words)[:_LONGEST_TITLE]}\x1b\\"


def printable(text: str) -> str:
    """Make several lines of unknown origin fit to be printed."""
    return "".join(one_line(line) + "\n" for line in text.splitlines())


def refusal(environ: Mapping[str, str], terminals: Sequence[TextIO | None]) -> str:
    """Tell why the screens cannot be shown, "" if they can; `terminals` are the streams to read from and draw on."""
    if not all(one is not None and one.isatty() for one in terminals):
        return "this is not a terminal; --headless prints lines instead of screens"
    if environ.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        return f"TERM is {environ.get('TERM', 'not set')!s}: no screens there; --headless prints lines instead"
    return ""


def colourless(environ: Mapping[str, str]) -> bool:
    """Whether NO_COLOR asks for no colours; an empty value does not."""
    return bool(environ.get("NO_COLOR"))


def few_colours(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is drawn on in 16 colours or fewer, by the rules of the library that draws."""
    if environ.get("COLORTERM", "").strip().lower() in {"truecolor", "24bit"}:
        return False
    return environ.get("TERM", "").strip().lower().rpartition("-")[2] not in {"256color", "kitty"}


def speak_utf8(drawn_on: TextIO | None) -> None:
    """Set the encoding of the drawn stream to UTF-8: an ASCII locale would print lines as escapes."""
    if isinstance(drawn_on, TextIOWrapper) and drawn_on.encoding.lower().replace("-", "") != "utf8":
        drawn_on.reconfigure(encoding="utf-8")
