"""Real OpenSSH servers on loopback addresses, one a target, each with a home, a command log and a host key of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
GROUP = 16  # addresses that one sshd can listen on

_WRAPPER = """#!/bin/sh
# ForceCommand of {name}: the server's own log of what it was asked to run, then that.
cd "$HOME" || exit 1
printf '%s\\t%s\\t%s\\n' "$(date +%s.%N)" "$SSH_CLIENT" "$SSH_ORIGINAL_COMMAND" >> {log}
[ -n "$SSH_ORIGINAL_COMMAND" ] || exec {shell}
exec {shell} -c "$SSH_ORIGINAL_COMMAND"
"""


def available() -> str:
    """Why real servers cannot be started here, or "" if they can."""
    return "" if pathlib.Path(SSHD).exists() and shutil.which("ssh-keygen") else "sshd is not installed"


@dataclass
class FarmTarget:
    """One server. `home` is $HOME of its sessions, `log` has a line for each command that it was asked to run."""

    name: str
    address: str
    home: pathlib.Path
    log: pathlib.Path
    listener: int  # pid of the sshd that serves it
    shared: bool = False  # that sshd serves other targets, too

    def commands(self) -> list[str]:
        """What the server was asked to run, oldest first."""
        return self._column(2)

    def connections(self) -> list[str]:
        """Over which connections that came, oldest first: the address and port of the other end of each."""
        return list(dict.fromkeys(filter(None, self._column(1))))

    def _column(self, number: int) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [[*line.split("\t", 2), "", ""][number] for line in lines]

    def read(self, name: str) -> str:
        """A file of the target's home, "" where there is none."""
        path = self.home / name
        return path.read_text(errors="replace") if path.exists() else ""

    def sessions(self) -> list[int]:
        """Pids of the sshd processes that serve open connections to the target's address."""
        pids = [pid for pid in _children(self.listener) if _name(pid).startswith("sshd")]
        if not self.shared:  # a frozen session whose client has gone has no connection in the table any more
            return pids
        served = _connections_to(self.address)
        return [pid for pid in pids if served & _sockets(pid)]

    def kill_sessions(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the sshd of each open connection; how many there were."""
        pids = self.sessions()
        for pid in pids:
            for one in [*_children(pid), pid]:
                if _name(one).startswith("sshd"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, number)
        return len(pids)


@dataclass
class Farm:
    """`count` targets `web-1` ... on 127.0.`net`.x, one port. Use as a context manager.

    `extra` are further sshd_config lines; `shell` is what runs commands; `own_sshd` gives each target its own sshd.
    `machine` are files of the machine, such as /etc/shadow, with the text that the servers see there (as root only).
    """

    folder: pathlib.Path
    count: int
    net: int = 1
    extra: tuple[str, ...] = ()
    shell: str = "/bin/sh"
    own_sshd: bool = True
    prefix: str = "web-"
    port: int = 0
    machine: dict[str, str] = field(default_factory=dict)
    targets: list[FarmTarget] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Farm:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.port = self.port or _free_port()
        self.identity = self.folder / "id_ed25519"
        _keygen(self.identity)
        shutil.copy(self.folder / "id_ed25519.pub", self.folder / "authorized_keys")
        self.known_hosts = self.folder / "known_hosts"
        self.ssh_config = self.folder / "ssh_config"
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        self.known_hosts.write_text("".join(f"[{t.address}]:{self.port} {self.host_key(t)}\n" for t in self.targets))
        self.ssh_config.write_text(self._client_config())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def host_key(self, target: FarmTarget) -> str:
        """The target's public host key: `ssh-ed25519 AAAA...`."""
        group = self.targets.index(target) // self._per_sshd
        return " ".join((self.folder / f"host_key_{group}.pub").read_text().split()[:2])

    def stop(self) -> None:
        """End every server and every connection that it serves."""
        for process in self._processes:
            below = _descendants(process.pid)
            process.kill()
            for pid in below:
                if _name(pid).startswith("sshd"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def stop_target(self, target: FarmTarget) -> None:
        """End one target's server (own_sshd only), so that nothing answers at its address."""
        process = self._processes[self.targets.index(target) // self._per_sshd]
        for pid in [process.pid, *_descendants(process.pid)]:
            if _name(pid).startswith("sshd"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()

    def fleet(self, body: str, *, name: str = "shop", targets: bool = True) -> pathlib.Path:
        """Write a fleet file for this farm: `body` is everything but the name, `[ssh]` and the targets."""
        text = [f'name = "{name}"', body, "[ssh]", f'config = "{self.ssh_config}"']
        for target in self.targets if targets else ():
            text += ["[[targets]]", f'name = "{target.name}"', f'host = "{target.address}"']
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(text) + "\n")
        return path

    @property
    def _per_sshd(self) -> int:
        return 1 if self.own_sshd else GROUP

    def _start_all(self) -> None:
        names = [(f"{self.prefix}{i + 1}", f"127.0.{self.net + i // 250}.{1 + i % 250}") for i in range(self.count)]
        for group, start in enumerate(range(0, self.count, self._per_sshd)):
            self._start_group(group, names[start : start + self._per_sshd])
        deadline = time.monotonic() + 30
        for target in self.targets:
            while not _answers(target.address, self.port):
                if time.monotonic() > deadline:
                    raise TimeoutError((self.folder / "sshd.log").read_text()[-2000:])
                time.sleep(0.02)

    def _start_group(self, group: int, members: list[tuple[str, str]]) -> None:
        host_key = self.folder / f"host_key_{group}"
        _keygen(host_key)
        lines = [f"Port {self.port}", f"HostKey {host_key}", f"AuthorizedKeysFile {self.folder}/authorized_keys"]
        lines += [f"ListenAddress {address}" for _, address in members]
        lines += [line for line in self.extra if not line.startswith("MaxStartups")]
        lines += ["UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "StrictModes no"]
        lines += ["PermitRootLogin prohibit-password", "MaxStartups 1000:30:2000", "UseDNS no", "PrintMotd no"]
        lines += [line for line in self.extra if line.startswith("MaxStartups")]  # of this one the last word counts
        lines += ["PrintLastLog no", "LogLevel ERROR", "PidFile none", f"Subsystem sftp {_sftp_server()}"]
        for name, address in members:
            home = self.folder / name
            home.mkdir(exist_ok=True)
            lines += [f"Match LocalAddress {address}", f"  SetEnv HOME={home}", f"  ForceCommand {self._wrapper(name)}"]
        config = self.folder / f"sshd_{group}.conf"
        config.write_text("\n".join(lines) + "\n")
        with (self.folder / "sshd.log").open("ab") as log:
            environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
            process = subprocess.Popen(
                [*self._namespace(), SSHD, "-D", "-e", "-f", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._processes.append(process)
        for name, address in members:
            self.targets.append(
                FarmTarget(
                    name, address, self.folder / name, self.folder / f"{name}.commands", process.pid, not self.own_sshd
                )
            )

    def _namespace(self) -> list[str]:
        """The words before a command that make it see `machine`."""
        mounts = []
        for number, (path, text) in enumerate(self.machine.items()):
            seen = self.folder / f"machine_{number}"
            seen.write_text(text)
            seen.chmod(0o644)
            mounts.append(f"mount --bind {seen} {path}")
        words = ["unshare", "-m", "--propagation", "private", "sh", "-c"]
        return [*words, " && ".join([*mounts, 'exec "$@"']), "sh"] if mounts else []

    def _wrapper(self, name: str) -> pathlib.Path:
        path = self.folder / f"{name}.wrapper"
        path.write_text(_WRAPPER.format(name=name, log=self.folder / f"{name}.commands", shell=self.shell))
        path.chmod(0o755)
        return path

    def _client_config(self) -> str:
        user = os.environ.get("USER") or "root"
        return (
            f"Host *\n Port {self.port}\n User {user}\n IdentityFile {self.identity}\n IdentitiesOnly yes\n"
            f" IdentityAgent none\n UserKnownHostsFile {self.known_hosts}\n GlobalKnownHostsFile /dev/null\n"
            " StrictHostKeyChecking yes\n BatchMode yes\n"
        )


def _keygen(path: pathlib.Path) -> None:
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _connections_to(address: str) -> set[str]:
    """The inodes of the connections whose nearer end this address is."""
    number = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1].startswith(f"{number}:")}


def _sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    try:
        links = [os.readlink(one) for one in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _descendants(pid: int) -> list[int]:
    return [one for child in _children(pid) for one in (child, *_descendants(child))]


def _name(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _sftp_server() -> str:
    places = ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server")
    return next((place for place in places if pathlib.Path(place).exists()), "internal-sftp")
