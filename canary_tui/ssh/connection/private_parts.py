"""Every part of asyncssh that its documentation does not promise, in one place, with its reason and the way out.

| part | why it is used | if a release changes it | the way out |
|---|---|---|---|
| `validate_server_host_key`, a method of the connection | the documented hooks see the key or the authority, never the certificate, so its revocation and its signature's algorithm could not be judged as OpenSSH does | it is not called: the library trusts no key by itself, so nothing connects | a hook upstream that is given the raw key |
| `log_sent_packet`, `log_received_packet` | a message is composed for every packet, whatever the log level: a twentieth of a connection | connections cost 5 % more | a check of the level upstream |
| `decode_ssh_certificate`, `SSHOpenSSHCertificate`, `CERT_TYPE_HOST` | the fields of a host certificate | the import fails, so no engine starts | 60 lines that read the certificate's wire form |
| `public_data` of keys, certificates and pairs, `key_public_data` of pairs | the wire form, to compare with known_hosts and with the agent's keys | AttributeError at the first key | the second word of `export_public_key` |
| `get_default_kex_algs`, `get_default_mac_algs` | names of what asyncssh supports, to choose from in our order | the import fails, so no engine starts | a list of our own |
| pairs are copied | the library notes in a pair which signature algorithm a server took | a server may be offered the algorithm of another | keys that are loaded for each login |
| `sign_async` and `sign` of pairs, and `use_executor` | to know when a signature is asked for, so which key a server took, and that an agent or a person is waited for | the test of a login with an agent fails; keys that want a touch run into the limit of their server | a hook upstream that is asked to sign |
| `set_certificate` of pairs, `key` of certificates | a certificate on disk is signed for by a key in the agent | AttributeError at the first certificate | 40 lines that talk to the agent |
| `tunnel` may be whatever has `create_connection`; `data_received` and `connection_lost` of a connection | the library's own ProxyCommand mixes standard error into the stream | no login through a ProxyCommand | two processes of our own that copy between a socket and pipes |
| "Passphrase must be specified" | an encrypted key of the old format raises a plain KeyImportError | the key is called broken, not locked | KeyEncryptionError upstream |
| `data_received` of the connection, a method of its own; `_keepalive_count` | bytes that arrive are no answer to a keepalive's question, so a line that is full of a step's output would look dead; what came is counted; and the library drops what a server says before its version | slow lines are cut again after 20 s, and those words are not shown | a count upstream that starts anew with each packet |
| `_make_global_request` | a question that every server answers as soon as it has read what came before: the only sign that it did | the first upload, or step of more than 16 KiB, fails with AttributeError | a ping upstream |
| `_init_recv_window` of a channel | how much a target may have under way is to follow the speed of the line | it stays at 16 KiB: slow, but right | a method upstream |
| `connection_made` of a session comes in the step of the loop that sends the request | a payload can follow at once, which saves a round trip | the payload comes before the request: the server drops it, and the runner starts nothing | wait for `session_started` |

`tests/ssh/test_asyncssh_contract.py` holds one test for each line; trying a new asyncssh is raising the number and
running it.
"""  # noqa: E501 - a table

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncssh
from asyncssh.kex import get_default_kex_algs
from asyncssh.mac import get_default_mac_algs
from asyncssh.public_key import CERT_TYPE_HOST, SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key

TRUSTS_NO_KEY: tuple[list[str], list[str], list[str]] = ([], [], [])
"""For the option `known_hosts`: were our own judgement not asked, every host key would be refused."""


def judge_host_key_by(connection: asyncssh.SSHClientConnection, judge: Callable[[bytes], bytes]) -> None:
    """Put our judgement of the host key in the place of the library's, for a connection that has sent nothing yet.

    `judge` is given the key or certificate that the server shows and returns the plain key; it raises
    `HostKeyNotVerifiable` for one that is not trusted.
    """

    def validate_server_host_key(key_data: bytes) -> asyncssh.SSHKey:
        return decode_ssh_public_key(judge(key_data))

    connection.validate_server_host_key = validate_server_host_key  # type: ignore[method-assign]  # of this one alone


def log_no_packets(connection: asyncssh.SSHClientConnection) -> None:
    """Have no message composed for each packet."""

    def nothing(*_: object, **__: object) -> None:
        """Nobody would see it."""

    connection.log_sent_packet = connection.log_received_packet = nothing  # type: ignore[method-assign]


_came: WeakKeyDictionary[asyncssh.SSHClientConnection, int] = WeakKeyDictionary()


