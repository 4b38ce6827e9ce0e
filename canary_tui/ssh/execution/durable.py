"""Starts a step at most once, follows it over any number of connections, and believes only the target's own proof.

The states of an execution on the target, as `runner.sh` tells them (STATE ...). Its id is the engine's, and a start
must pass two gates: it makes ID.go by a hard link, and its line in the register is the first of this id.

      absent ----- both gates -----> running ----- exit record -----> done rc= why=
        |                               |                               |
        | void                          | no record, no supervisor      | tidied away after a day, or a week
        v                               v                               v
      void                          lost why=                       forgotten
      (never will be started)       (reboot, killed, removed)       (only that it was is known)

The states as this program knows them (`_Followed._started`):

      nothing was sent ----- the payload may have left -----> may have <----+
                                                                 |          | sent again
                        the target has no trace, in the same boot|          |
                                                                 v          |
                                                           not seen there --+

| the link fails, or a limit passes | outcome |
|---|---|
| nothing was sent | unreachable, after 60 s of trying |
| else | attach again, with the bytes that came as the offset; unknown where the time of `patience.py` is over |

The order, and the reasons:

1. On the target: the payload is whole, room for the exit record is taken, the gate is passed, the lock is looked at,
   then the command runs. A cut payload never runs, a full disk cannot lose the exit code, and a rollout that lost its
   lock meanwhile starts nothing (P10).
2. `may have` is noted as soon as the payload may have left, whatever comes back. From then on only `attach` asks: a
   `run` is sent again solely after the target itself said that it has no trace. And were that wrong, the gate would
   still let one start through (P2).
3. A file that is not there proves nothing, for anything may have removed it. "No trace" counts only where the run's own
   files and the register agree, in the boot and in the runner's folder in which the start was sent (each has its own
   name, a part of `boot`), and only while nothing was heard of the step: once it said BEGUN or one byte of its output
   came, to this engine or into the log of an earlier one, it is unknown, never a second start and never `not-started`.
   A start names the place that it is meant for, and the target refuses it in any other.
4. A start that an earlier engine sent may still be on its way when `attach` finds no trace. So `void` closes the gate
   first, and then the answer says who was there first: `not-started` is a proof, not a guess.
5. Each connection goes on at the byte that came last; size and digest of all bytes are compared with END's. `ok` needs
   this execution's own exit record, 0, and both to agree (P1).
6. The output is acknowledged after it is judged, and only where there is an exit code: from then on the target may
   tidy it away after a day.
7. The target holds the limits. SILENCE and `patience.py` are nets for a target that does not: whatever it says or does
   not say, on however many connections, the wait ends, and the report says what was seen. Until the first word of a
   conversation the patience is that for a login, because nothing of ours can speak before that.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
import time
from dataclasses import replace
from typing import Literal

from canary_tui.domain.rollout.words import Outcome
from canary_tui.engine.target import (
    AttachRequest,
    ExecuteReport,
    ExecuteRequest,
    Sink,
    Watch,
)
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.evidence import elsewhere, how_lost, number
from canary_tui.ssh.execution.install import (
    ANSWER,
    RunnerError,
    ask,
    ensure_runner,
    fenced_by,
    forget_runner,
    speak,
)
from canary_tui.ssh.execution.lines import Answer, LostError, new_nonce
from canary_tui.ssh.execution.patience import MOMENT, Patience
from canary_tui.ssh.execution.pauses import Pauses
from canary_tui.ssh.execution.protocol import SILENCE, Conversation, RunnerLink
from canary_tui.ssh.execution.start import Start
from canary_tui.text.safe import one_line

MOST_CAUSES = 8
"""Causes of one loss that are told; each is an event in the journal."""
MARGIN = 64 << 20
"""Bytes beyond its cap that are kept of a step's output: the target looks at the cap once a second."""

_STILL_RUNNING = "the target reports it as still running, long after its time limit"
_MOVED = "its runner's folder was emptied or replaced as the step was to be started"
_REFUSED = {
    "output-cap": "its output exceeded the cap, so it was stopped",
    "no-room": "the target has no room to note the start, so it was not started",
    "no-process": "the target could make no process for it, so it was not started",
}
_EXECUTION = re.compile(r"[0-9a-f]{32}")


