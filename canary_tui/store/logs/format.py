"""The format of a line in a target's log, written and read: `2026-11-23T10:15:02.123Z switch out| text`.

The three words before the text are time, step and stream (`out`, `err`, or `--` for lines of our own). A `+` in
place of the `|` says that the line continues the stream's last line, which was longer than `LONGEST` or was
interrupted by another stream. So any text can be put together again, and no text can pass for a line of ours.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from canary_tui.store.files import safe_name

LONGEST = 1 << 16
"""Characters of text in one line of a log; a longer text continues in the next line."""
OURS = "--"
PREFIX = re.compile(rb"(\S{20,28}) ([^\s|]+) (out|err|--)([|+]) ")
_MARK_DIGITS = 12
MARK_NUMBER = re.compile(rb"( --\| (?:begin|end) )[0-9a-f]{1,%d}" % _MARK_DIGITS)
"""The part of the begin and end lines that differs in each execution."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log. `at` is in seconds since 1970, 0.0 if the line is not of our making.

    `continued`: it continues the last line of its stream. `hidden` counts the bytes of text that were cut off its
    end. `target` is set if lines of several targets are read.
    """

    at: float
    step: str
    stream: str
    text: str
    continued: bool = False
    hidden: int = 0
    target: str = ""


def log_path(folder: Path, target: str) -> Path:
    """Return the path of a target's log."""
    return folder / f"{safe_name(target)}.log"


def parse_line(line: bytes, target: str = "", longest: int | None = None) -> LogLine:
    """Parse a line without its end; keep at most `longest` bytes of its text, if given."""
    match = PREFIX.match(line)
    start = match.end() if match else 0
    hidden = max(0, len(line) - start - longest) if longest is not None else 0
    # A character that the cut would split is left out, not shown broken.
    text = line[start : len(line) - hidden].decode("utf-8", "ignore" if hidden else "replace")
    if match is None:
        return LogLine(0.0, "", "", text, hidden=hidden, target=target)
    at, step, stream, mark = match.groups()
    return LogLine(_seconds(at), step.decode("utf-8", "replace"), stream.decode(), text, mark == b"+", hidden, target)


def text_start(line: bytes) -> int:
    """Return the offset of the text in a line."""
    match = PREFIX.match(line)
    return match.end() if match else 0


@lru_cache(4096)
def _seconds(stamp: bytes) -> float:
    try:
        return datetime.fromisoformat(stamp.decode()).timestamp()
    except ValueError:
        return 0.0


def stamp(at: float) -> str:
    """Write a time as the logs do: UTC, with milliseconds."""
    whole, thousandths = divmod(int(at * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03d}Z"


@lru_cache(64)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def step_word(name: str) -> str:
    """Turn a step's name into the one word of a line."""
    word = "-".join(name.split()).replace("|", "-")[:64]
    return "".join(letter if letter.isprintable() else "?" for letter in word) or "-"


def begin_mark(execution: str) -> str:
    """Return the text of our line at the begin of an execution's output."""
    return f"begin {execution[:_MARK_DIGITS]}"


def end_mark(execution: str) -> str:
    """Return the first words of our line at the end of an execution's output."""
    return f"end {execution[:_MARK_DIGITS]}"


class Formatter:
    """Turns text into lines. The cuts between its chunks change nothing but the times of the lines.

    A line stays unfinished in the file until its end comes, so that a prompt is seen at once.
    """

    def __init__(self, step: str = "-") -> None:
        self.step = step
        self.open: str | None = None
        """The stream of the unfinished line; None if the last line is finished."""
        self.broken: set[str] = set()
        """Streams whose line was ended in the file while their text may continue it."""
        self._width = 0

    def text(self, text: str, stream: str, at: float) -> str:
        """Return the lines to append for a chunk of a stream."""
        if not text:
            return ""
        pieces = [self._break()] if self.open not in (None, stream) else []
        if stream in self.broken:
            self.broken.discard(stream)
            if text[0] == "\n":
                text = text[1:]
            else:
                pieces.append(self._begin(stream, "+", at))
        start = 0
        while start < len(text):
            if self.open is None:
                pieces.append(self._begin(stream, "|", at))
            start = self._fill(text, start, stream, at, pieces)
        return "".join(pieces)

    def _fill(self, text: str, start: int, stream: str, at: float, pieces: list[str]) -> int:
        """Append as much text as fits without a look at single lines; return the offset at which it stopped."""
        room = LONGEST - self._width
        stop = len(text)
        if stop - start > room:
            stop = text.rfind("\n", start, start + room + 1) + 1
            if not stop:
                stop = start + room
                pieces += text[start:stop], "\n", self._begin(stream, "+", at)
                return stop
        # One replace a chunk: a loop over lines costs ten times as much.
        if text[stop - 1] == "\n":
            pieces += text[start : stop - 1].replace("\n", self._next_line(stream, at)), "\n"
            self.open = None
        else:
            pieces.append(text[start:stop].replace("\n", self._next_line(stream, at)))
            last = text.rfind("\n", start, stop)
            self._width = stop - last - 1 if last >= 0 else self._width + stop - start
        return stop

    def begin(self, step: str, execution: str, at: float) -> str:
        """Return the lines to append at the begin of an execution."""
        before = self._break() if self.open is not None else ""
        self.step = step_word(step)
        self.broken.clear()
        return before + self._ours(begin_mark(execution), at)

    def end(self, execution: str, text: str, at: float) -> str:
        """Return the lines to append at the end of an execution; they say if the last line had no newline."""
        before = self._break() if self.open is not None else ""
        words = [end_mark(execution), text, "(no newline at the end)" if self.broken else ""]
        self.broken.clear()
        return before + self._ours(" ".join(word for word in words if word), at)

    def _ours(self, text: str, at: float) -> str:
        return f"{stamp(at)} {self.step} {OURS}| {' '.join(text.splitlines())}\n"

    def _begin(self, stream: str, mark: str, at: float) -> str:
        self.open, self._width = stream, 0
        return f"{stamp(at)} {self.step} {stream}{mark} "

    def _next_line(self, stream: str, at: float) -> str:
        return f"\n{stamp(at)} {self.step} {stream}| "

    def _break(self) -> str:
        assert self.open is not None
        self.broken.add(self.open)
        self.open = None
        return "\n"