def live_while_heard(connection: asyncssh.SSHClientConnection, heard: Callable[[bytes], None]) -> None:
    """Take each byte that arrives as a sign of life, and count them, for a connection that has sent nothing yet.

    `heard` is given each piece before the library is.
    """
    receive = connection.data_received
    _came[connection] = 0

    def data_received(data: bytes, datatype: asyncssh.DataType = None) -> None:
        connection._keepalive_count = 0  # noqa: SLF001 see the table
        _came[connection] += len(data)
        heard(data)
        receive(data, datatype)

    connection.data_received = data_received  # type: ignore[method-assign]  # of this one alone


def bytes_came(connection: asyncssh.SSHClientConnection) -> int:
    """The bytes that a connection has brought, packets that are not whole yet included."""
    return _came.get(connection, 0)


async def round_trip(connection: asyncssh.SSHClientConnection) -> None:
    """Return when the server has read everything that was sent to it before, or the connection has ended."""
    await connection._make_global_request(b"keepalive@openssh.com")  # noqa: SLF001 see the table


def allow_under_way(channel: asyncssh.SSHClientChannel[bytes], size: int) -> None:
    """Let the server send so many bytes on a channel before we have read them."""
    channel._init_recv_window = size  # noqa: SLF001 see the table


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """A host certificate of OpenSSH's kind: the key that it is for and the authority that signed it, in wire form."""

    key: bytes
    authority: bytes
    _certificate: SSHOpenSSHCertificate

    @classmethod
    def decode(cls, blob: bytes) -> HostCertificate:
        """From its wire form. ValueError where it is none, or of another kind."""
        certificate = decode_ssh_certificate(blob)
        if not isinstance(certificate, SSHOpenSSHCertificate):
            raise ValueError("it is not of OpenSSH's kind")  # noqa: TRY004 - what a server sent, not what a caller did
        return cls(certificate.key.public_data, certificate.signing_key.public_data, certificate)

    def objection(self, principal: str) -> str:
        """Why it does not hold now as a host certificate for this name, "" if it does."""
        try:
            self._certificate.validate(CERT_TYPE_HOST, principal)
        except ValueError as error:
            return str(error)
        return ""


def public_data(key: asyncssh.SSHKey | asyncssh.SSHCertificate | asyncssh.SSHKeyPair) -> bytes:
    """The wire form of the public half."""
    return key.key_public_data if isinstance(key, asyncssh.SSHKeyPair) else key.public_data


def offered(pair: asyncssh.SSHKeyPair) -> bytes:
    """The wire form in which a pair is offered: of its certificate, where it has one."""
    return pair.public_data


def certified(pair: asyncssh.SSHKeyPair, certificate: asyncssh.SSHCertificate) -> asyncssh.SSHKeyPair:
    """A copy of a pair that logs in with a certificate of its key."""
    copied = copy.copy(pair)
    copied.set_certificate(certificate)
    return copied


Signer = Callable[[], Awaitable[bytes]]
Signing = Callable[[asyncssh.SSHKeyPair, Signer], Awaitable[bytes]]
"""Is given the pair and the function that makes the signature, and returns the signature."""


def signed_by(pair: asyncssh.SSHKeyPair, signing: Signing) -> asyncssh.SSHKeyPair:
    """A copy of a pair whose signatures `signing` asks for, and in which nothing of a server is noted yet."""
    copied = copy.copy(pair)
    original: Callable[[bytes], Awaitable[bytes]] | None = getattr(copied, "sign_async", None)

    async def sign_here(data: bytes) -> bytes:
        return await asyncio.to_thread(copied.sign, data) if copied.use_executor else copied.sign(data)

    async def sign_async(data: bytes) -> bytes:
        return await signing(copied, lambda: (original or sign_here)(data))

    copied.sign_async = sign_async  # type: ignore[attr-defined]  # the library looks for it by name
    return copied


def wants_passphrase(error: Exception) -> bool:
    """Tell a key that is only encrypted from one that cannot be read."""
    return isinstance(error, asyncssh.KeyEncryptionError) or str(error).startswith("Passphrase must be specified")


def key_exchanges() -> list[str]:
    """The key exchanges that asyncssh supports, without those of Kerberos and those on SHA-1."""
    names = [name.decode() for name in get_default_kex_algs()]
    return [name for name in names if not name.startswith("gss-") and not name.endswith("-sha1")]


def macs() -> list[str]:
    """The message authentication codes that asyncssh supports, without those on SHA-1."""
    return [name.decode() for name in get_default_mac_algs() if b"sha1" not in name]
