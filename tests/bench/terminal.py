"""A program on a pseudo-terminal, and the moment at which something was painted there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])")


class Terminal:
    """Runs `argv` with a terminal of its own. Use as a context manager: the end kills it."""

    def __init__(
        self, argv: Sequence[object], columns: int = 120, rows: int = 40, env: Mapping[str, str] | None = None
    ) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        self.started = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if not self.pid:
            words = [str(word) for word in argv]
            os.execvpe(words[0], words, environment)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._text = b""
        self.bytes_read = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)

    def press(self, keys: bytes) -> float:
        """Type; what was painted before is forgotten. The moment at which it was typed."""
        self._text = b""
        now = time.perf_counter()
        os.write(self._fd, keys)
        return now

    def painted(self, pattern: bytes, seconds: float = 10.0) -> float:
        """Read until the painted text matches (colours and movements left out); the moment at which it did."""
        wanted = re.compile(pattern)
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            if self._read(deadline - time.perf_counter()) and wanted.search(_SEQUENCE.sub(b"", self._text)):
                return self._read_at
        raise TimeoutError(f"{pattern!r} was not painted within {seconds:.0f} s, but:\n{self.tail()}")

    def idle(self, seconds: float) -> None:
        """Go on reading, as a terminal does."""
        deadline = time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            self._read(left)

    def tail(self, size: int = 3000) -> str:
        """The last text that was painted."""
        return _SEQUENCE.sub(b"", self._text)[-size:].decode(errors="replace")

    def peak_mb(self) -> float:
        """The program's greatest resident memory so far."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def cpu(self) -> float:
        """Seconds of processor that the program has used so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            raise EOFError(f"the program has ended:\n{self.tail()}") from None
        self._read_at = time.perf_counter()
        self.bytes_read += len(data)
        self._text = (self._text + data)[-(1 << 20) :]
        return True
