"""Sends a file to a target whole or not at all: beside its place first, verified there, then renamed.

The part that had come when a connection broke stays beside its place: the next try goes on from there, where the
digest of those bytes is that of the file's beginning here. Nothing of it stays where the upload is given up for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from typing import BinaryIO

from canary_tui.domain.rollout.words import Outcome
from canary_tui.engine.target import CancelReport, UploadReport, UploadRequest, Watch
from canary_tui.regular import open_regular
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.evidence import number
from canary_tui.ssh.execution.install import RunnerError, ask, fenced_by, rollout_word, speak
from canary_tui.ssh.execution.lines import Answer, LostError, new_nonce
from canary_tui.ssh.execution.pauses import Pauses
from canary_tui.ssh.execution.protocol import Conversation, RunnerLink
from canary_tui.text.safe import one_line

CHUNK = 256 * 1024
"""Bytes read and written at a time."""
PROGRESS = 0.1
"""Seconds between two words about how far it came."""
GIVING_UP = 3.0
"""Seconds for removing what has come of an upload that is given up; else the target does it after a week."""
STOPPING = 15.0
"""Seconds for the same, seen by the target, of an upload that is stopped."""
_SEEN = {
    "removed": "the target has removed what had come",
    "none": "it had ended on the target before; the file may be in its place",
}
_CHANGED = "the local file has changed since the plan was made"


async def upload(
    link: RunnerLink, request: UploadRequest, watch: Watch, stopped: Callable[[CancelReport], None] = lambda _seen: None
) -> UploadReport:
    """Send a file; nothing is sent where the same bytes are there already. Tried again over a new connection.

    `stopped` hears what the target said of its end when the task was cancelled.
    """
    if not request.to or any(character in request.to for character in "\n\r\0"):
        return UploadReport("failed", detail=f"not a path: {one_line(request.to)!r}")
    sending = _Sending(link, request, watch)
    try:
        async with asyncio.timeout(request.timeout or None):
            report = await sending.to_its_end()
    except TimeoutError:
        report = sending.out_of_time()
    except OSError as error:
        report = UploadReport("failed", detail=one_line(str(error)))
    except asyncio.CancelledError:
        stopped(await sending.stop())
        raise
    if report.outcome != "ok":
        await sending.discard()
    return report


def token_of(request: UploadRequest) -> str:
    """The word that names what comes of a file beside its place: the same for every try, also of a later program."""
    return hashlib.sha256(f"{request.to}\0{request.sha256}".encode(errors="surrogateescape")).hexdigest()[:16]


class _Sending:
    """One file on its way to one target, over as many connections as it takes."""

    def __init__(self, link: RunnerLink, request: UploadRequest, watch: Watch) -> None:
        self._link = link
        self._request = request
        self._watch = watch
        self._detail = ""
        self._reached = False
        self._sent = 0
        self._sent_all = False
        self._left = False
        """Something of it may lie on the target beside its place."""
        self._told = 0.0
        self._token = token_of(request)

    async def to_its_end(self) -> UploadReport:
        pauses = Pauses()
        while True:
            sent = self._sent
            try:
                return await self._try()
            except LinkError as error:
                self._detail = one_line(error.detail)
                if error.final:
                    return self._out_of_reach()
            except LostError as error:
                self._detail = error.detail
            except RunnerError as error:
                return UploadReport("failed", detail=error.detail)
            if self._reached:
                self._reached = False
                self._watch.connection_lost(self._detail)
            if self._sent > sent:
                pauses = Pauses()
            await pauses.next()

    def out_of_time(self) -> UploadReport:
        """The report once the time limit has passed."""
        if self._detail and not self._reached:
            return self._out_of_reach()
        return UploadReport("timed-out")

    async def discard(self) -> None:
        """Have removed what has come of it, as far as the target can be reached now."""
        with contextlib.suppress(LinkError, LostError, RunnerError, TimeoutError):
            async with asyncio.timeout(GIVING_UP):
                await self._discard(GIVING_UP)

    async def stop(self) -> CancelReport:
        """Have it removed, and report what the target saw of that: from then on it puts nothing in its place."""
        if not self._left:
            return CancelReport(confirmed=True, detail="nothing of it had come")
        detail, pauses = f"the target said nothing of it within {STOPPING:.0f} s", Pauses()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING):
                while True:
                    try:
                        left = await self._discard(STOPPING)
                        return CancelReport(left in _SEEN, _SEEN.get(left, "what had come may be there still"))
                    except (LinkError, LostError, RunnerError) as error:
                        detail = one_line(error.detail)
                    await pauses.next()
        return CancelReport(confirmed=False, detail=detail)

    async def _discard(self, limit: float) -> str:
        if not self._left:
            return ""
        words = " ".join(("discard {nonce}", self._token, *([self._request.rollout] if self._request.rollout else [])))
        return (await ask(self._link, words, limit)).fields.get("left", "")

    def _out_of_reach(self) -> UploadReport:
        outcome: Outcome = "unknown" if self._sent_all else "unreachable"
        return UploadReport(outcome, detail=self._detail)

    async def _try(self) -> UploadReport:
        request, nonce = self._request, new_nonce()
        words = f"put {nonce} {self._token} {request.size} {request.sha256} {request.mode:04o}"
        words += f" {rollout_word(request.rollout)}" if request.rollout else ""
        conversation = Conversation(nonce, request.to.encode(errors="surrogateescape") + b"\n", lambda _: None)
        # Opened first: the file that is read is one file, whatever is put in its place meanwhile.
        with await asyncio.to_thread(open_regular, request.source) as file:
            if os.fstat(file.fileno()).st_size != request.size:
                return UploadReport("failed", detail=_CHANGED)
            async with speak(self._link, words, conversation):
                answer = await conversation.next()
                self._restored()
                if answer is not None and answer.word == "SEND":
                    self._left = True
                    await self._send(conversation, file, await asyncio.to_thread(_common, file, answer))
                    answer = await conversation.next()
                return await self._judge(answer, conversation)

    def _restored(self) -> None:
        if self._detail and not self._reached:
            self._watch.connection_restored()
        self._reached = True

    async def _send(self, conversation: Conversation, file: BinaryIO, start: int) -> None:
        sent, total = start, self._request.size
        conversation.write(b"%d\n" % start)

        def went(size: int) -> None:
            nonlocal sent
            sent += size
            self._sent = max(self._sent, sent)
            self._tell(sent, total)

        while sent < total and not conversation.closed and not conversation.has_answer:
            chunk = await asyncio.to_thread(file.read, min(CHUNK, total - sent))
            if not chunk:
                break  # shorter than it was: the target finds that out, too
            await conversation.send(chunk, went)
        conversation.end_input()
        self._sent_all = self._sent_all or sent == total

    def _tell(self, sent: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS or sent == total:
            self._told = now
            self._watch.upload_progress(sent, total)

    async def _judge(self, answer: Answer | None, conversation: Conversation) -> UploadReport:
        match answer:
            case None:
                raise LostError("the channel was closed")
            case Answer("HAVE"):
                return UploadReport("ok", skipped=not self._sent_all)
            case Answer("STORED"):
                return UploadReport("ok")
            case Answer("FENCED"):
                return UploadReport("failed", detail=fenced_by(answer.fields), fenced=True)
        detail = one_line(answer.text)
        if conversation.noise:
            detail = f"{detail}: {conversation.noise}"
        if self._sent_all and await asyncio.to_thread(_digest, self._request.source) != self._request.sha256:
            detail = _CHANGED
        return UploadReport("failed", detail=detail)


def _common(file: BinaryIO, there: Answer) -> int:
    """The number of first bytes that the target has already; the file is read on from there."""
    size = number(there.fields.get("at", ""))
    if 0 < size <= os.fstat(file.fileno()).st_size:
        left, digest = size, hashlib.sha256()
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        if digest.hexdigest() == there.fields.get("sum"):
            return size
    file.seek(0)
    return 0


def _digest(path: str) -> str:
    """The file's sha256 as it is now, "" where it cannot be read."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
