"""A wait for the ssh agent, and for the person whom it asks, is no wait for the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import linked, planned, refusal, run, write_config
from ssh_world import listens

from canary_tui.ssh.connection import agent as agents

pytestmark = [pytest.mark.skipif(bool(available()), reason=available()), pytest.mark.found("field 3")]


class Confirming:
    """A real agent whose keys want a confirmation, which a program gives after `seconds`."""

    def __init__(self, folder: Path) -> None:
        self.path, self._ask = folder / "agent", folder / "ask"
        self.confirm_after(0)
        self._ask.chmod(0o755)
        self._environment = {**os.environ, "SSH_ASKPASS": str(self._ask), "SSH_ASKPASS_REQUIRE": "force"}
        self.process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", self.path],
            env={**self._environment, "DISPLAY": ":0"},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def confirm_after(self, seconds: float) -> None:
        self._ask.write_text(f"#!/bin/sh\nexec sleep {seconds}\n")

    def add(self, key: Path) -> None:
        environment = {**self._environment, "SSH_AUTH_SOCK": str(self.path)}
        subprocess.run(["ssh-add", "-q", "-c", key], env=environment, check=True, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Confirming]:
    running = Confirming(tmp_path)
    try:
        async with asyncio.timeout(10):
            while not listens(running.path):
                await asyncio.sleep(0.02)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Servers that wait three seconds for a login."""
    with Farm(tmp_path_factory.mktemp("farm"), 8, net=41, own_sshd=False, extra=("LoginGraceTime 3",)) as running:
        yield running


def by_agent(farm: Farm, agent: Confirming, folder: Path) -> Path:
    """A config that knows no key but the agent's, which wants a confirmation."""
    agent.add(farm.identity)
    config = write_config(farm, folder / "config", "Host *", f" IdentityAgent {agent.path}", " IdentitiesOnly no")
    config.write_text(config.read_text().replace(f"IdentityFile {farm.identity}", "IdentityFile none"))
    return config


async def test_every_login_waits_for_its_confirmation_whatever_its_server_allows(
    farm: Farm, agent: Confirming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connect limit does not count it, and a server that hung up meanwhile is asked again."""
    config = by_agent(farm, agent, tmp_path)
    agent.confirm_after(0.5)
    monkeypatch.setattr(agents, "DELIBERATE", 0.3)
    targets = [planned(target, config, connect_timeout=2.0) for target in farm.targets]
    async with linked(*targets) as links:
        assert await asyncio.gather(*(run(link, "echo in") for link in links)) == ["in\n"] * 8


async def test_an_agent_that_does_not_answer_is_named_and_no_server(
    farm: Farm, agent: Confirming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = by_agent(farm, agent, tmp_path)
    monkeypatch.setattr(agents, "ANSWERS_WITHIN", 0.5)
    agent.process.send_signal(signal.SIGSTOP)
    async with linked(planned(farm.targets[0], config)) as [link]:
        error = await refusal(link)
    assert not error.final
    assert "the ssh agent did not answer within" in error.detail
    assert str(agent.path) in error.detail


async def test_where_nobody_confirms_the_agent_is_named_to_all_at_once(
    farm: Farm, agent: Confirming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = by_agent(farm, agent, tmp_path)
    agent.confirm_after(60)
    monkeypatch.setattr(agents, "ANSWERS_WITHIN", 1.0)
    async with asyncio.timeout(5), linked(*(planned(target, config) for target in farm.targets[:4])) as links:
        errors = await asyncio.gather(*(refusal(link) for link in links))
    assert all("the ssh agent did not answer within 1 s" in error.detail for error in errors)


async def test_a_confirmation_that_is_declined_is_named(farm: Farm, agent: Confirming, tmp_path: Path) -> None:
    config = by_agent(farm, agent, tmp_path)
    (tmp_path / "ask").write_text("#!/bin/sh\nexit 1\n")
    async with linked(planned(farm.targets[0], config)) as [link]:
        error = await refusal(link)
    assert error.final
    assert "the agent did not sign with SHA256:" in error.detail
