"""The engine's side of the socket to its front: what may wait, what is dropped when the front does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from canary_tui.domain.rollout.events import Decision
from canary_tui.engine.loop import Listener
from canary_tui.engine.messages import Asked, Heartbeat, Notice, Progress, Refused, to_line
from canary_tui.engine.target import Question

PROGRESS_EVERY = 0.1
_HEARTBEAT_EVERY = 0.5
MOST_WAITING = 1 << 20
"""Bytes that may wait for a front that does not read; what is worth nothing tomorrow is dropped beyond it."""


class Front(Listener):
    """The front that this process serves. As a listener it passes on progress and refusals; records are on disk."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.asker = Questions(self.tell)
        self._writer = writer
        self._progress: dict[str, Progress] = {}
        self._size = 0
        self._sizes: dict[str, int] = {}

    def tell(self, notice: Notice) -> None:
        """Send a notice; it waits for as long as the front does not read."""
        if not self._writer.is_closing():
            self._writer.write(to_line(notice))

    def begin(self) -> None:
        """Forget the progress of the rollout before this one."""
        self._progress.clear()
        self._sizes.clear()

    def progress(self, target: str, size: int, total: int) -> None:
        """Kept, and told ten times a second."""
        if not self._progress:
            asyncio.get_running_loop().call_later(PROGRESS_EVERY, self._tell_progress)
        self._progress[target] = Progress(target, size, total)
        if not total:
            before = self._sizes.get(target, 0)
            self._size += size - before if size >= before else size
            self._sizes[target] = size

    def refused(self, decision: Decision, reason: str) -> None:
        """A stale or impossible decision."""
        self.tell(Refused(type(decision).__name__, reason))

    def _tell_progress(self) -> None:
        waiting, self._progress = self._progress, {}
        if self.backlog <= MOST_WAITING:
            for notice in waiting.values():
                self.tell(notice)

    async def beat(self, lines: Callable[[], int]) -> None:
        """Tell twice a second that the engine lives, with the lines of output so far."""
        while True:
            await asyncio.sleep(_HEARTBEAT_EVERY)
            if self.backlog <= MOST_WAITING:
                self.tell(Heartbeat(lines(), self._size))

    @property
    def backlog(self) -> int:
        """Bytes that the front has not read yet."""
        return self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        """The engine's end of the socket."""
        self._writer.close()


class Questions:
    """Puts questions to the front, one at a time; None as an answer when nobody is there any more."""

    def __init__(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._turn = asyncio.Lock()
        self._count = 0
        self._open: tuple[int, asyncio.Future[str | None]] | None = None
        self._gone = False

    async def ask(self, question: Question) -> str | None:
        """The person's answer, None when the target is to be refused."""
        async with self._turn:
            if self._gone:
                return None
            self._count += 1
            answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            self._open = (self._count, answer)
            self._tell(Asked(self._count, question))
            try:
                return await answer
            finally:
                self._open = None

    def answered(self, question: int, answer: str | None) -> None:
        """The front's answer; one that comes too late is dropped."""
        if self._open is not None and self._open[0] == question and not self._open[1].done():
            self._open[1].set_result(answer)

    def give_up(self) -> None:
        """Nobody answers any more."""
        self._gone = True
        if self._open is not None and not self._open[1].done():
            self._open[1].set_result(None)
