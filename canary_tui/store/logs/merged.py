"""The logs of all targets read as one, in order of arrival."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path

from canary_tui.store.files import close_file, read_only
from canary_tui.store.logs.format import log_path
from canary_tui.store.logs.lines import Lines, Piece, Pieces
from canary_tui.store.logs.order import SIZE, OrderRecord, order_path, read_names, unpack

_MOST_OPEN = 32


class MergedReader(Lines):
    """Whole lines of all targets. Piece k is described by record k of the order; no index is kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fd = -1
        self._names: list[str] = []
        self._files: OrderedDict[int, int] = OrderedDict()
        self._reset()

    def _reset(self) -> None:
        self._records = 0
        self._lines = 0
        self._pieces = Pieces()
        self._last = OrderRecord(0, 0, 0, 0, 0, 0)
        self._last_number = 0

    @property
    def lines(self) -> int:
        return self._lines

    def poll(self) -> bool:
        if self._fd < 0 and not self._open():
            return False
        records = os.fstat(self._fd).st_size // SIZE
        if records == self._records:
            return False
        if records < self._records:
            self._reset()
        self._records = records
        last = self._record(records - 1) if records else self._last
        self._lines = last.before + last.lines
        return True

    def _open(self) -> bool:
        try:
            self._fd = read_only(order_path(self.folder))
        except OSError:
            return False
        return True

    def _record(self, number: int) -> OrderRecord:
        return unpack(os.pread(self._fd, SIZE, number * SIZE))[0]

    def piece_of(self, line: int) -> int:
        # Lines are read one after the other: mostly it is the piece of last time, or the next.
        for number in (self._last_number, self._last_number + 1):
            if number < self._records:
                self._look_at(number)
                if self._last.before <= line < self._last.before + self._last.lines:
                    return number
        self._look_at(bisect_right(range(self._records), line, key=lambda number: self._record(number).before) - 1)
        return self._last_number

    def _look_at(self, number: int) -> None:
        self._last_number, self._last = number, self._record(number)

    def piece(self, number: int) -> Piece:
        if number not in self._pieces:
            record = self._record(number)
            lines = self._bytes(record).split(b"\n")[: record.lines]
            # A log that was cut under us must not move the numbers of the lines that follow.
            lines += [b""] * (record.lines - len(lines))
            self._pieces.keep(number, Piece(record.before, lines, self._name(record.target)))
        return self._pieces[number]

    def _bytes(self, record: OrderRecord) -> bytes:
        fd = self._file(record.target)
        return os.pread(fd, record.length, record.offset) if fd >= 0 else b""

    def _name(self, target: int) -> str:
        if target >= len(self._names):
            self._names = read_names(self.folder)
        return self._names[target] if target < len(self._names) else ""

    def _file(self, target: int) -> int:
        if target not in self._files:
            try:
                self._files[target] = read_only(log_path(self.folder, self._name(target)))
            except OSError:
                return -1
            if len(self._files) > _MOST_OPEN:
                close_file(self._files.popitem(last=False)[1])
        self._files.move_to_end(target)
        return self._files[target]

    def close(self) -> None:
        """Close the files."""
        for fd in [*self._files.values(), *([self._fd] if self._fd >= 0 else [])]:
            close_file(fd)
        self._files.clear()
        self._fd = -1
