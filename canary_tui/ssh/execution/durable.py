"""How a step is started once, followed over any number of connections, and believed with the target's proof only."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from canary_tui.domain.rollout.events import Outcome
from canary_tui.engine.target import (
    AttachRequest,
    CancelReport,
    ExecuteReport,
    ExecuteRequest,
    Sink,
    Watch,
)
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.install import (
    ANSWER,
    RunnerError,
    RunnerInfo,
    ask,
    ensure_runner,
    export_lines,
    fenced_by,
    rollout_word,
    speak,
)
from canary_tui.ssh.execution.plain import plain
from canary_tui.ssh.execution.protocol import SILENCE, Answer, Conversation, Line, LostError, Pauses, new_nonce
from canary_tui.text.safe import one_line

__all__ = ["RunnerError", "RunnerInfo", "attach", "cancel", "ensure_runner", "execute", "fingerprint", "plain"]

GRACE = 5.0
"""Seconds between TERM and KILL when a limit is passed; the runner's own."""
OUT_OF_REACH = 600.0
"""Seconds beyond its limit that a step which may run is still asked about."""
START_PATIENCE = 60.0
"""Seconds of trying to reach a target to which nothing about the step was sent."""
OVERDUE = 60.0
"""Seconds beyond its limit after which a step that is still said to run is given up on."""
MARGIN = 64 << 20
"""Bytes beyond its cap that are kept of a step's output: the target looks at the cap once a second."""

_EXECUTION = re.compile(r"[0-9a-f]{32}")


