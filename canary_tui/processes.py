"""Starts programs on this machine; neither a cancelled start nor a pipe that somebody holds keeps anybody waiting.

asyncio waits for everybody who holds one of its pipes, such as a daemon that was left behind: where it waits for an
end, and also where a start is cancelled (`_try_finish` in its `base_subprocess.py`). So the pipes are ours, and asyncio
knows a process without any.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Mapping, Sequence

OUT, ERR = 1, 2

_GONE_WITHIN = 5.0
"""Seconds for a killed program to be gone: one that waits for a dead file server is not."""


class Program:
    """One program, in a session of its own."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._process: asyncio.SubprocessTransport | None = None
        self._reading: set[asyncio.BaseTransport] = set()
        self.ended = asyncio.Event()
        """It has ended, whoever holds its outputs."""
        self.silent = asyncio.Event()
        """Nobody holds an output of it any more, or nobody reads it."""

    async def start(
        self,
        receive: Mapping[int, Callable[[bytes], None]],
        *,
        stdin: int = DEVNULL,
        stdout: int = DEVNULL,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. `receive` takes what it writes to `OUT` and `ERR`; OSError or ValueError where it cannot run."""
        theirs: dict[int, int] = {}
        try:
            for output, take in receive.items():
                theirs[output] = await self._read(take)
            self._process, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Process(self.ended), *self._words, stdin=stdin, stdout=theirs.get(OUT, stdout),
                stderr=theirs.get(ERR, DEVNULL), cwd=folder, env=environment, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self.close()
            raise
        finally:
            for end in theirs.values():
                os.close(end)

    async def _read(self, take: Callable[[bytes], None]) -> int:
        """Begin to read one more output; its writing end."""
        ours, theirs = os.pipe()
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: _Output(take, self._is_over), os.fdopen(ours, "rb", 0)
            )
        except BaseException:
            os.close(theirs)
            raise
        self._reading.add(transport)
        return theirs

    @property
    def pid(self) -> int:
        """Its number, which is also that of the group of all that it starts."""
        assert self._process is not None
        return self._process.get_pid()

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None before its end."""
        return None if self._process is None else self._process.get_returncode()

    def signal(self, number: signal.Signals) -> None:
        """To it and all that it started in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self) -> None:
        """Kill it with all that it started, unless it has ended, and read no more."""
        if self._process is not None:
            if not self.ended.is_set():
                self.signal(signal.SIGKILL)
                await within(self.ended, _GONE_WITHIN)
            self._process.close()
        self.close()

    def close(self) -> None:
        """Read no more of what it writes."""
        for transport in tuple(self._reading):
            transport.close()
        self.silent.set()

    def _is_over(self, transport: asyncio.BaseTransport) -> None:
        self._reading.discard(transport)
        if not self._reading:
            self.silent.set()


class _Process(asyncio.SubprocessProtocol):
    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def process_exited(self) -> None:
        self._ended.set()


class _Output(asyncio.Protocol):
    """One output, passed on until its end."""

    def __init__(self, take: Callable[[bytes], None], at_end: Callable[[asyncio.BaseTransport], None]) -> None:
        self._take, self._at_end = take, at_end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._at_end(self._transport)


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so many seconds at most; whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
