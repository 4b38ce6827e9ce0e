"""Opens files by paths that somebody else chose: regular files only, and without waiting for the writer of a pipe."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFSOCK: "is a socket",
}


class NotRegularError(OSError):
    """Something else than a regular file is there; `kind` says what: "is a pipe"."""

    def __str__(self) -> str:
        return str(self.strerror)

    def __init__(self, path: str | Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"{kind}, and a regular file is needed", str(path))
        self.kind = kind


class TooLargeError(OSError):
    """A file has more bytes than anybody could mean."""

    def __str__(self) -> str:
        return str(self.strerror)

    def __init__(self, path: str | Path, largest: int) -> None:
        super().__init__(errno.EFBIG, f"is larger than {largest // 2**20} MiB", str(path))


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file for reading.

    Raises:
        NotRegularError: it is a pipe, a folder, a device or a socket; /dev/null passes for an empty file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except IsADirectoryError:
        raise NotRegularError(path, "is a folder") from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise NotRegularError(path, "is a socket") from None
        raise
    try:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not _is_null(file.fileno()):
            raise NotRegularError(path, _KINDS.get(stat.S_IFMT(mode), "is not a file"))
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | Path, largest: int) -> bytes:
    """The bytes of a file; TooLargeError beyond `largest`, else as `open_regular`."""
    with open_regular(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise TooLargeError(path, largest)
    return data


def _is_null(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev
