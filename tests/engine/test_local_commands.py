"""Commands that run here: whatever they leave behind, the step ends in its time, and nothing of it is read any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary_tui.engine.local_command import LocalRequest, run_here
from canary_tui.engine.target import ExecuteReport

DAEMON = "setsid sh -c 'echo $$ > pid; exec sleep 60' & until [ -s pid ]; do :; done; "
"""It is in a session of its own and holds both pipes."""


class Bytes:
    def __init__(self) -> None:
        self.data = {"out": b"", "err": b""}

    def write(self, data: bytes, stream: str = "out") -> None:
        self.data[stream] += data


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def living(group: int) -> list[list[str]]:
    """Processes of a group; one that only waits to be buried is none."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats.append(path.read_text().rpartition(") ")[2].split())
    return [stat for stat in stats if stat[0] not in "ZX" and int(stat[2]) == group]


async def run(
    script: str, folder: Path, timeout: float = 20.0, cap: int = 1 << 20
) -> tuple[ExecuteReport, dict[str, bytes], float]:
    sink, began = Bytes(), time.monotonic()
    report = await run_here(LocalRequest(script, {"WORD": "$(id) 'x"}, str(folder), timeout, cap), sink)
    return report, sink.data, time.monotonic() - began


async def test_exit_code_and_both_streams_are_told(folder: Path) -> None:
    report, data, _ = await run('echo "$WORD"; pwd >&2; exit 3', folder)
    assert (report.outcome, report.exit_code, report.detail) == ("failed", 3, "exit 3")
    assert data == {"out": b"$(id) 'x\n", "err": f"{folder}\n".encode()}
    assert report.size == sum(map(len, data.values()))


async def test_a_great_deal_of_output_is_all_there(folder: Path) -> None:
    report, data, _ = await run("head -c 900000 /dev/zero; head -c 90000 /dev/zero >&2", folder)
    assert report.outcome == "ok"
    assert [len(one) for one in data.values()] == [900_000, 90_000]


async def test_a_command_that_leaves_a_daemon_has_ended(folder: Path) -> None:
    report, _, took = await run(f"{DAEMON} exit 0", folder)
    assert (report.outcome, report.exit_code) == ("ok", 0)
    assert took < 10


async def test_the_time_limit_holds_although_a_daemon_keeps_the_pipes(folder: Path) -> None:
    report, _, took = await run(f"{DAEMON} sleep 60", folder, timeout=1.0)
    assert report.outcome == "timed-out"
    assert took < 10


async def test_cancelling_kills_the_group_and_waits_for_no_daemon(folder: Path) -> None:
    running = asyncio.create_task(run(f"{DAEMON} echo $$ > own; sleep 60", folder))
    own = Path(folder, "own")
    async with asyncio.timeout(20):
        while not (own.exists() and own.read_text().strip()):
            await asyncio.sleep(0.01)
    running.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait({running})
    assert running.cancelled()
    async with asyncio.timeout(10):
        while living(int(own.read_text())):
            await asyncio.sleep(0.01)


async def test_nothing_is_kept_once_a_command_printed_too_much(folder: Path) -> None:
    report, data, took = await run(f"{DAEMON} yes >&2 & exec yes", folder, cap=100_000)
    assert report.outcome == "failed"
    assert "more than 100000 bytes" in report.detail
    assert sum(map(len, data.values())) == report.size < 100_000 + (1 << 18)
    assert took < 10
