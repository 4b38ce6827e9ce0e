"""The order in which the lines of all targets came: fixed-size records that make one merged log of many files.

A record says: `lines` whole lines of target number `target`, at `offset`, `length` bytes long, were written at `at_ms`,
after `before` lines of any target. `targets` names the targets, one a line, number 0 first.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from canary_tui.store.files import close_file, open_file, read_only, write_all
from canary_tui.store.logs.format import log_path

_FORM = struct.Struct("<IIQQQQ")
SIZE = _FORM.size
PIECE = 1 << 16
"""Bytes that one record covers, unless a single line is longer: so much is read to see one line."""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One record as described above. `before` and `before + lines` are line numbers of the merged log."""

    target: int
    lines: int
    offset: int
    length: int
    before: int
    at_ms: int

    def pack(self) -> bytes:
        return _FORM.pack(self.target, self.lines, self.offset, self.length, self.before, self.at_ms)


def unpack(data: bytes) -> list[OrderRecord]:
    """Unpack whole records."""
    return [OrderRecord(*fields) for fields in _FORM.iter_unpack(data)]


def order_path(folder: Path) -> Path:
    return folder / "order"


def targets_path(folder: Path) -> Path:
    return folder / "targets"


def read_names(folder: Path) -> list[str]:
    """Read the targets' names by number; a torn last line is ignored."""
    try:
        data = targets_path(folder).read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").split("\n")[:-1]


class Order:
    """The one writer of `order` and `targets`. Opening it repairs them after a crash, from the logs themselves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._names = self._mend_names()
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self.lines = 0
        """Lines of all targets so far."""
        self._fd = open_file(order_path(folder), create=True)
        try:
            self._mend()
        except BaseException:
            close_file(self._fd)
            raise

    def number(self, target: str) -> int:
        """Return a target's number; its name is in the file before the number is used."""
        with self._lock:
            if target not in self._numbers:
                fd = open_file(targets_path(self._folder), create=True)
                try:
                    write_all(fd, " ".join(target.splitlines()).encode("utf-8", "replace") + b"\n")
                finally:
                    close_file(fd)
                self._numbers[target] = len(self._numbers)
            return self._numbers[target]

    def add(self, target: int, offset: int, data: bytes, at_ms: int) -> None:
        """Record that whole lines, `data`, were written at `offset` of a target's log."""
        with self._lock:
            packed: list[bytes] = []
            start = 0
            while start < len(data):
                stop = data.rfind(b"\n", start, start + PIECE) + 1 or data.find(b"\n", start) + 1 or len(data)
                lines = data.count(b"\n", start, stop)
                packed.append(OrderRecord(target, lines, offset + start, stop - start, self.lines, at_ms).pack())
                self.lines += lines
                start = stop
            write_all(self._fd, b"".join(packed))

    def close(self) -> None:
        close_file(self._fd)

    def _mend_names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            os.truncate(targets_path(self._folder), whole_lines(targets_path(self._folder)))
        return read_names(self._folder)

    def _mend(self) -> None:
        """Cut the order at its first record that disagrees with the logs, and add records for the rest of the logs."""
        ends = {number: whole_lines(log_path(self._folder, name)) for number, name in enumerate(self._names)}
        covered = dict.fromkeys(ends, 0)
        good = 0
        data = _read_all(self._fd)
        for record in unpack(data[: len(data) // SIZE * SIZE]):
            end = record.offset + record.length
            agrees = (
                record.before == self.lines
                and covered.get(record.target) == record.offset
                and end <= ends[record.target]
            )
            if not agrees:
                break
            covered[record.target] = end
            self.lines += record.lines
            good += SIZE
        os.ftruncate(self._fd, good)
        for number, end in ends.items():
            self._cover(number, covered[number], end)

    def _cover(self, number: int, start: int, end: int) -> None:
        if start == end:
            return
        fd = read_only(log_path(self._folder, self._names[number]))
        try:
            at_ms = os.fstat(fd).st_mtime_ns // 10**6
            while start < end:
                data = os.pread(fd, min(end - start, 1 << 22), start)
                data = data[: data.rfind(b"\n") + 1] or data
                self.add(number, start, data, at_ms)
                start += len(data)
        finally:
            close_file(fd)


def whole_lines(path: Path) -> int:
    """Return the offset at which the last whole line of a file ends."""
    try:
        fd = read_only(path)
    except FileNotFoundError:
        return 0
    try:
        end = os.fstat(fd).st_size
        while end:
            start = max(0, end - PIECE)
            found = os.pread(fd, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0
    finally:
        close_file(fd)


def _read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
