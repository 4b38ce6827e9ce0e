"""Jump hosts are servers like any other: each is verified, and one connection to it serves all targets behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, FarmTarget, available
from links import Person, linked, planned, refusal, run, write_config

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """web-1 and web-2 are jump hosts, web-3 and web-4 are targets."""
    with Farm(tmp_path_factory.mktemp("farm"), 4, net=36) as running:
        yield running


def known_hosts(farm: Farm, path: Path, wrong: FarmTarget | None = None) -> Path:
    """Every server's key, but for one that has another's."""
    others = (farm.folder / "id_ed25519.pub").read_text().strip()
    lines = [f"[{one.address}]:{farm.port} {others if one is wrong else farm.host_key(one)}" for one in farm.targets]
    path.write_text("\n".join(lines) + "\n")
    return path


async def test_two_jump_hosts_lead_to_the_target(farm: Farm, tmp_path: Path) -> None:
    first, second, target, _ = farm.targets
    jump = f"{first.address},{second.address}"
    async with linked(planned(target, farm.ssh_config, jump=jump)) as [link]:
        assert await run(link, 'echo "${SSH_CONNECTION%% *}"') == "127.0.0.1\n"
        assert [len(one.sessions()) for one in farm.targets[:3]] == [1, 1, 1]


async def test_a_jump_host_in_ssh_config_is_used_too(farm: Farm, tmp_path: Path) -> None:
    first, _, target, _ = farm.targets
    lines = (f"Host {target.address}", f" ProxyJump {first.address}:{farm.port}", "Host *")
    config = write_config(farm, tmp_path / "config", *lines)
    async with linked(planned(target, config)) as [link]:
        await run(link, "true")
        assert len(first.sessions()) == 1


@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_a_wrong_key_anywhere_on_the_way_is_refused(farm: Farm, tmp_path: Path, wrong: int) -> None:
    first, second, target, _ = farm.targets
    known = known_hosts(farm, tmp_path / "known_hosts", farm.targets[wrong])
    ssh = {"jump": f"{first.address},{second.address}", "known_hosts": str(known)}
    person = Person("yes", "yes")
    async with linked(planned(target, farm.ssh_config, **ssh), asker=person) as [link]:
        error = await refusal(link)
    assert error.final
    assert f"{farm.targets[wrong].address}:{farm.port} is not the known one" in error.detail
    assert error.detail.startswith("jump host") == (wrong != 2)
    assert f"known_hosts:{wrong + 1}" in error.detail
    assert not person.asked


async def test_targets_behind_a_jump_host_share_one_connection_to_it(farm: Farm) -> None:
    first, _, *targets = farm.targets
    async with linked(*(planned(one, farm.ssh_config, jump=first.address) for one in targets)) as links:
        await asyncio.gather(*(run(link, "true") for link in links))
        assert len(first.sessions()) == 1


async def test_after_a_jump_host_was_lost_the_way_is_made_again(farm: Farm) -> None:
    first, _, target, _ = farm.targets
    async with linked(planned(target, farm.ssh_config, jump=first.address)) as [link]:
        connection = await link.connection()
        first.kill_sessions()
        await asyncio.wait_for(connection.wait_closed(), 10)
        assert await run(link, "echo back") == "back\n"


async def test_a_target_that_its_jump_host_cannot_reach_may_come_back(farm: Farm, tmp_path: Path) -> None:
    first = farm.targets[0]
    target = planned(first, farm.ssh_config, jump=farm.targets[1].address, port=1)
    async with linked(target) as [link]:
        assert not (await refusal(link)).final


async def test_a_proxy_command_is_a_way_like_any_other(farm: Farm, tmp_path: Path) -> None:
    target = farm.targets[2]
    way = "import os,socket,sys,threading\\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\\n"
    script = tmp_path / "way.py"
    script.write_text(
        way.replace("\\n", "\n") + "def up():\n    while data := os.read(0, 65536):\n        s.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536):\n    os.write(1, data)\n"
    )
    config = write_config(farm, tmp_path / "config", "Host *", f" ProxyCommand python3 {script} %h %p")
    async with linked(planned(target, config)) as [link]:
        assert await run(link, "echo through") == "through\n"
