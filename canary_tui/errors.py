"""The errors that an operator may meet, and the numbers that the program ends with."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The number that the shell is told; the README and `--help` have a table of them."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    """The command line or the fleet file is wrong; nothing was connected to."""
    ABORTED = 3
    """A person aborted."""
    WAITING = 4
    """At a gate with nobody to ask; `resume` continues."""
    PARTLY = 5
    """Done, but some targets are not on the release; within the failure budget or excluded."""
    EXPIRED = 6
    LOCKED = 7
    """Another rollout is running on this fleet, or holds the lock of a target; nothing was changed."""
    UNKNOWN = 8
    """It is unknown how a step ended; `resume` asks the target again."""
    INTERRUPTED = 130
    """Stopped by the operator or a signal; `resume` continues."""

    @property
    def resumable(self) -> bool:
        """True for an end of the engine after which `resume` has something to do."""
        return self in (ExitCode.WAITING, ExitCode.UNKNOWN, ExitCode.INTERRUPTED)


class CanaryError(Exception):
    """An error that the operator can act on: shown without a traceback, in one or a few lines."""

    exit_code = ExitCode.FAILED


class UsageError(CanaryError):
    """A request that cannot be carried out as it was made; nothing was connected to."""

    exit_code = ExitCode.USAGE


_NO_FAULT_OF_THE_MACHINE = (ConnectionError, TimeoutError)
"""Errors of a connection: each has its own place that turns it into words, so one that is seen elsewhere is a bug."""


def machine_trouble(error: BaseException) -> str:
    """The words for what this machine refuses us: a call to the disk, a file too many, memory; "" for a bug."""
    match error:
        case BaseExceptionGroup():
            words = [machine_trouble(one) for one in error.exceptions]
            return words[0] if all(words) else ""
        case OSError(errno=int(number)) if not isinstance(error, _NO_FAULT_OF_THE_MACHINE):
            where = f"{error.filename}: " if error.filename else ""
            hint = "; raise the limit: ulimit -n 1024" if number in (errno.EMFILE, errno.ENFILE) else ""
            return f"{where}{error.strerror}{hint}"
        case MemoryError():
            return "there is not enough memory here"
        case RuntimeError() if "start new thread" in str(error):
            return "no more threads can be started here; there may be too little memory, or too many processes"
        case ImportError() if "failed to map" in str(error) or "cannot allocate" in str(error):
            return f"there is not enough memory here: {error}"
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a fleet file.

    `line` and `column` count from 1 and are None where the problem has no place in the file;
    `key` is dotted (`waves[1].share`), empty for the file as a whole; `source` is the line's text.
    """

    message: str
    hint: str = ""
    key: str = ""
    path: str = ""
    line: int | None = None
    column: int | None = None
    source: str = ""


class FleetFileError(UsageError):
    """A fleet file was refused; `problems` holds every reason, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = problems
