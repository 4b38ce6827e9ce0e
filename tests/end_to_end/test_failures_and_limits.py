"""What a failing target does to the others, to the result, and to the person who is asked; seen from the servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from farm import Farm
from fronts import ANN, Front, canary_tui, folded, headless, plan_of, told
from marks import (
    DEPLOY,
    HOLD,
    ROLLBACK,
    fleet_file,
    let_go,
    names,
    operations,
    times,
    untouched,
    waves,
    with_mark,
)

from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.failures import pending_failures
from canary_tui.domain.rollout.words import Settlement
from canary_tui.engine.messages import Refused

FAILS = """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "echo x >> tried; [ ! -e bad ] || exit 7; echo $RELEASE >> deployed; echo $RELEASE > REVISION"
[[steps]]
name = "check"
run = "echo x >> checked"
"""
"""A step that fails where there is a file `bad`, and one after it."""


def at_once(parallel: int, limits: str = "") -> str:
    """Every target in one wave, without a gate."""
    return f'[[waves]]\nname = "all"\nparallel = {parallel}\n[limits]\n{limits}\n'


def spoil(farm: Farm, *targets: str) -> None:
    for target in farm.targets:
        if target.name in targets:
            (target.home / "bad").touch()


# The budget


@pytest.mark.criterion("G4")
def test_failures_within_the_limit_are_told_and_the_rest_goes_out(any_farm: Farm, state: Path) -> None:
    """Exit code 5"""
    spoil(any_farm, "web-3")
    count = len(any_farm.targets)
    ran = headless(state, fleet_file(any_farm, FAILS + at_once(2, "failures = 1")))
    assert ran.code == 5, ran.text
    assert with_mark(any_farm) == names(any_farm) - {"web-3"}
    assert ran.out == f"partly done: {count - 1} of {count} targets on 2.0; not: web-3 (exit 7)\n"
    assert canary_tui(state, "history").out.endswith("partly done\n")


TALKS = """
[[steps]]
name = "deploy"
run = '''
for part in 1 2 3 4 5 6 7 8 9 10 11; do echo "part $part"; done
case $TARGET in
web-1) exit 0 ;;
web-4) printf "another\\033[2J reason"; exit 4 ;;
*) echo "  no such key" >&2; exit 3 ;;
esac
'''
"""


@pytest.mark.found("M17")
def test_failures_are_told_with_their_step_and_output_and_summed_up_once(farm: Farm, state: Path) -> None:
    """M17"""
    ran = headless(state, fleet_file(farm, TALKS + at_once(8)))
    assert ran.code == 1
    lines = ran.err.splitlines()
    for name in ("web-2", "web-3"):
        [at] = [index for index, line in enumerate(lines) if line.endswith(f" {name}: deploy: exit 3")]
        output = [*(f"    part {part}" for part in range(3, 12)), "      no such key"]
        assert sorted(lines[at + 1 : at + 11]) == sorted(output)
    [at] = [index for index, line in enumerate(lines) if line.endswith(" web-4: deploy: exit 4")]
    assert lines[at + 10].startswith("    another")
    first = next(index for index, line in enumerate(lines) if line.startswith("deploy: "))
    assert lines[first:] == [
        "deploy: exit 3: 2 targets: web-[2-3]",
        "    no such key",
        "deploy: exit 4: 1 target: web-4",
        f"    {lines[at + 10].strip()}",
    ]
    assert "\x1b" not in ran.text
    assert [ran.text.count(f"{names} (exit") for names in ("web-[2-3]", "web-4")] == [1, 1]
    assert "part 1\n" not in ran.err


@pytest.mark.criterion("G4")
def test_failures_over_the_limit_stop_it_and_the_sentence_has_the_numbers(any_farm: Farm, state: Path) -> None:
    """One at a time, the second failure is one too many, and nothing is begun after it."""
    spoil(any_farm, "web-2", "web-3")
    count = len(any_farm.targets)
    ran = headless(state, fleet_file(any_farm, FAILS + at_once(1, "failures = 1")))
    assert ran.code == 1
    assert f"failed: 2 targets of {count} not ok, limits.failures allows 1: web-[2-3] (exit 7);" in ran.out
    assert with_mark(any_farm, "tried") == {"web-1", "web-2", "web-3"}
    assert untouched(any_farm.targets[3:])


@pytest.mark.criterion("G4")
def test_a_share_is_counted_of_all_targets(any_farm: Farm, state: Path) -> None:
    """Half of them may fail."""
    half = len(any_farm.targets) // 2
    spoil(any_farm, *(target.name for target in any_farm.targets[:half]))
    assert headless(state, fleet_file(any_farm, FAILS + at_once(half, 'failures = "50%"'))).code == 5
    assert with_mark(any_farm) == {target.name for target in any_farm.targets[half:]}


def test_failures_in_a_row_stop_it(farm: Farm, state: Path) -> None:
    spoil(farm, "web-1", "web-2")
    ran = headless(state, fleet_file(farm, FAILS + at_once(1, "failures = 3\nconsecutive = 1")))
    assert ran.code == 1
    assert "2 targets in a row not ok, limits.consecutive allows 1" in ran.out
    assert untouched(farm.targets[2:])


@pytest.mark.criterion("G4")
def test_a_target_that_cannot_be_reached_counts(any_farm: Farm, state: Path) -> None:
    dead = {"dead-1": "ssh = { port = 1 }", "dead-2": "ssh = { port = 2 }"}
    ran = headless(state, fleet_file(any_farm, DEPLOY + at_once(8, "failures = 1"), dead))
    assert ran.code == 1
    assert f"2 targets of {len(any_farm.targets) + 2} not ok, limits.failures allows 1" in ran.out
    assert untouched(any_farm.targets)
    assert headless(state, fleet_file(any_farm, DEPLOY + at_once(8, "failures = 2"), dead)).code == 5
    assert with_mark(any_farm) == names(any_farm)


def test_unavailable_targets_are_left_out_where_the_file_says_so(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, DEPLOY + at_once(8, 'on-unavailable = "skip"'), {"dead": ""}))
    assert ran.code == 5
    assert "not: dead" in ran.out
    assert with_mark(farm) == names(farm)


def test_what_runs_when_the_limit_is_passed_is_seen_to_its_end(farm: Farm, state: Path) -> None:
    """Nothing is cut off because a neighbour failed, and nothing is begun."""
    body = FAILS.replace("echo x >> tried;", "echo x >> tried; [ -e bad ] || sleep 1;")
    spoil(farm, "web-1")
    assert headless(state, fleet_file(farm, body + at_once(2))).code == 1
    assert with_mark(farm) == {"web-2"}
    assert with_mark(farm, "checked") == set()
    assert untouched(farm.targets[2:])


def test_a_failing_step_is_tried_again_as_often_as_it_may_be(farm: Farm, state: Path) -> None:
    spoil(farm, "web-2")
    body = FAILS.replace('name = "deploy"', 'name = "deploy"\nretries = 2')
    assert headless(state, fleet_file(farm, body + at_once(8, "failures = 1"))).code == 5
    assert times(farm, "tried") == {"web-1": 1, "web-2": 3, "web-3": 1, "web-4": 1}
    assert operations(farm.targets[1]).count("run") == 3, "each of them a start of its own"


def test_a_failure_rolls_everything_back_where_the_file_says_so(farm: Farm, state: Path) -> None:
    spoil(farm, "web-2")
    ran = headless(state, fleet_file(farm, FAILS + ROLLBACK + at_once(1, 'on-failure = "rollback"')))
    assert ran.code == 1
    assert "2 of 2 changed targets rolled back" in ran.out
    assert with_mark(farm, "back") == {"web-1", "web-2"}
    assert folded(state).verdict == "rolled-back"
    assert untouched(farm.targets[2:])


# The person who is asked


async def failing(
    front: Front, farm: Farm, *bad: str, body: str = FAILS, parallel: int = 1, canaries: tuple[str, ...] = ("web-1",)
) -> Plan:
    """A rollout whose rest fails at these targets, as far as it goes."""
    spoil(farm, *bad)
    plan = plan_of(fleet_file(farm, body + waves(*canaries, parallel=parallel)))
    await front.start(plan)
    await front.event(e.GateOpened)
    await front.approve()
    await front.until(lambda state: set(pending_failures(plan, state)) == set(bad))
    return plan


@pytest.mark.criterion("G2", "G3")
async def test_a_retry_runs_only_the_failed_step_on_only_that_target(any_farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await failing(front, any_farm, "web-2")
        before = with_mark(any_farm, "tried")
        assert before == {"web-1", "web-2"}
        (any_farm.targets[1].home / "bad").unlink()
        await front.treat("retry", "web-2")
        assert (await front.ended()).exit_code == 0
    assert times(any_farm, "tried") == {name: 2 if name == "web-2" else 1 for name in names(any_farm)}
    assert set(times(any_farm, "checked").values()) == {1}


async def test_a_retry_that_fails_asks_again(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        plan = await failing(front, farm, "web-2")
        await front.treat("retry", "web-2")
        await front.until(lambda state: len(front.events(e.StepFinished)) == 4 and pending_failures(plan, state))
        assert untouched(farm.targets[2:])
    assert times(farm, "tried")["web-2"] == 2


@pytest.mark.criterion("G2", "G3", "D4")
async def test_an_excluded_target_gets_nothing_more_and_is_not_called_done(any_farm: Farm, state: Path) -> None:
    clean = '[[finally]]\nname = "clean"\nrun = "echo x >> cleaned"\n'
    count = len(any_farm.targets)
    async with Front(state) as front:
        await failing(front, any_farm, "web-2", body=FAILS + clean)
        await front.treat("exclude", "web-2", note="its disk is full")
        ended = await front.ended()
        assert ended.exit_code == 5
        assert f"{count - 1} of {count} targets on 2.0 (1 excluded); not: web-2" in ended.message
        assert front.state.targets["web-2"].steps.outcome == "excluded"
        assert front.events(e.FailureTreated)[0].by == ANN
    assert with_mark(any_farm) == with_mark(any_farm, "checked") == names(any_farm) - {"web-2"}
    assert times(any_farm, "tried")["web-2"] == 1


async def test_a_waived_step_is_not_run_and_the_target_goes_on_after_it(farm: Farm, state: Path) -> None:
    """G2"""
    async with Front(state) as front:
        await failing(front, farm, "web-2")
        await front.treat("skip", "web-2", note="done by hand")
        assert (await front.ended()).exit_code == 5, "not every step was run on it"
    assert with_mark(farm, "checked") == names(farm)
    assert with_mark(farm) == names(farm) - {"web-2"}


async def test_a_waived_step_of_the_only_canary_does_not_open_the_gate(farm: Farm, state: Path) -> None:
    """A4"""
    spoil(farm, "web-1")
    plan = plan_of(fleet_file(farm, FAILS), canaries=("web-1",))
    async with Front(state) as front:
        await front.start(plan)
        await front.until(lambda state: pending_failures(plan, state))
        await front.treat("skip", "web-1", note="done by hand")
        assert (await front.ended()).exit_code == 1
        assert "no canary ran every step (deploy skipped)" in front.state.reason
    assert untouched(farm.targets[1:])


@pytest.mark.criterion("G2", "H1")
async def test_one_target_is_rolled_back_and_the_others_go_on(any_farm: Farm, state: Path) -> None:
    spoil_late = FAILS.replace("[ ! -e bad ] || exit 7; ", "").replace(
        "echo x >> checked", "echo x >> checked; [ ! -e bad ]"
    )
    async with Front(state) as front:
        await failing(front, any_farm, "web-2", body=spoil_late + ROLLBACK)
        assert any_farm.targets[1].read("REVISION") == "2.0\n"
        await front.treat("rollback", "web-2", note="wrong disk")
        assert (await front.ended()).exit_code == 5
    assert with_mark(any_farm, "back") == {"web-2"}
    assert any_farm.targets[1].read("REVISION") == any_farm.targets[1].read("back") == "1.0\n"
    assert with_mark(any_farm, "checked") == names(any_farm)


@pytest.mark.criterion("G2")
async def test_aborting_at_a_failure_leaves_the_rest_alone(any_farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await failing(front, any_farm, "web-2")
        await front.abort("enough", rollback=False)
        assert (await front.ended()).exit_code == 3
    assert untouched(any_farm.targets[2:])


async def test_several_failing_targets_are_one_question(farm: Farm, state: Path) -> None:
    """G2: with three at once, all three fail before anybody is asked; each gets its own answer."""
    async with Front(state) as front:
        await failing(front, farm, "web-2", "web-3", "web-4", parallel=3)
        (farm.targets[1].home / "bad").unlink()
        await front.treat("retry", "web-2")
        await front.treat("exclude", "web-3", "web-4", note="later")
        assert (await front.ended()).exit_code == 5
    assert with_mark(farm) == {"web-1", "web-2"}
    assert set(times(farm, "tried").values()) == {1, 2}


async def test_what_did_not_fail_cannot_be_treated(farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await failing(front, farm, "web-2")
        await front.treat("retry", "web-1")
        assert "web-1 has not failed" in (await front.notice(Refused)).reason
        await front.treat("rollback", "web-2")
        assert "nothing to go back to" in (await front.notice(Refused, 2)).reason
    assert times(farm, "tried") == {"web-1": 1, "web-2": 1, "web-3": 0, "web-4": 0}


# Unknown


LOSES_ITSELF = (
    '[[steps]]\nname = "deploy"\nrun = "echo x >> deployed; [ -e kept ] || { touch kept; kill -9 $PPID; sleep 0.1; }"\n'
)


@pytest.mark.parametrize(("settlement", "times_run", "code"), [("ok", 1, 0), ("retry", 2, 0), ("failed", 1, None)])
async def test_a_person_settles_what_no_target_can_tell(
    farm: Farm, state: Path, settlement: Settlement, times_run: int, code: int | None
) -> None:
    """G1: unknown is never failed and never ok, until somebody says so."""
    for target in farm.targets[1:]:
        (target.home / "kept").touch()
    plan = plan_of(fleet_file(farm, LOSES_ITSELF), canaries=("web-1",))
    async with Front(state) as front:
        await front.start(plan)
        await front.until(lambda state: state.targets["web-1"].steps.outcome == "unknown")
        await front.treat("retry", "web-1")
        assert "say what became of it first" in (await front.notice(Refused)).reason
        await front.decide(e.UnknownSettled("web-1", settlement, ANN, "looked at it"))
        if code is None:
            await front.until(lambda state: state.targets["web-1"].steps.outcome == "failed")
            assert pending_failures(plan, front.state) == ("web-1",)
        else:
            await front.event(e.GateOpened)
            await front.approve()
            assert (await front.ended()).exit_code == code
    assert times(farm)["web-1"] == times_run


def test_an_unknown_outcome_is_asked_about_again_on_resume(farm: Farm, state: Path) -> None:
    """G1, exit code 8"""
    for target in farm.targets[1:]:
        (target.home / "kept").touch()
    assert headless(state, fleet_file(farm, LOSES_ITSELF), "--canary", "web-1").code == 8
    before = operations(farm.targets[0])
    ran = canary_tui(state, "resume", "--headless")
    assert ran.code == 8
    assert operations(farm.targets[0])[len(before) :] == ["hello", "attach"]
    assert times(farm)["web-1"] == 1
    assert len(told(state, e.StepAttached)) == 1


# One slow target


@pytest.mark.criterion("G6")
async def test_a_hung_target_does_not_hold_up_the_others(any_farm: Farm, state: Path) -> None:
    count = len(any_farm.targets)
    for target in any_farm.targets:
        if target.name != "web-2":
            (target.home / "go").touch()
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(any_farm, HOLD + waves("web-1", parallel=2))))
        await front.event(e.GateOpened)
        await front.approve()
        await front.until(lambda state: sum(t.steps.outcome == "ok" for t in state.targets.values()) == count - 1)
        waited_for = front.state.targets["web-2"].running
        assert waited_for is not None
        assert waited_for.since > 0
        assert front.plan.steps[waited_for.step].timeout == Duration(60)
        let_go(any_farm)
        assert (await front.ended()).exit_code == 0
    assert set(times(any_farm).values()) == {1}


@pytest.mark.criterion("G6")
def test_a_step_over_its_time_is_stopped_there_and_the_others_go_on(any_farm: Farm, state: Path) -> None:
    for target in any_farm.targets:
        if target.name != "web-2":
            (target.home / "go").touch()
    body = HOLD.replace("60s", "3s")
    ran = headless(state, fleet_file(any_farm, body + at_once(8, "failures = 1")))
    assert ran.code == 5
    assert "web-2: deploy: timed out" in ran.err
    assert with_mark(any_farm, "REVISION") == names(any_farm)
    assert {target.name for target in any_farm.targets if target.read("REVISION") == "1.0\n"} == {"web-2"}


@pytest.mark.criterion("G6", "A8")
def test_a_server_that_answers_nothing_is_given_up_and_named(any_farm: Farm, state: Path) -> None:
    """It accepts the connection and then is silent."""
    with socket.create_server(("127.9.9.8", any_farm.port)) as silent:
        silent.setblocking(False)
        fleet = fleet_file(any_farm, DEPLOY + at_once(8, "failures = 1"), {"mute": ""}, ssh='connect-timeout = "2s"')
        fleet.write_text(fleet.read_text().replace("127.9.9.9", "127.9.9.8"))
        ran = headless(state, fleet)
    assert ran.code == 5
    assert "mute: unreachable" in ran.err
    assert with_mark(any_farm) == names(any_farm)
