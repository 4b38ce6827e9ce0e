"""Host keys over a whole rollout: refused where nobody can be asked, asked about where somebody can."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, headless, plan_of
from links import write_config
from marks import DEPLOY, another_host_key, fleet_file, names, untouched, with_mark

from canary_tui.domain.rollout import events as e
from canary_tui.engine.messages import Answered, Asked, Preflight, Preflighted


@pytest.fixture
def known(farm: Farm, tmp_path: Path) -> Path:
    """A known_hosts file of this test alone, with every key of the farm in it."""
    path = tmp_path / "known_hosts"
    path.write_text(farm.known_hosts.read_text())
    return path


@pytest.fixture
def fleet(farm: Farm, known: Path, tmp_path: Path) -> Path:
    config = write_config(farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {known}", " HashKnownHosts no")
    path = fleet_file(farm, DEPLOY)
    path.write_text(path.read_text().replace(str(farm.ssh_config), str(config)))
    return path


def without(known: Path, address: str) -> None:
    known.write_text("".join(f"{line}\n" for line in known.read_text().splitlines() if f"[{address}]" not in line))


def test_an_unknown_host_key_is_refused_without_a_person(farm: Farm, state: Path, fleet: Path, known: Path) -> None:
    address = farm.targets[1].address
    without(known, address)
    before = known.read_text()
    ran = headless(state, fleet, "--canary", "web-1")
    assert ran.code == 1
    assert "web-2: unreachable" in ran.err
    assert f"ssh-keyscan -p {farm.port} {address}` to {known}" in ran.err
    assert known.read_text() == before
    assert untouched([target for target in farm.targets if target.name != "web-2"])
    assert farm.targets[1].commands() == []


def test_a_changed_host_key_is_refused_and_the_way_out_is_named(
    farm: Farm, state: Path, fleet: Path, known: Path, tmp_path: Path
) -> None:
    """P11, L20"""
    target = farm.targets[1]
    known.write_text(known.read_text().replace(farm.host_key(target), another_host_key(tmp_path)))
    ran = headless(state, fleet, "--canary", "web-1")
    assert ran.code == 1
    assert f"{known}:2" in ran.err
    assert "If the key was replaced on purpose, correct that line." in ran.err
    assert target.commands() == []
    assert with_mark(farm) == set()


async def test_a_changed_host_key_is_no_question(
    farm: Farm, state: Path, fleet: Path, known: Path, tmp_path: Path
) -> None:
    target = farm.targets[1]
    known.write_text(known.read_text().replace(farm.host_key(target), another_host_key(tmp_path)))
    async with Front(state) as front:
        await front.send(Preflight(plan_of(fleet, canaries=("web-1",))))
        await front.notice(Preflighted, 4)
    looked_at = {one.target: one for one in front.notices if isinstance(one, Preflighted)}
    assert looked_at["web-2"].outcome == "unreachable"
    assert [one for one in front.notices if isinstance(one, Asked)] == []
    assert target.commands() == []


async def test_a_person_is_asked_one_at_a_time_and_yes_lets_the_rollout_go(
    farm: Farm, state: Path, fleet: Path, known: Path
) -> None:
    known.write_text("")
    shown = []
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        for number in range(1, 5):
            asked = await front.notice(Asked, number)
            assert len([one for one in front.notices if isinstance(one, Asked)]) == number
            shown.append((asked.about.target, asked.about.fingerprint))
            await front.send(Answered(asked.question, "yes"))
        await front.event(e.GateOpened)
        await front.approve()
        assert (await front.ended()).exit_code == 0
    assert sorted(name for name, _ in shown) == sorted(names(farm))
    printed = subprocess.run(["ssh-keygen", "-lf", known], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in printed.splitlines()} == {fingerprint for _, fingerprint in shown}
    assert with_mark(farm) == names(farm)


@pytest.mark.parametrize("answer", ["y", "no", None])
async def test_anything_but_yes_leaves_the_target_alone(
    farm: Farm, state: Path, fleet: Path, known: Path, answer: str | None
) -> None:
    without(known, farm.targets[1].address)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        asked = await front.notice(Asked)
        assert (asked.about.kind, asked.about.target) == ("host-key", "web-2")
        await front.send(Answered(asked.question, answer))
        await front.until(lambda state: state.targets["web-2"].probe == "failed")
    assert farm.targets[1].commands() == []
    assert with_mark(farm) == set()


async def test_a_question_dies_with_the_terminal(farm: Farm, state: Path, fleet: Path, known: Path) -> None:
    """F2: nobody is there, so nobody said yes."""
    without(known, farm.targets[1].address)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.notice(Asked)
        front.hang_up()
        assert await front.exited() == 130
        assert front.state.targets["web-2"].probe == "failed"
    assert with_mark(farm) == set()
