"""In which ways one kind of step differs from another, and what the policy and the preflight make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from small_rollout import ME, Rollout, plan_of, wave

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.traits import StoppedBy, Traits, traits
from canary_tui.domain.planning.tools import tools_of
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action, Attach
from canary_tui.domain.rollout.words import Outcome

DURABLE = RunStep(run="deploy")
PLAIN = RunStep(run="deploy", durable=False)
SCRIPT = ScriptStep(script="deploy.sh")
UPLOAD = UploadStep(upload="a", to="b")
HTTP = HttpStep(http="http://h")
LOCAL = LocalStep(local="notify")
KINDS: dict[str, Step] = {
    "run": DURABLE, "plain run": PLAIN, "script": SCRIPT, "upload": UPLOAD, "http": HTTP, "local": LOCAL,
}  # fmt: skip
EVERY_KIND = [pytest.param(step, id=name) for name, step in KINDS.items()]
SCRIPTS = {"deploy.sh": "#!/usr/bin/python3\n"}


def begun(step: Step) -> Rollout:
    """A rollout whose one target is at work on this one step."""
    rollout = Rollout(replace(plan_of(wave("a"), steps=(step,)), scripts=SCRIPTS))
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    return rollout


def told(step: Step, outcome: Outcome) -> list[Action]:
    """The event that says at once what became of it."""
    detail = {
        "not-started": "cut off when the program ended; it is safe to do again",
        "unknown": "the program ended while it ran, and nobody can tell how it ended",
    }[outcome]
    return [e.StepFinished("a", begun(step).execution("a"), outcome, detail=detail)]


def test_every_kind_of_step_is_looked_at_here() -> None:
    assert {type(step) for step in KINDS.values()} == set(get_args(Step))


@pytest.mark.parametrize(
    ("step", "durable", "repeatable", "changes", "stopped_by"),
    [
        pytest.param(DURABLE, True, False, True, "target", id="run"),
        pytest.param(PLAIN, False, False, True, "connection", id="plain run"),
        pytest.param(SCRIPT, True, False, True, "target", id="script"),
        pytest.param(UPLOAD, False, True, True, "engine", id="upload"),
        pytest.param(HTTP, False, True, False, "engine", id="http"),
        pytest.param(LOCAL, False, False, True, "engine", id="local"),
    ],
)
def test_a_kind_of_step_answers_every_question(
    step: Step, durable: bool, repeatable: bool, changes: bool, stopped_by: StoppedBy
) -> None:
    found = traits(step)
    expected = Traits(durable, repeatable, changes, stopped_by)
    assert replace(found, tools=(), script="") == expected


@pytest.mark.parametrize("step", EVERY_KIND)
def test_a_name_or_a_role_changes_nothing_about_what_a_step_is(step: Step) -> None:
    assert traits(replace(step, name="other", roles=("web",), retries=3)) == traits(step)


@pytest.mark.parametrize("step", EVERY_KIND)
def test_only_what_the_target_keeps_a_record_of_can_be_stopped_by_the_target(step: Step) -> None:
    assert (traits(step).stopped_by == "target") == traits(step).durable


@pytest.mark.parametrize("step", EVERY_KIND)
def test_what_may_be_done_again_without_asking_needs_no_record(step: Step) -> None:
    found = traits(step)
    assert not (found.durable and found.repeatable)


# What another engine does about a step that was in flight


@pytest.mark.parametrize(
    ("step", "first"),
    [
        pytest.param(DURABLE, [Attach("a")], id="run: it is asked"),
        pytest.param(SCRIPT, [Attach("a")], id="script: it is asked"),
        pytest.param(UPLOAD, told(UPLOAD, "not-started"), id="upload: once more"),
        pytest.param(HTTP, told(HTTP, "not-started"), id="http: once more"),
        pytest.param(PLAIN, told(PLAIN, "unknown"), id="plain run: nobody knows"),
        pytest.param(LOCAL, told(LOCAL, "unknown"), id="local: nobody knows"),
    ],
)
def test_an_orphan_is_asked_about_or_done_again_or_unknown(step: Step, first: list[Action]) -> None:
    rollout = begun(step)
    rollout.record(e.EngineResumed(ME, attended=True))
    assert rollout.next() == first


@pytest.mark.parametrize("step", EVERY_KIND)
def test_orphans_are_seen_to_even_by_an_engine_that_is_stopping(step: Step) -> None:
    rollout = begun(step)
    rollout.record(e.EngineResumed(ME, attended=True))
    first = rollout.next()
    rollout.record(e.StopRequested("starting", ME))
    assert rollout.next() == first


@pytest.mark.parametrize("step", EVERY_KIND)
def test_no_step_is_started_twice_unless_that_is_safe(step: Step) -> None:
    rollout = begun(step)
    rollout.record(e.EngineResumed(ME, attended=True))
    rollout.go()
    started = rollout.events(e.StepStarted)
    assert len(started) == 1 + traits(step).repeatable
    assert {one.attempt for one in started} == {1}, "a start that did not happen is not counted"


def test_a_target_is_asked_once_and_followed_to_its_end() -> None:
    rollout = begun(DURABLE)
    rollout.record(e.EngineResumed(ME, attended=True))
    rollout.begin()
    assert rollout.next() == []
    rollout.finish("a", "ok")
    rollout.go()
    assert rollout.state.verdict == "succeeded"


def test_an_unknown_outcome_stops_everything_until_a_person_has_said_what_it_was() -> None:
    rollout = begun(PLAIN)
    rollout.record(e.EngineResumed(ME, attended=False))
    rollout.go()
    assert rollout.state.paused == "unknown"
    rollout.record(e.EngineResumed(ME, attended=True))
    rollout.go()
    assert rollout.state.paused is None
    rollout.record(e.UnknownSettled("a", "ok", ME))
    rollout.go()
    assert rollout.state.verdict == "succeeded"


# What may have to be undone


@pytest.mark.parametrize("step", EVERY_KIND)
def test_a_target_is_changed_by_what_may_change_it_and_by_nothing_else(step: Step) -> None:
    assert begun(step).target("a").changed == traits(step).changes_target


@pytest.mark.parametrize("step", EVERY_KIND)
def test_an_abort_rolls_back_what_may_have_been_changed(step: Step) -> None:
    plan = plan_of(wave("a b"), steps=(step,), rollback=(RunStep(run="undo"),))
    rollout = Rollout(plan)
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    rollout.finish("a", "ok")
    rollout.finish("b", "ok")
    rollout.record(e.Aborted(ME, "", rollback=True))
    rollout.go()
    expected = ("a", "b") if traits(step).changes_target else ()
    assert [one.targets for one in rollout.events(e.RollbackStarted)] == [expected]
    assert rollout.state.verdict == ("rolled-back" if expected else "aborted")


# What the preflight looks for


@pytest.mark.parametrize(
    ("step", "tools"),
    [
        pytest.param(replace(DURABLE, tools=("tar",)), ("tar",), id="run"),
        pytest.param(replace(PLAIN, tools=("tar",)), ("tar",), id="plain run"),
        pytest.param(replace(SCRIPT, tools=("tar",)), ("tar", "/usr/bin/python3"), id="script and its interpreter"),
        pytest.param(UPLOAD, (), id="upload"),
        pytest.param(HTTP, (), id="http"),
        pytest.param(LOCAL, (), id="what runs here needs nothing there"),
    ],
)
def test_the_tools_that_a_step_needs_are_looked_for(step: Step, tools: tuple[str, ...]) -> None:
    plan = replace(plan_of(wave("a"), steps=(step,)), scripts=SCRIPTS)
    assert tools_of(plan, "a") == tools


def test_a_target_is_not_asked_for_the_tools_of_steps_that_are_for_others() -> None:
    plan = plan_of(wave("a b"), steps=(replace(DURABLE, tools=("tar",)), replace(DURABLE, tools=("psql",))))
    plan = replace(plan, targets={**plan.targets, "b": replace(plan.targets["b"], steps=(0,))})
    assert tools_of(plan, "a") == ("tar", "psql")
    assert tools_of(plan, "b") == ("tar",)


# How it is stopped


@pytest.mark.parametrize("step", EVERY_KIND)
def test_whatever_runs_is_stopped_once_when_a_person_says_so(step: Step) -> None:
    rollout = begun(step)
    rollout.record(e.StopRequested("running", ME))
    assert rollout.next() == [effects.Cancel("a")]
    rollout.record(e.CancelStarted("a", rollout.execution("a")))
    assert rollout.next() == []
    rollout.finish("a", "cancelled")
    assert rollout.next() == [e.EngineStopped("interrupted")]
