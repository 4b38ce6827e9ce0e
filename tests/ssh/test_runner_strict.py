"""What the runner must not do: call stopped what lives, or write through a link that somebody else put there."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from test_runner import DIGEST, Host

SHELLS = ("dash", "bash", "busybox")


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Host:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "busybox":
        (tmp_path / "ash").symlink_to(found)
        found = str(tmp_path / "ash")
    return Host(tmp_path, found)


def run(host: Host, run_id: str, script: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a step to its end; what was said meanwhile."""
    payload = b"0 %d\n%s" % (len(script), script)
    words = [host.shell, str(host.folder / "runner.sh"), "run", "N1", run_id, "0", "0", DIGEST]
    return subprocess.run(
        words, input=payload, env=host.environment, capture_output=True, cwd=host.folder.parent, check=False
    )


def test_a_step_that_left_something_of_its_group_alive_is_not_called_gone(host: Host) -> None:
    run(host, "a1", b"sleep 60 >/dev/null 2>&1 & echo $! >left; exit 0\n")
    child = host.folder.parent / "left"
    try:
        assert host.answer("cancel", "a1", 1) == "STATE done rc=0 why=exit stopped=no"
    finally:
        subprocess.run(["kill", "-KILL", child.read_text().strip()], check=True)
    # In a container nobody may bury it: a zombie is gone, too.
    assert host.answer("cancel", "a1", 1) == "STATE done rc=0 why=exit"


def test_a_step_is_held_to_its_limit_and_nothing_stays_when_the_folder_is_emptied_meanwhile(host: Host) -> None:
    script = b"echo $$ >pid; while :; do sleep 0.1; done\n"
    words = [host.shell, str(host.folder / "runner.sh"), "run", "N1", "a1", "300", "0", DIGEST]
    pid, began = host.folder.parent / "pid", time.monotonic()
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=host.environment,
        cwd=host.folder.parent,
    ) as runner:  # fmt: skip
        assert runner.stdin is not None
        runner.stdin.write(b"0 %d\n%s" % (len(script), script))
        runner.stdin.flush()
        # Once a second it looks who is at work.
        until(lambda: pid.exists() and pid.read_text() and time.monotonic() > began + 2)
        shutil.rmtree(host.folder / "runs")
        until(lambda: gone(int(pid.read_text())))
        runner.stdin.close()
        runner.wait(10)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_file_is_not_written_through_a_link(host: Host, tmp_path: pathlib.Path) -> None:
    """The temporary name can be read from the command line; whoever may write to the folder could be first."""
    folder, precious, data = tmp_path / "shared", tmp_path / "precious", b"new\n"
    folder.mkdir()
    precious.write_text("precious\n")
    token = "0" * 16
    (folder / f".canary-tui.{token}.N1").symlink_to(precious)
    words = ["put", "N1", token, len(data), hashlib.sha256(data).hexdigest(), "0644"]
    done = subprocess.run(
        [host.shell, str(host.folder / "runner.sh"), *map(str, words)],
        input=f"{folder}/file\n0\n".encode() + data, env=host.environment, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert precious.read_text() == "precious\n"
    assert b"ERR cannot write to its folder" in done.stderr


@pytest.fixture
def few_inodes(host: Host, tmp_path: pathlib.Path) -> Iterator[Host]:
    """A host on a file system that has room, and after this many files no name for another one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700,nr_inodes=40", "tmpfs", str(small)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield Host(small, host.shell)
    subprocess.run(["umount", "-l", small], check=True)


FILL = b'i=0; while true >"f$i" && [ "$i" -lt 100 ]; do i=$((i+1)); done 2>/dev/null; '


def test_a_disk_without_names_for_new_files_loses_neither_output_nor_exit_code(few_inodes: Host) -> None:
    done = run(few_inodes, "a1", FILL + b"echo hello; sleep 0.5; echo bye; exit 0\n")
    assert done.stdout.partition(b"DATA\n")[2] == b"hello\nbye\n"
    assert b"done rc=0 why=exit" in done.stderr


def test_a_start_that_finds_no_room_says_so(few_inodes: Host) -> None:
    run(few_inodes, "a1", FILL + b"exit 0\n")
    done = run(few_inodes, "a2", b"echo started >begun\n")
    assert b"CTUI1 N1 ERR no room in " in done.stderr
    assert not (few_inodes.folder.parent / "begun").exists()


def test_a_start_on_a_full_disk_says_so(few_inodes: Host) -> None:
    run(few_inodes, "a1", b"cat /dev/zero >fill; exit 0\n")
    done = run(few_inodes, "a2", b"echo started >begun\n")
    assert b"CTUI1 N1 ERR no room in " in done.stderr
    assert not (few_inodes.folder.parent / "begun").exists()
