"""Makes one attempt to log in to one server: gives asyncssh its options, answers its questions, keeps what it learned.

An attempt never waits for a person. Where one is needed it ends, and `Attempt` says what was learned; `login` asks, and
makes another. So nobody who reads a question holds a slot for handshakes, and no server waits at its LoginGraceTime.

        connect()
            |
      [ transport ]      a socket, a channel through the jump host, or a ProxyCommand
            |            hung up here or in the next two: `failures` knows from its words how often to try again
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
4. Keys come in the order of `offers`; all are offered in one round, and each attempt has fresh copies, because the
   library notes in a key which signature this one server took.
5. The connect limit ends at `encrypted`, as ConnectTimeout does for ssh. The login has a limit of its own, which does
   not run while a signature is waited for: an agent may ask a person for a touch.
6. A password is given once a method and attempt: a server that asks again has refused it.
7. A server may want a key and a password, in any order. It has accepted what was given when its method is not among
   those that it names next. Keys that were refused before are offered again only behind an accepted password.
8. A server that lets in whoever comes has proved nothing (`disable_trivial_auth`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from canary_tui.ssh.connection import private_parts
from canary_tui.ssh.connection.addresses import first_that_answers
from canary_tui.ssh.connection.agent import Agent
from canary_tui.ssh.connection.clock import Clock
from canary_tui.ssh.connection.hostkeys import HostKeyAnswer, HostKeys, fingerprint, shown_key
from canary_tui.ssh.connection.proxy import Proxy, ProxyEnd
from canary_tui.ssh.connection.resolve import Algorithms, Endpoint
from canary_tui.text.safe import one_line

KEEPALIVE_INTERVAL = 4.8
"""Seconds. Three unanswered and one more interval: a peer that is silent is given up after 19.2 s, so within 20."""
KEEPALIVE_COUNT = 3
_LONGEST_GREETING = 2000
LOGIN_WITHIN = 30.0
"""Seconds for a login after the key exchange, as long as ConnectTimeout lasts; the time of agents does not count."""

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
    offers: list[asyncssh.SSHKeyPair] = field(default_factory=list)
    """Keys to offer, in their order."""
    password: str | None = None
    keys_last: bool = False
    """The keys were refused before: they are offered again only once the password was taken."""
    attended: bool = False
    agent: Agent | None = None
    """Signs for those of the offers that are its own."""
    keys_of_address: Callable[[str], HostKeys] | None = None
    """Looks up the keys of an address, where CheckHostIP wants them to agree."""
    answer: HostKeyAnswer = HostKeyAnswer("new")
    shown: bytes = b""
    """The host key or certificate that the server proved to have."""
    logging_in: bool = False
    signing: bool = False
    """An agent or a security key is being waited for."""
    takes_keys: bool = False
    """The server has asked for a key."""
    unsigned: list[str] = field(default_factory=list)
    """Keys that the server took, and with which nobody signed."""
    accepted: set[bytes] = field(default_factory=set)
    """The keys that the server accepted, in the form in which they were offered, and then wanted more."""
    password_accepted: bool = False
    would_take: set[str] = field(default_factory=set)
    """Ways to log in, beside keys, that the server offered, after it accepted what we gave."""
    words: str = ""
    """The server's own words: its banner, or its question."""
    proxy_end: ProxyEnd | None = None
    clock: Clock = field(default_factory=Clock)
    greeting: bytes = b""
    """The beginning of all that the server sent, up to its version and a bit beyond."""

    @property
    def has_version(self) -> bool:
        """True once the server showed that it speaks SSH."""
        return self.greeting.startswith(b"SSH-") or b"\nSSH-" in self.greeting

    @property
    def first_words(self) -> str:
        """The server's words before its version, made safe."""
        before = f"\n{self.greeting.decode(errors='replace')}".partition("\nSSH-")[0]
        return one_line(before.strip(), 200)


