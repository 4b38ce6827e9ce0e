"""Judges whether a server's host key is the one that is known; the SSH library takes no part in it.

At least as strict as `ssh -o StrictHostKeyChecking=yes` on the same files. Stricter in that a key is refused that is
revoked under any of the host's names, that a host whose key is known is never asked about, and that
NoHostAuthenticationForLocalhost changes nothing.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from canary_tui.errors import CanaryError
from canary_tui.ssh.connection.private_parts import HostCertificate
from canary_tui.text.safe import one_line

Trust = Literal["trusted", "new", "changed", "revoked"]


class HostKeyError(CanaryError):
    """Host keys cannot be judged or kept at all: a file of revoked keys that is not readable, no file to write to."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public key of a known_hosts line. `blob` is its wire form; `line` 0: it is no line of a file."""

    blob: bytes
    source: str
    line: int = 0

    @property
    def place(self) -> str:
        """`path:line`."""
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def kind(self) -> str:
        """Type of the key, such as `ssh-ed25519`."""
        return key_type(self.blob)


@dataclass(frozen=True, slots=True)
class HostKeyAnswer:
    """Trust in a key that a server showed, and the reason, in words that name file and line."""

    trust: Trust
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NameKeys:
    """The keys that are known under one name, and the authorities whose certificates count."""

    name: str
    trusted: tuple[KnownKey, ...] = ()
    authorities: tuple[KnownKey, ...] = ()


@dataclass(frozen=True, slots=True)
class HostKeys:
    """All known keys of one host. `names` in the order of looking: with the port, then without."""

    names: tuple[NameKeys, ...]
    revoked: tuple[KnownKey, ...] = ()
    principal: str = ""
    """The name that a certificate must be for."""
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

    def judge(self, shown: bytes) -> HostKeyAnswer:
        """Judge the key or certificate that a server shows."""
        if "-cert-v0" not in key_type(shown):
            return self._judge_key(shown)
        try:
            certificate = HostCertificate.decode(shown)
        except ValueError as error:
            return HostKeyAnswer("changed", f"its certificate is not valid: {one_line(str(error))}")
        return self._judge_certificate(certificate, shown)

    def _judge_certificate(self, certificate: HostCertificate, shown: bytes) -> HostKeyAnswer:
        authority = certificate.authority
        if revoked := self._revocation(shown, authority, certificate.key):
            return revoked
        why_not = f"no authority known for it signed its certificate ({fingerprint(authority)})"
        for name in self.names:
            if any(known.blob == authority for known in name.authorities):
                why_not = self._objection(certificate, shown)
                if not why_not:
                    return HostKeyAnswer("trusted")
                break
        plain = self._judge_key(certificate.key)
        if plain.trust == "new" or (plain.trust == "changed" and self._has_authority()):
            return HostKeyAnswer(plain.trust, why_not)
        return plain

    def _objection(self, certificate: HostCertificate, shown: bytes) -> str:
        if objection := certificate.objection(self.principal):
            return f"its certificate does not hold: {objection}"
        algorithm = _signature_algorithm(shown, certificate.authority)
        if algorithm == "ssh-rsa" or (self.authority_algorithms and algorithm not in self.authority_algorithms):
            return f"its certificate is signed with {algorithm}"
        return ""

    def _judge_key(self, blob: bytes) -> HostKeyAnswer:
        if revoked := self._revocation(blob):
            return revoked
        if key_type(blob) == "ssh-rsa" and _rsa_bits(blob) < self.least_rsa_bits:
            return HostKeyAnswer("changed", f"its RSA key has fewer than {self.least_rsa_bits} bits")
        for name in self.names:
            if any(known.blob == blob for known in name.trusted):
                return HostKeyAnswer("trusted")
            if name.trusted:
                break
        if known_keys := self.known:
            places = ", ".join(sorted({known.place for known in known_keys})[:3])
            return HostKeyAnswer("changed", f"not the key of {places}")
        return HostKeyAnswer("new")

    def _revocation(self, *blobs: bytes) -> HostKeyAnswer | None:
        for known in self.revoked:
            if known.blob in blobs:
                return HostKeyAnswer("revoked", f"revoked by {known.place}")
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
    """The names that a host is looked up by. `alias` is HostKeyAlias ("" none), to which no port is added."""

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
        """The name that a host certificate must be for."""
        return (self.alias or self.host).lower()


@dataclass(frozen=True, slots=True)
class HostKeyRules:
    """The files of known host keys, and the other settings of ssh_config about them. Paths are absolute."""

    user_files: tuple[str, ...] = ()
    global_files: tuple[str, ...] = ()
    revoked_file: str = ""
    hash_names: bool = False
    check_address: bool = False
    authority_algorithms: tuple[str, ...] = ()
    least_rsa_bits: int = 1024


def key_type(blob: bytes) -> str:
    """Type that a key's wire form begins with; "" where it has none."""
    return _string(blob, 0)[0].decode("ascii", "replace")


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def shown_key(shown: bytes) -> bytes:
    """The plain key that a server showed: itself, or the one in its certificate."""
    if "-cert-v0" not in key_type(shown):
        return shown
    with contextlib.suppress(ValueError):
        return HostCertificate.decode(shown).key
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
