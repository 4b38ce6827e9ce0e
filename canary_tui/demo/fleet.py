"""The demo's fleet: its targets, its steps, and the fleet file that describes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INSTALLED = "1.4.1"
"""The release of every target at the start."""
SUGGESTED = "1.4.2"
"""The release that the demo offers to roll out."""
BROKEN = "2.0.0"
"""A release that starts but is not healthy; `unpack.sh` knows it, too."""
ENVIRONMENT = "production"
"""The environment that most of the fleet is in."""
USER = "deploy"
"""The login name that the demo's servers accept."""
FLEET_FILE = "demo.toml"
PORTS_FILE = "servers.toml"
"""By this file a folder is known as a demo's."""


@dataclass(frozen=True, slots=True)
class DemoTarget:
    """One target, without the ports that it gets when it starts."""

    roles: tuple[str, ...]
    environment: str
    zone: str


TARGETS = {
    "web-1": DemoTarget(("web-server", "canary"), ENVIRONMENT, "a"),
    "web-2": DemoTarget(("web-server",), ENVIRONMENT, "a"),
    "web-3": DemoTarget(("web-server",), ENVIRONMENT, "a"),
    "web-4": DemoTarget(("web-server",), ENVIRONMENT, "b"),
    "web-5": DemoTarget(("web-server",), ENVIRONMENT, "b"),
    "db-1": DemoTarget(("database",), ENVIRONMENT, "a"),
    "db-2": DemoTarget(("database", "canary"), ENVIRONMENT, "b"),
    "stage-1": DemoTarget(("web-server", "database"), "staging", "a"),
}

_HEADER = f"""\
# The fleet of `canary-tui demo`: eight real SSH servers on this machine. The folders beside this file are
# their homes, and they run as long as the demo does. Log in to one as to any server:
#
#     ssh -F {{ssh_config}} web-1
#
# Every target runs release {INSTALLED}. {SUGGESTED} is a good one; {BROKEN} starts, but its health check fails.
# `canary-tui demo --fault web-3:slow` makes a rollout interesting; `canary-tui demo --help` lists the faults.
# `--var PACE=0` makes it quick: PACE is how many seconds the programs on the targets sleep between two lines.
#
# Each target's shop is visited all the time. `shop-stats p99` there tells how it does, as do /metrics of its web
# service, for Prometheus, and ~/shop.log.

"""


def write_fleet_file(path: Path, ssh_config: Path, web_ports: Mapping[str, int]) -> None:
    """Write the fleet file. `web_ports` holds the port of each target's web service."""
    import tomli_w

    document = tomli_w.dumps(_document(ssh_config, web_ports), multiline_strings=True)
    path.write_text(_HEADER.format(ssh_config=ssh_config) + _arrays_on_one_line(document), encoding="utf-8")


def _arrays_on_one_line(document: str) -> str:
    """tomli-w gives each item of an array a line of its own; a person reads these short ones better in one."""
    return re.sub(
        r"^([\w-]+ = )\[\n((?: {4}.*,\n)+)\]$",
        lambda found: f"{found[1]}[{', '.join(line.strip().rstrip(',') for line in found[2].splitlines())}]",
        document,
        flags=re.MULTILINE,
    )


def _document(ssh_config: Path, web_ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "name": "demo",
        "release": {"current": "cat ~/current/REVISION"},
        "ssh": {"config": str(ssh_config), "connect-timeout": "10s"},
        "vars": {"PACE": "0.13"},
        "environments": {ENVIRONMENT: {"protected": True}, "staging": {}},
        "targets": [
            {
                "name": name,
                "roles": list(target.roles),
                "environments": [target.environment],
                "tags": {"zone": target.zone},
                "vars": {"WEB_PORT": str(web_ports[name])},
            }
            for name, target in TARGETS.items()
        ],
        "steps": _STEPS,
        "rollback": _ROLLBACK,
        "finally": _FINALLY,
        "waves": _waves(web_ports["web-1"]),
    }


_STEPS: list[dict[str, object]] = [
    {"name": "unpack", "run": "unpack-shop $RELEASE", "timeout": "2m"},
    {
        "name": "migrate",
        "roles": ["database"],
        "run": "echo 2 migrations for $RELEASE\nsleep $PACE\necho 2 migrations applied\n",
        "timeout": "1m",
    },
    {"name": "switch", "run": "ln -sfn releases/$RELEASE ~/current && restart-shop\n", "timeout": "1m"},
    {
        "name": "answers",
        "http": "http://127.0.0.1:$WEB_PORT/health",
        "expect": {"status": 200, "contains": "ok", "within": "5s"},
    },
]
_ROLLBACK = [{"name": "switch back", "run": "ln -sfn releases/$RELEASE ~/current && restart-shop\n"}]
_FINALLY = [{"name": "tidy", "run": "rm -rf ~/releases/*.part\n"}]


def _waves(canary_port: int) -> list[dict[str, object]]:
    gate = {
        "instructions": (
            "Read what $CANARIES printed, and look at the shop:\n"
            f"http://127.0.0.1:{canary_port}/ is web-1, and must show $RELEASE.\n"
        ),
        "checklist": ["web-1's page shows the new release"],
    }
    return [
        {"name": "canary", "targets": "@canary", "environments": [ENVIRONMENT], "gate": gate},
        {"name": "rest", "parallel": 3},
    ]
