"""How a rollout ends: its verdict, exit code and sentence, and what comes before them in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rollout import CLEAN, DEPLOY, ME, UNDO, Rollout, plan_of, wave

from canary_tui.domain.fleet.steps import HttpStep, RunStep
from canary_tui.domain.fleet.tables import Gate, Limits
from canary_tui.domain.fleet.units import Duration, Share
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.ending import CLEANING, LEAVING
from canary_tui.domain.rollout.failures import blocked, failed_targets, pending_failures, settleable
from canary_tui.domain.rollout.policy import PROBES
from canary_tui.domain.rollout.words import Outcome, Treatment, Verdict
from canary_tui.errors import ExitCode

ABORTED = e.Aborted(ME, "enough", rollback=False)
UNDONE = e.Aborted(ME, "", rollback=True)
ONE_MAY_FAIL = Limits(failures=Share(1))
BACK = Limits(on_failure="rollback")
HOUR = Duration(3600)
TWO = plan_of(wave("a b"), rollback=(UNDO,))
CURRENT = plan_of(wave("a b"), current="cat version")
CANARY = plan_of(wave("a", Gate()), wave("b c"), rollback=(UNDO,))


@dataclass(frozen=True)
class Case:
    """A rollout and what people do once nothing more happens by itself; then its verdict, code and sentence."""

    plan: Plan
    verdict: Verdict
    code: ExitCode
    reason: str
    then: Sequence[e.Event | None] = ()
    """None: the open gate is approved."""
    attended: bool = True
    ends: dict[str, list[Outcome]] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def rollout(self) -> Rollout:
        ends = {name: list(outcomes) for name, outcomes in self.ends.items()}
        rollout = Rollout(self.plan, self.attended, ends, self.releases, self.held)
        rollout.go()
        for event in self.then:
            if event is None:
                rollout.approve()
            else:
                rollout.record(event)
            rollout.go()
        return rollout


def treat(treatment: Treatment, *names: str) -> e.FailureTreated:
    return e.FailureTreated(names, treatment, ME)


CASES = {
    "all on the release": Case(TWO, "succeeded", ExitCode.SUCCEEDED, "2 of 2 targets on 2"),
    "one had it before": Case(TWO, "succeeded", ExitCode.SUCCEEDED, "2 of 2 targets on 2", releases={"a": "2"}),
    "one failed, as it may": Case(
        plan_of(wave("a b"), limits=ONE_MAY_FAIL),
        "succeeded",
        ExitCode.PARTLY,
        "1 of 2 targets on 2; not: b (exit 1)",
        ends={"b": ["failed"]},
    ),
    "one says that it has another": Case(
        CURRENT, "succeeded", ExitCode.PARTLY, "1 of 2 targets on 2; not: b (reports 1)", releases={"b after": "1"}
    ),
    "one does not say what it has": Case(
        CURRENT, "succeeded", ExitCode.SUCCEEDED, "2 of 2 targets on 2", releases={"b after": ""}
    ),
    "one was excluded": Case(
        TWO,
        "succeeded",
        ExitCode.PARTLY,
        "1 of 2 targets on 2 (1 excluded); not: b (excluded by ann@here)",
        [treat("exclude", "b")],
        ends={"b": ["failed"]},
    ),
    "a step of one was waived, M7": Case(
        TWO,
        "succeeded",
        ExitCode.PARTLY,
        "1 of 2 targets on 2; not: b (deploy skipped by ann@here: I know)",
        [e.FailureTreated(("b",), "skip", ME, "I know")],
        ends={"b": ["failed"]},
    ),
    "the second try was good": Case(
        TWO, "succeeded", ExitCode.SUCCEEDED, "2 of 2 targets on 2", [treat("retry", "b")], ends={"b": ["failed"]}
    ),
    "one alone was rolled back": Case(
        TWO,
        "succeeded",
        ExitCode.PARTLY,
        "1 of 2 targets on 2; not: b (rolled back by ann@here)",
        [treat("rollback", "b")],
        ends={"b": ["failed"]},
    ),
    "cleaning failed": Case(
        plan_of(wave("a b"), finally_=(CLEAN,)),
        "succeeded",
        ExitCode.PARTLY,
        "2 of 2 targets on 2; finally not ok on b",
        ends={"b finally": ["failed"]},
    ),
    "past the limit, nobody there": Case(
        TWO,
        "failed",
        ExitCode.FAILED,
        "1 target of 2 not ok, limits.failures allows none: b (exit 1); 1 of 2 targets on 2",
        attended=False,
        ends={"b": ["failed"]},
    ),
    "past the limit, somebody there but not asked": Case(
        plan_of(wave("a b c"), limits=Limits(failures=Share(1), on_failure="abort")),
        "failed",
        ExitCode.FAILED,
        "2 targets of 3 not ok, limits.failures allows 1: b (timed out), c (exit 1); 1 of 3 targets on 2",
        ends={"b": ["timed-out"], "c": ["failed"]},
    ),
    "too many in a row": Case(
        plan_of(wave("a b c d"), limits=Limits(failures=Share(4), consecutive=1, on_failure="abort")),
        "failed",
        ExitCode.FAILED,
        "2 targets in a row not ok, limits.consecutive allows 1: c d (exit 1); 2 of 4 targets on 2",
        ends={"c": ["failed"], "d": ["failed"]},
    ),
    "a canary failed, nobody there": Case(
        CANARY,
        "failed",
        ExitCode.FAILED,
        "1 canary not ok, so nothing more starts: a (exit 1); 0 of 3 targets on 2; also not: b, c",
        attended=False,
        ends={"a": ["failed"]},
    ),
    "failed and rolled back": Case(
        plan_of(wave("a b"), rollback=(UNDO,), limits=BACK),
        "rolled-back",
        ExitCode.FAILED,
        "1 target of 2 not ok, limits.failures allows none: b (exit 1); 2 of 2 changed targets rolled back",
        attended=False,
        ends={"b": ["failed"]},
    ),
    "not all could be rolled back": Case(
        plan_of(wave("a b"), rollback=(UNDO,), limits=BACK),
        "failed",
        ExitCode.FAILED,
        "1 target of 2 not ok, limits.failures allows none: b (exit 1); 1 of 2 changed targets rolled back; not: a",
        attended=False,
        ends={"b": ["failed"], "a rollback": ["failed"]},
    ),
    "nobody knows what one had": Case(
        plan_of(wave("a b"), rollback=(UNDO,), limits=BACK),
        "failed",
        ExitCode.FAILED,
        "1 target of 2 not ok, limits.failures allows none: b (exit 1); 1 of 2 changed targets rolled back; not: b",
        attended=False,
        ends={"b": ["failed"]},
        releases={"b": ""},
    ),
    "nothing that undoes": Case(
        plan_of(wave("a b"), limits=BACK),
        "failed",
        ExitCode.FAILED,
        "1 target of 2 not ok, limits.failures allows none: b (exit 1); 1 of 2 targets on 2",
        attended=False,
        ends={"b": ["failed"]},
    ),
    "another rollout is at work": Case(
        TWO,
        "failed",
        ExitCode.LOCKED,
        "1 target of 2 not ok, limits.failures allows none: b (locked by other); 0 of 2 targets on 2; also not: a",
        attended=False,
        held={"b": "other"},
    ),
    "aborted": Case(
        CANARY,
        "aborted",
        ExitCode.ABORTED,
        "aborted by ann (enough); 1 of 3 targets on 2; not: b, c",
        [ABORTED],
    ),
    "aborted and rolled back": Case(
        CANARY, "rolled-back", ExitCode.ABORTED, "aborted by ann; 1 of 1 changed target rolled back", [UNDONE]
    ),
    "aborted, and could not be rolled back": Case(
        CANARY,
        "aborted",
        ExitCode.ABORTED,
        "aborted by ann; 0 of 1 changed target rolled back; not: a",
        [UNDONE],
        ends={"a rollback": ["failed"]},
    ),
    "aborted when nothing had been changed": Case(
        plan_of(wave("a", Gate()), wave("b"), steps=(HttpStep(http="http://h"),), rollback=(UNDO,)),
        "aborted",
        ExitCode.ABORTED,
        "aborted by ann; 1 of 2 targets on 2; not: b",
        [UNDONE],
    ),
    "expired": Case(
        plan_of(wave("a", Gate(expires=HOUR)), wave("b"), rollback=(UNDO,)),
        "expired",
        ExitCode.EXPIRED,
        "the gate expired; 1 of 2 targets on 2; not: b",
        [e.GateExpired(0)],
    ),
    "expired and rolled back": Case(
        plan_of(wave("a", Gate(expires=HOUR, on_expire="rollback")), wave("b"), rollback=(UNDO,)),
        "rolled-back",
        ExitCode.EXPIRED,
        "the gate expired; 1 of 1 changed target rolled back",
        [e.GateExpired(0)],
    ),
    "the canaries had it before": Case(
        CANARY,
        "failed",
        ExitCode.FAILED,
        "no canary ran every step (already on 2), so nothing was tested; choose others, or --redeploy; "
        "1 of 3 targets on 2; not: b, c",
        releases={"a": "2"},
    ),
    "everybody had it before, M10": Case(
        CANARY,
        "succeeded",
        ExitCode.SUCCEEDED,
        "nothing to do: 3 of 3 report 2 already",
        releases=dict.fromkeys("abc", "2"),
    ),
    "everybody had it before, nobody there, M10": Case(
        CANARY,
        "succeeded",
        ExitCode.SUCCEEDED,
        "nothing to do: 3 of 3 report 2 already",
        attended=False,
        releases=dict.fromkeys("abc", "2"),
    ),
    "everybody had it before, and gets it again, M10": Case(
        replace(CANARY, redeploy=True),
        "succeeded",
        ExitCode.SUCCEEDED,
        "3 of 3 targets on 2",
        [None],
        releases=dict.fromkeys("abc", "2"),
    ),
    "the canaries and another had it before, M10": Case(
        CANARY,
        "failed",
        ExitCode.FAILED,
        "no canary ran every step (already on 2), so nothing was tested; choose others, or --redeploy; "
        "2 of 3 targets on 2; not: c",
        releases={"a": "2", "b": "2"},
    ),
    "aborted before one that had it before, M10": Case(
        CANARY,
        "aborted",
        ExitCode.ABORTED,
        "aborted by ann (enough); 2 of 3 targets on 2; not: c",
        [ABORTED],
        releases={"b": "2"},
    ),
    "the canaries' failure was waived": Case(
        plan_of(wave("a b", Gate()), wave("c")),
        "failed",
        ExitCode.FAILED,
        "no canary ran every step (already on 2, deploy skipped), so nothing was tested; "
        "choose others, or --redeploy; 1 of 3 targets on 2; not: a (deploy skipped by ann@here), c",
        [treat("skip", "a")],
        ends={"a": ["failed"]},
        releases={"b": "2"},
    ),
    "a lock was left": Case(
        TWO,
        "succeeded",
        ExitCode.SUCCEEDED,
        "2 of 2 targets on 2; lock left on b (unreachable)",
        ends={"b unlock": ["unreachable"]},
    ),
    "many locks were left": Case(
        plan_of(wave("a b c d e f g")),
        "succeeded",
        ExitCode.SUCCEEDED,
        "7 of 7 targets on 2; lock left on a (failed), b (failed), c (failed), d (failed), e (failed) and 2 more",
        ends={f"{name} unlock": ["failed"] for name in "abcdefg"},
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_an_end_has_a_verdict_a_code_and_a_sentence(case: Case) -> None:
    state = case.rollout().state
    assert state.reason == case.reason
    assert (state.verdict, state.exit_code) == (case.verdict, case.code)


def test_every_verdict_is_in_the_table() -> None:
    assert {case.verdict for case in CASES.values()} == set(get_args(Verdict))


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_only_a_success_is_not_a_failure_to_the_shell(case: Case) -> None:
    assert (case.verdict == "succeeded") == (case.code in (ExitCode.SUCCEEDED, ExitCode.PARTLY))


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_an_ended_rollout_asks_for_nothing_and_takes_nothing(case: Case) -> None:
    rollout = case.rollout()
    assert rollout.next() == []
    assert rollout.refusal(e.FrontLost()) == "the rollout has ended"
    assert not rollout.state.deploying
    assert not any(target.locked for target in rollout.state.targets.values())


# What limits allow, in sentences


@pytest.mark.parametrize(
    ("plan", "ends", "sentence"),
    [
        pytest.param(TWO, {}, "", id="nothing"),
        pytest.param(TWO, {"a": ["unknown"]}, "1 target with an unknown outcome: a (unknown)", id="unknown"),
        pytest.param(
            plan_of(wave("a b"), limits=Limits(failures=Share(2))),
            {"a": ["unknown"], "b": ["unknown"]},
            "2 targets with an unknown outcome: a b (unknown)",
            id="also where failures are allowed",
        ),
        pytest.param(
            plan_of(wave("a b", Gate()), wave("c"), limits=Limits(failures=Share(3))),
            {"a": ["failed"], "b": ["cancelled"]},
            "2 canaries not ok, so nothing more starts: a (exit 1), b (stopped)",
            id="no canary may fail, whatever the limit",
        ),
        pytest.param(
            plan_of(wave("a b c d"), limits=Limits(failures=Share("50%"))),
            {"a": ["failed"], "b": ["failed"]},
            "",
            id="half of them, as it may be",
        ),
        pytest.param(
            plan_of(wave("a b c d e f g"), limits=ONE_MAY_FAIL),
            {name: ["failed"] for name in "abcdefg"},
            "7 targets of 7 not ok, limits.failures allows 1: a b c d e f g (exit 1)",
            id="a reason that all have is told once",
        ),
        pytest.param(
            plan_of(wave(" ".join(f"{letter * 12}.example" for letter in "abcdefg")), limits=ONE_MAY_FAIL),
            {f"{letter * 12}.example": ["failed"] for letter in "abcdefg"},
            "7 targets of 7 not ok, limits.failures allows 1: "
            + " ".join(f"{letter * 12}.example" for letter in "abcde")
            + " and 2 more (exit 1)",
            id="of names that are long the first five",
        ),
    ],
)
def test_what_is_too_much_is_said_in_numbers(plan: Plan, ends: dict[str, list[Outcome]], sentence: str) -> None:
    rollout = Rollout(plan, ends={name: list(outcomes) for name, outcomes in ends.items()})
    rollout.go()
    assert blocked(plan, rollout.state) == sentence
    assert pending_failures(plan, rollout.state) == (tuple(ends) if sentence else ())
    assert [target.name for target in failed_targets(rollout.state)] == list(ends)


def test_a_failure_in_a_wave_whose_gate_was_passed_holds_nobody_up() -> None:
    """It was treated before the gate opened; what comes after is held to the limits alone."""
    plan = plan_of(wave("a b", Gate()), wave("c", Gate(), name="second"), wave("d"), limits=ONE_MAY_FAIL)
    rollout = Rollout(plan, ends={"c": ["failed"]})
    rollout.go()
    rollout.approve()
    rollout.go()
    assert blocked(plan, rollout.state) == "1 target not ok, so nothing more starts: c (exit 1)"
    rollout.record(treat("retry", "c"))
    rollout.go()
    assert blocked(plan, rollout.state) == ""


def test_a_good_one_between_two_bad_ones_ends_the_row() -> None:
    plan = plan_of(wave("a b c", parallel=1), limits=Limits(failures=Share(3), consecutive=1))
    rollout = Rollout(plan, ends={"a": ["failed"], "c": ["failed"]})
    rollout.go()
    assert rollout.state.verdict == "succeeded"


def test_one_that_was_left_out_neither_ends_nor_lengthens_the_row() -> None:
    plan = plan_of(wave("a b c", parallel=1), limits=Limits(failures=Share(3), consecutive=1))
    rollout = Rollout(plan, ends={"a": ["failed"], "c": ["failed"]}, releases={"b": "2"})
    rollout.go()
    assert blocked(plan, rollout.state).startswith("2 targets in a row not ok")


def test_nobody_is_asked_about_failures_once_it_ends() -> None:
    rollout = Rollout(TWO, ends={"b": ["failed"]})
    rollout.go()
    assert pending_failures(TWO, rollout.state) == ("b",)
    rollout.record(ABORTED)
    assert pending_failures(TWO, rollout.state) == ()
    assert rollout.refusal(treat("exclude", "b")) == "it is ending already"


def test_only_an_unknown_outcome_at_rest_is_for_a_person_to_settle() -> None:
    rollout = Rollout(TWO, ends={"b": ["unknown"]})
    rollout.go()
    assert settleable(rollout.state) == ("b",)
    rollout.record(e.EngineStopped("interrupted"), e.EngineResumed(ME, attended=True))
    assert settleable(rollout.state) == (), "the target is asked first"
    assert rollout.next() == [effects.Attach("b")]


# From deploying to the end


def test_an_abort_stops_what_deploys_and_starts_nothing_new() -> None:
    rollout = Rollout(plan_of(wave("a b c", parallel=2), rollback=(UNDO,)))
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    rollout.record(ABORTED)
    assert rollout.next() == [effects.Cancel("a"), effects.Cancel("b")]
    rollout.go()
    assert rollout.state.verdict == "aborted"
    assert not rollout.target("c").changed


def test_a_failure_lets_what_runs_end() -> None:
    rollout = Rollout(TWO, attended=False)
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    rollout.finish("a", "failed")
    assert rollout.next() == []
    rollout.finish("b", "ok")
    rollout.go()
    assert rollout.state.verdict == "failed"
    assert rollout.target("b").steps.outcome == "ok"


def test_nothing_is_rolled_back_while_an_outcome_is_unknown() -> None:
    rollout = Rollout(plan_of(wave("a b"), rollback=(UNDO,), limits=BACK), attended=False, ends={"b": ["unknown"]})
    rollout.go()
    assert rollout.state.paused == "unknown"
    assert not rollout.events(e.RollbackStarted)


@pytest.mark.parametrize("phase", ["rollback", "finally"])
def test_no_verdict_is_given_while_an_outcome_is_unknown(phase: str) -> None:
    plan = plan_of(wave("a", Gate()), wave("b"), rollback=(UNDO,), finally_=(CLEAN,))
    rollout = Rollout(plan, ends={f"a {phase}": ["unknown"]})
    rollout.go()
    rollout.record(UNDONE)
    rollout.go()
    assert (rollout.next(), rollout.state.verdict) == ([], None)
    rollout.record(e.UnknownSettled("a", "ok", ME))
    rollout.go()
    assert rollout.state.verdict == "rolled-back"


def test_the_newest_wave_is_rolled_back_first_as_parallel_as_it_went_out() -> None:
    plan = plan_of(wave("a b"), wave("c d e", parallel=2, name="rest"), wave("f"), rollback=(UNDO,))
    rollout = Rollout(plan)
    rollout.go(until=e.WaveStarted)
    rollout.go(until=e.WaveStarted)
    rollout.go(until=e.WaveStarted)
    rollout.record(UNDONE)
    rollout.go(until=e.RollbackStarted)
    assert rollout.state.rollback_order == ("c", "d", "e", "a", "b")
    order: list[list[str]] = []
    while rollout.state.stage == "rolling-back":
        begun = rollout.begin()
        order.append([one.target for one in begun if isinstance(one, effects.StartStep)])
        for action in begun:
            rollout.end(action)
    assert order == [["c", "d"], ["e"], ["a", "b"], []]


def test_one_that_cannot_be_rolled_back_holds_up_nobody_else() -> None:
    plan = plan_of(wave("a b c", Gate(), parallel=1), wave("d"), rollback=(UNDO,))
    rollout = Rollout(plan, ends={"a rollback": ["failed"], "b rollback": ["unreachable"]})
    rollout.go()
    rollout.record(UNDONE)
    rollout.go()
    assert [rollout.target(name).track("rollback").outcome for name in "abc"] == ["failed", "unreachable", "ok"]
    assert rollout.state.reason.endswith("1 of 3 changed targets rolled back; not: a, b")


def test_what_was_rolled_back_alone_is_not_rolled_back_again() -> None:
    plan = plan_of(wave("a b", Gate()), wave("c"), rollback=(UNDO,))
    rollout = Rollout(plan, ends={"a": ["failed"]})
    rollout.go()
    rollout.record(treat("rollback", "a"))
    rollout.go()
    rollout.record(UNDONE)
    rollout.go()
    undone = [one.target for one in rollout.events(e.StepStarted) if one.phase == "rollback"]
    assert undone == ["a", "b"]


@pytest.mark.parametrize("count", [CLEANING - 1, CLEANING + 3])
def test_so_many_targets_are_cleaned_up_at_once(count: int) -> None:
    names = " ".join(f"web-{number}" for number in range(count))
    rollout = Rollout(plan_of(wave(names, parallel=count), finally_=(CLEAN, CLEAN)))
    rollout.go(until=e.FinallyStarted)
    assert len(rollout.begin()) == min(count, CLEANING)
    assert rollout.next() == []
    for name in names.split()[:CLEANING]:
        rollout.finish(name, "ok")
    again = rollout.next()
    assert [one.step for one in again if isinstance(one, effects.StartStep)] == [1] * min(count, CLEANING), (
        "who has begun goes first"
    )


def test_only_targets_that_were_touched_are_cleaned_up_whatever_happened() -> None:
    plan = plan_of(wave("a b", parallel=1), wave("c"), finally_=(CLEAN,))
    rollout = Rollout(plan, attended=False, ends={"a": ["failed"]})
    rollout.go()
    assert [one.targets for one in rollout.events(e.FinallyStarted)] == [("a",)]
    assert rollout.target("a").track("finally").outcome == "ok"


def test_a_target_says_what_it_has_before_its_lock_is_released_and_after_everything_else() -> None:
    plan = plan_of(wave("a b"), wave("c"), finally_=(CLEAN,), current="cat version")
    rollout = Rollout(plan, releases={"c": "2"})
    rollout.go()
    last = [type(one.event) for one in rollout.records if getattr(one.event, "target", "") == "a"][-3:]
    assert last == [e.StepFinished, e.ReleaseRead, e.TargetUnlocked]
    assert [one.target for one in rollout.events(e.ReleaseRead)] == ["a", "b"], "c was not changed"
    assert [one.target for one in rollout.events(e.TargetUnlocked)] == ["c", "a", "b"]


def test_no_release_is_asked_for_where_nobody_said_how() -> None:
    rollout = Rollout(TWO)
    rollout.go()
    assert rollout.events(e.ReleaseRead) == []
    assert len(rollout.events(e.TargetUnlocked)) == 2


def test_no_lock_is_released_before_the_end() -> None:
    rollout = Rollout(CANARY)
    rollout.go()
    assert rollout.refusal(e.TargetUnlocked("a", released=True)) == "it is not ending yet"


def test_so_many_targets_are_left_at_once() -> None:
    names = " ".join(f"web-{number}" for number in range(LEAVING + 6))
    rollout = Rollout(plan_of(wave(names, parallel=99), steps=(HttpStep(http="http://h"),)))
    assert len(rollout.next()) == PROBES
    rollout.go(until=e.FinallyStarted)
    assert len(rollout.next()) == LEAVING
    rollout.go()
    assert rollout.state.verdict == "succeeded"


@pytest.mark.found("M10")
def test_where_there_is_nothing_to_do_no_wave_starts_and_every_target_is_skipped() -> None:
    """M10, also where an engine ended amid it."""
    rollout = Rollout(CANARY, releases=dict.fromkeys("abc", "2"))
    rollout.go(until=e.TargetProbed)
    assert rollout.next() == [e.TargetSkipped(name, "already on 2") for name in "abc"]
    rollout.record(e.TargetSkipped("a", "already on 2"), e.EngineStopped("terminated"), e.EngineResumed(ME, False))
    rollout.go()
    assert [event.target for event in rollout.events(e.TargetSkipped)] == ["a", "b", "c"]
    assert rollout.events(e.WaveStarted) == []
    assert rollout.events(e.GateOpened) == []
    assert {target.steps.outcome for target in rollout.state.targets.values()} == {"skipped"}


# The window of targets at work


def test_a_target_keeps_its_place_until_its_last_step() -> None:
    rollout = Rollout(plan_of(wave("a b c", parallel=2), steps=(DEPLOY, RunStep(run="restart"))))
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    rollout.finish("a", "ok")
    assert rollout.next() == [effects.StartStep("a", "steps", 1, 1)]
    rollout.begin()
    rollout.finish("a", "ok")
    assert rollout.next() == [effects.StartStep("c", "steps", 0, 1)]


def test_one_that_needs_nothing_takes_no_place() -> None:
    rollout = Rollout(plan_of(wave("a b c", parallel=1)), releases={"a": "2", "b": "2"})
    rollout.go(until=e.WaveStarted)
    assert rollout.next() == [
        e.TargetSkipped("a", "already on 2"),
        e.TargetSkipped("b", "already on 2"),
        effects.StartStep("c", "steps", 0, 1),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.lists(st.sampled_from(["ok", "ok", "failed", "not-started"]), max_size=15),
    st.integers(1, 3),
)
def test_as_many_targets_are_at_work_as_may_be_and_are_there(
    count: int, parallel: int, ends: list[Outcome], steps: int
) -> None:
    names = " ".join(f"web-{number}" for number in range(count))
    plan = plan_of(wave(names, parallel=parallel), steps=(DEPLOY,) * steps, limits=Limits(failures=Share(count)))
    rollout = Rollout(plan)
    rollout.go(until=e.WaveStarted)
    while rollout.state.stage == "waves":
        rollout.begin()
        at_work = [name for name in plan.targets if rollout.target(name).running]
        unfinished = [name for name in plan.targets if rollout.target(name).steps.outcome is None]
        assert len(at_work) == min(parallel, len(unfinished))
        if at_work:
            rollout.finish(at_work[0], ends.pop() if ends else "ok")
    rollout.go()
    assert rollout.state.verdict == "succeeded"
