"""How long a key waits for its paint while a rollout floods the logs: python tests/bench/screen.py

The real `watch` screen runs on a pseudo-terminal, on a rollout whose logs another process appends to. A key is pressed
at odd moments; its latency ends when what it asked for is painted.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import measuring
from busy_rollout import mark, target_name
from measuring import percentile
from terminal import Terminal

_SHARES = (0.5, 0.95, 0.99)


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as folder:
        for rate in (0, arguments.rate):
            rows.append(_measure(pathlib.Path(folder) / str(rate), rate, arguments))
    print(f"\nMilliseconds from a key to its paint, {arguments.targets} targets, {arguments.columns}x{arguments.rows}.")
    print(f"{measuring.machine()}\n")
    head = ["", "keys", *(f"p{100 * share:.0f}" for share in _SHARES), "slowest", "front's peak MB", "written lines/s"]
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
            terminal.painted(re.escape(target_name(0).encode()), 20)
            terminal.idle(2.0)
            latencies = [1000 * latency for latency in _latencies(terminal, arguments.targets, arguments.keys)]
            peak = terminal.peak_mb()
        done = written()
    figures = [f"{percentile(latencies, share):.0f}" for share in _SHARES]
    name = f"{rate:,} lines/s" if rate else "nothing written"
    return [name, str(len(latencies)), *figures, f"{max(latencies):.0f}", f"{peak:.0f}", f"{done:,.0f}"]


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


def _latencies(terminal: Terminal, targets: int, keys: int) -> Iterator[float]:
    """Moving down the list paints the log of the next target, whose every line says whose it is."""
    odd = random.Random(7)
    for number in range(keys):
        at = 1 + number % (targets - 1)
        if at == 1 and number:
            terminal.press(b"g")
            terminal.painted(re.escape(mark(target_name(0)).encode()))
        terminal.idle(odd.uniform(0.02, 0.25))
        pressed = terminal.press(b"j")
        yield terminal.painted(re.escape(mark(target_name(at)).encode())) - pressed


if __name__ == "__main__":
    main()
