"""Finds for each target of a fleet the password that it takes, by asking as seldom as can be.

Mostly one password is right everywhere. So one that a target took is tried on the others before anybody is asked.
One that was refused where it was first typed may still be right elsewhere: it is tried on one more target before it is
called wrong, and a target that has a password of its own holds up nobody. None is tried twice on one target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from canary_tui.engine.target import Question
from canary_tui.ssh.connection.keyring import MOST_WRONG_ANSWERS, Questions

_REFUSED = "It was not accepted."
_REFUSED_HERE = "The password of the others was not accepted here."


@dataclass
class _Known:
    """The passwords of one login name: those that a target took, and one that only a single target was tried with."""

    proven: list[str] = field(default_factory=list)
    refused_once: str | None = None
    wrong: int = 0
    """Answers in a row that no target took."""
    asks: bool = False
    """Somebody is being asked, or the answer is being tried."""
    doubts: bool = False
    """A password that one target refused is being tried on another."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake all who wait."""
        self.changed.set()
        self.changed = asyncio.Event()


class Passwords:
    """Passwords by login name. `proven` has those that targets took, also those of an earlier network."""

    def __init__(self, questions: Questions, proven: dict[str, list[str]]) -> None:
        self._questions = questions
        self._proven = proven
        self._known: dict[str, _Known] = {}

    async def use(
        self,
        user: str,
        question: Callable[[str], Question],
        attempt: Callable[[str], Awaitable[bool]],
        refused: frozenset[str] = frozenset(),
    ) -> str | None:
        """The password that the target takes, asked for where none is known; None where there is none.

        `question` makes the question from what was wrong before; `attempt` says whether a password was taken;
        `refused` are those that the target is known not to take.
        """
        known = self._known.setdefault(user, _Known(self._proven.setdefault(user, [])))
        return await _Search(self._questions, known, question, attempt, refused).find()


class _Search:
    """The search for the password of one target."""

    def __init__(
        self,
        questions: Questions,
        known: _Known,
        question: Callable[[str], Question],
        attempt: Callable[[str], Awaitable[bool]],
        refused: frozenset[str],
    ) -> None:
        self._questions, self._known = questions, known
        self._question, self._attempt = question, attempt
        self._tried = set(refused)
        self._answers = 0

    async def find(self) -> str | None:
        known = self._known
        while True:
            if (password := next((one for one in known.proven if one not in self._tried), None)) is not None:
                if await self._took(password):
                    return password
            elif not known.doubts and known.refused_once not in (None, *self._tried):
                if await self._took_the_doubtful():
                    return known.proven[-1]
            elif known.asks or known.doubts:
                await known.changed.wait()
            elif self._answers >= MOST_WRONG_ANSWERS or known.wrong >= MOST_WRONG_ANSWERS:
                return None
            else:
                answer, taken = await self._asked()
                if answer is None or taken:
                    return answer
                await asyncio.sleep(0)  # those who wait may try it before this one asks again

    async def _took_the_doubtful(self) -> bool:
        """Try the password that one target refused. Refused by two it is wrong."""
        known = self._known
        password, known.refused_once, known.doubts = known.refused_once, None, True
        try:
            return password is not None and await self._took(password)
        finally:
            known.doubts = False
            known.tell()

    async def _asked(self) -> tuple[str | None, bool]:
        """The answer of the person, and whether the target takes it."""
        known = self._known
        known.asks = True
        try:
            async with self._questions.turn():
                answer = await self._questions.ask(self._question(self._trouble()))
            self._answers += 1
            known.wrong += 1
            taken = answer is not None and await self._took(answer)
            if answer is not None and not taken and answer not in known.proven:
                known.refused_once = answer
            return answer, taken
        finally:
            known.asks = False
            known.tell()

    async def _took(self, password: str) -> bool:
        """Tell whether the target takes a password, and remember it for the others."""
        taken = password not in self._tried and await self._attempt(password)
        self._tried.add(password)
        if taken:
            self._known.wrong = 0
            if password not in self._known.proven:
                self._known.proven.append(password)
                self._known.tell()
        return taken

    def _trouble(self) -> str:
        if any(password in self._tried for password in self._known.proven):
            return _REFUSED_HERE
        return _REFUSED if self._tried else ""
