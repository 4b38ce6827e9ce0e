"""Runs a plain command, which dies with its connection and whose two streams stay apart."""

from __future__ import annotations

import contextlib
import math
import time

from canary_tui.domain.rollout.patience import OVERDUE, STOPPING
from canary_tui.engine.target import CommandRequest, ExecuteReport, Sink
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.install import ANSWER, RunnerError, export_lines, fenced_by, rollout_word, speak
from canary_tui.ssh.execution.lines import Answer, LostError, new_nonce
from canary_tui.ssh.execution.patience import Pauses
from canary_tui.ssh.execution.protocol import Conversation, RunnerLink
from canary_tui.text.safe import one_line

PATIENCE = 60.0
"""Seconds of trying to reach a target, at most; a command with a shorter limit has no longer to wait."""
LONGEST_PLAIN = 100_000
"""Bytes of a plain command, which has no file: an argument on Linux holds 128 KiB."""
LAST_BYTES = 2.0
"""Seconds to wait for what a plain command printed last, where its mark was killed with it."""


class _OverCapError(Exception):
    """A plain command printed more than it may."""


async def plain(link: RunnerLink, request: CommandRequest, sink: Sink) -> ExecuteReport:
    """Run a command that dies with its connection; `unknown` where that broke after the command was sent."""
    try:
        payload = _plain_payload(request)
    except ValueError as error:
        return ExecuteReport("failed", detail=str(error))
    give_up, pauses = time.monotonic() + min(request.timeout, PATIENCE), Pauses()
    while True:
        command = _Plain(payload, request, sink)
        try:
            return await command.run(link)
        except LinkError as error:
            detail, final = one_line(error.detail), error.final
        except LostError as error:
            detail, final = error.detail, False
        except RunnerError as error:
            return ExecuteReport("failed", detail=error.detail)
        except _OverCapError:
            return ExecuteReport("failed", None, command.size, f"it printed more than {request.output_cap} bytes")
        if command.conversation.sent:
            return ExecuteReport("unknown", None, command.size, detail)
        if final or time.monotonic() >= give_up:
            return ExecuteReport("unreachable", detail=detail)
        await pauses.next()


class _Plain:
    """One try of a plain command."""

    def __init__(self, payload: bytes, request: CommandRequest, sink: Sink) -> None:
        self.size = 0
        self._request = request
        self._sink = sink
        self._nonce = new_nonce()
        self.conversation = Conversation(self._nonce, payload, self._out, self._err, opening=ANSWER)

    async def run(self, link: RunnerLink) -> ExecuteReport:
        limit, rollout = self._request.timeout, self._request.rollout
        words = f"plain {self._nonce} {max(1, math.ceil(limit))}{f' {rollout_word(rollout)}' if rollout else ''}"
        async with speak(link, words, self.conversation):
            end = await self.conversation.next()
            try:
                if end is not None and end.word == "DATA":
                    # The target holds the limit; this is for one that does not.
                    end = await self.conversation.next(time.monotonic() + limit + STOPPING + OVERDUE)
            except TimeoutError:
                return ExecuteReport("unknown", None, self.size, "the target did not end it at its limit")
            if end is None:
                said = self.conversation.noise
                raise LostError(f"the channel was closed{f'; it says: {said}' if said else ''}")
            await self._last_bytes()
        return self._judge(end)

    def _judge(self, end: Answer) -> ExecuteReport:
        if end.word == "FENCED":
            return ExecuteReport("failed", None, self.size, fenced_by(end.fields), fenced=True)
        code = end.fields.get("rc", "")
        if end.word != "END" or not code.isdecimal():
            return ExecuteReport("failed", None, self.size, one_line(end.text))
        if end.fields.get("why") == "timeout":
            return ExecuteReport("timed-out", int(code), self.size)
        return ExecuteReport("ok" if int(code) == 0 else "failed", int(code), self.size)

    async def _last_bytes(self) -> None:
        """Data and the last word travel in two streams: a mark in the first tells that all of it is here."""
        with contextlib.suppress(TimeoutError):
            deadline = time.monotonic() + LAST_BYTES
            while not self.conversation.closed and not self.conversation.all_came:
                await self.conversation.changed(deadline)
        if self.conversation.failure is not None:
            raise self.conversation.failure

    def _out(self, data: bytes) -> None:
        self._sink.write(self._counted(data), "out")

    def _err(self, data: bytes) -> None:
        self._sink.write(self._counted(data), "err")

    def _counted(self, data: bytes) -> bytes:
        self.size += len(data)
        if self.size > self._request.output_cap:
            raise _OverCapError
        return data


def _plain_payload(request: CommandRequest) -> bytes:
    lines = export_lines(request.environment)
    script = request.script.rstrip(b"\n") + b"\n"
    if len(script) > LONGEST_PLAIN:
        raise ValueError(f"the command is longer than {LONGEST_PLAIN} bytes")
    if b"\0" in script:
        raise ValueError("the command holds a NUL")
    return b"%d %d\n" % (lines.count(b"\n"), script.count(b"\n")) + lines + script
