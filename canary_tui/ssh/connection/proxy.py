"""Runs a ProxyCommand as ssh does: by the user's shell, with two pipes, and with its standard error kept apart."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from canary_tui.processes import ERR, Program, within
from canary_tui.text.safe import one_line

ENDS_WITHIN = 1.0
"""Seconds that a command has to end after its pipes were closed; then it is killed, with all that it started."""
_TAIL = 4096
"""Bytes of standard error that are kept."""


class Session(Protocol):
    """The parts of asyncssh's connection that a way to its server drives."""

    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


@dataclass(frozen=True, slots=True)
class ProxyEnd:
    """The end of a command: its exit code, negative for a signal, and the last line that it said, made safe."""

    code: int = 0
    words: str = ""

    @property
    def failed(self) -> bool:
        """False where it ended because its server hung up, or because we did."""
        return self.code not in (0, -signal.SIGHUP, -signal.SIGKILL)

    def __str__(self) -> str:
        how = f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"
        return f"its ProxyCommand ended with {how}" + (f": {self.words}" if self.words else "")


class Proxy:
    """One running command, and one connection through it. Given to asyncssh as its tunnel, and as its transport.

    Pipes, as ssh gives it: with a socket as standard input, bash takes itself for a remote shell and reads ~/.bashrc.
    """

    def __init__(self, command: tuple[str, ...], running: set[Proxy]) -> None:
        """`running` holds it from its start to its end."""
        self._command = command
        self._running = running
        self.end: ProxyEnd | None = None
        """The end of the command, once it has ended."""
        self._stdin: asyncio.WriteTransport | None = None
        self._stdout: asyncio.BaseTransport | None = None
        self._kept: asyncio.Task[None] | None = None
        self._words = b""
        self._fell_silent = False
        self._closing = asyncio.Event()

    async def create_connection(
        self, session_factory: Callable[[], Session], host: str, port: int
    ) -> tuple[None, Session]:
        """Start the command; the session speaks through it. `host` and `port` are in the command already."""
        del host, port
        loop, session = asyncio.get_running_loop(), session_factory()
        (their_input, our_output), (our_input, their_output) = os.pipe(), os.pipe()
        with os.fdopen(their_input), os.fdopen(their_output, "wb"):
            try:
                self._stdin, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(our_output, "wb", 0))
                session.connection_made(self)
                output = _Output(session, self._fall_silent)
                self._stdout, _ = await loop.connect_read_pipe(lambda: output, os.fdopen(our_input, "rb", 0))
                program = await self._start(their_input, their_output)
            except BaseException:
                self.close()
                raise
        self._running.add(self)
        self._kept = asyncio.create_task(self._keep(program))
        return None, session

    async def _start(self, stdin: int, stdout: int) -> Program:
        program = Program(self._command)
        try:
            await program.start({ERR: self._keep_words}, stdin=stdin, stdout=stdout)
        except OSError as error:
            raise ConnectionError(f"{self._command[0]} cannot run its ProxyCommand: {error.strerror}") from None
        return program

    def _fall_silent(self) -> None:
        self._fell_silent = not self._closing.is_set()

    async def _keep(self, program: Program) -> None:
        """Hear what the command says until it ends, or is to end; leave no process behind."""
        ways = [asyncio.create_task(event.wait()) for event in (program.ended, self._closing)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._fell_silent:  # it is ending by itself, and its exit code is the reason
                await within(program.ended, ENDS_WITHIN)
            if not program.ended.is_set():
                program.signal(signal.SIGHUP)  # as ssh ends it
                await within(program.ended, ENDS_WITHIN)
            if program.ended.is_set():
                await within(program.silent, ENDS_WITHIN)
        finally:
            for way in ways:
                way.cancel()
            program.signal(signal.SIGKILL)  # also what it left behind
            await program.end()
            self.end = ProxyEnd(program.code or 0, _last_line(self._words))
            self.close()
            self._running.discard(self)

    def _keep_words(self, data: bytes) -> None:
        self._words = (self._words + data)[-_TAIL:]

    def write(self, data: bytes) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing: it has no addresses."""
        del name
        return default

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the pipes, and see to it that the command ends."""
        self._closing.set()
        for pipe in (self._stdin, self._stdout):
            if pipe is not None:
                pipe.close()

    async def wait_closed(self) -> None:
        """Wait until the command has ended, which `close` began."""
        if self._kept is not None:
            await asyncio.shield(self._kept)


class _Output(asyncio.Protocol):
    """Passes on what the command writes, as what the server sent."""

    def __init__(self, session: Session, at_end: Callable[[], None]) -> None:
        self._session = session
        self._at_end = at_end

    def data_received(self, data: bytes) -> None:
        self._session.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_end()
        self._session.connection_lost(exc)


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return one_line(lines[-1], 300) if lines else ""
