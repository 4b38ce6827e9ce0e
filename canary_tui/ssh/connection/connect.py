"""Keeps one target's connection: opens it when first needed, reopens it when lost, closes it when asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncssh
from asyncssh import SSHClientConnection

from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import Asker, Question
from canary_tui.ssh.connection.command import ResolveError, is_user
from canary_tui.ssh.connection.handshake import KEEPALIVE_INTERVAL
from canary_tui.ssh.connection.hostkeys import HostKeyError
from canary_tui.ssh.connection.keyring import Answers
from canary_tui.ssh.connection.login import LinkError, Login, Shared
from canary_tui.ssh.connection.resolve import Endpoint, Resolver
from canary_tui.ssh.connection.sudo import (
    CHECK,
    SudoPrefix,
    Wrapped,
    is_wrong_password,
    last_words,
    needs_password,
    permission,
    user_of,
)
from canary_tui.text.safe import one_line
from canary_tui.text.secrets import Redactor

__all__ = ["Access", "LinkError", "TargetLink"]

IDLE_INTERVAL = 30.0
"""Seconds between two keepalive questions to a server on which nothing is under way."""
_CLOSE_WITHIN = 2.0
_SUDO_WITHIN = 20.0


class Access:
    """Opens connections to all targets: holds their settings, what their logins share, and the jump hosts."""

    def __init__(self, asker: Asker | None, redactor: Redactor, answers: Answers | None = None) -> None:
        self.resolver = Resolver()
        self.shared = Shared(asker, redactor, answers or Answers())
        self._jumps: dict[Endpoint, _Kept] = {}

    async def connect(self, endpoint: Endpoint, name: str) -> SSHClientConnection:
        """A new connection over its jump hosts; LinkError if there is none to be had. `name` is what people call it."""
        tunnel = None if endpoint.via is None else await self._jump(endpoint.via)
        try:
            return await Login(self.shared, endpoint, name, tunnel).connect()
        except HostKeyError as error:
            raise LinkError(str(error), final=True) from None

    async def _jump(self, endpoint: Endpoint) -> SSHClientConnection:
        """The one connection to a jump host that all targets behind it share."""
        if endpoint not in self._jumps:
            self._jumps[endpoint] = _Kept(lambda: self.connect(endpoint, endpoint.name))
        try:
            return await self._jumps[endpoint].connection()
        except LinkError as error:
            raise LinkError(f"jump host {endpoint.name}: {error.detail}", final=error.final) from None

    async def close(self) -> None:
        """Close the connections to jump hosts, farthest first, and the proxies."""
        for endpoint in sorted(self._jumps, key=lambda endpoint: -len(endpoint.jumps)):
            await self._jumps[endpoint].close()
        await self.shared.close()


class _Kept:
    """One connection that is opened by whoever needs it first and shared while it lives."""

    def __init__(self, open_one: Callable[[], Coroutine[Any, Any, SSHClientConnection]]) -> None:
        self._open_one = open_one
        self._connection: SSHClientConnection | None = None
        self._opening: asyncio.Task[SSHClientConnection] | None = None
        self._awaited_by = 0

    async def connection(self) -> SSHClientConnection:
        if self.alive is not None:
            return self.alive
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_seen)
        self._awaited_by += 1
        try:
            return await asyncio.shield(self._opening)
        finally:
            self._awaited_by -= 1

    async def _open(self) -> SSHClientConnection:
        connection = await self._open_one()
        if self._awaited_by:
            self._connection = connection
        else:
            connection.abort()  # they have given up, and nobody would ever let go of it
        return connection

    @property
    def alive(self) -> SSHClientConnection | None:
        """The connection as it is, None where there is none."""
        return None if self._connection is None or self._connection.is_closed() else self._connection

    def let_go(self) -> Coroutine[Any, Any, None]:
        """Forget the connection at once: who needs one from here on makes another. To be awaited, or be a task."""
        connection, self._connection = self._connection, None
        return close_connection(connection)

    def drop(self, connection: SSHClientConnection) -> None:
        connection.abort()
        if connection is self._connection:
            self._connection = None

    async def close(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self.let_go()


class TargetLink:
    """A target's connection. Nothing here waits longer than a login may take, but for people."""

    def __init__(self, target: PlannedTarget, access: Access) -> None:
        self.target = target
        self.address = target.address
        self.sudo: SudoPrefix | None = None
        self._refused: frozenset[str] = frozenset()
        """Passwords that its sudo does not take any more."""
        self._endpoint: Endpoint | None = None
        self._is_idle = False
        self._access = access
        self._kept = _Kept(self._open)

    async def connection(self) -> SSHClientConnection:
        """The living connection, made if there is none; LinkError if none can be made."""
        connection = await self._kept.connection()
        if self._is_idle:
            self._is_idle = False
            connection.set_keepalive(KEEPALIVE_INTERVAL)
        return connection

    def idle(self) -> bool:
        """Ask the server less often whether it is still there. False where there is no connection."""
        connection = self._kept.alive
        if connection is not None:
            self._is_idle = True
            connection.set_keepalive(IDLE_INTERVAL)
        return connection is not None

    def let_go(self) -> Coroutine[Any, Any, None]:
        """Close the connection; the next request opens another, even meanwhile. To be awaited, or be a task."""
        return self._kept.let_go()

    def drop(self, connection: SSHClientConnection) -> None:
        """Forget a connection that proved dead."""
        self._kept.drop(connection)

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[TargetLink]:
        """Another link to the same target, with a connection of its own, which is closed at the end."""
        link = TargetLink(self.target, self._access)
        try:
            yield link
        finally:
            await link.close()

    def wrap(self, words: str, nonce: str) -> Wrapped:
        """The command line for plain words under the target's sudo, which is known once `connection()` has returned."""
        return Wrapped(words) if self.sudo is None else self.sudo.wrap(words, nonce)

    def sudo_refused(self, connection: SSHClientConnection) -> None:
        """Forget what sudo no longer takes: the next connection finds out anew what it does take."""
        if self.sudo is not None and self.sudo.password is not None:
            self._refused |= {self.sudo.password}
        self.sudo = None
        self.drop(connection)

    async def close(self) -> None:
        """Close the connection, within two seconds."""
        await self._kept.close()

    async def _open(self) -> SSHClientConnection:
        try:
            endpoint = await self._access.resolver.resolve(self.target)
        except ResolveError as error:
            raise LinkError(str(error), final=True) from None
        self.address, self._endpoint = endpoint.address, endpoint
        connection = await self._access.connect(endpoint, self.target.name)
        user = user_of(self.target.ssh.sudo)
        if user is not None and self.sudo is None:
            try:
                self.sudo = await self._become(connection, user, endpoint)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _become(self, connection: SSHClientConnection, user: str, endpoint: Endpoint) -> SudoPrefix:
        """Find out whether sudo works here, and whether it needs a password, asked once for a fleet."""
        if not is_user(user):
            raise LinkError(f"sudo: {one_line(user, 80)!r} is not a login name", final=True)
        status, complaint = await _run(connection, f"env LC_ALL=C sudo -k -n -H -u {user} -- {CHECK}", b"")
        if status == 0:
            return SudoPrefix(user)
        if not needs_password(complaint):
            refused = last_words(complaint) or f"exit {status}"
            raise LinkError(f"sudo -u {user}: {refused}; {permission(user)}", final=True)

        said = complaint

        async def use(password: str) -> bool:
            nonlocal said
            wrapped = SudoPrefix(user, password).wrap(CHECK)
            status, said = await _run(connection, f"env LC_ALL=C {wrapped.command}", wrapped.password)
            if status and not is_wrong_password(said):
                raise LinkError(f"sudo -u {user}: {last_words(said) or f'exit {status}'}", final=True)
            return status == 0

        def question(trouble: str) -> Question:
            return Question("sudo-password", self.target.name, self.address, trouble)

        passwords, password = self._access.shared.sudo_passwords, None
        if endpoint.asks_for_secrets:
            password = await passwords.use(endpoint.user, question, use, self._refused)
        if password is None:
            needed = f"sudo -u {user}: a password is needed, and none was accepted; sudo says: {last_words(said)}"
            raise LinkError(f"{needed}; {permission(user)}", final=True)
        return SudoPrefix(user, password)


async def _run(connection: SSHClientConnection, command: str, first: bytes) -> tuple[int | None, str]:
    """Exit status and standard error of a short command."""
    try:
        async with asyncio.timeout(_SUDO_WITHIN):
            done = await connection.run(command, input=first, encoding=None)
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise LinkError(f"sudo: {one_line(str(error)) or 'no answer'}", final=False) from None
    complaint = done.stderr if isinstance(done.stderr, bytes) else b""
    return done.exit_status, complaint.decode(errors="replace")


def _seen(task: asyncio.Task[Any]) -> None:
    """An error is everybody's who waits; where nobody does any more it is nobody's, and no complaint is due."""
    if not task.cancelled():
        task.exception()


async def close_connection(connection: SSHClientConnection | None) -> None:
    """Close a connection in order, or cut it after two seconds."""
    if connection is None:
        return
    connection.close()
    try:
        async with asyncio.timeout(_CLOSE_WITHIN):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()
