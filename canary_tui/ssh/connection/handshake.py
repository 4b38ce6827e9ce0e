"""Makes one attempt to log in to one server: gives asyncssh its options, answers its questions, keeps what it learned.

An attempt never waits for a person. Where one is needed it ends, and `Attempt` says what was learned; `login` asks, and
makes another. So nobody who reads a question holds a slot for handshakes, and no server waits at its LoginGraceTime.

        connect()
            |
      [ transport ]      a socket, a channel through the jump host, or a ProxyCommand
            |            dropped here or in the next two: the server had too many at once, and login tries again
      [ versions  ]
            |
      [ algorithms ] --> KeyExchangeFailed: none in common. login makes one more attempt with all that are safe
            |
      [ host key  ] --> HostKeyNotVerifiable, with `answer` and `shown`:
            |               changed, revoked   the end
            |               new                a person is asked, then an attempt that takes exactly this key
            | trusted
            |
      [ encrypted ]
            |            `logging_in` is true from here on: a hang-up is now the server's answer, and no drop
      [ logging in ] --> PermissionDenied: `would_take` names what else the server offers, `words` what it said
            |               locked keys, passwords   login asks a person, then makes an attempt with them
            |
       connection

The order, and the reasons:

1. The judgement of the host key is put in place in `connection_made`, before the library sends its first byte. Later
   would be a race with the server; and without it the library, which is told that no key is trusted, refuses all.
2. The host key is judged before anything about us is sent. The library checks the server's signature over the exchange
   right after: a key that is only shown, and not owned, never gets past `encrypted`.
3. `shown` is kept before it is judged, so that login can ask about exactly that key. The next attempt trusts that one
   alone (`HostKeys.pinned`): a server that shows another one after the question is refused.
4. Keys of the agent come before those of files, as with ssh; all are offered in one round, and each attempt has fresh
   copies, because the library notes in a key which signature this one server took.
5. A password is given once a method and attempt: a server that asks again has refused it.
6. A server that lets in whoever comes has proved nothing (`disable_trivial_auth`).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from canary_tui.ssh.connection import private_parts
from canary_tui.ssh.connection.hostkeys import HostKeyAnswer, HostKeys, shown_key
from canary_tui.ssh.connection.resolve import Algorithms, Endpoint
from canary_tui.text.safe import one_line

KEEPALIVE_INTERVAL = 4.8
"""Seconds. Three unanswered and one more interval: a peer that is silent is given up after 19.2 s, so within 20."""
KEEPALIVE_COUNT = 3

_KEX = (
    "mlkem768x25519-sha256 curve25519-sha256 curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384"
    " ecdh-sha2-nistp521"
)
_CIPHERS = (
    "aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com aes128-ctr aes192-ctr aes256-ctr"
)
_MACS = "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-sha2-256 hmac-sha2-512"
_KEY_KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
HOST_KEY_ALGORITHMS = (
    *(f"{kind.removesuffix('@openssh.com')}-cert-v01@openssh.com" for kind in _KEY_KINDS),
    *_KEY_KINDS,
)
"""In OpenSSH's order; SHA-1 is not among them."""


@dataclass
class Attempt:
    """The endpoint and the secrets that one attempt is made with, and what it learned on the way."""

    endpoint: Endpoint
    keys: HostKeys
    pairs: list[asyncssh.SSHKeyPair] = field(default_factory=list)
    password: str | None = None
    attended: bool = False
    agent_identities: list[bytes] | None = None
    """Public keys that the agent may be asked for; None: any."""
    keys_of_address: Callable[[str], HostKeys] | None = None
    """Looks up the keys of an address, where CheckHostIP wants them to agree."""
    answer: HostKeyAnswer = HostKeyAnswer("new")
    shown: bytes = b""
    """The host key or certificate that the server proved to have."""
    logging_in: bool = False
    would_take: set[str] = field(default_factory=set)
    """Ways to log in, beside keys, that the server offered."""
    words: str = ""
    """The server's own words: its banner, or its question."""


