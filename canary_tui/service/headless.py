"""A rollout without screens: one plain line an event on stderr, the result on stdout, an exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from canary_tui.domain.codec import decode, encode, wire
from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.domain.planning.tools import tools_of
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.events import Decision, Event, Operator, Record, StopStage
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import Decide
from canary_tui.engine.target import Network, ProbeRequest
from canary_tui.errors import CanaryError, ExitCode, UsageError
from canary_tui.service.session import Session, ending, exit_code
from canary_tui.store.layout import resume_command
from canary_tui.text.safe import whole_line

_PINGS = 64
_STOPPING: dict[StopStage, str] = {
    "asking": "starting nothing new while a person is asked what to stop",
    "starting": "starting nothing new",
    "running": "stopping what runs",
}


@wire("prepared-approval")
@dataclass(frozen=True, slots=True)
class PreparedApproval:
    """A yes that was written down before: for one plan, and for every gate or the one it names.

    `plan` is the plan's hash or its first 12 or more digits, as `canary-tui plan` prints it.
    """

    plan: str
    gate: str = ""
    note: str = ""
    checklist: tuple[str, ...] = ()


def read_approval(path: Path) -> PreparedApproval:
    """Read the file of `--approve-with`.

    Raises:
        UsageError: it cannot be read, or is no approval.
    """
    try:
        data = tomllib.loads(path.read_text())
        approval: PreparedApproval = decode(PreparedApproval, encode(PreparedApproval(plan="")) | data)
    except (OSError, ValueError) as error:
        raise UsageError(
            f'{path}: no approval: {error}; it says plan = "...", and may say gate, note, checklist'
        ) from None
    if len(approval.plan) < 12 or set(approval.plan) - set("0123456789abcdef"):
        raise UsageError(f"{path}: plan: at least 12 hex digits of the plan's hash; `canary-tui plan` prints it")
    return approval


def run_headless(session: Session, by: Operator, approval: PreparedApproval | None, *, as_json: bool) -> ExitCode:
    """Run a session to its end with nobody to ask."""
    return asyncio.run(_run(session, by, approval, as_json=as_json))


async def _run(session: Session, by: Operator, approval: PreparedApproval | None, *, as_json: bool) -> ExitCode:
    printer = Printer(session, by, approval, as_json=as_json)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, printer.interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, printer.terminate)
    try:
        state = await session.run(printer, None, printer.begin)
    except CanaryError as error:
        _say(f"the engine had to end: {error}; go on with: {resume_command(session.directory.id)}")
        return error.exit_code
    if not as_json:
        print(whole_line(ending(state)), flush=True)
    return exit_code(state)


class Printer:
    """Tells what happens, and hands in what was decided beforehand."""

    def __init__(self, session: Session, by: Operator, approval: PreparedApproval | None, *, as_json: bool) -> None:
        self._session, self._by, self._approval, self._as_json = session, by, approval, as_json
        self._rollout: Rollout | None = None
        self._interrupts = 0

    def begin(self, rollout: Rollout) -> None:
        """The loop that decisions go to."""
        self._rollout = rollout
        _say(f"rollout {self._session.directory.id}, logs in {self._session.directory.logs}")
        if isinstance(self._session.begun[0].event, e.EngineResumed):
            _say(standing(self._session.state))
        gate = self._session.state.gate
        if self._approval is not None and gate is not None and gate.decision == "open":
            self._approve(self._approval, gate.wave, gate.evidence)

    def recorded(self, record: Record) -> None:
        """Print one record."""
        if self._as_json:
            print(json.dumps(encode(record)), flush=True)
        if line := narrate(record.event, self._session.state):
            _say(f"{clock(record.at)} {line}")
        if isinstance(record.event, e.GateOpened) and self._approval is not None:
            self._approve(self._approval, record.event.wave, record.event.evidence)

    def progress(self, target: str, size: int, total: int) -> None:
        """Not told: a script reads the logs."""

    def refused(self, decision: Decision, reason: str) -> None:
        """A prepared decision that does not fit."""
        what = "tick" if isinstance(decision, e.ItemTicked) else "approval"
        _say(f"the prepared {what} is refused: {reason}")

    def interrupt(self) -> None:
        """Ctrl-C: first start nothing new, then stop what runs."""
        self._interrupts += 1
        again = self._interrupts > 1
        _say("stopping what runs" if again else "starting nothing new; Ctrl-C again stops what runs")
        self._submit(e.StopRequested("running" if again else "starting", self._by))

    def terminate(self) -> None:
        """TERM or HUP: write it down and go; what runs on the targets goes on there."""
        self._submit(e.EngineStopped("terminated"))

    def _submit(self, thing: Event | Decide) -> None:
        if self._rollout is not None:
            self._rollout.submit(thing)

    def _approve(self, approval: PreparedApproval, wave: int, evidence: str) -> None:
        plan = self._session.plan
        planned = plan.waves[wave]
        if not plan.hash.startswith(approval.plan):
            _say(f"the prepared approval is for plan {approval.plan[:12]}, this is {plan.hash[:12]}")
        elif approval.gate in ("", planned.name) and planned.gate is not None:
            for item, text in enumerate(planned.gate.checklist):
                if text in approval.checklist:
                    self._decide(e.ItemTicked(wave, item, ticked=True, by=self._by))
            self._decide(e.GateApproved(wave, plan.hash, evidence, self._by, approval.note))

    def _decide(self, decision: Decision) -> None:
        self._submit(Decide(self._session.directory.id, decision))


def print_journal(records: list[Record], *, as_json: bool) -> RolloutState:
    """Tell a rollout again, from its records."""
    state = RolloutState()
    for record in records:
        apply(state, record)
        if as_json:
            print(json.dumps(encode(record)))
        elif line := narrate(record.event, state):
            print(whole_line(f"{clock(record.at)} {line}"))
    return state


def standing(state: RolloutState) -> str:
    """How many targets are done, running, unknown and so on, in one line."""
    words = Counter(
        "running, to be asked about" if target.running else target.steps.outcome or "not started"
        for target in state.targets.values()
    )
    return ", ".join(f"{count} {word}" for word, count in words.most_common())


def clock(at: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _say(line: str) -> None:
    print(whole_line(line), file=sys.stderr, flush=True)


def narrate(event: Event, state: RolloutState) -> str:
    """An event as one line; "" for what is not worth one. `state` is the one that the event led to."""
    match event:
        case e.RolloutStarted(rollout, plan, by):
            where = f" in {plan.environment}" if plan.environment else ""
            who, breaks = f"{by.user}@{by.host}", _taking_over(event.breaks)
            return f"{who} starts {plan.fleet} {plan.release}{where}: {len(plan.targets)} targets, {rollout}{breaks}"
        case e.EngineResumed(by):
            return f"{by.user}@{by.host} goes on{_taking_over(event.breaks)}"
        case e.EngineStopped(reason):
            return f"this engine ends: {reason}"
        case e.FrontLost():
            return "the screen is gone: nothing new is started"
        case e.ArtifactRead(path, size, sha256):
            return f"{path}: {size} bytes, sha256 {sha256[:12]}"
        case e.TargetProbed():
            return _probed(event)
        case e.WaveStarted(wave):
            planned = _plan(state).waves[wave]
            return f"wave {wave + 1} of {len(_plan(state).waves)} {planned.name}: {len(planned.targets)} targets"
        case e.TargetSkipped(target, reason):
            return f"{target}: skipped, {reason}"
        case e.StepStarted(target, phase, step, attempt):
            return f"{target}: {_step(state, phase, step)}{f', attempt {attempt}' if attempt > 1 else ''}"
        case e.StepAttached(target):
            return f"{target}: asking what became of its step"
        case e.ConnectionLost(target, detail):
            return f"{target}: connection lost ({detail}), the step goes on there; reconnecting"
        case e.ConnectionRestored(target):
            return f"{target}: connected again"
        case e.StepFinished(target, _, outcome, code, _, detail):
            why = detail or (f"exit {code}" if outcome == "failed" and code else "")
            return f"{target}: {outcome}{f', {why}' if why else ''}"
        case e.FailureTreated(targets, treatment, by, note):
            return f"{by.user}: {treatment} {', '.join(targets)}{_noted(note)}"
        case e.UnknownSettled(target, settlement, by, note):
            return f"{by.user}: {target} is to be taken as {settlement}{_noted(note)}"
        case e.GateOpened(wave):
            return f"GATE after {_plan(state).waves[wave].name}: waiting for a person's approval"
        case e.ItemTicked(_, item, ticked, by):
            return f"{by.user}: item {item + 1} of the checklist {'ticked' if ticked else 'open'}"
        case e.GateApproved(_, _, _, by, note):
            return f"{by.user} approved{_noted(note)}"
        case e.GatePassed():
            return "the gate needs no person"
        case e.GateExpired():
            return "the gate expired"
        case e.Aborted(by, note, rollback):
            what = "rolled back" if rollback else "left as they are"
            return f"{by.user} aborted{_noted(note)}: changed targets are {what}"
        case e.StopRequested(stage):
            return _STOPPING[stage]
        case e.StopWithdrawn():
            return "going on"
        case e.CancelFinished(target, _, confirmed, detail):
            return f"{target}: {'stopped' if confirmed else 'stop unconfirmed'}{_noted(detail)}"
        case e.RollbackStarted(_, targets, unnamed):
            cannot = f"; no former release: {', '.join(unnamed)}" if unnamed else ""
            return f"rolling back {len(targets)} targets{cannot}"
        case e.FinallyStarted(_, targets):
            return f"finally, on {len(targets)} targets" if targets else ""
        case e.ReleaseRead(target, release, detail):
            return f"{target}: reports {release or f'nothing ({detail})'}"
        case e.TargetUnlocked(target, released, detail):
            return "" if released else f"{target}: its lock was left ({detail})"
        case e.RolloutFinished(verdict, reason):
            return f"{verdict}: {reason}"
        case e.ProbeStarted() | e.CancelStarted():
            return ""
        case _:
            assert_never(event)


def _taking_over(breaks: tuple[str, ...]) -> str:
    return f", taking over what {' and '.join(breaks)} has locked" if breaks else ""


def _plan(state: RolloutState) -> Plan:
    assert state.plan is not None
    return state.plan


def _step(state: RolloutState, phase: Phase, step: int) -> str:
    name = _plan(state).phase_steps(phase)[step].name
    return name if phase == "steps" else f"{phase} {name}"


def _probed(event: e.TargetProbed) -> str:
    if event.outcome != "ok":
        return f"{event.target}: {event.outcome}, {event.detail}"
    return f"{event.target}: reached{f', runs {event.release}' if event.release else ''}{_noted(event.detail)}"


def _noted(note: str) -> str:
    return f" ({note})" if note else ""


def ping(plan: Plan) -> ExitCode:
    """Connect to every target of a plan and say what was found; exit code 1 when one could not be reached."""
    from canary_tui.ssh.network import SshNetwork

    return asyncio.run(_ping(plan, SshNetwork()))


async def _ping(plan: Plan, network: Network) -> ExitCode:
    places = asyncio.Semaphore(_PINGS)

    async def look(name: str) -> bool:
        async with places:
            remote = network.remote(plan.targets[name])
            request = ProbeRequest(plan.current, plan.targets[name].variables, tools=tools_of(plan, name))
            found = await remote.probe(request)
            remote.let_go()
        if found.outcome != "ok":
            print(f"{name}: {found.outcome}: {found.detail}", flush=True)
            return False
        runs = f", runs {found.release}" if found.release else ""
        free = f"{found.free_bytes / 2**30:.1f} GiB free"
        print(f"{name}: ok{runs}, clock {found.clock_offset:+.1f} s, {free}{_noted(found.note)}", flush=True)
        return True

    try:
        bad = (await asyncio.gather(*map(look, plan.targets))).count(False)
    finally:
        await network.close()
    print(f"{len(plan.targets) - bad} of {len(plan.targets)} targets reached")
    return ExitCode.FAILED if bad else ExitCode.SUCCEEDED
