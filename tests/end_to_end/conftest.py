"""Fleets of real OpenSSH servers with fresh homes, and fleet files whose steps leave their marks there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available


def _demand_sshd() -> None:
    """Skip where there is no sshd; in CI there must be one."""
    if reason := available():
        (pytest.fail if os.environ.get("CANARY_TUI_CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def four_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    _demand_sshd()
    with Farm(tmp_path_factory.mktemp("four"), 4, net=61) as farm:
        yield farm


@pytest.fixture(scope="session")
def forty_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    _demand_sshd()
    with Farm(tmp_path_factory.mktemp("forty"), 40, net=62) as farm:  # each its own sshd and host key: 0.6 s in all
        yield farm


@pytest.fixture
def farm(four_servers: Farm) -> Farm:
    """Four servers that nobody was ever on."""
    return _fresh(four_servers)


@pytest.fixture(params=[pytest.param("four_servers", id="4"), pytest.param("forty_servers", id="40")])
def any_farm(request: pytest.FixtureRequest) -> Farm:
    """Four servers, then forty."""
    return _fresh(request.getfixturevalue(request.param))


def _fresh(farm: Farm) -> Farm:
    ends = time.monotonic() + 15
    while any(target.sessions() for target in farm.targets) and time.monotonic() < ends:
        time.sleep(0.02)  # the last test's engine is at work still
    for target in farm.targets:
        for path in target.home.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        target.log.unlink(missing_ok=True)
        (target.home / "REVISION").write_text("1.0\n")
    return farm


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the rollouts of one test are kept."""
    return tmp_path / "state"
