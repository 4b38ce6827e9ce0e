"""Canaries, a test, the rest: who gets what when, seen from the servers."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, approval, canary_tui, folded, headless, only_rollout, plan_in, plan_of, told, until
from marks import (
    DEPLOY,
    HOLD,
    asked_at,
    fleet_file,
    let_go,
    names,
    operations,
    times,
    untouched,
    waves,
    with_mark,
)

from canary_tui.domain.fleet.names import expand
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.failures import pending_failures
from canary_tui.domain.rollout.gate import next_wave_targets

EVERY_KIND = """
[release]
current = "cat REVISION"
[[steps]]
run = "echo run >> deployed"
[[steps]]
run = "echo plain >> deployed"
durable = false
[[steps]]
script = "mark.sh"
[[steps]]
upload = "artifact"
to = "uploaded"
"""


@pytest.fixture
def every_kind(any_farm: Farm) -> Path:
    (any_farm.folder / "mark.sh").write_text("echo script >> deployed; echo $RELEASE > REVISION\n")
    (any_farm.folder / "artifact").write_text("bytes")
    return fleet_file(any_farm, EVERY_KIND)


@pytest.mark.criterion("A1", "F9")
def test_no_step_of_any_kind_reaches_the_rest_before_the_gate_is_approved(
    any_farm: Farm, every_kind: Path, state: Path, tmp_path: Path
) -> None:
    ran = headless(state, every_kind, "--canary", "web-1")
    assert ran.code == 4, ran.text
    canary, *rest = any_farm.targets
    assert canary.read("deployed").split() == ["run", "plain", "script"]
    assert canary.read("uploaded") == "bytes"
    assert untouched(rest)
    assert with_mark(any_farm) | with_mark(any_farm, "uploaded") == {"web-1"}
    yes = approval(tmp_path, plan_in(state).hash)
    assert canary_tui(state, "resume", "--headless", "--approve-with", yes).code == 0
    assert {target.read("deployed") for target in any_farm.targets} == {"run\nplain\nscript\n"}
    assert with_mark(any_farm, "uploaded") == names(any_farm)


@pytest.mark.criterion("A2")
@pytest.mark.parametrize("canaries", ["web-1", "web-1 | web-2", "!web-4"])
def test_any_number_of_canaries_that_leaves_one_target(any_farm: Farm, state: Path, canaries: str) -> None:
    assert headless(state, fleet_file(any_farm, DEPLOY), "--canary", canaries).code == 4
    assert with_mark(any_farm) == set(plan_in(state).waves[0].targets)
    assert 1 <= len(with_mark(any_farm)) <= len(any_farm.targets) - 1


@pytest.mark.criterion("A2")
@pytest.mark.parametrize(
    ("canaries", "said"),
    [
        pytest.param("web-99", "web-99", id="nobody"),
        pytest.param("web-*", "all {all} targets are canaries: a canary wave has 1 to {most}", id="everybody"),
    ],
)
def test_no_canary_and_all_canaries_are_refused_with_the_rule(
    any_farm: Farm, state: Path, canaries: str, said: str
) -> None:
    count = len(any_farm.targets)
    ran = headless(state, fleet_file(any_farm, DEPLOY), "--canary", canaries)
    assert ran.code == 2
    assert said.format(all=count, most=count - 1) in ran.err
    assert all(target.commands() == [] for target in any_farm.targets)


def test_a_rollout_with_nobody_to_pick_canaries_asks_for_them(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, DEPLOY))
    assert ran.code == 2
    assert "--canary" in ran.err


@pytest.mark.criterion("A3")
def test_a_canary_that_fails_keeps_the_rest_as_it_was(any_farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "deploy"\nrun = "echo x >> deployed; exit 3"\n'
    ran = headless(state, fleet_file(any_farm, body), "--canary", "web-1")
    assert ran.code == 1
    assert with_mark(any_farm) == {"web-1"}
    assert untouched(any_farm.targets[1:])
    assert "web-1 (exit 3)" in ran.out
    assert "failed: 1 canary not ok" in ran.out


@pytest.mark.criterion("A3", "A8")
def test_a_canary_that_is_unreachable_keeps_the_rest_as_it_was(any_farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(any_farm, DEPLOY, {"dead": ""}), "--canary", "dead")
    assert ran.code == 1
    assert with_mark(any_farm) == set()
    assert untouched(any_farm.targets)
    assert "dead: unreachable" in ran.err


@pytest.mark.criterion("A3")
def test_a_canary_with_an_unknown_outcome_keeps_the_rest_as_it_was(any_farm: Farm, state: Path) -> None:
    """Its record is gone, so nobody may call the step done, and nobody may call it failed."""
    body = '[[steps]]\nname = "deploy"\nrun = "echo x >> deployed; kill -9 $PPID; sleep 0.1"\n'
    ran = headless(state, fleet_file(any_farm, body), "--canary", "web-1")
    assert ran.code == 8, ran.text
    assert untouched(any_farm.targets[1:])
    assert times(any_farm)["web-1"] == 1
    assert folded(state).targets["web-1"].steps.outcome == "unknown"
    assert "resume" in ran.out


def test_a_canary_that_did_nothing_does_not_open_the_gate(farm: Farm, state: Path) -> None:
    """A4"""
    (farm.targets[0].home / "REVISION").write_text("2.0\n")
    ran = headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1")
    assert ran.code == 1
    assert "no canary ran every step (already on 2.0)" in ran.out
    assert with_mark(farm) == set()


@pytest.mark.criterion("A6", "G3")
async def test_the_rest_is_the_same_after_a_retry(any_farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "deploy"\nrun = "echo x >> tried; [ -e fixed ]; echo x >> deployed"\n'
    plan = plan_of(fleet_file(any_farm, body), canaries=("web-1",), exclude=("web-2",))
    remaining = names(any_farm) - {"web-1", "web-2"}
    async with Front(state) as front:
        await front.start(plan)
        await front.until(lambda state: pending_failures(plan, state) == ("web-1",))
        for target in any_farm.targets:
            (target.home / "fixed").touch()
        await front.treat("retry", "web-1")
        await front.event(e.GateOpened)
        assert with_mark(any_farm, "tried") == {"web-1"}
        assert times(any_farm, "tried")["web-1"] == 2
        assert set(next_wave_targets(plan, front.state)) == remaining
        await front.approve()
        assert (await front.ended()).exit_code == 0
    assert with_mark(any_farm) == remaining | {"web-1"}
    assert max(times(any_farm).values()) == 1


@pytest.mark.criterion("A6")
async def test_the_rest_is_the_same_after_a_kill_and_a_resume(any_farm: Farm, state: Path, tmp_path: Path) -> None:
    """Killed while the canary's step runs; it goes on there, is not run again, and the gate is still demanded."""
    plan = plan_of(fleet_file(any_farm, HOLD), canaries=("web-1",), exclude=("web-2",))
    remaining = names(any_farm) - {"web-1", "web-2"}
    async with Front(state) as front:
        await front.start(plan)
        await until(lambda: any_farm.targets[0].read("pid"))
        front.process.send_signal(signal.SIGKILL)
        await front.exited()
    let_go(any_farm)
    assert canary_tui(state, "resume", "--headless").code == 4
    assert times(any_farm) == {name: int(name == "web-1") for name in names(any_farm)}
    yes = approval(tmp_path, plan.hash)
    ran = canary_tui(state, "resume", "--headless", "--approve-with", yes)
    assert ran.code == 0, ran.text
    assert times(any_farm) == {name: int(name in remaining | {"web-1"}) for name in names(any_farm)}
    assert operations(any_farm.targets[1]) == [], "an excluded target is not even looked at"


