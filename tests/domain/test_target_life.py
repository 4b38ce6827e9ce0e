"""One target's life: which events may meet it where, and where each of them takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rollout import CLEAN, ME, UNDO, plan_of, wave

from canary_tui.domain.fleet.steps import HttpStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Gate, Limits, OnUnavailable
from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.grouping import groups
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.target import (
    FAILING,
    TargetState,
    Track,
    after,
    can_roll_back,
    resumed,
    to_finish,
    to_roll_back,
    treated,
)
from canary_tui.domain.rollout.words import Outcome, Settlement, Treatment

FIRST, SECOND = RunStep(run="one", retries=1), RunStep(run="two")
PLAN = plan_of(wave("a", Gate()), wave("b"), steps=(FIRST, SECOND), rollback=(UNDO,), finally_=(CLEAN,))
FRESH = TargetState("a", 0)


def start(target: TargetState, phase: Phase = "steps", plan: Plan = PLAN, execution: str = "x") -> e.StepStarted:
    """The start that is due on a target; of the last step where all of them are done."""
    track, steps = target.track(phase), applicable(plan, target.name, phase)
    return e.StepStarted(target.name, phase, steps[min(track.position, len(steps) - 1)], track.attempts + 1, execution)


def end(outcome: Outcome = "ok", *, fenced: bool = False, detail: str = "") -> e.StepFinished:
    exit_code = {"ok": 0, "failed": 1}.get(outcome)
    return e.StepFinished("a", "x", outcome, exit_code, detail=detail, fenced=fenced)


def life(*events: e.TargetEvent, target: TargetState = FRESH, plan: Plan = PLAN) -> TargetState:
    """A target after events that come a second apart."""
    for second, event in enumerate(events, 10):
        target = after(plan, target, event, float(second))
    return target


def run(target: TargetState, *outcomes: Outcome, phase: Phase = "steps", plan: Plan = PLAN) -> TargetState:
    """A target after starts of whatever is due there, which end like this."""
    for outcome in outcomes:
        target = life(start(target, phase, plan), end(outcome), target=target, plan=plan)
    return target


def treat(target: TargetState, treatment: Treatment, plan: Plan = PLAN, note: str = "") -> TargetState:
    return treated(plan, target, e.FailureTreated((target.name,), treatment, ME, note))


PROBED = life(e.ProbeStarted("a"), e.TargetProbed("a", "ok", "boot", "1"))
RUNNING = life(start(PROBED), target=PROBED)
FAILED = run(PROBED, "failed", "failed")
UNKNOWN = run(PROBED, "unknown")
DONE = run(PROBED, "ok", "ok")
EXCLUDED = treat(FAILED, "exclude")
UNDOING = treat(FAILED, "rollback")
ENDING = to_finish(DONE)

STATES = {
    "fresh": FRESH,
    "probing": life(e.ProbeStarted("a")),
    "unreachable": life(e.ProbeStarted("a"), e.TargetProbed("a", "unreachable")),
    "probed": PROBED,
    "running": RUNNING,
    "between": run(PROBED, "ok"),
    "failed": FAILED,
    "unknown": UNKNOWN,
    "excluded": EXCLUDED,
    "skipped": life(e.TargetSkipped("a", "already on 2"), target=PROBED),
    "done": DONE,
    "to undo": UNDOING,
    "undoing": life(start(UNDOING, "rollback"), target=UNDOING),
    "to clean": ENDING,
    "cleaning": life(start(ENDING, "finally"), target=ENDING),
}
AT_WORK = {"running", "undoing", "cleaning"}
NOT_ENDED = {"fresh", "probing", "probed", "between"}


def phase_of(name: str) -> Phase:
    """The phase whose next start such a target could make."""
    return "rollback" if name in ("to undo", "undoing") else "finally" if name in ("to clean", "cleaning") else "steps"


def fitting(kind: type[e.TargetEvent], name: str) -> e.TargetEvent:
    """An event of a kind as it would be if it could happen to this target."""
    if kind is e.StepStarted:
        return start(STATES[name], phase_of(name), execution="y")
    made: list[e.TargetEvent] = [
        e.ProbeStarted("a"), e.TargetProbed("a", "ok", "boot", "1"), e.TargetSkipped("a", "why"),
        e.StepAttached("a", "x"), e.ConnectionLost("a", "reset"), e.ConnectionRestored("a"), end(),
        e.UnknownSettled("a", "ok", ME), e.CancelStarted("a", "x"), e.CancelFinished("a", "x", confirmed=True),
        e.ReleaseRead("a", "2"), e.TargetUnlocked("a", released=True),
    ]  # fmt: skip
    return next(one for one in made if isinstance(one, kind))


def where(target: TargetState) -> str:
    """The name among STATES of where a target is; a phase behind it that has ended is "undone" or "cleaned"."""
    begun = {"rollback": ("to undo", "undone"), "finally": ("to clean", "cleaned")}
    if target.running is not None:
        return {"steps": "running", "rollback": "undoing", "finally": "cleaning"}[target.running.phase]
    for phase, track in (("finally", target.finally_), ("rollback", target.rollback)):
        if track is not None:
            return begun[phase][track.outcome is not None]
    if target.steps.outcome is not None:
        return "done" if target.steps.outcome == "ok" else target.steps.outcome
    if target.probe != "ok":
        return {"none": "fresh", "running": "probing"}[target.probe]
    return "between" if target.steps.position else "probed"


STAYS = {name: name for name in STATES}
WORKS_ON = {name: name for name in STATES if name in AT_WORK}
NEXT: dict[type[e.TargetEvent], dict[str, str]] = {
    e.ProbeStarted: {"fresh": "probing"},
    e.TargetProbed: {"probing": "probed"},
    e.TargetSkipped: dict.fromkeys(NOT_ENDED, "skipped"),
    e.StepStarted: {  # that it was probed first is the policy's business
        **dict.fromkeys(NOT_ENDED, "running"),
        "to undo": "undoing",
        "to clean": "cleaning",
    },
    e.StepAttached: WORKS_ON,
    e.ConnectionLost: WORKS_ON,
    e.ConnectionRestored: WORKS_ON,
    e.StepFinished: {"running": "between", "undoing": "undone", "cleaning": "cleaned"},
    e.UnknownSettled: {"unknown": "between"},
    e.CancelStarted: WORKS_ON,
    e.CancelFinished: STAYS,  # the answer may come after the end of what was to be stopped
    e.ReleaseRead: {name: name for name in STATES if name not in AT_WORK},
    e.TargetUnlocked: {name: name for name in STATES if name not in AT_WORK},
}
"""Where each event takes a target from where it is. From all other places it is refused."""


def test_every_event_about_a_target_stands_in_the_table() -> None:
    assert set(NEXT) == set(get_args(e.TargetEvent))
    assert [where(target) for target in STATES.values()] == list(STATES)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in NEXT])
def test_an_event_takes_a_target_on_only_from_where_it_can(kind: type[e.TargetEvent], name: str) -> None:
    event = fitting(kind, name)
    if name in NEXT[kind]:
        assert where(life(event, target=STATES[name])) == NEXT[kind][name]
        return
    with pytest.raises(e.IllegalEvent):
        life(event, target=STATES[name])


def test_only_an_execution_that_runs_there_is_spoken_of() -> None:
    for event in (e.StepAttached("a", "y"), e.CancelStarted("a", "y"), replace(end(), execution="y")):
        with pytest.raises(e.IllegalEvent, match="a does not run y"):
            life(event, target=RUNNING)


# The probe


def test_a_probe_says_what_there_is_before_anything_is_changed() -> None:
    assert (PROBED.probe, PROBED.boot, PROBED.previous, PROBED.locked) == ("ok", "boot", "1", True)
    assert PROBED.steps == Track()


def test_a_second_probe_does_not_take_what_the_rollout_made_for_what_was_there_before() -> None:
    between = run(PROBED, "ok")
    fenced = life(start(between), end("failed", fenced=True), target=between)
    again = life(e.ProbeStarted("a"), e.TargetProbed("a", "ok", "boot", "2"), target=treat(fenced, "retry"))
    assert again.changed
    assert again.previous == "1"


@pytest.mark.parametrize(
    ("name", "on_unavailable", "held_by", "outcome"),
    [
        pytest.param("b", "fail", "", "unreachable", id="it counts as failed"),
        pytest.param("b", "skip", "", "skipped", id="it is left out"),
        pytest.param("a", "skip", "", "unreachable", id="a canary is never left out"),
        pytest.param("b", "skip", "other", "unreachable", id="nor one that another rollout holds"),
    ],
)
def test_a_target_that_cannot_be_reached_is_left_out_only_where_the_file_says_so(
    name: str, on_unavailable: OnUnavailable, held_by: str, outcome: Outcome
) -> None:
    plan = replace(PLAN, limits=Limits(on_unavailable=on_unavailable))
    probed = e.TargetProbed(name, "unreachable", detail="timeout", held_by=held_by)
    target = life(e.ProbeStarted(name), probed, target=TargetState(name, plan.wave_of(name)), plan=plan)
    assert (target.probe, target.steps.outcome, target.steps.detail) == ("failed", outcome, "timeout")
    assert target.held_by == held_by
    assert target.ended_at > 0


def test_one_that_was_changed_already_is_never_called_skipped() -> None:
    plan = replace(PLAN, limits=Limits(on_unavailable="skip"))
    before = replace(TargetState("b", 1), probe="running", changed=True)
    target = life(e.TargetProbed("b", "unreachable"), target=before, plan=plan)
    assert target.steps.outcome == "unreachable"


# One step


def test_a_step_is_at_work_from_its_start_to_its_end_and_counted_before_it_is_sent() -> None:
    assert RUNNING.running is not None
    assert RUNNING.running.execution == "x"
    assert (RUNNING.steps.attempts, RUNNING.steps.execution) == (1, "x")
    assert (RUNNING.changed, RUNNING.in_window, RUNNING.started_at) == (True, True, 10.0)
    ended = life(end(), target=RUNNING)
    assert ended.running is None
    assert ended.steps == Track(position=1, execution="x", exit_code=0)
    assert ended.in_window, "it keeps its place until its last step"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        pytest.param(e.StepStarted("a", "steps", 1, 1, "y"), "not this step's turn", id="another step"),
        pytest.param(e.StepStarted("a", "steps", 0, 2, "y"), "attempt 2 after 0", id="an attempt left out"),
        pytest.param(e.StepStarted("a", "steps", 0, 0, "y"), "attempt 0 after 0", id="no attempt"),
        pytest.param(e.StepStarted("a", "rollback", 0, 1, "y"), "rollback has not begun", id="nobody rolls back"),
        pytest.param(e.StepStarted("a", "finally", 0, 1, "y"), "finally has not begun", id="it is not ending"),
    ],
)
def test_only_the_step_that_is_due_starts(event: e.StepStarted, why: str) -> None:
    with pytest.raises(e.IllegalEvent, match=why):
        life(event, target=PROBED)


def test_a_target_that_is_at_work_starts_nothing_else() -> None:
    with pytest.raises(e.IllegalEvent, match="a is at work"):
        life(start(run(PROBED, "ok")), target=RUNNING)


@pytest.mark.parametrize("outcome", sorted(set(get_args(Outcome)) - {"skipped", "excluded"}))
def test_an_outcome_ends_the_deployment_or_lets_it_go_on(outcome: Outcome) -> None:
    target = run(run(PROBED, "ok"), outcome)  # the last step, of which there is no second try
    assert target.steps.outcome == (None if outcome == "not-started" else outcome)
    assert target.failing == (outcome in FAILING)
    assert (target.ended_at > 0) == (target.steps.outcome is not None)
    assert target.in_window == (outcome == "not-started"), "the place is free when it has ended, well or badly"


@pytest.mark.parametrize("outcome", ["skipped", "excluded"])
def test_a_step_is_not_skipped_or_excluded_a_target_is(outcome: Outcome) -> None:
    with pytest.raises(e.IllegalEvent, match=f"a step does not end as {outcome}"):
        life(end(outcome), target=RUNNING)


@pytest.mark.parametrize(
    ("outcomes", "attempts", "outcome"),
    [
        pytest.param(["failed"], 1, None, id="once more"),
        pytest.param(["timed-out"], 1, None, id="also after its time"),
        pytest.param(["failed", "failed"], 2, "failed", id="no third time"),
        pytest.param(["unknown"], 1, "unknown", id="never after an unknown outcome"),
        pytest.param(["unreachable"], 1, "unreachable", id="nor where nobody answers"),
        pytest.param(["cancelled"], 1, "cancelled", id="nor what was stopped"),
        pytest.param(["not-started", "failed"], 1, None, id="what did not start is no try"),
        pytest.param(["failed", "ok"], 0, None, id="the second try is good"),
    ],
)
def test_a_step_with_one_retry_is_tried_twice(outcomes: list[Outcome], attempts: int, outcome: Outcome) -> None:
    target = run(PROBED, *outcomes)
    assert (target.steps.attempts, target.steps.outcome) == (attempts, outcome)


def test_what_is_being_stopped_or_was_refused_is_not_tried_again() -> None:
    stopped = life(e.CancelStarted("a", "x"), end("failed"), target=RUNNING)
    assert stopped.steps.outcome == "failed"
    assert life(end("failed", fenced=True), target=RUNNING).steps.outcome == "failed"


def test_a_failure_that_is_tried_again_is_remembered_until_it_is_overcome() -> None:
    once = life(end("failed", detail="disk full"), target=RUNNING)
    assert once.steps.detail == "disk full"
    assert run(once, "ok").steps.detail == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["ok", "failed", "timed-out", "not-started"]), max_size=12), st.integers(0, 3))
def test_retries_agree_with_a_count_on_paper(outcomes: list[Outcome], retries: int) -> None:
    plan = replace(PLAN, steps=(replace(FIRST, retries=retries), replace(SECOND, retries=retries)))
    target, position, tries = PROBED, 0, 0
    for outcome in outcomes:
        if target.steps.outcome is not None:
            break
        target = run(target, outcome, plan=plan)
        position += outcome == "ok"
        tries = 0 if outcome == "ok" else tries + (outcome != "not-started")
        assert (target.steps.position, target.steps.attempts) == (position, tries)
        expected = "ok" if position == 2 else outcome if tries > retries else None
        assert target.steps.outcome == expected


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        pytest.param(HttpStep(http="http://h"), False, id="asking changes nothing"),
        pytest.param(UploadStep(upload="a", to="b"), True, id="upload"),
        pytest.param(ScriptStep(script="a"), True, id="script"),
    ],
)
def test_a_target_counts_as_changed_from_the_first_start_that_could_change_it(step: Step, changed: bool) -> None:
    plan = plan_of(wave("a"), steps=(step, FIRST))
    begun = life(start(PROBED, plan=plan), target=PROBED, plan=plan)
    assert begun.changed == changed
    assert begun.running is not None
    assert begun.running.first == changed
    second = run(life(end(), target=begun, plan=plan), "ok", plan=plan)
    assert second.changed


@pytest.mark.parametrize("phase", ["rollback", "finally"])
def test_undoing_and_cleaning_change_nothing_about_how_the_deployment_ended(phase: Phase) -> None:
    before = UNDOING if phase == "rollback" else to_finish(FAILED)
    for outcome in ("ok", "failed", "unknown"):
        target = run(before, outcome, phase=phase)
        assert target.track(phase).outcome == outcome
        assert (target.steps, target.ended_at, target.in_window) == (before.steps, before.ended_at, False)


def test_a_lost_connection_is_noted_while_it_is_lost() -> None:
    lost = life(e.ConnectionLost("a", ""), target=RUNNING)
    assert lost.running is not None
    assert lost.running.lost == "lost"
    assert life(e.ConnectionRestored("a"), target=lost) == RUNNING


def test_a_stop_that_the_target_did_not_confirm_is_remembered_until_the_next_start() -> None:
    stopped = life(
        e.CancelStarted("a", "x"), end("cancelled"), e.CancelFinished("a", "x", confirmed=False), target=RUNNING
    )
    assert stopped.unconfirmed
    assert not run(treat(stopped, "retry"), "ok").unconfirmed


# A start that the target refused


def test_a_refused_start_voids_what_the_probe_learned() -> None:
    fenced = life(end("failed", fenced=True), target=RUNNING)
    assert (fenced.probe, fenced.locked, fenced.changed) == ("failed", False, False)
    later = life(start(run(PROBED, "ok")), end("failed", fenced=True), target=run(PROBED, "ok"))
    assert later.changed, "an earlier step had been there"


def test_a_lock_that_was_lost_must_be_acquired_again_before_anything_goes_on() -> None:
    fenced = life(end("failed", fenced=True), target=RUNNING)
    with pytest.raises(e.IllegalEvent, match="a is not locked for this rollout: retry"):
        treat(fenced, "skip")
    assert treat(fenced, "retry").probe == "none"


# A person decides


@pytest.mark.parametrize("name", sorted(set(STATES) - {"failed", "unknown", "unreachable", "running"}))
@pytest.mark.parametrize("treatment", get_args(Treatment))
def test_only_a_failure_is_treated(treatment: Treatment, name: str) -> None:
    with pytest.raises(e.IllegalEvent, match=r"a has not failed|a is at work"):
        treat(STATES[name], treatment)


@pytest.mark.parametrize("outcome", sorted(FAILING - {"unknown"}))
def test_a_failed_step_is_done_again_from_its_first_try(outcome: Outcome) -> None:
    failed = run(run(PROBED, "ok"), outcome)
    again = treat(failed, "retry")
    assert (again.steps.position, again.steps.attempts, again.steps.outcome) == (1, 0, None)
    assert again.probe == "ok"
    assert run(again, "ok").steps.outcome == "ok"


def test_a_target_that_could_not_be_reached_is_probed_again() -> None:
    again = treat(STATES["unreachable"], "retry")
    assert (again.probe, again.steps.outcome) == ("none", None)


def test_a_waived_step_is_counted_and_the_next_one_comes() -> None:
    waived = treat(FAILED, "skip")
    assert (waived.steps.position, waived.steps.skipped, waived.steps.outcome) == (1, 1, None)
    assert run(waived, "ok").steps.skipped == 1
    last = treat(run(run(PROBED, "ok"), "failed"), "skip")
    assert (last.steps.outcome, last.steps.skipped) == ("ok", 1)


@pytest.mark.found("M7")
@pytest.mark.parametrize(
    ("treatment", "told"),
    [
        pytest.param("skip", "one skipped by ann@here: I know", id="skip"),
        pytest.param("exclude", "excluded by ann@here: I know", id="exclude"),
        pytest.param("rollback", "rolled back by ann@here: I know", id="roll back"),
        pytest.param("retry", "", id="a retry decides nothing"),
    ],
)
def test_a_target_keeps_who_decided_about_its_failure_and_why(treatment: Treatment, told: str) -> None:
    """A target knows each person's decision about it, with the step, the person and the reason."""
    assert "; ".join(map(str, treat(FAILED, treatment, note="I know").rulings)) == told


