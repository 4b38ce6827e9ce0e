"""A server that hangs up is asked again as often as its words make sense of, and the words are shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, run, write_config

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget

pytestmark = [pytest.mark.skipif(bool(available()), reason=available()), pytest.mark.found("field 6")]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A bastion that forwards nothing, and a target."""
    with Farm(tmp_path_factory.mktemp("farm"), 2, net=44, extra=("AllowTcpForwarding no",)) as running:
        yield running


class Front:
    """Says its words and hangs up, as often as it is told to; from then on it is the way to a real server."""

    def __init__(self, words: bytes, times: int, farm: Farm) -> None:
        self._words, self._times = words, times
        self._behind = (farm.targets[0].address, farm.port)
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.closing(writer):
            if self.connections <= self._times:
                writer.write(self._words)
                await writer.drain()
                await reader.readline()
                return
            their_reader, their_writer = await asyncio.open_connection(*self._behind)
            with contextlib.closing(their_writer):
                await asyncio.gather(_copied(reader, their_writer), _copied(their_reader, writer))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def fronted(farm: Farm, folder: Path, words: bytes, times: int) -> AsyncIterator[tuple[Front, PlannedTarget]]:
    front = Front(words, times, farm)
    async with await asyncio.start_server(front.serve, "127.0.44.9", 0) as server:
        port = server.sockets[0].getsockname()[1]
        known = folder / "known_hosts"
        known.write_text(f"[127.0.44.9]:{port} {farm.host_key(farm.targets[0])}\n")
        ssh = Ssh(config=str(farm.ssh_config), port=port, known_hosts=str(known), connect_timeout=Duration(5))
        yield front, PlannedTarget("web", "127.0.44.9", ssh)


@pytest.mark.parametrize(
    ("words", "shown", "calls"),
    [
        pytest.param(b"Not allowed at this time\r\n", "it said: Not allowed at this time", 1, id="a penalty"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", "it said: HTTP/1.1 400 Bad Request", 1, id="HTTP"),
        pytest.param(b"\x1b[2Jgo\x07 away", "it said:", 1, id="words that act, and no line end"),
        pytest.param(b"", "hung up before the login, 5 times in a row", 5, id="silence"),
    ],
)
async def test_a_hang_up_before_the_login_is_told_in_the_servers_words(
    farm: Farm, tmp_path: Path, words: bytes, shown: str, calls: int
) -> None:
    async with fronted(farm, tmp_path, words, 99) as (front, target), linked(target) as [link]:
        error = await refusal(link)
    assert not error.final
    assert shown in error.detail
    assert "MaxStartups" not in error.detail
    assert error.detail.isprintable()
    assert front.connections == calls


@pytest.mark.parametrize("words", [b"Exceeded MaxStartups\r\n", b""], ids=["too many", "silence"])
async def test_who_was_sent_away_because_too_many_came_gets_in_later(farm: Farm, tmp_path: Path, words: bytes) -> None:
    async with fronted(farm, tmp_path, words, 3) as (front, target), linked(target) as [link]:
        assert await run(link, "echo in") == "in\n"
    assert front.connections == 4


class Hasty(asyncssh.SSHServer):
    """Hangs up in the middle of the first logins."""

    def __init__(self, hang_ups: list[None], password: bool) -> None:
        self._hang_ups, self._password = hang_ups, password

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def public_key_auth_supported(self) -> bool:
        return not self._password

    def password_auth_supported(self) -> bool:
        return self._password

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._hangs_up()

    def validate_password(self, username: str, password: str) -> bool:
        return self._hangs_up()

    def _hangs_up(self) -> bool:
        if self._hang_ups:
            self._hang_ups.pop()
            self._connection.abort()
        return True


@contextlib.asynccontextmanager
async def hasty(
    farm: Farm, folder: Path, times: int, *, password: bool
) -> AsyncIterator[tuple[list[None], PlannedTarget]]:
    key, left = asyncssh.generate_private_key("ssh-ed25519"), [None] * times

    async def handle(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write("in\n")
        process.exit(0)

    server = await asyncssh.create_server(
        lambda: Hasty(left, password), "127.0.44.9", 0, server_host_keys=[key], process_factory=handle
    )
    try:
        known = folder / "known_hosts"
        known.write_text(f"[127.0.44.9]:{server.get_port()} {key.export_public_key().decode()}")
        config = write_config(farm, folder / "config")
        ssh = Ssh(config=str(config), port=server.get_port(), known_hosts=str(known))
        yield left, PlannedTarget("web", "127.0.44.9", ssh)
    finally:
        server.close()
        await server.wait_closed()


async def test_one_reset_in_the_middle_of_a_login_refuses_no_rollout(farm: Farm, tmp_path: Path) -> None:
    async with hasty(farm, tmp_path, 2, password=False) as (_, target), linked(target) as [link]:
        assert await run(link, "x") == "in\n"


async def test_a_login_that_is_reset_again_and_again_ends(farm: Farm, tmp_path: Path) -> None:
    async with hasty(farm, tmp_path, 99, password=False) as (left, target), linked(target) as [link]:
        error = await refusal(link)
    assert "hung up during the login, 3 times in a row" in error.detail
    assert not error.final
    assert len(left) == 96


async def test_a_password_is_not_given_again_to_a_server_that_hung_up_over_it(farm: Farm, tmp_path: Path) -> None:
    person = Person("open sesame")
    async with hasty(farm, tmp_path, 99, password=True) as (left, target), linked(target, asker=person) as [link]:
        error = await refusal(link)
    assert "hung up during the login" in error.detail
    assert len(left) == 98


async def test_a_bastion_that_forwards_nothing_is_named(farm: Farm) -> None:
    bastion, target = farm.targets
    async with linked(planned(target, farm.ssh_config, jump=bastion.address)) as [link]:
        error = await refusal(link)
    assert error.final
    assert f"@{bastion.address}:{farm.port} does not allow a connection to {target.address}:{farm.port}" in error.detail
    assert "AllowTcpForwarding" in error.detail
