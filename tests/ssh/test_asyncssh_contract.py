"""What we use of asyncssh beyond its documentation, one test for each line of the table in `private_parts`.

These run against a new asyncssh before its number is raised: each failure names the part that changed.
"""

from __future__ import annotations

import asyncio
import base64
import pathlib
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import pytest
from asyncssh import packet

import canary_tui
from canary_tui.ssh.connection import handshake, private_parts
from canary_tui.ssh.connection.handshake import Attempt, log_in
from canary_tui.ssh.connection.hostkeys import HostKeyAnswer, HostKeyRules, HostKeys, HostNames, NameKeys
from canary_tui.ssh.connection.private_parts import HostCertificate, public_data
from canary_tui.ssh.connection.proxy import Proxy
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.ssh.execution.protocol import Conversation

ADDRESS = "127.0.39.1"
HostKey = asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]
Serve = Callable[[HostKey], Awaitable[tuple[int, list[str]]]]


class Door(asyncssh.SSHServer):
    """Lets in whoever owns the one key, and notes what is begun."""

    begun: list[str]

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.begun.append("connected")

    def begin_auth(self, username: str) -> bool:
        self.begun.append(f"login of {username}")
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True


class Session(asyncssh.SSHServerSession[bytes]):
    def __init__(self, begun: list[str]) -> None:
        self._begun = begun

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._begun.append(f"exec {command}")
        return True

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._begun.append(f"data {data.decode()}")
        self._channel.exit(0)


@pytest.fixture
async def served() -> AsyncIterator[Serve]:
    """A function that serves with a host key and gives its port and what was begun there."""
    servers: list[asyncssh.SSHAcceptor] = []

    async def serve(host_key: HostKey) -> tuple[int, list[str]]:
        begun: list[str] = []

        class Own(Door):
            def session_requested(self) -> Session:
                return Session(begun)

        Own.begun = begun
        servers.append(
            await asyncssh.listen(ADDRESS, 0, server_factory=Own, server_host_keys=[host_key], encoding=None)
        )
        return servers[-1].get_port(), begun

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


