"""An HTTP step against servers that answer badly: it ends within its time, and is ok for a whole answer only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from farm import Farm, available
from links import planned

from canary_tui.domain.fleet.steps import Expect
from canary_tui.domain.fleet.units import Duration
from canary_tui.engine import http_probe as http
from canary_tui.engine.http_probe import ask_http
from canary_tui.engine.target import Collected, Remote
from canary_tui.ssh.network import SshNetwork


@contextlib.asynccontextmanager
async def answering(*parts: bytes, pause: float = 0.0, hang: bool = False) -> AsyncIterator[str]:
    """A server that sends these parts to each who asks; the URL to ask."""
    over = asyncio.Event()
    at_work: set[asyncio.Task[None]] = set()

    async def passed(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), seconds)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        at_work.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                if pause and not over.is_set():
                    await passed(pause)
            if hang:
                await over.wait()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        over.set()
        server.close()
        await asyncio.gather(*at_work)


def expecting(contains: str | None = None) -> Expect:
    return Expect(within=Duration.parse("1s"), contains=contains)


DRIPPED_HEAD = [b"HTTP/1.1 200 OK\r\nX: ", *[b"a"] * 100]
DRIPPED_BODY = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"a"] * 100]


@pytest.mark.parametrize("parts", [pytest.param(DRIPPED_HEAD, id="head"), pytest.param(DRIPPED_BODY, id="body")])
async def test_a_server_that_drips_its_answer_is_given_up_in_time(parts: list[bytes]) -> None:
    async with answering(*parts, pause=0.2) as url:
        began = time.monotonic()
        report = await ask_http(url, expecting(), 0.5, None, Collected())
    assert report.outcome == "failed"
    assert time.monotonic() - began < 5


async def test_an_answer_that_is_cut_off_is_not_ok() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of") as url:
        report = await ask_http(url, expecting(), 1.0, None, Collected())
    assert report.outcome == "failed"


async def test_an_error_whose_words_never_come_is_a_failed_step() -> None:
    """Not the end of the engine."""
    async with answering(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\n", hang=True) as url:
        report = await ask_http(url, expecting(), 0.5, None, Collected())
    assert report.outcome == "failed"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell", "well", id="announced"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nwell", "well", id="to the end of the connection"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n", "well", id="chunks"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", id="empty"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\nwell" + b"x" * 4999996, "well", id="long"),
    ],
)
async def test_a_whole_answer_is_ok(answer: bytes, body: str) -> None:
    async with answering(answer) as url:
        report = await ask_http(url, expecting(contains=body), 2.0, None, Collected())
    assert report.outcome == "ok", report.detail


# From the target


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    if why := available():
        pytest.skip(why)
    with Farm(tmp_path_factory.mktemp("farm"), 1, net=63) as running:
        yield running


@pytest.fixture
async def remote(farm: Farm) -> AsyncIterator[Remote]:
    network = SshNetwork()
    yield network.remote(planned(farm.targets[0], farm.ssh_config))
    await network.close()


async def test_a_whole_answer_to_a_target_is_ok(remote: Remote) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell") as url:
        report = await ask_http(url, expecting(contains="well"), 2.0, remote, Collected())
    assert report.outcome == "ok"


@pytest.mark.parametrize("hang", [True, False], ids=["stalls", "is cut off"])
async def test_an_answer_to_a_target_that_is_not_whole_is_not_ok(remote: Remote, hang: bool) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of", hang=hang) as url:
        report = await ask_http(url, expecting(), 1.0, remote, Collected())
    assert report.outcome == "failed"


async def test_a_status_of_ten_thousand_digits_is_no_answer(
    farm: Farm, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the target's own tools say is a stranger's word, too."""
    tool = farm.targets[0].home / "curl"
    tool.write_text("#!/bin/sh\nprintf '\\nCANARY_STATUS '; head -c 9999 /dev/zero | tr '\\0' 7\n")
    tool.chmod(0o755)
    monkeypatch.setattr(http, "_TOOLS", f"PATH={tool.parent}:$PATH; export PATH\n".encode() + http._TOOLS)
    report = await ask_http("http://127.0.0.1:1/", expecting(), 1.0, remote, Collected())
    assert report.outcome == "failed"
