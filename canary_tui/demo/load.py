"""The visitors of the demo's shops: a few requests a second to each, so that there is something to count."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

from canary_tui.demo.layout import ADDRESS

PAUSE = 0.25
"""Seconds between a page and the next request for one, give or take half of it: some 220 requests a minute."""
_REQUEST = f"GET / HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: keep-alive\r\n\r\n".encode()


async def visit(port: int) -> None:
    """Ask for the page of the shop on a port of loopback, again and again and one at a time, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(OSError):
            transport, visitor = await loop.create_connection(_Visitor, ADDRESS, port)
            try:
                await visitor.gone
            finally:
                transport.close()
        await asyncio.sleep(PAUSE)


class _Visitor(asyncio.Protocol):
    """One connection, kept: a new one for each page would be half of the cost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._luck = Random()  # noqa: S311 jitter is no secret
        self._next: asyncio.TimerHandle | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask_soon()

    def data_received(self, data: bytes) -> None:
        del data  # a page, or the rest of one
        self._ask_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._cancel()
        if not self.gone.done():
            self.gone.set_result(None)

    def _ask_soon(self) -> None:
        self._cancel()
        self._next = self._loop.call_later(self._luck.uniform(0.5, 1.5) * PAUSE, self._transport.write, _REQUEST)

    def _cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
