"""The operator's own ssh goes the way that the plan's connections go, and trusts nobody more than they do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import planned
from ssh_table import SshTable

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.ssh.connection.command import ResolveError, shell
from canary_tui.ssh.connection.resolve import Resolver
from canary_tui.tui.shell import _ask

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 3, net=38) as running:
        yield running


def words(target: PlannedTarget) -> list[str]:
    return shell("ssh", target.address, target.ssh, _ask)


def run(target: PlannedTarget, script: str = 'echo "$HOME"') -> subprocess.CompletedProcess[str]:
    """One command instead of the shell: at no terminal, `-t` asks for none."""
    return subprocess.run(
        [*words(target), script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )


def settings(command: list[str]) -> dict[str, list[str]]:
    """What ssh makes of a command line."""
    found: dict[str, list[str]] = {}
    shown = subprocess.run([command[0], "-G", *command[1:]], capture_output=True, text=True, check=True).stdout
    for line in shown.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


CONFIGS = [
    pytest.param("Host web\n HostName 10.1.2.3\n Port 2222\n User deploy\n IdentityFile /a\n", {}, id="ssh_config"),
    pytest.param("Host *\n Port 1\n User a\n UserKnownHostsFile /y\n", {"user": "root", "port": 99}, id="fleet file"),
    pytest.param(
        "Host *\n IdentityFile /x\n UserKnownHostsFile /y\n",
        {"identity": "/id ent", "known_hosts": '/a "b" 100%/known', "connect_timeout": Duration(2.5)},
        id="paths that need quotes",
    ),
    pytest.param("Match user root\n HostName 10.9.9.9\n", {"user": "root"}, id="what depends on the user"),
    pytest.param("Host *\n ProxyCommand nc %h %p\n", {}, id="a proxy command"),
    pytest.param("Host web\n ProxyJump hop\n", {"jump": "none"}, id="no jump after all"),
]


@pytest.mark.parametrize(("config", "ssh"), CONFIGS)
async def test_it_leads_where_the_connections_lead(tmp_path: Path, config: str, ssh: SshTable) -> None:
    (tmp_path / "config").write_text(config)
    target = PlannedTarget("web", "web", Ssh(config=str(tmp_path / "config"), **ssh))
    endpoint, found = await Resolver().resolve(target), settings(words(target))
    assert (found["hostname"], found["port"], found["user"]) == ([endpoint.host], [str(endpoint.port)], [endpoint.user])
    assert found["stricthostkeychecking"] == ["true"]
    assert found.get("proxyjump", ["none"]) == ["none"]
    assert ("proxycommand" in found) == bool(endpoint.proxy_command)
    if "identity" in ssh:
        assert found["identityfile"][0] == endpoint.identities[0] == ssh["identity"]
        assert found["identitiesonly"] == ["yes"]
    if "known_hosts" in ssh:
        assert found["userknownhostsfile"] == list(endpoint.rules.user_files) == [ssh["known_hosts"]]
        assert found["connecttimeout"] == ["3"]


def test_it_opens_on_the_target(farm: Farm) -> None:
    target = farm.targets[1]
    done = run(planned(target, farm.ssh_config))
    assert done.stdout == f"{target.home}\n", done.stderr


@pytest.mark.parametrize("hops", [(0,), (0, 1)], ids=["one", "two"])
def test_it_goes_over_the_jump_hosts_with_the_plan_s_keys_and_known_hosts(
    farm: Farm, tmp_path: Path, hops: tuple[int, ...]
) -> None:
    """ssh_config knows neither the way nor the keys here, and a jump host with an unknown key is not gone through."""
    config, known = tmp_path / "bare config", tmp_path / "known 100% hosts"
    config.write_text(f"Host *\n Port {farm.port}\n UserKnownHostsFile /dev/null\n IdentityAgent none\n")
    known.write_text(farm.known_hosts.read_text())
    jump = ",".join(farm.targets[hop].address for hop in hops)
    ssh = {"jump": jump, "known_hosts": str(known), "identity": str(farm.identity)}
    target = planned(farm.targets[2], config, **ssh)
    done = run(target)
    assert done.stdout == f"{farm.targets[2].home}\n", done.stderr
    first = farm.targets[hops[0]]
    known.write_text("".join(f"{line}\n" for line in known.read_text().splitlines() if first.address not in line))
    done = run(target)
    assert done.returncode == 255
    assert f"[{first.address}]:{farm.port}" in done.stderr
    assert done.stdout == ""


def test_a_jump_host_of_ssh_config_is_held_to_known_keys_too(farm: Farm, tmp_path: Path) -> None:
    first, _, target = farm.targets
    config = tmp_path / "config"
    own = farm.ssh_config.read_text().replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no")
    own = own.replace(str(farm.known_hosts), str(tmp_path / "known"))
    config.write_text(f"Host {target.address}\n ProxyJump {first.address}\n{own}")
    (tmp_path / "known").write_text(farm.known_hosts.read_text())
    assert run(planned(target, config)).stdout == f"{target.home}\n"
    (tmp_path / "known").write_text(f"[{target.address}]:{farm.port} {farm.host_key(target)}\n")
    assert run(planned(target, config)).returncode == 255
    assert first.address not in (tmp_path / "known").read_text()


@pytest.mark.parametrize(
    ("address", "ssh", "said"),
    [
        pytest.param("-oProxyCommand=touch x", {}, "not a host name", id="a host that is an option"),
        pytest.param("web", {"user": "-l"}, "not a login name", id="a user that is an option"),
        pytest.param("web", {"jump": "-J x"}, "not a host name", id="a jump host that is an option"),
        pytest.param("web", {"jump": ",".join(["hop"] * 12)}, "more than 8 jump hosts", id="a circle"),
    ],
)
def test_what_could_be_read_as_an_option_is_refused(address: str, ssh: SshTable, said: str) -> None:
    with pytest.raises(ResolveError, match=said):
        words(PlannedTarget("web", address, Ssh(config="none", **ssh)))


def test_the_host_stands_last_behind_the_end_of_options() -> None:
    assert words(PlannedTarget("web", "web.example", Ssh(config="none")))[-2:] == ["--", "web.example"]