def generated(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def endpoint(port: int) -> Endpoint:
    return Endpoint("web", ADDRESS, port, "ann", HostNames("web"), HostKeyRules(), connect_timeout=10)


def attempt(port: int, keys: HostKeys, key: asyncssh.SSHKey | None = None) -> Attempt:
    pair = asyncssh.load_keypairs(key or generated())
    return Attempt(endpoint(port), keys, list(pair))


@dataclass(frozen=True)
class Judge(HostKeys):
    """In the place of what is known: remembers what is shown, and answers."""

    names: tuple[NameKeys, ...] = ()
    answer: HostKeyAnswer = HostKeyAnswer("new")
    shown: list[bytes] = field(default_factory=list)

    def judge(self, shown: bytes) -> HostKeyAnswer:
        self.shown.append(shown)
        return self.answer

    def order(self, algorithms: Iterable[str]) -> tuple[str, ...]:
        return tuple(algorithms)


signed: list[asyncssh.SSHKeyPair] = []


async def signing(pair: asyncssh.SSHKeyPair, signer: private_parts.Signer) -> bytes:
    signed.append(pair)
    return await signer()


TRUSTED, NEW = HostKeyAnswer("trusted"), HostKeyAnswer("new")


async def test_our_judgement_is_asked_once_with_the_key_s_wire_form(served: Serve) -> None:
    key = generated()
    port, begun = await served(key)
    judge = Judge(answer=TRUSTED)
    connection = await log_in(attempt(port, judge), None)
    connection.abort()
    await connection.wait_closed()
    assert judge.shown == [public_data(key)]
    assert begun == ["connected", "login of ann"]


async def test_our_judgement_is_given_the_whole_certificate(served: Serve) -> None:
    key, authority = generated(), generated()
    certificate = authority.generate_host_certificate(key, "id", principals=["web"])
    port, _ = await served((key, certificate))
    judge = Judge(answer=TRUSTED)
    connection = await log_in(attempt(port, judge), None)
    connection.abort()
    await connection.wait_closed()
    assert judge.shown == [certificate.public_data]


async def test_a_key_that_is_not_trusted_ends_it_before_anything_about_us_is_sent(served: Serve) -> None:
    port, begun = await served(generated())
    trial = attempt(port, Judge(answer=NEW))
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await log_in(trial, None)
    assert not trial.logging_in
    assert begun == ["connected"]


async def test_a_server_that_shows_a_key_that_it_does_not_own_is_refused(
    served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library checks the server's signature with the very key that our judgement returned."""
    port, begun = await served(generated())
    monkeypatch.setattr(handshake, "shown_key", lambda _shown: public_data(generated()))
    with pytest.raises(asyncssh.KeyExchangeFailed):
        await log_in(attempt(port, Judge(answer=TRUSTED)), None)
    assert begun == ["connected"]


async def test_without_our_judgement_the_library_trusts_no_key(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    key = generated()
    port, begun = await served(key)
    monkeypatch.setattr(private_parts, "judge_host_key_by", lambda _connection, _judge: None)
    known = HostKeys((NameKeys("web"),)).pinned("web", public_data(key))
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await log_in(attempt(port, known), None)
    assert begun == ["connected"]


async def test_no_message_is_composed_for_a_packet(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    port, _ = await served(generated())
    composed: list[tuple[Any, ...]] = []
    assert callable(packet.SSHPacketLogger._log_packet)
    asyncssh.set_log_level("CRITICAL")
    original = packet.SSHPacketLogger._log_packet

    def count(self: packet.SSHPacketLogger, *words: Any) -> None:
        if isinstance(self, asyncssh.SSHClientConnection):
            composed.append(words)
        original(self, *words)

    monkeypatch.setattr(packet.SSHPacketLogger, "_log_packet", count)
    connection = await log_in(attempt(port, Judge(answer=TRUSTED)), None)
    connection.abort()
    await connection.wait_closed()
    assert not composed
    bare = await asyncssh.connect(
        ADDRESS, port, known_hosts=None, config=None, username="ann", client_keys=[generated()], agent_path=None
    )
    bare.abort()
    await bare.wait_closed()
    assert composed, "it is this that composes them"


def test_the_fields_of_a_host_certificate() -> None:
    key, authority = generated(), generated("ecdsa-sha2-nistp256")
    blob = authority.generate_host_certificate(key, "id", principals=["web"]).public_data
    certificate = HostCertificate.decode(blob)
    assert (certificate.key, certificate.authority) == (public_data(key), public_data(authority))
    assert certificate.objection("web") == ""
    assert certificate.objection("db")
    past = authority.generate_host_certificate(key, "id", valid_after="20200101", valid_before="20200102")
    assert HostCertificate.decode(past.public_data).objection("web")
    of_a_user = authority.generate_user_certificate(key, "id", principals=["web"])
    assert HostCertificate.decode(of_a_user.public_data).objection("web")


@pytest.mark.parametrize("blob", [b"", b"\x00\x00\x00\x02hi", b"no certificate", b"\xff" * 40])
def test_what_is_no_certificate_is_a_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError):
        HostCertificate.decode(blob)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_the_wire_form_of_a_key_is_what_known_hosts_holds(kind: str) -> None:
    key = generated(kind)
    written = base64.b64decode(key.export_public_key().split()[1])
    assert public_data(key) == public_data(asyncssh.load_keypairs(key)[0]) == written


def test_what_we_prefer_is_supported_and_nothing_on_sha_1_is() -> None:
    assert set(handshake._KEX.split()) <= set(private_parts.key_exchanges())
    assert set(handshake._MACS.split()) <= set(private_parts.macs())
    assert not [name for name in (*private_parts.key_exchanges(), *private_parts.macs()) if name.endswith("sha1")]
    asyncssh.SSHClientConnectionOptions(
        **handshake._OPTIONS,
        kex_algs=private_parts.key_exchanges(),
        mac_algs=private_parts.macs(),
        encryption_algs=handshake._CIPHERS.split(),
        server_host_key_algs=list(handshake.HOST_KEY_ALGORITHMS),
    )


def test_no_key_of_the_operator_s_is_loaded_that_we_did_not_give() -> None:
    options = asyncssh.SSHClientConnectionOptions(**handshake._OPTIONS)
    assert options.client_keys is None
    assert options.agent_path is None
    assert options.agent_forward_path is None


def test_a_pair_remembers_nothing_of_a_server_that_it_was_copied_for(tmp_path: pathlib.Path) -> None:
    [pair] = asyncssh.load_keypairs(asyncssh.generate_private_key("ssh-rsa", key_size=2048))
    before = pair.sig_algorithm

    copied = private_parts.signed_by(pair, signing)
    copied.set_sig_algorithm(b"rsa-sha2-256")
    assert copied.sig_algorithm == b"rsa-sha2-256"
    assert pair.sig_algorithm == before != b"rsa-sha2-256"


async def test_a_signature_is_asked_for_where_the_server_has_taken_the_key(served: Serve) -> None:
    port, _ = await served(generated())
    signed.clear()
    [pair] = asyncssh.load_keypairs(generated())
    options = dict(known_hosts=None, config=None, username="ann", agent_path=None)
    connection = await asyncssh.connect(ADDRESS, port, client_keys=[private_parts.signed_by(pair, signing)], **options)
    connection.abort()
    await connection.wait_closed()
    assert [private_parts.offered(one) for one in signed] == [public_data(pair)]


async def test_a_tunnel_is_whatever_opens_connections(served: Serve) -> None:
    port, begun = await served(generated())

    class Tunnel(Proxy):
        async def create_connection(self, session_factory: Any, host: str, port: int) -> Any:
            return await asyncio.get_running_loop().create_connection(session_factory, host, port)

    connection = await log_in(attempt(port, Judge(answer=TRUSTED)), Tunnel((), set()))
    connection.abort()
    await connection.wait_closed()
    assert begun == ["connected", "login of ann"]


async def test_the_words_of_a_server_before_its_version_are_heard() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"go away\r\n")
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(serve, ADDRESS, 0) as server:
        trial = attempt(server.sockets[0].getsockname()[1], Judge())
        with pytest.raises(asyncssh.ConnectionLost):
            await log_in(trial, None)
    assert (trial.first_words, trial.has_version) == ("go away", False)


def test_a_certificate_is_offered_in_the_place_of_its_key_and_the_key_stays_as_it_is() -> None:
    key, authority = generated(), generated()
    certificate = authority.generate_user_certificate(key, "id", principals=["ann"])
    [pair] = asyncssh.load_keypairs(key)
    assert private_parts.offered(private_parts.certified(pair, certificate)) == public_data(certificate)
    assert private_parts.offered(pair) == public_data(certificate.key) == public_data(key)


@pytest.mark.parametrize("words", [["-t", "ed25519"], ["-t", "rsa", "-b", "2048", "-m", "PEM"]], ids=["new", "old"])
def test_a_locked_key_is_told_from_a_broken_one(tmp_path: pathlib.Path, words: list[str]) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", *words, "-N", "locked", "-f", path], check=True)
    with pytest.raises((asyncssh.KeyEncryptionError, asyncssh.KeyImportError)) as locked:
        asyncssh.load_keypairs(str(path))
    assert private_parts.wants_passphrase(locked.value)
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n")
    with pytest.raises(asyncssh.KeyImportError) as broken:
        asyncssh.load_keypairs(str(path))
    assert not private_parts.wants_passphrase(broken.value)


async def test_a_payload_follows_right_behind_the_request(served: Serve) -> None:
    """In the same step of the loop, so without a round trip; were it sent before, the server would drop it."""
    port, begun = await served(generated())
    connection = await log_in(attempt(port, Judge(answer=TRUSTED)), None)
    conversation = Conversation("nonce", b"payload", lambda _data: None)
    await connection.create_session(lambda: conversation, "words", encoding=None)
    async with asyncio.timeout(10):
        while not conversation.closed:
            await conversation.changed()
    connection.abort()
    await connection.wait_closed()
    assert begun[2:] == ["exec words", "data payload"]
    assert conversation.exit_status == 0


async def test_any_byte_is_a_sign_of_life_and_is_counted(served: Serve) -> None:
    """The library itself waits for the answer to its own question, behind whatever else is on its way."""
    port, _ = await served(generated())
    connection = await log_in(attempt(port, Judge(answer=TRUSTED)), None)
    came, connection._keepalive_count = private_parts.bytes_came(connection), 3
    await private_parts.round_trip(connection)
    assert private_parts.bytes_came(connection) > came > 0
    assert connection._keepalive_count == 0
    connection.abort()
    await connection.wait_closed()


async def test_a_round_trip_ends_when_the_server_has_read_what_came_before(served: Serve) -> None:
    port, begun = await served(generated())
    connection = await log_in(attempt(port, Judge(answer=TRUSTED)), None)
    conversation = Conversation("nonce", b"payload", lambda _data: None)
    await connection.create_session(lambda: conversation, "words", encoding=None)
    await private_parts.round_trip(connection)
    assert begun[-1] == "data payload"
    connection.abort()
    async with asyncio.timeout(10):
        await private_parts.round_trip(connection)
    await connection.wait_closed()


async def test_a_server_may_have_as_much_under_way_as_it_was_allowed_last() -> None:
    windows: list[int] = []

    async def print_much(process: asyncssh.SSHServerProcess[bytes]) -> None:
        for _ in range(64):
            process.stdout.write(bytes(4096))
            await process.stdout.drain()
            windows.append(process.channel._send_window)
        process.exit(0)

    async with asyncssh.listen(
        ADDRESS, 0, server_factory=Door, server_host_keys=[generated()], encoding=None, process_factory=print_much
    ) as server:
        Door.begun = []
        connection = await log_in(attempt(server.get_port(), Judge(answer=TRUSTED)), None)
        conversation = Conversation("nonce", b"", lambda _data: None)
        channel, _ = await connection.create_session(lambda: conversation, "words", encoding=None, window=8192)
        private_parts.allow_under_way(channel, 100_000)
        await channel.wait_closed()
        connection.abort()
        await connection.wait_closed()
    assert windows[0] < 8192
    assert max(windows) > 80_000


def test_no_other_module_reaches_into_asyncssh() -> None:
    """Its submodules and its undocumented names are for `private_parts` alone."""
    package = pathlib.Path(canary_tui.__file__).parent
    reaching = re.compile(r"from asyncssh\.|import asyncssh\.|asyncssh\.[a-z][a-z_]*\.|asyncssh\._[a-z]")
    found = [path.name for path in package.rglob("*.py") if reaching.search(path.read_text())]
    assert found == ["private_parts.py"]
