"""The web service of each demo target: its shop's page, `/health`, and `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import html
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from canary_tui.demo.access_log import AccessLog
from canary_tui.demo.metrics import CONTENT_TYPE
from canary_tui.demo.shop import Shop

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

_REQUEST_SECONDS = 10.0
_LONGEST_REQUEST = _LONGEST_FILE = 1 << 16
_HEAD_END = b"\r\n\r\n"
_KEEP = b"connection: keep-alive"
Answer = tuple[HTTPStatus, str, str]
"""Status, content type and text."""


class WebService:
    """Answers `/health` (200 or 500), `/metrics`, and everything else with a page that names target and release.

    Only pages are counted, and only they take a shop's time: who watches a service must not change its numbers.
    """

    def __init__(self, target: str, home: Path, fault: str = "") -> None:
        self._target, self._fault = target, fault
        self._current = f"{home}/current"
        self._log = AccessLog(home / "shop.log")
        self._shop = self._started(self._read("REVISION"))

    async def listen(self, bound: socket.socket) -> asyncio.Server:
        """Serve on a bound socket."""
        return await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=bound)

    def answer(self, path: bytes, reply: Callable[[Answer], None]) -> None:
        """Answer one request: at once, or after the time that a page takes."""
        match path.partition(b"?")[0]:
            case b"/health":
                reply(self._health())
            case b"/metrics":
                shop = self._running()
                reply((HTTPStatus.OK, CONTENT_TYPE, shop.metrics.text(self._target, shop.release, shop.memory())))
            case _:
                self._page(self._running(), reply)

    def _started(self, release: str) -> Shop:
        shop = Shop(self._target, release, self._fault)
        self._log.started(release, shop.memory())
        return shop

    def _running(self) -> Shop:
        """The shop that runs. It is another one, whose numbers begin at 0, as soon as there is another release."""
        release = self._read("REVISION")
        if release not in ("", self._shop.release):  # "": the files are being replaced, and what runs runs on
            self._shop = self._started(release)
        return self._shop

    def _health(self) -> Answer:
        if illness := self._read("UNHEALTHY"):
            return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"unhealthy: {illness}\n"
        return HTTPStatus.OK, "text/plain", f"ok {self._read('REVISION')}\n"

    def _page(self, shop: Shop, reply: Callable[[Answer], None]) -> None:
        begun = time.perf_counter()
        status, seconds = shop.next_page()
        words = html.escape(self._words() if status is HTTPStatus.OK else f"{self._target} has lost the cart")
        page = status, "text/html", f"<!doctype html><title>shop</title><h1>{words}</h1>\n"

        def finish() -> None:
            taken = time.perf_counter() - begun
            shop.metrics.count(status, taken)
            if shop is self._shop:  # the last pages of an ended shop are not the first of the next
                self._log.answered(status, taken, shop.memory())
            reply(page)

        asyncio.get_running_loop().call_later(seconds, finish)

    def _words(self) -> str:
        illness = self._read("UNHEALTHY")
        state = f"not well: {illness}" if illness else "well"
        return f"{self._target} runs shop {self._read('REVISION') or '(nothing)'} and is {state}"

    def _read(self, name: str) -> str:
        # Unbuffered and by a plain path, because it is done three times for a page: 15 us each instead of 110.
        try:
            with open(f"{self._current}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
                return file.read(_LONGEST_FILE).decode(errors="replace").strip()
        except OSError:
            return ""


class _Connection(asyncio.Protocol):
    """One connection: it is for one request, unless the client asks for more. No HTTP, no answer."""

    def __init__(self, service: WebService) -> None:
        self._service = service
        self._request = b""
        self._keep = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wait()

    def data_received(self, data: bytes) -> None:
        if _HEAD_END in self._request:
            return  # a body, which no page asks for
        self._request += data
        words = self._request.split(b" ", 2)
        if _HEAD_END in self._request and len(words) > 1:
            self._keep = words[0] == b"GET" and _KEEP in self._request.lower()
            self._service.answer(words[1], self._reply)
        elif _HEAD_END in self._request or len(self._request) > _LONGEST_REQUEST:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._limit.cancel()

    def _wait(self) -> None:
        self._request = b""
        self._limit = asyncio.get_running_loop().call_later(_REQUEST_SECONDS, self._transport.abort)

    def _reply(self, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_http(answer, keep=self._keep))
        if self._keep:
            self._limit.cancel()
            self._wait()
        else:
            self._transport.close()


def _http(answer: Answer, *, keep: bool) -> bytes:
    status, kind, body = answer
    content = body.encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}; charset=utf-8\r\n"
    head += f"Content-Length: {len(content)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    return head.encode() + content
