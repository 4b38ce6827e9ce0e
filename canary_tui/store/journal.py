"""A rollout's journal on disk: written in groups that are durable before anybody is told, read whole or as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.rollout.events import Event, Record
from canary_tui.errors import CanaryError, ExitCode
from canary_tui.store.files import close_file, create_file, open_file, read_only, sync_folder, write_all
from canary_tui.store.journal_format import Chain, JournalError, line_hash, write_line

_BURST = 8
_RATE = 40.0
# At most _BURST + _RATE fdatasyncs in any second: a quiet journal commits at once, a busy one in groups of 25 ms.
_RESERVE = 1 << 20


class JournalDead(CanaryError):
    """A write or fsync failed. What the disk holds is no longer sure, so nothing more is recorded or started."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; nothing more can be recorded, so nothing more is started")
        self.why = why


class JournalWriter:
    """The one writer of a journal. `append` gives a record its place; it is true once `commit` has returned.

    Used from one thread. Whoever opens one holds the rollout's lock.
    """

    def __init__(self, path: Path, fd: int, chain: Chain, past: list[Record]) -> None:
        self.path = path
        self.past = past
        """The records that were there when the journal was opened again."""
        self.shortage = ""
        """The disk is full and the last records go into the reserve: start nothing new."""
        self._fd = fd
        self._seq, self._previous = chain.seq, chain.previous
        self._durable = chain.seq
        self._queue: deque[tuple[int, bytes]] = deque()
        self._failure: str = ""
        self._writing = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._pump: asyncio.Task[None] | None = None
        self._landed = asyncio.Event()
        self._tokens, self._counted = float(_BURST), time.monotonic()
        self._fill_reserve()

    @classmethod
    def create(cls, path: Path) -> JournalWriter:
        """A new, empty journal, whose file is durable."""
        fd = create_file(path)
        try:
            os.fsync(fd)
            sync_folder(path.parent)
        except BaseException:
            close_file(fd)
            raise
        return cls(path, fd, Chain(str(path)), [])

    @classmethod
    def reopen(cls, path: Path) -> JournalWriter:
        """Go on with a journal; what was torn at its end is moved to `journal.torn`.

        Raises:
            JournalError: the journal cannot be believed.

        """
        fd = open_file(path)
        try:
            chain, data = Chain(str(path)), _read_from(fd, 0)
            past, used = chain.read(data)
            if used < len(data):
                _keep_torn(path.with_name("journal.torn"), data[used:])
                os.ftruncate(fd, used)
            os.fsync(fd)
        except BaseException:
            close_file(fd)
            raise
        return cls(path, fd, chain, past)

    def append(self, event: Event, at: float) -> Record:
        """Give an event its place. It is not on disk yet.

        Raises:
            JournalDead: an earlier write failed.

        """
        self._check()
        record = Record(self._seq, at, event)
        line = write_line(record, self._previous)
        self._seq, self._previous = self._seq + 1, line_hash(line)
        self._queue.append((record.seq, line))
        self._start()
        return record

    def append_now(self, event: Event, at: float) -> Record:
        """Append and wait, for callers without an event loop."""
        record = self.append(event, at)
        self._write()
        self._check()
        return record

    async def commit(self) -> None:
        """Return when everything appended so far is on disk; JournalDead where it could not be put there."""
        goal = self._seq
        while self._durable < goal:
            self._check()
            self._start()
            await self._landed.wait()

    def _start(self) -> None:
        """Have a task write what is queued, where there is an event loop to run it."""
        if self._pump is None or self._pump.done():
            with contextlib.suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._pump = loop.create_task(self._write_groups(loop), name="journal")

    async def _write_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "journal")
        while self._queue and not self._failure:
            await asyncio.sleep(self._delay())
            if self._fd < 0:
                break  # closed meanwhile, and that wrote everything
            try:
                written = loop.run_in_executor(self._thread, self._write)
            except RuntimeError:  # no thread can be started: late screens are better than a lost record
                self._write()
            else:
                await written
            self._tell()
        # A record may have landed with `append_now` meanwhile: nobody may be left waiting.
        self._tell()

    def _tell(self) -> None:
        landed, self._landed = self._landed, asyncio.Event()
        landed.set()

    def _delay(self) -> float:
        """Take a token from the bucket; seconds until it is there."""
        now = time.monotonic()
        self._tokens = min(float(_BURST), self._tokens + (now - self._counted) * _RATE) - 1
        self._counted = now
        return max(0.0, -self._tokens / _RATE)

    def _write(self) -> None:
        """One write and one fdatasync for all that is queued. Never raises: a failure is kept for all callers."""
        with self._writing:
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            if not batch or self._failure:
                return
            try:
                self._put(b"".join(line for _, line in batch))
                # fsync is never tried again: after a failure the kernel may have dropped the pages and say yes.
                os.fdatasync(self._fd)
            except OSError as error:
                self._failure = f"{self.path}: {error.strerror}"
                return
            self._durable = batch[-1][0] + 1

    def _put(self, data: bytes) -> None:
        start = os.fstat(self._fd).st_size
        try:
            write_all(self._fd, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._release_reserve():
                raise
            self.shortage = f"{self.path}: {error.strerror}"
            write_all(self._fd, data[os.fstat(self._fd).st_size - start :])

    @property
    def _reserve(self) -> Path:
        return self.path.with_name("journal.reserve")

    def _fill_reserve(self) -> None:
        """Keep room for the last records. Not having it is no reason to stop."""
        with contextlib.suppress(OSError):
            fd = open_file(self._reserve, create=True)
            try:
                os.posix_fallocate(fd, 0, _RESERVE)
            finally:
                close_file(fd)

    def _release_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _check(self) -> None:
        if self._failure:
            raise JournalDead(self._failure)

    def close(self) -> None:
        """Write what is queued and close the file.

        Raises:
            JournalDead: what was queued could not be written.

        """
        if self._fd < 0:
            return
        told = self._failure
        self._write()
        if self._thread is not None:
            self._thread.shutdown()
        failure, self._failure = self._failure, self._failure or f"{self.path}: it is closed"
        close_file(self._fd)
        self._fd = -1
        self._release_reserve()
        if failure and not told:
            raise JournalDead(failure)


class JournalReader:
    """A journal as it grows: each record once, never a torn one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chain = Chain(str(path))
        self._offset = 0
        self._seen = 0
        self._fd = -1

    def poll(self) -> list[Record]:
        """The records that are new. A journal that does not exist yet has none.

        Raises:
            JournalError: it cannot be read or believed, or has become shorter than what was read.

        """
        try:
            return self._new_records()
        except OSError as error:
            raise JournalError(str(self.path), self._chain.seq, f"cannot be read: {error.strerror}") from None

    def _new_records(self) -> list[Record]:
        if self._fd < 0 and not self._open():
            return []
        size = os.fstat(self._fd).st_size
        if size == self._seen:
            return []
        if size < self._offset:
            raise JournalError(str(self.path), self._chain.seq, "the journal became shorter")
        self._seen = size
        records, used = self._chain.read(_read_from(self._fd, self._offset))
        self._offset += used
        return records

    def _open(self) -> bool:
        try:
            self._fd = read_only(self.path)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        if self._fd >= 0:
            close_file(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a check. `head` is the hash of the last good line: note it down to notice a cut later."""

    records: int
    head: str
    bad_line: int | None = None
    """The first line (from 1) that is not as it was written."""
    problem: str = ""
    torn: int = 0
    """Bytes of an unfinished write at the end; harmless by themselves."""

    @property
    def intact(self) -> bool:
        return self.bad_line is None


def verify(path: Path) -> VerifyReport:
    """Check every line of a journal. An unfinished last line is `torn`; any other damage is a bad line."""
    chain, data = Chain(str(path)), _read_file(path)
    try:
        _, used = chain.read(data)
    except JournalError as error:
        return VerifyReport(chain.seq, chain.previous, error.line, error.problem)
    if chain.damage:
        return VerifyReport(chain.seq, chain.previous, chain.seq + 1, chain.damage, len(data) - used)
    return VerifyReport(chain.seq, chain.previous, torn=len(data) - used)


def read_journal(path: Path) -> list[Record]:
    """All records of a journal; what is torn at its end is left out.

    Raises:
        JournalError: the journal cannot be believed; the message names the line.

    """
    return Chain(str(path)).read(_read_file(path))[0]


def _read_file(path: Path) -> bytes:
    fd = read_only(path)
    try:
        return _read_from(fd, 0)
    finally:
        close_file(fd)


def _read_from(fd: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while part := os.pread(fd, 1 << 22, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _keep_torn(path: Path, data: bytes) -> None:
    fd = open_file(path, create=True)
    try:
        write_all(fd, data if data.endswith(b"\n") else data + b"\n")
        os.fsync(fd)
    finally:
        close_file(fd)
    sync_folder(path.parent)
