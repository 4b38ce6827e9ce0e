"""A rollout without screens: one plain line an event on stderr, the result on stdout, an exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.codec import decode, encode, wire
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.events import Decision, Event, Operator, Record
from canary_tui.domain.rollout.gate import locks
from canary_tui.domain.rollout.narration import narrate, standing
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.loop import Listener, Rollout
from canary_tui.engine.messages import Decide
from canary_tui.errors import CanaryError, ExitCode, UsageError, machine_trouble
from canary_tui.service.endings import closing_line, closing_of
from canary_tui.service.failed_output import failure_lines, last_lines
from canary_tui.service.session import Session
from canary_tui.store.layout import resume_command
from canary_tui.text.safe import whole_line

_DELIBERATE = 1.0
"""Seconds without a Ctrl-C after which the next one is a decision of its own."""


@wire("prepared-approval")
@dataclass(frozen=True, slots=True)
class PreparedApproval:
    """An approval that was written down before: for one plan, and for every gate or the one it names.

    `plan` is the plan's hash or its first 12 or more digits, as `canary-tui plan` prints it.
    """

    plan: str
    gate: str = ""
    note: str = ""
    checklist: tuple[str, ...] = ()


def read_approval(path: Path) -> PreparedApproval:
    """Read the file of `--approve-with`.

    Raises:
        UsageError: it cannot be read, or is not an approval.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        approval: PreparedApproval = decode(PreparedApproval, encode(PreparedApproval(plan="")) | data)
    except (OSError, ValueError) as error:
        raise UsageError(
            f'{path}: not a prepared approval: {error}; it needs plan = "...", and may have gate, note, checklist'
        ) from None
    if len(approval.plan) < 12 or set(approval.plan) - set("0123456789abcdef"):
        raise UsageError(f"{path}: plan: at least 12 hex digits of the plan's hash; `canary-tui plan` prints it")
    return approval


def run_headless(
    session: Session,
    by: Operator,
    approval: PreparedApproval | None,
    *,
    as_json: bool,
    decisions: Sequence[Decision] = (),
) -> ExitCode:
    """Run a session to its end with nobody to ask; `decisions` were made just before."""
    try:
        return asyncio.run(_run(session, Printer(session, by, approval, as_json=as_json, decisions=decisions)))
    except Exception as error:
        if not (trouble := machine_trouble(error)):
            raise
        end = closing_of(session.state)
        if end.ended:
            return end.exit_code
        return _cut_off(session, trouble, ExitCode.INTERRUPTED)


def _cut_off(session: Session, why: str, code: ExitCode) -> ExitCode:
    _say(f"the engine had to end: {why}; resume it with: {resume_command(session.directory.id)}")
    return code


async def _run(session: Session, printer: Printer) -> ExitCode:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, printer.interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, printer.terminate)
    try:
        state = await session.run([printer], None, printer.begin)
    except CanaryError as error:
        return _cut_off(session, str(error), error.exit_code)
    printer.sum_up()
    if not printer.as_json:
        print(whole_line(closing_line(state)), flush=True)
    return closing_of(state).exit_code


class Printer(Listener):
    """Prints each record as it comes, and hands in the decisions that were made beforehand."""

    def __init__(
        self,
        session: Session,
        by: Operator,
        approval: PreparedApproval | None,
        *,
        as_json: bool,
        decisions: Sequence[Decision] = (),
    ) -> None:
        self._session, self._by, self._approval, self.as_json = session, by, approval, as_json
        self._decisions = decisions
        self._rollout: Rollout | None = None
        self._interrupts, self._interrupted = 0, float("-inf")
        self._said: dict[str, str] = {}
        """The last line that each failed execution printed."""

    def begin(self, rollout: Rollout) -> None:
        """The loop that decisions go to."""
        self._rollout = rollout
        _say(f"rollout {self._session.directory.id}, logs in {self._session.directory.logs}")
        if isinstance(self._session.begun[0].event, e.EngineResumed):
            _say(standing(self._session.state))
        for decision in self._decisions:
            self._decide(decision)
        gate = self._session.state.gate
        if self._approval is not None and gate is not None and gate.decision == "open":
            self._approve(self._approval, gate.wave, gate.evidence)

    def recorded(self, record: Record) -> None:
        """Print one record."""
        if self.as_json:
            print(json.dumps(encode(record)), flush=True)
        closing = isinstance(record.event, e.RolloutFinished) and not self.as_json  # it is the result, on stdout
        if not closing and (line := narrate(record.event, self._session.state)):
            _say(f"{clock(record.at)} {line}")
        if isinstance(record.event, e.StepFinished) and record.event.outcome in ("failed", "timed-out"):
            self._tell_output(record.event)
        if record.event == e.EngineStopped("waiting"):
            for lock in locks(self._session.plan, self._session.state, record.at):
                _say(f"the gate is locked: {lock.reason}; to open it: {lock.opens}")
        if isinstance(record.event, e.GateOpened) and self._approval is not None:
            self._approve(self._approval, record.event.wave, record.event.evidence)

    def _tell_output(self, event: e.StepFinished) -> None:
        lines = last_lines(self._session.directory.logs, event.target, event.execution)
        for line in lines:
            _say(f"    {line}")
        self._said[event.execution] = next((line for line in reversed(lines) if line.strip()), "")

    def sum_up(self) -> None:
        """Print the failures in groups: the same step, the same reason, the same last line."""
        state = self._session.state
        for line in failure_lines(self._session.plan, state, self._said):
            _say(line)

    def refused(self, decision: Decision, reason: str) -> None:
        """A prepared decision that does not fit."""
        kinds = {e.ItemTicked: "tick", e.GateApproved: "approval"}
        _say(f"the prepared {kinds.get(type(decision), 'decision')} is refused: {reason}")

    def interrupt(self) -> None:
        """Ctrl-C: first start nothing new; pressed again after a pause, stop what runs.

        A key that is held down repeats, first after up to 0.5 s: that is no second decision.
        """
        pause, self._interrupted = time.monotonic() - self._interrupted, time.monotonic()
        if self._interrupts and pause < _DELIBERATE:
            return
        self._interrupts += 1
        again = self._interrupts > 1
        _say("stopping what runs" if again else "starting nothing new; Ctrl-C again, after a second, stops what runs")
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


def clock(at: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _say(line: str) -> None:
    print(whole_line(line), file=sys.stderr, flush=True)
