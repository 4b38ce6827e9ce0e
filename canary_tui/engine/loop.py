"""The loop of one rollout: asks the policy, begins its effects, and turns what happens into records.

It decides nothing. Each round is

         ┌───────────────────────────── hear ◀──────────────────────────────┐
         │                               │                                  │
         │          decisions, ends of effects, a lost front                │ inbox
         ▼                               ▼                                  │
      (waits if the last round     take in: apply, then journal             │
       recorded no event)                │ commit: on disk                  │
                                         ▼                                  │
                                   tell the listeners                       │
                                         │                                  │
                                         ▼                                  │
                              next_actions(plan, state)                     │
                                         │                                  │
                          events ────────┼──────── effects                  │
                             │           ▼             │                    │
                             └──▶ recorded, with what  │                    │
                                  announces effects    │                    │
                                         │ commit      ▼                    │
                                         └──▶ begun: a task each ───────────┘ _Done

The order, always, and why:

 1. `apply` before the journal. It refuses what cannot happen, so a stale decision leaves no trace on disk.
 2. The journal before the command. An effect that touches a target is announced by a record (ProbeStarted,
    StepStarted, ...) that is on disk before the first byte about it is sent: after a crash no start is forgotten.
 3. The journal before the listeners. Nobody is shown what a power cut could take back.
 4. A step's output before its end. The log is synced before StepFinished gets a place in the journal: a kill between
    the two finds either the output in the log, or a step that is asked about, and read, again.
 5. The end of a cancel before the end of the step that it stops. What is left of a step is known only when stopping it
    has said so; so the step's own end waits in `_postponed`, and nothing is begun on that target in between.

An effect is begun once: it counts as under way, by equality, until the events of its end are taken in. A `Wait` ends
with an event that may have become illegal meanwhile; `apply` refuses it, and that is all.

When the disk is full nothing new is begun. What runs is seen to its end, since its end can be recorded in a reserve.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import IllegalEvent, apply
from canary_tui.domain.rollout.effects import EFFECTS, Action, Effect, Wait
from canary_tui.domain.rollout.events import Decision, Event, Record
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.executor import Executor, Logs, Others, running_on
from canary_tui.engine.messages import Decide, GiveUp
from canary_tui.engine.target import Network
from canary_tui.errors import CanaryError, ExitCode


class Journal(Protocol):
    """The journal that turns events into records."""

    @property
    def shortage(self) -> str:
        """Why nothing new may be started although events are still recorded, "" where it may."""
        ...

    def append(self, event: Event, at: float) -> Record: ...

    async def commit(self) -> None:
        """Return when everything appended is on disk."""
        ...


class Listener:
    """Hears of each record once it is on disk, and of what is worth nothing tomorrow; takes up what it wants of it."""

    def recorded(self, record: Record) -> None:
        """A record is on disk."""

    def progress(self, target: str, size: int, total: int) -> None:
        """A running step has printed, or sent of `total`, so many bytes by now."""

    def refused(self, decision: Decision, reason: str) -> None:
        """A decision that is stale or impossible was not taken in."""


class NoRoomError(CanaryError):
    """The disk is full: nothing new is started, and nothing is under way any more."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Done:
    """An effect has ended. It counts as under way until its events are folded, so that it is never begun twice."""

    effect: Effect
    events: tuple[Event, ...]