async def execute(link: RunnerLink, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
    """Start a step and follow it to its end. Cancelling the task leaves it running on the target."""
    try:
        start = Start.of(request)
    except ValueError as error:
        return ExecuteReport("failed", detail=str(error))
    return await _Followed(link, request, sink, watch, start).to_its_end()


async def attach(link: RunnerLink, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
    """Follow a step that an earlier program started, from its first byte; `not-started` if it never will be."""
    return await _Followed(link, request, sink, watch, None).to_its_end()


class _MovedError(Exception):
    """The runner refused a start, because its folder is not the one that the start was meant for."""


class _Followed:
    """One execution as this program knows it: whether it may have started, and how much output came."""

    def __init__(
        self, link: RunnerLink, request: ExecuteRequest | AttachRequest, sink: Sink, watch: Watch, start: Start | None
    ) -> None:
        self._link = link
        self._execution = checked_execution(request.execution)
        self._boot = request.boot
        self._sink = sink
        self._watch = watch
        self._start = start
        self._started: Literal["nothing was sent", "not seen there", "may have"] = (
            "nothing was sent" if start else "may have"
        )
        self._begun = isinstance(request, AttachRequest) and request.heard
        """It began, whatever the target says of it from now on: it said so, or a byte of its output came."""
        self._moved = False
        self._received = 0
        self._digest = hashlib.sha256()
        self._lost: list[str] = []
        """The causes that were told, while the target is lost."""
        self._pauses = Pauses()
        self._patience = Patience(request.timeout, _now())
        self._answered = math.inf
        """The moment of the first word of the conversation that goes on."""
        self._asked_late = False
        self._ending = ""
        """The end that the target told, in words for a person."""
        self._most = request.output_cap + MARGIN if request.output_cap > 0 else math.inf

    async def to_its_end(self) -> ExecuteReport:
        """Ask, and ask again, until its end is known or the time for asking is over."""
        while True:
            received, self._answered = self._received, math.inf
            try:
                report = await self._ask()
            except (LinkError, LostError, RunnerError) as error:
                if self._is_over(error):
                    return self._given_up(error)
                self._tell_lost(error)
            except TimeoutError:
                return self._report("unknown", self._ending or _STILL_RUNNING)
            else:
                if report is not None:
                    return report
                continue
            if self._received > received:
                self._pauses = Pauses()
            await self._pauses.next()

    def _is_over(self, error: LinkError | LostError | RunnerError) -> bool:
        """Whether this was the last try."""
        if self._started == "nothing was sent":
            final = error.final if isinstance(error, LinkError) else isinstance(error, RunnerError)
            return final or _now() >= self._patience.start_by
        if isinstance(error, LinkError):
            self._patience.away()
            return error.final or _now() >= self._patience.reached_by
        if _now() < self._patience.told_by:
            return False
        # Cut off as it spoke, it is asked once more: that it still runs then is a better word than silence.
        asked_enough, self._asked_late = self._asked_late or self._answered == math.inf, True
        return asked_enough

    async def _ask(self) -> ExecuteReport | None:
        """One conversation about it; None: ask again at once."""
        runner = await ensure_runner(self._link)
        self._patience.reached(_now())
        nonce = new_nonce()
        if self._start is None or self._started == "may have":
            words = f"attach {nonce} {self._execution} {self._received}"
            return await self._converse(words, self._conversation(nonce, b""), nonce)
        before = self._started
        if before == "nothing was sent":
            # Whatever happens to it happens in the boot and in the folder that the target has now.
            self._boot = runner.boot
        conversation = self._conversation(nonce, self._start.payload)
        words = f"run {nonce} {self._execution} {self._start.words} {shlex.quote(self._boot)}"
        try:
            return await self._converse(words, conversation, nonce)
        except _MovedError:
            # It refused this start, and it was the only one: meet the runner that is there now.
            if before != "nothing was sent" or self._moved:
                return self._report("failed" if before == "nothing was sent" else "unknown", _MOVED)
            self._moved = True
            conversation.sent = False
            await forget_runner(self._link)
            return None
        finally:
            if conversation.sent:
                self._started = "may have"

    def _conversation(self, nonce: str, payload: bytes) -> Conversation:
        return Conversation(nonce, payload, self._receive, silence=SILENCE, opening=ANSWER)

    async def _converse(self, words: str, conversation: Conversation, nonce: str) -> ExecuteReport | None:
        async with speak(self._link, words, conversation):
            if self._start is not None:
                self._patience.sent(_now())
            while True:
                answer = await self._next(conversation)
                match answer:
                    case None:
                        raise LostError("the channel was closed")
                    case Answer("STATE") if answer.first in {"absent", "void", "forgotten"}:
                        await conversation.end()  # the next question needs a channel, and this may be the only one
                        return await self._not_there(answer)
                    case Answer("STATE" | "BEGUN"):
                        self._begun = True
                        self._patience.begun(_now())
                        if answer.first == "done":
                            self._patience.ended(_now())
                        self._boot = self._boot or answer.fields.get("boot", "")
                        self._tell_restored()
                    case Answer("END"):
                        return await self._conclude(conversation, answer, nonce)
                    case Answer("OTHER"):
                        return self._report("unknown", "its id was used there for another step")
                    case Answer("MOVED") if not self._begun:
                        raise _MovedError
                    case _:
                        # The only start was refused before its gate; behind it, or of another start, that is no proof.
                        refused = self._started == "nothing was sent" and not self._begun
                        return self._report("failed" if refused else "unknown", one_line(answer.text))

    async def _next(self, conversation: Conversation) -> Answer | None:
        """The next answer; TimeoutError where the step is overdue and has nothing more to show."""
        if self._answered == math.inf:
            answer = await conversation.next()
            self._answered = _now()
            return answer
        while True:
            deadline = self._deadline
            try:
                return await conversation.next(deadline)
            except TimeoutError:
                if self._deadline <= deadline:
                    raise

    @property
    def _deadline(self) -> float:
        return max(self._patience.told_by, self._answered + MOMENT)

    def _receive(self, data: bytes) -> None:
        self._begun = True
        room = self._most - self._received
        if room > 0:
            self._patience.came(len(data), _now())
        self._received += len(data)
        self._digest.update(data)
        # What a target sends beyond that is no output of a step that it holds to its cap.
        if room > 0:
            self._sink.write(data if len(data) <= room else data[: int(room)])

    async def _not_there(self, answer: Answer) -> ExecuteReport | None:
        """The target has no trace of a start, or says that there will be none."""
        if answer.first == "forgotten":
            return self._report("unknown", "it ended so long ago that the target has removed its record")
        if why := self._no_proof(answer):
            return self._report("unknown", f"{why}, and its record of this step is gone")
        if answer.first == "void":
            return self._report("not-started", "it was stopped before it started")
        if self._start is not None:
            self._started = "not seen there"
            return None
        # An earlier program's start may still be on its way: close the gate, then look who was first.
        settled = await ask(self._link, f"void {{nonce}} {self._execution}", ANSWER)
        if settled.word != "STATE" or settled.first != "void":
            return None
        if why := self._no_proof(settled):
            return self._report("unknown", f"{why}, and its record of this step is gone")
        return self._report("not-started", "it was never started, and now it cannot be")

    def _no_proof(self, answer: Answer) -> str:
        """The reason why a target that has no trace of the step proves nothing by that; "" if it proves it."""
        if self._begun:
            return "it had begun"
        return elsewhere(answer, self._boot)

    async def _conclude(self, conversation: Conversation, end: Answer, nonce: str) -> ExecuteReport:
        size = number(end.fields.get("size", ""))
        self._patience.ended(_now())
        while self._received < size:
            self._ending = f"it has ended there, but only {self._received} of {size} bytes of its output came"
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
        """Wait for more output, however much else is said meanwhile. TimeoutError where it is overdue."""
        received = self._received
        while self._received == received and not conversation.closed:
            await conversation.changed(self._deadline)

    def _agrees(self, digest: str) -> bool:
        """Without a tool for digests on the target (`none`), the size has to do."""
        return digest in {self._digest.hexdigest(), "none"}

    def _judge(self, end: Answer, *, whole: bool) -> ExecuteReport:
        fields, words = end.fields, end.text.split()
        if "done" not in words:
            return self._report("unknown", how_lost(fields))
        code = number(fields.get("rc", ""))
        match fields.get("why"):
            case "timeout":
                return self._report("timed-out", "", code)
            case "cancelled":
                return self._report("cancelled", "", code)
            case "fenced":
                return replace(self._report("failed", fenced_by(fields)), fenced=True)
            case "output-cap" | "no-room" | "no-process" as why:
                return self._report("failed", _REFUSED[why], code)
            case "exit" if code == 0 and whole:
                return self._report("ok", "", code)
            case "exit" if code == 0:
                return self._report("unknown", "it ended with 0, but its output did not arrive as it was written", code)
            case "exit" if code > 0:
                return self._report("failed", "" if whole else "its output did not arrive as it was written", code)
        return self._report("unknown", f"its exit record cannot be read: {one_line(end.text)}")

    def _report(self, outcome: Outcome, detail: str, code: int | None = None) -> ExecuteReport:
        return ExecuteReport(outcome, code, self._received, detail)

    def _given_up(self, error: LinkError | LostError | RunnerError) -> ExecuteReport:
        detail = one_line(error.detail)
        if self._started == "nothing was sent":
            return self._report("failed" if isinstance(error, RunnerError) else "unreachable", detail)
        return self._report("unknown", f"{detail}; {self._ending or 'how it ended could not be learned'}")

    def _tell_lost(self, error: LinkError | LostError | RunnerError) -> None:
        """Tell the cause, and each other one that keeps it out of reach: the first is not why it still is."""
        detail = one_line(error.detail)
        another = isinstance(error, LinkError) and detail not in self._lost and len(self._lost) < MOST_CAUSES
        if not self._lost or another:
            self._lost.append(detail)
            self._watch.connection_lost(detail if self._started != "nothing was sent" else f"not sent yet: {detail}")

    def _tell_restored(self) -> None:
        if self._lost:
            self._lost.clear()
            self._watch.connection_restored()


# --- what travels -----------------------------------------------------------------------------------------------------


def checked_execution(execution: str) -> str:
    """An execution's id. ValueError where it is none."""
    if not _EXECUTION.fullmatch(execution):
        raise ValueError(f"an execution's id is 32 hex digits, not {execution!r}")
    return execution


def _now() -> float:
    return time.monotonic()
