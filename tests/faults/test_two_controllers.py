"""Two operators with a state directory each, and one fleet: what the second may do, and when the first may no more."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Controller, until
from farm import Farm, available

from canary_tui.domain.rollout import events as e

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
RACES = int(os.environ.get("CANARY_TUI_RACES", "4"))
DEPLOY = """
[[steps]]
name = "one"
run = "echo begin $ROLLOUT >> acts; until [ -e go ]; do sleep 0.05; done; echo end $ROLLOUT >> acts"
[[steps]]
name = "two"
run = "echo begin $ROLLOUT >> acts; echo end $ROLLOUT >> acts"
{more}
[[waves]]
name = "canary"
targets = "web-1"
[waves.gate]
{gate}
[[waves]]
name = "rest"
"""
BODY = DEPLOY.format(more="", gate="")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("shared"), 3, net=55) as farm:
        yield farm


@pytest.fixture
def farm(servers: Farm) -> Farm:
    for target in servers.targets:
        for path in target.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        target.log.unlink(missing_ok=True)
        (target.home / "go").touch()
    return servers


@pytest.fixture
def first(farm: Farm, tmp_path: Path) -> Iterator[Controller]:
    with Controller(farm, tmp_path / "first", BODY, {}) as controller:
        yield controller


@pytest.fixture
def second(farm: Farm, tmp_path: Path) -> Iterator[Controller]:
    """It says of another fleet that the same servers are its own."""
    with Controller(farm, tmp_path / "second", BODY, {}, name="other") as controller:
        yield controller


def holders(farm: Farm) -> dict[str, str | None]:
    """Whose lock each target has, None where it is nobody's."""
    found = {target.name: target.read(".local/state/canary-tui/lock").split() for target in farm.targets}
    return {name: words[0] if words else None for name, words in found.items()}


def acted(farm: Farm) -> dict[str, list[str]]:
    """Which rollouts did something, on each target in this order."""
    lines = {target.name: target.read("acts").split() for target in farm.targets}
    return {name: list(dict.fromkeys(words[1::2])) for name, words in lines.items()}


def one_at_a_time(farm: Farm) -> None:
    for target in farm.targets:
        acts = [line.split() for line in target.read("acts").splitlines()]
        for (begin, who), (end, same) in zip(acts[::2], acts[1::2], strict=True):
            assert (begin, end, who) == ("begin", "end", same)


def free(farm: Farm) -> bool:
    return set(holders(farm).values()) == {None}


def rollout(controller: Controller) -> str:
    until(lambda: controller.directory, 30, controller.said)
    directory = controller.directory
    assert directory is not None
    return directory.name


def at_the_gate(controller: Controller) -> str:
    engine = controller.run()
    assert engine.wait() == 4, controller.said()
    return rollout(controller)


def test_the_second_is_refused_before_any_change_while_the_first_waits_at_its_gate(
    farm: Farm, first: Controller, second: Controller
) -> None:
    name = at_the_gate(first)
    assert set(holders(farm).values()) == {name}
    engine = second.run()
    assert engine.wait() == 7, second.said()
    assert re.search(rf"web-1 \(locked by {name} \(\S+@\S+ since .*Z\); .*--break-lock", engine.said())
    assert acted(farm) == {"web-1": [name], "web-2": [], "web-3": []}
    assert set(holders(farm).values()) == {name}, "and what it took before it was refused it has let go of"
    assert first.resume("--approve-with", first.approval()).wait() == 0, first.said()
    assert free(farm)
    assert second.run().wait() == 4, second.said()


def test_a_refused_rollout_lets_go_of_what_it_had_taken(farm: Farm, first: Controller, second: Controller) -> None:
    name = at_the_gate(first)
    folder = farm.targets[1].home / ".local/state/canary-tui"
    (folder / "lock").unlink()
    assert second.run().wait() == 7, second.said()
    assert holders(farm) == {"web-1": name, "web-2": None, "web-3": name}


