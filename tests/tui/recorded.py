"""A rollout on disk, made step by step: a real journal and real logs, as an engine would write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from textual.app import App
from textual.binding import Binding
from textual.filter import LineFilter

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Gate, Limits, Ssh
from canary_tui.domain.fleet.units import Duration, Share
from canary_tui.domain.planning.plan import Excluded, Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.gate import evidence
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Outcome
from canary_tui.engine.messages import Command, Decide, Heartbeat, Notice
from canary_tui.store.files import make_folder
from canary_tui.store.journal import JournalWriter
from canary_tui.store.logs.writer import LogSet
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.terminal import StripControls

BY = e.Operator("maria", "laptop", "/dev/pts/3")


class Wire:
    """The other end of the link: keeps what was sent, says what it is told to say."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.gone = ""
        self.lines = self.size = 0
        self._listeners: list[Callable[[Notice], None]] = []

    def send(self, command: Command) -> None:
        self.sent.append(command)

    @property
    def decided(self) -> list[e.Decision]:
        """What a person decided, in order."""
        return [command.decision for command in self.sent if isinstance(command, Decide)]

    def listen(self, listener: Callable[[Notice], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def say(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            listener(notice)

    def beat(self) -> None:
        self.say(Heartbeat(self.lines, self.size))


class Stage(App[int]):
    """The least app that shows a rollout, with the product's last net and its Ctrl-C."""

    BINDINGS = [Binding("ctrl+c", "interrupt", "Stop", priority=True)]

    def __init__(self, screen: RolloutScreen) -> None:
        super().__init__()
        self.animation_level = "none"
        self._first = screen

    async def action_interrupt(self) -> None:
        for screen in reversed(self.screen_stack):
            if isinstance(screen, RolloutScreen):
                await screen.run_action("stop")

    def get_line_filters(self) -> list[LineFilter]:
        return [*super().get_line_filters(), StripControls()]

    def on_mount(self) -> None:
        self.push_screen(self._first)


class Changes(TypedDict, total=False):
    """The parts of a plan that a test may have its own way."""

    limits: Limits
    excluded: tuple[Excluded, ...]
    redeploy: bool
    directory: str


def make_plan(targets: int = 4, canaries: int = 1, gate: Gate | None = None, **changes: Unpack[Changes]) -> Plan:
    names = [f"web-{number}" for number in range(1, targets + 1)]
    steps = (
        RunStep(run="unpack", name="unpack", timeout=Duration(120)),
        RunStep(run="switch", name="switch", timeout=Duration(120)),
    )
    planned = {
        name: PlannedTarget(name, f"10.0.0.{i % 250}", Ssh(), steps=(0, 1), rollback=(0,), finally_=(0,))
        for i, name in enumerate(names)
    }
    gate = gate if gate is not None else Gate(instructions="Look at https://graphs/1.4.2", checklist=())
    waves = (
        PlannedWave("canary", tuple(names[:canaries]), canaries, gate),
        PlannedWave("rest", tuple(names[canaries:]), 8),
    )
    plan = Plan(
        fleet="shop",
        release="1.4.2",
        environment="production",
        targets=planned,
        waves=waves,
        steps=steps,
        rollback=(RunStep(run="back", name="back"),),
        finally_=(RunStep(run="tidy", name="tidy"),),
        limits=Limits(failures=Share(0)),
        current="cat release",
    )
    return replace(plan, **changes)


class Recorded:
    """One rollout's directory. Every method writes what it says, and applies it like everybody else."""

    def __init__(self, directory: Path, plan: Plan | None = None) -> None:
        make_folder(directory)
        self.directory = directory
        self.plan = plan or make_plan()
        self.state = RolloutState()
        self.writer = JournalWriter.create(directory / "journal.jsonl")
        self.logs = LogSet(directory / "logs")
        self._executions = 0

    def add(self, event: e.Event, at: float | None = None) -> None:
        record = self.writer.append_now(event, at if at is not None else time.time())
        apply(self.state, record)

    def start(self, *, attended: bool = True) -> Recorded:
        self.add(e.RolloutStarted("2026-11-23T101500Z-shop-7f3a", self.plan, BY, attended, "0.1"))
        for name in self.plan.targets:
            self.add(e.ProbeStarted(name))
            self.add(e.TargetProbed(name, "ok", boot="b", release="1.4.1"))
        self.add(e.WaveStarted(0))
        return self

    def begin(self, name: str, *, at: float | None = None) -> str:
        """The next step of a target."""
        track = self.state.targets[name].steps
        step = self.plan.targets[name].steps[track.position]
        self._executions += 1
        execution = f"{self._executions:032x}"
        self.add(e.StepStarted(name, "steps", step, track.attempts + 1, execution), at)
        self.logs.target(name).begin(self.plan.steps[step].name, execution)
        return execution

    def end(self, name: str, outcome: Outcome = "ok", code: int | None = 0, detail: str = "") -> None:
        running = self.state.targets[name].running
        assert running is not None
        self.logs.target(name).end(running.execution, outcome)
        self.logs.flush()
        self.add(e.StepFinished(name, running.execution, outcome, code, 0, detail))

    def deploy(self, *names: str) -> None:
        """All steps of these targets, ok."""
        for name in names:
            while self.state.targets[name].steps.outcome is None:
                self.begin(name)
                self.end(name)

    def fail(self, name: str, detail: str = "exit 1") -> None:
        self.begin(name)
        self.end(name, "failed", 1, detail)

    def print(self, name: str, *lines: str, stream: str = "out") -> None:
        self.logs.target(name).write("".join(f"{line}\n" for line in lines), stream)
        self.logs.flush()

    def open_gate(self) -> None:
        self.add(e.GateOpened(self.state.wave, evidence(self.plan, self.state)))

    def approve_gate(self) -> None:
        """Approved for what the gate shows now."""
        gate = self.state.gate
        assert gate is not None
        self.add(e.GateApproved(gate.wave, self.plan.hash, gate.evidence, BY))

    def at_gate(self) -> Recorded:
        self.start()
        self.deploy(*self.plan.waves[0].targets)
        self.open_gate()
        return self

    def close(self) -> None:
        self.writer.close()
        self.logs.close()
