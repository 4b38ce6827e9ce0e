"""How output gets to the targets' logs: queued without waiting, written by one thread for all, durable when asked."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from canary_tui.errors import CanaryError
from canary_tui.store.directory import make_folder, open_file, sync_folder, write_all
from canary_tui.store.log_format import OURS, PREFIX, Formatter, log_path, step_word
from canary_tui.store.log_order import Order, whole_lines
from canary_tui.store.log_resume import held

PAUSE = 0.05
"""Seconds between two rounds of the flusher: how old what a screen shows may be."""
_MOST_QUEUED = 32 << 20
"""Characters that may wait for a slow disk, for all targets together, before `write` itself waits."""
_KEEP_FREE = 4 << 20

_ROOM_CHECK = 0.25
_PORTION = 1 << 16
"""Characters that are put together for one write: with larger ones, page faults cost more than all the rest."""

_Kind = Literal["text", "note", "begin", "resume", "end"]
_Item = tuple[_Kind, float, str, str]
"""What is queued: kind, time, the stream's or step's name, and the text or execution."""


class LogError(CanaryError):
    """Output could not be written. What is not in a log is still on its target: `resume` reads it again."""


class TargetLog:
    """One target's log. All methods but `sync` and `close` return at once; they are called from one thread."""

    def __init__(self, owner: LogSet, target: str) -> None:
        self.target = target
        self.path = log_path(owner.folder, target)
        self.backlog_in = 0
        self.backlog_out = 0
        self.unsynced = False
        """Whether text came since the last `sync`. Our own lines alone are not worth an fsync."""
        self._owner = owner
        self._queue: deque[_Item] = deque()
        self._woken = False
        self._io = threading.Lock()
        self._format = Formatter()
        self._skip: dict[str, int] = {}
        self._ended_before = False
        self._idle = True
        self._fd = -1
        self._size = -1
        self._ordered = 0
        self._folder_unsynced = False

    def begin(self, step: str, execution: str, *, resume: bool = False) -> None:
        """An execution's output follows. With `resume` it comes again from its first byte: what is here is kept."""
        self._add("resume" if resume else "begin", step, execution)

    def write(self, text: str, stream: str = "out") -> None:
        """More of the execution's output, made safe, in chunks of any size."""
        if text:
            self.unsynced = True
            self._add("text", stream, text)

    def note(self, text: str) -> None:
        """A line of our own."""
        self._add("note", "", text)

    def end(self, execution: str, text: str = "") -> None:
        """The execution's output is complete; `text` says how it ended."""
        self._add("end", text, execution)
        self._owner.ended(self)

    def _add(self, kind: _Kind, word: str, text: str) -> None:
        if self._owner.failure:
            return
        self._queue.append((kind, self._owner.clock(), word, text))
        self.backlog_in += len(text)
        if not self._woken:
            self._woken = True
            self._owner.wake(self)
        self._owner.hold_back(len(text))

    def drain(self) -> None:
        """Write what is queued. Never raises: a failure is the set's, and ends all its writing."""
        with self._io:
            # Before looking at the queue: what is added from here on wakes the flusher again.
            self._woken = False
            try:
                self._write_items(self._take())
            except OSError as error:
                self._owner.fail(self.path, error)
                self._queue.clear()
                self.backlog_out = self.backlog_in

    def _take(self) -> Iterator[_Item]:
        """What is queued; chunks of one stream in one millisecond become one."""
        run: list[str] = []
        stream, since, size = "", 0.0, 0
        for _ in range(len(self._queue)):
            kind, at, word, text = self._queue.popleft()
            self.backlog_out += len(text)
            joins = kind == "text" and word == stream and at - since < 0.001 and size + len(text) <= _PORTION
            if run and not joins:
                yield "text", since, stream, "".join(run)
                run = []
            if kind != "text":
                yield kind, at, word, text
                continue
            if not run:
                stream, since, size = word, at, 0
            run.append(text)
            size += len(text)
        if run:
            yield "text", since, stream, "".join(run)

    def _write_items(self, items: Iterator[_Item]) -> None:
        pieces: list[str] = []
        size, at = 0, 0.0
        for item in items:
            if self._owner.failure:
                continue  # dropped, so that memory does not grow
            self._open()
            at = item[1]
            if item[0] == "resume" or size > _PORTION // 2:
                self._append("".join(pieces), at)
                pieces, size = [], 0
            pieces.append(self._lines_for(item))
            size += len(pieces[-1])
        self._append("".join(pieces), at)
        self._close_if_idle()

    def _lines_for(self, item: _Item) -> str:
        """What to append for one thing that was queued."""
        kind, at, word, text = item
        match kind:
            case "text":
                return self._format.text(self._unseen(text, word), word, at)
            case "note":
                return self._format.ours(text, at)
            case "begin":
                return self._begin(word, text, at)
            case "resume":
                return self._resume(word, text, at)
            case "end":
                return self._end(text, word, at)

    def _begin(self, step: str, execution: str, at: float) -> str:
        self._skip, self._ended_before, self._idle = {}, False, False
        return self._format.begin(step, execution, at)

    def _resume(self, step: str, execution: str, at: float) -> str:
        found = held(self._fd, self._ordered, execution)
        if found is None:
            return self._begin(step, execution, at)
        self._cut_unfinished()
        self._idle = False
        self._format = Formatter(step_word(step))
        self._format.broken = set(found.skip)
        self._skip, self._ended_before = found.skip, found.ended
        return ""

    def _end(self, execution: str, text: str, at: float) -> str:
        self._idle = True
        # A resumed execution may have ended in the log before the journal could say so.
        return "" if self._ended_before else self._format.end(execution, text, at)

    def _unseen(self, text: str, stream: str) -> str:
        """The part of a chunk that the log does not hold yet."""
        skip = self._skip.get(stream, 0)
        if not skip:
            return text
        data = text.encode("utf-8", "replace")
        self._skip[stream] = max(0, skip - len(data))
        return data[skip:].decode("utf-8", "replace")

    def _append(self, text: str, at: float) -> None:
        if not text:
            return
        self._owner.check_room(self._fd)
        data = text.encode("utf-8", "replace")
        write_all(self._fd, data)
        start, self._size = self._size, self._size + len(data)
        end = start + data.rfind(b"\n") + 1
        if end > start:
            begun = os.pread(self._fd, start - self._ordered, self._ordered)
            whole = data if end == self._size else data[: end - start]
            self._owner.order(self.target, self._ordered, begun + whole if begun else whole, at)
            self._ordered = end

    def _open(self) -> None:
        if self._fd >= 0:
            return
        self._folder_unsynced = self._folder_unsynced or not self.path.exists()
        self._fd = open_file(self.path, create=True)
        if self._size < 0:
            self._size = os.fstat(self._fd).st_size
            self._ordered = whole_lines(self.path)
            self._take_over_unfinished()

    def _take_over_unfinished(self) -> None:
        """A line that another engine left unfinished: a target's text is ended, one of our own is dropped."""
        match = PREFIX.match(os.pread(self._fd, 256, self._ordered))
        if match and match[3] != OURS.encode():
            self._format.open = match[3].decode()
        else:
            self._cut_unfinished()

    def _cut_unfinished(self) -> None:
        os.ftruncate(self._fd, self._ordered)
        self._size = self._ordered

    def _close_if_idle(self) -> None:
        """Thousands of targets, and few of them at work: an idle log holds no file open."""
        if self._fd >= 0 and self._idle and not self.unsynced:
            os.close(self._fd)
            self._fd = -1

    def sync(self) -> None:
        """Write what is queued and make the text in it durable.

        Raises:
            LogError: it could not be written.

        """
        # Before draining: what is written meanwhile is not covered.
        self.unsynced = False
        self.drain()
        with self._io:
            if self._fd >= 0 and not self._owner.failure:
                self._make_durable()
        self._owner.check()

    def _make_durable(self) -> None:
        try:
            os.fdatasync(self._fd)
            if self._folder_unsynced:
                sync_folder(self.path.parent)
                self._folder_unsynced = False
        except OSError as error:
            self._owner.fail(self.path, error)
        self._close_if_idle()

    def close(self) -> None:
        """Write what is queued and let go of the file."""
        self.drain()
        with self._io:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class LogSet:
    """The logs of one rollout, in its folder `logs`. Opening it mends what a crash left."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, keep_free: int = _KEEP_FREE) -> None:
        make_folder(folder)
        self.folder = folder
        self.clock = clock
        self.failure = ""
        """Why no output is written any more, "" while it is. Start nothing new then."""
        self._logs: dict[str, TargetLog] = {}
        self._ended: set[TargetLog] = set()
        self._order = Order(folder)
        self._keep_free = keep_free
        self._room_checked = -1.0
        self._since_look = 0
        self._woken: deque[TargetLog] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._syncing = ThreadPoolExecutor(4, "log-sync")
        self._flusher = threading.Thread(target=self._flush_rounds, name="logs", daemon=True)
        self._flusher.start()

    @property
    def lines(self) -> int:
        """Whole lines in all logs: what the heartbeat says."""
        return self._order.lines

    def target(self, name: str) -> TargetLog:
        """The log of a target."""
        if name not in self._logs:
            self._logs[name] = TargetLog(self, name)
        return self._logs[name]

    def flush(self) -> None:
        """Write what is queued now."""
        for log in list(self._logs.values()):
            log.drain()

    async def sync(self, target: str | None = None) -> None:
        """Make durable what a target (or every execution that ended since the last call) has printed.

        Await this before the journal says that a step has ended.

        Raises:
            LogError: it could not be written.

        """
        ended, self._ended = self._ended, set()
        if target is not None:
            ended = {self.target(target)}
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._syncing, log.sync) for log in ended if log.unsynced))
        self.check()

    def close(self) -> None:
        """Write what is queued and let go of all files."""
        self._closing.set()
        self._wake.set()
        self._flusher.join()
        self._syncing.shutdown()
        for log in self._logs.values():
            log.close()
        self._order.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wake(self, log: TargetLog) -> None:
        """Have the flusher write this log."""
        self._woken.append(log)
        self._wake.set()

    def ended(self, log: TargetLog) -> None:
        """Remember what `sync` has to make durable."""
        self._ended.add(log)

    def hold_back(self, size: int) -> None:
        """Let the caller wait for the disk once too much is queued: memory stays bounded."""
        self._since_look += size
        if self._since_look > _MOST_QUEUED // 32:
            self._since_look = 0
            if sum(log.backlog_in - log.backlog_out for log in self._logs.values()) > _MOST_QUEUED:
                self.flush()

    def order(self, target: str, offset: int, data: bytes, at: float) -> None:
        """Note that whole lines were written."""
        self._order.add(self._order.number(target), offset, data, int(at * 1000))

    def check_room(self, fd: int) -> None:
        """Stop before the disk is full, so that the journal's last records fit."""
        now = time.monotonic()
        if now - self._room_checked > _ROOM_CHECK:
            self._room_checked = now
            disk = os.fstatvfs(fd)
            if disk.f_bavail * disk.f_frsize < self._keep_free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(self, path: Path, error: OSError) -> None:
        """End all writing: a log with a hole would be worse than one that stops."""
        self.failure = self.failure or f"{path}: {error.strerror}; output is no longer written, it stays on the targets"

    def check(self) -> None:
        """Raise the LogError that there is."""
        if self.failure:
            raise LogError(self.failure)

    def _flush_rounds(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            for _ in range(len(self._woken)):
                self._woken.popleft().drain()
            self._closing.wait(PAUSE)
