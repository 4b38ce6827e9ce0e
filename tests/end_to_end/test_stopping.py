"""Stopping in two stages, each stop looked at on the target, and nothing of it in anybody's way to go on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, FarmTarget
from fronts import ANN, Front, canary_tui, folded, only_rollout, plan_of, started, told, until
from marks import HOLD, ROLLBACK, fleet_file, gone, let_go, times, untouched, waves, with_mark

from canary_tui.domain.rollout import events as e
from canary_tui.store.layout import rollouts

TWO_STEPS = HOLD + '[[steps]]\nname = "after"\nrun = "echo x >> after"\n'
FAMILY = """
[[steps]]
name = "deploy"
run = '''
{trap}
sleep 300 & echo $! > child
(sleep 300 & echo $! > grandchild; wait) &
echo $$ > pid
while :; do sleep 0.2; done
'''
"""


def processes(target: FarmTarget) -> list[str]:
    return [target.read(name).strip() for name in ("pid", "child", "grandchild")]


async def hanging(front: Front, farm: Farm, body: str = FAMILY.format(trap="")) -> None:
    """A rollout whose canary web-1 does not end by itself."""
    await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
    await until(lambda: all(processes(farm.targets[0])))


# Two stages


@pytest.mark.criterion("G5")
async def test_the_first_stage_starts_nothing_new_and_lets_what_runs_end(any_farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(any_farm, TWO_STEPS + waves("web-1 | web-2", parallel=1))))
        await until(lambda: with_mark(any_farm, "pid") == {"web-1", "web-2"})
        await front.stop("starting")
        await front.event(e.StopRequested)
        assert all(one.running for name, one in front.state.targets.items() if name in ("web-1", "web-2"))
        let_go(any_farm)
        assert (await front.ended()).exit_code == 130
        assert front.events(e.CancelStarted) == []
    assert with_mark(any_farm, "after") == set()
    assert untouched(any_farm.targets[2:])
    assert canary_tui(state, "resume", "--headless").code == 4
    assert with_mark(any_farm) == with_mark(any_farm, "after") == {"web-1", "web-2"}
    assert set(times(any_farm).values()) == {0, 1}


async def test_a_stop_can_be_taken_back_before_anything_was_stopped(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, TWO_STEPS), canaries=("web-1",)))
        await until(lambda: farm.targets[0].read("pid"))
        await front.stop("starting")
        await front.event(e.StopRequested)
        await front.decide(e.StopWithdrawn(ANN))
        await front.event(e.StopWithdrawn)
        let_go(farm)
        await front.event(e.GateOpened)
    assert with_mark(farm, "after") == {"web-1"}


@pytest.mark.found("drive 3")
@pytest.mark.criterion("G5")
async def test_the_second_stage_ends_the_whole_process_group(any_farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await hanging(front, any_farm)
        assert not any(map(gone, processes(any_farm.targets[0])))
        await front.stop("running")
        finished = await front.event(e.CancelFinished)
        assert all(map(gone, processes(any_farm.targets[0])))
        assert finished.confirmed
        assert (await front.ended()).exit_code == 130
        assert front.state.targets["web-1"].steps.outcome == "cancelled"
        assert not front.state.targets["web-1"].unconfirmed
    log = (only_rollout(state).logs / "web-1.log").read_text()
    assert log.endswith(" stopped\n"), "the word of the screens"
    assert untouched(any_farm.targets[1:])


async def test_a_step_that_ignores_term_is_killed(farm: Farm, state: Path) -> None:
    """G5"""
    async with Front(state) as front:
        await hanging(front, farm, FAMILY.format(trap="trap '' TERM HUP INT"))
        await front.stop("running")
        finished = await front.event(e.CancelFinished)
        assert finished.confirmed
        assert all(map(gone, processes(farm.targets[0])))
        assert (await front.ended()).exit_code == 130


async def test_a_stop_that_nobody_saw_is_unconfirmed(tmp_path: Path, state: Path, four_servers: Farm) -> None:
    """G5, P9: the server is there, but lets nobody in to look; the step may run."""
    with Farm(tmp_path / "farm", 2, net=65) as farm:
        async with Front(state) as front:
            await hanging(front, farm)
            (farm.folder / "authorized_keys").write_text("")
            farm.targets[0].kill_sessions()
            await front.event(e.ConnectionLost)
            await front.stop("running")
            finished = await front.event(e.CancelFinished)
            assert not finished.confirmed
            assert finished.detail
            assert (await front.ended()).exit_code == 130
            target = front.state.targets["web-1"]
            assert target.unconfirmed
            assert target.steps.outcome == "unknown"
            assert "unconfirmed" in target.steps.detail
        assert "web-1: stop unconfirmed" in canary_tui(state, "replay", "--headless").out
        pid = farm.targets[0].read("pid").strip()
        assert not gone(pid)
        os.killpg(int(pid), signal.SIGKILL)


async def test_a_stopped_step_is_asked_about_on_resume_and_not_run_again(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await hanging(front, farm)
        await front.stop("running")
        await front.ended()
    before = only_rollout(state).journal.read_bytes()
    ran = canary_tui(state, "resume", "--headless")
    assert ran.code == 130, ran.text
    assert "a step was stopped before its end on 1 target: web-1" in ran.err
    assert f"resume {only_rollout(state).id} --headless --retry-stopped" in ran.err
    assert only_rollout(state).journal.read_bytes() == before, "it is as open as the stop promised (minor 29)"
    assert untouched(farm.targets[1:])


STUBBORN_HERE = """
[[steps]]
name = "here"
local = "trap '' TERM; sleep 300 & echo $! > '{folder}/child'; echo $$ > '{folder}/shell'; wait; sleep 300"
"""
ASKING = """
[[steps]]
name = "ask"
http = "http://127.0.0.1:{port}/health"
{more}
[steps.expect]
within = "5m"
"""


@pytest.mark.found("house 6.2")
async def test_the_stop_of_a_local_step_is_seen_among_the_processes_here(
    farm: Farm, state: Path, tmp_path: Path
) -> None:
    """Nothing is claimed of the target, where nothing ran and nobody looked."""
    body = STUBBORN_HERE.format(folder=tmp_path)
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
        await until(lambda: (tmp_path / "shell").exists() and (tmp_path / "shell").read_text())
        pids = [(tmp_path / name).read_text().strip() for name in ("shell", "child")]
        assert not any(map(gone, pids))
        await front.stop("running")
        finished = await front.event(e.CancelFinished)
        assert all(map(gone, pids))
        assert (finished.confirmed, finished.detail) == (True, "its processes on this machine are gone")
        assert (await front.ended()).exit_code == 130


@pytest.mark.found("house 6.2")
@pytest.mark.parametrize(("more", "words"), [("", "nothing more is asked"), ('from = "target"', "changes nothing")])
async def test_the_stop_of_an_http_step_says_only_that_nothing_more_is_asked(
    farm: Farm, state: Path, more: str, words: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        body = ASKING.format(port=silent.getsockname()[1], more=more)
        async with Front(state) as front:
            await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
            await front.event(e.StepStarted)
            await front.stop("running")
            finished = await front.event(e.CancelFinished)
            assert finished.confirmed
            assert words in finished.detail
            assert "gone" not in finished.detail
            assert (await front.ended()).exit_code == 130


SENDING = """
[[steps]]
name = "send"
upload = "large"
to = "arrived"
"""


@pytest.mark.found("house 6.2")
async def test_the_stop_of_an_upload_is_seen_on_the_target(farm: Farm, state: Path) -> None:
    """The target has removed what had come, and puts nothing in its place afterwards."""
    home = farm.targets[0].home
    with (farm.folder / "large").open("wb") as large:
        large.truncate(600 << 20)
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, SENDING), canaries=("web-1",)))
        await until(lambda: any(part.stat().st_size for part in home.glob(".canary-tui.*")))
        await front.stop("running")
        finished = await front.event(e.CancelFinished)
        assert not list(home.glob(".canary-tui.*"))
        assert (finished.confirmed, finished.detail) == (True, "the target has removed what had come")
        assert (await front.ended()).exit_code == 130
        assert front.state.targets["web-1"].steps.outcome == "cancelled"
    assert not list(home.glob(".canary-tui.*"))
    assert not (home / "arrived").exists()
    assert (only_rollout(state).logs / "web-1.log").read_text().endswith(" stopped\n")


async def test_an_abort_stops_what_runs_before_it_rolls_back(farm: Farm, state: Path) -> None:
    """F4, P9"""
    async with Front(state) as front:
        await hanging(front, farm, '[release]\ncurrent = "cat REVISION"\n' + FAMILY.format(trap="") + ROLLBACK)
        await front.abort("wrong release", rollback=True)
        assert (await front.ended()).exit_code == 3
        kinds = [type(record.event) for record in front.records]
        assert kinds.index(e.CancelFinished) < kinds.index(e.RollbackStarted)
    assert all(map(gone, processes(farm.targets[0])))
    assert with_mark(farm, "back") == {"web-1"}


# By signals, without screens


@pytest.fixture
def under_way(farm: Farm, state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A headless rollout whose canary does not end by itself."""
    process = started(state, "run", fleet_file(farm, TWO_STEPS), "--release", "2.0", "--headless", "--canary", "web-1")
    yield process
    process.kill()
    process.communicate()