def test_no_step_is_waived_on_a_target_that_was_never_reached() -> None:
    with pytest.raises(e.IllegalEvent, match="a was never reached"):
        treat(STATES["unreachable"], "skip")
    held = life(e.ProbeStarted("a"), e.TargetProbed("a", "failed", held_by="other"))
    with pytest.raises(e.IllegalEvent, match="not locked for this rollout"):
        treat(held, "skip")


@pytest.mark.parametrize(
    ("detail", "note", "said"),
    [("disk full", "tomorrow", "disk full (tomorrow)"), ("disk full", "", "disk full"), ("", "tomorrow", "tomorrow")],
)
def test_an_excluded_target_keeps_why_it_failed_and_what_was_said(detail: str, note: str, said: str) -> None:
    failed = replace(FAILED, steps=replace(FAILED.steps, detail=detail))
    excluded = treat(failed, "exclude", note=note)
    assert (excluded.steps.outcome, excluded.steps.detail, excluded.rollback) == ("excluded", said, None)
    assert excluded.changed


def test_a_single_target_is_rolled_back_and_is_out() -> None:
    assert (UNDOING.steps.outcome, UNDOING.rollback) == ("excluded", Track())
    undone = run(UNDOING, "ok", phase="rollback")
    assert undone.track("rollback").outcome == "ok"
    assert undone.steps.outcome == "excluded"


