"""The visitors of the demo's shops: a few requests a second to each, so that there is something to count."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

from canary_tui.demo.layout import ADDRESS

PAUSE = 0.25
"""Seconds between a page and the next request for one, give or take half of it: some 220 requests a minute."""
_PATIENCE = 5.0
_REQUEST = f"GET / HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n".encode()


async def visit(port: int) -> None:
    """Ask for the page of the shop on a port of loopback, again and again and one at a time, until cancelled."""
    luck = Random()  # noqa: S311 jitter is no secret
    while True:
        await asyncio.sleep(luck.uniform(0.5, 1.5) * PAUSE)
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(_PATIENCE):
                await _ask(port)


async def _ask(port: int) -> None:
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    try:
        writer.write(_REQUEST)
        await reader.read()
    finally:
        writer.close()
