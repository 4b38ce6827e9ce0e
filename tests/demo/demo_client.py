"""The real `ssh` against a running demo, and looks at what is left of one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
import tomllib
from collections.abc import Callable
from typing import IO

from canary_tui.demo.launch import Demo
from canary_tui.demo.sweep import marked_processes


def ssh(demo: Demo, target: str, command: str, *options: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """One command by the real ssh with the demo's own ssh_config."""
    return subprocess.run(arguments(demo, target, command, *options), input=data, capture_output=True, timeout=60)


def arguments(demo: Demo, target: str, command: str, *options: str) -> list[str]:
    return ["ssh", "-F", str(demo.folder / "ssh_config"), "-o", "BatchMode=yes", *options, target, command]


def output_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """Standard output of a process that was started with a pipe for it."""
    assert process.stdout is not None
    return process.stdout


def wait_until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Look until it holds; TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(holds)
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def traces(folder: pathlib.Path) -> list[str]:
    """What a demo left behind: its folder, and processes of its targets or of its own."""
    left = [str(folder)] if folder.exists() else []
    left += [f"pid {pid}" for pid in marked_processes(folder) if alive(pid)]
    return left


def server_pid(demo: Demo) -> int:
    """The demo's server process."""
    return demo._process.pid


def zombies_of(pid: int) -> list[int]:
    """Children that have ended and were not reaped."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if not alive(int(child))]


def web_port(demo: Demo, target: str) -> int:
    """The port of a target's web service, as the fleet file tells it."""
    fleet = tomllib.loads(demo.fleet_path.read_text())
    return next(int(one["vars"]["WEB_PORT"]) for one in fleet["targets"] if one["name"] == target)


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body of one answer of a target's web service."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def environment_without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}
