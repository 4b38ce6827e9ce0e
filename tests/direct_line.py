"""The plainest line to a farm's server, and a sink and a watch that remember."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncssh
from farm import Farm

from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.connection.sudo import SudoPrefix, Wrapped


class DirectLine:
    """A connection to one server of a farm: the plainest thing that the protocol can travel over."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.server = farm.targets[0]
        self.connections = 0
        self.held: asyncssh.SSHClientConnection | None = None
        self.sudo: SudoPrefix | None = None

    async def connection(self) -> asyncssh.SSHClientConnection:
        if self.held is None or self.held.is_closed():
            self.connections += 1
            try:
                self.held = await asyncssh.connect(
                    self.server.address,
                    self.farm.port,
                    username="root",
                    client_keys=[str(self.farm.identity)],
                    known_hosts=str(self.farm.known_hosts),
                    config=None,
                    agent_path=None,
                    connect_timeout=5,
                    login_timeout=10,
                )
            except (OSError, asyncssh.Error) as error:
                raise LinkError(str(error), final=False) from None
        return self.held

    def drop(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()
        if connection is self.held:
            self.held = None

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[DirectLine]:
        line = DirectLine(self.farm)
        line.sudo = self.sudo
        yield line
        await line.close()

    def wrap(self, words: str, nonce: str) -> Wrapped:
        return self.sudo.wrap(words, nonce) if self.sudo else Wrapped(words)

    def sudo_refused(self, connection: asyncssh.SSHClientConnection) -> None:
        self.drop(connection)

    async def close(self) -> None:
        if self.held is not None:
            self.held.abort()
            await self.held.wait_closed()


class Bytes:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()

    def write(self, data: bytes, stream: str = "out") -> None:
        (self.out if stream == "out" else self.err).extend(data)

    async def holds(self, data: bytes) -> None:
        async with asyncio.timeout(20):
            while data not in self.out:
                await asyncio.sleep(0.01)


class Seen:
    """What a watch was told."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.restored = 0
        self.progress: list[tuple[int, int]] = []

    def connection_lost(self, detail: str) -> None:
        self.lost.append(detail)

    def connection_restored(self) -> None:
        self.restored += 1

    def upload_progress(self, sent: int, total: int) -> None:
        self.progress.append((sent, total))
