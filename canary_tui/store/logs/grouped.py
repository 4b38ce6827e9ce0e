"""The logs of all targets with identical output grouped: differing groups first, then the output of the most.

The rows are a heading for the reference; for each other group a heading and its lines, from shortly before the first
different one; and the reference's lines, under a heading of their own if there are other groups.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.store.files import close_file, read_only
from canary_tui.store.logs.format import log_path
from canary_tui.store.logs.grouping import MOST_LINES, Branch, Group, Grouping
from canary_tui.store.logs.lines import Lines, Piece
from canary_tui.store.logs.order import SIZE, order_path, read_names, unpack
from canary_tui.store.logs.reader import LogReader

BEFORE = 2
"""Identical lines that are shown before the first different one."""
_PORTION = 1 << 20
"""Bytes that are compared at once; more than any line has."""
_EVERY, _AT_REST = 0.1, 10
"""Seconds between two looks for grown logs; ten times the cost of laying out the rows, if that is more."""
_MOST_OPEN = 16
_MOST_RECORDS = 50_000
"""Most new records of the order that are read one by one; with more, every log is looked at."""
_PIECES = 32


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows: the heading of a group, the caption over the reference's lines, or lines `start` to `stop` of a log.

    `group` is the group's branch, None for the reference. `differs` is the first different line, if there is one.
    """

    kind: Literal["heading", "caption", "lines"]
    group: Branch | None
    text: str = ""
    target: str = ""
    start: int = 0
    stop: int = 1
    differs: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of targets in the reference's group, of those behind in it, and of those that differ."""

    same: int = 0
    behind: int = 0
    differ: int = 0


