"""What a line of a target's log looks like, written and read: `2026-11-23T10:15:02.123Z switch out| text`.

The three words before the text are time, step and stream (`out`, `err`, or `--` for lines of our own). A `+` in
place of the `|` says that the line continues the stream's line before: it was longer than `LONGEST`, or another
stream came between. So a text of any shape can be put together again, and no text can pass for a line of ours.
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
"""Characters of text in one line of a log; what is longer continues in the next."""
OURS = "--"
PREFIX = re.compile(rb"(\S{20,28}) ([^\s|]+) (out|err|--)([|+]) ")
_MARK_DIGITS = 12
MARK_NUMBER = re.compile(rb"( --\| (?:begin|end) )[0-9a-f]{1,%d}" % _MARK_DIGITS)
"""What is different in each execution where its output begins and ends."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log. `at` is seconds since 1970, 0.0 where the line is not of our making.

    `continued`: the line before it, of this stream, goes on here. `hidden` counts the bytes of text that were left
    out at its end. `target` is set where lines of several targets are read.
    """

    at: float
    step: str
    stream: str
    text: str
    continued: bool = False
    hidden: int = 0
    target: str = ""


def log_path(folder: Path, target: str) -> Path:
    """Where a target's log is."""
    return folder / f"{safe_name(target)}.log"


def parse_line(line: bytes, target: str = "", longest: int | None = None) -> LogLine:
    """A line without its end; of its text at most `longest` bytes, where that is given."""
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
    """Where in a line the text begins."""
    match = PREFIX.match(line)
    return match.end() if match else 0


@lru_cache(4096)
def _seconds(stamp: bytes) -> float:
    try:
        return datetime.fromisoformat(stamp.decode()).timestamp()
    except ValueError:
        return 0.0


def stamp(at: float) -> str:
    """A time as the logs write it: UTC, with milliseconds."""
    whole, thousandths = divmod(int(at * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03d}Z"


@lru_cache(64)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def step_word(name: str) -> str:
    """A step's name as the one word that stands in a line."""
    word = "-".join(name.split()).replace("|", "-")[:64]
    return "".join(letter if letter.isprintable() else "?" for letter in word) or "-"


def begin_mark(execution: str) -> str:
    """The text of our line where an execution's output begins."""
    return f"begin {execution[:_MARK_DIGITS]}"


def end_mark(execution: str) -> str:
    """How the text of our line begins where an execution's output ends."""
    return f"end {execution[:_MARK_DIGITS]}"


class Formatter:
    """Turns text into lines, wherever it is cut into chunks: the lines are the same, but for their times.

    A line that has begun is left unfinished until its end comes, so that a prompt is seen at once.
    """

    def __init__(self, step: str = "-") -> None:
        self.step = step
        self.open: str | None = None
        """The stream of the line that has begun and not ended."""
        self.broken: set[str] = set()
        """Streams whose line has been ended in the file, while the text may still go on with it."""
        self._width = 0

    def text(self, text: str, stream: str, at: float) -> str:
        """What to append to the file for a chunk of a stream."""
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
        """Put as much of the text as fits without looking at single lines; where it stopped."""
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
        """What to append where an execution begins."""
        before = self._break() if self.open is not None else ""
        self.step = step_word(step)
        self.broken.clear()
        return before + self._ours(begin_mark(execution), at)

    def end(self, execution: str, text: str, at: float) -> str:
        """What to append where an execution has ended; it says so when the last line had no end."""
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
