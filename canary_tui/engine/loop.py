"""The loop that performs what the policy calls for, and turns what happens into events.

Order, always: the events of a round are on disk before anything that they announce is begun or told.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from canary_tui.domain import events as e
from canary_tui.domain import schedule
from canary_tui.domain.events import Decision, Event, Outcome, Record
from canary_tui.domain.fleet import RunStep, Step
from canary_tui.domain.fold import IllegalEvent, apply
from canary_tui.domain.plan import Phase
from canary_tui.domain.schedule import Action, Deed, next_actions
from canary_tui.domain.state import RolloutState, Running, is_durable
from canary_tui.domain.tools import tools_of
from canary_tui.engine.control import Decide
from canary_tui.engine.remote import (
    AttachRequest,
    CancelReport,
    Claim,
    ExecuteReport,
    Network,
    ProbeReport,
    ProbeRequest,
    Remote,
    Sink,
    Stream,
)
from canary_tui.engine.steps import Task, perform, variables
from canary_tui.errors import CanaryError, ExitCode

GRACE = 10.0
"""Seconds between asking a step to end and killing it."""
_AFTER_CANCEL = 15.0
"""Seconds that a stopped step has to report its end before we stop listening."""
_READ_BACK = 60.0
"""Seconds that reading a target's release may take."""
_FOLLOWING = (
    schedule.Probe, schedule.StartStep, schedule.Attach, schedule.Cancel, schedule.ReadRelease, schedule.Unlock
)  # fmt: skip
"""Deeds that end by themselves; an `Expire` only waits."""


class Journal(Protocol):
    """Where events become records."""

    @property
    def shortage(self) -> str:
        """Why nothing new may be started although events are still recorded, "" where it may."""
        ...

    def append(self, event: Event, at: float) -> Record: ...

    async def commit(self) -> None:
        """Return when everything appended is on disk."""
        ...


class Output(Sink, Protocol):
    """One execution's output on its way to the target's log."""

    def finish(self, words: str) -> None:
        """Nothing follows; `words` say how the execution ended."""
        ...


class Logs(Protocol):
    """The targets' log files."""

    @property
    def failure(self) -> str:
        """Why no output is written any more, "" while it is."""
        ...

    def begin(self, target: str, step: str, execution: str, *, resume: bool) -> Output: ...

    async def sync(self) -> None:
        """Return when what ended executions printed is on disk."""
        ...


class Listener(Protocol):
    """Hears of each record once it is on disk, and of what is worth nothing tomorrow."""

    def recorded(self, record: Record) -> None: ...
    def progress(self, target: str, size: int, total: int) -> None: ...
    def refused(self, decision: Decision, reason: str) -> None: ...