def test_a_lock_is_kept_after_a_kill_and_resume_goes_on_with_it(
    farm: Farm, first: Controller, second: Controller
) -> None:
    (farm.targets[0].home / "go").unlink()
    engine = first.run()
    until(lambda: farm.targets[0].read("acts"), 30, first.said)
    engine.kill()
    engine.wait()
    name = rollout(first)
    assert second.run().wait() == 7, second.said()
    (farm.targets[0].home / "go").touch()
    assert first.resume().wait() == 4, first.said()
    assert first.resume("--approve-with", first.approval()).wait() == 0, first.said()
    assert set(map(tuple, acted(farm).values())) == {(name,)}
    assert free(farm)


@pytest.mark.parametrize("step", ["run = 'false'", "run = 'false'\ndurable = false", "run = 'sleep 9'\ntimeout = '1s'"])
def test_every_lock_is_let_go_of_after_a_failure(farm: Farm, tmp_path: Path, step: str) -> None:
    body = f"[[steps]]\n{step}\n[[rollback]]\nrun = 'true'\n[[finally]]\nrun = 'true'\n"
    with Controller(farm, tmp_path / "failing", body, {}) as controller:
        assert controller.run("--canary", "web-1").wait() == 1, controller.said()
        assert free(farm)


def test_every_lock_is_let_go_of_when_a_target_cannot_be_reached_before_the_start(farm: Farm, tmp_path: Path) -> None:
    body = BODY + '[[targets]]\nname = "gone"\nhost = "127.0.55.99"\n'
    with Controller(farm, tmp_path / "gone", body, {}) as controller:
        assert controller.run().wait() == 1, controller.said()
        assert acted(farm) == {"web-1": [], "web-2": [], "web-3": []}
        assert free(farm)


def test_a_lock_is_broken_by_naming_its_holder_and_that_is_on_disk(
    farm: Farm, first: Controller, second: Controller
) -> None:
    name = at_the_gate(first)
    assert second.run("--break-lock", "2026-01-01T000000Z-shop-00000000").wait() == 7
    assert second.run("--break-lock", name).wait() == 4, second.said()
    started = second.records[0].event
    assert isinstance(started, e.RolloutStarted)
    assert started.breaks == (name,)
    assert set(holders(farm).values()) == {rollout(second)}
    assert first.resume("--approve-with", first.approval()).wait() == 1, first.said()
    assert f"the lock was taken over by {rollout(second)}" in first.said()
    assert acted(farm)["web-2"] == [], "the first did nothing any more"
    assert first.rollout().targets["web-2"].steps.outcome == "failed"
    assert set(holders(farm).values()) == {rollout(second)}
    assert second.resume("--approve-with", second.approval()).wait() == 0, second.said()
    assert free(farm)


def test_who_lost_a_lock_takes_it_back_only_by_naming_who_has_it(
    farm: Farm, first: Controller, second: Controller
) -> None:
    name = at_the_gate(first)
    assert second.run("--break-lock", name).wait() == 4
    other = rollout(second)
    engine = first.resume("--approve-with", first.approval(), "--break-lock", other)
    assert engine.wait() == 0, first.said()
    assert acted(farm) == {"web-1": [name, other], "web-2": [name], "web-3": [name]}
    assert [event.event.breaks for event in first.records if isinstance(event.event, e.EngineResumed)] == [(other,)]
    assert second.resume("--approve-with", second.approval()).wait() == 1
    assert "the lock is gone" in second.said()


def test_a_controller_that_was_frozen_starts_nothing_once_its_lock_was_broken(
    farm: Farm, first: Controller, second: Controller
) -> None:
    (farm.targets[0].home / "go").unlink()
    frozen = first.run()
    until(lambda: farm.targets[0].read("acts"), 30, first.said)
    name = rollout(first)
    frozen.kill(signal.SIGSTOP)
    refused = second.run("--break-lock", name)
    assert refused.wait() == 7, "a step of the first still runs there"
    assert f"{name} is still running a step there" in refused.said()
    (farm.targets[0].home / "go").touch()
    until(lambda: "end" in farm.targets[0].read("acts"))
    assert second.run("--break-lock", name).wait() == 4, second.said()
    frozen.kill(signal.SIGCONT)
    assert frozen.wait() == 1, first.said()
    assert f"the lock was taken over by {rollout(second)}" in first.said()
    assert acted(farm) == {"web-1": [name, rollout(second)], "web-2": [], "web-3": []}
    assert farm.targets[0].read("acts").split()[1::2] == [name] * 2 + [rollout(second)] * 4
    one_at_a_time(farm)


