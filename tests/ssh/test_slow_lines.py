"""Lines of 64 kbit/s: slow is not dead, and nothing stands long behind what was sent before it.

Every time and rate is a `HASTE`th of the real one, in the program too. CANARY_TUI_SLOW_LINES=1 runs the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from direct_line import Bytes, DirectLine, Seen
from farm import Farm, available
from links import linked, planned, refusal
from slow_line import SlowLine

from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import ExecuteRequest, ProbeRequest, Remote, UploadRequest
from canary_tui.ssh.connection import connect, handshake
from canary_tui.ssh.execution import cancel, durable, install, pace, protocol
from canary_tui.ssh.execution.lines import LostError, new_nonce
from canary_tui.ssh.network import SshNetwork

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

THOROUGH = "CANARY_TUI_SLOW_LINES" in os.environ
HASTE = 1 if THOROUGH else 8
SIZE = 1_000_000 if THOROUGH else 200_000
RATES = [64, 128] if THOROUGH else [64]
"""In kbit/s."""
ROUND_TRIP = 0.3
CUSHION = 1.0 if THOROUGH else 5.0
"""Seconds that this machine may need itself: it is not faster than others."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("slow"), 1, net=46) as farm:
        yield farm


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every limit of the program as much shorter as the line is faster."""
    for module, name in [
        (connect, "KEEPALIVE_INTERVAL"),
        (connect, "IDLE_INTERVAL"),
        (pace, "HORIZON"),
        (protocol, "OPENING"),
        (durable, "SILENCE"),
        (durable, "ANSWER"),
        (install, "ANSWER"),
        (cancel, "ANSWER"),
    ]:
        monkeypatch.setattr(module, name, getattr(module, name) / HASTE)
    monkeypatch.setitem(handshake._OPTIONS, "keepalive_interval", handshake.KEEPALIVE_INTERVAL / HASTE)


@pytest.fixture
async def network() -> AsyncIterator[SshNetwork]:
    one = SshNetwork()
    yield one
    await one.close()


@contextlib.asynccontextmanager
async def slow_line(farm: Farm, kbits: int) -> AsyncIterator[tuple[SlowLine, PlannedTarget]]:
    """A line to the farm's first server, and the target at its near end."""
    server = farm.targets[0]
    line = SlowLine(kbits * 125 * HASTE, ROUND_TRIP / 2 / HASTE)
    async with line.to(server.address, farm.port, "127.0.47.1"):
        yield line, at_the_near_end(farm, line)


def at_the_near_end(farm: Farm, line: SlowLine) -> PlannedTarget:
    """The farm's first server, as it is reached over the line."""
    known = farm.folder / f"known_hosts_{line.port}"
    known.write_text(f"[{line.address}]:{line.port} {farm.host_key(farm.targets[0])}\n")
    target = planned(farm.targets[0], farm.ssh_config, port=line.port, known_hosts=str(known))
    return PlannedTarget("web-1", line.address, target.ssh)


async def met(network: SshNetwork, target: PlannedTarget) -> tuple[Remote, str]:
    """A remote that is connected and has its runner, and the target's boot."""
    remote = network.remote(target)
    report = await remote.probe(ProbeRequest())
    assert (report.outcome, report.detail) == ("ok", "")
    return remote, report.boot


def step(script: bytes, boot: str) -> ExecuteRequest:
    return ExecuteRequest(secrets.token_hex(16), script, {}, 600.0, 1 << 31, boot)


def written(path: pathlib.Path, size: int, to: str) -> UploadRequest:
    data = os.urandom(size)
    path.write_bytes(data)
    return UploadRequest(str(path), size, hashlib.sha256(data).hexdigest(), to, 0o640, 3600.0)


def needed(kbits: int, size: int) -> float:
    """Seconds that the line needs for so many bytes and their answer."""
    return size / (kbits * 125 * HASTE) + 2 * ROUND_TRIP / HASTE


def told(words: str, took: float, limit: float) -> None:
    print(f"\n{words}: took {took:.1f} s, the line needs {limit:.1f} s: {took / limit:.2f}")


