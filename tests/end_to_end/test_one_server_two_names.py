"""A server that the fleet has under two names is deployed to once at most, and never past the gate as a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm import Farm
from fronts import canary_tui, headless
from marks import DEPLOY, fleet_file, names, times, waves, with_mark

pytestmark = pytest.mark.found("field 11")


def with_twin(farm: Farm, tmp_path: Path, body: str) -> Path:
    """A fleet of the farm's servers, and of `twin`, by which ssh_config means the first of them."""
    config = tmp_path / "ssh_config"
    config.write_text(f"Host other-name\n HostName {farm.targets[0].address}\n{farm.ssh_config.read_text()}")
    fleet = fleet_file(farm, body)
    twin = f'[[targets]]\nname = "twin"\nhost = "other-name"\nssh = {{ config = "{config}" }}\n'
    fleet.write_text(fleet.read_text() + twin)
    return fleet


def test_one_server_behind_two_names_is_refused_before_the_first_change(
    farm: Farm, state: Path, tmp_path: Path
) -> None:
    """Both names are told; the gate between them would let the canary be deployed to twice."""
    ran = headless(state, with_twin(farm, tmp_path, DEPLOY + waves("web-1")))
    assert ran.code not in (0, 4, 5)
    told = ran.out + ran.err
    assert "twin (it is the same server as web-1:" in told or "web-1 (it is the same server as twin:" in told
    assert with_mark(farm) == set()


def test_where_it_may_be_skipped_the_server_is_deployed_to_once(farm: Farm, state: Path, tmp_path: Path) -> None:
    """And the lock, which is one and the same, is that of the target which goes on."""
    body = DEPLOY + '[[waves]]\nname = "all"\n[limits]\non-unavailable = "skip"\n'
    ran = headless(state, with_twin(farm, tmp_path, body))
    assert ran.code in (0, 5), "the name that was met later was skipped, and says what the server has become"
    assert times(farm, "deployed") == dict.fromkeys(names(farm), 1)
    assert "is the same server as" in ran.err
    again = headless(state, fleet_file(farm, DEPLOY + '[[waves]]\nname = "all"\n'), release="3.0")
    assert again.code == 0, "no lock stayed behind"


def test_ping_warns_of_one_server_behind_two_names(farm: Farm, state: Path, tmp_path: Path) -> None:
    ran = canary_tui(state, "ping", with_twin(farm, tmp_path, DEPLOY))
    assert ran.code == 0
    assert ran.out.count("is the same server as") == 1
    assert "5 of 5 targets reached" in ran.out