class NoRoomError(CanaryError):
    """The disk is full: nothing new is started, and nothing is under way any more."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Done:
    """A deed has ended. It counts as under way until its events are folded, so that it is never begun twice."""

    deed: Deed
    events: tuple[Event, ...]


class Rollout:
    """One rollout under way in this process, from its first record to the last that this engine writes."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        logs: Logs,
        network: Network,
        listener: Listener,
        has_ended: Callable[[str], bool] = lambda _: False,
    ) -> None:
        assert state.plan is not None
        self.state, self.plan = state, state.plan
        self._journal, self._logs, self._network, self._listener = journal, logs, network, listener
        self._inbox: asyncio.Queue[Event | Decide | _Done] = asyncio.Queue()
        self._active: dict[Deed, asyncio.Task[None]] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        """The task that follows each target's step."""
        self._held: dict[str, _Done] = {}
        """Ends of steps that are still being stopped, by target."""
        self._remotes: dict[str, Remote] = {}
        self._has_ended = has_ended
        """Whether a rollout, by its id, is known here to have ended."""
        self._claimed: set[str] = set()
        """Targets whose lock this engine has asked for."""

    def submit(self, thing: Event | Decide) -> None:
        """Hand in a person's decision, or an event from outside (`FrontLost`, `EngineStopped`)."""
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
        if not any(isinstance(deed, _FOLLOWING) for deed in self._active):
            raise NoRoomError(f"{reason}; nothing new is started")
        return [action for action in actions if isinstance(action, schedule.Cancel)]

    @property
    def _over(self) -> bool:
        return self.state.verdict is not None or self.state.paused is not None

    async def _carry_out(self, tasks: asyncio.TaskGroup, actions: Sequence[Action]) -> bool:
        """Record the events and begin the deeds that are not under way; whether there was an event."""
        deeds: list[tuple[Deed, str]] = []
        events: list[Event] = []
        for action in actions:
            if not isinstance(action, schedule.DEEDS):
                events.append(action)
            elif action not in self._active:
                execution = secrets.token_hex(16)
                deeds.append((action, execution))
                events += self._announce(action, execution)
        await self._tell([self._take(event) for event in events])
        for deed, execution in deeds:
            task = self._active[deed] = tasks.create_task(self._do(deed, execution))
            if isinstance(deed, schedule.StartStep | schedule.Attach):
                self._jobs[deed.target] = task
        return bool(events)

    def _announce(self, deed: Deed, execution: str) -> Sequence[Event]:
        """What the journal must hold before the deed is begun."""
        match deed:
            case schedule.Probe(target):
                return [e.ProbeStarted(target)]
            case schedule.StartStep(target, phase, step, attempt):
                return [e.StepStarted(target, phase, step, attempt, execution)]
            case schedule.Attach(target):
                return [e.StepAttached(target, self._running(target).execution)]
            case schedule.Cancel(target):
                return [e.CancelStarted(target, self._running(target).execution)]
            case schedule.ReadRelease() | schedule.Unlock() | schedule.Expire():
                return []
            case _:
                assert_never(deed)

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

    def _take_in(self, thing: Event | Decide | _Done) -> list[Record]:
        if isinstance(thing, _Done):
            return self._take_done(thing)
        if self._over:
            return []
        if not isinstance(thing, Decide):
            return [self._take(thing)]
        reason = schedule.refusal(self.plan, self.state, thing.rollout, thing.decision)
        try:
            if not reason:
                return [self._take(thing.decision)]
        except IllegalEvent as error:
            reason = str(error)
        self._listener.refused(thing.decision, reason)
        return []

    def _take_done(self, done: _Done) -> list[Record]:
        deed = done.deed
        if isinstance(deed, schedule.StartStep | schedule.Attach) and schedule.Cancel(deed.target) in self._active:
            # Its end is news only when stopping it has shown what is left of it: nothing may be begun before.
            self._held[deed.target] = done
            return []
        self._active.pop(deed, None)
        records = [] if self._over else [self._take(event) for event in done.events if not self._stale(event)]
        held = self._held.pop(deed.target, None) if isinstance(deed, schedule.Cancel) else None
        return [*records, *self._take_done(held)] if held else records

    def _stale(self, event: Event) -> bool:
        """An expiry that comes when the gate was answered already, or no longer matters."""
        gate = self.state.gate
        if not isinstance(event, e.GateExpired):
            return False
        answered = gate is None or gate.wave != event.wave or gate.decision != "open" or gate.expired
        return answered or self.state.aborted != "none"

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
            self._listener.recorded(record)

    # Deeds: each ends with the events that say how it ended

    async def _do(self, deed: Deed, execution: str) -> None:
        events: tuple[Event, ...] = ()
        try:
            events = await self._outcome_of(deed, execution)
        finally:
            self._inbox.put_nowait(_Done(deed, events))

    async def _outcome_of(self, deed: Deed, execution: str) -> tuple[Event, ...]:
        match deed:
            case schedule.Probe(target):
                return (await self._probe(target),)
            case schedule.StartStep(target, phase, step):
                return (await self._start(target, phase, step, execution),)
            case schedule.Attach(target):
                return (await self._attach(target),)
            case schedule.Cancel(target):
                return await self._cancel(target)
            case schedule.ReadRelease(target):
                return (await self._read_release(target),)
            case schedule.Unlock(target):
                return (await self._unlock(target),)
            case schedule.Expire(wave, at):
                # Counted from the last record where the clock has been set back since.
                await asyncio.sleep(at - max(time.time(), self.state.at))
                return (e.GateExpired(wave),)
            case _:
                assert_never(deed)

    async def _probe(self, target: str) -> Event:
        environment = variables(self.plan, self.state, target, "steps")
        tools = tools_of(self.plan, target)
        report = await self._claim(target, ProbeRequest(self.plan.current, environment, tools=tools))
        return e.TargetProbed(
            target,
            report.outcome,
            report.boot,
            report.release,
            report.clock_offset,
            report.free_bytes,
            report.detail,
            report.locked,
            report.holder.rollout if report.holder else "",
        )

    async def _claim(self, target: str, request: ProbeRequest) -> ProbeReport:
        """Probe, and take the lock: also from who was named to lose it, or has ended and could not let go of it."""
        by = self.state.started_by
        claim = Claim(self.state.rollout, f"{by.user}@{by.host}" if by else "", self.state.started_at)
        self._claimed.add(target)
        report = await self._remote(target).probe(replace(request, claim=claim))
        holder = report.holder.rollout if report.holder else ""
        if holder and (holder in self.state.breaks or await asyncio.to_thread(self._has_ended, holder)):
            return await self._remote(target).probe(replace(request, claim=replace(claim, take_from=holder)))
        return report

    async def _start(self, target: str, phase: Phase, index: int, execution: str) -> Event:
        step = self.plan.phase_steps(phase)[index]
        known = variables(self.plan, self.state, target, phase)
        rollout, boot = self.state.rollout, self.state.targets[target].boot
        task = Task(rollout, self.plan, step, target, execution, known, boot, self.state.artifacts)
        output = self._logs.begin(target, step.name, execution, resume=False)
        follower = _Follower(self, target, output)
        report = await self._retake(target) or await perform(task, self._remote(target), follower, follower)
        return self._finished(target, execution, output, report)

    async def _retake(self, target: str) -> ExecuteReport | None:
        """Have the lock again that others were named to lose when this engine began; why it is not had, else None."""
        if not self.state.breaks or target in self._claimed:
            return None
        probe = await self._claim(target, ProbeRequest())
        if probe.outcome == "ok":
            return None
        self._claimed.discard(target)
        return ExecuteReport(probe.outcome, detail=probe.detail, fenced=probe.holder is not None and not probe.locked)

    async def _attach(self, target: str) -> Event:
        running = self._running(target)
        step = self.plan.phase_steps(running.phase)[running.step]
        output = self._logs.begin(target, step.name, running.execution, resume=True)
        follower = _Follower(self, target, output)
        boot, cap = self.state.targets[target].boot, self.plan.limits.output
        request = AttachRequest(running.execution, boot, step.timeout, cap)
        report = await self._remote(target).attach(request, follower, follower)
        return self._finished(target, running.execution, output, report)

    def _finished(self, target: str, execution: str, output: Output, report: ExecuteReport) -> Event:
        output.finish(f"{report.outcome}: {report.detail}" if report.detail else report.outcome)
        code, size, detail = report.exit_code, report.size, report.detail
        return e.StepFinished(target, execution, report.outcome, code, size, detail, report.fenced)

    async def _cancel(self, target: str) -> tuple[Event, ...]:
        running, job = self._running(target), self._jobs[target]
        report = await self._stop(target, running)
        finished = e.CancelFinished(target, running.execution, report.confirmed, report.detail)
        if report.confirmed and is_durable(self._step(running)):
            await asyncio.wait({job}, timeout=_AFTER_CANCEL)
        if job.done():
            return (finished,)
        job.cancel()
        await asyncio.wait({job})
        if not job.cancelled():  # it ended in that very moment, and says itself how
            return (finished,)
        outcome: Outcome = "cancelled" if report.confirmed else "unknown"
        detail = "stopped" if report.confirmed else f"stop unconfirmed: {report.detail}"
        return (finished, e.StepFinished(target, running.execution, outcome, detail=detail))

    async def _stop(self, target: str, running: Running) -> CancelReport:
        """Ask the target to stop a durable step. The others end when we stop listening to them."""
        match self._step(running):
            case step if is_durable(step):
                return await self._remote(target).cancel(running.execution, GRACE)
            case RunStep():
                return CancelReport(confirmed=False, detail="a plain command; its connection is closed")
        return CancelReport(confirmed=True)

    async def _read_release(self, target: str) -> Event:
        """Asked in the same way as in the beginning: what a target says is compared, kept and shown."""
        environment = variables(self.plan, self.state, target, "steps")
        report = await self._remote(target).probe(ProbeRequest(self.plan.current, environment, _READ_BACK))
        return e.ReleaseRead(target, report.release, report.detail)

    async def _unlock(self, target: str) -> Event:
        """Its connection was kept for this: to make one anew would cost more than all the rest of letting go."""
        remote = self._remote(target)
        report = await remote.unlock(self.state.rollout)
        await remote.close()
        return e.TargetUnlocked(target, report.released, report.detail)

    def _remote(self, target: str) -> Remote:
        if target not in self._remotes:
            self._remotes[target] = self._network.remote(self.plan.targets[target])
        return self._remotes[target]

    def _running(self, target: str) -> Running:
        running = self.state.targets[target].running
        assert running is not None
        return running

    def _step(self, running: Running) -> Step:
        return self.plan.phase_steps(running.phase)[running.step]

    def progress(self, target: str, size: int, total: int) -> None:
        """A running step printed or sent something."""
        self._listener.progress(target, size, total)


def _ends_a_step(thing: object) -> bool:
    return isinstance(thing, _Done) and any(isinstance(event, e.StepFinished) for event in thing.events)


class _Follower:
    """What one execution tells while it runs: its output, and the state of the way to it."""

    def __init__(self, rollout: Rollout, target: str, output: Output) -> None:
        self._rollout, self._target, self._output = rollout, target, output
        self._size = 0

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self._output.write(data, stream)
        self._size += len(data)
        self._rollout.progress(self._target, self._size, 0)

    def connection_lost(self, detail: str) -> None:
        self._rollout.submit(e.ConnectionLost(self._target, detail))

    def connection_restored(self) -> None:
        self._rollout.submit(e.ConnectionRestored(self._target))

    def upload_progress(self, sent: int, total: int) -> None:
        self._rollout.progress(self._target, sent, total)
