"""Rollouts in processes of their own, that can be killed at a moment and gone on with; all that they said is kept."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from farm import Farm
from oracle import Case, judge

from canary_tui.domain.codec import decode
from canary_tui.domain.rollout.apply import replay
from canary_tui.domain.rollout.events import Record
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.store.journal import read_journal
from canary_tui.store.journal_format import JournalError


def until(condition: Callable[[], object], seconds: float = 30.0, what: object = "the condition") -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {seconds:g} s: {what}"
        time.sleep(0.005)


@dataclass
class Engine:
    """A `--headless --json` engine."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    @property
    def records(self) -> list[Record]:
        """What it has shown as true so far, each record once it is on disk."""
        lines = self.stdout.read_bytes().split(b"\n")[:-1]
        return [decode(Record, json.loads(line)) for line in lines]

    def shown(self) -> int:
        """How many records it has shown."""
        return self.stdout.read_bytes().count(b"\n")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, seconds: float = 90.0) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still at work after {seconds:g} s:\n{self.said()[-3000:]}") from None

    def said(self) -> str:
        """Its narration."""
        return self.stderr.read_text(errors="replace")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def memory(self) -> int:
        """Its resident memory in bytes, 0 once it has ended."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0


@dataclass
class Controller:
    """Where an operator sits: a state directory and a farm's fleet file. Use as a context manager."""

    farm: Farm
    folder: Path
    body: str
    lines: dict[str, int]
    name: str = "shop"
    state_dir: Path | None = None
    engines: list[Engine] = field(default_factory=list)

    def __enter__(self) -> Controller:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.state_dir or self.folder / "state"
        self.fleet = self.farm.fleet(self.body, name=self.name)
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            if not engine.ended:
                os.killpg(engine.process.pid, signal.SIGKILL)
                engine.wait()

    def run(self, *options: object, under: Iterable[str] = ()) -> Engine:
        """Begin a rollout; `under` are the words of a program that runs ours."""
        return self.engine("run", self.fleet, "--release", "1.1", "--headless", "--json", *options, under=under)

    def resume(self, *options: object) -> Engine:
        """Go on with the newest one that is open."""
        return self.engine("resume", "--headless", "--json", *options)

    def engine(self, *words: object, under: Iterable[str] = ()) -> Engine:
        """A process of ours."""
        number = len(self.engines)
        out, err = self.folder / f"engine-{number}.out", self.folder / f"engine-{number}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*under, sys.executable, "-m", "canary_tui", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "CANARY_TUI_STATE": str(self.state)},
                start_new_session=True,
            )
        self.engines.append(Engine(process, out, err))
        return self.engines[-1]

    @property
    def directory(self) -> Path | None:
        """The newest rollout's directory, once its journal has a record."""
        found = sorted(self.state.glob("rollouts/*/journal.jsonl"), key=lambda path: path.stat().st_mtime)
        found = [path for path in found if b"\n" in path.read_bytes()]
        return found[-1].parent if found else None

    @property
    def records(self) -> list[Record]:
        """Its journal as it is now; a record that is being written is not there yet."""
        directory = self.directory
        if directory is None:
            return []
        with contextlib.suppress(JournalError):
            return read_journal(directory / "journal.jsonl")
        return []

    def rollout(self) -> RolloutState:
        """What its journal adds up to."""
        return replay(self.records)

    def approval(self) -> Path:
        """A prepared yes to the newest rollout's plan."""
        plan = self.rollout().plan
        assert plan is not None
        path = self.folder / "approval.toml"
        path.write_text(f'plan = "{plan.hash}"\nnote = "looked at it"\n')
        return path

    def judge(self) -> RolloutState:
        """Hold the newest rollout to its promises, with all that any engine has shown of it."""
        directory = self.directory
        assert directory is not None
        shown = [record for engine in self.engines for record in engine.records]
        return judge(Case(directory, self.farm.targets, self.lines), shown)

    def said(self) -> str:
        """The narration of all engines, for a failure's report."""
        return "\n".join(f"--- engine {i}: {one.process.poll()}\n{one.said()}" for i, one in enumerate(self.engines))


def kill_somewhere(engine: Engine, chance: random.Random, most: int, since: int = 0) -> None:
    """Kill an engine at a random moment: so many records shown, and a little later; or it ended before."""
    goal, later = since + chance.randint(0, most), chance.uniform(0, 0.1)
    until(lambda: engine.ended or engine.shown() >= goal, 90, engine.said)
    deadline = time.monotonic() + later
    while time.monotonic() < deadline and not engine.ended:
        time.sleep(0.001)
    engine.kill()
    engine.wait()


def remove_marks(farm: Farm) -> None:
    """Begin anew."""
    for target in farm.targets:
        (target.home / "marks").unlink(missing_ok=True)


def all_ok(state: RolloutState) -> Iterable[str]:
    """The targets that are not ok, which should be none."""
    return [name for name, target in state.targets.items() if target.steps.outcome != "ok"]
