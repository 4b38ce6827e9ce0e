"""A target that says at the end that it has another release is not counted as having the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from in_process import Listener, go_on, opened, plan_for

from canary_tui.domain.rollout.state import RolloutState
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