@pytest.mark.parametrize(
    ("target", "plan"),
    [
        pytest.param(replace(FAILED, previous=""), PLAN, id="nobody knows what it had"),
        pytest.param(replace(FAILED, changed=False), PLAN, id="nothing was changed"),
        pytest.param(FAILED, plan_of(wave("a"), steps=(FIRST, SECOND)), id="no step undoes"),
    ],
)
def test_what_has_nothing_to_go_back_to_is_not_rolled_back(target: TargetState, plan: Plan) -> None:
    assert can_roll_back(PLAN, FAILED)
    assert not can_roll_back(plan, target)
    with pytest.raises(e.IllegalEvent, match="a has nothing to go back to"):
        treat(target, "rollback", plan)


@pytest.mark.parametrize("treatment", ["retry", "skip", "rollback"])
def test_an_unknown_outcome_is_not_treated_before_somebody_says_what_it_was(treatment: Treatment) -> None:
    with pytest.raises(e.IllegalEvent, match="say what became of it first"):
        treat(UNKNOWN, treatment)
    assert treat(UNKNOWN, "exclude").steps.outcome == "excluded"


@pytest.mark.parametrize(
    ("settlement", "steps"),
    [
        pytest.param("ok", Track(position=1, execution="x"), id="it had ended well"),
        pytest.param("retry", Track(again=1), id="once more"),
        pytest.param("failed", Track(attempts=1, execution="x", outcome="failed", detail="lost (seen)"), id="badly"),
    ],
)
def test_a_person_says_what_became_of_a_step(settlement: Settlement, steps: Track) -> None:
    unknown = replace(UNKNOWN, steps=replace(UNKNOWN.steps, detail="lost"))
    settled = life(e.UnknownSettled("a", settlement, ME, "seen"), target=unknown)
    assert settled.steps == steps
    assert settled.unknown_phase is None