@pytest.mark.found("fault 1")
async def test_a_login_may_take_longer_than_the_limit_while_the_server_is_heard(farm: Farm) -> None:
    """Here the exchange of keys alone takes two seconds, no silence of it more than one."""
    server = farm.targets[0]
    async with SlowLine(1200, 0.05).to(server.address, farm.port, "127.0.47.1") as line:
        target = at_the_near_end(farm, line)
        patient = replace(target, ssh=replace(target.ssh, connect_timeout=Duration(1.5)))
        async with linked(patient) as [link]:
            await link.connection()
        assert line.connections == 1


@pytest.mark.found("fault 1")
async def test_sending_the_runner_does_not_count_as_waiting_for_an_answer(farm: Farm, network: SshNetwork) -> None:
    shutil.rmtree(farm.targets[0].home / ".local/state/canary-tui", ignore_errors=True)
    kbits, limit = (64, 4.0) if THOROUGH else (24, 1.5)
    async with slow_line(farm, kbits) as (line, target):
        before, began = line.up.carried, time.monotonic()
        report = await network.remote(target).probe(ProbeRequest(timeout=limit))
        took = time.monotonic() - began
        assert (report.outcome, report.detail) == ("ok", "")
        assert line.up.carried - before > 30_000
        assert took > limit