class _Client(asyncssh.SSHClient):
    """Answers what asyncssh asks while logging in, from what is in the attempt."""

    _connection: asyncssh.SSHClientConnection

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._rounds = 0
        self._tried: set[str] = set()
        self._given: tuple[str, asyncssh.SSHKeyPair | None] | None = None
        """The method and key that the server has not been seen to answer yet."""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        peer = conn.get_extra_info("peername")
        self._connection = conn
        private_parts.judge_host_key_by(conn, lambda shown: self._judge(shown, peer))
        private_parts.log_no_packets(conn)
        private_parts.live_while_heard(conn, self._heard)

    def _heard(self, data: bytes) -> None:
        self._attempt.clock.heard()
        if len(self._attempt.greeting) < _LONGEST_GREETING:
            self._attempt.greeting += data[:_LONGEST_GREETING]

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, asyncssh.PermissionDenied):  # after what was given last, no method was left that we know
            self._note_acceptance()

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
        self._attempt.clock.allow(login_limit(self._attempt.endpoint))

    def auth_banner_received(self, msg: str, lang: str) -> None:
        del lang
        self._attempt.words = one_line(f"{self._attempt.words} {msg}"[:2000])

    def public_key_auth_requested(self) -> list[asyncssh.SSHKeyPair] | None:
        """All keys at once; None when they were refused."""
        self._hear("publickey")
        attempt = self._attempt
        attempt.takes_keys = True
        if attempt.password_accepted:
            attempt.would_take.add("publickey")
        if "publickey" in self._tried or (attempt.keys_last and not attempt.password_accepted):
            return None
        self._tried.add("publickey")
        offers = attempt.offers
        if offers and offers[-1].get_algorithm() == "ssh-rsa-cert-v01@openssh.com":
            # Of the last key the library forgets to offer the certificate under its second name, rsa-sha2-*.
            offers = [*offers, offers[-1]]
        return [private_parts.signed_by(pair, self._sign) for pair in offers]

    async def _sign(self, pair: asyncssh.SSHKeyPair, signer: private_parts.Signer) -> bytes:
        """A signature; the server has taken the key, and waits."""
        attempt = self._attempt
        agent = attempt.agent if pair.get_key_type() == "agent" else None
        attempt.signing = True
        try:
            with attempt.clock.stopped():
                signed = await (signer() if agent is None else agent.sign(signer))
        except ValueError:  # the library goes on with the next key, as ssh does
            attempt.signing = False
            attempt.unsigned.append(f"the agent did not sign with {fingerprint(private_parts.public_data(pair))}")
            raise
        attempt.signing = False
        self._given = ("publickey", pair)
        return signed

    def password_auth_requested(self) -> str | None:
        self._hear("password")
        return self._password_for("password")

    def kbdint_auth_requested(self) -> str | None:
        self._hear("keyboard-interactive")
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
        if self._attempt.password is not None:
            self._given = (method, None)
        return self._attempt.password

    def _hear(self, method: str) -> None:
        """Learn from the method that is asked for now how the server took what was given before.

        No method that it accepted is among those that are left: the library has no other sign of it.
        """
        if self._given is not None:
            if self._given[0] in (method, *self._connection.get_server_auth_methods()):
                self._given = None
            else:
                self._note_acceptance()

    def _note_acceptance(self) -> None:
        given, self._given = self._given, None
        if given is not None:
            self._attempt.would_take.clear()
            if given[1] is None:
                self._attempt.password_accepted = True
            else:
                self._attempt.accepted.add(private_parts.offered(given[1]))


def login_limit(endpoint: Endpoint) -> float:
    """Seconds for a silence of the server in a login: what it asks elsewhere may take longer than connecting."""
    return max(endpoint.connect_timeout, LOGIN_WITHIN)


def _also_for_address(look_up: Callable[[str], HostKeys], peer: tuple[str, int] | None, shown: bytes) -> HostKeyAnswer:
    if peer is None or ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
        return HostKeyAnswer("trusted")
    answer = look_up(peer[0]).judge(shown_key(shown))
    return HostKeyAnswer("trusted") if answer.trust == "new" else answer


async def log_in(
    attempt: Attempt, tunnel: asyncssh.SSHClientConnection | Proxy | None, *, all_algorithms: bool = False
) -> asyncssh.SSHClientConnection:
    """Connect, and log in, within the attempt's time. Raises what asyncssh, the agent and the network raise."""
    endpoint = attempt.endpoint
    chosen = endpoint.algorithms.host_keys
    offered = [one for one in chosen if one in HOST_KEY_ALGORITHMS] or attempt.keys.order(HOST_KEY_ALGORITHMS)
    options = _OPTIONS | _algorithms(endpoint.algorithms, all_algorithms=all_algorithms)
    async with attempt.clock.start(endpoint.connect_timeout):
        sock = await first_that_answers(endpoint) if tunnel is None else None
        return await asyncssh.connect(
            endpoint.host,
            endpoint.port,
            username=endpoint.user,
            family=endpoint.family,
            local_addr=(endpoint.bind_address, 0) if endpoint.bind_address and sock is None else None,
            sock=sock,
            tunnel=tunnel,
            proxy_command=None,
            client_factory=lambda: _Client(attempt),
            login_timeout=0,  # the clock knows what the server is not to blame for
            preferred_auth=list(endpoint.methods) or ["none"],
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
