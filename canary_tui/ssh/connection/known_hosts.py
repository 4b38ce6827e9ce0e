"""Reads and writes known_hosts files line by line, as OpenSSH does, and each only once for a whole fleet."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hmac
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from canary_tui.regular import NotRegularError, read_regular
from canary_tui.ssh.connection.hostkeys import (
    HostKeyError,
    HostKeyRules,
    HostKeys,
    HostNames,
    KnownKey,
    NameKeys,
    key_type,
)
from canary_tui.text.safe import one_line

Marker = Literal["", "@cert-authority", "@revoked"]

_LARGEST = 64 * 2**20
"""Bytes of one file; 200,000 hosts take 25 MiB."""
_KRL = b"SSHKRL\n\0"


@dataclass
class _File:
    """One known_hosts file, read once. `notes` name the lines that are ignored, with the reason."""

    exact: dict[str, tuple[tuple[Marker, KnownKey], ...]] = field(default_factory=dict)
    """By name. All names of one line have the same tuple: 200,000 lines take 100 MB, with one each it were 160."""
    patterns: list[tuple[str, Marker, KnownKey]] = field(default_factory=list)
    hashed: list[tuple[bytes, bytes, Marker, KnownKey]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)

    def find(self, name: str) -> Iterator[tuple[Marker, KnownKey]]:
        """Every line that is about a name."""
        if self.hashed and name not in self._asked:
            self._unhash(name)
        yield from self.exact.get(name, ())
        for patterns, marker, key in self.patterns:
            if matches(name, patterns):
                yield marker, key

    def _unhash(self, name: str) -> None:
        # Each hashed line has a salt of its own and is about one name, so it is asked only until that name is found:
        # one HMAC for each line and name, and not for each connection.
        self._asked.add(name)
        others, asked = [], name.encode()
        for line in self.hashed:
            salt, digest, marker, key = line
            if hmac.digest(salt, asked, "sha1") == digest:
                self.exact[name] = (*self.exact.get(name, ()), (marker, key))
            else:
                others.append(line)
        self.hashed = others

    def add(self, line: str, source: str, number: int) -> None:
        """Add a line; one that OpenSSH would skip is noted."""
        line = line.strip(" \t\r\n")
        if not line or line.startswith("#"):
            return
        words = re.split(r"[ \t]+", line)
        marker: Marker = ""
        if words[0].startswith("@"):
            if words[0] not in ("@cert-authority", "@revoked"):
                self.notes.append(f"{source}:{number}: unknown marker {one_line(words[0], 40)}")
                return
            marker = "@revoked" if words[0] == "@revoked" else "@cert-authority"
            words = words[1:]
        try:
            key = KnownKey(_blob(words[1], words[2]), source, number)
            self._index(words[0], marker, key)
        except (IndexError, ValueError):
            self.notes.append(f"{source}:{number}: not a line of known_hosts")

    def _index(self, names: str, marker: Marker, key: KnownKey) -> None:
        if names.startswith("|"):
            _, version, salt, digest = names.split("|")
            if version != "1":
                raise ValueError(version)
            self.hashed.append((_base64(salt), _base64(digest), marker, key))
        elif re.search(r"[*?!]", names):
            self.patterns.append((names.lower(), marker, key))
        else:
            entry = ((marker, key),)
            for name in names.lower().split(","):
                self.exact[name] = self.exact.get(name, ()) + entry


class KnownHosts:
    """The known_hosts files of a whole fleet, each read once and again only when it changed on disk."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[int, ...], _File]] = {}
        self._revoked: dict[str, tuple[tuple[int, ...], tuple[KnownKey, ...]]] = {}

    def load(self, rules: HostKeyRules) -> None:
        """Read the files that are not known yet, or not as they are; raises as `look_up`. May be called in a thread."""
        for path in (*rules.user_files, *rules.global_files):
            self._file(path)
        if rules.revoked_file:
            self._revoked_keys(rules.revoked_file)

    def look_up(self, names: HostNames, rules: HostKeyRules) -> HostKeys:
        """Everything that the files say about a host. HostKeyError where the file of revoked keys cannot be used."""
        loaded = [self._file(path) for path in (*rules.user_files, *rules.global_files)]
        revoked = list(self._revoked_keys(rules.revoked_file)) if rules.revoked_file else []
        found = []
        for name in names.look_up():
            lines = [line for file in loaded for line in file.find(name)]
            trusted = tuple(key for marker, key in lines if marker == "")
            authorities = tuple(key for marker, key in lines if marker == "@cert-authority")
            found.append(NameKeys(name, trusted, authorities))
            revoked += [key for marker, key in lines if marker == "@revoked"]
        return HostKeys(tuple(found), tuple(revoked), names.principal, rules.authority_algorithms, rules.least_rsa_bits)

    def notes(self, files: Iterable[str]) -> tuple[str, ...]:
        """Lines of these files that are ignored."""
        return tuple(note for path in files for note in self._file(path).notes)

    def _file(self, path: str) -> _File:
        state = _state(path)
        cached = self._files.get(path)
        if cached is None or cached[0] != state:
            cached = (state, _read(path))
            self._files[path] = cached
        return cached[1]

    def _revoked_keys(self, path: str) -> tuple[KnownKey, ...]:
        state = _state(path)
        cached = self._revoked.get(path)
        if cached is None or cached[0] != state:
            cached = (state, _read_revoked(path))
            self._revoked[path] = cached
        return cached[1]


