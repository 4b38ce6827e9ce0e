"""Carries out each effect on its target, and says by events how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Protocol, assert_never

from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.domain.planning.tools import tools_of
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Effect
from canary_tui.domain.rollout.events import Event
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import Running
from canary_tui.domain.rollout.words import OUTCOME_WORDS, Outcome
from canary_tui.engine.steps import Task, perform, see_ended, variables
from canary_tui.engine.target import (
    AttachRequest,
    CancelReport,
    Claim,
    ExecuteReport,
    Network,
    ProbeReport,
    ProbeRequest,
    Remote,
    Sink,
)
from canary_tui.engine.twins import Servers
from canary_tui.text.sink import Stream

GRACE = 10.0
"""Seconds between asking a step to end and killing it."""
_AFTER_CANCEL = 15.0
"""Seconds that a stopped step has to report its end before we stop listening."""
_READ_BACK = 60.0
"""Seconds that reading a target's release may take."""


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

    async def heard(self, target: str, execution: str) -> bool:
        """Whether output of this execution may have come here before."""
        ...

    async def sync(self) -> None:
        """Return when what ended executions printed is on disk."""
        ...


class Meanwhile(Protocol):
    """Hears what an effect tells before its end."""

    def submit(self, event: Event) -> None: ...
    def progress(self, target: str, size: int, total: int) -> None: ...


class Others:
    """The other rollouts as far as they are known here, by their ids: not at all."""

    def has_ended(self, rollout: str) -> bool:  # noqa: ARG002 - for those who know
        """Whether it is known to have ended."""
        return False

    def way_on(self, rollout: str) -> str:  # noqa: ARG002 - for those who know
        """The command that goes on with one that holds a target, "" where nothing is known of it."""
        return ""


