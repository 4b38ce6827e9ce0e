"""A server that opens one channel a connection (MaxSessions 1): whatever the engine asks for, it gets an answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from direct_line import Bytes, Seen
from farm import Farm, available
from links import planned

from canary_tui.engine.target import AttachRequest, Claim, ExecuteRequest, ProbeRequest
from canary_tui.ssh.network import SshNetwork, SshRemote

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("one"), 1, net=48, extra=("MaxSessions 1",)) as farm:
        yield farm


@pytest.fixture
async def remote(farm: Farm) -> AsyncIterator[SshRemote]:
    network = SshNetwork()
    yield network.remote(planned(farm.targets[0], farm.ssh_config))
    await network.close()


@pytest.mark.found("fault 1")
async def test_a_step_is_stopped_while_it_is_followed(farm: Farm, remote: SshRemote) -> None:
    """A stop needs a channel beside the one on which the step is followed, and goes over a connection of its own."""
    boot = (await remote.probe(ProbeRequest())).boot
    step = ExecuteRequest(secrets.token_hex(16), b"echo begun; sleep 600; echo >>went-on", {}, 600.0, 1 << 20, boot)
    sink, seen = Bytes(), Seen()
    running = asyncio.create_task(remote.execute(step, sink, seen))
    await sink.holds(b"begun")
    began = time.monotonic()
    report = await remote.cancel(step.execution, 1.0, boot)
    assert report.confirmed, report.detail
    assert time.monotonic() - began < 10
    async with asyncio.timeout(10):
        assert (await running).outcome == "cancelled"
        while len(farm.targets[0].sessions()) > 1:
            await asyncio.sleep(0.02)
    assert seen.lost == []


@pytest.mark.found("fault 1")
async def test_the_gate_of_a_step_that_was_never_started_is_closed(remote: SshRemote) -> None:
    """The channel on which the target was asked about the step is let go of first."""
    boot = (await remote.probe(ProbeRequest())).boot
    async with asyncio.timeout(20):
        report = await remote.attach(AttachRequest(secrets.token_hex(16), boot, 60.0), Bytes(), Seen())
    assert report.outcome == "not-started"


async def test_one_question_after_another_finds_its_channel(remote: SshRemote) -> None:
    """Each begins while the server still clears away what came before it."""
    rollout = "20261127-120000-one"
    probe = await remote.probe(ProbeRequest("echo 1.2", claim=Claim(rollout, "ann", 0.0), tools=("sh",)))
    assert (probe.outcome, probe.release, probe.detail) == ("ok", "1.2", "")
    async with asyncio.timeout(30):
        for _ in range(5):
            step = ExecuteRequest(secrets.token_hex(16), b"true", {}, 60.0, 1 << 20, probe.boot, rollout)
            assert (await remote.execute(step, Bytes(), Seen())).outcome == "ok"
        assert (await remote.unlock(rollout)).released
