"""A target that has no process or no inode left: limits hold there, and the runner's own words stand in no log."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest
from test_runner import SHELLS, Host, Talk, lives, until

pytestmark = [
    pytest.mark.found("fault 2"),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"),
]
USER = 100_000 + os.getpid()
"""Nobody else's processes count for this one's limit."""

LONG = 60.0
"""bash tries for half a minute to make a process, before it says that it cannot."""


def ending(host: Host, run: str) -> list[str]:
    """The exit record of a run: its code, and why."""
    return (host.runs / f"{run}.exit").read_text().split()[-2:]


class Starved(Host):
    """A host whose runner is of a user of its own, so that its processes can be counted and refused."""

    def __init__(self, folder: pathlib.Path, shell: str) -> None:
        super().__init__(folder, shell)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
        wrapper = folder / "as-user"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --reuid {USER} --clear-groups {shell} "$@"\n')
        wrapper.chmod(0o755)
        self.environment["CANARY_TUI_SHELL"] = shell
        self.shell = str(wrapper)

    def processes(self) -> list[int]:
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found += [int(entry.name)] if entry.stat().st_uid == USER else []
        return found

    def starve(self, spare: tuple[int, ...] = ()) -> None:
        """From now on none of its processes can make another one."""
        self._allow("1", spare)

    def feed(self) -> None:
        self._allow("500")

    def _allow(self, processes: str, spare: tuple[int, ...] = ()) -> None:
        """Set the limit that the kernel looks at; only their own user may always do that."""
        script = f'for pid; do prlimit --pid "$pid" --nproc={processes}: 2>/dev/null; done; :'
        pids = [str(pid) for pid in self.processes() if pid not in spare]
        words = ["setpriv", "--reuid", str(USER), "--clear-groups", "/bin/sh", "-c", script, "sh", *pids]
        subprocess.run(words, check=True)


@pytest.fixture(params=[name for name in SHELLS if name != "bash" or "CANARY_TUI_STARVE" in os.environ])
def host(request: pytest.FixtureRequest) -> Iterator[Starved]:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    # Not below pytest's own folder: each pytest that starts shuts that to all but its own user.
    with tempfile.TemporaryDirectory(prefix="canary-tui-starved-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        if request.param == "busybox":
            (folder / "ash").symlink_to(found)
            found = str(folder / "ash")
        host = Starved(folder, found)
        yield host
        for pid in host.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def starved(host: Starved, script: str, *, timeout: int = 0, cap: int = 0) -> tuple[Talk, int]:
    """A step that runs where no process can be made any more: its talk and its pid."""
    talk = await host.start(f"echo here; {script}\n", timeout=timeout, cap=cap)
    await talk.stdout.readuntil(b"here\n")
    child = host.identity(talk.run, "child")
    host.starve(spare=(child,))
    return talk, child


async def test_a_time_limit_holds_while_no_process_can_be_made(host: Starved) -> None:
    """A failed fork ends a shell, not the watch over a step; its end is recorded as soon as that is possible."""
    began = time.monotonic()
    talk, child = await starved(host, "exec sleep 60", timeout=200)
    await until(lambda: not lives(child), LONG)
    assert time.monotonic() - began >= 2
    host.feed()
    await until(lambda: (host.runs / f"{talk.run}.exit").exists(), LONG)
    assert ending(host, talk.run) == ["rc=143", "why=timeout"]
    await talk.cut()


async def test_a_cap_on_output_holds_while_no_process_can_be_made(host: Starved) -> None:
    """The size is seen without a new process."""
    talk, child = await starved(host, "while [ ! -e go ]; do :; done; exec yes", cap=100_000)
    (host.folder.parent / "go").touch()
    await until(lambda: not lives(child), LONG)
    host.feed()
    await until(lambda: (host.runs / f"{talk.run}.exit").exists(), LONG)
    assert ending(host, talk.run)[1] == "why=output-cap"
    await talk.cut()


@pytest.mark.skipif("CANARY_TUI_STARVE" not in os.environ, reason="long: set CANARY_TUI_STARVE=1")
async def test_a_step_that_ignores_term_is_killed_while_no_process_can_be_made(host: Starved) -> None:
    """The grace is counted from the first TERM, however often the watch begins again."""
    talk, child = await starved(host, "trap '' TERM; while :; do :; done", timeout=100)
    await until(lambda: not lives(child), LONG)
    host.feed()
    await until(lambda: (host.runs / f"{talk.run}.exit").exists(), LONG)
    assert ending(host, talk.run) == ["rc=137", "why=timeout"]
    await talk.cut()


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system on which the last name can be taken."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700,nr_inodes=100", "tmpfs", str(small)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield small
    subprocess.run(["umount", "-l", small], check=True)


def leave(folder: pathlib.Path, free: int) -> None:
    """Take names, or give some back, until so many are left."""
    taken = sorted(folder.glob("taken-*"))
    while (spare := os.statvfs(folder).f_ffree) != free:
        if spare > free:
            taken.append(folder / f"taken-{len(taken)}")
            taken[-1].touch()
        else:
            taken.pop().unlink()


async def test_a_step_is_held_to_its_limit_or_not_started_however_few_inodes_there_are(small: pathlib.Path) -> None:
    """What holds a step and what stops it has its place on the disk before the start."""
    found = shutil.which("dash") or "/bin/sh"
    host, ends = Host(small, found), []
    for free in range(4, 8):
        leave(small, free)
        _, end = await host.run("sleep 60\n", timeout=30)
        ends.append(end)
        assert "no room" in end or end.endswith("done rc=143 why=timeout"), (free, end)
    assert "no room" in ends[0]
    assert ends[-1].endswith("why=timeout")


async def test_a_step_is_stopped_without_an_inode(small: pathlib.Path) -> None:
    """To note that it was stopped needs no new name."""
    host = Host(small, shutil.which("dash") or "/bin/sh")
    talk = await host.start("echo here; sleep 60\n")
    await talk.stdout.readuntil(b"here\n")
    leave(small, 0)
    assert host.answer("cancel", talk.run, 5) == "STATE done rc=143 why=cancelled stopped=yes"
    await talk.cut()


async def test_the_shells_own_words_stand_in_no_log(host: Starved) -> None:
    """A plain command for which no process can be made is not called a step that printed `Cannot fork`."""
    talk = await host.speak("plain", 60)
    talk.say(b"0 1\n")
    await until(lambda: len(host.processes()) >= 2)
    host.starve()
    talk.say(b"echo never; exit 3\n")
    lines = [await talk.line() for _ in range(2)]
    assert lines == ["DATA", "ERR no process could be made for it"]
    assert "never" not in (await talk.stdout.read()).decode()
    await talk.cut()
