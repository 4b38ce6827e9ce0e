"""Whether a server's host key is the one that is known: the decision is taken here, never by the SSH library.

At least as strict as `ssh -o StrictHostKeyChecking=yes` on the same files. Stricter in that a key is refused that is
revoked under any of the host's names, that a host whose key is known is never asked about, and that
NoHostAuthenticationForLocalhost changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from asyncssh.public_key import (
    CERT_TYPE_HOST,
    KeyImportError,
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
)

from canary_tui.errors import CanaryError
from canary_tui.ssh.output import one_line

Marker = Literal["", "@cert-authority", "@revoked"]
Verdict = Literal["trusted", "new", "changed", "revoked"]

_KRL = b"SSHKRL\n\0"


class HostKeyError(CanaryError):
    """Host keys cannot be judged or kept at all: a file of revoked keys that is not readable, no file to write to."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public key of a known_hosts line. `blob` is its wire form, `place` is `path:line`."""

    blob: bytes
    place: str

    @property
    def kind(self) -> str:
        """Type of the key, such as `ssh-ed25519`."""
        return key_type(self.blob)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is thought of a key that a server showed, and why, in words that name file and line."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NameKeys:
    """What is known under one name: keys, and the authorities whose certificates count."""

    name: str
    trusted: tuple[KnownKey, ...] = ()
    authorities: tuple[KnownKey, ...] = ()


@dataclass(frozen=True, slots=True)
class HostKeys:
    """Everything that is known of one host. `names` in the order of looking: with the port, then without."""

    names: tuple[NameKeys, ...]
    revoked: tuple[KnownKey, ...] = ()
    principal: str = ""
    """What a certificate must be for."""
    authority_algorithms: tuple[str, ...] = ()
    """Signatures that an authority's certificate may have; empty: any but SHA-1."""
    least_rsa_bits: int = 1024

    @classmethod
    def pinned(cls, name: str, blob: bytes) -> HostKeys:
        """Exactly this one key."""
        return cls((NameKeys(name, (KnownKey(blob, "the answer just given"),)),))

    @property
    def known(self) -> tuple[KnownKey, ...]:
        """Keys and authorities under any name."""
        return tuple(key for name in self.names for key in (*name.trusted, *name.authorities))

    def decide(self, shown: bytes) -> Decision:
        """Judge the key or certificate that the server proved to have."""
        if "-cert-v0" not in key_type(shown):
            return self._decide_key(shown)
        try:
            certificate = decode_ssh_certificate(shown)
        except KeyImportError as error:
            return Decision("changed", f"its certificate is not valid: {one_line(str(error))}")
        if not isinstance(certificate, SSHOpenSSHCertificate):
            return Decision("changed", "its certificate is not of OpenSSH's kind")
        return self._decide_certificate(certificate, shown)

    def _decide_certificate(self, certificate: SSHOpenSSHCertificate, shown: bytes) -> Decision:
        authority = certificate.signing_key.public_data
        if revoked := self._revocation(shown, authority, certificate.key.public_data):
            return revoked
        why_not = f"no authority known for it signed its certificate ({fingerprint(authority)})"
        for name in self.names:
            if any(known.blob == authority for known in name.authorities):
                why_not = self._objection(certificate, shown)
                if not why_not:
                    return Decision("trusted")
                break
        plain = self._decide_key(certificate.key.public_data)
        if plain.verdict == "new" or (plain.verdict == "changed" and self._has_authority()):
            return Decision(plain.verdict, why_not)
        return plain

    def _objection(self, certificate: SSHOpenSSHCertificate, shown: bytes) -> str:
        try:
            certificate.validate(CERT_TYPE_HOST, self.principal)
        except ValueError as error:
            return f"its certificate does not hold: {error}"
        algorithm = _signature_algorithm(shown, certificate.signing_key.public_data)
        if algorithm == "ssh-rsa" or (self.authority_algorithms and algorithm not in self.authority_algorithms):
            return f"its certificate is signed with {algorithm}"
        return ""

    def _decide_key(self, blob: bytes) -> Decision:
        if revoked := self._revocation(blob):
            return revoked
        if key_type(blob) == "ssh-rsa" and _rsa_bits(blob) < self.least_rsa_bits:
            return Decision("changed", f"its RSA key has fewer than {self.least_rsa_bits} bits")
        for name in self.names:
            if any(known.blob == blob for known in name.trusted):
                return Decision("trusted")
            if name.trusted:
                break
        if known_keys := self.known:
            places = ", ".join(sorted({known.place for known in known_keys})[:3])
            return Decision("changed", f"not the key of {places}")
        return Decision("new")

    def _revocation(self, *blobs: bytes) -> Decision | None:
        for known in self.revoked:
            if known.blob in blobs:
                return Decision("revoked", f"revoked by {known.place}")
        return None

    def _has_authority(self) -> bool:
        return any(name.authorities for name in self.names)

    def order(self, algorithms: Iterable[str]) -> tuple[str, ...]:
        """Host key algorithms to offer: those of known keys first, and certificates where an authority is known.

        Certificates are offered in any case, as OpenSSH does: one may show that its authority is revoked.
        """
        offered = tuple(algorithms)
        kinds = {known.kind for name in self.names for known in name.trusted}
        first = [one for one in offered if _key_kind(one) in kinds or (self._has_authority() and "-cert-v0" in one)]
        return tuple(dict.fromkeys([*first, *offered]))


