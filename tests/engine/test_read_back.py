"""A target that says at the end that it has another release is not counted as having the new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from fronts import until
from in_process import ANN, Listener, go_on, opened, plan_for, yes

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Record
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import Decide
from canary_tui.errors import ExitCode

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

BODY = """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = '[ -e stuck ] || echo $RELEASE > REVISION'
"""


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Farm(tmp_path / "farm", 2, net=65) as running:
        for target in running.targets:
            (target.home / "REVISION").write_text("1.0\n")
        yield running


async def rolled_out(farm: Farm, tmp_path: Path) -> RolloutState:
    session = opened(tmp_path / "state", plan_for(farm, BODY))
    listener = Listener(go_on)
    return await session.run([listener], None, listener.begin)


async def test_a_rollout_is_not_whole_where_a_target_reports_another_release(farm: Farm, tmp_path: Path) -> None:
    (farm.targets[1].home / "stuck").touch()
    state = await rolled_out(farm, tmp_path)
    assert state.targets["web-2"].steps.outcome == "ok"
    assert state.exit_code == ExitCode.PARTLY
    assert state.reason == "1 of 2 targets on 2.0; not: web-2 (reports 1.0)"


async def test_a_rollout_is_whole_where_all_report_the_release(farm: Farm, tmp_path: Path) -> None:
    state = await rolled_out(farm, tmp_path)
    assert state.exit_code == ExitCode.SUCCEEDED
    assert state.reason == "2 of 2 targets on 2.0"


HALF_WAY = """
[release]
current = "cat REVISION; until [ ! -e slow ]; do touch asked; sleep 0.05; done"
[[steps]]
name = "deploy"
run = 'echo $RELEASE > REVISION; [ ! -e bad ]'
"""


@pytest.mark.found("M8")
async def test_a_target_that_failed_is_asked_what_it_runs_before_a_person_decides(farm: Farm, tmp_path: Path) -> None:
    """The release of a target whose step failed is read again at once, while the rollout waits for a person."""
    (farm.targets[0].home / "bad").touch()
    asked: list[str | None] = []

    def decide(record: Record, rollout: Rollout) -> None:
        if isinstance(record.event, e.ReleaseRead) and rollout.state.deploying:
            asked.append(rollout.state.targets["web-1"].reported)
            rollout.submit(Decide(rollout.state.rollout, e.Aborted(ANN, "enough", rollback=False)))

    session, listener = opened(tmp_path / "state", plan_for(farm, HALF_WAY)), Listener(decide)
    state = await session.run([listener], None, listener.begin)
    assert asked == ["2.0"], "the step had changed it before it failed"
    assert state.verdict == "aborted"
    assert state.targets["web-1"].reported == "2.0", "and once more at the end"
    assert len(listener.events(e.ReleaseRead)) == 2


@pytest.mark.found("M8")
async def test_a_retry_does_not_wait_for_a_target_that_is_slow_to_say_its_release(farm: Farm, tmp_path: Path) -> None:
    """The next step of a target begins at once; what the target would have said of the time before it is not taken."""
    one = farm.targets[0].home

    def decide(record: Record, rollout: Rollout) -> None:
        match record.event:
            case e.TargetProbed("web-1"):
                (one / "slow").touch()
                (one / "bad").touch()
            case e.StepFinished("web-1", _, "failed"):
                (one / "asked").unlink(missing_ok=True)
                (one / "bad").unlink()
                waiting.append(asyncio.create_task(retry(rollout)))
            case e.StepFinished("web-1", _, "ok"):
                (one / "slow").unlink()
            case e.GateOpened():
                yes(record, rollout)

    async def retry(rollout: Rollout) -> None:
        await until((one / "asked").exists)
        rollout.submit(Decide(rollout.state.rollout, e.FailureTreated(("web-1",), "retry", ANN)))

    waiting: list[asyncio.Task[None]] = []
    session, listener = opened(tmp_path / "state", plan_for(farm, HALF_WAY)), Listener(decide)
    state = await session.run([listener], None, listener.begin)
    assert (state.verdict, state.exit_code) == ("succeeded", 0)
    assert sorted(event.target for event in listener.events(e.ReleaseRead)) == ["web-1", "web-2"], "only at the end"