@pytest.mark.parametrize("phase", ["rollback", "finally"])
@pytest.mark.parametrize("settlement", get_args(Settlement))
def test_the_phase_that_is_unknown_is_the_one_that_is_settled(phase: Phase, settlement: Settlement) -> None:
    before = UNDOING if phase == "rollback" else to_finish(DONE)
    unknown = run(before, "unknown", phase=phase)
    assert unknown.unknown_phase == phase
    settled = life(e.UnknownSettled("a", settlement, ME), target=unknown)
    assert settled.track(phase).outcome == {"ok": "ok", "failed": "failed", "retry": None}[settlement]
    assert settled.steps == before.steps


# Another engine


def test_another_engine_does_not_believe_a_probe_that_was_cut_off() -> None:
    assert resumed(PLAN, STATES["probing"]).probe == "none"
    assert resumed(PLAN, STATES["probing"]).locked, "the lock may be ours"


def test_what_ran_is_an_orphan_until_somebody_has_asked_about_it() -> None:
    before = life(e.ConnectionLost("a", "reset"), e.CancelStarted("a", "x"), target=RUNNING)
    orphan = resumed(PLAN, before)
    assert orphan.running is not None
    assert (orphan.running.orphaned, orphan.running.cancelling, orphan.running.lost) == (True, False, "")
    asked = life(e.StepAttached("a", "x"), target=orphan)
    assert asked.running is not None
    assert not asked.running.orphaned
    assert asked.steps == RUNNING.steps


