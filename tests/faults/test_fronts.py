"""The screen dies, hangs, or the engine is told to end: no step notices, nothing new starts, and `resume` goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, all_ok, until
from farm import Farm, FarmTarget, available
from fronts import ANN, Front, plan_of
from oracle import marks, numbered_step

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Event, Record
from canary_tui.engine.messages import Start
from canary_tui.errors import ExitCode

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
KILLS = int(os.environ.get("CANARY_TUI_KILLS", "8"))
LINES = {"one": 400, "two": 100}
BODY = (
    numbered_step("one", 400, 40, 0.1)
    + numbered_step("two", 100, 50)
    + '\n[[waves]]\nname = "canary"\ntargets = "web-1 | web-2"\ngate = {}\n\n[[waves]]\nname = "rest"\n'
)
NOISY = 20_000
LOUD = (
    numbered_step("one", NOISY, 1000, 0.05)
    + '\n[[waves]]\nname = "canary"\ntargets = "web-1 | web-2"\ngate = {}\n\n[[waves]]\nname = "rest"\n'
)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("fronts"), 4, net=53) as farm:
        yield farm


@contextlib.contextmanager
def front(controller: Controller, manner: str = "read") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A front in a process of its own, and its engine's pid."""
    command: list[str | Path]
    command = [sys.executable, Path(__file__).with_name("dead_front.py"), controller.state, controller.fleet, manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        try:
            yield process, engine
        finally:
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    """An engine whose front is dead is init's child; one whose front lives may wait to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def kinds(controller: Controller, kind: type[Event]) -> list[Record]:
    return [record for record in controller.records if isinstance(record.event, kind)]


def finish(controller: Controller) -> None:
    """Go on to the end: to the gate, which is still to be approved, and beyond."""
    assert controller.resume().wait() == 4, controller.said()
    assert controller.resume("--approve-with", controller.approval()).wait() == 0, controller.said()
    state = controller.judge()
    assert state.verdict == "succeeded"
    assert all_ok(state) == []


def test_a_killed_front_leaves_a_rollout_that_holds_and_goes_on(farm: Farm, tmp_path: Path) -> None:
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        with front(controller) as (process, engine):
            until(lambda: len(kinds(controller, e.StepStarted)) == 2, 30)
            process.kill()
            until(lambda: is_gone(engine), 30, "the engine ends")
        lost = kinds(controller, e.FrontLost)[0].seq
        assert all(record.seq < lost for record in kinds(controller, e.StepStarted)), "something new was started"
        ended = [
            record.event
            for record in controller.records
            if isinstance(record.event, e.StepFinished) and record.seq > lost
        ]
        assert [event.outcome for event in ended] == ["ok", "ok"], "what ran was seen to its end"
        assert controller.rollout().paused == "detached"
        finish(controller)


def test_a_front_that_is_stopped_holds_up_nothing(farm: Farm, tmp_path: Path) -> None:
    """A terminal that is not read freezes its front: the engine's socket fills, the rollout goes on to its gate."""
    with Controller(farm, tmp_path / "here", LOUD, {"one": NOISY}) as controller:
        with front(controller, "stall") as (process, engine):
            until(lambda: kinds(controller, e.StepStarted), 30)
            process.send_signal(signal.SIGSTOP)
            until(lambda: kinds(controller, e.GateOpened), 60)
            assert not is_gone(engine)
            controller.judge()
            process.kill()
            until(lambda: is_gone(engine), 30, "the engine ends")
        assert not kinds(controller, e.GateApproved)
        finish(controller)


async def test_a_front_that_dies_while_its_rollout_is_opened_leaves_no_engine_that_waits_for_nobody(
    farm: Farm, tmp_path: Path
) -> None:
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        async with Front(controller.state) as one:
            await one.send(Start(plan_of(controller.fleet, "1.1"), ANN))
            one.hang_up()
            assert await one.exited() == ExitCode.INTERRUPTED
        assert len(kinds(controller, e.FrontLost)) == 1
        assert controller.rollout().paused == "detached"


async def test_a_front_that_reads_nothing_is_obeyed(farm: Farm, tmp_path: Path) -> None:
    with Controller(farm, tmp_path / "here", LOUD, {"one": NOISY}) as controller:
        async with Front(controller.state) as one:
            await one.start(plan_of(controller.fleet, "1.1"))
            transport = one._writer.transport
            assert isinstance(transport, asyncio.ReadTransport)
            transport.pause_reading()
            await one.event(e.GateOpened, limit=60)
            await one.approve()
            await one.until(lambda state: state.verdict == "succeeded", 60)
        controller.judge()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_engine_that_is_told_to_end_leaves_its_steps_alone(
    farm: Farm, tmp_path: Path, number: signal.Signals
) -> None:
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        with front(controller) as (_, engine):
            until(lambda: all(_at_work(controller, target) for target in farm.targets[:2]), 30)
            os.kill(engine, number)
            until(lambda: is_gone(engine), 30, "the engine ends")
        assert controller.rollout().paused == "terminated"
        assert not kinds(controller, e.StepFinished), "a step ended with the engine"
        finish(controller)
        executions = [marks(target, controller.rollout().rollout) for target in farm.targets]
        assert [len(one) for one in executions] == [2, 2, 2, 2]


def _at_work(controller: Controller, target: FarmTarget) -> bool:
    started = kinds(controller, e.StepStarted)
    return bool(started) and bool(marks(target, controller.rollout().rollout))


@pytest.mark.parametrize("seed", range((KILLS + 3) // 4))
def test_an_engine_is_killed_after_its_front(farm: Farm, tmp_path: Path, seed: int) -> None:
    """The front dies, then the engine while it sees to the end what runs: both at random moments."""
    chance = random.Random(1000 + seed)
    with Controller(farm, tmp_path / "here", BODY, LINES) as controller:
        with front(controller) as (process, engine):
            goal = chance.randint(1, 16)
            until(lambda: len(controller.records) >= goal or is_gone(engine), 30)
            process.kill()
            ends = time.monotonic() + chance.uniform(0, 1.2)
            until(lambda: time.monotonic() > ends or is_gone(engine))
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
            until(lambda: is_gone(engine), 10)
        controller.judge()
        finish(controller)