@pytest.mark.criterion("A6")
async def test_a_rollout_killed_in_its_last_wave_goes_on_with_exactly_the_rest(any_farm: Farm, state: Path) -> None:
    slow = HOLD.replace("until [", "[ $WAVE = canary ] || until [")
    half = len(any_farm.targets) // 2
    plan = plan_of(fleet_file(any_farm, slow + waves("web-1", parallel=half)))
    async with Front(state) as front:
        await front.start(plan)
        await front.event(e.GateOpened)
        await front.approve()
        await until(lambda: with_mark(any_farm, "pid") == {target.name for target in any_farm.targets[: half + 1]})
        front.process.kill()
        await front.exited()
    let_go(any_farm)
    assert canary_tui(state, "resume", "--headless").code == 0
    assert set(times(any_farm).values()) == {1}
    assert with_mark(any_farm) == names(any_farm)


@pytest.mark.criterion("A7")
async def test_canaries_and_the_rest_are_sent_the_same_bytes(any_farm: Farm, state: Path) -> None:
    body = '[vars]\nA = "$x \'y\'"\n[[steps]]\nname = "deploy"\nrun = "cat $0 > script; env > env; echo \\"$A\\" > a"\n'
    plan = plan_of(fleet_file(any_farm, body, {"web-2": 'vars = { WORKERS = "8" }'}), canaries=("web-1",))
    async with Front(state) as front:
        await front.start(plan)
        await front.event(e.GateOpened)
        await front.approve()
        assert (await front.ended()).exit_code == 0
    assert len({target.read("script") for target in any_farm.targets}) == 1
    assert {target.read("a") for target in any_farm.targets} == {"$x 'y'\n"}
    kept = [path for one in any_farm.targets for path in one.home.glob(".local/state/canary-tui/runs/*.sh")]
    assert len({path.read_bytes() for path in kept}) == 1
    assert len(kept) == len(any_farm.targets)
    own = {"TARGET", "HOST", "HOME", "WAVE", "WORKERS", "PWD", "_"}
    shared = [_variables(target.read("env"), own) for target in any_farm.targets]
    assert all(one == shared[0] for one in shared)
    assert _variables(any_farm.targets[1].read("env"), set())["WORKERS"] == "8"


