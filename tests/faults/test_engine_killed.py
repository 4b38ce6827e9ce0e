"""kill -9 of the engine at any moment: `resume` ends the rollout with one execution, every byte, and the gate asked for."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, Engine, all_ok, kill_somewhere, until
from farm import Farm, available
from oracle import marks, numbered_step

from canary_tui.domain.rollout import events as e

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
KILLS = int(os.environ.get("CANARY_TUI_KILLS", "8"))
LINES = {"one": 150, "two": 90}
UPLOAD = """
[[steps]]
name = "send"
upload = "artifact.bin"
to = "releases/$RELEASE/artifact.bin"
"""
BODY = (
    numbered_step("one", 150, 50)
    + UPLOAD
    + numbered_step("two", 90, 30)
    + """
[[waves]]
name = "canary"
targets = "web-1 | web-2"
gate = {}

[[waves]]
name = "rest"
parallel = 3
"""
)
UNTIL_GATE, BEYOND = 40, 55
"""About how many records there are before the gate, and after it."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("killed"), 8, net=51) as farm:
        (farm.folder / "artifact.bin").write_bytes(random.Random(0).randbytes(3_000_000))
        yield farm


@pytest.fixture(autouse=True)
def nothing_was_sent_yet(farm: Farm) -> None:
    for target in farm.targets:
        shutil.rmtree(target.home / "releases", ignore_errors=True)


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_engine_loses_nothing_and_repeats_nothing(farm: Farm, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        killed_before_gate = chance.choice([1, 1, 2, 3]) if seed % 2 == 0 else 0
        killed_beyond = chance.choice([1, 1, 2, 3]) if seed % 2 else chance.choice([0, 1])
        engine = controller.run()
        for _ in range(killed_before_gate):
            kill_somewhere(engine, chance, UNTIL_GATE)
            engine = controller.resume() if controller.directory else controller.run()
        assert engine.wait() == 4, controller.said()
        assert not any(isinstance(record.event, e.GateApproved) for record in controller.records)
        controller.judge()

        engine = controller.resume("--approve-with", controller.approval())
        for _ in range(killed_beyond):
            kill_somewhere(engine, chance, BEYOND)
            controller.judge()
            if controller.rollout().verdict is not None:
                break
            engine = _until_approved(controller)
        else:
            assert engine.wait() == 0, controller.said()
        state = controller.judge()
        assert state.verdict == "succeeded", controller.said()
        assert all_ok(state) == []
    sent = (farm.folder / "artifact.bin").read_bytes()
    for target in farm.targets:
        assert (target.home / "releases/1.1/artifact.bin").read_bytes() == sent
        assert os.listdir(target.home / "releases/1.1") == ["artifact.bin"], "an earlier try was left behind"


def _until_approved(controller: Controller) -> Engine:
    """Go on after a kill: the gate is demanded again exactly if its approval is not on record."""
    engine = controller.resume()
    if any(isinstance(record.event, e.GateApproved) for record in controller.records):
        return engine
    assert engine.wait() == 4, controller.said()
    return controller.resume("--approve-with", controller.approval())


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("commit", range(1, KILLS + 1, max(1, KILLS // 4)))
def test_an_engine_killed_as_it_commits_loses_nothing_and_repeats_nothing(
    farm: Farm, tmp_path: Path, commit: int
) -> None:
    """Written and not yet durable is the worst moment: the engine is killed as it enters its n-th fdatasync."""
    inject = f"inject=fdatasync:signal=KILL:when={commit}"
    tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        engine = controller.run(under=tracer)
        code = engine.wait()
        assert code == -signal.SIGKILL or (code == 4 and commit > 5), controller.said()
        controller.judge()
        if code != 4:
            assert controller.resume().wait() == 4, controller.said()
        assert controller.resume("--approve-with", controller.approval()).wait() == 0, controller.said()
        assert all_ok(controller.judge()) == []


UNDO = {"one": 30, "undo": 60, "tidy": 30}
GOES_BACK = (
    """
[release]
current = "echo 1.0"
[limits]
on-failure = "rollback"
"""
    + numbered_step("one", 30, 30)
    + """
[[steps]]
name = "bad"
run = '[ "$TARGET" != web-7 ]'
"""
    + numbered_step("undo", 60, 20, table="rollback")
    + numbered_step("tidy", 30, 30, table="finally")
    + """
[[waves]]
name = "all"
parallel = 8
"""
)


@pytest.mark.parametrize("seed", range((KILLS + 3) // 4))
def test_an_engine_killed_while_it_rolls_back_undoes_each_target_once(farm: Farm, tmp_path: Path, seed: int) -> None:
    chance = random.Random(2000 + seed)
    with Controller(farm, tmp_path / "here", GOES_BACK, UNDO) as controller:
        engine = controller.run()
        until(lambda: any(isinstance(r.event, e.RollbackStarted) for r in engine.records) or engine.ended, 60)
        for _ in range(2):
            kill_somewhere(engine, chance, 20, since=engine.shown())
            controller.judge()
            if controller.rollout().verdict is not None:
                break
            engine = controller.resume()
        else:
            assert engine.wait() == 1, controller.said()
        state = controller.judge()
    assert state.verdict == "rolled-back", controller.said()
    for target in farm.targets:
        done = [mark.step for mark in marks(target, state.rollout) if mark.ended is not None]
        assert sorted(done) == ["one", "tidy", "undo"]
