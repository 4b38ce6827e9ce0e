"""The logs of one rollout: one thread writes the queues of all targets, and stops before the disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from canary_tui.errors import CanaryError, ExitCode
from canary_tui.store.files import make_folder
from canary_tui.store.logs.order import Order
from canary_tui.store.logs.target_log import TargetLog

PAUSE = 0.05
"""Seconds between two rounds of the flusher: the greatest age of output on a screen."""
_MOST_QUEUED = 32 << 20
"""Characters that may wait for a slow disk, for all targets together, before `write` itself waits."""
_KEEP_FREE = 4 << 20

_ROOM_CHECK = 0.25


class LogError(CanaryError):
    """Output could not be written. It is still on its target, and `resume` reads it again."""

    exit_code = ExitCode.INTERRUPTED


def _order_in(folder: Path) -> Order:
    """The order of the lines, in a folder that is made if need be and mended after a crash."""
    try:
        make_folder(folder)
        return Order(folder)
    except OSError as error:
        raise LogError(f"{error.filename or folder}: {error.strerror}; output could not be written there") from None


class LogSet:
    """The logs of one rollout, in its folder `logs`. Opening it repairs them after a crash."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, keep_free: int = _KEEP_FREE) -> None:
        self.folder = folder
        self.clock = clock
        self.failure = ""
        """The reason why output is no longer written, "" while it is. Nothing new may start then."""
        self._logs: dict[str, TargetLog] = {}
        self._ended: set[TargetLog] = set()
        self._order = _order_in(folder)
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
        """Whole lines in all logs, for the heartbeat."""
        return self._order.lines

    def target(self, name: str) -> TargetLog:
        """Return a target's log."""
        if name not in self._logs:
            self._logs[name] = TargetLog(self, name)
        return self._logs[name]

    def flush(self) -> None:
        """Write all queues now."""
        for log in list(self._logs.values()):
            log.drain()

    async def sync(self) -> None:
        """Make the output of every execution durable that ended since the last call.

        Await this before the journal says that a step has ended.

        Raises:
            LogError: it could not be written.

        """
        ended, self._ended = self._ended, set()
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._syncing, log.sync) for log in ended if log.unsynced))
        self.check()

    def close(self) -> None:
        """Write all queues and close all files."""
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
        """Note a log for the next `sync`."""
        self._ended.add(log)

    def hold_back(self, size: int) -> None:
        """Let the caller wait for the disk if too much is queued, so that memory stays bounded."""
        self._since_look += size
        if self._since_look > _MOST_QUEUED // 32:
            self._since_look = 0
            if sum(log.backlog_in - log.backlog_out for log in self._logs.values()) > _MOST_QUEUED:
                self.flush()

    def order(self, target: str, offset: int, data: bytes, at: float) -> None:
        """Record whole lines that were written."""
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
        """End all writing: a log with a hole is worse than one that stops."""
        self.failure = self.failure or f"{path}: {error.strerror}; output is no longer written, it stays on the targets"

    def check(self) -> None:
        """Raise LogError if writing has ended."""
        if self.failure:
            raise LogError(self.failure)

    def _flush_rounds(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            for _ in range(len(self._woken)):
                self._woken.popleft().drain()
            self._closing.wait(PAUSE)
