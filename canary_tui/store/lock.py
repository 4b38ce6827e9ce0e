"""One flock for each rollout and each fleet, held for life, so that it dies with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from canary_tui.errors import CanaryError, ExitCode
from canary_tui.store.files import close_file, make_folder, open_file, read_only, safe_name, write_all


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lock, as it wrote itself down: `since` is seconds since 1970."""

    who: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"{self.who} (process {self.pid}) since {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime(self.since))}"


class Locked(CanaryError):
    """Somebody else is at work; `holder` is None where they have not yet written who they are."""

    exit_code = ExitCode.LOCKED

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(
            f"{path.parent.name}: locked by {holder or 'another process'}; `canary-tui watch` shows what runs"
        )
        self.path = path
        self.holder = holder


class Lock:
    """A lock that is held until `release` or until the process ends, whichever way."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def release(self) -> None:
        """Let others in, whatever the disk says. The file stays: removing it would let two hold it at once."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # the name in it is read only while somebody holds the lock
                os.ftruncate(fd, 0)
            close_file(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(path: Path, who: str) -> Lock:
    """Acquire a lock now, or fail.

    Raises:
        Locked: somebody else holds it; the message says who, since when, in which process.

    """
    import tomli_w

    fd = open_file(path, create=True)
    try:
        _flock(fd)
        os.ftruncate(fd, 0)
        write_all(fd, tomli_w.dumps({"who": who, "pid": os.getpid(), "since": time.time()}).encode())
    except BlockingIOError:
        close_file(fd)
        raise Locked(path, holder(path)) from None
    except BaseException:
        close_file(fd)
        raise
    return Lock(path, fd)


def _flock(fd: int) -> None:
    """Lock it; who only looks whether it is locked (`held_by`) is out of the way in a moment."""
    for last in (False, False, True):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if last:
                raise
            time.sleep(0.005)
        else:
            return


def held_by(path: Path) -> Holder | None:
    """The process that holds a lock now; None where nobody does, also where its holder was killed."""
    named = holder(path)
    if named is None:
        return None
    try:
        os.kill(named.pid, 0)
        fd = read_only(path)
    except (OSError, OverflowError):  # also no number of a process at all
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return named
    finally:
        os.close(fd)
    return None


def holder(path: Path) -> Holder | None:
    """The holder that a lock file names, if it can be read."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return Holder(str(found["who"]), int(found["pid"]), float(found["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fleet_lock(state_dir: Path, fleet: str) -> Path:
    """The lock of a fleet; its folder is made."""
    return fleet_folder(state_dir, fleet) / "lock"


def fleet_folder(state_dir: Path, fleet: str) -> Path:
    """The folder of what is remembered of a fleet; made if need be."""
    folder = state_dir / "fleets" / safe_name(fleet)
    make_folder(folder)
    return folder
