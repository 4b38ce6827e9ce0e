"""Holds back how much is begun at once where the targets share this machine's processors with the screens.

The demo and the benches have all their targets on loopback. All that can be begun at once would have every processor
for seconds, and a key would wait as long for its paint. Half of the processors are left to the screens and to us.
Nothing of this is in `ssh`: it stands between the engine and its network, and only `_serve --paced` puts it there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import (
    Asker,
    AttachRequest,
    CancelReport,
    CommandRequest,
    ExecuteReport,
    ExecuteRequest,
    Network,
    ProbeReport,
    ProbeRequest,
    Remote,
    Sink,
    UnlockReport,
    UploadReport,
    UploadRequest,
    Watch,
)
from canary_tui.ssh.network import SshNetwork
from canary_tui.text.secrets import Redactor
from canary_tui.text.sink import Stream

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Requests that are being begun at once."""
PATIENCE = 0.5
"""Seconds until a request counts as begun in any case: one that waits for something takes no processor."""


def paced_network(asker: Asker | None, redactor: Redactor) -> PacedNetwork:
    """The way to targets on this very machine, for an engine behind screens."""
    return PacedNetwork(SshNetwork(asker, redactor), Pace())


class Pace:
    """Hands out the turns to begin something."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._places = asyncio.Semaphore(at_once)

    async def turn(self) -> Callable[[], None]:
        """Wait for a turn. The returned function says that the thing has begun; it may be called again."""
        await self._places.acquire()
        return _Turn(self._places).begun

    @asynccontextmanager
    async def beginning(self) -> AsyncIterator[Callable[[], None]]:
        """A turn that is over at the end of the context at the latest."""
        begun = await self.turn()
        try:
            yield begun
        finally:
            begun()


class _Turn:
    """One turn: over when it is said to be, or after a while."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.begun)

    def begun(self) -> None:
        places, self._places = self._places, None
        self._timer.cancel()
        if places is not None:
            places.release()


class PacedNetwork:
    """Implements `Network` before another one."""

    def __init__(self, network: Network, pace: Pace) -> None:
        self._network, self._pace = network, pace

    def remote(self, target: PlannedTarget) -> Remote:
        return PacedRemote(self._network.remote(target), self._pace)

    async def close(self) -> None:
        await self._network.close()


class PacedRemote:
    """Implements `Remote` before another one: each request waits for its turn, and its first byte ends the turn."""

    def __init__(self, remote: Remote, pace: Pace) -> None:
        self._remote, self._pace = remote, pace

    async def probe(self, request: ProbeRequest) -> ProbeReport:
        async with self._pace.beginning():
            return await self._remote.probe(request)

    async def execute(self, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        async with self._pace.beginning() as begun:
            return await self._remote.execute(request, _Heard(sink, begun), watch)

    async def attach(self, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        async with self._pace.beginning() as begun:
            return await self._remote.attach(request, _Heard(sink, begun), watch)

    async def cancel(self, execution: str, grace: float, boot: str) -> CancelReport:
        async with self._pace.beginning():
            return await self._remote.cancel(execution, grace, boot)

    async def command(self, request: CommandRequest, sink: Sink) -> ExecuteReport:
        async with self._pace.beginning() as begun:
            return await self._remote.command(request, _Heard(sink, begun))

    async def upload(self, request: UploadRequest, watch: Watch) -> UploadReport:
        async with self._pace.beginning():
            return await self._remote.upload(request, watch)

    def upload_end(self) -> CancelReport:
        return self._remote.upload_end()

    async def unlock(self, rollout: str) -> UnlockReport:
        async with self._pace.beginning():
            return await self._remote.unlock(rollout)

    def let_go(self) -> None:
        self._remote.let_go()


class _Heard:
    """A sink that tells when output comes."""

    def __init__(self, sink: Sink, heard: Callable[[], None]) -> None:
        self._sink, self._heard = sink, heard

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self._heard()
        self._sink.write(data, stream)
