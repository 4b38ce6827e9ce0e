"""What it costs to wait for a person: python tests/bench/idle.py

The real screens stand at an open gate, with a canary done and its connections held, on real sshd; nothing happens and
no key is pressed. Front and engine are measured apart, in percent of one processor, and how often each woke up.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
import tempfile
import time
from dataclasses import dataclass

import measuring
from targets_apart import TargetsApart
from terminal import Terminal

_BODY = """
[[steps]]
name = "nothing"
run = "echo done"

[[waves]]
name = "canary"

[waves.gate]

[[waves]]
name = "rest"
"""
_SETTLED = 5.0
"""Seconds after which what opening the gate began is over."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used so far, all threads together: seconds of processor, and voluntary switches."""

    cpu: float
    wakes: int


def main() -> None:
    arguments = _arguments()
    with TargetsApart(arguments.targets) as targets, tempfile.TemporaryDirectory(prefix="canary-bench-") as state:
        command = [sys.executable, "-m", "canary_tui", targets.fleet(_BODY, "idle"), "--release", "1"]
        with Terminal(command, arguments.columns, arguments.rows, {"CANARY_TUI_STATE": state}) as terminal:
            _to_the_gate(terminal)
            [engine] = pathlib.Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
            pids = {"screens": terminal.pid, "engine": int(engine)}
            terminal.idle(_SETTLED)
            before, started = {name: _used(pid) for name, pid in pids.items()}, time.perf_counter()
            terminal.idle(arguments.seconds)
            wall = time.perf_counter() - started
            rows = [_row(name, before[name], _used(pid), wall) for name, pid in pids.items()]
    print(f"\nAt an open gate for {wall:.0f} s, {arguments.targets} targets, {arguments.columns}x{arguments.rows}.")
    print(f"{measuring.machine()}\n")
    print(measuring.table(["", "% of a core", "wake-ups a second"], rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=40)
    return parser.parse_args()


def _to_the_gate(terminal: Terminal) -> None:
    terminal.shows("marked 0", 20)
    terminal.press(" ")
    terminal.shows("marked 1")
    terminal.press("\r")
    terminal.shows(" PLAN ")
    terminal.press("S")
    terminal.shows("enter Start")
    terminal.press("\r")
    terminal.shows("== GATE ", 60)


def _used(pid: int) -> Used:
    cpu, wakes = 0, 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
        switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)
        assert switches is not None
        wakes += int(switches[1])
    return Used(cpu / 1e9, wakes)


def _row(name: str, before: Used, after: Used, wall: float) -> list[str]:
    percent = 100 * (after.cpu - before.cpu) / wall
    return [name, f"{percent:.2f}", f"{(after.wakes - before.wakes) / wall:.1f}"]


if __name__ == "__main__":
    main()