class Executor:
    """Does what it is told, with what the state says at that moment; decides and records nothing."""

    def __init__(
        self,
        plan: Plan,
        state: RolloutState,
        logs: Logs,
        network: Network,
        meanwhile: Meanwhile,
        others: Others,
    ) -> None:
        self._plan, self._state, self._logs, self._network, self._meanwhile = plan, state, logs, network, meanwhile
        self._others = others
        self.jobs: dict[str, asyncio.Task[None]] = {}
        """The task that follows each target's step."""
        self._waits: dict[str, asyncio.Future[str]] = {}
        """By target: done once a person waits no longer for its step, with the reason."""
        self._remotes: dict[str, Remote] = {}
        probed = (target for target in state.targets.values() if target.probe == "ok")
        self._servers = Servers({target.name: target.boot for target in probed})
        self._outputs: dict[str, Output] = {}
        """By target: the output of the step that is followed there."""
        self._groups: dict[str, int] = {}
        """The process group of each target's latest local step."""
        self._claimed: set[str] = set()
        """Targets whose lock this engine has asked for."""

    async def perform(self, effect: Effect, execution: str) -> tuple[Event, ...]:
        """Do it; the events say how it ended. `execution` is the id of a step that it starts."""
        match effect:
            case effects.Probe(target):
                return (await self._probe(target),)
            case effects.StartStep(target, phase, step):
                return (await self._start(target, phase, step, execution),)
            case effects.Attach(target):
                return (await self._attach(target),)
            case effects.Cancel(target):
                return await self._cancel(target)
            case effects.ReadRelease(target):
                return (await self._read_release(target),)
            case effects.Unlock(target):
                return (await self._unlock(target),)
            case effects.Wait(at, then):
                # Counted from the last record where the clock has been set back since.
                await asyncio.sleep(at - max(time.time(), self._state.at))
                return (then,)
            case _:
                assert_never(effect)

    async def _probe(self, target: str) -> Event:
        environment = variables(self._plan, self._state, target, "steps")
        tools = tools_of(self._plan, target)
        report = await self._claim(target, ProbeRequest(self._plan.current, environment, tools=tools))
        if objection := self._servers.objection(target, report.server):
            # The lock there stays: it is that of the target which was met first.
            report = ProbeReport("failed", detail=objection)
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
        by = self._state.started_by
        claim = Claim(self._state.rollout, str(by or ""), self._state.started_at)
        self._claimed.add(target)
        report = await self._remote(target).probe(replace(request, claim=claim))
        holder = report.holder.rollout if report.holder else ""
        if holder and (holder in self._state.breaks or await asyncio.to_thread(self._others.has_ended, holder)):
            return await self._remote(target).probe(replace(request, claim=replace(claim, take_from=holder)))
        if holder and (way_on := await asyncio.to_thread(self._others.way_on, holder)):
            words = f"{report.holder}; {way_on}; or break its locks with --break-lock {holder}"
            return replace(report, detail=words)
        return report

    async def _start(self, target: str, phase: Phase, index: int, execution: str) -> Event:
        step = self._plan.phase_steps(phase)[index]
        known = variables(self._plan, self._state, target, phase)
        rollout, boot = self._state.rollout, self._state.targets[target].boot
        task = Task(rollout, self._plan, step, target, execution, known, boot, self._state.artifacts)
        output = self._outputs[target] = self._logs.begin(target, step.name, execution, resume=False)
        follower = _Follower(self._meanwhile, target, output)
        self._groups.pop(target, None)
        remote, began_here = self._remote(target), partial(self._groups.__setitem__, target)
        report = await self._retake(target)
        if report is None:
            step_ends = perform(task, remote, follower, follower, began_here)
            report = await self._until_given_up(target, step_ends)
        return self._finished(target, execution, output, report)

    async def _retake(self, target: str) -> ExecuteReport | None:
        """Have the lock again that others were named to lose when this engine began; why it is not had, else None."""
        if not self._state.breaks or target in self._claimed:
            return None
        probe = await self._claim(target, ProbeRequest())
        if probe.outcome == "ok":
            return None
        self._claimed.discard(target)
        return ExecuteReport(probe.outcome, detail=probe.detail, fenced=probe.holder is not None and not probe.locked)

    async def _attach(self, target: str) -> Event:
        running = running_on(self._state, target)
        step = self._plan.phase_steps(running.phase)[running.step]
        heard = await self._logs.heard(target, running.execution)
        output = self._outputs[target] = self._logs.begin(target, step.name, running.execution, resume=True)
        follower = _Follower(self._meanwhile, target, output)
        boot, cap = self._state.targets[target].boot, self._plan.limits.output
        request = AttachRequest(running.execution, boot, step.timeout, cap, heard)
        report = await self._until_given_up(target, self._remote(target).attach(request, follower, follower))
        return self._finished(target, running.execution, output, report)

    async def _until_given_up(self, target: str, following: Coroutine[None, None, ExecuteReport]) -> ExecuteReport:
        """The report of a step, or `unknown` as soon as a person waits no longer; what runs there goes on."""
        wait = self._waits[target] = asyncio.get_running_loop().create_future()
        follower = asyncio.create_task(following)
        try:
            await asyncio.wait({follower, wait}, return_when=asyncio.FIRST_COMPLETED)
            if follower.done():
                return await follower
            return ExecuteReport("unknown", detail=wait.result())
        finally:
            del self._waits[target]
            follower.cancel()
            await asyncio.wait({follower})

    def give_up(self, target: str, user: str) -> None:
        """Wait no longer for a target that is lost. Nothing where it is there again, or its step has ended."""
        wait, running = self._waits.get(target), self._state.targets[target].running
        if wait is not None and not wait.done() and running is not None and running.lost:
            wait.set_result(f"{user} stopped waiting ({running.lost}); how it ended could not be learned")

    def _finished(self, target: str, execution: str, output: Output, report: ExecuteReport) -> Event:
        self._outputs.pop(target, None)
        word = OUTCOME_WORDS[report.outcome]  # people read the log, too
        output.finish(f"{word}: {report.detail}" if report.detail else word)
        code, size, detail = report.exit_code, report.size, report.detail
        return e.StepFinished(target, execution, report.outcome, code, size, detail, report.fenced)

    async def _cancel(self, target: str) -> tuple[Event, ...]:
        running, job = running_on(self._state, target), self.jobs[target]
        report = await self._stop(target, running, job)
        finished = e.CancelFinished(target, running.execution, report.confirmed, report.detail)
        if report.confirmed and traits(self._step(running)).durable:
            await asyncio.wait({job}, timeout=_AFTER_CANCEL)
        if not job.done():
            job.cancel()
            await asyncio.wait({job})
        if not job.cancelled():  # it ended before, or in that very moment, and says itself how
            return (finished,)
        outcome: Outcome = "cancelled" if report.confirmed else "unknown"
        detail = "stopped" if report.confirmed else f"stop unconfirmed: {report.detail}"
        if output := self._outputs.pop(target, None):
            output.finish(detail if report.confirmed else f"{OUTCOME_WORDS[outcome]}: {detail}")
        return (finished, e.StepFinished(target, running.execution, outcome, detail=detail))

    async def _stop(self, target: str, running: Running, job: asyncio.Task[None]) -> CancelReport:
        """Have a step stopped by the one who can, and see its end where somebody can see it."""
        step = self._step(running)
        stopped_by = traits(step).stopped_by
        match stopped_by:
            case "target":
                return await self._remote(target).cancel(running.execution, GRACE, self._state.targets[target].boot)
            case "connection":
                return CancelReport(confirmed=False, detail="a plain command; its connection is closed")
            case "engine":
                job.cancel()
                await asyncio.wait({job})
                return await see_ended(step, self._remote(target), self._groups.get(target))
            case _:
                assert_never(stopped_by)

    async def _read_release(self, target: str) -> Event:
        """Asked in the same way as in the beginning: what a target says is compared, kept and shown."""
        environment = variables(self._plan, self._state, target, "steps")
        report = await self._remote(target).probe(ProbeRequest(self._plan.current, environment, _READ_BACK))
        return e.ReleaseRead(target, report.release, report.detail)

    async def _unlock(self, target: str) -> Event:
        remote = self._remote(target)
        report = await remote.unlock(self._state.rollout)
        remote.let_go()
        return e.TargetUnlocked(target, report.released, report.detail)

    def leave(self, wave: int) -> None:
        """End the connections to targets of earlier waves than this: most have nothing more to do before the end."""
        for target, remote in self._remotes.items():
            if self._state.targets[target].wave < wave:
                remote.let_go()

    def _remote(self, target: str) -> Remote:
        if target not in self._remotes:
            self._remotes[target] = self._network.remote(self._plan.targets[target])
        return self._remotes[target]

    def _step(self, running: Running) -> Step:
        return self._plan.phase_steps(running.phase)[running.step]


def running_on(state: RolloutState, target: str) -> Running:
    """The step that runs on a target."""
    running = state.targets[target].running
    assert running is not None
    return running


class _Follower:
    """Passes on what one execution tells while it runs: its output, and the state of the connection."""

    def __init__(self, meanwhile: Meanwhile, target: str, output: Output) -> None:
        self._meanwhile, self._target, self._output = meanwhile, target, output
        self._size = 0

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self._output.write(data, stream)
        self._size += len(data)
        self._meanwhile.progress(self._target, self._size, 0)

    def connection_lost(self, detail: str) -> None:
        self._meanwhile.submit(e.ConnectionLost(self._target, detail))

    def connection_restored(self) -> None:
        self._meanwhile.submit(e.ConnectionRestored(self._target))

    def upload_progress(self, sent: int, total: int) -> None:
        self._meanwhile.progress(self._target, sent, total)
