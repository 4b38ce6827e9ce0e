"""Standard output and error as every command uses them: no reader, full disk or encoding behind them ends a command.

A rollout goes on when the reader of its lines goes away, and its exit code is that of the rollout. So what cannot be
written is dropped below the text, where neither `print` nor the interpreter's own flush at the end can meet it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Lossy(io.FileIO):
    """A file whose bytes are dropped where nobody takes them; `trouble` is the first error that is worth telling."""

    trouble = ""

    def write(self, data: Buffer, /) -> int:
        """Write, or drop the rest."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EPIPE:  # who closes a pipe has read enough
                self.trouble = self.trouble or str(error.strerror)
            return memoryview(data).nbytes


_stdout: _Lossy | None = None


def prepare_streams() -> None:
    """Replace both streams, which the interpreter made for a locale that may not know every character."""
    global _stdout
    _stdout, sys.stdout = _lossy(sys.stdout, 1)
    _, sys.stderr = _lossy(sys.stderr, 2)


def _lossy(before: TextIO | None, number: int) -> tuple[_Lossy, TextIO]:
    """The same file and encoding; what the encoding lacks is written as an escape."""
    # A closed one has no number: the next file that is opened would get it, and every line that is printed.
    raw = _Lossy(os.open(os.devnull, os.O_WRONLY), "w") if before is None else _Lossy(number, "w", closefd=False)
    encoding = before.encoding if before is not None else "utf-8"
    lines = before is not None and bool(before.line_buffering)
    at_once = isinstance(before, io.TextIOWrapper) and before.write_through
    text = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines, write_through=at_once
    )
    return raw, text


def lost_output() -> str:
    """Why standard output is not whole, "" where it is, or where its reader wanted no more."""
    sys.stdout.flush()
    return _stdout.trouble if _stdout is not None else ""
