"""One connection a target: kept, made again when lost, and never more handshakes at once than servers endure."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farm import Farm, available
from links import linked, planned, refusal, run, write_config

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.ssh.connection.clock import Clock
from canary_tui.ssh.connection.login import backoff

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 2, net=31) as running:
        yield running


async def test_a_connection_is_made_once_and_kept(farm: Farm) -> None:
    async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
        first, second = await asyncio.gather(link.connection(), link.connection())
        assert first is second is await link.connection()
        assert await run(link, "echo hello") == "hello\n"
        assert len(farm.targets[0].sessions()) == 1
        assert link.address == f"{os.environ.get('USER') or 'root'}@{farm.targets[0].address}:{farm.port}"


async def test_a_lost_connection_is_made_again(farm: Farm) -> None:
    async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
        first = await link.connection()
        farm.targets[0].kill_sessions()
        await asyncio.wait_for(first.wait_closed(), 10)
        assert await run(link, "echo again") == "again\n"


async def test_a_dropped_connection_is_never_used_again(farm: Farm) -> None:
    async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
        first = await link.connection()
        link.drop(first)
        assert await link.connection() is not first
        link.drop(first)
        assert await run(link, "echo still") == "still\n"


async def test_who_stops_waiting_does_not_stop_the_others(farm: Farm) -> None:
    async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
        impatient = asyncio.create_task(link.connection())
        patient = asyncio.create_task(link.connection())
        await asyncio.sleep(0)
        impatient.cancel()
        assert not (await patient).is_closed()


async def test_a_server_that_is_not_there_may_come_back(farm: Farm) -> None:
    target = PlannedTarget("gone", "127.0.31.99", Ssh(config=str(farm.ssh_config)))
    async with linked(target) as [link]:
        error = await refusal(link)
    assert not error.final
    assert "127.0.31.99" in error.detail


async def test_a_server_that_says_nothing_is_given_up_after_the_connect_timeout(farm: Farm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ssh = Ssh(config=str(farm.ssh_config), port=silent.getsockname()[1], connect_timeout=Duration(0.3))
        async with linked(PlannedTarget("silent", "127.0.0.1", ssh)) as [link]:
            error = await refusal(link)
    assert not error.final
    assert "no answer within" in error.detail


async def test_what_is_no_ssh_server_is_told_in_safe_words(farm: Farm) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x1b[2JHTTP/1.1 400\r\n" * 2000)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        ssh = Ssh(config=str(farm.ssh_config), port=server.sockets[0].getsockname()[1], connect_timeout=Duration(2))
        async with linked(PlannedTarget("web", "127.0.0.1", ssh)) as [link]:
            error = await refusal(link)
    assert not error.final
    assert error.detail.isprintable()


async def test_a_frozen_peer_is_noticed_within_20_seconds(farm: Farm) -> None:
    target = farm.targets[1]
    async with linked(planned(target, farm.ssh_config)) as [link]:
        connection = await link.connection()
        started = time.monotonic()
        assert target.kill_sessions(signal.SIGSTOP) == 1
        try:
            await asyncio.wait_for(connection.wait_closed(), 20)
        finally:
            target.kill_sessions(signal.SIGCONT)
        assert 5 < time.monotonic() - started <= 20


async def test_closing_waits_two_seconds_for_a_frozen_peer(farm: Farm) -> None:
    target = farm.targets[1]
    async with linked(planned(target, farm.ssh_config)) as [link]:
        await link.connection()
        target.kill_sessions(signal.SIGSTOP)
        started = time.monotonic()
        await link.close()
        assert time.monotonic() - started < 10, "before it would count as dead"
        target.kill_sessions(signal.SIGCONT)


async def test_nothing_is_forwarded_whatever_ssh_config_says(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ForwardAgent would give a root of the target the use of every key of the operator's."""
    monkeypatch.setenv("LC_CANARY", "leaked")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    lines = ("Host *", " ForwardAgent yes", " ForwardX11 yes", " SendEnv LC_*", " SetEnv LC_SET=leaked")
    config = write_config(farm, tmp_path / "config", *lines, " RemoteCommand echo leaked")
    async with linked(planned(farm.targets[0], config)) as [link]:
        assert await run(link, 'echo "<$SSH_AUTH_SOCK$DISPLAY$LC_CANARY$LC_SET>"') == "<>\n"


async def test_a_login_looks_a_name_up_once_and_an_address_never(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look-up wakes a thread, and asks for a name that is known by then."""
    server = farm.targets[0]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{server.address}]:{farm.port},[web.example]:{farm.port} {farm.host_key(server)}\n")
    looked_up: list[str] = []
    look_up = asyncio.BaseEventLoop.getaddrinfo

    async def counted(loop: asyncio.BaseEventLoop, host: str, *arguments: Any, **words: Any) -> Any:
        looked_up.append(host)
        return await look_up(loop, server.address if host == "web.example" else host, *arguments, **words)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", counted)
    by_address = planned(server, farm.ssh_config, known_hosts=str(known))
    async with linked(by_address, PlannedTarget("named", "web.example", by_address.ssh)) as links:
        for link in links:
            assert await run(link, "echo in") == "in\n"
    assert looked_up == ["web.example"]


async def test_a_login_that_is_heard_sets_no_timer_for_each_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """And yet its time lasts from the last packet, but for a hundredth."""
    timers: list[float] = []
    call_at, now = asyncio.BaseEventLoop.call_at, asyncio.get_running_loop().time

    def counted(loop: asyncio.BaseEventLoop, when: float, *arguments: Any, **words: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(loop, when, *arguments, **words)

    clock = Clock()
    async with clock.start(60.0):
        monkeypatch.setattr(asyncio.BaseEventLoop, "call_at", counted)
        for _ in range(1000):
            clock.heard()
        assert len(timers) < 10
    with pytest.raises(TimeoutError):
        async with clock.start(0.3):
            began = now()
            while now() < began + 0.5:
                await asyncio.sleep(0.01)
                clock.heard()
            last = now()
            await asyncio.sleep(60)
    assert 0.28 < now() - last < 10


async def test_forty_targets_are_connected_at_once(tmp_path: Path) -> None:
    with Farm(tmp_path, 40, net=32, own_sshd=False) as farm:
        async with linked(*(planned(target, farm.ssh_config) for target in farm.targets)) as links:
            said = await asyncio.gather(*(run(link, "pwd") for link in links))
        assert said == [f"{target.home}\n" for target in farm.targets]


async def test_servers_that_drop_connections_before_login_are_asked_again(tmp_path: Path) -> None:
    """16 targets share one sshd here, and it endures 3 to 6 logins at once: all 30 succeed in the end."""
    with Farm(tmp_path, 30, net=33, own_sshd=False, extra=("MaxStartups 3:50:6",)) as farm:
        async with linked(*(planned(target, farm.ssh_config) for target in farm.targets)) as links:
            said = await asyncio.gather(*(run(link, "echo ok") for link in links))
        assert "MaxStartups throttling" in (farm.folder / "sshd.log").read_text()
    assert said == ["ok\n"] * 30


def test_attempts_come_slower_and_never_in_step() -> None:
    waits = [wait for wait, _ in zip(backoff(), range(8), strict=False)]
    assert all(
        longest / 2 <= wait <= longest for wait, longest in zip(waits, (0.5, 1, 2, 4, 8, 15, 15, 15), strict=True)
    )
    assert waits != [wait for wait, _ in zip(backoff(), range(8), strict=False)]