@pytest.mark.parametrize("phase", ["steps", "rollback", "finally"])
def test_an_unknown_outcome_is_asked_for_again_where_the_target_keeps_a_record(phase: Phase) -> None:
    before = {"steps": PROBED, "rollback": UNDOING, "finally": to_finish(DONE)}[phase]
    orphan = resumed(PLAN, run(before, "unknown", phase=phase))
    assert orphan.running is not None
    assert (orphan.running.phase, orphan.running.execution, orphan.running.orphaned) == (phase, "x", True)
    assert orphan.track(phase).outcome is None
    assert orphan.in_window == (phase == "steps")
    told = life(e.StepAttached("a", "x"), end(), target=orphan)
    assert told.track(phase).position == 1


@pytest.mark.parametrize(
    "step", [RunStep(run="a", durable=False), UploadStep(upload="a", to="b")], ids=["a plain command", "an upload"]
)
def test_what_left_no_record_stays_unknown(step: Step) -> None:
    plan = plan_of(wave("a"), steps=(step,))
    unknown = run(PROBED, "unknown", plan=plan)
    assert resumed(plan, unknown) == unknown


def test_a_settled_retry_has_no_execution_to_ask_about() -> None:
    settled = life(e.UnknownSettled("a", "retry", ME), target=UNKNOWN)
    assert resumed(PLAN, settled) == settled


