"""How an HTTP step asks, again and again until the answer is as expected or its time is over."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from canary_tui.domain.fleet import Expect
from canary_tui.engine.remote import Collected, CommandRequest, ExecuteReport, Remote, Sink

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
    return await asyncio.to_thread(_get, url, timeout)


def _get(url: str, timeout: float) -> tuple[int, bytes, str]:
    # Proxies of the environment are for the way out, not for the fleet's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"User-Agent": "canary_tui"})  # noqa: S310 - http(s) only, see above
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read(_BODY), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_BODY), ""
    except (OSError, ValueError) as error:
        return 0, b"", f"no answer: {getattr(error, 'reason', error)}"
    except Exception as error:  # noqa: BLE001 - http.client raises its own family for broken answers
        return 0, b"", f"no answer: {error!r}"


async def _ask_there(remote: Remote, url: str, timeout: float) -> tuple[int, bytes, str]:
    answer = Collected()
    environment = {"CANARY_URL": url, "CANARY_TIMEOUT": f"{max(1, round(timeout))}"}
    report = await remote.command(CommandRequest(_TOOLS, environment, timeout + 5), answer)
    body, mark, status = answer.data.rpartition(b"\nCANARY_STATUS ")
    if not mark or not status.strip().isdigit() or int(status) == 0:
        return 0, b"", f"no answer: {report.detail or 'the question failed'}"
    return int(status), body, ""
