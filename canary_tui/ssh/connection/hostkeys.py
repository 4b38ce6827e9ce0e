"""Whether a server's host key is the one that is known: the decision is taken here, never by the SSH library.

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

from asyncssh.public_key import (
    CERT_TYPE_HOST,
    KeyImportError,
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
)

from canary_tui.errors import CanaryError
from canary_tui.text.safe import one_line

Verdict = Literal["trusted", "new", "changed", "revoked"]


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