def test_whoever_is_at_rest_is_the_same_for_another_engine() -> None:
    for name in sorted(set(STATES) - AT_WORK - {"probing", "unknown"}):
        assert resumed(PLAN, STATES[name]) == STATES[name], name


# All of them at the end


def test_only_what_was_changed_is_rolled_back_and_once() -> None:
    with pytest.raises(e.IllegalEvent, match="only what this rollout changed"):
        to_roll_back(PROBED)
    with pytest.raises(e.IllegalEvent, match="at work"):
        to_roll_back(RUNNING)
    assert to_roll_back(DONE).rollback == Track()
    undone = run(UNDOING, "ok", phase="rollback")
    assert to_roll_back(undone) == undone


def test_a_lock_that_could_not_be_released_is_remembered_with_why() -> None:
    released = life(e.TargetUnlocked("a", released=True), target=DONE)
    assert (released.locked, released.left_locked) == (False, "")
    left = life(e.TargetUnlocked("a", released=False, detail="gone"), target=DONE)
    assert (left.locked, left.left_locked) == (False, "gone")
    assert life(e.TargetUnlocked("a", released=False), target=DONE).left_locked == "nobody knows why"


GROUPS: list[tuple[str, tuple[Group, ...]]] = [
    ("fresh", ("unprobed", "unfinished")),
    ("probing", ("probing", "unfinished", "locked")),
    ("unreachable", ("failing", "failing before a gate")),
    ("probed", ("unfinished", "locked")),
    ("running", ("running", "in window", "unfinished", "unread", "locked")),
    ("between", ("in window", "unfinished", "unread", "locked")),
    ("failed", ("failing", "failing before a gate", "unread", "failed unread", "locked")),
    ("unknown", ("failing", "failing before a gate", "unknown", "unread", "failed unread", "locked")),
    ("excluded", ("unread", "locked")),
    ("skipped", ("locked",)),
    ("done", ("unread", "locked")),
    ("to undo", ("rolling back", "unread", "locked")),
    ("undoing", ("running", "unfinished", "rolling back", "rollback begun", "unread", "locked")),
    ("to clean", ("in finally", "unread", "locked")),
    ("cleaning", ("running", "unfinished", "in finally", "finally begun", "unread", "locked")),
]


