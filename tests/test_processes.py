"""A program is started, heard and ended; whatever is cancelled, and whoever holds its outputs, nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary_tui.processes import ERR, OUT, Program, within

_SOON = 3.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """Where a daemon of the test writes its process id; it is stopped at the end."""
    path = tmp_path / "daemon"
    yield path
    if path.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


async def test_its_outputs_and_its_end_are_heard() -> None:
    out, err = bytearray(), bytearray()
    program = Program(("/bin/sh", "-c", "echo out; echo err >&2; exit 7"))
    await program.start({OUT: out.extend, ERR: err.extend})
    assert await within(program.ended, _SOON)
    assert await within(program.silent, _SOON)
    await program.end()
    assert (bytes(out), bytes(err), program.code) == (b"out\n", b"err\n", 7)


@pytest.mark.parametrize("rounds", range(12))
async def test_a_start_that_is_cancelled_ends_at_once_and_leaves_nothing(rounds: int) -> None:
    """However far it came, and although something that it started holds its outputs."""
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    program = Program(("/bin/sh", "-c", "setsid sleep 5 & exec sleep 61"))
    starting = asyncio.create_task(program.start({OUT: bytearray().extend, ERR: bytearray().extend}))
    for _ in range(rounds):
        await asyncio.sleep(0)
    time.sleep(0.1)
    starting.cancel()
    done, _ = await asyncio.wait([starting], timeout=_SOON)
    assert done, "the start still waits"
    await program.end()
    for _ in range(100):
        left = set(os.listdir("/proc/self/fd")) - before if sys.platform == "linux" else set()
        if len(left) <= 1:  # that of the listing itself
            break
        await asyncio.sleep(0.02)
    assert len(left) <= 1


async def test_nobody_waits_for_a_daemon_that_holds_its_outputs(daemon: Path) -> None:
    program = Program(
        (
            "/bin/sh",
            "-c",
            f"setsid sh -c 'echo $$ >{daemon}; exec sleep 61' & while ! [ -s {daemon} ]; do sleep 0.05; done",
        )
    )
    began = time.monotonic()
    await program.start({OUT: bytearray().extend, ERR: bytearray().extend})
    assert await within(program.ended, _SOON)
    assert not program.silent.is_set()
    await program.end()
    assert program.silent.is_set()
    assert time.monotonic() - began < _SOON


async def test_the_end_kills_all_that_it_started(tmp_path: Path) -> None:
    program = Program(
        ("/bin/sh", "-c", f"sleep 61 & echo $! >{tmp_path}/child.new; mv {tmp_path}/child.new {tmp_path}/child; wait")
    )
    await program.start({})
    while not (tmp_path / "child").exists():
        await asyncio.sleep(0.02)
    await program.end()
    assert program.code == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    stat = Path(f"/proc/{child}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(") ")[2][:1] in "ZX":
            return
        await asyncio.sleep(0.02)
    pytest.fail("its child is still there")


async def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    program = Program((str(tmp_path / "none"),))
    with pytest.raises(FileNotFoundError):
        await program.start({OUT: bytearray().extend})
    await program.end()
    assert program.code is None
