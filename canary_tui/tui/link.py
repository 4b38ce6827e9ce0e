"""The front's side of the engine: it starts the engine in a session of its own, sends commands and takes notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from canary_tui.engine.messages import (
    Command,
    Ended,
    Notice,
    Opened,
    Quit,
    Ready,
    Refused,
    Resume,
    Start,
    read_notice,
    to_line,
)
from canary_tui.tui.terminal import printable

NoticeListener = Callable[[Notice], None]

_LAST_WORDS = 4096
"""Bytes of the engine's stderr that are shown after its death."""
_LINE_LIMIT = 1 << 24
_OPENING = 15.0
"""Seconds that leaving waits for a rollout that is being opened: its files are measured before it begins."""


class EngineLink:
    """One engine process and the socket to it. It lives in the front's loop; nothing here blocks or raises.

    `gone` is "" while the engine lives or was told to quit, and one sentence once it died. Listeners are called
    in the loop, in their order, with every notice. `on_gone` is called once, when the engine is gone.
    """

    def __init__(self, command: Sequence[str], on_gone: Callable[[], None] = lambda: None) -> None:
        self._command = tuple(command)
        self._on_gone = on_gone
        self._listeners: list[NoticeListener] = []
        self._unsent: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closed = False
        self.opening = False
        """The engine was told to begin or resume a rollout, and has not answered yet."""
        self.ready: Ready | None = None
        self.opened: Opened | None = None
        self.ended: Ended | None = None
        self.gone = ""
        self.last_words = ""

    @property
    def live(self) -> bool:
        """A rollout was opened over this link and has not ended."""
        return self.opened is not None and self.ended is None and not self.gone

    async def start(self) -> None:
        """Start the engine and send it the commands that waited. If it cannot start, `gone` has the reason."""
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the link
        try:
            # Popen, not asyncio's subprocess: its transport kills the child when the loop is closed,
            # and an engine without a front must end its work in its own time.
            self._process = subprocess.Popen(  # noqa: ASYNC220  2 ms: vfork and exec
                [*self._command, "--fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C and hang-up of the terminal are not for the engine
            )
        except OSError as error:
            ours.close()
            self._lose(f"the engine could not be started: {error}")
            return
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        self._reading = asyncio.create_task(self._read(reader), name="engine link")
        for line in self._unsent:
            self._writer.write(line)
        self._unsent.clear()

    def send(self, command: Command) -> None:
        """Send a command; it is kept until the engine has started, and dropped when the engine is gone."""
        if self.gone or self._closed:
            return
        self.opening = self.opening or isinstance(command, Start | Resume)
        if self._writer is None:
            self._unsent.append(to_line(command))
        else:
            self._writer.write(to_line(command))

    def listen(self, listener: NoticeListener) -> Callable[[], None]:
        """Call `listener` with every notice from now on; the returned function ends that."""
        self._listeners.append(listener)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    async def close(self, wait: float = 2.0) -> None:
        """Tell the engine that the front ends, and wait up to `wait` seconds for it. It is never killed.

        An engine that is just opening a rollout is waited for longer: its last words say whether one began.
        """
        self.send(Quit())
        self._closed = True
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.write_eof()
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=max(wait, _OPENING) if self.opening else wait)
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        if self._process is not None:
            self._process.poll()
            # An engine that goes on alone is not waited for, and Popen must not warn about that.
            self._process.returncode = self._process.returncode or 0
        if self._stderr is not None:
            self._stderr.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                try:
                    notice = read_notice(line)
                except ValueError as error:
                    self._lose(f"the engine sent a message that this version does not understand ({error})")
                    return
                self._take(notice)
        if self._closed:
            return
        self._lose(f"the engine is gone: {await asyncio.to_thread(self._obituary)}")

    def _take(self, notice: Notice) -> None:
        match notice:
            case Ready():
                self.ready = notice
            case Opened():
                self.opened, self.ended, self.opening = notice, None, False
            case Refused(command="Start" | "Resume"):
                self.opening = False
            case Ended():
                self.ended = notice
            case _:
                pass
        for listener in tuple(self._listeners):
            listener(notice)

    def _obituary(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "it closed the connection"
        self.last_words = self._read_last_words()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        last = self.last_words.rstrip().rpartition("\n")[2]
        return f"{how}: {last}" if last else how

    def _read_last_words(self) -> str:
        assert self._stderr is not None
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _LAST_WORDS))
        return printable(self._stderr.read().decode(errors="replace"))

    def _lose(self, why: str) -> None:
        self.gone = why
        self._on_gone()
