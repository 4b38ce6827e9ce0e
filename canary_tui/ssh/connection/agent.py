"""Asks the ssh agent for its keys and signatures, and knows that it may have to wait for a person.

A key may want a touch or a confirmation, and an agent serves one request after another. So each request may take
`ANSWERS_WITHIN` from the moment when the agent last answered anybody: while there is progress everybody waits, and of
an agent that has stopped everybody hears at once. No limit of a server runs meanwhile.

The first signature shows whether a person is asked. Until then, and where one is, signatures are asked for one by one:
of a login that its server has given up meanwhile no request is left for which somebody would be asked in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import asyncssh
from asyncssh import SSHKeyPair

from canary_tui.errors import CanaryError
from canary_tui.ssh.connection.private_parts import Signer
from canary_tui.text.safe import one_line

ANSWERS_WITHIN = 60.0
"""Seconds. sshd waits 120 for a login to be complete."""
DELIBERATE = 1.0
"""Seconds after which a signature has waited for a person, who can serve only so many."""
TOUCHES_AT_ONCE = 4
"""Logins by an agent that waits for a person: more would come to the end of their servers' patience in the queue."""

Answer = TypeVar("Answer")


class AgentError(CanaryError):
    """The agent does not answer."""


class Agent:
    """The agent at one socket, for all logins of a fleet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.turns = asyncio.Semaphore(TOUCHES_AT_ONCE)
        self.is_deliberate = False
        """True once a signature took so long that a person must have been waited for."""
        self._is_known = False
        self._one_by_one = asyncio.Lock()
        self._limits: set[asyncio.Timeout] = set()

    async def answer(self, request: Awaitable[Answer], what: str) -> Answer:
        """The answer to one request; AgentError where the agent has answered nobody for too long."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN) as limit:
                self._limits.add(limit)
                try:
                    answer = await request
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            raise AgentError(
                f"the ssh agent did not answer within {ANSWERS_WITHIN:.0f} s when asked for {what} "
                f"({one_line(self.path, 200)}); does a key wait for a touch or a confirmation?"
            ) from None
        self._answered()
        return answer

    def _answered(self) -> None:
        until = asyncio.get_running_loop().time() + ANSWERS_WITHIN
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(until)

    async def sign(self, signer: Signer) -> bytes:
        """A signature that the agent makes."""
        return await self.answer(self._signed(signer), "a signature")

    async def _signed(self, signer: Signer) -> bytes:
        if self._is_known and not self.is_deliberate:
            return await self._timed(signer)
        async with self._one_by_one:
            return await self._timed(signer)

    async def _timed(self, signer: Signer) -> bytes:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await signer()
        finally:
            self._is_known, self.is_deliberate = True, self.is_deliberate or clock() - began > DELIBERATE


class AgentKeys:
    """The keys of the agent for one attempt to log in: listed when first needed, until `close` ends the connection.

    A request that was cut short leaves its answer in the connection, where the next one would take it for its own.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._client: asyncssh.SSHAgentClient | None = None
        self._pairs: Sequence[SSHKeyPair] | None = None

    async def pairs(self) -> Sequence[SSHKeyPair]:
        """The keys in the agent's order; none where there is no agent."""
        if self._pairs is None:
            self._pairs = await self.agent.answer(self._listed(), "its keys") if self.agent.path else ()
        return self._pairs

    async def _listed(self) -> Sequence[SSHKeyPair]:
        try:
            self._client = await asyncssh.connect_agent(self.agent.path)
            return await self._client.get_keys()
        except (OSError, ValueError, asyncssh.Error):
            return ()

    def close(self) -> None:
        """End the connection to the agent; the next attempt makes another."""
        client, self._client, self._pairs = self._client, None, None
        if client is not None:
            client.close()