@pytest.mark.found("fault 1")
async def test_who_does_not_read_what_is_sent_is_given_up(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that lives does not make up for it: what was sent must be read before there can be an answer."""
    monkeypatch.setattr(protocol, "OPENING", 0.5)
    monkeypatch.setattr(pace, "SLOWEST", 1 << 23)
    line = DirectLine(farm)
    conversation = protocol.Conversation(new_nonce(), bytes(4 << 20), lambda _: None)
    connection = await line.connection()
    async with asyncio.timeout(10):
        with pytest.raises(LostError, match="does not read"):
            await conversation.open(line, connection, "sleep 3")
    await line.close()


@pytest.mark.found("fault 1")
async def test_little_is_under_way_to_a_target_before_its_line_is_known(farm: Farm) -> None:
    """Eight uploads that begin at once put eight times that into one queue, and the answer to a stop behind it."""
    line, went = DirectLine(farm), list[int]()
    conversation = protocol.Conversation(new_nonce(), b"", lambda _: None)
    await conversation.open(line, await line.connection(), "echo in; cat >/dev/null")
    while conversation.noise != "in":  # a process that is only beginning is called sshd, and would stay frozen
        await conversation.changed()
    assert farm.targets[0].kill_sessions(signal.SIGSTOP) == 1
    sending = asyncio.create_task(conversation.send(bytes(1 << 20), went.append))
    try:
        outgoing = conversation._outgoing
        assert outgoing is not None
        async with asyncio.timeout(10):
            while outgoing.room:
                await asyncio.sleep(0.01)
    finally:
        farm.targets[0].kill_sessions(signal.SIGKILL)
    await asyncio.wait_for(sending, 10)
    assert sum(went) <= 4096
    await line.close()


@pytest.mark.found("fault 1")
async def test_a_server_that_sends_for_ever_and_lets_nobody_in_is_given_up(farm: Farm) -> None:
    """The limit is for a silence; in all a login may take four times as long."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while not reader.at_eof():
                writer.write(b"one moment\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.47.2", 0)
    async with server:
        target = planned(farm.targets[0], farm.ssh_config, port=server.sockets[0].getsockname()[1], connect_timeout=0.4)
        async with linked(PlannedTarget("web-1", "127.0.47.2", target.ssh)) as [link]:
            began = time.monotonic()
            error = await refusal(link)
            assert 1.5 < time.monotonic() - began < 3
    assert "answers, but the login did not end within 2 s" in error.detail
    assert not error.final


@pytest.mark.found("fault 1")
@pytest.mark.parametrize("kbits", RATES)
async def test_an_upload_over_a_slow_line_takes_less_than_twice_what_the_line_needs(
    farm: Farm, network: SshNetwork, tmp_path: pathlib.Path, kbits: int
) -> None:
    async with slow_line(farm, kbits) as (line, target):
        (remote, _), seen = await met(network, target), Seen()
        began = time.monotonic()
        report = await remote.upload(written(tmp_path / "file", SIZE, f"up-{kbits}.bin"), seen)
        took = time.monotonic() - began
    told(f"upload at {kbits} kbit/s", took, needed(kbits, SIZE))
    assert (report.outcome, seen.lost, line.connections) == ("ok", [], 1)
    assert len(seen.progress) > 8, "how far it came is told every second or two"
    assert took < 2 * needed(kbits, SIZE) + CUSHION


class CutsAt(Seen):
    """Cuts the line's connections once, when so many bytes are on their way."""

    def __init__(self, line: SlowLine, size: int) -> None:
        super().__init__()
        self._line, self._size = line, size

    def upload_progress(self, sent: int, total: int) -> None:
        super().upload_progress(sent, total)
        if sent >= self._size and not self.lost:
            self._line.cut()


@pytest.mark.found("fault 1")
async def test_an_upload_over_a_slow_line_that_is_cut_sends_only_the_rest(
    farm: Farm, network: SshNetwork, tmp_path: pathlib.Path
) -> None:
    async with slow_line(farm, RATES[-1]) as (line, target):
        remote, _ = await met(network, target)
        size = SIZE // 2
        before, seen = line.up.carried, CutsAt(line, size // 2)
        report = await remote.upload(written(tmp_path / "file", size, "cut.bin"), seen)
        carried = line.up.carried - before
    assert (report.outcome, len(seen.lost), line.connections) == ("ok", 1, 2)
    assert carried < 1.3 * size


@pytest.mark.found("fault 1")
@pytest.mark.parametrize("kbits", RATES)
async def test_output_over_a_slow_line_takes_less_than_twice_what_the_line_needs(
    farm: Farm, network: SshNetwork, kbits: int
) -> None:
    async with slow_line(farm, kbits) as (line, target):
        (remote, boot), seen, sink = await met(network, target), Seen(), Bytes()
        began = time.monotonic()
        report = await remote.execute(step(b"head -c %d /dev/urandom" % SIZE, boot), sink, seen)
        took = time.monotonic() - began
    told(f"output at {kbits} kbit/s", took, needed(kbits, SIZE))
    assert (report.outcome, len(sink.out), seen.lost, line.connections) == ("ok", SIZE, [], 1)
    assert took < 2 * needed(kbits, SIZE) + CUSHION


@pytest.mark.found("fault 1")
@pytest.mark.parametrize("kbits", RATES)
async def test_a_stop_on_a_line_full_of_output_is_confirmed_within_seconds(
    farm: Farm, network: SshNetwork, kbits: int
) -> None:
    """The answer stands behind about a second of output, whatever the step has printed by then."""
    async with slow_line(farm, kbits) as (line, target):
        (remote, boot), seen, sink = await met(network, target), Seen(), Bytes()
        endless = step(b"while :; do head -c 65536 /dev/zero; sleep 0.02; done", boot)
        running = asyncio.create_task(remote.execute(endless, sink, seen))
        async with asyncio.timeout(60):
            while len(sink.out) < 30_000:
                await asyncio.sleep(0.02)
        began = time.monotonic()
        report = await remote.cancel(endless.execution, 1.0, boot)
        took = time.monotonic() - began
        running.cancel()
        await asyncio.wait([running])
    told(f"stop at {kbits} kbit/s", took, 10 * ROUND_TRIP / HASTE)
    assert (report.confirmed, seen.lost, line.connections) == (True, [], 1)
    assert took < 10 / HASTE + CUSHION


@pytest.mark.found("fault 1")
async def test_targets_that_share_a_slow_line_share_it_and_one_of_them_can_be_stopped(
    farm: Farm, network: SshNetwork, tmp_path: pathlib.Path
) -> None:
    """Uploads to eight targets leave room for the answers of each, and for a stop."""
    count, size = (8, SIZE // 8) if THOROUGH else (4, SIZE // 16)
    async with slow_line(farm, RATES[-1]) as (_, target):
        (remote, boot), *others = await asyncio.gather(*(met(network, target) for _ in range(count + 1)))
        watches = [Seen() for _ in others]
        endless, sink = step(b"while :; do echo; sleep 0.1; done", boot), Bytes()
        running = asyncio.create_task(remote.execute(endless, sink, watches[0]))
        await sink.holds(b"\n")
        began = time.monotonic()
        requests = [written(tmp_path / f"{n}", size, f"shared-{n}.bin") for n in range(count)]
        uploads = [
            asyncio.create_task(other.upload(request, watch))
            for (other, _), request, watch in zip(others, requests, watches, strict=True)
        ]
        async with asyncio.timeout(60):
            while not all(one.progress for one in watches):
                await asyncio.sleep(0.02)
        at = time.monotonic()
        report = await remote.cancel(endless.execution, 1.0, boot)
        stopped = time.monotonic() - at
        outcomes = [report.outcome for report in await asyncio.gather(*uploads)]
        took = time.monotonic() - began
        assert (await running).outcome == "cancelled"
    told(f"{count} uploads over one line", took, needed(RATES[-1], count * size))
    told("a stop beside them", stopped, 10 * ROUND_TRIP / HASTE)
    assert (outcomes, [one.lost for one in watches], report.confirmed) == (["ok"] * count, [[]] * count, True)
    assert stopped < 15 / HASTE + CUSHION
    assert took < 2 * needed(RATES[-1], count * size) + CUSHION


@pytest.mark.found("fault 1")
async def test_a_server_that_freezes_in_the_middle_is_noticed_within_20_s(
    farm: Farm, network: SshNetwork, tmp_path: pathlib.Path
) -> None:
    """However much was under way: what stands in queues of the systems is no sign of life of the server."""
    target = planned(farm.targets[0], farm.ssh_config)
    (one, _), (other, boot) = await asyncio.gather(met(network, target), met(network, target))
    up, down, sink = Seen(), Seen(), Bytes()
    request = written(tmp_path / "file", 100_000_000, "frozen.bin")
    endless = step(b"while :; do head -c 100000 /dev/zero; sleep 0.05; done", boot)
    running = asyncio.create_task(other.execute(endless, sink, down))
    async with asyncio.timeout(60):
        while len(sink.out) < 1_000_000:
            await asyncio.sleep(0.02)
        uploading = asyncio.create_task(one.upload(request, up))
        while not up.progress:
            await asyncio.sleep(0.005)
        assert farm.targets[0].kill_sessions(signal.SIGSTOP) == 2
        began = time.monotonic()
        try:
            while not (up.lost and down.lost):
                await asyncio.sleep(0.02)
            took = time.monotonic() - began
        finally:
            farm.targets[0].kill_sessions(signal.SIGKILL)
        uploading.cancel()
        running.cancel()
        await asyncio.wait([uploading, running])
        assert (await other.cancel(endless.execution, 1.0, boot)).confirmed
    assert took < 20 / HASTE + CUSHION


@pytest.mark.skipif(not THOROUGH, reason="it takes a minute; CANARY_TUI_SLOW_LINES=1 runs it")
@pytest.mark.found("fault 1")
async def test_new_keys_and_a_jump_host_on_a_slow_line_are_no_silence(
    network: SshNetwork, tmp_path: pathlib.Path
) -> None:
    """While keys are exchanged nothing else is sent, and a jump host has a queue of its own for each way."""
    with Farm(tmp_path / "rekeying", 2, net=49, extra=("RekeyLimit 64K",)) as farm:
        async with slow_line(farm, RATES[-1]) as (line, jump):
            known = tmp_path / "known_hosts"
            known.write_text(farm.known_hosts.read_text() + pathlib.Path(jump.ssh.known_hosts or "").read_text())
            config = tmp_path / "config"
            config.write_text(farm.ssh_config.read_text().replace(str(farm.known_hosts), str(known)))
            target = planned(farm.targets[1], config, jump=f"{line.address}:{line.port}")
            (remote, boot), seen, sink = await met(network, target), Seen(), Bytes()
            assert (await remote.upload(written(tmp_path / "file", SIZE // 2, "rekeyed.bin"), seen)).outcome == "ok"
            assert (await remote.execute(step(b"head -c 100000 /dev/urandom", boot), sink, seen)).outcome == "ok"
            assert (len(sink.out), seen.lost, line.connections) == (100_000, [], 1)
