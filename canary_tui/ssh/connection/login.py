"""Connects and logs in to one server: checks the host key, offers keys, asks a person, retries after drops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Container, Iterator

import asyncssh
from asyncssh import SSHClientConnection, SSHKeyPair

from canary_tui.engine.target import Asker, Question
from canary_tui.errors import CanaryError
from canary_tui.ssh.connection.agent import Agent, AgentError, AgentKeys
from canary_tui.ssh.connection.failures import explained, tries_more, wanted
from canary_tui.ssh.connection.handshake import Attempt, log_in
from canary_tui.ssh.connection.hostkeys import HostKeyAnswer, HostKeys, HostNames, fingerprint, key_type, shown_key
from canary_tui.ssh.connection.keyring import Answers, Keyring, Questions
from canary_tui.ssh.connection.known_hosts import KnownHosts, remember
from canary_tui.ssh.connection.off_loop import off_loop
from canary_tui.ssh.connection.offers import in_order
from canary_tui.ssh.connection.passwords import Passwords
from canary_tui.ssh.connection.private_parts import offered, public_data
from canary_tui.ssh.connection.proxy import Proxy
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.text.safe import one_line
from canary_tui.text.secrets import Redactor

HANDSHAKES_AT_ONCE = 32
HANDSHAKES_AT_ONE_ADDRESS = 8
"""Below sshd's default MaxStartups 10. All ways through a ProxyCommand count as one: they may begin at one server."""


