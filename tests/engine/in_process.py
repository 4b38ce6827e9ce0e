"""A whole engine inside the test's own process: real journal, logs and servers, and a listener that reacts."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from farm import Farm

from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Decision, Operator, Record
from canary_tui.engine import loop as engine_loop
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import Decide
from canary_tui.fleetfile.loader import load_fleet
from canary_tui.service.session import Session, open_new
from canary_tui.store.layout import state_directory

ANN = Operator("ann", "desk", "/dev/pts/7")
AnEvent = TypeVar("AnEvent", bound=e.Event)


class Listener(engine_loop.Listener):
    """Remembers what was told, and may do something about a record."""

    def __init__(self, act: Callable[[Record, Rollout], None] = lambda _record, _rollout: None) -> None:
        self.told: list[Record] = []
        self.rollout: Rollout | None = None
        self._act = act

    def begin(self, rollout: Rollout) -> None:
        self.rollout = rollout

    def recorded(self, record: Record) -> None:
        self.told.append(record)
        assert self.rollout is not None
        self._act(record, self.rollout)

    def progress(self, target: str, size: int, total: int) -> None:
        pass

    def refused(self, decision: Decision, reason: str) -> None:
        raise AssertionError(reason)

    def events(self, kind: type[AnEvent]) -> list[AnEvent]:
        return [record.event for record in self.told if isinstance(record.event, kind)]


def plan_for(farm: Farm, body: str, canary: str = "web-1", release: str = "2.0") -> Plan:
    loaded = load_fleet(str(farm.fleet(body)))
    choices = Choices(release, canaries=(canary,), directory=str(farm.folder), picked=True)
    return build_plan(loaded.fleet, choices, loaded.scripts)


def opened(state: Path, plan: Plan) -> Session:
    return open_new(state_directory(str(state), {}), plan, ANN, attended=True)


def yes(record: Record, rollout: Rollout, note: str = "") -> None:
    """Approve the gate that this record opened."""
    assert isinstance(record.event, e.GateOpened)
    gate = record.event
    approved = e.GateApproved(gate.wave, rollout.plan.hash, gate.evidence, ANN, note)
    rollout.submit(Decide(rollout.state.rollout, approved))


def go_on(record: Record, rollout: Rollout) -> None:
    """Approve every gate as it opens."""
    if isinstance(record.event, e.GateOpened):
        yes(record, rollout)


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Every write of this process beyond that many bytes of a file fails: Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, mounted at `folder`."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
