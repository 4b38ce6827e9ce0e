"""Makes the paths of a fleet file's `ssh` tables absolute: relative ones start at the folder of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from canary_tui.domain.fleet.tables import Fleet, Ssh


def folder_of(path: Path) -> Path:
    """The folder of a file, the same by whichever way the file is named."""
    return path.parent.resolve()


def anchored(fleet: Fleet, folder: Path) -> Fleet:
    """The fleet with absolute paths. `~` stays, for the plan may be resumed by somebody else."""
    places = {name: replace(one, ssh=_ssh(one.ssh, folder)) for name, one in fleet.environments.items()}
    targets = tuple(one if one.ssh == Ssh() else replace(one, ssh=_ssh(one.ssh, folder)) for one in fleet.targets)
    return replace(fleet, ssh=_ssh(fleet.ssh, folder), environments=places, targets=targets)


def _ssh(ssh: Ssh, folder: Path) -> Ssh:
    config = ssh.config if ssh.config == "none" else _absolute(ssh.config, str(folder))
    # In an identity ssh fills in `%h` and the like, so a folder's own `%` is written twice.
    identity = _absolute(ssh.identity, str(folder).replace("%", "%%"))
    if ssh.identity is not None and ssh.identity.startswith(("%d", "${")):
        identity = ssh.identity  # a home, or whatever a variable holds
    return replace(ssh, config=config, identity=identity, known_hosts=_absolute(ssh.known_hosts, str(folder)))


def _absolute(path: str | None, folder: str) -> str | None:
    if path is None or path.lower() == "none" or path.startswith("~"):
        return path
    return str(Path(folder, path))
