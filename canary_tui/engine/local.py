"""How a command is run here, on the controller: in a session of its own, so that all of it can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path

from canary_tui.engine.remote import ExecuteReport, Sink, Stream

_CHUNK = 1 << 16


async def run_here(
    script: str, environment: Mapping[str, str], folder: str, timeout: float, output_cap: int, sink: Sink
) -> ExecuteReport:
    """Run shell text with `environment` added to ours, `folder` as its directory; `timeout` in seconds.

    Cancelling kills its whole process group.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-ec", script, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
            cwd=folder or None, env={**os.environ, **environment},
        )  # fmt: skip
    except OSError as error:
        return ExecuteReport("failed", detail=f"cannot run it here: {error}")
    meter = _Meter(sink, output_cap)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(meter.drain(process.stdout, "out"), meter.drain(process.stderr, "err"), process.wait())
    except TimeoutError:
        return ExecuteReport("timed-out", size=meter.size, detail=f"stopped after {timeout:g} s")
    except OverflowError:
        return ExecuteReport("failed", size=meter.size, detail=f"printed more than {output_cap} bytes")
    finally:
        await _end(process)
    code = process.returncode
    if code == 0:
        return ExecuteReport("ok", 0, meter.size)
    detail = f"exit {code}" if code and code > 0 else f"signal {-(code or 0)}"
    return ExecuteReport("failed", code, meter.size, detail)


class _Meter:
    def __init__(self, sink: Sink, cap: int) -> None:
        self.size = 0
        self._sink, self._cap = sink, cap

    async def drain(self, pipe: asyncio.StreamReader | None, stream: Stream) -> None:
        assert pipe is not None
        while data := await pipe.read(_CHUNK):
            self.size += len(data)
            self._sink.write(data, stream)
            if self.size > self._cap:
                raise OverflowError


async def _end(process: Process) -> None:
    """Leave nothing of its process group behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        await process.wait()


def artifact_path(folder: str, path: str) -> Path:
    """Where a path of the fleet file leads: relative ones start at the file's folder."""
    return Path(folder, path).expanduser()
