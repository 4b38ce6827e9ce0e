"""Runs a command here, on the controller, in a session of its own, so that all of it can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from canary_tui.engine.target import CancelReport, ExecuteReport, Sink

_STDERR = 2
_LAST_BYTES = 2.0
"""Seconds that are waited for output once the command has ended: what it left behind may hold its pipes for ever."""
_REAPED = 5.0
"""Seconds for a killed command to be gone."""
_LOOK_AGAIN = 0.05


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """Shell text to run on this machine, with `environment` added to ours and `folder` as its directory.

    `timeout` is in seconds, `output_cap` in bytes.
    """

    script: str
    environment: Mapping[str, str]
    folder: str
    timeout: float
    output_cap: int


async def run_here(
    request: LocalRequest, sink: Sink, began: Callable[[int], None] = lambda _group: None
) -> ExecuteReport:
    """Run it in a process group of its own, which `began` hears of.

    Cancelling kills the whole group. What it leaves behind when it ends by itself is not waited for.
    """
    timeout, output_cap = request.timeout, request.output_cap
    try:
        transport, command = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Command(sink, output_cap),
            "/bin/sh", "-ec", request.script, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
            cwd=request.folder or None, env={**os.environ, **request.environment},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return ExecuteReport("failed", detail=f"cannot run it here: {error}")
    began(transport.get_pid())
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


async def seen_gone(group: int) -> CancelReport:
    """Look, for a short time, whether all processes of a killed group are gone."""
    give_up = time.monotonic() + _REAPED
    while _lives(group):
        if time.monotonic() >= give_up:
            return CancelReport(confirmed=False, detail="some of its processes on this machine are still there")
        await asyncio.sleep(_LOOK_AGAIN)
    return CancelReport(confirmed=True, detail="its processes on this machine are gone")


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # they are another user's now
        return True
    stats = [_stat(path) for path in Path("/proc").glob("[0-9]*/stat")]
    # Ended ones count for killpg until somebody reaps them, which init does not do in every container.
    return not stats or any(stat[2:3] == [str(group)] and stat[0] not in "ZX" for stat in stats)


def _stat(path: Path) -> list[str]:
    """Read state, parent, group and more of a process; [] once it is gone."""
    try:
        return path.read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return []


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
