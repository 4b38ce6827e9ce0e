"""One target's log: output is queued without waiting, written in portions, and made durable on demand."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from canary_tui.store.files import close_file, open_file, read_only, sync_folder, write_all
from canary_tui.store.logs.format import OURS, PREFIX, Formatter, log_path, step_word
from canary_tui.store.logs.order import whole_lines
from canary_tui.store.logs.resume import held

_PORTION = 1 << 16
"""Characters that are joined for one write: beyond that, page faults cost more than all the rest."""

_Kind = Literal["text", "begin", "resume", "end"]
_Item = tuple[_Kind, float, str, str]
"""A queued item: kind, time, the stream's or step's name, and the text or execution."""


class Owner(Protocol):
    """The set of all logs, as one of them sees it."""

    folder: Path
    clock: Callable[[], float]
    failure: str

    def wake(self, log: TargetLog) -> None:
        """Have the flusher write this log soon."""

    def ended(self, log: TargetLog) -> None:
        """Note that an execution has ended there, so that its text must become durable."""

    def hold_back(self, size: int) -> None:
        """Wait for the disk if too much is queued."""

    def order(self, target: str, offset: int, data: bytes, at: float) -> None:
        """Record whole lines that were written."""

    def check_room(self, fd: int) -> None:
        """Raise OSError if the disk is nearly full."""

    def fail(self, path: Path, error: OSError) -> None:
        """End all writing."""

    def check(self) -> None:
        """Raise LogError if writing has ended."""


class TargetLog:
    """One target's log. All methods but `sync` and `close` return at once and are called from one thread."""

    def __init__(self, owner: Owner, target: str) -> None:
        self.target = target
        self.path = log_path(owner.folder, target)
        self.backlog_in = 0
        self.backlog_out = 0
        self.unsynced = False
        """Whether text came since the last `sync`; our own lines alone are not worth an fsync."""
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
        self._volatile = False
        """Whether text was written to the file that no fdatasync has covered."""
        self._folder_unsynced = False

    def heard(self, execution: str) -> bool:
        """Whether the file holds output of an execution, be it an unfinished line; also where it cannot be read."""
        try:
            fd = read_only(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            size = whole_lines(self.path)
            found = held(fd, size, execution)
            unfinished = PREFIX.match(os.pread(fd, 256, size))
            theirs = unfinished is not None and unfinished[3] != OURS.encode()
            return found is not None and (theirs or bool(found.skip))
        except OSError:
            return True
        finally:
            close_file(fd)

    def begin(self, step: str, execution: str, *, resume: bool = False) -> None:
        """Begin an execution's output. With `resume` it comes again from its first byte, and the held part is kept."""
        self._add("resume" if resume else "begin", step, execution)

    def write(self, text: str, stream: str = "out") -> None:
        """Add output of the execution, already made safe, in chunks of any size."""
        if text:
            self.unsynced = True
            self._add("text", stream, text)

    def end(self, execution: str, text: str = "") -> None:
        """End the execution's output; `text` tells its outcome."""
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
        """Write the queue. It never raises: a failure belongs to the set, and ends all its writing."""
        with self._io:
            # Before looking at the queue: items added from here on wake the flusher again.
            self._woken = False
            try:
                self._write_items(self._take())
            except OSError as error:
                self._owner.fail(self.path, error)
                self._queue.clear()
                self.backlog_out = self.backlog_in

    def _take(self) -> Iterator[_Item]:
        """Empty the queue; chunks of one stream in one millisecond are joined."""
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
        """Return the lines to append for a queued item."""
        kind, at, word, text = item
        match kind:
            case "text":
                self._volatile = True
                return self._format.text(self._unseen(text, word), word, at)
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
        """Return the part of a chunk that the log does not hold yet."""
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
        """Continue after a line that another engine left unfinished: end a target's text, drop a line of our own."""
        match = PREFIX.match(os.pread(self._fd, 256, self._ordered))
        if match and match[3] != OURS.encode():
            self._format.open = match[3].decode()
        else:
            self._cut_unfinished()

    def _cut_unfinished(self) -> None:
        os.ftruncate(self._fd, self._ordered)
        self._size = self._ordered

    def _close_if_idle(self) -> None:
        """Close the file of an idle log: of thousands of targets only a few are at work."""
        if self._fd >= 0 and self._idle and not self._volatile:
            close_file(self._fd)
            self._fd = -1

    def sync(self) -> None:
        """Write the queue and make its text durable.

        Raises:
            LogError: it could not be written.

        """
        # Before draining: text written meanwhile is not covered by this sync.
        self.unsynced = False
        self.drain()
        with self._io:
            if self._volatile and not self._owner.failure:
                self._make_durable()
        self._owner.check()

    def _make_durable(self) -> None:
        try:
            self._open()
            os.fdatasync(self._fd)
            self._volatile = False
            if self._folder_unsynced:
                sync_folder(self.path.parent)
                self._folder_unsynced = False
        except OSError as error:
            self._owner.fail(self.path, error)
        self._close_if_idle()

    def close(self) -> None:
        """Write the queue and close the file."""
        self.drain()
        with self._io:
            if self._fd >= 0:
                close_file(self._fd)
                self._fd = -1
