"""A file that is a pipe, or on a disk that does not answer, is a sentence within the connect limit, and no hang."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, run, write_config

from canary_tui.regular import NotRegularError, TooLargeError, read_regular

pytestmark = [pytest.mark.skipif(bool(available()), reason=available()), pytest.mark.found("fault 6")]
_AT_MOST = 8.0
"""Seconds; then the pipe gets a writer, so that who waits for one hangs no longer than this."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 1, net=48) as running:
        yield running


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe; nobody writes to it in time."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    ended = threading.Event()

    def give_it_a_writer() -> None:
        while not ended.wait(_AT_MOST):
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    thread = threading.Thread(target=give_it_a_writer)
    thread.start()
    started = time.monotonic()
    yield path
    ended.set()
    thread.join()
    assert time.monotonic() - started < _AT_MOST, "somebody waited for a writer"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param("UserKnownHostsFile {pipe}", "is not known", id="known hosts"),
        pytest.param("UserKnownHostsFile {pipe}", "is a pipe", id="known hosts, in words"),
        pytest.param("UserKnownHostsFile none\n GlobalKnownHostsFile {pipe}", "is not known", id="global known hosts"),
        pytest.param("RevokedHostKeys {pipe}", "is a pipe", id="revoked keys"),
        pytest.param("IdentityFile {pipe}", "", id="a key beside a good one"),
        pytest.param("CertificateFile {pipe}", "", id="a certificate beside a good key"),
        pytest.param("Include {pipe}", "is a pipe", id="a part of the configuration"),
    ],
)
async def test_a_pipe_in_ssh_config_is_a_sentence(
    farm: Farm, tmp_path: Path, pipe: Path, lines: str, words: str
) -> None:
    """Where the file is not needed, it is passed over."""
    config = write_config(farm, tmp_path / "config", "Host *", f" {lines.format(pipe=pipe)}")
    async with linked(planned(farm.targets[0], config)) as [link]:
        if words:
            assert words in (await refusal(link)).detail
        else:
            assert await run(link, "echo in") == "in\n"


@pytest.mark.parametrize(
    ("key", "words"), [("identity", "is a pipe"), ("known_hosts", "is not known"), ("config", "is a pipe")]
)
async def test_a_pipe_in_the_fleet_file_is_a_sentence(farm: Farm, pipe: Path, key: str, words: str) -> None:
    config, keys = (pipe, {}) if key == "config" else (farm.ssh_config, {key: str(pipe)})
    async with linked(planned(farm.targets[0], config, **keys)) as [link]:
        assert words in (await refusal(link)).detail


async def test_an_accepted_key_is_not_written_into_a_pipe(farm: Farm, tmp_path: Path, pipe: Path) -> None:
    config = write_config(farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {pipe}")
    async with linked(planned(farm.targets[0], config), asker=Person("yes")) as [link]:
        assert "the key cannot be kept: is a pipe" in (await refusal(link)).detail


SLOW = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
from links import linked, refusal
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget

async def main():
    ssh = Ssh(config={config!r}, connect_timeout=Duration(1))
    async with linked(PlannedTarget("web", {host!r}, ssh)) as [link]:
        print((await refusal(link)).detail)

asyncio.run(main())
print("ended", flush=True)
"""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("option", ["UserKnownHostsFile", "IdentityFile"])
def test_a_disk_that_does_not_answer_costs_the_connect_limit(farm: Farm, tmp_path: Path, option: str) -> None:
    """Neither the other targets nor the end of the program wait for it. Here each call about the file takes a minute."""
    dead = tmp_path / "dead"
    dead.write_text("")
    config = write_config(farm, tmp_path / "config", "Host *", f" {option} {dead}")
    script = SLOW.format(tests=str(Path(__file__).parent.parent), config=str(config), host=farm.targets[0].address)
    slow = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-P", str(dead), "-e", "trace=openat"]
    slow += ["-e", "inject=openat:delay_enter=60000000", sys.executable, "-c", script]
    started = time.monotonic()
    with subprocess.Popen(slow, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        said, ended = process.stdout.readline(), process.stdout.readline()
        took = time.monotonic() - started
        os.killpg(process.pid, signal.SIGKILL)  # strace waits for the minute, the program does not
    assert "cannot be read within 1 s: " in said
    assert str(dead) in said
    assert ended == "ended\n"
    assert took < 30


def test_what_is_read_by_a_foreign_path_is_regular_and_of_bounded_size(tmp_path: Path, pipe: Path) -> None:
    """/dev/null passes for an empty file, as people use it."""
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    assert read_regular("/dev/null", 5) == b""
    for path, words in ((pipe, "is a pipe"), (tmp_path, "is a folder"), (Path("/dev/zero"), "is a device")):
        with pytest.raises(NotRegularError, match=words):
            read_regular(path, 5)
    with pytest.raises(TooLargeError):
        read_regular(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 4)
