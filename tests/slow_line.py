"""A slow line to one server: so many bytes a second each way, a delay, and a queue that all its connections share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine

SEGMENT = 1400
QUEUE = 64 * 1024
"""Bytes that wait in front of each way of the line, as in a modem; who sends more waits, and nothing is lost."""


class _Way:
    """One way of the line: what is sent goes out at its rate and arrives `delay` seconds later."""

    def __init__(self, rate: float, delay: float) -> None:
        self.carried = 0
        self._rate = rate
        self._delay = delay
        self._free_at = 0.0
        self._queued = 0
        self._left = asyncio.Event()

    async def send(self, data: bytes) -> float:
        """Wait for room in the queue, and return when the last byte will be there (loop time)."""
        loop = asyncio.get_running_loop()
        while self._queued + len(data) > QUEUE:
            self._left.clear()
            await self._left.wait()
        self._queued += len(data)
        self._free_at = max(self._free_at, loop.time()) + len(data) / self._rate
        loop.call_at(self._free_at, self._sent, len(data))
        return self._free_at + self._delay

    def _sent(self, size: int) -> None:
        self.carried += size
        self._queued -= size
        self._left.set()


class SlowLine:
    """Connections to `address` and `port` here go to the server; `connections` were made, and all are cut by `cut`."""

    def __init__(self, rate: float, delay: float) -> None:
        self.address, self.port = "", 0
        self.connections = 0
        self.up, self.down = _Way(rate, delay), _Way(rate, delay)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[socket.socket] = set()

    @contextlib.asynccontextmanager
    async def to(self, host: str, port: int, address: str) -> AsyncIterator[SlowLine]:
        """Serve the line at an address of this machine."""
        with _plain_socket() as door:
            door.bind((address, 0))
            door.listen(64)
            self.address, self.port = door.getsockname()
            self._start(self._take(door, host, port))
            try:
                yield self
            finally:
                self.cut()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection at once, whatever is still on its way."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, door: socket.socket, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(door)
            self.connections += 1
            self._start(self._carry(client, host, port))

    async def _carry(self, client: socket.socket, host: str, port: int) -> None:
        with client, _plain_socket() as server:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(server, (host, port))
            self._open |= {client, server}
            try:
                await asyncio.gather(self._one_way(client, server, self.up), self._one_way(server, client, self.down))
            finally:
                self._open -= {client, server}

    async def _one_way(self, source: socket.socket, sink: socket.socket, way: _Way) -> None:
        loop = asyncio.get_running_loop()
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = self._start(self._deliver(sink, on_its_way))
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(source, SEGMENT):
                on_its_way.put_nowait((await way.send(data), data))
        on_its_way.put_nowait((0.0, b""))
        await asyncio.wait([arriving])

    async def _deliver(self, sink: socket.socket, on_its_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while (arrival := await on_its_way.get())[1]:
                await asyncio.sleep(arrival[0] - loop.time())
                await loop.sock_sendall(sink, arrival[1])
            sink.shutdown(socket.SHUT_WR)


def _plain_socket() -> socket.socket:
    """A socket that takes little before the line does: its queue is the only one."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    one.setblocking(False)
    return one
