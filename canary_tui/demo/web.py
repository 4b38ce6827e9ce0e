"""The web service of each demo target: it shows which release `~/current` points at, and whether it is well."""

from __future__ import annotations

import asyncio
import html
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from pathlib import Path

_REQUEST_SECONDS = 10.0


class WebService:
    """Answers `/health` (200 or 500) and everything else with a page that names target and release."""

    def __init__(self, target: str, home: Path) -> None:
        self._target = target
        self._current = home / "current"

    async def listen(self, bound: socket.socket) -> asyncio.Server:
        """Serve on a bound socket."""
        return await asyncio.start_server(self._serve, sock=bound)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request.split(b" ")[1]))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError, IndexError, TimeoutError):
            pass  # a client that went away or speaks no HTTP is owed nothing
        finally:
            writer.close()

    def _answer(self, path: bytes) -> bytes:
        status, kind, body = self._health() if path.partition(b"?")[0] == b"/health" else self._page()
        content = body.encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}; charset=utf-8\r\n"
        return f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content

    def _health(self) -> tuple[HTTPStatus, str, str]:
        if illness := self._read("UNHEALTHY"):
            return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"unhealthy: {illness}\n"
        return HTTPStatus.OK, "text/plain", f"ok {self._read('REVISION')}\n"

    def _page(self) -> tuple[HTTPStatus, str, str]:
        illness = self._read("UNHEALTHY")
        state = f"not well: {illness}" if illness else "well"
        words = f"{self._target} runs shop {self._read('REVISION') or '(nothing)'} and is {state}"
        return HTTPStatus.OK, "text/html", f"<!doctype html><title>shop</title><h1>{html.escape(words)}</h1>\n"

    def _read(self, name: str) -> str:
        try:
            return (self._current / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""