def test_a_holder_that_is_known_to_have_ended_is_taken_over_without_asking(
    farm: Farm, first: Controller, second: Controller
) -> None:
    assert first.run("--canary", "web-1").wait() == 4
    assert first.resume("--approve-with", first.approval()).wait() == 0
    name = rollout(first)
    lock = farm.targets[2].home / ".local/state/canary-tui/lock"
    lock.write_text(f"{name} ann@desk 1000\n")
    assert second.run().wait() == 7, "another state directory knows nothing of it"
    assert first.run().wait() == 4, first.said()
    assert set(holders(farm).values()) == {rollout(first)}


def test_a_lock_that_could_not_be_let_go_of_is_named_and_changes_no_verdict(tmp_path: Path) -> None:
    with Farm(tmp_path / "own", 2, net=56) as own:
        waits = f"[ $TARGET != web-2 ] || until [ -e {tmp_path}/cut-off ]; do sleep 0.1; done"
        stop = f"[[finally]]\nlocal = '{waits}'\n"
        with Controller(own, tmp_path / "left", BODY.format() + stop, {}) as controller:
            for target in own.targets:
                (target.home / "go").touch()
            assert controller.run().wait() == 4, controller.said()
            resumed = controller.resume("--approve-with", controller.approval(), "--json")
            until(lambda: any(isinstance(record.event, e.FinallyStarted) for record in controller.records), 60)
            own.stop_target(own.targets[1])
            (tmp_path / "cut-off").touch()
            assert resumed.wait() == 0, controller.said()
            state = controller.rollout()
            assert state.verdict == "succeeded"
            assert "lock left on web-2 (" in state.reason
            assert holders(own)["web-1"] is None
            assert holders(own)["web-2"] == rollout(controller)


def test_a_lock_of_an_earlier_engine_is_named_where_its_target_cannot_be_reached_any_more(tmp_path: Path) -> None:
    slow = "[release]\ncurrent = 'until [ -e go ]; do sleep 0.1; done'\n"
    with (
        Farm(tmp_path / "own", 2, net=57) as own,
        Controller(own, tmp_path / "left", slow + BODY, {}) as controller,
    ):
        engine = controller.run()
        until(lambda: None not in holders(own).values(), 30, controller.said)
        engine.kill()
        engine.wait()
        own.stop_target(own.targets[1])
        (own.targets[0].home / "go").touch()
        assert controller.resume().wait() == 1, controller.said()
        assert holders(own) == {"web-1": None, "web-2": rollout(controller)}
        assert "lock left on web-2 (" in controller.rollout().reason


@pytest.mark.parametrize("seed", range(RACES))
def test_however_two_race_each_target_is_acted_on_by_one_at_a_time(farm: Farm, tmp_path: Path, seed: int) -> None:
    """The second has the order of the targets turned around, and breaks the lock of the first somewhere on the way."""
    chance = random.Random(seed)
    all_at_once = BODY.partition("[[waves]]")[0] + '[[waves]]\nname = "all"\n'
    with (
        Controller(farm, tmp_path / "first", all_at_once, {}, name=f"shop-{seed}") as first,
        Controller(farm, tmp_path / "second", all_at_once, {}, name=f"other-{seed}") as second,
    ):
        text = second.fleet.read_text()
        head, *targets = text.split("[[targets]]")
        second.fleet.write_text("[[targets]]".join([head, *reversed(targets)]))
        one = first.run()
        name = rollout(first)
        until(lambda: one.ended or one.shown() >= chance.randint(2, 12), 60, first.said)
        deadline = time.monotonic() + chance.uniform(0, 0.2)
        until(lambda: time.monotonic() > deadline)
        two = second.run(*(["--break-lock", name] if chance.random() < 0.7 else []))
        codes = one.wait(), two.wait()
        assert codes[0] in (0, 1, 7), first.said()
        assert codes[1] in (0, 1, 7), second.said()
        one_at_a_time(farm)
        assert free(farm)
        for controller, code in ((first, codes[0]), (second, codes[1])):
            if code == 7:
                assert all(rollout(controller) not in who for who in acted(farm).values())
