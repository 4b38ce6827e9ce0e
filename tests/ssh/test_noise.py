"""Noise of a login: what start files, sudo or something that they left print is never the output of a step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from direct_line import Bytes, DirectLine
from farm import Farm, available
from links import planned

from canary_tui.engine.target import CommandRequest, ProbeRequest
from canary_tui.ssh.connection.sudo import SudoPrefix
from canary_tui.ssh.execution.plain import plain
from canary_tui.ssh.network import SshNetwork

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

NOISES = {
    "a line on each stream": "echo welcome; echo 'be nice' >&2",
    "a megabyte on each": "dd if=/dev/zero bs=65536 count=16 2>/dev/null; yes nice | head -c 1048576 >&2",
    "escapes and no end of line": r"printf '\033[2J\033]0;owned\007'; printf '\033[31m' >&2",
    "words like ours": (
        "echo 'CTUI1 abc DATA'; printf 'CTUI1 ';printf 'CTUI1 abc DATA\\nCTUI1 0123 END rc=0 why=exit\\nCTUI1 ' >&2"
    ),
    "for ever, by something left behind": (
        "(trap '' PIPE; i=0; while [ $i -lt 400 ] && sleep 0.05; do i=$((i+1)); echo still here >&2; done) &"
    ),
}
"""What a start file may do, by a name for it."""
LEFT = "for ever, by something left behind"


@pytest.fixture(params=list(NOISES))
async def noisy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[DirectLine, str]]:
    shell = tmp_path / "noisy"
    shell.write_text(f'#!/bin/sh\n{NOISES[request.param]}\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    with Farm(tmp_path / "farm", 1, net=65, shell=str(shell)) as farm:
        line = DirectLine(farm)
        yield line, request.param
        await line.close()


@pytest.mark.found("fault 7")
async def test_the_output_of_a_plain_step_is_what_the_step_wrote(noisy: tuple[DirectLine, str]) -> None:
    """Each stream begins behind a mark, and what came before it counts for nothing, also not for the cap."""
    line, noise = noisy
    script = b"printf out; printf err >&2; sleep 0.3; printf more; exit 3"
    began = time.monotonic()
    async with asyncio.timeout(30):
        report = await plain(line, CommandRequest(script, {}, 20, 4096), sink := Bytes())
        network = SshNetwork()
        remote = network.remote(planned(line.server, line.farm.ssh_config))
        probe = await remote.probe(ProbeRequest("echo 1.2; echo 'a warning' >&2"))
        await network.close()
    assert (report.outcome, report.exit_code, bytes(sink.out)) == ("failed", 3, b"outmore")
    if noise == LEFT:  # it writes to the very same stream while the step does
        assert bytes(sink.err).replace(b"still here\n", b"") == b"err"
        assert time.monotonic() - began < 15
    else:
        assert bytes(sink.err) == b"err"
    assert (probe.outcome, probe.release) == ("ok", "1.2")


SUDO = """#!/bin/sh
# Lectures as sudo does the first time that it asks for a password, and then runs the command.
echo 'We trust you have received the usual lecture' >&2
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""


@pytest.mark.found("fault 7")
async def test_the_lecture_of_sudo_stands_in_no_log(tmp_path: Path) -> None:
    """The words that sudo says before it runs the command are not the command's."""
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sh").write_text(f'#!/bin/sh\nPATH={tmp_path}:$PATH exec /bin/sh "$@"\n')
    for stub in ("sudo", "sh"):
        (tmp_path / stub).chmod(0o755)
    with Farm(tmp_path / "farm", 1, net=65, shell=str(tmp_path / "sh")) as farm:
        line = DirectLine(farm)
        line.sudo = SudoPrefix("root")
        report = await plain(line, CommandRequest(b"echo err >&2", {}, 20), sink := Bytes())
        await line.close()
    assert (report.outcome, bytes(sink.err)) == ("ok", b"err\n")