class LinkError(CanaryError):
    """There is no connection. `final`: trying again cannot help (settings, host key, login refused)."""

    def __init__(self, detail: str, *, final: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.final = final


class Shared:
    """The host keys, keys, passwords and limits on handshakes that all logins of a fleet share."""

    def __init__(self, asker: Asker | None, redactor: Redactor, answers: Answers) -> None:
        answers.hide(redactor)
        self.known_hosts = KnownHosts()
        self._reading = asyncio.Lock()
        self._read: set[tuple[str, ...]] = set()
        """The files that were read together. Changed ones are read again where they are looked at."""
        self.questions = Questions(asker, redactor)
        self.keyring = Keyring(self.questions, answers.passphrases)
        self.passwords = Passwords(self.questions, answers.passwords)
        self.sudo_passwords = Passwords(self.questions, answers.sudo_passwords)
        self._agents: dict[str, Agent] = {}
        self._proxies: set[Proxy] = set()
        self._all = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._by_address: dict[tuple[str, int], asyncio.Semaphore] = {}

    def agent(self, path: str) -> Agent:
        """The agent at a socket; "" for none."""
        return self._agents.setdefault(path, Agent(path))

    def proxy(self, endpoint: Endpoint) -> Proxy | None:
        """A ProxyCommand that is still to be started, where the endpoint has one."""
        return Proxy(endpoint.proxy_command, self._proxies) if endpoint.proxy_command else None

    async def close(self) -> None:
        """End every ProxyCommand."""
        for proxy in list(self._proxies):
            proxy.close()
            await proxy.wait_closed()

    async def read_files(self, endpoint: Endpoint) -> None:
        """Read the files that a login needs, unless they were; LinkError where it takes longer than connecting may."""

        def read() -> None:
            self.keyring.identities(endpoint)
            self.keyring.certificates(endpoint)
            self.known_hosts.load(endpoint.rules)

        if endpoint.files in self._read:
            return  # a thread for each of many targets would cost each of them the loop's patience
        limit = endpoint.connect_timeout
        try:
            async with asyncio.timeout(limit), self._reading:
                if endpoint.files not in self._read:
                    await off_loop(read, limit)
                    self._read.add(endpoint.files)
        except TimeoutError:
            detail = f"keys and known hosts cannot be read within {limit:.0f} s: {', '.join(endpoint.files[:4])}"
            raise LinkError(detail, final=False) from None

    @contextlib.asynccontextmanager
    async def handshake(self, endpoint: Endpoint) -> AsyncIterator[None]:
        """A slot for one handshake."""
        first_server = ("", 0) if endpoint.proxy_command else (endpoint.host, endpoint.port)
        at_address = self._by_address.setdefault(first_server, asyncio.Semaphore(HANDSHAKES_AT_ONE_ADDRESS))
        async with at_address, self._all:
            yield


class Login:
    """One login: host key, keys, passphrases, password, and retries after drops."""

    def __init__(self, shared: Shared, endpoint: Endpoint, name: str, tunnel: SSHClientConnection | None) -> None:
        self._shared = shared
        self._endpoint = endpoint
        self._name = name
        self._tunnel = tunnel
        self._agent = AgentKeys(shared.agent(endpoint.agent))
        self._refused: set[bytes] = set()
        self._pinned: HostKeys | None = None
        self._all_algorithms = False

    async def connect(self) -> SSHClientConnection:
        await self._shared.read_files(self._endpoint)
        if not await self._offers():
            await self._unlock()
        connection, attempt = await self._try()
        while connection is None and attempt.takes_keys and not attempt.accepted and await self._unlock():
            connection, attempt = await self._try()
        if connection is None:
            connection = await self._with_password(attempt)
        if connection is None:
            raise LinkError(self._denied(attempt), final=True)
        return connection

    async def _unlock(self) -> bool:
        """Find a key that was not refused yet, unlocking one if needed. False where there is none."""
        asks = self._shared.questions.attended and self._endpoint.asks_for_secrets
        for identity in self._shared.keyring.identities(self._endpoint):
            if identity.locked and asks and identity.public not in self._refused:
                await self._shared.keyring.unlock(identity, self._endpoint, self._name)
            if identity.pair is not None and public_data(identity.pair) not in self._refused:
                return True
        return False

    async def _with_password(self, attempt: Attempt) -> SSHClientConnection | None:
        taken: list[SSHClientConnection] = []

        def question(trouble: str) -> Question:
            taken_so_far = "The key was accepted, and a password is wanted as well." if attempt.accepted else ""
            said = f"The server says: {attempt.words}" if attempt.words else ""
            words = " ".join(filter(None, (trouble, taken_so_far, said)))
            return Question("password", self._name, self._endpoint.address, words)

        async def use(password: str) -> bool:
            connection, tried = await self._try(password, attempt.accepted)
            while connection is None and tried.password_accepted and await self._unlock():
                connection, tried = await self._try(password, attempt.accepted)
            if connection is None and tried.password_accepted:
                raise LinkError(self._denied(tried), final=True)
            taken.extend([connection] if connection else [])
            return connection is not None

        if attempt.would_take and self._shared.questions.attended:
            await self._shared.passwords.use(self._endpoint.user, question, use)
        return taken[0] if taken else None

    async def _try(
        self, password: str | None = None, accepted: Container[bytes] = ()
    ) -> tuple[SSHClientConnection | None, Attempt]:
        """One attempt; None where the server refused what we offered. Some failures are worth another try."""
        for failures, wait in enumerate(backoff(0.2, 3)):
            attempt = await self._attempt(password, accepted)
            try:
                return await self._log_in(attempt), attempt
            except asyncssh.PermissionDenied:
                if attempt.takes_keys:
                    self._refused |= {offered(pair) for pair in attempt.offers} - attempt.accepted
                return None, attempt
            except asyncssh.HostKeyNotVerifiable:
                await self._ask_about(attempt)
            except asyncssh.KeyExchangeFailed as error:
                if self._all_algorithms:
                    raise LinkError(f"no algorithm in common: {one_line(str(error))}", final=True) from None
                self._all_algorithms = True
            except (asyncssh.Error, AgentError, OSError, ValueError) as error:
                if failures >= tries_more(error, attempt):
                    detail, final = explained(error, attempt, failures + 1)
                    raise LinkError(detail, final=final) from None
                await asyncio.sleep(wait)
        raise AssertionError("backoff has no end")

    async def _log_in(self, attempt: Attempt) -> SSHClientConnection:
        proxy = self._shared.proxy(self._endpoint)
        try:
            async with self._turn(attempt), self._shared.handshake(self._endpoint):
                return await log_in(attempt, proxy or self._tunnel, all_algorithms=self._all_algorithms)
        except (asyncssh.Error, OSError, ValueError):
            if proxy is not None:
                proxy.close()
                await proxy.wait_closed()
                attempt.proxy_end = proxy.end
            raise
        finally:
            self._agent.close()

    def _turn(self, attempt: Attempt) -> contextlib.AbstractAsyncContextManager[object]:
        """A place among those who wait for a person's touch, where it is known that they will have to."""
        asks = any(pair.get_key_type() == "agent" for pair in attempt.offers)
        agent = self._agent.agent
        return agent.turns if asks and agent.is_deliberate else contextlib.nullcontext()

    async def _offers(self) -> list[SSHKeyPair]:
        """The keys that can be offered, in their order."""
        keyring, endpoint = self._shared.keyring, self._endpoint
        if "publickey" not in endpoint.methods:
            return []
        try:
            of_agent = await self._agent.pairs()
        except AgentError as error:
            raise LinkError(str(error), final=False) from None
        certificates = keyring.certificates(endpoint)
        return in_order(keyring.identities(endpoint), certificates, of_agent, only=endpoint.identities_only)

    async def _attempt(self, password: str | None, accepted: Container[bytes]) -> Attempt:
        """`accepted`: the keys that the server took before, and then wanted a password."""
        endpoint, known = self._endpoint, self._shared.known_hosts
        offers = await self._offers()
        chosen = [pair for pair in offers if offered(pair) in accepted]
        if password is None:
            chosen = [pair for pair in offers if offered(pair) not in self._refused]
        return Attempt(
            endpoint,
            self._pinned or known.look_up(endpoint.names, endpoint.rules),
            chosen or offers,
            password,
            keys_last=password is not None and not chosen,
            attended=self._shared.questions.attended and endpoint.asks_for_secrets,
            agent=self._agent.agent,
            keys_of_address=self._keys_of_address() if endpoint.rules.check_address else None,
        )

    def _keys_of_address(self) -> Callable[[str], HostKeys] | None:
        endpoint, known = self._endpoint, self._shared.known_hosts
        if endpoint.via or endpoint.proxy_command or endpoint.names.alias:
            return None
        return lambda address: known.look_up(HostNames(address, endpoint.port), endpoint.rules)

    async def _ask_about(self, attempt: Attempt) -> None:
        """Return once a person has accepted the new host key that was shown; LinkError for every other."""
        endpoint, key = self._endpoint, shown_key(attempt.shown)
        if attempt.answer.trust != "new":
            raise LinkError(_alarm(endpoint, key, attempt.answer), final=True)
        if not self._shared.questions.attended or not endpoint.asks_about_host_keys:
            notes = self._shared.known_hosts.notes(endpoint.rules.user_files)
            raise LinkError(_unknown(endpoint, key, notes), final=True)
        async with self._shared.questions.turn():
            answer = self._shared.known_hosts.look_up(endpoint.names, endpoint.rules).judge(attempt.shown)
            if answer.trust == "trusted":
                return  # accepted for another target meanwhile
            question = Question(
                "host-key", self._name, endpoint.address, key_type=key_type(key), fingerprint=fingerprint(key)
            )
            if answer.trust != "new" or await self._shared.questions.ask(question) != "yes":
                raise LinkError(f"host key of {endpoint.address} not accepted: {_described(key)}", final=True)
            await self._keep(key)

    async def _keep(self, key: bytes) -> None:
        endpoint = self._endpoint
        if not endpoint.rules.user_files:
            raise LinkError(
                "the host key cannot be stored: there is no known_hosts file (UserKnownHostsFile none)", final=True
            )
        file, hashed = endpoint.rules.user_files[0], endpoint.rules.hash_names
        try:
            await off_loop(lambda: remember(file, endpoint.names, key, hashed=hashed), endpoint.connect_timeout)
        except TimeoutError:
            raise LinkError(f"{file}: the key cannot be kept: no answer from its disk", final=True) from None
        self._pinned = HostKeys.pinned(endpoint.names.look_up()[0], key)

    def _denied(self, attempt: Attempt) -> str:
        keyring, endpoint = self._shared.keyring, self._endpoint
        identities = keyring.identities(endpoint)
        problems = [
            f"{one.path}: {one.problem}" for one in identities if one.problem and one.public not in self._refused
        ]
        if not endpoint.usual_identities:
            problems += [f"{one.path}: there is no such file" for one in identities if one.missing]
        problems += keyring.bad_certificates(endpoint) + attempt.unsigned
        reasons = [] if attempt.accepted else problems
        return "; ".join(
            [f"login refused for {endpoint.address}", *reasons, *wanted(attempt), *filter(None, [attempt.words])]
        )


def _described(key: bytes) -> str:
    return f"{key_type(key)} {fingerprint(key)}"


def _alarm(endpoint: Endpoint, key: bytes, answer: HostKeyAnswer) -> str:
    what = "is revoked" if answer.trust == "revoked" else "is not the known one"
    return (
        f"the host key of {endpoint.address} {what}: the server shows {_described(key)}; {answer.reason}. "
        "Somebody may be intercepting the connection. If the key was replaced on purpose, correct that line."
    )


def _unknown(endpoint: Endpoint, key: bytes, notes: tuple[str, ...]) -> str:
    port = f" -p {endpoint.port}" if endpoint.port != 22 else ""
    scan = f"`ssh-keyscan{port} {endpoint.host}`"
    way_out = f"add the line of {scan} to a file, and name that in the fleet file: ssh.known-hosts"
    if file := next((file for file in endpoint.rules.user_files if file != os.devnull), None):
        way_out = f"connect once with `ssh{port} {endpoint.name}`, or add the line of {scan} to {file}"
    passed_over = f" Ignored lines: {'; '.join(notes[:3])}." if notes else ""
    return (
        f"the host key of {endpoint.address} is not known: {_described(key)}. Check the fingerprint, then {way_out}."
        f"{passed_over}"
    )


def backoff(first: float = 0.5, most: float = 15.0) -> Iterator[float]:
    """Seconds to wait, doubling, each shortened by up to half at random so that a fleet does not march in step."""
    wait = first
    while True:
        yield wait * (1 - secrets.randbelow(500) / 1000)
        wait = min(most, wait * 2)