class Rollout:
    """One rollout under way in this process, from its first record to the last that this engine writes."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        logs: Logs,
        network: Network,
        listeners: Sequence[Listener],
        others: Others | None = None,
    ) -> None:
        assert state.plan is not None
        self.state, self.plan = state, state.plan
        self._journal, self._logs, self._listeners = journal, logs, listeners
        self._inbox: asyncio.Queue[Event | Decide | GiveUp | _Done] = asyncio.Queue()
        self._active: dict[Effect, asyncio.Task[None]] = {}
        self._postponed: dict[str, _Done] = {}
        """Ends of steps that are still being stopped, by target."""
        self._executor = Executor(self.plan, state, logs, network, self, others or Others())

    def submit(self, thing: Event | Decide | GiveUp) -> None:
        """Hand in a person's decision, their impatience, or an event from outside (`FrontLost`, `EngineStopped`)."""
        self._inbox.put_nowait(thing)

    async def run(self) -> RolloutState:
        """Go on until the rollout or this engine has ended.

        Raises:
            CanaryError: the disk takes no more; what runs on the targets goes on there.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._rounds(tasks)
        except ExceptionGroup as group:
            # What ends the engine is said in words by whoever catches it: a group would pass by as a bug.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise
        return self.state

    async def _rounds(self, tasks: asyncio.TaskGroup) -> None:
        try:
            acted = True
            while not self._over:
                # What is known already is taken in first: a yes that waits here must not find the engine gone.
                await self._hear(wait=not acted)
                acted = await self._carry_out(tasks, self._affordable(next_actions(self.plan, self.state)))
        finally:
            for task in self._active.values():
                task.cancel()

    def _affordable(self, actions: Sequence[Action]) -> Sequence[Action]:
        """On a full disk, only what sees to its end that which is under way."""
        reason = self._journal.shortage or self._logs.failure
        if not reason or self._over:
            return actions
        if all(isinstance(effect, Wait) for effect in self._active):
            raise NoRoomError(f"{reason}; nothing new is started")
        return [action for action in actions if isinstance(action, effects.Cancel)]

    @property
    def _over(self) -> bool:
        return self.state.verdict is not None or self.state.paused is not None

    async def _carry_out(self, tasks: asyncio.TaskGroup, actions: Sequence[Action]) -> bool:
        """Record the events and begin the begun that are not under way; whether there was an event."""
        begun: list[tuple[Effect, str]] = []
        events: list[Event] = []
        for action in actions:
            if not isinstance(action, EFFECTS):
                events.append(action)
            elif action not in self._active:
                execution = secrets.token_hex(16)
                begun.append((action, execution))
                events += self._announce(action, execution)
        await self._tell([self._take(event) for event in events])
        for event in events:
            if isinstance(event, e.WaveStarted):
                self._executor.leave(event.wave)
        for effect, execution in begun:
            if isinstance(effect, effects.StartStep) and (look := self._active.get(effects.ReadRelease(effect.target))):
                look.cancel()  # its answer would tell of the time before
            task = self._active[effect] = tasks.create_task(self._do(effect, execution))
            if isinstance(effect, effects.StartStep | effects.Attach):
                self._executor.jobs[effect.target] = task
        return bool(events)

    def _announce(self, effect: Effect, execution: str) -> Sequence[Event]:
        """The events that the journal must hold before the effect is begun."""
        match effect:
            case effects.Probe(target):
                return [e.ProbeStarted(target)]
            case effects.StartStep(target, phase, step, attempt):
                return [e.StepStarted(target, phase, step, attempt, execution)]
            case effects.Attach(target):
                return [e.StepAttached(target, running_on(self.state, target).execution)]
            case effects.Cancel(target):
                return [e.CancelStarted(target, running_on(self.state, target).execution)]
            case effects.ReadRelease() | effects.Unlock() | effects.Wait():
                return []
            case _:
                assert_never(effect)

    async def _hear(self, *, wait: bool) -> None:
        """Take everything in that has happened; with `wait`, wait until something has."""
        heard = [await self._inbox.get()] if wait else []
        while not self._inbox.empty():
            heard.append(self._inbox.get_nowait())
        if any(_ends_a_step(thing) for thing in heard):
            # Before its end has a place in the journal, which writes on its own: a kill in between must find either
            # the output in the log, or a step that is asked about, and read, again.
            await self._logs.sync()
        await self._tell([record for thing in heard for record in self._take_in(thing)])

    def _take_in(self, thing: Event | Decide | GiveUp | _Done) -> list[Record]:
        if isinstance(thing, _Done):
            return self._take_done(thing)
        if self._over:
            return []
        if isinstance(thing, GiveUp):
            if thing.rollout == self.state.rollout:
                self._executor.give_up(thing.target, thing.by.user)
            return []
        if not isinstance(thing, Decide):
            return [self._take(thing)]
        reason = f"it is meant for rollout {thing.rollout}, this is {self.state.rollout}"
        try:
            if thing.rollout == self.state.rollout:
                return [self._take(thing.decision)]
        except IllegalEvent as error:
            reason = str(error)
        for listener in self._listeners:
            listener.refused(thing.decision, reason)
        return []

    def _take_done(self, done: _Done) -> list[Record]:
        effect = done.effect
        if isinstance(effect, effects.StartStep | effects.Attach) and effects.Cancel(effect.target) in self._active:
            # Its end is news only when stopping it has shown what is left of it: nothing may be begun before.
            self._postponed[effect.target] = done
            return []
        self._active.pop(effect, None)
        records = [] if self._over else self._take_ends(done)
        postponed = self._postponed.pop(effect.target, None) if isinstance(effect, effects.Cancel) else None
        return [*records, *self._take_done(postponed)] if postponed else records

    def _take_ends(self, done: _Done) -> list[Record]:
        """Take in what an effect ended with. A timer's event, or what a target said before its next step began, may
        have become illegal meanwhile: then it is void.
        """
        records = []
        for event in done.events:
            try:
                records.append(self._take(event))
            except IllegalEvent:
                if not isinstance(done.effect, Wait | effects.ReadRelease):
                    raise
        return records

    def _take(self, event: Event) -> Record:
        """Fold an event in and queue it for the disk; nobody hears of it before it is there.

        Folding first lets a stale decision be refused without a trace in the journal.
        """
        at = max(time.time(), self.state.at)
        apply(self.state, Record(self.state.seq + 1, at, event))
        return self._journal.append(event, at)

    async def _tell(self, records: Sequence[Record]) -> None:
        if not records:
            return
        await self._journal.commit()
        for record in records:
            self.recorded(record)

    async def _do(self, effect: Effect, execution: str) -> None:
        events: tuple[Event, ...] = ()
        try:
            events = await self._executor.perform(effect, execution)
        finally:
            self._inbox.put_nowait(_Done(effect, events))

    def progress(self, target: str, size: int, total: int) -> None:
        """A running step printed or sent something."""
        for listener in self._listeners:
            listener.progress(target, size, total)

    def recorded(self, record: Record) -> None:
        """A record is on disk, by this loop or before it began."""
        for listener in self._listeners:
            listener.recorded(record)


def _ends_a_step(thing: object) -> bool:
    return isinstance(thing, _Done) and any(isinstance(event, e.StepFinished) for event in thing.events)