def remember(path: str, names: HostNames, blob: bytes, *, hashed: bool) -> None:
    """Append a key that a person accepted to a known_hosts file, on disk when this returns."""
    name = names.look_up()[0]
    if hashed:
        salt = os.urandom(20)
        digest = hmac.digest(salt, name.encode(), "sha1")
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    line = f"{name} {key_type(blob)} {base64.b64encode(blob).decode()}\n"
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _append(path, line.encode())
    except OSError as error:
        raise HostKeyError(f"{path}: the key cannot be kept: {error.strerror}") from None


def _append(path: str, line: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise NotRegularError(path, "is a pipe")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
        with contextlib.suppress(OSError):  # /dev/null has nothing to flush
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def matches(name: str, patterns: str) -> bool:
    """Test a name against comma-separated patterns with `*`, `?` and `!`, as OpenSSH reads them."""
    found = False
    for pattern in patterns.split(","):
        if _pattern(pattern.removeprefix("!")).fullmatch(name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(one) or re.escape(one) for one in re.sub(r"\*+", "*", pattern)), re.DOTALL)


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _blob(kind: str, encoded: str) -> bytes:
    """A key's wire form, which must be of the type that its line says; ValueError where it is not."""
    try:
        blob = _base64(encoded)
    except binascii.Error:
        raise ValueError(encoded) from None
    if not kind or key_type(blob) != kind:
        raise ValueError(kind)
    return blob


def _state(path: str) -> tuple[int, ...]:
    try:
        status = Path(path).stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str) -> _File:
    file = _File()
    try:
        data = read_regular(path, _LARGEST)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            file.notes.append(f"{path}: {error.strerror}")
        return file
    # Only a line feed ends a line: to str.splitlines a form feed in a comment would begin another entry.
    for number, line in enumerate(io.BytesIO(data), 1):
        file.add(line.decode("latin-1"), path, number)
    return file


def _read_revoked(path: str) -> tuple[KnownKey, ...]:
    try:
        data = read_regular(path, _LARGEST)
    except OSError as error:
        raise HostKeyError(f"RevokedHostKeys {path}: {error.strerror}; no host key is trusted without it") from None
    if data.startswith(_KRL):
        raise HostKeyError(f"RevokedHostKeys {path} is a binary revocation list; write it as a list of public keys")
    keys = []
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                keys.append(KnownKey(_blob(words[0], words[1]), path, number))
            except (IndexError, ValueError):
                raise HostKeyError(f"RevokedHostKeys {path}:{number}: not a public key") from None
    return tuple(keys)