def _variables(env: str, left_out: set[str]) -> dict[str, str]:
    pairs = (line.partition("=")[::2] for line in env.splitlines())
    return {name: value for name, value in pairs if name not in left_out and not name.startswith("SSH_")}


@pytest.mark.criterion("A8")
def test_every_target_is_looked_at_before_the_first_change(any_farm: Farm, state: Path) -> None:
    assert headless(state, fleet_file(any_farm, DEPLOY), "--canary", "web-1").code == 4
    canary, *rest = any_farm.targets
    change = asked_at(canary)[operations(canary).index("run")]
    assert all(asked_at(target)[0] < change for target in rest)
    probed = {event.target: event for event in told(state, e.TargetProbed)}
    assert probed.keys() == names(any_farm)
    assert all(event.release == "1.0" and event.free_bytes > 0 for event in probed.values())


@pytest.mark.criterion("A8")
def test_a_dead_target_is_known_before_anything_is_changed(any_farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(any_farm, DEPLOY, {"dead": ""}), "--canary", "web-1")
    assert ran.code == 1
    assert untouched(any_farm.targets)
    assert re.search(r"^failed: 1 target of \d+ not ok, limits.failures allows none: dead", ran.out), ran.out


@pytest.mark.criterion("A8")
def test_a_target_that_lacks_a_declared_tool_is_known_before_anything_is_changed(any_farm: Farm, state: Path) -> None:
    body = DEPLOY + '[[steps]]\nname = "odd"\nrun = "no-such-tool"\ntools = ["sh", "no-such-tool"]\nroles = ["odd"]\n'
    ran = headless(state, fleet_file(any_farm, body, {"web-3": 'roles = ["odd"]'}), "--canary", "web-1")
    assert ran.code == 1, ran.text
    assert "web-3 (tools missing: no-such-tool)" in ran.out
    assert with_mark(any_farm) == set()
    assert untouched(any_farm.targets)


@pytest.mark.criterion("A8")
def test_targets_that_another_operators_rollout_has_locked_are_known_before_anything_is_changed(
    any_farm: Farm, state: Path, tmp_path: Path
) -> None:
    """From another machine: another state directory, and another fleet file with the same servers in it."""
    theirs = headless(
        tmp_path / "theirs", fleet_file(any_farm, DEPLOY, name="other"), "--canary", "web-4", "--exclude", "web-1"
    )
    assert theirs.code == 4, theirs.text
    ran = headless(state, fleet_file(any_farm, DEPLOY), "--canary", "web-1")
    assert ran.code == 7, ran.text
    held = re.findall(rf"(\S+) \(locked by {only_rollout(tmp_path / 'theirs').id} \(", ran.text)
    assert "web-2" in [name for names in held for name in expand(names)], ran.text
    assert with_mark(any_farm) == {"web-4"}, "theirs"
    assert untouched(any_farm.targets[:1])
