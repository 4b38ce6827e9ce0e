"""A shell at a pseudo-terminal of a demo target, as long as its SSH channel lasts."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import termios
from collections.abc import Mapping
from pathlib import Path

import asyncssh

Size = tuple[int, int, int, int]
"""Columns, rows, and the same in pixels, as a client tells them."""


class Terminal:
    """One pseudo-terminal and the shell at it. What the shell prints goes to the channel; its end ends the channel."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], size: Size) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._main, self._other = os.openpty()
        os.set_blocking(self._main, False)
        self._unwritten = bytearray()
        self._closed = False
        self.resize(size)

    async def run(self, arguments: list[str], home: Path, environment: Mapping[str, str]) -> None:
        """Start the shell and stay until it has ended."""
        other = self._other
        if self._closed:
            os.close(other)
            return
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=other, stdout=other, stderr=other, cwd=home, env=dict(environment),
            start_new_session=True, preexec_fn=_take_the_terminal,
        )  # fmt: skip
        os.close(other)
        self._loop.add_reader(self._main, self._read)
        code = await process.wait()
        self._read()  # its last words
        if not self._channel.is_closing():
            if code < 0:
                self._channel.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                self._channel.exit(code)
        self.close()

    def resize(self, size: Size) -> None:
        """The client's window has so many columns and rows now."""
        columns, rows, *_ = size
        if not self._closed:
            termios.tcsetwinsize(self._main, (rows or 24, columns or 80))

    def write(self, data: bytes) -> None:
        """Pass on typed bytes."""
        self._unwritten += data
        self._flush()

    def pause_output(self) -> None:
        """Stop reading from the shell: the client takes no more for now."""
        self._loop.remove_reader(self._main)

    def resume_output(self) -> None:
        """Read from the shell again."""
        if not self._closed:
            self._loop.add_reader(self._main, self._read)

    def close(self) -> None:
        """Hang up: what still runs there is told by the system."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._main)
            self._loop.remove_writer(self._main)
            os.close(self._main)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while not self._closed and (data := self._piece()):
                if not self._channel.is_closing():
                    self._channel.write(data)

    def _piece(self) -> bytes:
        try:
            return os.read(self._main, 1 << 14)
        except BlockingIOError:
            raise
        except OSError:  # nobody has the other end open any more
            self._loop.remove_reader(self._main)
            return b""

    def _flush(self) -> None:
        try:
            while self._unwritten and not self._closed:
                del self._unwritten[: os.write(self._main, self._unwritten)]
        except BlockingIOError:
            self._loop.add_writer(self._main, self._flush)
            return
        except OSError:
            self._unwritten.clear()
        if not self._closed:
            self._loop.remove_writer(self._main)


def _take_the_terminal() -> None:
    """Make standard input the controlling terminal of this new session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
