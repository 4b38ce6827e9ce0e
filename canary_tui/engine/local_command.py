"""Runs a command here, on the controller, in a session of its own, so that all of it can be stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from canary_tui.engine.target import CancelReport, ExecuteReport, Sink
from canary_tui.processes import ERR, OUT, Program, within
from canary_tui.text.sink import Stream

_LAST_BYTES = 2.0
"""Seconds that are waited for output once the command has ended: what it left behind may hold its pipes for ever."""
_REAPED = 5.0
"""Seconds for what a killed command started to be gone."""
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
    program = Program(("/bin/sh", "-ec", request.script))
    heard = _Heard(sink, request.output_cap, program)
    environment = {**os.environ, **request.environment}
    try:
        receive = {OUT: heard.receive("out"), ERR: heard.receive("err")}
        await program.start(receive, folder=request.folder or None, environment=environment)
    except (OSError, ValueError) as error:
        return ExecuteReport("failed", detail=f"cannot run it here: {error}")
    began(program.pid)
    try:
        async with asyncio.timeout(request.timeout):
            await program.ended.wait()
            if not heard.too_much:
                await within(program.silent, _LAST_BYTES)
    except TimeoutError:
        return ExecuteReport("timed-out", size=heard.size, detail=f"stopped after {request.timeout:g} s")
    finally:
        heard.listens = False
        await program.end()
    if heard.too_much:
        return ExecuteReport("failed", size=heard.size, detail=f"printed more than {request.output_cap} bytes")
    return _report(program.code, heard.size)


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


class _Heard:
    """Passes on what a program writes, and kills one that writes more than it may."""

    def __init__(self, sink: Sink, cap: int, program: Program) -> None:
        self.size = 0
        """In bytes."""
        self.listens = True
        self._sink, self._cap, self._program = sink, cap, program

    @property
    def too_much(self) -> bool:
        return self.size > self._cap

    def receive(self, stream: Stream) -> Callable[[bytes], None]:
        """A receiver of the bytes of one of its streams."""

        def take(data: bytes) -> None:
            if not self.listens:
                return
            self.size += len(data)
            self._sink.write(data, stream)
            if self.too_much:
                self.listens = False
                self._program.signal(signal.SIGKILL)

        return take


def artifact_path(folder: str, path: str) -> Path:
    """The local path that a fleet file's path stands for: relative ones start at the file's folder."""
    return Path(folder, os.path.expanduser(path))  # noqa: PTH111 - Path raises where there is no such user
