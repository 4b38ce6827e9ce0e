"""Finds the targets for which ssh_config says the same, so that ssh is asked once for all of them.

Only files in which every line is of a plain form, read alike by every OpenSSH, share answers. One quote, backslash or
comment behind a word, one `Match`, one file that cannot be read: then ssh is asked for each target by itself.
"""

from __future__ import annotations

import glob
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from canary_tui.regular import NotRegularError, read_regular
from canary_tui.ssh.connection.home import expanded, home
from canary_tui.ssh.connection.known_hosts import matches

_LINE = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9]*)(?:[ \t]*=[ \t]*|[ \t]+)([^\s=].*)")
"""A keyword and its value, as every OpenSSH tells the one from the other."""
_NOTHING = re.compile(r"[ \t]*(?:#.*)?")
_STRANGE = re.compile(r"[^\n\r\f\t\x20-\x7e\x80-\U0010ffff]")
_PATTERN = re.compile(r"!?[A-Za-z0-9_.:*?/-]+")
"""Of a `Host` line: no quote, comma, backslash or comment."""
_PATH = re.compile(r"[A-Za-z0-9_./~*?@+:-]+")
_OWN_WORD_FOR_EACH = {"match", "hostname", "canonicalizehostname", "canonicaldomains"}
"""Keywords that make an answer depend on the name in other ways than by `Host` lines."""
_FILLED_IN_BY_US = {"identityfile", "certificatefile", "revokedhostkeys", "identityagent", "proxycommand"}
"""Keywords whose `%h` and the like `ssh -G` leaves as they are."""
_DEEPEST_INCLUDE = 16
_LARGEST = 2**20
"""Bytes of one file that is looked into."""


class _NotPlainError(Exception):
    """There is something that is not understood exactly, so nothing is shared."""


class ConfigFiles:
    """The `Host` lines of ssh_config files; each set of files is read once."""

    def __init__(self) -> None:
        self._read: dict[str | None, tuple[tuple[str, ...], ...] | None] = {}

    def read(self, config: str | None) -> None:
        """Read the files, unless they were. NotRegularError where one is a pipe: ssh would wait for it."""
        if config not in self._read:
            self._read[config] = _host_lines(config)

    def sharing_key(self, host: str, config: str | None) -> tuple[bool, ...] | None:
        """One flag for each `Host` line: names with equal flags get equal answers but for their own name.

        None: the answer may be this name's alone. `config` as in a fleet file's `[ssh]`.
        """
        self.read(config)
        host_lines = self._read[config]
        if host_lines is None or as_ssh_writes(host) != host.lower():
            return None
        return tuple(matches(host, ",".join(patterns)) for patterns in host_lines)


def as_ssh_writes(host: str) -> str:
    """The name in lower case, or the address in its usual form: 127.1 is 127.0.0.1, and 0:0:0:0:0:0:0:1 is ::1."""
    try:
        return str(socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)[0][4][0])
    except (OSError, UnicodeError):
        return host.lower()


def _host_lines(config: str | None) -> tuple[tuple[str, ...], ...] | None:
    found: list[tuple[str, ...]] = []
    try:
        for path, folder in () if config == "none" else _starting_points(config):
            for keyword, value in _settings(path, folder, _DEEPEST_INCLUDE):
                if keyword in _OWN_WORD_FOR_EACH or ("%" in value and keyword not in _FILLED_IN_BY_US):
                    return None
                if keyword == "host":
                    found.append(_words(value, _PATTERN))
    except _NotPlainError:
        return None
    return tuple(dict.fromkeys(found))


def _starting_points(config: str | None) -> tuple[tuple[Path, Path], ...]:
    """Each file with the folder that its relative includes start from."""
    user_folder = home() / ".ssh"
    if config is not None:
        return ((Path(expanded(config)), user_folder),)
    return (user_folder / "config", user_folder), (Path("/etc/ssh/ssh_config"), Path("/etc/ssh"))


def _settings(path: Path, folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Keywords in lower case with their values, includes opened."""
    for line in _lines(path):
        if _NOTHING.fullmatch(line):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise _NotPlainError
        keyword, value = match[1].lower(), match[2]
        if keyword == "include":
            yield from _included(value, folder, depth)
        else:
            yield keyword, value


def _lines(path: Path) -> list[str]:
    try:
        text = read_regular(path, _LARGEST).decode()  # only a line feed ends a line
    except FileNotFoundError:
        return []
    except NotRegularError as error:
        if error.kind == "is a pipe":
            raise
        raise _NotPlainError from None  # ssh passes over a folder
    except (OSError, UnicodeDecodeError):
        raise _NotPlainError from None
    if _STRANGE.search(text):
        raise _NotPlainError
    return [line.rstrip(" \t\r\f") for line in text.split("\n")]


def _included(value: str, folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    if not depth:
        raise _NotPlainError
    for word in _words(value, _PATH):
        pattern = Path(expanded(word))
        for name in glob.glob(str(pattern if pattern.is_absolute() else folder / pattern)):  # noqa: PTH207 - any root
            yield from _settings(Path(name), folder, depth - 1)


def _words(value: str, plain: re.Pattern[str]) -> tuple[str, ...]:
    words = tuple(re.split(r"[ \t]+", value))
    if not all(map(plain.fullmatch, words)):
        raise _NotPlainError
    return words
