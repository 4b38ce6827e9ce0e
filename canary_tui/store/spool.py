"""A rollout's spool: the folder in which others leave requests for the engine at work, and find its answers.

There is no socket that listens. A request is a file `TOKEN.request`, its answer `TOKEN.answer`; both are written whole
and for their owner alone (0600, in a folder with 0700). Only plain files of ours are read, and no link is followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from canary_tui.errors import UsageError
from canary_tui.store.files import check_folder, make_folder, write_atomically

_LONGEST = 1 << 16
"""Bytes of a request or an answer."""
_MOST = 64
"""Requests that are looked at in one go."""
_REQUEST = re.compile(r"([0-9a-f]{16})\.request")


def open_spool(folder: Path) -> bool:
    """Make the folder, or empty it: no engine acts on what was asked of another one. False where it cannot be ours."""
    try:
        make_folder(folder)
        for entry in os.scandir(folder):
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)
    except (OSError, UsageError):
        return False
    return True


def put_request(folder: Path, text: str) -> str:
    """Leave a request for the engine; its token.

    Raises:
        UsageError: the folder is not ours alone.
        OSError: there is none, or the disk takes nothing.
    """
    check_folder(folder)
    token = secrets.token_hex(8)
    write_atomically(folder / f"{token}.request", text)
    return token


def requests(folder: Path) -> Iterator[tuple[str, str]]:
    """The token and the text of each request that lies there."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".request"))
    except OSError:
        return
    for name in names[:_MOST]:
        if (found := _REQUEST.fullmatch(name)) and (text := _read(folder / name)) is not None:
            yield found[1], text


def put_answer(folder: Path, token: str, text: str) -> None:
    """Answer a request, and take it away. Whoever asked may be gone, and the disk may be full: then nobody hears it."""
    with contextlib.suppress(OSError):
        write_atomically(folder / f"{token}.answer", text)
        (folder / f"{token}.request").unlink(missing_ok=True)


def answer_to(folder: Path, token: str) -> str | None:
    """The answer to a request, once it is there."""
    return _read(folder / f"{token}.answer")


def waits(folder: Path, token: str) -> bool:
    """Whether a request still lies there."""
    return (folder / f"{token}.request").exists()


def forget(folder: Path, token: str) -> None:
    """Take a request and its answer away."""
    for kind in ("request", "answer"):
        with contextlib.suppress(OSError):
            (folder / f"{token}.{kind}").unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    try:
        fd = os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        )  # a pipe would hold up the engine
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not ours or found.st_nlink != 1 or found.st_size > _LONGEST:
            return None
        return os.read(fd, _LONGEST).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(fd)
