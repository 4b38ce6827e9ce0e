"""Fault 8: a cleaner removes files of a run on the target; a step is started once, and is unknown rather than not-started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, until
from farm import Farm, FarmTarget, available
from oracle import marks
from test_supervisor_killed import WAITS

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")


@pytest.fixture
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("removed"), 2, net=58) as farm:
        try:
            yield farm
        finally:
            for target in farm.targets:
                (target.home / "go").touch()


def remove(target: FarmTarget, *patterns: str) -> None:
    """What a cleaner does below a home, folders apart."""
    for pattern in patterns:
        for path in target.home.glob(f".local/state/canary-tui/{pattern}"):
            if path.is_file():
                path.unlink()


@pytest.mark.found("fault 8")
def test_a_step_whose_record_vanishes_during_a_cut_is_unknown_and_ran_once(farm: Farm, tmp_path: Path) -> None:
    """Fault 8: the connection is cut, `*.go` is removed, the engine reconnects."""
    canary, _ = farm.targets
    with Controller(farm, tmp_path / "here", WAITS, {"waits": 1}) as controller:
        engine = controller.run()
        until(lambda: canary.read("pid"), 30, engine.said)
        remove(canary, "runs/*.go")
        canary.kill_sessions()
        assert engine.wait() == 8, engine.said()
        state = controller.judge()
        assert state.targets["web-1"].steps.outcome == "unknown"
        assert "record was removed" in state.targets["web-1"].steps.detail
        assert len(marks(canary, state.rollout)) == 1


GONE = {
    "the gate": ("runs/*.go",),
    "the run": ("runs/*.go", "runs/*.child", "runs/*.out", "runs/*.exit", "runs/*.acked"),
    "the run and the register": ("runs/*.go", "runs/*.child", "runs/*.out", "runs/*.exit", "runs/*.acked", "starts.*"),
    "all but the runner": ("runs/*", "starts.*", "forgotten"),
    "all": ("runs/*", "*"),
}


@pytest.mark.found("fault 8")
@pytest.mark.parametrize("patterns", GONE.values(), ids=GONE)
def test_a_killed_engine_whose_targets_records_vanish_resumes_with_unknown(
    farm: Farm, tmp_path: Path, patterns: tuple[str, ...]
) -> None:
    """Fault 8: nothing that is missing on the target makes a step that has run `not-started`."""
    canary, _ = farm.targets
    with Controller(farm, tmp_path / "here", WAITS, {"waits": 1}) as controller:
        engine = controller.run()
        until(lambda: canary.read("pid"), 30, engine.said)
        engine.kill()
        engine.wait()
        remove(canary, *patterns)
        engine = controller.resume()
        assert engine.wait() == 8, engine.said()
        state = controller.judge()
        assert state.targets["web-1"].steps.outcome == "unknown"
        assert len(marks(canary, state.rollout)) == 1


@pytest.mark.found("fault 8")
def test_a_step_that_removes_the_runners_files_is_unknown_and_ran_once(farm: Farm, tmp_path: Path) -> None:
    """Fault 8 from inside: the step itself empties the folder while no connection is there."""
    canary, _ = farm.targets
    body = WAITS.replace("echo $$ ", 'rm -rf "$HOME/.local/state/canary-tui"; echo $$ ')
    assert body != WAITS
    with Controller(farm, tmp_path / "here", body, {"waits": 1}) as controller:
        engine = controller.run()
        until(lambda: canary.read("pid"), 30, engine.said)
        canary.kill_sessions()
        assert engine.wait() == 8, engine.said()
        state = controller.judge()
        assert state.targets["web-1"].steps.outcome == "unknown"
        assert len(marks(canary, state.rollout)) == 1
