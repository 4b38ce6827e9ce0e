"""A program on a pseudo-terminal, what stands on its screen, and the moment at which something came to stand there."""

from __future__ import annotations

import codecs
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
import threading
import time
from collections.abc import Callable, Mapping, Sequence

_TOKEN = re.compile(
    r"\x1b\[(?P<numbers>[0-?]*)[ -/]*(?P<letter>[@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]*[0-OQ-WYZ`-~\\]|(?P<break>[\r\n])|(?P<text>[^\x1b\r\n]+)"
)


class Screen:
    """The characters that a terminal shows, each one column wide, and how each is coloured.

    Knows what Textual sends: moves to a place, colours, text, clearing all. Nothing else moves or erases text there.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self._blank = [" "] * columns
        self._characters = [[*self._blank] for _ in range(rows)]
        self._looks = [[""] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._look = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Take in what the program wrote, wherever that was cut."""
        text = self._rest + self._decoder.decode(data)
        at = 0
        while match := _TOKEN.match(text, at):
            at = match.end()
            if match["text"] is not None:
                self._write(match["text"])
            elif match["letter"] is not None:
                self._obey(match["numbers"], match["letter"])
            elif match["break"] is not None:
                self._column = 0
                self._row += match["break"] == "\n"
        self._rest = text[at:]

    def row(self, number: int) -> str:
        return "".join(self._characters[number])

    def look(self, row: int, column: int) -> str:
        """The colours of one character, as they were sent."""
        return self._looks[row][column]

    @property
    def rows(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._characters]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def _write(self, text: str) -> None:
        if self._row < len(self._characters):
            room = len(self._blank) - self._column
            self._characters[self._row][self._column : self._column + len(text)] = text[:room]
            self._looks[self._row][self._column : self._column + len(text)] = [self._look] * len(text[:room])
        self._column += len(text)

    def _obey(self, numbers: str, letter: str) -> None:
        if letter in "Hf":
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
        elif letter == "m":
            self._look = numbers
        elif letter == "J":
            self._characters = [[*self._blank] for _ in self._characters]


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
        self.screen = Screen(columns, rows)
        self.exit_code: int | None = None
        self._read_at = self.started

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def press(self, keys: str) -> float:
        """Type; the moment at which it was typed."""
        now = time.perf_counter()
        os.write(self._fd, keys.encode())
        return now

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> float:
        """Read until the screen is as wanted; the moment at which what made it so was read."""
        deadline = time.perf_counter() + seconds
        while not condition():
            left = deadline - time.perf_counter()
            if left <= 0:
                raise TimeoutError(f"it did not come to stand there within {seconds:.0f} s:\n{self.screen.text}")
            self._read(left)
        return self._read_at

    def shows(self, pattern: str, seconds: float = 10.0) -> float:
        """Read until a row of the screen matches; the moment at which it did."""
        wanted = re.compile(pattern)
        return self.until(lambda: wanted.search(self.screen.text), seconds)

    def idle(self, seconds: float) -> None:
        """Go on reading, as a terminal does."""
        deadline = time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            self._read(left)

    def ended(self, seconds: float = 20.0) -> int:
        """Read until the program has ended; its exit code."""
        with contextlib.suppress(EOFError):
            self.until(lambda: False, seconds)
        self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code

    def peak_mb(self) -> float:
        """The program's greatest resident memory so far."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def cpu(self) -> float:
        """Seconds of processor that the program has used so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def queued(self) -> float:
        """Seconds that the program's main thread and this one have waited so far for a processor that others had."""
        tasks = (f"/proc/{self.pid}/schedstat", f"/proc/self/task/{threading.get_native_id()}/schedstat")
        with contextlib.suppress(OSError):
            return sum(int(pathlib.Path(task).read_text().split()[1]) for task in tasks) / 1e9
        return 0.0

    def _read(self, seconds: float) -> None:
        if not select.select([self._fd], [], [], max(0.0, seconds))[0]:
            return
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            raise EOFError(f"the program has ended:\n{self.screen.text}") from None
        self._read_at = time.perf_counter()
        self.screen.feed(data)
