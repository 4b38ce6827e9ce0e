"""How long a key waits for its paint while a rollout floods the logs: python tests/bench/screen.py

The real `watch` screen runs on a pseudo-terminal, on a rollout whose logs another process appends to. A key is pressed
at odd moments; its latency ends when what it asked for stands there.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import measuring
from busy_rollout import target_name
from hand import LATENCIES, Hand, latencies
from terminal import Terminal


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as folder:
        for rate in (0, arguments.rate):
            rows.append(_measure(pathlib.Path(folder) / str(rate), rate, arguments))
    print(f"\nMilliseconds from a key to its paint, {arguments.targets} targets, {arguments.columns}x{arguments.rows}.")
    print(f"{measuring.machine()}\n")
    head = ["", *LATENCIES, "front's CPU %", "its peak MB", "written lines/s"]
    print(measuring.table(head, rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--rate", type=int, default=100_000, help="lines a second, over all targets")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=40)
    return parser.parse_args()


def _measure(state: pathlib.Path, rate: int, arguments: argparse.Namespace) -> list[str]:
    with _busy(state, arguments.targets, rate) as (directory, written):
        command = [sys.executable, "-m", "canary_tui", "watch", directory]
        env = {"CANARY_TUI_STATE": str(state)}
        with Terminal(command, arguments.columns, arguments.rows, env) as terminal:
            terminal.shows(target_name(0), 20)
            terminal.idle(2.0)
            hand, began, cpu = Hand(terminal), time.perf_counter(), terminal.cpu()
            hand.move(arguments.keys)
            share = (terminal.cpu() - cpu) / (time.perf_counter() - began)
            peak = terminal.peak_mb()
        done = written()
    name = f"{rate:,} lines/s" if rate else "nothing written"
    return [name, *latencies(hand.presses), f"{100 * share:.0f}", f"{peak:.0f}", f"{done:,.0f}"]


@contextmanager
def _busy(state: pathlib.Path, targets: int, rate: int) -> Iterator[tuple[str, Callable[[], float]]]:
    writer = subprocess.Popen(
        [sys.executable, pathlib.Path(__file__).with_name("busy_rollout.py"), state, str(targets), str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None

    def written() -> float:
        out, _ = writer.communicate()
        return float(out)

    try:
        yield writer.stdout.readline().strip(), written
    finally:
        if writer.poll() is None:
            writer.kill()
            writer.communicate()


if __name__ == "__main__":
    main()
