"""What stands in front of an engine: a command line as operators type it, or the other end of the engine's socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar, Unpack

from choosing import Chosen

from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply, replay
from canary_tui.domain.rollout.events import Decision, Event, Operator, Record
from canary_tui.domain.rollout.state import GateState, RolloutState
from canary_tui.domain.rollout.words import StopStage, Treatment
from canary_tui.engine.messages import (
    Command,
    Decide,
    Ended,
    Notice,
    Opened,
    Quit,
    Ready,
    Refused,
    Resume,
    Start,
    read_notice,
    to_line,
)
from canary_tui.fleetfile.loader import load_fleet
from canary_tui.store.journal import JournalReader, read_journal
from canary_tui.store.layout import RolloutDirectory, rollouts

ANN = Operator("ann", "desk", "/dev/pts/7")
LIMIT = 30.0
"""Seconds that a test waits for anything."""
_LINE = 1 << 26
AnEvent = TypeVar("AnEvent", bound=Event)
ANotice = TypeVar("ANotice", bound=Notice)


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def words(*arguments: object) -> list[str]:
    """The program's command line."""
    return [sys.executable, "-m", "canary_tui", *map(str, arguments)]


def environment(state: Path) -> dict[str, str]:
    """Ours, with the rollouts kept in `state`."""
    return {**os.environ, "CANARY_TUI_STATE": str(state), "PYTHONWARNINGS": "error"}


