"""The way to a target is cut again and again while a step prints: it goes on there, and every byte comes once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, Engine, until
from farm import Farm, FarmTarget, available

from canary_tui.domain.rollout import events as e

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
CUTS = int(os.environ.get("CANARY_TUI_KILLS", "6"))
"""Cuts in all, spread over the rollouts."""
THOROUGH = CUTS > 12 or bool(os.environ.get("CANARY_TUI_CI"))
LINES = 350_000
ALL_AT_ONCE = '\n[[waves]]\nname = "all"\n'
LOUD = (
    f"""
[[steps]]
name = "loud"
run = '''
id=$(cat /proc/sys/kernel/random/uuid)
echo "start $ROLLOUT loud $id $(date +%s.%N)" >>"$HOME/marks"
for part in 0 1 2 3 4 5 6 7 8 9; do
    awk -v from=$((part * {LINES // 10})) -v target="$TARGET" \\
        'BEGIN {{ for (i = from + 1; i <= from + {LINES // 10}; i++) print "loud " i " of {LINES} on " target }}'
    sleep 0.3
done
echo "end $ROLLOUT loud $id $(date +%s.%N)" >>"$HOME/marks"
'''
"""
    + ALL_AT_ONCE
)
"""More than 10 MB for each of two targets."""


@pytest.fixture
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("cut"), 2, net=52) as farm:
        yield farm


@pytest.mark.parametrize("seed", range((CUTS + 5) // 6))
def test_output_that_is_cut_again_and_again_is_whole(farm: Farm, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = controller.run()
        until(lambda: all(target.read("marks") for target in farm.targets), 30, engine.said)
        done = 0
        while not engine.ended and done < 6:
            _pass(chance.uniform(0, 0.8), engine)
            done += _cut(chance.choice(farm.targets), chance, engine)
        assert engine.wait() == 0, engine.said()
        state = controller.judge()
    assert done > 0
    assert state.verdict == "succeeded"


def _pass(seconds: float, engine: Engine) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not engine.ended:
        time.sleep(0.002)


def _cut(target: FarmTarget, chance: random.Random, engine: Engine) -> bool:
    """Cut a target's connections: at once, or frozen for a while and then cut, or frozen and let go on."""
    how = chance.choice(["kill", "kill", "freeze, then kill", "freeze"])
    if how == "kill":
        return target.kill_sessions() > 0
    frozen = target.kill_sessions(signal.SIGSTOP)
    _pass(chance.uniform(0.05, 0.6), engine)
    target.kill_sessions(signal.SIGCONT if how == "freeze" else signal.SIGKILL)
    return frozen > 0


def test_a_frozen_server_is_noticed_and_asked_again(farm: Farm, tmp_path: Path) -> None:
    """A peer that is silent, without the connection being closed, counts as lost within 20 s."""
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = controller.run()
        until(lambda: farm.targets[0].read("marks"), 30, engine.said)
        frozen = farm.targets[0].sessions()
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            at = time.monotonic()
            until(lambda: any(isinstance(r.event, e.ConnectionLost) for r in engine.records), 30, engine.said)
            assert time.monotonic() - at < 22
            assert engine.wait() == 0, engine.said()
        finally:
            for pid in frozen:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert controller.judge().verdict == "succeeded"


@pytest.mark.skipif(not THOROUGH, reason="it sleeps for 27 s; CANARY_TUI_KILLS=50 runs it")
def test_a_controller_that_slept_goes_on_where_the_output_was_cut(farm: Farm, tmp_path: Path) -> None:
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = controller.run()
        until(lambda: all(target.read("marks") for target in farm.targets), 30, engine.said)
        engine.kill(signal.SIGSTOP)
        _pass(27, engine)
        engine.kill(signal.SIGCONT)
        assert engine.wait() == 0, engine.said()
        assert controller.judge().verdict == "succeeded"


def test_a_server_that_is_gone_for_good_before_the_start_is_unreachable_and_said_so(farm: Farm, tmp_path: Path) -> None:
    farm.stop_target(farm.targets[1])
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = controller.run()
        assert engine.wait() == 1
        state = controller.judge()
    assert state.targets["web-2"].steps.outcome == "unreachable"
    assert "refused" in state.targets["web-2"].steps.detail
    assert not farm.targets[0].read("marks"), "a dead target is known before the first change"


def test_a_server_that_went_away_holds_up_nobody_and_is_said_to_be_lost(farm: Farm, tmp_path: Path) -> None:
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = _with_one_server_gone(farm, controller)
        engine.kill(signal.SIGTERM)
        assert engine.wait() == 130, engine.said()
        state = controller.judge()
    gone = state.targets["web-2"].running
    assert state.paused == "terminated"
    assert state.targets["web-1"].steps.outcome == "ok"
    assert gone is not None
    assert gone.lost
    assert "connection lost" in engine.said()


@pytest.mark.skipif(not THOROUGH, reason="a stop waits 70 s for a server that is gone; CANARY_TUI_KILLS=50 runs it")
def test_a_server_that_never_comes_back_is_unknown_and_its_stop_unconfirmed(farm: Farm, tmp_path: Path) -> None:
    with Controller(farm, tmp_path / "here", LOUD, {"loud": LINES}) as controller:
        engine = _with_one_server_gone(farm, controller)
        engine.kill(signal.SIGINT)
        until(lambda: any(isinstance(r.event, e.StopRequested) for r in engine.records), 30, engine.said)
        time.sleep(1.1)  # sooner, it would be the same press of a key that is held down
        engine.kill(signal.SIGINT)
        assert engine.wait() == 130, engine.said()
        state = controller.judge()
    assert state.targets["web-1"].steps.outcome == "ok"
    assert state.targets["web-2"].steps.outcome == "unknown"
    assert "stop unconfirmed" in state.targets["web-2"].steps.detail
    assert state.targets["web-2"].unconfirmed


def _with_one_server_gone(farm: Farm, controller: Controller) -> Engine:
    """A rollout whose first target has ended, and whose second lost its server on the way."""
    engine = controller.run()
    until(lambda: all(target.read("marks") for target in farm.targets), 30, engine.said)
    farm.stop_target(farm.targets[1])
    until(lambda: "ok" in [one.outcome for one in _ends(engine, "web-1")], 60, engine.said)
    until(lambda: any(isinstance(r.event, e.ConnectionLost) for r in engine.records), 30, engine.said)
    return engine


def _ends(engine: Engine, target: str) -> list[e.StepFinished]:
    return [r.event for r in engine.records if isinstance(r.event, e.StepFinished) and r.event.target == target]
