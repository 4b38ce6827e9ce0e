"""A target that lies about its steps: it is not believed, costs no more disk than was allowed, and keeps nobody."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from direct_line import Bytes, DirectLine, Seen
from farm import Farm, available

from canary_tui.engine.target import AttachRequest, ExecuteRequest
from canary_tui.ssh.execution import durable
from canary_tui.ssh.execution.install import ensure_runner

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[DirectLine]:
    with Farm(tmp_path / "farm", 1, net=64) as farm:
        one = DirectLine(farm)
        yield one
        await one.close()


async def lie(line: DirectLine, program: str) -> str:
    """Put other words in the place of the runner, whose name says what it is and whose size is looked at."""
    info = await ensure_runner(line)
    path = next(line.server.home.glob(".local/state/canary-tui/runner-*.sh"))
    size = path.stat().st_size
    path.write_text(
        f'nonce=$2\nsay() {{ printf \'CTUI1 %s %s\\n\' "$nonce" "$1" >&2; }}\n{program}\nexit\n'.ljust(size, "#")
    )
    assert path.stat().st_size == size
    return info.boot


def request(boot: str, cap: int = 1 << 20) -> ExecuteRequest:
    return ExecuteRequest(uuid.uuid4().hex, b"true", {}, 1.0, cap, boot)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWER", "OVERDUE", "OUT_OF_REACH", "GRACE"):
        monkeypatch.setattr(durable, name, 1.0)


ANNOUNCES_MORE = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"; echo little
say 'END size=1000000 sum=none done rc=0 why=exit'
while sleep 0.2; do say TICK; done
"""


async def test_output_that_was_announced_and_never_comes_is_not_waited_for_for_ever(line: DirectLine) -> None:
    boot = await lie(line, ANNOUNCES_MORE)
    async with asyncio.timeout(30):
        report = await durable.execute(line, request(boot), Bytes(), Seen())
    assert report.outcome == "unknown"


ENDLESS = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"; exec yes 'there is always more to say, and more, and more, and more'
"""


@pytest.mark.parametrize("again", [False, True], ids=["started", "attached"])
async def test_output_without_an_end_fills_no_disk_and_ends(
    line: DirectLine, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(durable, "MARGIN", 1 << 20)
    boot = await lie(line, ENDLESS)
    sink = Bytes()
    async with asyncio.timeout(60):
        if again:
            asked = AttachRequest(uuid.uuid4().hex, boot, 1.0, output_cap=1 << 20)
            report = await durable.attach(line, asked, sink, Seen())
        else:
            report = await durable.execute(line, request(boot), sink, Seen())
    assert report.outcome == "unknown"
    assert len(sink.out) == 2 << 20