def canary_tui(state: Path, *arguments: object, within: float = 60.0) -> Ran:
    """Run one command line to its end."""
    done = subprocess.run(
        words(*arguments), env=environment(state), stdin=subprocess.DEVNULL, capture_output=True, timeout=within,
        check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def headless(state: Path, fleet: Path, *arguments: object, release: str = "2.0") -> Ran:
    """Roll out with nobody to ask."""
    return canary_tui(state, "run", fleet, "--release", release, "--headless", *arguments)


def started(state: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """The same, under way."""
    return subprocess.Popen(
        words(*arguments), env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def approval(folder: Path, plan: str, **more: object) -> Path:
    """A prepared approval for a plan's hash."""
    path = folder / "approval.toml"
    lines = [f'plan = "{plan}"', *(f"{key} = {value!r}" for key, value in more.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def only_rollout(state: Path) -> RolloutDirectory:
    """The one that there is."""
    [found] = rollouts(state)
    return found


def records(state: Path) -> list[Record]:
    """The journal of the one rollout."""
    return read_journal(only_rollout(state).journal)


def told(state: Path, kind: type[AnEvent]) -> list[AnEvent]:
    """Its events of one kind, in order."""
    return [record.event for record in records(state) if isinstance(record.event, kind)]


def folded(state: Path) -> RolloutState:
    """What they add up to."""
    return replay(records(state))


def plan_of(fleet: Path, release: str = "2.0", **choices: Unpack[Chosen]) -> Plan:
    """What the screens would start: the plan of a fleet file and an operator's choices."""
    loaded = load_fleet(fleet)
    chosen = Choices(release, directory=loaded.directory, **choices)
    return build_plan(loaded.fleet, chosen, loaded.scripts)


def plan_in(state: Path) -> Plan:
    """The plan of the one rollout."""
    plan = folded(state).plan
    assert plan is not None
    return plan


async def until(condition: Callable[[], object], limit: float = LIMIT, why: Callable[[], str] = str) -> None:
    """Wait for something outside to come true."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {limit:g} s: {why()}"
        await asyncio.sleep(0.02)


class Front:
    """An engine process and our end of its socket. Use as a context manager; leaving hangs up and waits for its end."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.notices: list[Notice] = []
        self.records: list[Record] = []
        self.state = RolloutState()
        self.directory: RolloutDirectory | None = None
        self._journal: JournalReader | None = None

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                words("_serve", "--fd", theirs.fileno()), env=environment(self.state_dir), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        self._listening = asyncio.create_task(self._listen())
        await self.notice(Ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        with contextlib.suppress(AssertionError):
            await until(lambda: self.process.poll() is not None, 15)
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.complaints = self.process.stderr.read().decode()
        self.process.stderr.close()
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        if self._journal is not None:
            self._journal.close()
        assert "Traceback" not in self.complaints, self.complaints

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                self.notices.append(read_notice(line))

    async def send(self, command: Command) -> None:
        self._writer.write(to_line(command))
        await self._writer.drain()

    async def notice(self, kind: type[ANotice], count: int = 1) -> ANotice:
        """The `count`th notice of a kind, once it is there."""
        seen: list[ANotice] = []

        def there() -> bool:
            seen[:] = [one for one in self.notices if isinstance(one, kind)]
            return len(seen) >= count

        await until(there, why=lambda: f"{kind.__name__} number {count} in {self.notices[-5:]}\n{self.story}")
        return seen[count - 1]

    # A rollout

    async def start(self, plan: Plan, by: Operator = ANN) -> None:
        """Begin, and follow the journal from now on."""
        await self._open(Start(plan, by))

    async def resume(self, directory: RolloutDirectory, by: Operator = ANN) -> None:
        await self._open(Resume(str(directory.path), by))

    async def _open(self, command: Command) -> None:
        before = len(self.notices)
        await self.send(command)
        await until(lambda: any(isinstance(one, Opened | Refused) for one in self.notices[before:]))
        opened = next(one for one in self.notices[before:] if isinstance(one, Opened | Refused))
        assert isinstance(opened, Opened), opened
        self.directory = RolloutDirectory(Path(opened.directory))
        self._journal = JournalReader(self.directory.journal)

    def poll(self) -> RolloutState:
        """Everything that the journal says by now; nothing before there is one."""
        for record in self._journal.poll() if self._journal else ():
            apply(self.state, record)
            self.records.append(record)
        return self.state

    async def until(self, condition: Callable[[RolloutState], object], limit: float = LIMIT) -> RolloutState:
        """Wait for the journal to say something."""
        await until(lambda: condition(self.poll()), limit, lambda: self.story)
        return self.state

    async def event(self, kind: type[AnEvent], count: int = 1, limit: float = LIMIT) -> AnEvent:
        """The `count`th event of a kind, once it is in the journal."""
        await self.until(lambda _: len(self.events(kind)) >= count, limit)
        return self.events(kind)[count - 1]

    def events(self, kind: type[AnEvent]) -> list[AnEvent]:
        return [record.event for record in self.records if isinstance(record.event, kind)]

    async def ended(self) -> Ended:
        """The engine's last words."""
        ended = await self.notice(Ended)
        self.poll()
        return ended

    @property
    def story(self) -> str:
        """The last events, for whoever reads why a test failed."""
        return "\n".join(str(record.event)[:200] for record in self.records[-12:])

    @property
    def plan(self) -> Plan:
        """The plan of the rollout that is followed here."""
        assert self.state.plan is not None
        return self.state.plan

    @property
    def gate(self) -> GateState:
        """The gate after its current wave, as the journal has it by now."""
        gate = self.poll().gate
        assert gate is not None
        return gate

    @property
    def logs(self) -> Path:
        """The folder of its targets' logs."""
        assert self.directory is not None
        return self.directory.logs

    # What a person does

    async def decide(self, decision: Decision) -> None:
        """Anything, about the rollout that is followed here."""
        await self.send(Decide(self.poll().rollout, decision))

    async def approve(self, note: str = "", *, by: Operator = ANN) -> None:
        """Say yes to the open gate as it stands."""
        gate = self.gate
        await self.decide(e.GateApproved(gate.wave, self.plan.hash, gate.evidence, by, note))

    async def abort(self, note: str, *, rollback: bool) -> None:
        await self.decide(e.Aborted(ANN, note, rollback))

    async def treat(self, treatment: Treatment, *targets: str, note: str = "") -> None:
        await self.decide(e.FailureTreated(targets, treatment, ANN, note))

    async def stop(self, stage: StopStage) -> None:
        await self.decide(e.StopRequested(stage, ANN))

    async def quit(self) -> None:
        await self.send(Quit())

    def hang_up(self) -> None:
        """The terminal is gone: the engine reads the end of the file."""
        self._writer.close()

    async def exited(self) -> int:
        """The engine process's exit code."""
        await until(lambda: self.process.poll() is not None, why=lambda: self.story)
        self.poll()
        return self.process.returncode
