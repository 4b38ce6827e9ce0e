"""Finds and ends what the demo's targets still run: every process that carries the demo's mark in its environment."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

MARK = "CANARY_TUI_DEMO"
"""Environment variable of everything that a demo target starts; its value is the demo's folder."""

_ROUNDS = 200


def marked_processes(folder: Path) -> list[int]:
    """The pids of everything that the targets of the demo in `folder` run."""
    mark = f"{MARK}={folder}".encode()
    pids = _marked_by_proc(mark) if Path("/proc/self/environ").exists() else _marked_by_ps(mark)
    return [pid for pid in pids if pid != os.getpid()]


def end_marked_processes(folder: Path) -> None:
    """KILL them until none is left: a step may have left our connection, our session and its parent."""
    clean = 0
    for _ in range(_ROUNDS):
        pids = marked_processes(folder)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Two looks: one may miss the child of a process that ends between the listing and the reading.
        clean = 0 if pids else clean + 1
        if clean == 2:
            return
        if pids:
            time.sleep(0.01)


def _marked_by_proc(mark: bytes) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


def _marked_by_ps(mark: bytes) -> list[int]:
    listing = subprocess.run(["ps", "-axwwE", "-o", "pid=,command="], capture_output=True, check=False).stdout
    whole = re.compile(rb"(^|\s)" + re.escape(mark) + rb"(\s|$)")
    return [int(line.split()[0]) for line in listing.splitlines() if whole.search(line)]
