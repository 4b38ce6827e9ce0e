"""The plan as text: everything that a person needs before a yes, in words that mean one thing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_rollout import UNDO, plan_of, wave

from canary_tui.domain.fleet.steps import Expect, HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Confirm, Gate, Limits
from canary_tui.domain.fleet.units import Duration, Share, duration_text
from canary_tui.domain.planning.plan import Excluded, Plan
from canary_tui.domain.planning.plan_text import full_lines, plan_lines

PLAN = plan_of(wave("web-1", Gate()), wave("web-2 web-3", parallel=4))


def lines(plan: Plan, beginning: str) -> list[str]:
    return [line for line in plan_lines(plan) if line.strip().startswith(beginning)]


def test_a_plan_begins_with_what_goes_where_and_its_warnings() -> None:
    plan = replace(PLAN, environment="production", warnings=("look twice", "and again"))
    assert plan_lines(plan)[:4] == [
        "shop 2 to production",
        f"3 targets in 2 waves, plan {plan.hash[:12]}",
        "! look twice",
        "! and again",
    ]
    assert plan_lines(PLAN)[0] == "shop 2"


@pytest.mark.parametrize(
    ("current", "redeploy", "line"),
    [
        pytest.param("cat v", False, ["targets that report the release already are skipped"], id="skipped"),
        pytest.param(
            "cat v", True, ["targets that report the release already get it again (--redeploy)"], id="once more"
        ),
        pytest.param(None, False, [], id="nobody can say"),
    ],
)
def test_what_becomes_of_those_that_have_it_already(current: str | None, redeploy: bool, line: list[str]) -> None:
    assert lines(replace(PLAN, current=current, redeploy=redeploy), "targets that") == line


def test_a_wave_says_how_many_go_at_once_where_there_is_more_than_one() -> None:
    plan = replace(PLAN, waves=tuple(replace(one, origin="from somewhere") for one in PLAN.waves))
    shown = plan_lines(plan)
    at = shown.index("waves")
    assert shown[at + 1 : at + 3] == ["  1 web-1: 1 target (from somewhere)", "      web-1"]
    assert "  2 web-2: 2 targets, 2 at once (from somewhere)" in shown
    assert "      web-[2-3]" in shown


@pytest.mark.parametrize(
    ("confirm", "words"),
    [
        ("count", "typing how many targets come next (1)"),
        ("release", "typing the release"),
        ("fleet", "typing the fleet's name"),
        ("key", "one key"),
    ],
)
def test_a_gate_says_what_the_person_will_have_to_do(confirm: Confirm, words: str) -> None:
    planned = Gate(
        confirm=confirm,
        expires=Duration(5400),
        on_expire="rollback",
        instructions="Look at the graphs.\nAsk Bob.",
        checklist=("errors", "speed"),
    )
    shown = plan_lines(plan_of(wave("a", planned), wave("b")))
    at = shown.index(f"      gate: a person approves by {words}; expires after 90 m, then rolls back")
    assert shown[at + 1 : at + 5] == [
        "        Look at the graphs.",
        "        Ask Bob.",
        "        [ ] errors",
        "        [ ] speed",
    ]


def test_a_gate_that_needs_nobody_says_so_in_every_text() -> None:
    shown = plan_lines(plan_of(wave("a", Gate(approve=False)), wave("b")))
    assert "      gate: nobody has to approve" in shown
    assert not [line for line in shown if "a person approves" in line]


def test_no_gate_is_spoken_of_where_none_stands() -> None:
    assert lines(plan_of(wave("a"), wave("b")), "gate") == []
    assert lines(PLAN, "expires") == []


@pytest.mark.parametrize(
    ("step", "line"),
    [
        pytest.param(RunStep(run="x", name="restart"), "  1 restart: x (up to 10 m)", id="command"),
        pytest.param(LocalStep(local="x", name="notify"), "  1 notify: here: x (up to 10 m)", id="here"),
        pytest.param(
            ScriptStep(script="bin/a.sh", name="migrate"), "  1 migrate: script bin/a.sh (up to 10 m)", id="script"
        ),
        pytest.param(UploadStep(upload="a", to="srv/b", name="send"), "  1 send: a -> srv/b (up to 30 m)", id="upload"),
        pytest.param(
            HttpStep(http="http://h", from_="target", name="ask", retries=2),
            "  1 ask: http://h answers 200 within 30 s, asked on the target (up to 10 s, retried 2 x)",
            id="http",
        ),
    ],
)
def test_a_step_says_what_it_does_and_for_how_long(step: Step, line: str) -> None:
    plan = plan_of(wave("a"), steps=(step,))
    shown = plan_lines(plan)
    assert shown[shown.index("steps") + 1] == line


@pytest.mark.found("M16")
@pytest.mark.parametrize(
    ("step", "text"),
    [
        pytest.param(RunStep(run="one\n  two\n\nthree\n"), ["one", "  two", "", "three"], id="command"),
        pytest.param(LocalStep(local="here"), ["here"], id="here"),
        pytest.param(ScriptStep(script="bin/a.sh"), ["#!/bin/sh", "migrate --all"], id="script"),
        pytest.param(
            UploadStep(upload="a", to="srv/b", mode="0600"), ["upload a", "to srv/b", "mode 0600"], id="upload"
        ),
        pytest.param(
            HttpStep(http="http://h", expect=Expect(contains="up")),
            ["http://h", "asked by the controller", "status 200 within 30 s", "the body contains 'up'"],
            id="http",
        ),
    ],
)
def test_the_full_plan_has_the_whole_text_of_every_step(step: Step, text: list[str]) -> None:
    """M16"""
    plan = plan_of(
        wave("a", Gate(instructions="Look\nhere")), wave("b"), steps=(replace(step, name="s"),), rollback=(UNDO,)
    )
    plan = replace(plan, scripts={"bin/a.sh": "#!/bin/sh\nmigrate --all\n"}, current="cat\nversion")
    shown = full_lines(plan)
    assert shown[: len(plan_lines(plan))] == plan_lines(plan)
    at = shown.index("text of steps 1 s")
    assert shown[at + 1 : at + 2 + len(text)] == [*(f"  | {line}".rstrip() for line in text), ""]
    assert shown[shown.index("text of rollback 1 ") + 1] == "  | undo"
    assert shown[-3:] == ["text that asks a target for its release", "  | cat", "  | version"]
    assert {"        Look", "        here"} <= set(shown)


def test_the_full_plan_has_the_names_of_the_variables_and_no_value() -> None:
    """M16"""
    targets = {
        name: replace(one, variables={"RELEASE": "2", name.replace("-", "_"): "hunter2"})
        for name, one in PLAN.targets.items()
    }
    shown = full_lines(replace(PLAN, targets=targets))
    assert shown[shown.index("variables of the steps") + 1] == "  RELEASE web_1 web_2 web_3"
    assert "hunter2" not in "".join(shown)


def test_each_list_of_steps_has_its_title_and_says_who_is_left_out() -> None:
    restart = RunStep(run="x", name="restart", roles=("web", "db"))
    plan = plan_of(wave("web-1 web-2 web-3"), steps=(restart,), rollback=(replace(UNDO, name="undo"),))
    only_first = {name: replace(one, steps=(0,) if name == "web-1" else ()) for name, one in plan.targets.items()}
    shown = plan_lines(replace(plan, targets=only_first))
    at = shown.index("steps")
    assert shown[at : at + 7] == [
        "steps",
        "  1 restart: x (up to 10 m)",
        "      not on 2 targets without role web or db:",
        "      web-[2-3]",
        "",
        "rollback",
        "  1 undo: undo (up to 10 m)",
    ]
    assert "finally" not in shown


def test_who_is_left_alone_is_grouped_by_the_reason() -> None:
    excluded = (Excluded("web-7", "not in --only"), Excluded("db-1", "no step"), Excluded("web-8", "not in --only"))
    shown = plan_lines(replace(PLAN, excluded=excluded))
    at = shown.index("excluded")
    assert shown[at + 1 :] == [
        "  2 targets: not in --only",
        "      web-[7-8]",
        "  1 target: no step",
        "      db-1",
    ]


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        pytest.param(Limits(), "stops at the first failed target, and asks.", id="none"),
        pytest.param(
            Limits(failures=Share("5%"), consecutive=2, on_failure="rollback"),
            "stops when more than 5% of the targets fail, or more than 2 in a row, and rolls back.",
            id="some",
        ),
    ],
)
def test_the_limits_come_last(limits: Limits, line: str) -> None:
    shown = plan_lines(replace(PLAN, limits=limits))
    assert shown[-2:] == ["limits", f"  {line} Unreachable before the start: a failure."]


def test_every_target_stands_in_the_text_of_a_plan() -> None:
    """Also that of a large fleet: names are compressed, and never cut."""
    names = " ".join(f"web-{number}" for number in range(0, 4000, 2))
    shown = "\n".join(plan_lines(plan_of(wave(names))))
    assert "…" not in shown
    assert "web-[0,2,4," in shown
    assert ",3998]" in shown


@given(st.integers(0, 10**10))
def test_a_duration_is_written_as_a_fleet_file_reads_it(milliseconds: int) -> None:
    seconds = Duration(milliseconds / 1000)
    text = duration_text(seconds)
    if len(text) < 11:  # a fleet file has at most nine digits
        assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (1, "1s"), (60, "1m"), (90, "90s"), (5400, "90m"), (86400, "1d"), (0, "0ms")]
)
def test_the_largest_unit_that_fits_is_written(seconds: float, text: str) -> None:
    assert duration_text(Duration(seconds)) == text
