"""Keeps the keys to log in with and their passphrases; each is read or asked for once for a whole fleet."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncssh
from asyncssh import SSHCertificate, SSHKey, SSHKeyPair

from canary_tui.engine.target import Asker, Question
from canary_tui.regular import read_regular
from canary_tui.ssh.connection.hostkeys import shown_key
from canary_tui.ssh.connection.private_parts import public_data, wants_passphrase
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.text.safe import one_line
from canary_tui.text.secrets import Redactor

MOST_WRONG_ANSWERS = 3
"""Wrong passphrases of one key, or passwords that no target takes, before nobody is asked any more."""
_LOCKED = "it is locked by a passphrase"
_HALF = "only its public half is here, and no agent has the other one"
_LARGEST = 1 << 20


@dataclass(slots=True)
class Identity:
    """One identity file: its halves as far as they are there. `pair` is None while the private half is `locked`."""

    path: str
    pair: SSHKeyPair | None = None
    locked: bool = False
    public: bytes = b""
    """The wire form of the public half, or of the certificate in its place."""
    in_its_place: SSHCertificate | None = None
    certificate: SSHCertificate | None = None
    """The one that lies beside the key as `-cert.pub`."""
    missing: bool = False
    """Neither half is there."""
    problem: str = ""
    """Why the private half cannot be used."""


@dataclass(slots=True)
class Answers:
    """The secrets that were right, for all networks of one engine: none is asked for twice. They are in memory only."""

    passphrases: dict[str, str] = field(default_factory=dict)
    """By path of the key."""
    passwords: dict[str, list[str]] = field(default_factory=dict)
    """By login name."""
    sudo_passwords: dict[str, list[str]] = field(default_factory=dict)

    def hide(self, secrets: Redactor) -> None:
        """Have all of them redacted."""
        for known in (self.passphrases.values(), *self.passwords.values(), *self.sudo_passwords.values()):
            for secret in known:
                secrets.add(secret)


class Questions:
    """Asks the person one question at a time; every secret that comes back is hidden from output from then on."""

    def __init__(self, asker: Asker | None, secrets: Redactor) -> None:
        self._asker = asker
        self._secrets = secrets
        self._turn = asyncio.Lock()

    @property
    def attended(self) -> bool:
        """True where somebody can be asked."""
        return self._asker is not None

    def turn(self) -> asyncio.Lock:
        """Hold it to ask several questions that belong together, or to look again before asking."""
        return self._turn

    async def ask(self, question: Question) -> str | None:
        """The answer, or None where nobody gives one. Call it while holding `turn()`."""
        if self._asker is None:
            return None
        answer = await self._asker.ask(replace(question, words=one_line(question.words)))
        if answer and question.kind != "host-key":
            self._secrets.add(answer)
        return answer


class Keyring:
    """Identity files and certificates, each read once; each key is unlocked once, `passphrases` open it again."""

    def __init__(self, questions: Questions, passphrases: dict[str, str]) -> None:
        self._questions = questions
        self._passphrases = passphrases
        self._identities: dict[str, Identity] = {}
        self._certificates: dict[str, SSHCertificate | str] = {}
        self._refused: set[str] = set()

    def identities(self, endpoint: Endpoint) -> list[Identity]:
        """The endpoint's identity files in its order, also those that are missing or of no use."""
        for path in endpoint.identities:
            if path not in self._identities:
                self._identities[path] = self._open(path)
        return [self._identities[path] for path in endpoint.identities]

    def _open(self, path: str) -> Identity:
        identity = _load(path)
        known = self._passphrases.get(path) if identity.locked else None
        return identity if known is None else _load(path, known)

    def certificates(self, endpoint: Endpoint) -> list[SSHCertificate]:
        """The certificates that CertificateFile names, as far as they can be read."""
        return [one for one in self._listed(endpoint) if not isinstance(one, str)]

    def bad_certificates(self, endpoint: Endpoint) -> list[str]:
        """The files that CertificateFile names and that hold no certificate, each with its problem."""
        return [one for one in self._listed(endpoint) if isinstance(one, str)]

    def _listed(self, endpoint: Endpoint) -> list[SSHCertificate | str]:
        for path in endpoint.certificates:
            if path not in self._certificates:
                self._certificates[path] = _certificate(path)
        return [self._certificates[path] for path in endpoint.certificates]

    async def unlock(self, identity: Identity, endpoint: Endpoint, name: str) -> None:
        """Ask for a key's passphrase unless somebody did; where none opens it, it stays locked."""
        async with self._questions.turn():
            words = f"The key {identity.path} is locked."
            for _ in range(MOST_WRONG_ANSWERS):
                if not identity.locked or identity.path in self._refused:
                    break
                question = Question("passphrase", name, endpoint.address, words)
                passphrase = await self._questions.ask(question)
                if passphrase is None:
                    break
                opened = await asyncio.to_thread(_load, identity.path, passphrase)
                identity.pair, identity.locked, identity.problem = opened.pair, not opened.pair, opened.problem
                if not identity.locked:
                    self._passphrases[identity.path] = passphrase
                words = f"That does not open {identity.path}."
            if identity.locked:
                self._refused.add(identity.path)


def _load(path: str, passphrase: str | None = None) -> Identity:
    half, beside = _public(path), _certificate(f"{path}-cert.pub")
    public = b"" if half is None else public_data(half)
    identity = Identity(path, public=public, certificate=None if isinstance(beside, str) else beside)
    identity.in_its_place = half if isinstance(half, SSHCertificate) else None
    if not Path(path).exists():
        identity.missing = not public and identity.certificate is None
        identity.problem = "" if identity.missing else _HALF
        return identity
    try:
        pair = asyncssh.load_keypairs(asyncssh.import_private_key(_read(path), passphrase))[0]
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError, OSError, ValueError) as error:
        identity.locked = wants_passphrase(error)
        no_private_half = _HALF if public and not identity.locked else one_line(str(error))
        identity.problem = _LOCKED if identity.locked else no_private_half
        return identity
    if public and shown_key(public) != public_data(pair):
        identity.problem = f"it does not belong to {path}.pub"
    else:
        identity.pair, identity.public = pair, public or public_data(pair)
    return identity


def _public(path: str) -> SSHKey | SSHCertificate | None:
    """The public half, from its own file or the key's; None where neither shows it."""
    for name in (f"{path}.pub", path):
        with contextlib.suppress(OSError):
            data = _read(name)
            for read in (asyncssh.import_certificate, asyncssh.import_public_key):
                with contextlib.suppress(asyncssh.KeyImportError, ValueError):
                    return read(data)
    return None


def _certificate(path: str) -> SSHCertificate | str:
    """The certificate in a file, or the problem with it."""
    try:
        return asyncssh.import_certificate(_read(path))
    except FileNotFoundError:
        return f"{path}: there is no such file"
    except (asyncssh.KeyImportError, OSError, ValueError) as error:
        return f"{path}: {one_line(str(error))}"


def _read(path: str) -> bytes:
    """A file's bytes. OSError also where it is no regular file: reading a pipe would never end."""
    return read_regular(path, _LARGEST)
