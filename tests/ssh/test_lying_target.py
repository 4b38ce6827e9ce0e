"""A target that lies about its steps: it is not believed, costs no more disk than was allowed, and keeps nobody."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from direct_line import Bytes, DirectLine, Seen
from farm import Farm, available

from canary_tui.engine.target import AttachRequest, ExecuteReport, ExecuteRequest
from canary_tui.ssh.execution import durable, patience
from canary_tui.ssh.execution.install import ensure_runner

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

_SHELL = """#!/bin/sh
# Answers for the runner once there are lies to tell; what is met as `hello` is the runner itself.
lies=$HOME/lies
set -f
case $2 in
*' hello '*) [ ! -e "$HOME/deaf" ] || exec sleep 60 ;;
*'/runner-'*) if [ -e "$lies" ]; then set -- $2; op=$3 nonce=$4; . "$lies"; exit; fi ;;
esac
exec /bin/sh "$@"
"""
_SAY = 'say() { printf \'CTUI1 %s %s\\n\' "$nonce" "$1" >&2; }\n'


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[list[DirectLine]]:
    """A line to each of as many targets as there are lies."""
    shell = tmp_path / "shell"
    shell.write_text(_SHELL)
    shell.chmod(0o755)
    with Farm(tmp_path / "farm", len(LIES), net=64, shell=str(shell), own_sshd=False) as farm:
        lines = [DirectLine(farm) for _ in LIES]
        for line, target in zip(lines, farm.targets, strict=True):
            line.server = target
        yield lines
        for line in lines:
            await line.close()


@pytest.fixture
def line(lines: list[DirectLine]) -> DirectLine:
    return lines[0]


async def lie(line: DirectLine, program: str) -> str:
    """Tell lies from now on, in the place of the runner; the boot that it named before."""
    info = await ensure_runner(line)
    (line.server.home / "lies").write_text(_SAY + program)
    return info.boot


def request(boot: str, cap: int = 1 << 20) -> ExecuteRequest:
    return ExecuteRequest(uuid.uuid4().hex, b"true", {}, 0.3, cap, boot)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for seconds instead of minutes; only a target that is out of reach is tried for long."""
    monkeypatch.setattr(durable, "SILENCE", 0.5)
    monkeypatch.setattr(durable, "ANSWER", 2.0)
    monkeypatch.setattr(durable, "MOMENT", 0.3)
    for name in ("STOPPING", "OVERDUE", "REST"):
        monkeypatch.setattr(patience, name, 0.4)


ANNOUNCES_MORE = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"; echo little
say 'END size=1000000 sum=none done rc=0 why=exit'
while sleep 0.2; do say TICK; done
"""
ANNOUNCES_MORE_AND_HANGS_UP = """
say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"; [ "$op" = attach ] || echo little
say 'END size=1000000 sum=none done rc=0 why=exit'
"""
SILENT_AFTER_BEGUN = """
if [ "$op" = run ]; then say 'BEGUN boot=x begun'; else say 'STATE running boot=x'; fi
exec sleep 60
"""
SILENT_ON_EVERY_CHANNEL = """
say 'BEGUN boot=x begun'; touch "$HOME/deaf"
exec sleep 60
"""
BEATS_FOR_EVER = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
while sleep 0.2; do say TICK; done
"""
TRICKLES = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"
while sleep 0.2; do printf .; done
"""


async def follow(line: DirectLine, asked: ExecuteRequest | AttachRequest) -> tuple[ExecuteReport, Bytes]:
    """Its report and its output, within a time that is much shorter than that for a target out of reach."""
    sink = Bytes()
    async with asyncio.timeout(20):
        if isinstance(asked, AttachRequest):
            report = await durable.attach(line, asked, sink, Seen())
        else:
            report = await durable.execute(line, asked, sink, Seen())
    return report, sink


LIES = (
    (ANNOUNCES_MORE, "only 7 of 1000000 bytes"),
    (ANNOUNCES_MORE_AND_HANGS_UP, "only 7 of 1000000 bytes"),
    (SILENT_AFTER_BEGUN, "still running"),
    (SILENT_ON_EVERY_CHANNEL, "no answer"),
    (BEATS_FOR_EVER, "still running"),
    (TRICKLES, "still running"),
)
"""Each lie, and what is reported as seen."""


@pytest.mark.found("fault 2")
async def test_a_step_that_comes_to_no_end_is_unknown_soon_after_its_limit(
    lines: list[DirectLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its wait has a limit from its start, whatever is reconnected in between, and the report says what was seen."""
    monkeypatch.setattr("canary_tui.ssh.execution.install.ANSWER", 2.0)

    async def believe(line: DirectLine, program: str, seen: str) -> None:
        report, _ = await follow(line, request(await lie(line, program)))
        assert (report.outcome, seen in report.detail) == ("unknown", True), (program, report)

    async with asyncio.TaskGroup() as group:
        for line, (program, seen) in zip(lines, LIES, strict=True):
            group.create_task(believe(line, program, seen))


@pytest.mark.found("fault 2")
async def test_a_login_slower_than_the_silence_that_is_allowed_starts_its_step(line: DirectLine) -> None:
    """Until the first word of the runner the patience is that for a login."""
    boot = await lie(line, 'sleep 1; exec /bin/sh "$2" "$op" "$nonce" "$5" "$6" "$7" "$8" "" ""')
    report, sink = await follow(line, ExecuteRequest(uuid.uuid4().hex, b"echo ran", {}, 5.0, 1 << 20, boot))
    assert (report.outcome, bytes(sink.out)) == ("ok", b"ran\n"), report


ENDLESS = """
say 'STATE running boot=x'; say 'BEGUN boot=x begun'
printf 'CTUI1 %s DATA\\n' "$nonce"; exec yes 'there is always more to say, and more, and more, and more'
"""


@pytest.mark.parametrize("again", [False, True], ids=["started", "attached"])
async def test_output_without_an_end_fills_no_disk_and_ends(
    line: DirectLine, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(durable, "MARGIN", 1 << 20)
    monkeypatch.setattr(patience, "SLOWEST", 1 << 20)
    boot = await lie(line, ENDLESS)
    asked = AttachRequest(uuid.uuid4().hex, boot, 1.0, output_cap=1 << 20) if again else request(boot)
    report, sink = await follow(line, asked)
    assert report.outcome == "unknown"
    assert len(sink.out) == 2 << 20
