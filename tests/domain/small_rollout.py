"""A rollout without an engine: a small plan, records a second apart, and deeds that end as a script says."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

import pytest

from canary_tui.domain.fleet.steps import RunStep, Step
from canary_tui.domain.fleet.tables import Gate, Limits, Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import Outcome

ME = e.Operator("ann", "here")
DEPLOY, UNDO, CLEAN = RunStep(run="deploy"), RunStep(run="undo"), RunStep(run="clean")
OneEvent = TypeVar("OneEvent", bound=e.Event)


def wave(names: str, gate: Gate | None = None, *, parallel: int = 8, name: str = "") -> PlannedWave:
    """A wave of these targets, called after the first of them unless it has a name of its own."""
    return PlannedWave(name or names.split(maxsplit=1)[0], tuple(names.split()), parallel, gate)


def plan_of(
    *waves: PlannedWave,
    steps: Sequence[Step] = (DEPLOY,),
    rollback: Sequence[Step] = (),
    finally_: Sequence[Step] = (),
    limits: Limits | None = None,
    current: str | None = None,
) -> Plan:
    """A plan of release 2 in which every step is for every target."""
    every = [tuple(range(len(one))) for one in (steps, rollback, finally_)]
    names = [name for one in waves for name in one.targets]
    targets = {
        name: PlannedTarget(name, name, Ssh(), steps=every[0], rollback=every[1], finally_=every[2]) for name in names
    }
    return Plan(
        "shop", "2", "", targets, waves, tuple(steps), tuple(rollback), tuple(finally_),
        limits=limits or Limits(), current=current,
    )  # fmt: skip


@dataclass
class Rollout:
    """A plan under way. Whatever `ends` does not speak of ends well.

    `ends` has the outcomes of a target's executions in order, by "web-1" for its steps and by "web-1 rollback",
    "web-1 finally", "web-1 probe" and "web-1 unlock" for the rest. `releases` has what targets say before ("1") and,
    by "web-1 after", at the end ("2").
    """

    plan: Plan
    attended: bool = True
    ends: dict[str, list[Outcome]] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Targets whose lock another rollout has, and which."""
    state: RolloutState = field(default_factory=RolloutState)
    records: list[e.Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record(e.RolloutStarted("r", self.plan, ME, self.attended, "0"), at=1000)

    def record(self, *events: e.Event, at: float | None = None) -> None:
        """Fold events in, each a second after the one before."""
        for event in events:
            record = e.Record(self.state.seq + 1, self.state.at + 1 if at is None else at, event)
            apply(self.state, record)
            self.records.append(record)

    def refusal(self, event: e.Event, at: float | None = None) -> str:
        """Why an event is refused; that it changes nothing goes without saying, and is looked at here."""
        before = copy.deepcopy(self.state)
        with pytest.raises(e.IllegalEvent) as caught:
            self.record(event, at=at)
        assert self.state == before
        return str(caught.value)

    def next(self) -> list[effects.Action]:
        return list(next_actions(self.plan, self.state))

    def begin(self) -> list[effects.Action]:
        """Begin whatever is called for now, but for timers; a deed that was begun has not ended yet."""
        due: list[effects.Action] = [one for one in self.next() if not isinstance(one, effects.Wait)]
        for action in due:
            self._begin(action)
        return due

    def go(self, until: type[e.Event] | None = None) -> None:
        """Do as the engine does until nothing is called for, or such an event has come."""
        for _ in range(500):
            seen = len(self.records)
            begun = self.begin()
            for action in begun:
                self.end(action)
            if not begun or (until and any(isinstance(one.event, until) for one in self.records[seen:])):
                return
        raise AssertionError("the policy never comes to rest")

    def _begin(self, action: effects.Action) -> None:
        match action:
            case effects.Probe(target):
                self.record(e.ProbeStarted(target))
            case effects.StartStep(target, phase, step, attempt):
                self.record(e.StepStarted(target, phase, step, attempt, f"x{len(self.records)}"))
            case effects.Attach(target):
                self.record(e.StepAttached(target, self.execution(target)))
            case effects.Cancel(target):
                self.record(e.CancelStarted(target, self.execution(target)))
            case effects.ReadRelease() | effects.Unlock() | effects.Wait():
                pass
            case _:
                self.record(action)

    def end(self, action: effects.Action, outcome: Outcome | None = None) -> None:
        """End a deed as the script says, or like this."""
        match action:
            case effects.Probe(target):
                self._end_probe(target, outcome or self._scripted(f"{target} probe"))
            case effects.StartStep(target) | effects.Attach(target):
                phase = self.target(target).running_now().phase
                key = target if phase == "steps" else f"{target} {phase}"
                self.finish(target, outcome or self._scripted(key))
            case effects.Cancel(target):
                self.record(e.CancelFinished(target, self.execution(target), confirmed=True))
                self.finish(target, outcome or "cancelled")
            case effects.ReadRelease(target):
                self.record(e.ReleaseRead(target, self.releases.get(f"{target} after", "2")))
            case effects.Unlock(target):
                ended = outcome or self._scripted(f"{target} unlock")
                self.record(e.TargetUnlocked(target, ended == "ok", "" if ended == "ok" else ended))
            case effects.Wait():
                pass
            case _ if isinstance(action, e.Event):
                pass
            case _:
                assert_never(action)

    def _end_probe(self, target: str, outcome: Outcome) -> None:
        if holder := self.held.get(target):
            self.record(e.TargetProbed(target, "failed", detail=f"locked by {holder}", held_by=holder))
        else:
            release = self.releases.get(target, "1") if outcome == "ok" else ""
            self.record(e.TargetProbed(target, outcome, "boot", release))

    def _scripted(self, key: str) -> Outcome:
        waiting = self.ends.get(key)
        return waiting.pop(0) if waiting else "ok"

    def finish(self, target: str, outcome: Outcome, detail: str = "") -> None:
        """End what runs on a target."""
        exit_code = {"ok": 0, "failed": 1}.get(outcome)
        self.record(e.StepFinished(target, self.execution(target), outcome, exit_code, detail=detail))

    def execution(self, target: str) -> str:
        return self.target(target).running_now().execution

    def target(self, name: str) -> TargetState:
        return self.state.targets[name]

    def events(self, kind: type[OneEvent]) -> list[OneEvent]:
        """Everything of a kind that has happened, in order."""
        return [record.event for record in self.records if isinstance(record.event, kind)]

    def approve(self) -> None:
        """Tick and approve the open gate, as a person who looks at it does."""
        planned, gate = self.plan.waves[self.state.wave].gate, self.state.gate
        assert planned is not None
        assert gate is not None
        for item in range(len(planned.checklist)):
            self.record(e.ItemTicked(gate.wave, item, True, ME))
        self.record(e.GateApproved(gate.wave, self.plan.hash, gate.evidence, ME))
