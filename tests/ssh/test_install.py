"""The runner's file on a target: what is not byte for byte ours is replaced before it is run."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from direct_line import DirectLine
from farm import Farm, available

from canary_tui.ssh.execution.cksum import cksum
from canary_tui.ssh.execution.install import ensure_runner

pytestmark = [pytest.mark.found("fault 8"), pytest.mark.skipif(bool(available()), reason=available())]

TOOLS = ("id", "mkdir", "chmod", "wc", "cat", "mv", "rm", "ls", "df", "find", "date", "sed", "ln", "tail", "sleep")
"""What `hello` uses, but for the tools that know a checksum."""


@pytest.fixture(params=["sha256sum", "cksum", "neither"])
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DirectLine]:
    """A target that has this tool for checksums and no other."""
    tools, shell = tmp_path / "tools", tmp_path / "shell"
    tools.mkdir()
    for tool in (*TOOLS, request.param):
        for folder in ("/usr/bin", "/bin"):
            if (Path(folder) / tool).exists() and not (tools / tool).exists():
                (tools / tool).symlink_to(Path(folder) / tool)
    shell.write_text(f'#!/bin/sh\nPATH={tools} exec /bin/sh "$@"\n')
    shell.chmod(0o755)
    with Farm(tmp_path / "farm", 1, net=66, shell=str(shell)) as farm:
        one = DirectLine(farm)
        yield one
        await one.close()


async def test_a_runner_of_which_a_byte_is_another_is_never_run(line: DirectLine, tmp_path: Path) -> None:
    """Its size and name prove nothing: one byte, or NULs that a loss of power left, and it is sent again."""
    path = Path((await ensure_runner(line)).path)
    ours = path.read_bytes()
    harm = b"touch " + str(tmp_path / "harm").encode() + b"\n"
    for spoiled in (ours.replace(b"hello NONCE", b"hallo NONCE", 1), bytes(len(ours)), harm.ljust(len(ours), b"#")):
        assert len(spoiled) == len(ours)
        path.write_bytes(spoiled)
        line.drop(await line.connection())
        assert (await ensure_runner(line)).path == str(path)
        assert path.read_bytes() == ours
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 300], ids=["empty", "a byte", "more"])
def test_the_checksum_is_that_of_the_tool(data: bytes) -> None:
    said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
    assert said.split() == [b"%d" % cksum(data), b"%d" % len(data)]
