"""A reader of growing logs of any size by line number: it keeps an index of blocks, and reads only what is shown."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from pathlib import Path

from canary_tui.store.files import close_file, read_only
from canary_tui.store.logs.lines import Lines, Piece, Pieces

BLOCK = 1 << 16
_MOST_INDEXED = 32 << 20
"""Bytes that one `poll` indexes in some 20 ms, so that opening a huge log never stops a screen."""


class LogReader(Lines):
    """One target's log, which may not exist yet, may grow fast, and may lose an unfinished last line.

    Piece k holds the lines that start in block k of the file. The index costs 8 bytes for 64 KiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.behind = False
        """Whether the last `poll` left something to index."""
        self._fd = -1
        self._reset()

    def _reset(self) -> None:
        self._starts = array("Q", [1])
        """For block k the number of lines that start in blocks 0 to k; the one after the last line end counts."""
        self._counted = 0
        """The end of the last whole line. Nothing beyond is in the index, so that a cut there changes nothing."""
        self._size = 0
        self._pieces = Pieces()

    @property
    def lines(self) -> int:
        return self._starts[-1] - 1 + self.unfinished

    @property
    def unfinished(self) -> bool:
        """Whether the last line has no end yet."""
        return self._size > self._counted

    def poll(self) -> bool:
        if self._fd < 0 and not self._open():
            return False
        size = os.fstat(self._fd).st_size
        if size == self._size:
            return False
        if size < self._counted:
            self._reset()
        for number in [one for one in self._pieces if one >= len(self._starts) - 1]:
            del self._pieces[number]
        stop = min(size, self._counted + _MOST_INDEXED)
        self._index(stop)
        self.behind = stop < size
        # While behind, the part without an index would look like an unfinished line.
        self._size = self._counted if self.behind else size
        return True

    def _open(self) -> bool:
        try:
            self._fd = read_only(self.path)
        except OSError:
            return False
        return True

    def _index(self, stop: int) -> None:
        place = self._counted
        while place < stop:
            # A line end at p starts a line at p + 1, so every block is counted one byte early.
            block = (place + 1) // BLOCK
            data = os.pread(self._fd, min(stop, (block + 1) * BLOCK - 1) - place, place)
            if not data:
                break
            last = data.rfind(b"\n")
            if last >= 0:
                self._starts.extend([self._starts[-1]] * (block + 1 - len(self._starts)))
                self._starts[-1] += data.count(b"\n")
                self._counted = place + last + 1
            place += len(data)

    def piece_of(self, line: int) -> int:
        return bisect_right(self._starts, line)

    def piece(self, number: int) -> Piece:
        if number in self._pieces:
            return self._pieces[number]
        first = self._starts[number - 1] if number else 0
        count = min(self._starts[number], self.lines) - first
        if count <= 0:
            return Piece(first, [])
        return self._pieces.keep(number, Piece(first, self._read_lines(number, count)))

    def _read_lines(self, block: int, count: int) -> list[bytes]:
        """Read the `count` lines that start in a block; the last one may end beyond it."""
        place = max(0, block * BLOCK - 1)
        data = self._read(place, BLOCK + 1)
        begin = data.find(b"\n") + 1 if block else 0
        while data.count(b"\n", begin) < count and (more := self._read(place + len(data), 4 * BLOCK)):
            data += more
        return data[begin:].split(b"\n", count)[:count]

    def _read(self, place: int, size: int) -> bytes:
        return os.pread(self._fd, max(0, min(size, self._size - place)), place)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            close_file(self._fd)
            self._fd = -1
