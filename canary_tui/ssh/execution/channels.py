"""Opens channels, also where a server allows only one at a time on a connection (MaxSessions)."""

from __future__ import annotations

import asyncio
import math
from weakref import WeakKeyDictionary

import asyncssh

from canary_tui.ssh.execution import pace

CLEARING = 2.0
"""Seconds that a server has to clear away what ran on a channel; one that it refuses later it refuses for good."""

_in_use: WeakKeyDictionary[asyncssh.SSHClientConnection, int] = WeakKeyDictionary()
"""The channels on each connection that were opened here and are not let go of."""
_let_go: WeakKeyDictionary[asyncssh.SSHClientConnection, float] = WeakKeyDictionary()
"""When that was last done on a connection (loop time)."""


async def open_channel(
    connection: asyncssh.SSHClientConnection, session: asyncssh.SSHClientSession[bytes], command: str
) -> None:
    """Open a channel for a command; where another was just let go of, as soon as the server has buried that.

    Raises what asyncssh raises: ChannelOpenError where the server opens no further channel.
    """
    now, pause = asyncio.get_running_loop().time, 0.02
    while True:
        try:
            await connection.create_session(lambda: session, command, encoding=None, window=pace.FIRST)
            _in_use[connection] = _in_use.get(connection, 0) + 1
            return
        except asyncssh.ChannelOpenError:
            cleared = now() > _let_go.get(connection, -math.inf) + CLEARING
            if cleared or _in_use.get(connection) or connection.is_closed():
                raise
        await asyncio.sleep(pause)
        pause *= 2


def let_go(connection: asyncssh.SSHClientConnection) -> None:
    """A channel that was opened here is needed no more."""
    _in_use[connection] = _in_use.get(connection, 1) - 1
    _let_go[connection] = asyncio.get_running_loop().time()
