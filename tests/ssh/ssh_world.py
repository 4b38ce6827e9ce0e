"""A world for ssh: keys, users, names and servers that only processes in its mount namespace see.

A server answers every session with one line: the login name, the address and port that were reached, and the keys
that were accepted.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

KEYS: dict[str, tuple[str, ...]] = {
    "work": ("-t", "ed25519", "-N", ""),
    "spare": ("-t", "ecdsa", "-N", ""),
    "locked": ("-t", "ed25519", "-N", "secret"),
    "stranger": ("-t", "ed25519", "-N", ""),
    "authority": ("-t", "ed25519", "-N", ""),
    "rsa": ("-t", "rsa", "-b", "2048", "-N", ""),
    "old-locked": ("-t", "rsa", "-b", "2048", "-N", "secret", "-m", "PEM"),
}
"""Key pairs in `{K}`, with what ssh-keygen makes them by. `{K}/work-cert.pub` and so on are certificates of theirs."""
CERTIFIED = ("work", "locked", "stranger", "rsa")
"""Keys that also have a certificate by `authority`, for every login."""
AUTHORIZED = {
    "root": ("work", "spare", "locked"),
    "deploy": ("work", "spare", "locked"),
    "admin": ("work", "spare", "locked"),
    "app": ("spare",),
    "CORP\\deploy": ("work",),
    "certified": (),
    "hop": ("work",),
}
"""The logins, and the keys that each of them takes. `certified` takes certificates of the authority only."""
SERVERS: dict[str, tuple[str, ...]] = {
    "main": ("TrustedUserCAKeys {K}/authority.pub", "AuthorizedPrincipalsFile {W}/principals"),
    "hop": ("AllowUsers hop",),
    "tries": ("MaxAuthTries 3",),
    "two": ("AuthenticationMethods publickey,publickey",),
}
"""The servers, each at its own port (`{main}` ...), with further lines of their sshd_config."""
ADDRESSES = ("127.0.0.1", "127.0.94.1", "127.0.94.2", "127.0.94.3", "::1")
"""Where each server listens."""
NAMES = {
    "localhost": ("127.0.0.1",),
    "shop-1": ("127.0.94.1",),
    "shop-2": ("127.0.94.2",),
    "shop-3": ("127.0.94.3",),
    "db.example": ("127.0.94.3",),
    "second": ("127.0.94.99", "127.0.94.2"),
    "deaf": ("127.0.94.98", "127.0.94.2"),
    "both": ("::1", "127.0.94.1"),
}
"""/etc/hosts: names and their addresses, in the order in which they are tried."""
BASE = """
Host *
  Port {main}
  IdentityFile {K}/work
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {W}/known_hosts
  GlobalKnownHostsFile /dev/null
  ConnectTimeout 10
"""
"""What stands behind each case's own lines."""

_SESSION = """#!/bin/sh
printf '%s|%s|%s\\n' "$LOGNAME" "${SSH_CONNECTION#* * }" "$(tr '\\n' '+' <"$SSH_USER_AUTH" 2>/dev/null)"
"""