class _Client(asyncssh.SSHClient):
    """Answers what asyncssh asks while logging in, from what is in the attempt."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._rounds = 0
        self._tried: set[str] = set()
        self._agent: asyncssh.SSHAgentClient | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        peer = conn.get_extra_info("peername")
        private_parts.judge_host_key_by(conn, lambda shown: self._judge(shown, peer))
        private_parts.log_no_packets(conn)
        private_parts.live_while_heard(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._leave_agent()

    def auth_completed(self) -> None:
        self._leave_agent()

    def _judge(self, shown: bytes, peer: tuple[str, int] | None) -> bytes:
        attempt = self._attempt
        attempt.shown = shown
        attempt.answer = attempt.keys.judge(shown)
        if attempt.answer.trust == "trusted" and attempt.keys_of_address is not None:
            attempt.answer = _also_for_address(attempt.keys_of_address, peer, shown)
        if attempt.answer.trust != "trusted":
            raise asyncssh.HostKeyNotVerifiable(attempt.answer.trust)
        return shown_key(shown)

    def begin_auth(self, username: str) -> None:
        del username
        self._attempt.logging_in = True

    def auth_banner_received(self, msg: str, lang: str) -> None:
        del lang
        self._attempt.words = one_line(f"{self._attempt.words} {msg}"[:2000])

    async def public_key_auth_requested(self) -> list[asyncssh.SSHKeyPair] | None:
        """All keys at once; None when they were refused."""
        if "publickey" in self._tried:
            return None
        self._tried.add("publickey")
        return [*await self._agent_keys(), *self._attempt.pairs]

    async def _agent_keys(self) -> Sequence[asyncssh.SSHKeyPair]:
        """The keys of the agent that may be used; none where it cannot be reached."""
        path, identities = self._attempt.endpoint.agent, self._attempt.agent_identities
        if not path or identities == []:  # to the agent an empty list would mean any
            return ()
        try:
            self._agent = await asyncssh.connect_agent(path)
            return await self._agent.get_keys(identities)
        except (OSError, ValueError, asyncssh.Error):
            return ()

    def _leave_agent(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.close()

    def password_auth_requested(self) -> str | None:
        return self._password_for("password")

    def kbdint_auth_requested(self) -> str | None:
        self._attempt.would_take.add("keyboard-interactive")
        return "" if self._attempt.attended else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """One hidden question is the password; several, or a readable one, are for a person at `ssh`."""
        del lang
        self._rounds += 1
        if not prompts and self._rounds < 10:
            return []
        if len(prompts) != 1 or prompts[0][1]:
            return None
        self._attempt.words = one_line(f"{name} {instructions} {prompts[0][0]}"[:2000])
        password = self._password_for("keyboard-interactive")
        return None if password is None else [password]

    def _password_for(self, method: str) -> str | None:
        self._attempt.would_take.add(method)
        if method in self._tried:
            return None
        self._tried.add(method)
        return self._attempt.password


def _also_for_address(look_up: Callable[[str], HostKeys], peer: tuple[str, int] | None, shown: bytes) -> HostKeyAnswer:
    if peer is None or ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
        return HostKeyAnswer("trusted")
    answer = look_up(peer[0]).judge(shown_key(shown))
    return HostKeyAnswer("trusted") if answer.trust == "new" else answer


async def log_in(
    attempt: Attempt, tunnel: asyncssh.SSHClientConnection | None, *, all_algorithms: bool = False
) -> asyncssh.SSHClientConnection:
    """Connect and log in within the endpoint's time. Raises what asyncssh and the network raise."""
    endpoint = attempt.endpoint
    chosen = endpoint.algorithms.host_keys
    offered = [one for one in chosen if one in HOST_KEY_ALGORITHMS] or attempt.keys.order(HOST_KEY_ALGORITHMS)
    options = _OPTIONS | _algorithms(endpoint.algorithms, all_algorithms=all_algorithms)
    async with asyncio.timeout(endpoint.connect_timeout):
        return await asyncssh.connect(
            endpoint.host,
            endpoint.port,
            username=endpoint.user,
            family=endpoint.family,
            local_addr=(endpoint.bind_address, 0) if endpoint.bind_address else None,
            tunnel=tunnel,
            proxy_command=list(endpoint.proxy_command) or None,
            client_factory=lambda: _Client(attempt),
            login_timeout=endpoint.connect_timeout,
            preferred_auth=list(endpoint.methods) if attempt.attended else ["publickey"],
            server_host_key_algs=list(offered),
            **options,
        )


_OPTIONS: dict[str, Any] = {
    "config": None,
    "client_version": "canary_tui",
    "known_hosts": private_parts.TRUSTS_NO_KEY,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": (),
    "client_keys": None,  # `_Client` gives them: an empty list would mean those in ~/.ssh
    "agent_path": None,
    "agent_forwarding": False,
    "pkcs11_provider": None,
    "compression_algs": ["none"],
    "host_based_auth": False,
    "gss_host": None,
    "gss_kex": False,
    "gss_auth": False,
    "disable_trivial_auth": True,
    "utf8_decode_errors": "replace",
    "keepalive_interval": KEEPALIVE_INTERVAL,
    "keepalive_count_max": KEEPALIVE_COUNT,
    "tcp_keepalive": True,
    "x11_forwarding": False,
    "env": None,
    "send_env": None,
    "command": None,
    "request_pty": False,
    "encoding": None,
}
"""The same for every server; nothing of it comes from ssh_config or from the environment."""


def _algorithms(algorithms: Algorithms, *, all_algorithms: bool) -> dict[str, Any]:
    safe_kex, safe_macs = private_parts.key_exchanges(), private_parts.macs()
    return {
        "kex_algs": _supported(algorithms.kex, safe_kex if all_algorithms else _KEX.split(), safe_kex),
        "encryption_algs": _supported(algorithms.ciphers, _CIPHERS.split(), _CIPHERS.split()),
        "mac_algs": _supported(algorithms.macs, safe_macs if all_algorithms else _MACS.split(), safe_macs),
    }


def _supported(chosen: tuple[str, ...], ours: list[str], safe: list[str]) -> list[str]:
    """The names that ssh_config chose as far as we have them, else ours. KeyExchangeFailed where none is left."""
    if not chosen:
        return ours
    common = [name for name in chosen if name in safe]
    if not common:
        raise asyncssh.KeyExchangeFailed(f"none of {', '.join(chosen)} (ssh_config) is supported here")
    return common
