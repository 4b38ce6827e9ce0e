"""The demo as the README tells a newcomer to drive it, in a real terminal: from the picker to the result."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types of its own
import pyte

SECONDS = 30


class Screen:
    """`canary-tui demo` in a terminal of 80x24, and what stands on it."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        inherited = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "CANARY_TUI_STATE"}}
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "canary_tui", "demo", *arguments],
            env={**inherited, "TERM": "xterm-256color", "TMPDIR": str(state)},
            dimensions=(24, 80),
            timeout=SECONDS,
        )

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def shows(self, words: str) -> None:
        """Read until the words stand on the screen."""
        deadline = time.monotonic() + SECONDS
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} is not on the screen:\n{self.text}"
            with contextlib.suppress(pexpect.TIMEOUT):
                self._stream.feed(self.child.read_nonblocking(1 << 16, timeout=0.05))

    def press(self, keys: str) -> None:
        self.child.send(keys)

    def left_by(self, key: str) -> str:
        """What is left on the terminal after the key, which is not listened to in the screen's first moment."""
        for _ in range(SECONDS):
            self.press(key)
            if self.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1) == 0:
                self.child.wait()
                return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before.decode())
        raise AssertionError(f"it did not end:\n{self.text}")


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[Screen]:
    screen = Screen(folder, *arguments)
    try:
        yield screen
    finally:
        screen.child.close(force=True)


def to_the_gate(screen: Screen) -> None:
    """Picker, plan, start, canaries."""
    screen.shows("2 canaries in 2 zones, 5 after the gate (from role 'canary'")
    screen.press("\r")
    screen.shows("Nothing was connected to yet.")
    screen.press("S")
    screen.shows("Start demo 1.4.2 in production: 2 canaries of 7 targets?")
    screen.press("\r")
    screen.shows("GATE canary -> rest: 5 targets next")


def test_a_newcomer_reaches_a_finished_rollout_by_what_the_screen_says(tmp_path: Path) -> None:
    with demo(tmp_path) as screen:
        to_the_gate(screen)
        screen.shows("1 item left (press its number)")
        screen.shows("waiting 00:02")  # it does not listen before it has stood for a moment
        screen.press("1")
        screen.shows("[x] 1")
        screen.press("A")
        screen.shows("type the number of targets that come next:")
        screen.press("5")
        screen.shows("come next: 5")
        screen.press("\r")
        screen.shows("exit code 0")
        screen.shows("SUCCEEDED: 7 of 7 targets on 1.4.2")
        words = screen.left_by("q")
        assert "succeeded: 7 of 7 targets on 1.4.2" in words
        assert "folder is removed" in words
        assert "logs in" not in words
        assert screen.child.exitstatus == 0
    assert list(tmp_path.iterdir()) == []
