"""Writes a demo's folder, with its keys, ports and settings, and completes one that was kept.

demo.toml                 the fleet file
ssh_config known_hosts    how to reach the targets
keys/                     the operator's key, and one host key for each target
servers.toml              the folder and the ports that these were written for: kept, they are used again
web-1/ ... stage-1/       the targets' homes, with programs in bin/ and what the shop tells in shop.log
"""

from __future__ import annotations

import shutil
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import tomli_w

from canary_tui.demo.fleet import FLEET_FILE, INSTALLED, PORTS_FILE, TARGETS, USER, write_fleet_file

ADDRESS = "127.0.0.1"
_PROGRAMS = {"unpack-shop": "unpack.sh", "restart-shop": "restart.sh", "shop-stats": "stats.sh"}
"""The commands on every target's PATH, and the files here that they are copies of."""


@dataclass(frozen=True, slots=True)
class Station:
    """One target, about to be served: both sockets are bound, neither listens yet."""

    name: str
    home: Path
    host_key: asyncssh.SSHKey
    ssh: socket.socket
    web: socket.socket

    @property
    def ports(self) -> dict[str, int]:
        return {"ssh": self.ssh.getsockname()[1], "web": self.web.getsockname()[1]}


def set_up(folder: Path, faults: dict[str, str]) -> list[Station]:
    """Write, or complete, everything that the folder holds."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    _key(keys / "operator")
    former = _former_record(folder)
    stations = [_station(folder, name, former.get(name, {})) for name in TARGETS]
    for station in stations:
        _furnish(station.home, faults.get(station.name, ""))
    record = {"servers": {"folder": str(folder)}} | {station.name: dict(station.ports) for station in stations}
    if record != former or not (folder / FLEET_FILE).exists():
        _write_files(folder, stations)
        (folder / PORTS_FILE).write_text(tomli_w.dumps(record), encoding="utf-8")
    return stations


def operator_key(folder: Path) -> asyncssh.SSHKey:
    """The public key that the servers let in."""
    return asyncssh.read_public_key(folder / "keys" / "operator.pub")


def _station(folder: Path, name: str, ports: dict[str, int]) -> Station:
    host_key = _key(folder / "keys" / f"host-{name}")
    return Station(name, folder / name, host_key, _bind(ports.get("ssh", 0)), _bind(ports.get("web", 0)))


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError:
        if not port:
            raise
        return socket.create_server((ADDRESS, 0))  # somebody else has the former port now


def _key(path: Path) -> asyncssh.SSHKey:
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"canary-tui demo {path.name}")
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.export_private_key())
    path.with_suffix(".pub").write_bytes(key.export_public_key())
    return key


def _former_record(folder: Path) -> dict[str, Any]:
    """The record of the folder's last demo, which decides which files still hold: none in a folder that was moved."""
    try:
        return tomllib.loads((folder / PORTS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return {}


def _furnish(home: Path, fault: str) -> None:
    for name in ("bin", "tmp", ".demo", f"releases/{INSTALLED}"):
        (home / name).mkdir(parents=True, exist_ok=True)
    for name, source in _PROGRAMS.items():
        tool = home / "bin" / name
        shutil.copyfile(Path(__file__).with_name(source), tool)
        tool.chmod(0o755)
    (home / "releases" / INSTALLED / "REVISION").write_text(f"{INSTALLED}\n")
    if not (home / "current").is_symlink():
        (home / "current").symlink_to(f"releases/{INSTALLED}")
    for trace in ("drop", "dropped", "failed"):
        (home / ".demo" / trace).unlink(missing_ok=True)
    (home / ".demo" / "fault").write_text(f"{fault}\n" if fault else "")


def _write_files(folder: Path, stations: list[Station]) -> None:
    config = ["# The demo's targets, for any SSH client.", f"Host {' '.join(TARGETS)}", f"    HostName {ADDRESS}"]
    config += [f"    User {USER}", f"    IdentityFile {_quoted(folder / 'keys' / 'operator')}"]
    config += ["    IdentitiesOnly yes", "    IdentityAgent none"]
    config += [f"    UserKnownHostsFile {_quoted(folder / 'known_hosts')}", "    GlobalKnownHostsFile /dev/null"]
    config += ["    StrictHostKeyChecking yes"]
    known = []
    for station in stations:
        port = station.ports["ssh"]
        config += [f"Host {station.name}", f"    Port {port}"]
        known.append(f"[{ADDRESS}]:{port} {station.host_key.export_public_key().decode().rpartition(' canary')[0]}")
    (folder / "ssh_config").write_text("\n".join(config) + "\n", encoding="utf-8")
    (folder / "known_hosts").write_text("\n".join(known) + "\n", encoding="utf-8")
    write_fleet_file(folder / FLEET_FILE, folder / "ssh_config", {one.name: one.ports["web"] for one in stations})


def _quoted(path: Path) -> str:
    """As ssh_config reads it: % stands for itself, blanks do not end it."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text