class GroupedReader(Lines):
    """The grouped logs as rows. `own` has each target's own words, in the targets' order; `first` are the canaries.

    `poll` compares for at most `budget` seconds. Eight bytes are kept of a line, once for identical ones.
    """

    def __init__(
        self,
        folder: Path,
        own: Mapping[str, Collection[str]],
        first: Collection[str] = (),
        called: str = "",
        budget: float = 0.03,
    ) -> None:
        self.folder = folder
        self.tally = Tally()
        self.edition = 1
        """A number that changes when rows get other numbers or other words."""
        self.parts: list[Part] = []
        self._starts: list[int] = []
        self._before: tuple[list[Part], list[int]] = ([], [])
        self._grouping = Grouping(own)
        self._own, self._first, self._called, self._budget = own, first, called, budget
        self._read: dict[str, int] = {}
        """The compared bytes of each log."""
        self._done: set[str] = set()
        """Logs too long to be compared any further."""
        self._grown: dict[str, None] = {}
        self._growing = 0
        self._caught_up = False
        self._records = 0
        self._changed = False
        self._next_look = self._next_rows = 0.0
        self._readers: OrderedDict[str, LogReader] = OrderedDict()
        self._names: dict[tuple[str, ...], str] = {}

    # comparing

    @property
    def progress(self) -> float:
        """The compared share of the logs until all are compared once; 1.0 from then on."""
        if self._caught_up:
            return 1.0
        return 1.0 - len(self._grown) / self._growing if self._growing else 0.0

    def poll(self) -> bool:
        now = time.monotonic()
        if not self._grown and now >= self._next_look:
            self._next_look = now + _EVERY
            self._grown = {name: None for name in self._look() if name in self._own and name not in self._done}
            self._growing = len(self._grown)
        while self._grown:
            self._take(next(iter(self._grown)))
            if time.monotonic() >= now + self._budget:
                break
        self._caught_up = self._caught_up or not self._grown
        if not self._changed or (self._grown and now < self._next_rows):
            return False
        self._changed = False
        before = time.monotonic()
        changed = self._lay_out()
        self._next_rows = self._next_look = max(now + _EVERY, before + _AT_REST * (time.monotonic() - before))
        return changed

    def _look(self) -> list[str]:
        """List the targets whose logs have grown: the order of lines tells it without a look at each log."""
        try:
            fd = read_only(order_path(self.folder))
        except OSError:
            return []
        try:
            before, self._records = self._records, os.fstat(fd).st_size // SIZE
            if self._records == before:
                return []
            names = read_names(self.folder)
            if not before < self._records <= before + _MOST_RECORDS:
                return names
            records = unpack(os.pread(fd, (self._records - before) * SIZE, before * SIZE))
            return [names[number] for number in sorted({record.target for record in records}) if number < len(names)]
        finally:
            close_file(fd)

    def _take(self, target: str) -> None:
        """Compare the next portion of a log."""
        data = _read_portion(log_path(self.folder, target), self._read.get(target, 0))
        end = data.rfind(b"\n") + 1
        self._grouping.add(target, data[:end])
        self._read[target] = self._read.get(target, 0) + end
        self._changed = True
        if self._grouping.places[target].cut:
            self._done.add(target)
        if end == 0 or len(data) < _PORTION or target in self._done:
            del self._grown[target]

    # the rows

    def _lay_out(self) -> bool:
        groups = self._grouping.groups(self._first)
        if not groups:
            return False
        reference, *others = groups
        # A long one must not hide the others; by its order of magnitude, so that growing seldom changes the order.
        others.sort(key=lambda group: _opened(group).bit_length())
        self.tally = Tally(len(reference.targets), reference.behind, sum(len(group.targets) for group in others))
        parts = [Part("heading", None, self._reference_words(reference))]
        for group in others:
            start = group.lines - _opened(group)
            parts.append(Part("heading", group.branch, self._other_words(group)))
            parts.append(Part("lines", group.branch, "", group.furthest, start, group.lines, group.differs))
        if others:
            parts.append(Part("caption", None, _caption(reference)))
        parts.append(Part("lines", None, "", reference.furthest, 0, reference.lines))
        return self._show(parts)

    def _show(self, parts: list[Part]) -> bool:
        if parts == self.parts:
            return False
        if not self.parts or self.parts[:-1] != parts[:-1] or not _goes_on(self.parts[-1], parts[-1]):
            self._before = self.parts, self._starts
            self.edition += 1
        self.parts = parts
        self._starts = [0]
        for part in parts:
            self._starts.append(self._starts[-1] + part.stop - part.start)
        return True

    def _reference_words(self, group: Group) -> str:
        number = len(group.targets)
        canaries = len(set(self._first).intersection(group.targets))
        alone = " with the same output" if number > 1 else ""
        same = f" same as {self._called}" if 0 < canaries < number else alone
        behind = f", {group.behind:,} still behind" if group.behind else ""
        return f"{count(number, 'target')}{same}{behind}{_cut(group)}: {self._compressed(group.targets)}"

    def _other_words(self, group: Group) -> str:
        number = len(group.targets)
        differs = f"{count(number, 'target')} {'differs' if number == 1 else 'differ'}"
        return f"{differs} from line {(group.differs or 0) + 1:,} on{_cut(group)}: {self._compressed(group.targets)}"

    def _compressed(self, names: tuple[str, ...]) -> str:
        if names not in self._names:
            if len(self._names) > len(self._own):
                self._names.clear()
            self._names[names] = compress_names(names)
        return self._names[names]

    def moved(self, line: int) -> int:
        """Return the row of this edition that shows a row of the last one, or the nearest."""
        parts, starts = self._before
        if not parts:
            return line
        at = min(bisect_right(starts, line) - 1, len(parts) - 1)
        was, here = parts[at], line - starts[at] + parts[at].start
        for part, start in zip(self.parts, self._starts, strict=False):
            if (part.kind, part.group) == (was.kind, was.group):
                return start + min(max(here, part.start), part.stop - 1) - part.start
        return min(line, self.lines - 1)

    # as lines

    @property
    def lines(self) -> int:
        return self._starts[-1] if self._starts else 0

    def part_of(self, line: int) -> tuple[Part, int]:
        """Return a row's part, and the number in its log of the row's line."""
        at = bisect_right(self._starts, line) - 1
        return self.parts[at], line - self._starts[at] + self.parts[at].start

    def piece_of(self, line: int) -> int:
        part, here = self.part_of(line)
        inside = self._reader(part).piece_of(here) if part.kind == "lines" else 0
        return (bisect_right(self._starts, line) - 1 << _PIECES) + inside

    def piece(self, number: int) -> Piece:
        at, inside = number >> _PIECES, number & (1 << _PIECES) - 1
        part, first = self.parts[at], self._starts[at]
        if part.kind != "lines":
            return Piece(first, [part.text.encode("utf-8", "replace")])
        reader = self._reader(part)
        if inside > reader.piece_of(max(0, reader.lines - 1)):
            return Piece(first, [])
        piece = reader.piece(inside)
        start = max(piece.first, part.start)
        lines = piece.lines[start - piece.first : part.stop - piece.first]
        return Piece(first + start - part.start, lines, part.target)

    def _reader(self, part: Part) -> LogReader:
        reader = self._readers.pop(part.target, None) or LogReader(log_path(self.folder, part.target))
        self._readers[part.target] = reader
        if len(self._readers) > _MOST_OPEN:
            self._readers.popitem(last=False)[1].close()
        if reader.lines < part.stop:
            reader.poll()
        return reader

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


def _opened(group: Group) -> int:
    """Return the number of a different group's lines that are shown."""
    return group.lines - max(0, (group.differs or 0) - BEFORE)


def _caption(group: Group) -> str:
    number = len(group.targets)
    return f"output of {group.furthest}" if number == 1 else f"output of the {number:,}, as {group.furthest} printed it"


def _goes_on(one: Part, other: Part) -> bool:
    """Whether the other part is the same, or the same and longer."""
    return replace(one, stop=other.stop) == other and one.stop <= other.stop


def _read_portion(path: Path, offset: int) -> bytes:
    """Read a portion of a log; nothing if there is no log."""
    try:
        fd = read_only(path)
    except OSError:
        return b""
    try:
        return os.pread(fd, _PORTION, offset)
    finally:
        close_file(fd)


def _cut(group: Group) -> str:
    return f", compared up to line {group.lines:,} (at most {MOST_LINES:,})" if group.cut else ""