async def test_ctrl_c_once_lets_the_step_end_and_twice_stops_it(
    farm: Farm, state: Path, under_way: subprocess.Popen[bytes]
) -> None:
    """A key that is held down is one press: only another one, after a second without any, stops what runs."""
    await until(lambda: farm.targets[0].read("pid"))
    for _ in range(40):  # as a terminal repeats a key
        under_way.send_signal(signal.SIGINT)
        await asyncio.sleep(1 / 30)
    await until(lambda: told(state, e.StopRequested))
    await asyncio.sleep(1.1)
    assert [event.stage for event in told(state, e.StopRequested)] == ["starting"]
    assert not gone(farm.targets[0].read("pid"))
    under_way.send_signal(signal.SIGINT)
    out, err = under_way.communicate(timeout=30)
    assert under_way.returncode == 130
    assert gone(farm.targets[0].read("pid"))
    assert b"starting nothing new; Ctrl-C again, after a second, stops what runs" in err
    assert b"web-1: stopped" in err
    assert f"canary-tui --state-dir {state} resume {only_rollout(state).id}".encode() in out
    let_go(farm)
    ran = canary_tui(state, "resume", "--headless", "--retry-stopped")
    assert ran.code == 4, ran.text
    assert times(farm)["web-1"] == 2, "run again, for a person said so"
    assert [event.treatment for event in told(state, e.FailureTreated)] == ["retry"]


