"""Fleet files whose steps leave marks in the targets' homes, and how the marks and the servers' logs are read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from farm import Farm, FarmTarget

DEPLOY = """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed; echo $RELEASE > REVISION"
"""
"""One step: a line in `deployed` for each time that it ran, and the release in REVISION."""

HOLD = """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed; echo $$ > pid; until [ -e go ]; do sleep 0.1; done; echo $RELEASE > REVISION"
timeout = "60s"
"""
"""The same, but it does not end before there is a file `go`."""

ROLLBACK = """
[[rollback]]
name = "back"
run = "date +%s.%N > back-at; echo $RELEASE >> back; echo $RELEASE > REVISION"
"""

COUNTS = """
[[steps]]
name = "count"
run = "{ printf '%0200d far right\\\\n' 0; i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo part $i of $TARGET; done; } | tee said"
"""
"""A long line and sixty short ones, which each target keeps a copy of."""

_OPERATION = re.compile(r'(?:runner-\w+\.sh|"\$r") (\w+) [0-9a-f]{24}')


def fleet_file(farm: Farm, body: str, more: Mapping[str, str] = {}, *, ssh: str = "", name: str = "shop") -> Path:
    """A fleet file with every server of the farm; `more` are further lines of a target's table, by its name.

    A name in `more` that no server has is a target at which nothing listens.
    """
    lines = [f'name = "{name}"', body, "[ssh]", f'config = "{farm.ssh_config}"', ssh]
    for target in farm.targets:
        lines += ["[[targets]]", f'name = "{target.name}"', f'host = "{target.address}"', more.get(target.name, "")]
    for dead in more.keys() - {target.name for target in farm.targets}:
        lines += ["[[targets]]", f'name = "{dead}"', 'host = "127.9.9.9"', more[dead]]
    path = farm.folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def waves(*first: str, parallel: int = 8, gate: str = "", limits: str = "") -> str:
    """A canary wave with these targets, a gate, and the rest."""
    return f"""
[[waves]]
name = "canary"
targets = "{" | ".join(first)}"
[waves.gate]
{gate}
[[waves]]
name = "rest"
parallel = {parallel}
[limits]
{limits}
"""


def with_mark(farm: Farm, file: str = "deployed") -> set[str]:
    """The targets on which some step left this mark."""
    return {target.name for target in farm.targets if target.read(file)}


def names(farm: Farm) -> set[str]:
    return {target.name for target in farm.targets}


def times(farm: Farm, file: str = "deployed") -> dict[str, int]:
    """How often each target was marked."""
    return {target.name: len(target.read(file).splitlines()) for target in farm.targets}


def operations(target: FarmTarget) -> list[str]:
    """What the server was asked to do, a word a command.

    `hello` and `plain` are how it is looked at, and locked; `unlock` is the end of that.
    """
    found = (_OPERATION.findall(command) for command in target.commands())
    return [words[-1] if words else "other" for words in found]


def untouched(targets: Sequence[FarmTarget]) -> bool:
    """Servers that were looked at, once, and never asked to do anything."""
    looks = (["hello"], ["hello", "plain"])
    ends: tuple[list[str], ...] = ([], ["unlock"], ["hello", "unlock"])
    return all(operations(target) in [[*look, *end] for look in looks for end in ends] for target in targets)


def asked_at(target: FarmTarget) -> list[float]:
    """When each command came, by the server's clock; seconds since 1970."""
    return [float(line.partition("\t")[0]) for line in target.log.read_text(errors="replace").splitlines()]


def gone(pid: str) -> bool:
    """No process has this id, or it only waits to be buried."""
    try:
        stat = Path(f"/proc/{int(pid)}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(") ")[2].startswith("Z")


def let_go(farm: Farm) -> None:
    """End what waits for the file `go`, now and from now on."""
    for target in farm.targets:
        (target.home / "go").touch()


def another_host_key(folder: Path) -> str:
    """The public half of a host key that no server has."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / "other"], check=True)
    return " ".join((folder / "other.pub").read_text().split()[:2])
