"""A ProxyCommand runs as ssh runs it, speaks apart from its stream, and leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import linked, planned, refusal, run, write_config

pytestmark = [pytest.mark.skipif(bool(available()), reason=available()), pytest.mark.found("field 5")]

WAY = """
import os, socket, sys, threading
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536):
        os.write(2, b"passing on\\n")
        server.sendall(data)
    os._exit(0)
threading.Thread(target=up, daemon=True).start()
while data := server.recv(65536):
    os.write(1, data)
"""
"""A way that speaks on standard error with whatever it passes on."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 1, net=43) as running:
        (running.folder / "way.py").write_text(WAY)
        yield running


def through(farm: Farm, folder: Path, command: str) -> Path:
    """A config with this ProxyCommand, in which `WAY` leads to the target and $F is a folder of the test."""
    text = command.replace("WAY", f"python3 {farm.folder}/way.py %h %p").replace("$F", str(folder))
    return write_config(farm, folder / "config", "Host *", f" ProxyCommand {text}")


def running(folder: Path) -> bool:
    """Tell whether the process that noted its id is still there."""
    pid = int((folder / "pid").read_text())
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "" and pid > 0
    except OSError:
        return False


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("WAY 2>/dev/null", id="its words thrown away"),
        pytest.param("WAY", id="words with each packet"),
        pytest.param('sh -c \'head -c 200000 /dev/zero >&2; exec "$0" "$@"\' WAY', id="many words at first"),
        pytest.param("env F='a  b' WAY", id="quotes"),
    ],
)
async def test_what_a_proxy_says_is_not_what_the_server_sends(farm: Farm, tmp_path: Path, command: str) -> None:
    async with linked(planned(farm.targets[0], through(farm, tmp_path, command))) as [link]:
        assert await run(link, "head -c 100000 /dev/zero | tr '\\0' x; echo in") == "x" * 100000 + "in\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("echo first >&2; echo no ticket today >&2; exit 255", "code 255: no ticket today", id="words"),
        pytest.param("exit 1", "its ProxyCommand ended with exit code 1", id="no words"),
        pytest.param("printf '\\033[2Jgone\\n' >&2; exit 3", "gone", id="words that act"),
        pytest.param("kill -TERM $$", "ended with signal 15", id="a signal"),
        pytest.param("exec >&-; sleep 0.2; echo late >&2; exit 9", "code 9: late", id="later than its stream"),
        pytest.param("exec ./no-such-program", "not found", id="no program"),
    ],
)
async def test_a_proxy_that_ends_by_itself_is_called_once_and_its_last_line_is_the_reason(
    farm: Farm, tmp_path: Path, script: str, words: str
) -> None:
    (tmp_path / "way").write_text(f"echo called >>{tmp_path}/calls\n{script}\n")
    async with linked(planned(farm.targets[0], through(farm, tmp_path, "sh $F/way"))) as [link]:
        error = await refusal(link)
    assert words in error.detail
    assert "MaxStartups" not in error.detail
    assert error.detail.isprintable()
    assert error.final == (words == "not found")
    assert (tmp_path / "calls").read_text() == "called\n"


async def test_the_users_shell_runs_it(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\nprintf \'%s\\n\' "$@" >{tmp_path}/words\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    async with linked(planned(farm.targets[0], through(farm, tmp_path, "WAY 2>/dev/null"))) as [link]:
        assert await run(link, "echo in") == "in\n"
    assert (tmp_path / "words").read_text().startswith("-c\nexec python3 ")


async def test_bash_reads_no_start_file_for_it(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were its standard input a socket, it would take itself for a remote shell."""
    (tmp_path / ".bashrc").write_text("echo not for a server\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.delenv("SHLVL", raising=False)
    async with linked(planned(farm.targets[0], through(farm, tmp_path, "WAY"))) as [link]:
        assert await run(link, "echo in") == "in\n"


@pytest.mark.parametrize("trap", ["", 'trap "" HUP; '], ids=["ordinary", "deaf"])
async def test_a_proxy_ends_with_its_connection(farm: Farm, tmp_path: Path, trap: str) -> None:
    command = f"sh -c '{trap}echo $$ >$F/pid; WAY; sleep 100'"
    async with linked(planned(farm.targets[0], through(farm, tmp_path, command))) as [link]:
        await run(link, "true")
        assert running(tmp_path)
    assert not running(tmp_path)


async def test_a_proxy_ends_with_a_login_that_fails(farm: Farm, tmp_path: Path) -> None:
    config = through(farm, tmp_path, "sh -c 'echo $$ >$F/pid; exec sleep 100'")
    async with linked(planned(farm.targets[0], config, connect_timeout=0.5)) as [link]:
        error = await refusal(link)
        assert "no answer within" in error.detail
        assert not running(tmp_path)


async def test_a_connection_is_lost_with_its_proxy_and_made_again(farm: Farm, tmp_path: Path) -> None:
    config = through(farm, tmp_path, 'sh -c \'echo $$ >$F/pid; exec "$0" "$@"\' WAY')
    async with linked(planned(farm.targets[0], config)) as [link]:
        connection = await link.connection()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        async with asyncio.timeout(10):
            await connection.wait_closed()
        assert await run(link, "echo again") == "again\n"
