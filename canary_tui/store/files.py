"""Files that nobody else can read or replace: private modes, no symbolic links followed, written whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from canary_tui.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def make_folder(path: Path) -> None:
    """Make a folder for us alone, or refuse one that is not: a link, another user's, or writable by others."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_folder(path)
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """UsageError unless `path` is a real folder, ours, and writable by us alone."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UsageError(f"{path}: is a symbolic link; name the folder itself")
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{path}: is not a folder")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path}: belongs to user {found.st_uid}, not to you; choose another by --state-dir")
    if found.st_mode & 0o022:
        raise UsageError(f"{path}: others may write there; run: chmod go-w {path}")


def safe_name(name: str) -> str:
    """A file name for a name of ours: itself where it is plain, otherwise its plain letters and a hash."""
    if _PLAIN.fullmatch(name):
        return name
    letters = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40]
    return f"{letters or 'x'}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def create_file(path: Path) -> int:
    """A new file for appending, mode 0600: never through a link, never an existing one, not inherited."""
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_file(path: Path, *, create: bool = False) -> int:
    """An existing file (or, with `create`, a new one) for reading and appending, never through a link."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    return os.open(path, flags, 0o600)


def read_only(path: Path) -> int:
    """An existing file for reading, never through a link."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte: a short write is not an error to the kernel."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def close_file(fd: int) -> None:
    """Close a file of which everything that has to last was synced before: its end is no news."""
    with contextlib.suppress(OSError):
        os.close(fd)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by one that is whole and on disk, or leave it as it was."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = create_file(temporary)
    try:
        try:
            write_all(fd, text.encode())
            os.fsync(fd)
        finally:
            close_file(fd)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the news
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make what was created or renamed in a folder last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        close_file(fd)
