"""The program in a terminal of its own: driven by keys at a person's pace, read by what a strict terminal shows of it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pexpect  # type: ignore[import-untyped]  # it has no types of its own
import pyte
from fronts import LIMIT, environment, words

COLUMNS, ROWS = 132, 44
PACE = 0.15
"""Seconds between two keys: faster ones count as held down or pasted."""
_OF_ANOTHER_TERMINAL = {"NO_COLOR", "COLORTERM", "COLUMNS", "LINES"}
"""Variables that the terminal of these tests has not set: readline, once it is imported, writes its size there."""
READING = 1.3
"""Seconds that a person takes for a question; keys that come before the program thinks so decide nothing."""


class Terminal:
    """Runs the program's command line. Use as a context manager: the end hangs up, and waits for the program's end."""

    def __init__(self, state: Path, *arguments: object, **more: str) -> None:
        inherited = {key: value for key, value in environment(state).items() if key not in _OF_ANOTHER_TERMINAL}
        command, *rest = words(*arguments)
        self._child = pexpect.spawn(
            command, rest, env={**inherited, "TERM": "xterm-256color", **more}, dimensions=(ROWS, COLUMNS)
        )
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._unread: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    @property
    def lines(self) -> list[str]:
        """What stands on the screen now, a string a row, blanks at the end cut off."""
        while self._unread:
            self._stream.feed(self._unread.pop(0))
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def pump(self, seconds: float) -> list[tuple[float, bytes]]:
        """Read, as a terminal does, for so long: the pieces that came, each with the time of day when it did."""
        ends, came = time.monotonic() + seconds, []
        while (left := ends - time.monotonic()) > 0:
            if not select.select([self._child.child_fd], [], [], left)[0]:
                break
            try:
                piece = os.read(self._child.child_fd, 1 << 16)
            except OSError:  # nobody has the other end open any more
                select.select([], [], [], left)
                break
            came.append((time.time(), piece))
            self._unread.append(piece)
        return came

    def until(self, condition: Callable[[], object], limit: float = LIMIT) -> None:
        """Go on reading until something is true, on the screen or outside."""
        ends = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < ends, f"it did not come true within {limit:g} s:\n{self.text}"
            self.pump(0.05)

    def shows(self, *texts: str, limit: float = LIMIT) -> None:
        """Wait until all of these stand on the screen."""
        ends = time.monotonic() + limit
        while missing := [text for text in texts if text not in self.text]:
            assert time.monotonic() < ends, f"{missing} not on the screen:\n{self.text}"
            self.pump(0.05)

    def moments(self, came: list[tuple[float, bytes]], found: Callable[[str], set[str]]) -> dict[str, float]:
        """When each of the texts that `found` sees was on the screen first, while these pieces came."""
        first: dict[str, float] = {}
        assert [piece for _, piece in came] == self._unread, "the pieces that were pumped last, all of them"
        self._unread.clear()
        before = found("\n".join(self._screen.display))
        for at, piece in came:
            self._stream.feed(piece)
            for text in found("\n".join(self._screen.display)) - before:
                first.setdefault(text, at)
        return first

    def press(self, *keys: str) -> None:
        """One key after another."""
        for key in keys:
            self._child.send(key)
            self.pump(PACE)

    def paste(self, text: str) -> None:
        """What a terminal sends for a paste: all at once."""
        self._child.send(text)
        self.pump(PACE)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._child.setwinsize(rows, columns)
        self._screen.resize(rows, columns)

    def send(self, keys: bytes) -> None:
        """Write to the terminal without waiting for what comes of it."""
        with contextlib.suppress(OSError):  # it has ended
            self._child.send(keys)

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return bool(self._child.isalive())

    def last_words(self) -> str:
        """Have the program end, as its session's end does, and return all that it wrote since the last look.

        One that does not end is made to say what it does, if its PYTHONFAULTHANDLER is set.
        """
        if self.alive:
            os.kill(self._child.pid, signal.SIGTERM)
        ends = time.monotonic() + LIMIT
        while self.alive and time.monotonic() < ends:
            self.pump(0.05)
        if self.alive:
            os.kill(self._child.pid, signal.SIGABRT)
        self.pump(1.0)
        return b"".join(self._unread).decode(errors="replace")

    def read(self) -> None:
        """Take the time to read what stands there."""
        ends = time.monotonic() + READING
        while time.monotonic() < ends:
            self.pump(max(0.0, ends - time.monotonic()))

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def hang_up(self) -> int | None:
        """Close the terminal's window; the program and its engine end. Its exit code, None where it had ended."""
        child = self._child
        if child.closed:
            return None
        child.ptyproc.fileobj.close()
        child.closed = child.ptyproc.closed = True  # else both close the number, which is somebody else's by then
        ends = time.monotonic() + 15
        with contextlib.suppress(ChildProcessError):
            while not (ended := os.waitpid(child.pid, os.WNOHANG))[0]:
                if time.monotonic() > ends:
                    os.kill(child.pid, 9)
                time.sleep(0.02)
            return os.waitstatus_to_exitcode(ended[1])
        return None

    def ended(self, limit: float = LIMIT) -> int:
        """The exit code of a program that ends by itself."""
        self.until(lambda: not self._child.isalive(), limit)
        code = self._child.exitstatus if self._child.exitstatus is not None else -self._child.signalstatus
        return int(code)


ENTER, ESCAPE, CTRL_C, CTRL_Q, RIGHT = "\r", "\x1b", "\x03", "\x11", "\x1b[C"


def run(state: Path, fleet: Path, *arguments: object, **more: str) -> Terminal:
    """The screens on a fleet file, as an operator starts them."""
    return Terminal(state, "run", fleet, "--release", "2.0", *arguments, **more)


def start(screen: Terminal) -> None:
    """From the picker over the plan into the rollout, with the choices of the fleet file and the command line."""
    screen.shows("enter Plan", "targets")
    screen.press(ENTER)
    screen.shows("Nothing was connected to yet")
    screen.press("S")
    screen.shows("enter Start")
    screen.press(ENTER)


def answer_gate(screen: Terminal, number: int) -> None:
    """Read the gate, and type the number of targets that come next."""
    screen.shows("GATE", "A Approve: then type the number of targets that come next")
    screen.read()
    screen.press("A")
    screen.shows("enter approves")
    screen.press(*str(number))
    screen.until(lambda: re.search(rf"that come next: +{number}$", screen.text, re.MULTILINE))
    screen.press(ENTER)