async def test_ctrl_c_once_then_resume_goes_on(farm: Farm, state: Path, under_way: subprocess.Popen[bytes]) -> None:
    await until(lambda: farm.targets[0].read("pid"))
    under_way.send_signal(signal.SIGINT)
    await until(lambda: told(state, e.StopRequested))
    let_go(farm)
    under_way.communicate(timeout=30)
    assert under_way.returncode == 130
    assert with_mark(farm, "after") == set()
    assert canary_tui(state, "resume", "--headless").code == 4
    assert times(farm)["web-1"] == times(farm, "after")["web-1"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_is_written_down_and_the_step_goes_on_there(
    farm: Farm, state: Path, under_way: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    """What ends the program does not end the step: resume attaches to it."""
    await until(lambda: farm.targets[0].read("pid"))
    under_way.send_signal(number)
    under_way.communicate(timeout=30)
    assert under_way.returncode == 130
    assert folded(state).paused == "terminated"
    assert not gone(farm.targets[0].read("pid"))
    let_go(farm)
    assert canary_tui(state, "resume", "--headless").code == 4
    assert times(farm)["web-1"] == times(farm, "after")["web-1"] == 1


async def test_ctrl_c_before_anything_runs_ends_at_once(farm: Farm, state: Path) -> None:
    """Preflight of a silent server: nothing to wait for."""
    with socket.create_server(("127.9.9.7", farm.port)) as silent:
        silent.setblocking(False)
        fleet = fleet_file(farm, HOLD, {"mute": ""}, ssh='connect-timeout = "3s"')
        fleet.write_text(fleet.read_text().replace("127.9.9.9", "127.9.9.7"))
        process = started(state, "run", fleet, "--release", "2.0", "--headless", "--canary", "web-1")
        await until(
            lambda: any(one.journal.exists() for one in rollouts(state)) and len(told(state, e.TargetProbed)) == 4
        )
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert untouched(farm.targets)
