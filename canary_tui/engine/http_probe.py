"""Asks for an HTTP step, again and again until the answer is as expected or its time is over."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPResponse, IncompleteRead
from urllib.parse import urlsplit

from canary_tui.domain.fleet.steps import Expect
from canary_tui.engine.target import Collected, CommandRequest, ExecuteReport, Remote, Sink

_BODY = 1 << 20
_PAUSE = 1.0
_TOOLS = b"""
if command -v curl >/dev/null; then
    exec curl -sS -m "$CANARY_TIMEOUT" -w '\\nCANARY_STATUS %{http_code}\\n' -- "$CANARY_URL"
elif command -v wget >/dev/null; then
    wget -T "$CANARY_TIMEOUT" -q -O - -- "$CANARY_URL" && printf '\\nCANARY_STATUS 200\\n'
else
    echo 'neither curl nor wget is installed' >&2; exit 127
fi
"""


async def ask_http(url: str, expect: Expect, timeout: float, remote: Remote | None, sink: Sink) -> ExecuteReport:
    """Ask from here, or from `remote`. `timeout` is for one question, `expect.within` for all; seconds."""
    if urlsplit(url).scheme not in ("http", "https"):
        return ExecuteReport("failed", detail=f"{url}: only http and https are asked")
    deadline = time.monotonic() + expect.within
    size = 0
    while True:
        status, body, problem = await (_ask_there(remote, url, timeout) if remote else _ask_here(url, timeout))
        wrong = problem or _wrong(expect, status, body)
        line = f"GET {url}: {wrong or f'{status}, as expected'}\n".encode()
        size += len(line)
        sink.write(line)
        if not wrong:
            return ExecuteReport("ok", 0, size)
        if time.monotonic() + _PAUSE > deadline:
            return ExecuteReport("failed", size=size, detail=f"{wrong}, for {expect.within:g} s")
        await asyncio.sleep(_PAUSE)


def _wrong(expect: Expect, status: int, body: bytes) -> str:
    if status != expect.status:
        return f"status {status}, expected {expect.status}"
    if expect.contains is not None and expect.contains.encode() not in body:
        return f"{status}, but the answer does not contain {expect.contains!r}"
    return ""


async def _ask_here(url: str, timeout: float) -> tuple[int, bytes, str]:
    """Ask in a thread that nobody waits for longer than `timeout`, however slowly the server drips."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[int, bytes, str]] = loop.create_future()

    def tell(found: tuple[int, bytes, str]) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        found = _get(url, timeout)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, found)

    # Not a pool's: the program's end would wait for those.
    threading.Thread(target=ask, name="http", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await answer
    except TimeoutError:
        return 0, b"", f"no whole answer within {timeout:g} s"


def _get(url: str, timeout: float) -> tuple[int, bytes, str]:
    try:
        return *_answer(url, timeout), ""
    except (OSError, ValueError) as error:
        return 0, b"", f"no answer: {getattr(error, 'reason', error)}"
    except Exception as error:  # noqa: BLE001 - http.client raises its own family for broken answers
        return 0, b"", f"no answer: {error!r}"


def _answer(url: str, timeout: float) -> tuple[int, bytes]:
    # Proxies of the environment are for the way out, not for the fleet's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"User-Agent": "canary_tui"})  # noqa: S310 - http(s) only, see above
    deadline = time.monotonic() + timeout
    try:
        answer = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, _body(answer, deadline)


def _body(answer: HTTPResponse, deadline: float) -> bytes:
    """All of an answer or its first `_BODY` bytes; an error where the server sends less than it announced."""
    announced = None if answer.headers.get("Transfer-Encoding") else answer.headers.get("Content-Length")
    whole = _BODY if announced is None else min(_BODY, int(announced))
    body = b""
    while len(body) < whole and (part := answer.read1(whole - len(body))):
        body += part
        if time.monotonic() > deadline:
            raise TimeoutError("the time is over")
    if announced is not None and len(body) < whole:
        raise IncompleteRead(body, whole - len(body))
    return body


async def _ask_there(remote: Remote, url: str, timeout: float) -> tuple[int, bytes, str]:
    answer = Collected()
    environment = {"CANARY_URL": url, "CANARY_TIMEOUT": f"{max(1, round(timeout))}"}
    report = await remote.command(CommandRequest(_TOOLS, environment, timeout + 5), answer)
    body, mark, status = answer.data.rpartition(b"\nCANARY_STATUS ")
    # The tool's own end counts, too: curl tells the status of an answer that it did not get to the end of.
    if report.outcome != "ok" or not mark or not re.fullmatch(rb"[1-9][0-9]{2}\n*", status):
        return 0, b"", f"no answer: {report.detail or 'the question failed'}"
    return int(status), body, ""
