"""Runs a command here, on the controller, in a session of its own, so that all of it can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from canary_tui.engine.target import ExecuteReport, Sink

_STDERR = 2
_LAST_BYTES = 2.0
"""Seconds that are waited for output once the command has ended: what it left behind may hold its pipes for ever."""
_REAPED = 5.0
"""Seconds for a killed command to be gone."""


async def run_here(
    script: str, environment: Mapping[str, str], folder: str, timeout: float, output_cap: int, sink: Sink
) -> ExecuteReport:
    """Run shell text with `environment` added to ours, `folder` as its directory; `timeout` in seconds.

    Cancelling kills its whole process group. What it leaves behind when it ends by itself is not waited for.
    """
    try:
        transport, command = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Command(sink, output_cap),
            "/bin/sh", "-ec", script, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
            cwd=folder or None, env={**os.environ, **environment},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return ExecuteReport("failed", detail=f"cannot run it here: {error}")
    try:
        async with asyncio.timeout(timeout):
            await command.over.wait()
            await _within(command.closed, _LAST_BYTES)
    except TimeoutError:
        return ExecuteReport("timed-out", size=command.size, detail=f"stopped after {timeout:g} s")
    finally:
        command.listens = False
        if transport.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await _within(command.exited, _REAPED)
        transport.close()
    if command.size > output_cap:
        return ExecuteReport("failed", size=command.size, detail=f"printed more than {output_cap} bytes")
    return _report(transport.get_returncode(), command.size)


def _report(code: int | None, size: int) -> ExecuteReport:
    if code == 0:
        return ExecuteReport("ok", 0, size)
    return ExecuteReport("failed", code, size, f"exit {code}" if code and code > 0 else f"signal {-(code or 0)}")


async def _within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


class _Command(asyncio.SubprocessProtocol):
    """A process and its output. asyncio's own waits for a process wait for everybody who holds its pipes, too."""

    def __init__(self, sink: Sink, cap: int) -> None:
        self.size = 0
        self.listens = True
        self.over = asyncio.Event()
        """It has ended, or printed more than it may."""
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        """Nobody holds its pipes any more, or nobody listens."""
        self._sink, self._cap = sink, cap
        self._pipes = 2

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self.listens:
            return
        self.size += len(data)
        self._sink.write(data, "err" if fd == _STDERR else "out")
        if self.size > self._cap:
            self.listens = False
            self.closed.set()
            self.over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del fd, exc
        self._pipes -= 1
        if not self._pipes:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()


def artifact_path(folder: str, path: str) -> Path:
    """The local path that a fleet file's path stands for: relative ones start at the file's folder."""
    return Path(folder, os.path.expanduser(path))  # noqa: PTH111 - Path raises where there is no such user
