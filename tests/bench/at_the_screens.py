"""A whole rollout as an operator does it, by keys on the real app: what it came to, how long every key waited, and how
much memory the screens and the engine shared out between them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import measuring  # noqa: F401 -- puts the package on the path
from hand import Hand, Press
from terminal import Terminal

from canary_tui.domain.rollout.events import Record
from canary_tui.store.journal import read_journal

_SAMPLES_EVERY = 0.5
_READING = 1.5
"""Seconds that a person looks at a gate or a result at least: keys do not count before."""


@dataclass(slots=True)
class Process:
    """One process of ours: MB of memory that it alone has or its share of (PSS), and seconds of processor."""

    pid: int
    memory: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def sample(self) -> None:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
            share = re.search(r"^Pss: +(\d+)", rollup, re.MULTILINE)
            assert share is not None
            self.memory.append(int(share[1]) / 1024)
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def gone(self, seconds: float = 3.0) -> bool:
        """It ends within so long."""
        deadline = time.perf_counter() + seconds
        while (there := self._lives()) and time.perf_counter() < deadline:
            time.sleep(0.02)
        return not there

    def _lives(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False


@dataclass(slots=True)
class Rolled:
    """One rollout. `wall`: seconds from its start to the result on the screen. `logs` live as long as the context."""

    wall: float
    exit_code: int
    presses: list[Press]
    idle_moves: int
    front: Process
    engine: Process
    records: list[Record]
    logs: Path
    load: float
    """Runnable processes on this machine, over the last minute."""

    @property
    def memory(self) -> float:
        """The most that screens and engine had together, in MB."""
        return max(map(sum, zip(self.front.memory, self.engine.memory)))


@contextlib.contextmanager
def rolled_out(fleet_file: Path, canaries: int, *, preflight: bool = False) -> Iterator[Rolled]:
    """Mark canaries, look at every target, start, pass the gate, read the result, leave; press keys all the while."""
    with tempfile.TemporaryDirectory(prefix="canary-scale-") as state:
        command = [sys.executable, Path(__file__).with_name("paced_front.py"), fleet_file, "--release", "1"]
        with Terminal(command, env={"CANARY_TUI_STATE": state}) as terminal:
            sampler = _Sampler(terminal.pid)
            hand = Hand(terminal, sampler)
            _plan(terminal, canaries)
            if preflight:
                _preflight(hand)
            wall = _roll(hand, gate=canaries > 0)
            sampler.take()
            terminal.press("q")
            exit_code = terminal.ended()
        [folder] = Path(state).glob("rollouts/*")
        records = read_journal(folder / "journal.jsonl")
        load = os.getloadavg()[0]
        assert sampler.processes is not None
        front, engine = sampler.processes
        yield Rolled(wall, exit_code, hand.presses, hand.idle_moves, front, engine, records, folder / "logs", load)


def _plan(terminal: Terminal, canaries: int) -> None:
    terminal.shows(r"web-1 ")
    terminal.shows(r"marked 0")
    for number in range(canaries):
        terminal.press(" ")
        terminal.shows(f"marked {number + 1}")
    terminal.press("\r")
    terminal.shows(r" PLAN ")


def _preflight(hand: Hand) -> None:
    said = hand.terminal.screen
    hand.press("P", lambda: "looked at" in said.text)
    hand.wander(lambda: re.search(r"Preflight: (all [\d,]+ ok|.* not ok, see above)", said.text))


def _roll(hand: Hand, *, gate: bool) -> float:
    terminal, said = hand.terminal, hand.terminal.screen
    hand.press("S", lambda: "enter Start" in said.text)
    started = terminal.press("\r")
    terminal.until(hand.shows_rollout)
    if gate:
        hand.wander(hand.gate_is_open)
        _approve(hand)
    hand.wander(lambda: hand.stage() == "result" or "v shows the result" in said.text)
    wall = time.perf_counter() - started
    if hand.stage() != "result":  # the end came while something was typed
        hand.press("v", lambda: hand.stage() == "result")
    reading = time.perf_counter() + _READING
    hand.wander(lambda: time.perf_counter() > reading)
    return wall


def _approve(hand: Hand) -> None:
    said = hand.terminal.screen
    reading = time.perf_counter() + _READING
    hand.wander(lambda: time.perf_counter() > reading)
    gate = re.search(r"== GATE .*: ([\d,]+) targets? next", said.text)
    assert gate is not None
    number = gate[1].replace(",", "")
    hand.press("A", lambda: "A: type" in said.text)
    for digit in number:
        hand.terminal.press(digit)
        hand.terminal.idle(0.15)
    hand.press("\r", lambda: "A: type" not in said.text)
    hand.wander(lambda: not hand.gate_is_open())


class _Sampler:
    """Looks at both processes twice a second."""

    def __init__(self, front: int) -> None:
        self._front = front
        self.processes: tuple[Process, Process] | None = None
        self._due = 0.0

    def __call__(self) -> None:
        if time.perf_counter() >= self._due:
            self._due = time.perf_counter() + _SAMPLES_EVERY
            self.take()

    def take(self) -> None:
        if self.processes is None:
            [engine] = Path(f"/proc/{self._front}/task/{self._front}/children").read_text().split()
            self.processes = Process(self._front), Process(int(engine))
        for process in self.processes:
            process.sample()
