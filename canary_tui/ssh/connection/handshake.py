"""One attempt to log in to one server: what asyncssh is told, and what came of it."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from asyncssh.connection import SSHClientConnection, SSHClientConnectionOptions, _connect
from asyncssh.kex import get_default_kex_algs
from asyncssh.mac import get_default_mac_algs
from asyncssh.public_key import SSHKey, SSHKeyPair, decode_ssh_public_key

from canary_tui.ssh.connection.hostkeys import Decision, HostKeys, shown_key
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
    """What one attempt is made with, and what it learned on the way."""

    endpoint: Endpoint
    keys: HostKeys
    pairs: list[SSHKeyPair] = field(default_factory=list)
    password: str | None = None
    attended: bool = False
    agent_identities: list[bytes] | None = None
    """Public keys that the agent may be asked for; None: any."""
    keys_of_address: Callable[[str], HostKeys] | None = None
    """What is known of an address, where CheckHostIP wants it to agree."""
    decision: Decision = Decision("new")
    shown: bytes = b""
    """The host key or certificate that the server proved to have."""
    logging_in: bool = False
    would_take: set[str] = field(default_factory=set)
    """Ways to log in, beside keys, that the server offered."""
    words: str = ""
    """What the server said or asked meanwhile."""


class _Owner(asyncssh.SSHClient):
    """Answers what asyncssh asks while logging in, from what is in the attempt; never waits for a person."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._rounds = 0
        self._tried: set[str] = set()

    def begin_auth(self, username: str) -> None:
        del username
        self._attempt.logging_in = True

    def auth_banner_received(self, msg: str, lang: str) -> None:
        del lang
        self._attempt.words = one_line(f"{self._attempt.words} {msg}"[:2000])

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


class _Connection(SSHClientConnection):
    """asyncssh's connection with our decision about the host key in the place of its own.

    The library itself is told that no key at all is trusted: were this method not called, nothing would connect.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, options: SSHClientConnectionOptions, attempt: Attempt) -> None:
        super().__init__(loop, options, wait="auth")
        self._attempt = attempt

    def log_sent_packet(self, *_: object, **__: object) -> None:
        """Nothing: composing what is never shown takes a twentieth of a connection."""

    log_received_packet = log_sent_packet

    def validate_server_host_key(self, key_data: bytes) -> SSHKey:
        attempt = self._attempt
        attempt.shown = key_data
        attempt.decision = attempt.keys.decide(key_data)
        if attempt.decision.verdict == "trusted" and attempt.keys_of_address is not None:
            attempt.decision = _also_for_address(attempt.keys_of_address, self.get_extra_info("peername"), key_data)
        if attempt.decision.verdict != "trusted":
            raise asyncssh.HostKeyNotVerifiable(attempt.decision.verdict)
        self._server_host_key = decode_ssh_public_key(shown_key(key_data))
        return self._server_host_key


def _also_for_address(look_up: Callable[[str], HostKeys], peer: tuple[str, int] | None, shown: bytes) -> Decision:
    if peer is None or ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
        return Decision("trusted")
    decision = look_up(peer[0]).decide(shown_key(shown))
    return Decision("trusted") if decision.verdict == "new" else decision


class Handshakes:
    """Options for asyncssh, prepared once for each choice of algorithms and copied for each attempt."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[Algorithms, bool], SSHClientConnectionOptions] = {}

    async def connect(
        self, attempt: Attempt, tunnel: SSHClientConnection | None, *, all_algorithms: bool = False
    ) -> SSHClientConnection:
        """Connect and log in within the endpoint's time. Raises what asyncssh and the network raise."""
        endpoint = attempt.endpoint
        options = self._options(attempt, tunnel, all_algorithms=all_algorithms)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(endpoint.connect_timeout):
            # The public connect() prepares all options again, in a thread, for each connection: 0.3 ms a target.
            connection: SSHClientConnection = await _connect(
                options, None, loop, 0, None, lambda: _Connection(loop, options, attempt), "Opening SSH connection to"
            )
        return connection

    def _options(self, attempt: Attempt, tunnel: SSHClientConnection | None, *, all_algorithms: bool) -> Any:
        endpoint = attempt.endpoint
        key = (endpoint.algorithms, all_algorithms)
        if key not in self._prepared:
            self._prepared[key] = _prepare(endpoint.algorithms, all_algorithms=all_algorithms)
        options: Any = copy.copy(self._prepared[key])
        options.protocol_factory = lambda: _Owner(attempt)
        options.host = options.orig_host = endpoint.host
        options.port, options.username, options.family = endpoint.port, endpoint.user, endpoint.family
        options.local_addr = (endpoint.bind_address, 0) if endpoint.bind_address else None
        options.tunnel = tunnel
        options.proxy_command = list(endpoint.proxy_command) or None
        options.client_keys = attempt.pairs
        # The keyword alone, and None for it, would not switch the agent off.
        usable = attempt.agent_identities is None or bool(attempt.agent_identities)
        options.agent_path = endpoint.agent if endpoint.agent and usable else None
        options.agent_identities = attempt.agent_identities
        options.login_timeout = endpoint.connect_timeout
        options.preferred_auth = list(endpoint.methods) if attempt.attended else ["publickey"]
        chosen = endpoint.algorithms.host_keys
        offered = [one for one in chosen if one in HOST_KEY_ALGORITHMS] or attempt.keys.order(HOST_KEY_ALGORITHMS)
        options.server_host_key_algs = list(offered)
        return options


def _prepare(algorithms: Algorithms, *, all_algorithms: bool) -> SSHClientConnectionOptions:
    return SSHClientConnectionOptions(
        config=None,
        client_version="canary_tui",
        known_hosts=([], [], []),
        server_host_key_algs=list(HOST_KEY_ALGORITHMS),
        x509_trusted_certs=None,
        x509_trusted_cert_paths=(),
        client_keys=None,
        agent_path=None,
        agent_forwarding=False,
        pkcs11_provider=None,
        username="",
        kex_algs=_kex(algorithms, all_algorithms=all_algorithms),
        encryption_algs=_supported(algorithms.ciphers, _CIPHERS.split(), _CIPHERS.split()),
        mac_algs=_macs(algorithms, all_algorithms=all_algorithms),
        compression_algs=["none"],
        host_based_auth=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        disable_trivial_auth=True,
        utf8_decode_errors="replace",
        keepalive_interval=KEEPALIVE_INTERVAL,
        keepalive_count_max=KEEPALIVE_COUNT,
        tcp_keepalive=True,
        x11_forwarding=False,
        env=None,
        send_env=None,
        command=None,
        request_pty=False,
        encoding=None,
    )


def _kex(algorithms: Algorithms, *, all_algorithms: bool) -> list[str]:
    names = [name.decode() for name in get_default_kex_algs()]
    safe = [name for name in names if not name.startswith("gss-") and not name.endswith("-sha1")]
    return _supported(algorithms.kex, safe if all_algorithms else _KEX.split(), safe)


def _macs(algorithms: Algorithms, *, all_algorithms: bool) -> list[str]:
    safe = [name.decode() for name in get_default_mac_algs() if b"sha1" not in name]
    return _supported(algorithms.macs, safe if all_algorithms else _MACS.split(), safe)


def _supported(chosen: tuple[str, ...], ours: list[str], safe: list[str]) -> list[str]:
    """What ssh_config chose as far as we have it, else ours; nothing in common is an error of the key exchange."""
    if not chosen:
        return ours
    common = [name for name in chosen if name in safe]
    if not common:
        raise asyncssh.KeyExchangeFailed(f"none of {', '.join(chosen)} (ssh_config) is supported here")
    return common
