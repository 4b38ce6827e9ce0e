"""Every kind of event has its sentence; a new one without a row here is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from canary_tui.domain.fleet.steps import RunStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Gate, Ssh
from canary_tui.domain.planning.plan import Phase, Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import replay
from canary_tui.domain.rollout.events import Operator, Record
from canary_tui.domain.rollout.narration import left_to_do, narrate, standing
from canary_tui.domain.rollout.rulings import Ruling
from canary_tui.domain.rollout.target import Track
from canary_tui.domain.rollout.words import Outcome

ANN = Operator("ann", "desk", "/dev/pts/7")
DEPLOY, UNDO = RunStep(run="true", name="deploy"), RunStep(run="true", name="undo")
TARGETS = {name: PlannedTarget(name, name, Ssh(), steps=(0,), rollback=(0,)) for name in ("a", "b")}
WAVES = (PlannedWave("canary", ("a",), 1, Gate()), PlannedWave("rest", ("b",), 1))
PLAN = Plan("shop", "2", "", TARGETS, WAVES, (DEPLOY,), rollback=(UNDO,))
RECORDS = [Record(0, 1.0, e.RolloutStarted("r", PLAN, ANN, attended=True, version="1"))]
STATE = replay(RECORDS)

SAID = [
    (e.RolloutStarted("r", PLAN, ANN, attended=True, version="1"), "ann@desk starts shop 2: 2 targets, r"),
    (
        e.RolloutStarted("r", replace(PLAN, environment="prod"), ANN, attended=True, version="1", breaks=("p", "q")),
        "ann@desk starts shop 2 in prod: 2 targets, r, breaking the locks of p and q",
    ),
    (e.EngineResumed(ANN, attended=True), "ann@desk resumes the rollout"),
    (e.EngineResumed(ANN, attended=True, breaks=("p",)), "ann@desk resumes the rollout, breaking the locks of p"),
    (e.EngineStopped("waiting"), "stopped here: the gate needs an approval"),
    (e.FrontLost(), "the screen is gone: nothing new is started"),
    (e.ArtifactRead("app.tgz", 7, "0123456789abcdef"), "app.tgz: 7 bytes, sha256 0123456789ab"),
    (e.ProbeStarted("a"), ""),
    (e.TargetProbed("a", "ok"), "a: reached"),
    (e.TargetProbed("a", "ok", release="1", detail="no sha256sum"), "a: reached, runs 1 (no sha256sum)"),
    (e.TargetProbed("a", "unreachable", detail="timed out"), "a: unreachable, timed out"),
    (e.WaveStarted(0), "wave 1 of 2 canary: 1 target"),
    (e.TargetSkipped("a", "already on 2"), "a: skipped, already on 2"),
    (e.StepStarted("a", "steps", 0, 1, "x"), "a: deploy"),
    (e.StepStarted("a", "steps", 0, 3, "x"), "a: deploy, attempt 3"),
    (e.StepStarted("a", "rollback", 0, 1, "x"), "a: rollback undo"),
    (e.StepAttached("a", "x"), "a: asking how its step ended"),
    (e.ConnectionLost("a", "reset"), "a: connection lost (reset); reconnecting"),
    (e.ConnectionRestored("a"), "a: reconnected"),
    (e.StepFinished("a", "x", "ok", 0), "a: ok"),
    (e.StepFinished("a", "x", "failed", 3), "a: failed, exit 3"),
    (e.StepFinished("a", "x", "timed-out", 3), "a: timed out"),
    (e.StepFinished("a", "x", "failed", 3, detail="no space"), "a: failed, no space"),
    (e.FailureTreated(("a", "b"), "retry", ANN), "ann: retry a, b"),
    (e.FailureTreated(("a",), "skip", ANN, "known"), "ann: skip a (known)"),
    (e.UnknownSettled("a", "ok", ANN, "saw it"), "ann marked a as ok (saw it)"),
    (e.UnknownSettled("a", "failed", ANN), "ann marked a as failed"),
    (e.UnknownSettled("a", "retry", ANN), "ann marked a to be run again"),
    (e.GateOpened(0, "e"), "GATE after canary: waiting for a person's approval"),
    (e.ItemTicked(0, 1, ticked=True, by=ANN), "ann: item 2 of the checklist ticked"),
    (e.ItemTicked(0, 0, ticked=False, by=ANN), "ann: item 1 of the checklist open"),
    (e.GateApproved(0, "p", "e", ANN), "ann approved"),
    (e.GateApproved(0, "p", "e", ANN, "fine"), "ann approved (fine)"),
    (e.GatePassed(0), "the gate needs no person"),
    (e.GateExpired(0), "the gate expired"),
    (e.Aborted(ANN, "bad", rollback=True), "ann aborted (bad): changed targets are rolled back"),
    (e.Aborted(ANN, "", rollback=False), "ann aborted: changed targets are kept as they are"),
    (e.StopRequested("asking", ANN), "starting nothing new while a person is asked what to stop"),
    (e.StopRequested("starting", ANN), "starting nothing new"),
    (e.StopRequested("running", ANN), "stopping what runs"),
    (e.StopWithdrawn(ANN), "ann withdrew the stop"),
    (e.CancelStarted("a", "x"), ""),
    (e.CancelFinished("a", "x", confirmed=True), "a: stopped"),
    (e.CancelFinished("a", "x", confirmed=False, detail="no answer"), "a: stop unconfirmed (no answer)"),
    (e.RollbackStarted("failed", ("a", "b")), "rolling back 2 targets"),
    (e.RollbackStarted("failed", ("a",), ("b",)), "rolling back 1 target; no former release: b"),
    (e.FinallyStarted("completed", ("a",)), "finally, on 1 target"),
    (e.FinallyStarted("completed", ()), ""),
    (e.ReleaseRead("a", "2"), "a: reports 2"),
    (e.ReleaseRead("a", "", "timed out"), "a: reports nothing (timed out)"),
    (e.TargetUnlocked("a", released=True), ""),
    (e.TargetUnlocked("a", released=False, detail="in use"), "a: its lock was not released (in use)"),
    (e.RolloutFinished("succeeded", "2 of 2 targets on 2", 0), "succeeded: 2 of 2 targets on 2"),
    (e.RolloutFinished("succeeded", "1 of 2 targets on 2; not: b", 5), "partly done: 1 of 2 targets on 2; not: b"),
]


@pytest.mark.parametrize(
    ("event", "said"), [pytest.param(*row, id=f"{type(row[0]).__name__}: {row[1]}") for row in SAID]
)
def test_an_event_is_told_in_one_sentence(event: e.Event, said: str) -> None:
    assert narrate(event, STATE) == said


@pytest.mark.found("fault 2")
@pytest.mark.parametrize(
    ("step", "said"),
    [
        pytest.param(DEPLOY, "reconnecting, a step that has begun goes on there", id="durable"),
        pytest.param(UploadStep(upload="a", to="/a", name="send"), "reconnecting to send the rest", id="upload"),
    ],
)
def test_a_lost_connection_is_told_with_what_becomes_of_the_step(step: Step, said: str) -> None:
    """What is said to go on there does: an upload does not."""
    started = e.RolloutStarted("r", replace(PLAN, steps=(step,)), ANN, attended=True, version="1")
    events: list[e.Event] = [started, e.ProbeStarted("a"), e.TargetProbed("a", "ok"), e.WaveStarted(0)]
    lost = e.ConnectionLost("a", "reset")
    events += [e.StepStarted("a", "steps", 0, 1, "x"), lost]
    state = replay([Record(seq, 1.0, event) for seq, event in enumerate(events)])
    assert narrate(lost, state) == f"a: connection lost (reset); {said}"


def test_every_kind_of_event_has_a_sentence_here() -> None:
    assert {type(event) for event, _ in SAID} == set(get_args(e.Event))


def test_the_targets_are_counted_by_how_they_stand() -> None:
    records: list[e.Event] = [
        e.RolloutStarted("r", PLAN, ANN, attended=True, version="1"),
        e.ProbeStarted("a"),
        e.TargetProbed("a", "ok"),
        e.ProbeStarted("b"),
        e.TargetProbed("b", "ok"),
        e.WaveStarted(0),
        e.StepStarted("a", "steps", 0, 1, "x"),
    ]
    state = replay([Record(seq, 1.0, event) for seq, event in enumerate(records)])
    assert standing(state) == "1 running, to be asked about, 1 not started"


@pytest.mark.found("M17")
@pytest.mark.parametrize(
    ("phase", "outcome", "detail", "said"),
    [
        pytest.param("steps", "failed", "", "a: deploy: exit 3", id="exit code"),
        pytest.param("steps", "failed", "no space", "a: deploy: failed, no space", id="detail"),
        pytest.param("steps", "timed-out", "", "a: deploy: timed out", id="limit"),
        pytest.param("steps", "ok", "", "a: ok", id="ok"),
        pytest.param("rollback", "failed", "", "a: rollback undo: exit 3", id="rollback"),
    ],
)
def test_a_step_that_ends_badly_is_named(phase: Phase, outcome: Outcome, detail: str, said: str) -> None:
    """M17"""
    state, track = replay(RECORDS), Track(attempts=1, execution="x", outcome=outcome)
    state.targets["a"] = state.targets["a"].with_track(phase, track)
    code = 3 if outcome == "failed" else None
    assert narrate(e.StepFinished("a", "x", outcome, code, detail=detail), state) == said


@pytest.mark.found("M7")
def test_a_skipped_step_is_named_and_is_no_plain_ok_in_the_counts() -> None:
    """The sentence of a skip names the step, and the counts tell it from an ok."""
    state = replay(RECORDS)
    skipped = replace(state.targets["a"], rulings=(Ruling("deploy", "skipped", ANN, "known"),))
    state.targets["a"] = skipped.with_track("steps", Track(outcome="ok", skipped=1))
    said = narrate(e.FailureTreated(("a",), "skip", ANN, "known"), state)
    assert said == "ann: skip deploy on a (known)"
    assert standing(state) == "1 ok but for a skipped step, 1 not started"


def test_what_is_left_to_do_begins_with_what_is_half_done() -> None:
    """M3"""
    state = replay(RECORDS)
    assert left_to_do(state) == "0 half done, 2 not begun"
    state.targets["a"] = replace(state.targets["a"], started_at=1.0)
    state.targets["b"] = state.targets["b"].with_track("steps", Track(outcome="failed"))
    assert left_to_do(state) == "1 half done, 0 not begun, 1 failed"
