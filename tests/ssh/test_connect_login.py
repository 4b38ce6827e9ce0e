"""Logging in: keys, the agent, passphrases and passwords, each asked for once, none tried twice where it was refused."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncssh
import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, run, write_config

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.ssh.connection.connect import Access, TargetLink
from canary_tui.text.secrets import Redactor

pytestmark = pytest.mark.skipif(bool(available()), reason=available())
PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 3, net=37, own_sshd=False) as running:
        yield running


@pytest.fixture
def locked(farm: Farm, tmp_path: Path) -> Path:
    """A config whose only key is the farm's, behind a passphrase."""
    key = tmp_path / "locked"
    shutil.copy(farm.identity, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", key], check=True)
    config = write_config(farm, tmp_path / "config")
    config.write_text(config.read_text().replace(str(farm.identity), str(key)))
    return config


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """Path of the socket of an agent without keys."""
    path = tmp_path / "agent"
    said = subprocess.run(["ssh-agent", "-a", path], capture_output=True, text=True, check=True).stdout
    yield path
    pid = re.search(r"SSH_AGENT_PID=(\d+)", said)
    assert pid is not None
    os.kill(int(pid[1]), 15)


def add_key(agent: Path, key: Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", key], env=environment, check=True)


async def test_a_passphrase_is_asked_for_once_for_the_fleet(farm: Farm, locked: Path) -> None:
    person = Person("wrong", PASSPHRASE)
    async with linked(*(planned(target, locked) for target in farm.targets), asker=person) as links:
        assert await asyncio.gather(*(run(link, "echo in") for link in links)) == ["in\n"] * 3
    assert [question.kind for question in person.asked] == ["passphrase", "passphrase"]
    assert "locked" in person.asked[0].words
    assert "does not open" in person.asked[1].words


async def test_a_passphrase_is_hidden_from_output_once_it_was_given(farm: Farm, locked: Path) -> None:
    secrets = Redactor()
    access = Access(Person(PASSPHRASE), secrets)
    link = TargetLink(planned(farm.targets[0], locked), access)
    await link.connection()
    await link.close()
    assert secrets.text(f"it is {PASSPHRASE}!") == "it is [secret]!"


async def test_who_declines_to_give_a_passphrase_is_not_asked_again(farm: Farm, locked: Path) -> None:
    person = Person(None)
    async with linked(*(planned(target, locked) for target in farm.targets), asker=person) as links:
        errors = await asyncio.gather(*(refusal(link) for link in links))
    assert all(error.final and "login refused" in error.detail for error in errors)
    assert len(person.asked) == 1


@pytest.mark.parametrize("forbidden", [False, True])
async def test_without_a_person_a_locked_key_is_no_key(farm: Farm, locked: Path, forbidden: bool) -> None:
    if forbidden:
        locked.write_text(f"Host *\n BatchMode yes\n{locked.read_text()}")
    person = Person(PASSPHRASE)
    async with linked(planned(farm.targets[0], locked), asker=person if forbidden else None) as [link]:
        error = await refusal(link)
    assert error.final
    assert "login refused" in error.detail
    assert not person.asked


async def test_the_agent_is_asked_before_a_person(farm: Farm, locked: Path, agent: Path) -> None:
    """The locked key's public half picks it among the agent's, as IdentitiesOnly wants."""
    locked.write_text(f"Host *\n IdentityAgent {agent}\n{locked.read_text()}")
    add_key(agent, farm.identity)
    person = Person(PASSPHRASE)
    async with linked(planned(farm.targets[0], locked), asker=person) as [link]:
        assert await run(link, "echo in") == "in\n"
    assert not person.asked


async def test_where_the_agent_has_no_key_for_it_the_passphrase_is_asked_for(
    farm: Farm, locked: Path, agent: Path
) -> None:
    locked.write_text(f"Host *\n IdentityAgent {agent}\n{locked.read_text()}")
    person = Person(PASSPHRASE)
    async with linked(*(planned(target, locked) for target in farm.targets), asker=person) as links:
        assert await asyncio.gather(*(run(link, "echo in") for link in links)) == ["in\n"] * 3
    assert len(person.asked) == 1


async def test_only_as_many_keys_are_asked_for_as_it_takes(farm: Farm, locked: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "another", "-f", other], check=True)
    locked.write_text(locked.read_text() + f" IdentityFile {other}\n")
    person = Person(PASSPHRASE, "another")
    async with linked(planned(farm.targets[0], locked), asker=person) as [link]:
        assert await run(link, "echo in") == "in\n"
    assert len(person.asked) == 1


@pytest.mark.parametrize("line", ["IdentityAgent none", "IdentityFile none\n IdentitiesOnly yes"])
async def test_an_agent_that_is_not_to_be_used_is_not(
    farm: Farm, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    add_key(agent, farm.identity)
    config = write_config(farm, tmp_path / "config", "Host *", f" {line}")
    text = config.read_text().replace(f"IdentityFile {farm.identity}", f"IdentityFile {tmp_path}/none")
    config.write_text(text if "Agent" in line else text.replace(" IdentityAgent none\n", ""))
    async with linked(planned(farm.targets[0], config)) as [link]:
        assert "login refused" in (await refusal(link)).detail


async def test_a_refused_key_is_final_and_tried_once(farm: Farm, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    async with linked(planned(farm.targets[0], farm.ssh_config, identity=str(key))) as [link]:
        assert (await refusal(link)).final


async def test_a_missing_or_broken_key_is_named(farm: Farm, tmp_path: Path) -> None:
    for name, text in (("missing", None), ("broken", "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n")):
        if text:
            (tmp_path / name).write_text(text)
        async with linked(planned(farm.targets[0], farm.ssh_config, identity=str(tmp_path / name))) as [link]:
            assert str(tmp_path / name) in (await refusal(link)).detail


class Scripted(asyncssh.SSHServer):
    """A server that takes the password `open sesame`, or anybody, and counts what it is offered."""

    tries = 0

    def __init__(self, *, kbdint: bool = False, anybody: bool = False) -> None:
        self._kbdint = kbdint
        self._anybody = anybody

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._connection.send_auth_banner("\x1b[2JWelcome\x07")
        return not self._anybody

    def password_auth_supported(self) -> bool:
        return not self._kbdint

    def kbdint_auth_supported(self) -> bool:
        return self._kbdint

    def validate_password(self, username: str, password: str) -> bool:
        type(self).tries += 1
        return password == "open sesame"

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return "", "\x1b]0;bank\x07Please", "", [("One-time word: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return self.validate_password(username, responses[0])


class Doors:
    """Scripted servers on 127.0.38.x, and targets for them whose host key is known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._servers: list[asyncssh.SSHAcceptor] = []

    async def open(self, number: int, **kind: bool) -> PlannedTarget:
        Scripted.tries = 0
        address = f"127.0.38.{number}"

        async def handle(process: asyncssh.SSHServerProcess[str]) -> None:
            process.stdout.write("in\n")
            process.exit(0)

        server = await asyncssh.create_server(
            lambda: Scripted(**kind), address, 0, server_host_keys=[self._key], process_factory=handle
        )
        self._servers.append(server)
        known = self._folder / "known_hosts"
        with known.open("a") as file:
            file.write(f"[{address}]:{server.get_port()} {self._key.export_public_key().decode()}")
        ssh = Ssh(config="none", user="root", port=server.get_port(), known_hosts=str(known), identity="/nowhere")
        return PlannedTarget(f"door-{number}", address, ssh)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()


@pytest.fixture
async def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Doors]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    some = Doors(tmp_path)
    yield some
    await some.close()


@pytest.mark.parametrize("kbdint", [False, True])
async def test_a_password_is_asked_for_once_and_proved_on_one_target_first(doors: Doors, kbdint: bool) -> None:
    targets = [await doors.open(number, kbdint=kbdint) for number in range(1, 5)]
    person = Person("wrong", "open sesame")
    async with linked(*targets, asker=person) as links:
        assert await asyncio.gather(*(run(link, "x") for link in links)) == ["in\n"] * 4
    assert [question.kind for question in person.asked] == ["password", "password"]
    assert Scripted.tries == 6  # the wrong one on two targets, and the right one on each
    assert "not accepted" in person.asked[1].words


async def test_what_the_server_asks_is_shown_as_its_own_words_and_made_safe(doors: Doors) -> None:
    person = Person("open sesame")
    async with linked(await doors.open(5, kbdint=True), asker=person) as [link]:
        await run(link, "x")
    assert person.asked[0].words == "The server says: Please One-time word:"


async def test_after_three_wrong_passwords_nobody_is_asked_any_more(doors: Doors) -> None:
    targets = [await doors.open(number) for number in range(6, 10)]
    person = Person(*["wrong"] * 9)
    async with linked(*targets, asker=person) as links:
        errors = await asyncio.gather(*(refusal(link) for link in links))
    assert all(error.final for error in errors)
    assert len(person.asked) == 3
    assert Scripted.tries <= 4, "none twice on one target"


async def test_without_a_person_no_password_is_tried_and_it_is_said_what_would_be_taken(doors: Doors) -> None:
    async with linked(await doors.open(11)) as [link]:
        error = await refusal(link)
    assert error.final
    assert Scripted.tries == 0
    assert "there is no such file" in error.detail
    assert "Welcome" in error.detail
    assert error.detail.isprintable()


async def test_a_server_that_lets_anybody_in_is_refused(doors: Doors) -> None:
    """It did not prove that it knows us: whatever is typed there would be typed for a stranger."""
    async with linked(await doors.open(12, anybody=True)) as [link]:
        assert (await refusal(link)).final
