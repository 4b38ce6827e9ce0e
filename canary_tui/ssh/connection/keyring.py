"""Keeps the keys, passphrases and passwords to log in with; each is read or asked for once for a whole fleet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
from asyncssh import SSHKeyPair

from canary_tui.engine.target import Asker, Question
from canary_tui.ssh.connection.private_parts import public_data, unused, wants_passphrase
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.text.safe import one_line
from canary_tui.text.secrets import Redactor

MOST_WRONG_ANSWERS = 3
"""Wrong passwords, or wrong passphrases of one key, before nobody is asked any more."""
_LOCKED = "it is locked by a passphrase"


@dataclass(slots=True)
class Identity:
    """One identity file. `pairs` are the keys to log in with (certificate first); empty while it is `locked`."""

    path: str
    pairs: tuple[SSHKeyPair, ...] = ()
    locked: bool = False
    public: bytes = b""
    missing: bool = False
    problem: str = ""
    """Why it cannot be used."""


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
    """Identity files, each read once, and unlocked once."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._identities: dict[tuple[str, tuple[str, ...]], Identity] = {}
        self._refused: set[str] = set()

    def identities(self, endpoint: Endpoint) -> list[Identity]:
        """The endpoint's identity files in its order, also those that are missing or of no use."""
        found = []
        for path in endpoint.identities:
            key = (path, endpoint.certificates)
            if key not in self._identities:
                self._identities[key] = _load(path, endpoint.certificates)
            found.append(self._identities[key])
        return found

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
                opened = await asyncio.to_thread(_load, identity.path, endpoint.certificates, passphrase)
                identity.pairs, identity.locked, identity.problem = opened.pairs, not opened.pairs, opened.problem
                words = f"That does not open {identity.path}."
            if identity.locked:
                self._refused.add(identity.path)


class Passwords:
    """Passwords by login name. One that nothing proved yet is tried on one target only, and wrong ones are counted."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._known: dict[str, str] = {}
        self._proven: set[str] = set()
        self._turn = asyncio.Lock()
        self.wrong = 0

    async def use(
        self,
        user: str,
        question: Callable[[str], Question],
        attempt: Callable[[str], Awaitable[bool]],
    ) -> bool:
        """Try the password of a login name, asking for it where it is not known; False when there is none that works.

        `question` makes the question from what was wrong before; `attempt` says whether a password was taken.
        """
        if user not in self._proven:
            async with self._turn:
                if user not in self._proven:
                    return await self._first_use(user, question, attempt)
        return self.wrong < MOST_WRONG_ANSWERS and await self._count(await attempt(self._known[user]))

    async def _first_use(
        self, user: str, question: Callable[[str], Question], attempt: Callable[[str], Awaitable[bool]]
    ) -> bool:
        trouble = ""
        while self.wrong < MOST_WRONG_ANSWERS:
            async with self._questions.turn():
                password = await self._questions.ask(question(trouble))
            if password is None:
                self.wrong += 1
                return False
            if await self._count(await attempt(password)):
                self._known[user] = password
                self._proven.add(user)
                return True
            trouble = "It was not accepted."
        return False

    def known(self, user: str) -> str | None:
        """The password that was proven for this login name."""
        return self._known.get(user)

    async def _count(self, accepted: bool) -> bool:
        self.wrong += not accepted
        return accepted


def pairs_for(identities: list[Identity]) -> list[SSHKeyPair]:
    """Keys to log in with, for one attempt."""
    return [unused(pair) for identity in identities for pair in identity.pairs]


def _load(path: str, certificates: tuple[str, ...], passphrase: str | None = None) -> Identity:
    if not Path(path).exists():
        return Identity(path, missing=True)
    public = _public(path)
    try:
        given = [asyncssh.read_certificate(name) for name in certificates if Path(name).exists()]
        pairs = tuple(asyncssh.load_keypairs(path, passphrase, given))
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError, OSError, ValueError) as error:
        locked = wants_passphrase(error)
        return Identity(path, locked=locked, public=public, problem=_LOCKED if locked else one_line(str(error)))
    return Identity(path, pairs, public=public or public_data(pairs[0]))


def _public(path: str) -> bytes:
    """The public part, from its own file or the key's; b"" where neither shows it."""
    for name in (f"{path}.pub", path):
        for read in (asyncssh.read_certificate, asyncssh.read_public_key):
            with contextlib.suppress(asyncssh.KeyImportError, OSError, ValueError):
                return public_data(read(name))
    return b""
