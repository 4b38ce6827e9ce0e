"""The gate's one list of locks, held against the door behind it: what is locked is refused, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant
from small_rollout import ME, UNDO, Rollout, plan_of, wave
from test_policy import Rollouts

from canary_tui.domain.fleet.tables import Gate, Limits, OnExpire
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import effects, gate
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply
from canary_tui.domain.rollout.words import Verdict

LIMIT = Duration(60)


def gated(planned: Gate | None = None, **rest: object) -> Plan:
    """Two canaries, a gate, two others."""
    return replace(plan_of(wave("a b", planned or Gate()), wave("c d"), rollback=(UNDO,)), **rest)  # type: ignore[arg-type]  # any field of a plan


def waiting(planned: Gate | None = None) -> Rollout:
    """A rollout that waits at its gate."""
    rollout = Rollout(gated(planned))
    rollout.go()
    assert rollout.state.gate is not None
    return rollout


def approval(rollout: Rollout) -> e.GateApproved:
    """The approval of a person who looks at the screen now."""
    state = rollout.state
    seen = state.gate.evidence if state.gate else gate.evidence(rollout.plan, state)
    return e.GateApproved(state.wave, rollout.plan.hash, seen, ME)


def shut(rollout: Rollout, after: float = 1) -> list[str]:
    """The kinds of lock that are shut, some seconds after the last record."""
    return [lock.kind for lock in gate.locks(rollout.plan, rollout.state, rollout.state.at + after)]


# Every lock, the state in which it alone is shut, and the way that it says out of it


def canaries_at_work() -> Rollout:
    rollout = Rollout(gated())
    rollout.go(until=e.WaveStarted)
    rollout.begin()
    return rollout


def both_end(rollout: Rollout) -> None:
    for name in "ab":
        rollout.finish(name, "ok")
    rollout.go()


def one_is_excluded_meanwhile() -> Rollout:
    """The gate was opened on a canary that had failed, and now that one is out of it."""
    rollout = canaries_at_work()
    rollout.finish("a", "ok")
    rollout.finish("b", "failed")
    rollout.record(e.GateOpened(0, gate.evidence(rollout.plan, rollout.state)))
    rollout.record(e.FailureTreated(("b",), "exclude", ME))
    return rollout


def something_open_on_the_list() -> Rollout:
    rollout = waiting(Gate(checklist=("look", "ask", "think")))
    rollout.record(e.ItemTicked(0, 1, True, ME))
    return rollout


def ticked(rollout: Rollout) -> None:
    rollout.record(e.ItemTicked(0, 0, True, ME), e.ItemTicked(0, 2, True, ME))


def asked_whether_to_stop() -> Rollout:
    rollout = waiting()
    rollout.record(e.StopRequested("asking", ME))
    return rollout


def stopping() -> Rollout:
    rollout = waiting()
    rollout.record(e.StopRequested("starting", ME))
    return rollout


def stopped_and_resumed(rollout: Rollout) -> None:
    rollout.go()
    assert rollout.state.paused == "interrupted"
    rollout.record(e.EngineResumed(ME, attended=True))


def minute_is_over() -> Rollout:
    rollout = waiting(Gate(expires=LIMIT))
    assert rollout.state.gate is not None
    rollout.state.at = rollout.state.gate.opened_at + LIMIT - 1  # a second before: the next record is too late
    return rollout


@dataclass(frozen=True)
class Row:
    """`opened` is None where nothing opens the lock again."""

    kind: gate.LockKind
    state: Callable[[], Rollout]
    reason: str
    opens: str
    opened: Callable[[Rollout], None] | None


ROWS = [
    Row("closed", canaries_at_work, "no gate is open", "it opens when its wave is through", both_end),
    Row(
        "changed",
        one_is_excluded_meanwhile,
        "the canaries changed",
        "the engine opens it again with what it sees now",
        lambda rollout: rollout.go(),
    ),
    Row("checklist", something_open_on_the_list, "2 items of the checklist open", "look, and tick each item", ticked),
    Row(
        "stopping",
        asked_whether_to_stop,
        "somebody is asked whether to stop",
        "continue",
        lambda rollout: rollout.record(e.StopWithdrawn(ME)),
    ),
    Row("stopping", stopping, "the rollout is stopping", "resume, once it has stopped", stopped_and_resumed),
    Row(
        "expired",
        minute_is_over,
        "the gate has expired",
        "nothing: the rollout ends as on-expire says",
        None,
    ),
]
EVERY_ROW = [pytest.param(row, id=f"{row.kind}: {row.reason}") for row in ROWS]


def test_every_kind_of_lock_has_a_row_here() -> None:
    assert {row.kind for row in ROWS} == set(get_args(gate.LockKind))


@pytest.mark.parametrize("row", EVERY_ROW)
def test_a_lock_says_why_it_is_shut_and_what_opens_it(row: Row) -> None:
    rollout = row.state()
    found = gate.locks(rollout.plan, rollout.state, rollout.state.at + 1)
    assert found == (gate.Lock(row.kind, row.reason, row.opens),)


@pytest.mark.parametrize("row", EVERY_ROW)
def test_an_approval_is_refused_with_the_locks_reason_and_changes_nothing(row: Row) -> None:
    rollout = row.state()
    assert rollout.refusal(approval(rollout)) == row.reason
    assert not rollout.events(e.GateApproved)


@pytest.mark.parametrize("row", EVERY_ROW)
def test_what_opens_a_lock_opens_it_and_the_next_wave_goes(row: Row) -> None:
    rollout = row.state()
    if row.opened is None:
        rollout.record(e.GateExpired(0))
        assert shut(rollout) == ["closed"]
        rollout.go()
        assert rollout.state.verdict == "expired"
        return
    row.opened(rollout)
    assert shut(rollout) == []
    rollout.record(approval(rollout))
    assert rollout.next() == [e.WaveStarted(1)]
    rollout.begin()
    assert rollout.next() == [effects.StartStep(name, "steps", 0, 1) for name in "cd"]


def test_all_locks_that_are_shut_are_named_at_once() -> None:
    rollout = something_open_on_the_list()
    rollout.record(e.GateOpened(0, "0" * 64), e.StopRequested("starting", ME))
    assert shut(rollout) == ["changed", "checklist", "stopping"]
    words = ["the canaries changed", "2 items of the checklist open", "the rollout is stopping"]
    assert rollout.refusal(approval(rollout)) == "; ".join(words)


def test_a_lock_on_a_later_wave_names_that_wave() -> None:
    rollout = Rollout(plan_of(wave("a", Gate()), wave("b", Gate(), name="second"), wave("c")))
    rollout.go()
    rollout.approve()
    rollout.go()
    rollout.record(e.GateOpened(1, "0" * 64))
    assert [lock.reason for lock in gate.locks(rollout.plan, rollout.state, rollout.state.at)] == ["'second' changed"]


# Whether there is anything to approve


def test_no_gate_is_open_once_it_was_answered_or_the_rollout_ends() -> None:
    answered, aborted = waiting(), waiting()
    answered.approve()
    aborted.record(e.Aborted(ME, "", rollback=False))
    assert shut(answered) == shut(aborted) == ["closed"]
    answered.go()
    assert shut(answered) == ["closed"]


def test_an_approval_is_taken_once() -> None:
    rollout = waiting()
    given = approval(rollout)
    rollout.record(given)
    assert "no gate is open" in rollout.refusal(given)
    assert rollout.state.gates[0].by == ME


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"wave": 1}, "that gate is not the open one", id="another wave"),
        pytest.param({"wave": -1}, "that gate is not the open one", id="no wave"),
        pytest.param({"plan": "0" * 64}, "the approval is for another plan", id="another plan"),
        pytest.param({"evidence": ""}, "something changed since the approval was asked for", id="other evidence"),
        pytest.param(
            {"plan": "", "evidence": ""},
            "the approval is for another plan; something changed since the approval was asked for",
            id="both",
        ),
    ],
)
def test_an_approval_for_something_else_is_void(changed: dict[str, object], reason: str) -> None:
    rollout = waiting()
    meant = replace(approval(rollout), **changed)  # type: ignore[arg-type]  # the table's values fit their fields
    assert rollout.refusal(meant) == reason
    assert gate.refusals(rollout.plan, rollout.state, meant, rollout.state.at) == tuple(reason.split("; "))


class Approvals(Rollouts):
    """The machine of `test_policy`, with every approval that somebody could try in each state that it comes to."""

    @invariant()
    def exactly_what_is_not_locked_and_meant_for_now_is_taken(self) -> None:
        state, open_gate = self.state, self.state.gate
        seen = open_gate.evidence if open_gate else gate.evidence(self.plan, state) if state.wave >= 0 else ""
        tries = product((state.wave, state.wave + 1), (self.plan.hash, "0"), (seen, "0"), (self.now, self.now + 60))
        for number, plan, evidence, at in tries:
            for_now = (number, plan, evidence) == (state.wave, self.plan.hash, seen)
            at_work = state.verdict is None and state.paused is None
            free = gate.locks(self.plan, state, at) == ()
            taken = self.takes(e.GateApproved(number, plan, evidence, ME), at)
            assert taken == (free and for_now and at_work), (number, plan, evidence, at)

    def takes(self, event: e.Event, at: float) -> bool:
        """Whether `apply` would; on a copy of what an approval may change."""
        copied = replace(self.state, gates=dict(self.state.gates))
        try:
            apply(copied, e.Record(len(self.records), at, event))
        except e.IllegalEvent:
            assert copied == self.state
            return False
        return True


Approvals.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestApprovals = Approvals.TestCase


# The checklist


def test_an_item_may_be_ticked_and_unticked_until_the_gate_is_answered() -> None:
    rollout = waiting(Gate(checklist=("look",)))
    rollout.record(e.ItemTicked(0, 0, True, ME), e.ItemTicked(0, 0, True, ME))
    assert shut(rollout) == []
    rollout.record(e.ItemTicked(0, 0, False, ME))
    assert shut(rollout) == ["checklist"]
    rollout.record(e.ItemTicked(0, 0, True, ME), approval(rollout))
    assert rollout.refusal(e.ItemTicked(0, 0, False, ME)) == "that gate is not open"


@pytest.mark.parametrize(
    ("item", "number", "reason"),
    [
        pytest.param(2, 0, "the checklist has 2 items", id="beyond its end"),
        pytest.param(-1, 0, "the checklist has 2 items", id="negative"),
        pytest.param(0, 1, "that gate is not open", id="another gate's"),
    ],
)
def test_only_an_item_that_there_is_can_be_ticked(item: int, number: int, reason: str) -> None:
    rollout = waiting(Gate(checklist=("look", "ask")))
    assert rollout.refusal(e.ItemTicked(number, item, True, ME)) == reason


# Opening, and opening again


def test_a_gate_opens_when_its_wave_is_through_and_not_before() -> None:
    rollout = canaries_at_work()
    opened = e.GateOpened(0, "any")
    rollout.finish("a", "ok")
    assert rollout.refusal(opened) == "its wave is not through"
    assert rollout.next() == []
    rollout.finish("b", "ok")
    assert rollout.next() == [e.GateOpened(0, gate.evidence(rollout.plan, rollout.state))]


def test_a_gate_does_not_open_where_no_canary_is_ok() -> None:
    rollout = canaries_at_work()
    for name in "ab":
        rollout.finish(name, "failed")
    rollout.record(e.FailureTreated(("a", "b"), "exclude", ME))
    assert rollout.refusal(e.GateOpened(0, "any")) == "no target of its wave is ok"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        pytest.param(0, "it was decided already", id="answered"),
        pytest.param(1, "it is not this gate's turn", id="not its turn"),
    ],
)
def test_a_gate_opens_in_its_turn_only(number: int, reason: str) -> None:
    rollout = waiting()
    rollout.approve()
    assert rollout.refusal(e.GateOpened(number, "any")) == reason


def test_no_gate_opens_behind_the_last_wave() -> None:
    rollout = waiting()
    rollout.approve()
    rollout.go(until=e.WaveStarted)
    assert rollout.refusal(e.GateOpened(1, "any")) == "wave 1 has no gate"


def test_a_gate_that_opens_again_keeps_its_time_and_its_ticks() -> None:
    """Otherwise every change would put off the expiry."""
    rollout = waiting(Gate(checklist=("look",), expires=LIMIT))
    rollout.record(e.ItemTicked(0, 0, True, ME))
    first = rollout.state.gates[0]
    rollout.record(e.GateOpened(0, "0" * 64))
    rollout.go()
    assert rollout.state.gates[0] == first
    assert rollout.next() == [effects.Wait(first.opened_at + LIMIT, e.GateExpired(0))]


def test_the_evidence_is_everything_that_is_known_of_the_waves_targets_and_nothing_else() -> None:
    rollout = waiting()
    state, before = rollout.state, gate.evidence(rollout.plan, rollout.state)
    one = state.targets["a"]
    others = [
        replace(one, steps=replace(one.steps, outcome="excluded")),
        replace(one, steps=replace(one.steps, exit_code=7)),
        replace(one, steps=replace(one.steps, skipped=1)),
        replace(one, previous="0"),
    ]
    hashes = {before}
    for other in others:
        hashes.add(gate.evidence(rollout.plan, replace(state, targets={**state.targets, "a": other})))
    assert len(hashes) == 1 + len(others)
    elsewhere = replace(state.targets["c"], previous="0")
    assert gate.evidence(rollout.plan, replace(state, targets={**state.targets, "c": elsewhere})) == before


def test_the_next_waves_targets_are_those_that_it_would_change() -> None:
    limits = Limits(on_unavailable="skip")
    rollout = Rollout(gated(limits=limits), ends={"d probe": ["unreachable"]})
    rollout.go()
    assert gate.next_wave_targets(rollout.plan, rollout.state) == ("c",)
    rollout.approve()
    rollout.go(until=e.WaveStarted)
    assert gate.next_wave_targets(rollout.plan, rollout.state) == ()


@pytest.mark.parametrize("decision", ["not open", "open", "expired"])
def test_no_wave_starts_past_a_gate_that_did_not_let_it_go(decision: str) -> None:
    rollout = canaries_at_work() if decision == "not open" else waiting()
    if decision == "expired":
        rollout.record(e.GateExpired(0))
    assert rollout.refusal(e.WaveStarted(1)) == "its gate was not approved"


# A gate that needs no person


def test_a_gate_passes_by_itself_only_where_nobody_must_approve() -> None:
    assert waiting().refusal(e.GatePassed(0)) == "a person must approve"
    alone = Rollout(gated(Gate(approve=False)), attended=False)
    alone.go()
    assert alone.events(e.GatePassed) == [e.GatePassed(0)]
    assert alone.state.gates[0].decision == "passed"
    assert alone.state.verdict == "succeeded"


# Expiry


def test_an_open_gate_asks_for_its_timer_and_for_nothing_else() -> None:
    rollout = waiting(Gate(expires=LIMIT))
    due = rollout.state.gates[0].opened_at + LIMIT
    assert rollout.next() == [effects.Wait(due, e.GateExpired(0))]
    assert waiting(Gate()).next() == []


def test_a_gate_s_time_runs_on_while_a_person_is_asked_whether_to_stop() -> None:
    """F7: also where the question comes before the timer was begun."""
    rollout = waiting(Gate(expires=LIMIT))
    due = rollout.state.gates[0].opened_at + LIMIT
    rollout.record(e.StopRequested("asking", ME))
    assert rollout.next() == [effects.Wait(due, e.GateExpired(0))]


def test_nobody_waits_at_a_gate_where_nobody_can_be_asked() -> None:
    rollout = Rollout(gated(Gate(expires=LIMIT)), attended=False)
    rollout.go()
    assert rollout.state.paused == "waiting"


@pytest.mark.parametrize(
    ("on_expire", "verdict"),
    [
        pytest.param("abort", "expired", id="the canaries stay as they are"),
        pytest.param("rollback", "rolled-back", id="they go back"),
        pytest.param("hold", None, id="it goes on waiting"),
    ],
)
@pytest.mark.parametrize("watched", [True, False], ids=["on time", "no engine was there"])
def test_a_gate_expires_by_the_clock_whoever_watches_it(
    on_expire: OnExpire, verdict: Verdict | None, watched: bool
) -> None:
    rollout = waiting(Gate(expires=LIMIT, on_expire=on_expire))
    due = rollout.state.gates[0].opened_at + LIMIT
    if watched:
        rollout.record(e.GateExpired(0), at=due)
    else:
        rollout.record(e.EngineStopped("detached"))
        rollout.record(e.EngineResumed(ME, attended=True), at=due + 1000)
        assert rollout.next() == [e.GateExpired(0)]
    rollout.go()
    assert rollout.state.verdict == verdict
    assert [one.targets for one in rollout.events(e.RollbackStarted)] == [("a", "b")] * (on_expire == "rollback")
    assert not rollout.target("c").changed


def test_a_gate_that_holds_is_marked_once_and_may_still_be_approved() -> None:
    rollout = waiting(Gate(expires=LIMIT, on_expire="hold"))
    later = rollout.state.gates[0].opened_at + 10 * LIMIT
    assert gate.locks(rollout.plan, rollout.state, later) == ()
    rollout.record(e.GateExpired(0), at=later)
    held = rollout.state.gates[0]
    assert (held.decision, held.expired) == ("open", True)
    assert rollout.next() == []
    assert rollout.refusal(e.GateExpired(0)) == "it has expired already"
    rollout.record(approval(rollout))
    rollout.go()
    assert rollout.state.verdict == "succeeded"


@pytest.mark.parametrize(("early", "taken"), [(0.001, True), (0.0, False)], ids=["just before", "at its end"])
def test_an_approval_is_late_from_the_moment_when_the_gate_expires(early: float, taken: bool) -> None:
    rollout = waiting(Gate(expires=LIMIT))
    at = rollout.state.gates[0].opened_at + LIMIT - early
    if taken:
        rollout.record(approval(rollout), at=at)
        assert rollout.state.gates[0].decision == "approved"
    else:
        assert rollout.refusal(approval(rollout), at=at) == "the gate has expired"


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param([], id="it was approved"),
        pytest.param([e.Aborted(ME, "", rollback=False)], id="it was aborted"),
        pytest.param([e.GateExpired(0)], id="it has expired"),
    ],
)
def test_a_timer_that_comes_too_late_is_refused(meanwhile: list[e.Event]) -> None:
    rollout = waiting(Gate(expires=LIMIT))
    (timer,) = rollout.next()
    assert isinstance(timer, effects.Wait)
    rollout.record(*(meanwhile or [approval(rollout)]))
    assert rollout.refusal(timer.then, at=timer.at) == "that gate is not open"


def test_another_engine_waits_for_the_same_moment() -> None:
    rollout = waiting(Gate(expires=LIMIT))
    timer = rollout.next()
    rollout.record(e.EngineStopped("interrupted"), e.EngineResumed(ME, attended=True))
    assert rollout.next() == timer
