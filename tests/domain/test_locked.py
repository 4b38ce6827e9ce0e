"""Which targets a rollout has to let go of at its end: each whose lock it has, or may have, whatever came between."""

from __future__ import annotations

from dataclasses import replace

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState

ME = e.Operator("ann", "here")
REACHED = (e.ProbeStarted("a"), e.TargetProbed("a", "ok", "boot", "1"))
RETRY = e.FailureTreated(("a",), "retry", ME)


def folded(*events: e.Event) -> tuple[Plan, RolloutState]:
    plan = Plan(
        "shop",
        "2",
        "",
        {"a": PlannedTarget("a", "a", Ssh(), steps=(0,), rollback=(0,))},
        (PlannedWave("all", ("a",), 1),),
        (RunStep(run="true"),),
        rollback=(RunStep(run="true"),),
    )
    state = RolloutState()
    for event in (e.RolloutStarted("r", plan, ME, attended=True, version="0"), *events):
        apply(state, e.Record(state.seq + 1, state.at + 1, event))
    return plan, state


def let_go_of(*events: e.Event) -> list[effects.Unlock]:
    """What is to be unlocked after these and an abort."""
    plan, state = folded(*events)
    if state.ending is None:
        apply(state, e.Record(state.seq + 1, state.at + 1, e.Aborted(ME, "", rollback=False)))
        apply(state, e.Record(state.seq + 1, state.at + 1, e.FinallyStarted("aborted", ())))
    return [action for action in next_actions(plan, state) if isinstance(action, effects.Unlock)]


def test_a_lock_that_a_probe_took_is_not_forgotten_when_the_next_does_not_get_there() -> None:
    missing = (e.ProbeStarted("a"), e.TargetProbed("a", "failed", detail="tools missing", locked=True))
    gone = (e.ProbeStarted("a"), e.TargetProbed("a", "unreachable"))
    assert let_go_of(*gone) == []
    assert let_go_of(*missing, RETRY, *gone) == [effects.Unlock("a")]
    assert let_go_of(*missing, RETRY, *gone, RETRY, *gone) == [effects.Unlock("a")]
    taken = (e.ProbeStarted("a"), e.TargetProbed("a", "failed", held_by="other"))
    assert let_go_of(*missing, RETRY, *taken) == []


def test_a_lock_that_a_start_took_back_is_let_go_of() -> None:
    changed = (e.StepStarted("a", "steps", 0, 1, "w"), e.StepFinished("a", "w", "failed"), RETRY)
    lost = (*changed, e.StepStarted("a", "steps", 0, 1, "x"), e.StepFinished("a", "x", "failed", fenced=True))
    undo = (
        e.EngineStopped("interrupted"),
        e.EngineResumed(ME, True, ("other",)),
        e.Aborted(ME, "", rollback=True),
        e.RollbackStarted("aborted", ("a",)),
        e.StepStarted("a", "rollback", 0, 1, "y"),
        e.StepFinished("a", "y", "ok"),
        e.FinallyStarted("aborted", ()),
    )
    assert let_go_of(*REACHED, e.WaveStarted(0), *lost) == []
    assert let_go_of(*REACHED, e.WaveStarted(0), *lost, *undo) == [effects.Unlock("a")]


def test_a_start_that_was_refused_has_changed_nothing() -> None:
    """Who has the lock by then may have; to go back to what was there before would undo that."""
    start, refused = e.StepStarted("a", "steps", 0, 1, "x"), e.StepFinished("a", "x", "failed", fenced=True)
    again = (RETRY, e.ProbeStarted("a"), e.TargetProbed("a", "ok", "boot", "3"))
    begun = (*REACHED, e.WaveStarted(0))
    _, state = folded(*begun, start, refused, *again)
    assert (state.targets["a"].changed, state.targets["a"].previous) == (False, "3")
    failed = (start, e.StepFinished("a", "x", "failed"), RETRY)
    _, state = folded(*begun, *failed, e.StepStarted("a", "steps", 0, 1, "y"), replace(refused, execution="y"), *again)
    assert (state.targets["a"].changed, state.targets["a"].previous) == (True, "1")