@dataclass(frozen=True, slots=True)
class HostNames:
    """Under what a host is looked up, as OpenSSH does it. `alias` is HostKeyAlias ("" none), which knows no port."""

    host: str
    port: int = 22
    alias: str = ""

    def look_up(self) -> tuple[str, ...]:
        """Names in the order of looking; the first is the one that a new key is kept under."""
        if self.alias:
            return (self.alias.lower(),)
        host = self.host.lower()
        return (host,) if self.port == 22 else (f"[{host}]:{self.port}", host)

    @property
    def principal(self) -> str:
        """What a host certificate must name."""
        return (self.alias or self.host).lower()


@dataclass(frozen=True, slots=True)
class HostKeyRules:
    """Where host keys are known, and what else ssh_config says about them. Paths are absolute."""

    user_files: tuple[str, ...] = ()
    global_files: tuple[str, ...] = ()
    revoked_file: str = ""
    hash_names: bool = False
    check_address: bool = False
    authority_algorithms: tuple[str, ...] = ()
    least_rsa_bits: int = 1024


@dataclass
class _File:
    """One known_hosts file, read once. `notes` say which lines count for nothing, and why."""

    exact: dict[str, list[tuple[Marker, KnownKey]]] = field(default_factory=dict)
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
                self.exact.setdefault(name, []).append((marker, key))
            else:
                others.append(line)
        self.hashed = others

    def add(self, line: str, place: str) -> None:
        """Take a line in; one that OpenSSH would skip is noted."""
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            return
        words = re.split(r"[ \t]+", line)
        marker: Marker = ""
        if words[0].startswith("@"):
            if words[0] not in ("@cert-authority", "@revoked"):
                self.notes.append(f"{place}: unknown marker {one_line(words[0], 40)}")
                return
            marker = "@revoked" if words[0] == "@revoked" else "@cert-authority"
            words = words[1:]
        try:
            key = KnownKey(_blob(words[1], words[2]), place)
            self._index(words[0], marker, key)
        except (IndexError, ValueError):
            self.notes.append(f"{place}: not a line of known_hosts")

    def _index(self, names: str, marker: Marker, key: KnownKey) -> None:
        if names.startswith("|"):
            _, version, salt, digest = names.split("|")
            if version != "1":
                raise ValueError(version)
            self.hashed.append((_base64(salt), _base64(digest), marker, key))
        elif re.search(r"[*?!]", names):
            self.patterns.append((names.lower(), marker, key))
        else:
            for name in names.lower().split(","):
                self.exact.setdefault(name, []).append((marker, key))


class KnownHosts:
    """The known_hosts files of a whole fleet, each read once and again only when it changed on disk."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[int, ...], _File]] = {}
        self._revoked: dict[str, tuple[tuple[int, ...], tuple[KnownKey, ...]]] = {}

    def look_up(self, names: HostNames, rules: HostKeyRules) -> HostKeys:
        """What the files say about a host. HostKeyError where the file of revoked keys cannot be used."""
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
        """Lines of these files that count for nothing."""
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
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
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
    """Whether a name is meant by comma-separated patterns with `*`, `?` and `!`, as OpenSSH reads them."""
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


def key_type(blob: bytes) -> str:
    """Type that a key's wire form begins with; "" where it has none."""
    return _string(blob, 0)[0].decode("ascii", "replace")


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def shown_key(shown: bytes) -> bytes:
    """The key of what a server showed: itself, or that of its certificate."""
    if "-cert-v0" not in key_type(shown):
        return shown
    with contextlib.suppress(KeyImportError):
        return bytes(decode_ssh_certificate(shown).key.public_data)
    return shown


def _string(data: bytes, offset: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[offset : offset + 4], "big")
    return data[offset + 4 : offset + 4 + length], offset + 4 + length


def _rsa_bits(blob: bytes) -> int:
    _, offset = _string(blob, 0)
    _, offset = _string(blob, offset)
    return int.from_bytes(_string(blob, offset)[0], "big").bit_length()


def _signature_algorithm(certificate: bytes, authority: bytes) -> str:
    signature, _ = _string(certificate.rpartition(authority)[2], 0)
    return _string(signature, 0)[0].decode("ascii", "replace")


def _key_kind(algorithm: str) -> str:
    """Type of the key, plain or certified, that an algorithm signs with."""
    plain = algorithm.removesuffix("-cert-v01@openssh.com")
    if plain.startswith("rsa-sha2-"):
        return "ssh-rsa"
    return f"{plain}@openssh.com" if plain.startswith("sk-") and plain != algorithm else plain


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
        data = Path(path).read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            file.notes.append(f"{path}: {error.strerror}")
        return file
    # Only a line feed ends a line: to str.splitlines a form feed in a comment would begin another entry.
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        file.add(line, f"{path}:{number}")
    return file


def _read_revoked(path: str) -> tuple[KnownKey, ...]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise HostKeyError(f"RevokedHostKeys {path}: {error.strerror}; no host key is trusted without it") from None
    if data.startswith(_KRL):
        raise HostKeyError(f"RevokedHostKeys {path} is a binary revocation list; write it as a list of public keys")
    keys = []
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                keys.append(KnownKey(_blob(words[0], words[1]), f"{path}:{number}"))
            except (IndexError, ValueError):
                raise HostKeyError(f"RevokedHostKeys {path}:{number}: not a public key") from None
    return tuple(keys)