@dataclass
class World:
    """One world in its folder; `running` starts its servers, inside the namespace."""

    folder: pathlib.Path
    ports: dict[str, int] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def home(self) -> pathlib.Path:
        return self.folder / "home"

    @property
    def keys(self) -> pathlib.Path:
        return self.folder / "keys"

    def lay_out(self) -> None:
        """Everything but the servers: keys, users and names."""
        for name in ("home/.ssh", "keys", "authorized", "cases"):
            (self.folder / name).mkdir(parents=True)
        for name, how in KEYS.items():
            _quietly("ssh-keygen", "-q", *how, "-C", name, "-f", self.keys / name)
        for name in CERTIFIED:
            _quietly(
                "ssh-keygen", "-q", "-s", self.keys / "authority", "-I", name, "-n", "all", self.keys / f"{name}.pub"
            )
            (self.keys / f"{name}-cert.pub").rename(self.keys / f"{name}.certificate")  # not beside its key
        _quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host_key")
        for user, taken in AUTHORIZED.items():
            lines = [(self.keys / f"{name}.pub").read_text() for name in taken]
            (self.folder / "authorized" / user).write_text("".join(lines))
        (self.folder / "principals").write_text("all\n")
        host_key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text(f"* {host_key}\n")
        known = {"known_hosts": "*", "shops": "shop", "six": "[::1]:*", "six-in-full": "[0:0:0:0:0:0:0:1]:*"}
        for name, patterns in known.items():
            (self.keys / name).write_text(f"{patterns} {host_key}\n")
        shutil.copy(self.keys / "spare", self.home / ".ssh" / "root-0")
        (self.home / ".ssh" / "more").write_text("Host shop-3\n User admin\n")
        (self.folder / "ssh_config").write_text("# nothing\n")
        session = self.folder / "session"
        session.write_text(_SESSION)
        session.chmod(0o755)
        users = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
        ours = [f"{user}:x:0:0::{self.home}:/bin/sh" for user in AUTHORIZED]
        (self.folder / "passwd").write_text("\n".join([*ours, *users]) + "\n")
        names = [f"{address} {name}" for name, addresses in NAMES.items() for address in addresses]
        (self.folder / "hosts").write_text("\n".join(names) + "\n")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The servers, up for as long as the context."""
        import farm

        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        try:
            for name, extra in SERVERS.items():
                self.ports[name] = farm._free_port()
                self._start(
                    name, [line.replace("{K}", str(self.keys)).replace("{W}", str(self.folder)) for line in extra]
                )
            for port in self.ports.values():
                for address in ADDRESSES:
                    _until(functools.partial(farm._answers, address, port))
            with _deaf("127.0.94.98", self.ports["main"]):
                yield
        finally:
            for process in self.started:
                process.kill()
                process.wait()

    def _start(self, name: str, extra: list[str]) -> None:
        import farm

        config = self.folder / f"sshd_{name}"
        lines = [f"Port {self.ports[name]}", f"HostKey {self.folder}/host_key", *extra, "StrictModes no", "UsePAM no"]
        lines += [f"ListenAddress {address}" for address in ADDRESSES] + ["PidFile none", "PermitRootLogin yes"]
        lines += [f"AuthorizedKeysFile {self.folder}/authorized/%u", f"ForceCommand {self.folder}/session"]
        lines += ["ExposeAuthInfo yes", "MaxStartups 1000", "UseDNS no", "PasswordAuthentication no"]
        lines += ["KbdInteractiveAuthentication no", "LogLevel VERBOSE"]
        config.write_text("\n".join(lines) + "\n")
        with (self.folder / f"{name}.log").open("ab") as log:
            self.started.append(
                subprocess.Popen(
                    [farm.SSHD, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )


@contextlib.contextmanager
def _deaf(address: str, port: int) -> Iterator[None]:
    """An address at which connecting gets no answer at all: its queue is full, and nobody takes from it."""
    with contextlib.ExitStack() as kept:
        kept.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(2):
            client = kept.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address, port))
        yield


@contextlib.contextmanager
def agent(folder: pathlib.Path, keys: list[pathlib.Path]) -> Iterator[None]:
    """An agent at `{F}/agent`, whose program for questions says yes after a second."""
    if not keys:
        yield
        return
    ask = folder / "yes"
    ask.write_text("#!/bin/sh\nsleep 1\n")
    ask.chmod(0o755)
    environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    process = subprocess.Popen(["ssh-agent", "-D", "-a", folder / "agent"], stdout=subprocess.DEVNULL, env=environment)
    try:
        _until(functools.partial(listens, folder / "agent"))
        environment["SSH_AUTH_SOCK"] = str(folder / "agent")
        passphrase = folder / "passphrase"
        passphrase.write_text("#!/bin/sh\necho secret\n")
        passphrase.chmod(0o755)
        environment["SSH_ASKPASS"] = str(passphrase)
        for key in keys:
            confirmed = ["-c"] if key.name.endswith("?") else []
            _quietly("ssh-add", "-q", *confirmed, key.with_name(key.name.rstrip("?")), env=environment)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def listens(path: pathlib.Path) -> bool:
    """A socket file is there a moment before anybody listens at it."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _quietly(*command: str | pathlib.Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=30)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