@pytest.mark.parametrize(("name", "expected"), [pytest.param(*one, id=one[0]) for one in GROUPS])
def test_a_target_is_found_in_the_groups_that_the_policy_asks_about(name: str, expected: tuple[Group, ...]) -> None:
    assert groups(PLAN, STATES[name]) == expected


def test_every_group_is_tried_and_every_state_is_in_the_table() -> None:
    assert [name for name, _ in GROUPS] == list(STATES)
    orphaned = groups(PLAN, resumed(PLAN, RUNNING))
    assert {*orphaned, *(group for _, found in GROUPS for group in found)} == set(get_args(Group))


def test_a_failure_holds_a_gate_only_in_a_wave_that_has_one() -> None:
    assert "failing before a gate" not in groups(PLAN, replace(FAILED, name="b", wave=1))


@pytest.mark.found("M8")
def test_a_target_is_asked_for_its_release_once_after_a_change() -> None:
    """The last word of a target about its release holds until the next step that may change it has begun."""
    assert not life(e.ReleaseRead("a", ""), target=DONE).unread
    assert not PROBED.unread
    again = treat(life(e.ReleaseRead("a", "2"), target=FAILED), "retry")
    assert (again.reported, again.unread) == ("2", False)
    assert (RUNNING.unread, life(start(again), target=again).unread) == (True, True)


@pytest.mark.found("M8")
@pytest.mark.parametrize("outcome", sorted(FAILING))
def test_a_target_that_failed_is_asked_for_its_release_unless_nobody_reaches_it(outcome: Outcome) -> None:
    """A target that failed after a change is to be asked what it runs now, once, while it rests."""
    failed = run(PROBED, outcome, outcome) if outcome in ("failed", "timed-out") else run(PROBED, outcome)
    if failed.steps.outcome is None:
        failed = run(failed, outcome)
    assert ("failed unread" in groups(PLAN, failed)) == (outcome != "unreachable")
    assert "failed unread" not in groups(PLAN, life(e.ReleaseRead("a", ""), target=failed))
    assert "failed unread" not in groups(PLAN, treat(STATES["failed"], "exclude"))


@pytest.mark.parametrize(
    ("track", "why"),
    [
        pytest.param(Track(outcome="failed", detail="disk full", exit_code=3), "disk full", id="the detail"),
        pytest.param(Track(outcome="failed", exit_code=3), "exit 3", id="the exit code"),
        pytest.param(Track(outcome="timed-out", exit_code=3), "", id="no exit code was waited for"),
        pytest.param(Track(outcome="unknown"), "", id="the outcome says it all"),
        pytest.param(Track(), "", id="not ended"),
    ],
)
def test_the_best_reason_that_is_known_is_told(track: Track, why: str) -> None:
    assert track.why == why
