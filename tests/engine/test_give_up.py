"""A person who waits no longer for a lost target: its step is unknown at once, and the others were never held up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from in_process import ANN, Listener, opened, plan_for, yes

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Record
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import GiveUp

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

BODY = """
[[steps]]
name = "deploy"
run = 'echo begun; [ ! -e waits ] || exec sleep 60'
"""


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Farm(tmp_path / "farm", 3, net=67) as running:
        yield running


@pytest.mark.found("fault 2")
async def test_a_person_may_settle_a_lost_target_before_its_limit(farm: Farm, tmp_path: Path) -> None:
    """What is asked about for minutes may be called unknown by a person at any moment, and is settled as ever."""
    lost, other = farm.targets[1], farm.targets[2]
    (lost.home / "waits").touch()

    def act(record: Record, rollout: Rollout) -> None:
        match record.event:
            case e.GateOpened():
                yes(record, rollout)
            case e.StepStarted("web-3"):
                rollout.submit(GiveUp(rollout.state.rollout, "web-2", ANN))  # not lost yet: it means nothing
            case e.StepFinished("web-3"):
                farm.stop_target(lost)
            case e.ConnectionLost("web-2"):
                rollout.submit(GiveUp(rollout.state.rollout, "web-2", ANN))
            case e.StepFinished("web-2"):
                rollout.submit(e.EngineStopped("waiting"))

    listener = Listener(act)
    session = opened(tmp_path / "state", plan_for(farm, BODY))
    async with asyncio.timeout(60):
        state = await session.run([listener], None, listener.begin)
    ended = {event.target: event for event in listener.events(e.StepFinished)}
    assert ended["web-2"].outcome == "unknown"
    assert ended["web-2"].detail.startswith("ann stopped waiting (")
    assert ended[other.name].outcome == "ok"
    assert state.targets["web-2"].unknown_phase == "steps"