async def execute(link: Line, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
    """Start a step and follow it to its end. Cancelling the task leaves it running on the target."""
    try:
        start = _Start.of(request)
    except ValueError as error:
        return ExecuteReport("failed", detail=str(error))
    return await _Followed(link, request, sink, watch, start).to_its_end()


async def attach(link: Line, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
    """Follow a step that an earlier program started, from its first byte; `not-started` if it never will be."""
    return await _Followed(link, request, sink, watch, None).to_its_end()


def fingerprint(script: bytes, variables: Iterable[str]) -> str:
    """What an execution's id is bound to on the target: the script and the names of its variables, not their values."""
    return hashlib.sha256(script + b"\0" + "\n".join(sorted(variables)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Start:
    """What has to be sent to start an execution."""

    words: str
    payload: bytes

    @classmethod
    def of(cls, request: ExecuteRequest) -> _Start:
        lines = export_lines(request.environment)
        head = b"%d %d\n" % (lines.count(b"\n"), len(request.script))
        words = f"{_hundredths(request.timeout)} {max(0, request.output_cap)}"
        rollout = f" {rollout_word(request.rollout)}" if request.rollout else ""
        return cls(
            f"{words} {fingerprint(request.script, request.environment)}{rollout}",
            head + lines + request.script,
        )


class _Followed:
    """One execution as it is known here: whether it may have started, and how far its output came."""

    def __init__(
        self, link: Line, request: ExecuteRequest | AttachRequest, sink: Sink, watch: Watch, start: _Start | None
    ) -> None:
        if not _EXECUTION.fullmatch(request.execution):
            raise ValueError(f"an execution's id is 32 hex digits, not {request.execution!r}")
        self._link = link
        self._execution = request.execution
        self._boot = request.boot
        self._sink = sink
        self._watch = watch
        self._start = start
        self._started: Literal["nothing was sent", "not seen there", "may have"] = (
            "nothing was sent" if start else "may have"
        )
        self._received = 0
        self._digest = hashlib.sha256()
        self._lost = False
        self._pauses = Pauses()
        limit = _now() + request.timeout + GRACE
        self._start_by = _now() + START_PATIENCE
        self._overdue = limit + OVERDUE
        self._give_up = limit + OUT_OF_REACH
        self._most = request.output_cap + MARGIN if request.output_cap > 0 else math.inf

    async def to_its_end(self) -> ExecuteReport:
        """Ask, and ask again, until it is known how it ended or how long that has not been known."""
        while True:
            received = self._received
            try:
                report = await self._ask()
            except LinkError as error:
                detail, final = one_line(error.detail), error.final
            except LostError as error:
                detail, final = error.detail, False
            except TimeoutError:
                return self._report("unknown", "the target says that it still runs, long after its limit")
            except RunnerError as error:
                return self._report("failed" if self._started == "nothing was sent" else "unknown", error.detail)
            else:
                if report is not None:
                    return report
                continue
            if final or _now() >= (self._start_by if self._started == "nothing was sent" else self._give_up):
                return self._given_up(detail)
            self._tell_lost(detail)
            if self._received > received:
                self._pauses = Pauses()
            await self._pauses.next()

    async def _ask(self) -> ExecuteReport | None:
        """One conversation about it; None: ask again at once."""
        runner = await ensure_runner(self._link)
        nonce = new_nonce()
        if self._start is None or self._started == "may have":
            words = f"attach {nonce} {self._execution} {self._received}"
            return await self._converse(words, Conversation(nonce, b"", self._receive, silence=SILENCE), nonce)
        # Nothing was started before, so whatever happens to it happens in the boot that the target is in now.
        self._boot = runner.boot
        conversation = Conversation(nonce, self._start.payload, self._receive, silence=SILENCE)
        try:
            return await self._converse(f"run {nonce} {self._execution} {self._start.words}", conversation, nonce)
        finally:
            if conversation.sent:
                self._started = "may have"

    async def _converse(self, words: str, conversation: Conversation, nonce: str) -> ExecuteReport | None:
        async with speak(self._link, words, conversation):
            while True:
                answer = await self._next(conversation)
                match answer:
                    case None:
                        raise LostError("the channel was closed")
                    case Answer("STATE") if answer.first in {"absent", "void", "forgotten"}:
                        return await self._not_there(answer)
                    case Answer("STATE" | "BEGUN"):
                        self._boot = self._boot or answer.fields.get("boot", "")
                        self._tell_restored()
                    case Answer("END"):
                        return await self._conclude(conversation, answer, nonce)
                    case Answer("OTHER"):
                        return self._report("unknown", "its id was used there for another step")
                    case _:
                        # The runner refuses a start before its gate, never behind it.
                        outcome: Outcome = "failed" if words.startswith("run ") else "unknown"
                        return self._report(outcome, one_line(answer.text))

    async def _next(self, conversation: Conversation) -> Answer | None:
        """The next answer; TimeoutError where the step is overdue and has nothing more to show."""
        deadline = max(self._overdue, _now() + ANSWER)
        while True:
            received = self._received
            try:
                return await conversation.next(deadline)
            except TimeoutError:
                if self._received == received or self._received > self._most:
                    raise
                deadline = _now() + ANSWER

    def _receive(self, data: bytes) -> None:
        room = self._most - self._received
        self._received += len(data)
        self._digest.update(data)
        # What a target sends beyond that is no output of a step that it holds to its cap.
        if room > 0:
            self._sink.write(data if len(data) <= room else data[: int(room)])

    async def _not_there(self, answer: Answer) -> ExecuteReport | None:
        """The target has no trace of a start, or says that there will be none."""
        if answer.first == "forgotten":
            return self._report("unknown", "it ended so long ago that the target has removed what it knew")
        if answer.first == "void":
            return self._report("not-started", "it was called off before it started")
        boot = answer.fields.get("boot", "")
        if boot != (self._boot or boot):
            rebooted = boot.partition(".")[0] != self._boot.partition(".")[0]
            why = "the server rebooted since" if rebooted else "its runner's folder was emptied or is another one"
            return self._report("unknown", f"{why}, and its record of this step is gone")
        if self._start is not None:
            self._started = "not seen there"
            return None
        # An earlier program's start may still be on its way: close the gate, then look who was first.
        settled = await ask(self._link, f"void {{nonce}} {self._execution}", ANSWER)
        if settled.word == "STATE" and settled.first == "void":
            return self._report("not-started", "it had not been started, and now never will be")
        return None

    async def _conclude(self, conversation: Conversation, end: Answer, nonce: str) -> ExecuteReport:
        size = _number(end.fields.get("size", ""))
        while self._received < size:
            if conversation.closed:
                raise LostError("the channel was closed before all output had come")
            await self._more(conversation)
        if conversation.failure is not None:
            raise conversation.failure
        report = self._judge(end, whole=self._received == size and self._agrees(end.fields.get("sum", "")))
        if report.exit_code is not None:
            conversation.write(f"ack {nonce}\n".encode())
        return report

    async def _more(self, conversation: Conversation) -> None:
        """Wait for more output, however much else is said meanwhile."""
        received, deadline = self._received, _now() + ANSWER
        while self._received == received and not conversation.closed:
            try:
                await conversation.changed(deadline)
            except TimeoutError:
                raise LostError("the rest of its output did not come") from None

    def _agrees(self, digest: str) -> bool:
        """Without a tool for digests on the target (`none`), the size has to do."""
        return digest in {self._digest.hexdigest(), "none"}

    def _judge(self, end: Answer, *, whole: bool) -> ExecuteReport:
        fields, words = end.fields, end.text.split()
        if "done" not in words:
            return self._report("unknown", _how_lost(fields))
        code = _number(fields.get("rc", ""))
        match fields.get("why"):
            case "timeout":
                return self._report("timed-out", "", code)
            case "cancelled":
                return self._report("cancelled", "", code)
            case "fenced":
                return replace(self._report("failed", fenced_by(fields)), fenced=True)
            case "output-cap":
                return self._report("failed", "its output passed the cap, so it was stopped", code)
            case "exit" if code == 0 and whole:
                return self._report("ok", "", code)
            case "exit" if code == 0:
                return self._report("unknown", "it ended with 0, but its output did not arrive as it was written", code)
            case "exit" if code > 0:
                return self._report("failed", "" if whole else "its output did not arrive as it was written", code)
        return self._report("unknown", f"its exit record cannot be read: {one_line(end.text)}")

    def _report(self, outcome: Outcome, detail: str, code: int | None = None) -> ExecuteReport:
        return ExecuteReport(outcome, code, self._received, detail)

    def _given_up(self, detail: str) -> ExecuteReport:
        if self._started == "nothing was sent":
            return self._report("unreachable", detail)
        return self._report("unknown", f"{detail}; how it ended could not be learned")

    def _tell_lost(self, detail: str) -> None:
        if not self._lost:
            self._lost = True
            self._watch.connection_lost(detail)

    def _tell_restored(self) -> None:
        if self._lost:
            self._lost = False
            self._watch.connection_restored()


def _how_lost(fields: Mapping[str, str]) -> str:
    """What is left of a step without an exit record, in words."""
    if fields.get("why") == "reboot":
        return "the server rebooted during the step"
    match fields.get("child"):
        case "alive":
            return f"its supervisor was killed, the command is still running (pid {_number(fields.get('pid', ''))})"
        case "gone":
            return "its supervisor was killed; the command has ended since, with an exit code that nobody saw"
    return "its supervisor was killed before the command was seen to run"


# --- stopping ---------------------------------------------------------------------------------------------------------


async def cancel(link: Line, execution: str, grace: float) -> CancelReport:
    """Stop a step's process group, or make sure that it never starts, and say what was seen."""
    if not _EXECUTION.fullmatch(execution):
        raise ValueError(f"an execution's id is 32 hex digits, not {execution!r}")
    limit = grace + ANSWER
    give_up, pauses = _now() + limit, Pauses()
    while True:
        try:
            return _cancelled(await ask(link, f"cancel {{nonce}} {execution} {math.ceil(grace)}", limit))
        except LinkError as error:
            detail, final = one_line(error.detail), error.final
        except RunnerError as error:
            detail, final = error.detail, True
        except LostError as error:
            detail, final = error.detail, False
        if final or _now() >= give_up:
            return CancelReport(confirmed=False, detail=detail)
        await pauses.next()


def _cancelled(answer: Answer) -> CancelReport:
    fields = answer.fields
    if answer.word != "STATE":
        return CancelReport(confirmed=False, detail=one_line(answer.text))
    if fields.get("stopped") == "no":
        return CancelReport(confirmed=False, detail="some of its processes are still there")
    match answer.first:
        case "void":
            return CancelReport(confirmed=True, detail="it had not started, and now never will")
        case "done" if "stopped" not in fields:
            return CancelReport(confirmed=True, detail=f"it had ended before, with {_number(fields.get('rc', ''))}")
        case "done":
            return CancelReport(confirmed=True)
        case "forgotten":
            return CancelReport(confirmed=True, detail="it had ended long ago")
        case "lost" if fields.get("why") == "reboot" or fields.get("stopped") == "yes":
            return CancelReport(confirmed=True, detail=_how_lost({**fields, "child": "gone"}))
    return CancelReport(confirmed=False, detail=f"the target says: {one_line(answer.text)}")


# --- what travels -----------------------------------------------------------------------------------------------------


def _hundredths(seconds: float) -> int:
    """The runner's unit of time; 0 is no limit."""
    return max(1, math.ceil(seconds * 100)) if seconds > 0 else 0


def _number(text: str) -> int:
    """A number that a target sent; -1 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1


def _now() -> float:
    return time.monotonic()
