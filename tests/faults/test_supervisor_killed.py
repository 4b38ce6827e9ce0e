"""The target loses what watches over a step: the outcome is unknown and said so, and `resume` asks the target again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, until
from farm import Farm, FarmTarget, available
from oracle import marks

from canary_tui.domain.rollout import events as e

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
WAITS = """
[[steps]]
name = "waits"
run = '''
id=$(cat /proc/sys/kernel/random/uuid)
echo "start $ROLLOUT waits $id $(date +%s.%N)" >>"$HOME/marks"
echo $$ >"$HOME/pid"
echo "waits 1 of 1 on $TARGET"
while [ ! -e "$HOME/go" ]; do sleep 0.05; done
echo "end $ROLLOUT waits $id $(date +%s.%N)" >>"$HOME/marks"
'''

[[waves]]
name = "canary"
targets = "web-1"
gate = {}

[[waves]]
name = "rest"
"""


@pytest.fixture
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("supervisor"), 3, net=55) as farm:
        try:
            yield farm
        finally:
            for target in farm.targets:
                (target.home / "go").touch()


def supervisor(target: FarmTarget) -> int:
    """The pid that the target's own record of the start names."""
    [record] = target.home.glob(".local/state/canary-tui/runs/*.go")
    return int(record.read_text().split()[0])


def kill_supervisor(target: FarmTarget) -> None:
    """It and what beats time for the follower, but not the step: as the kernel does when memory is short."""
    pid = supervisor(target)
    step = int(target.read("pid"))
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    for one in [pid, *(int(word) for word in out.stdout.split())]:
        if one != step:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)


def test_a_step_without_its_supervisor_is_unknown_and_asked_about_again(farm: Farm, tmp_path: Path) -> None:
    canary, *rest = farm.targets
    with Controller(farm, tmp_path / "here", WAITS, {"waits": 1}) as controller:
        engine = controller.run()
        until(lambda: canary.read("pid"), 30, engine.said)
        kill_supervisor(canary)
        assert engine.wait() == 8, engine.said()
        state = controller.judge()
        track = state.targets["web-1"].steps
        assert track.outcome == "unknown"
        assert re.search(r"supervisor was killed.*still running", track.detail)
        assert state.paused == "unknown"

        (canary.home / "go").touch()
        until(lambda: marks(canary, state.rollout)[0].ended is not None, 10)
        engine = controller.resume()
        assert engine.wait() == 8, engine.said()
        assert any(isinstance(r.event, e.StepAttached) for r in engine.records), "it was not asked again"
        state = controller.judge()
        assert "has ended since" in state.targets["web-1"].steps.detail
        assert state.gate is None, "a gate opened on a canary of which nobody knows how it ended"
        assert not any(target.read("marks") for target in rest)
        assert len(marks(canary, state.rollout)) == 1


def test_a_record_of_the_end_that_is_gone_is_unknown_never_ok(farm: Farm, tmp_path: Path) -> None:
    """The run's folder is wiped while nobody looks: what the target no longer knows is not made up."""
    canary, *rest = farm.targets
    with Controller(farm, tmp_path / "here", WAITS, {"waits": 1}) as controller:
        engine = controller.run()
        until(lambda: canary.read("pid"), 30, engine.said)
        engine.kill()
        engine.wait()
        (canary.home / "go").touch()
        until(lambda: list(canary.home.glob(".local/state/canary-tui/runs/*.exit")), 10)
        for path in canary.home.glob(".local/state/canary-tui/runs/*"):
            path.unlink()
        engine = controller.resume()
        code = engine.wait()
        state = controller.judge()
        assert (code, state.targets["web-1"].steps.outcome) == (8, "unknown"), engine.said()
        assert len(marks(canary, state.rollout)) == 1
        assert not any(target.read("marks") for target in rest)
