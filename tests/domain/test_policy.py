"""The policy, held to its promises whatever targets, people, crashes and clocks do, in whatever order."""

from __future__ import annotations

import copy
import json
from typing import get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from canary_tui.domain.codec import decode, encode
from canary_tui.domain.fleet.steps import HttpStep, RunStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Gate, Limits, Ssh
from canary_tui.domain.fleet.units import Duration, Share
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import effects, failures
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import IllegalEvent, apply, replay
from canary_tui.domain.rollout.grouping import groups
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Outcome, Settlement, StopStage, Treatment

ME = e.Operator("ann", "here")
OUTCOMES = st.sampled_from(
    ["ok", "ok", "ok", "ok", "failed", "timed-out", "unreachable", "unknown", "cancelled", "not-started"]
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(2, 7))
    names = [f"web-{i}" for i in range(1, count + 1)]
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), min_size=0, max_size=2)))
    parts = [names[a:b] for a, b in zip([0, *cuts], [*cuts, count], strict=True)]
    waves = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        gate = Gate(
            checklist=tuple(draw(st.lists(st.sampled_from(["look", "ask"]), max_size=2, unique=True))),
            expires=draw(st.sampled_from([None, Duration(60)])),
            on_expire=draw(st.sampled_from(["abort", "hold", "rollback"])),
        )
        gated = not last and (index == 0 or draw(st.booleans()))
        waves.append(PlannedWave(f"w{index}", tuple(part), draw(st.integers(1, 3)), gate if gated else None))
    steps: list[Step] = draw(
        st.lists(
            st.sampled_from(
                [
                    RunStep(run="true", retries=1),
                    RunStep(run="a"),
                    UploadStep(upload="a", to="/b"),
                    HttpStep(http="http://h"),
                    RunStep(run="p", durable=False),
                ]
            ),
            min_size=1,
            max_size=3,
        )
    )
    rollback = draw(st.sampled_from([(), (RunStep(run="undo"),)]))
    final = draw(st.sampled_from([(), (RunStep(run="clean"),)]))
    limits = Limits(
        failures=Share(draw(st.sampled_from(["0", "1", "2", "50%"]))),
        consecutive=draw(st.sampled_from([None, 1])),
        on_failure=draw(st.sampled_from(["ask", "abort", "rollback"])),
        on_unavailable=draw(st.sampled_from(["fail", "skip"])),
    )
    targets = {
        name: PlannedTarget(
            name,
            name,
            Ssh(),
            steps=tuple(range(len(steps))),
            rollback=tuple(range(len(rollback))),
            finally_=tuple(range(len(final))),
        )
        for name in names
    }
    return Plan(
        "shop",
        "2",
        "",
        targets,
        tuple(waves),
        tuple(steps),
        tuple(rollback),
        tuple(final),
        limits=limits,
        current=draw(st.sampled_from([None, "cat v"])),
    )


class Rollouts(RuleBasedStateMachine):
    """Targets, a person, a clock and crashes around the policy; what was promised is checked on the bare list of events."""

    @initialize(plan=plans(), attended=st.sampled_from([True, True, True, False]))
    def start(self, plan: Plan, attended: bool) -> None:
        self.plan = plan
        self.records: list[e.Record] = []
        self.state = RolloutState()
        self.deeds: set[effects.Effect] = set()
        self.locks = dict.fromkeys(plan.targets, "free")
        self.locks_before = dict(self.locks)
        self.count = 0
        self.now = 1000.0
        self.record(e.RolloutStarted("r", plan, ME, attended, "0"))
        self.carry_out()

    def record(self, event: e.Event) -> None:
        self.now += 0.5
        record = e.Record(len(self.records), self.now, event)
        apply(self.state, record)
        self.records.append(record)

    def carry_out(self) -> None:
        """Do as the engine does: record events and begin deeds, until there is nothing new."""
        for _ in range(200):
            before = len(self.records)
            for action in next_actions(self.plan, self.state):
                if not isinstance(action, effects.EFFECTS):
                    self.record(action)
                elif action not in self.deeds:
                    self.deeds.add(action)
                    self.announce(action)
            if self.state.paused is not None:
                self.deeds.clear()
            if len(self.records) == before:
                return
        raise AssertionError("the policy never comes to rest")

    def announce(self, deed: effects.Effect) -> None:
        match deed:
            case effects.Probe(target):
                self.record(e.ProbeStarted(target))
                self.locks_before[target] = self.locks[target]
                if self.locks[target] == "free":  # whether or not we come to hear of it
                    self.locks[target] = "ours"
            case effects.StartStep(target, phase, step, attempt):
                self.count += 1
                self.deeds.discard(effects.ReadRelease(target))  # its answer would be void
                self.record(e.StepStarted(target, phase, step, attempt, f"x{self.count}"))
            case effects.Attach(target):
                self.record(e.StepAttached(target, self.running(target)))
            case effects.Cancel(target):
                self.record(e.CancelStarted(target, self.running(target)))

    def running(self, target: str) -> str:
        running = self.state.targets[target].running
        assert running is not None
        return running.execution

    def end(self, deed: effects.Effect, outcome: Outcome) -> None:
        self.deeds.discard(deed)
        match deed:
            case effects.Probe(target):
                reached = outcome not in ("unreachable", "failed")
                if self.locks[target] == "theirs":
                    self.record(e.TargetProbed(target, "failed", detail="locked", held_by="other"))
                elif reached:
                    self.record(e.TargetProbed(target, "ok", "boot", "2" if outcome == "cancelled" else "1"))
                elif outcome == "unreachable":  # known not to have been asked for the lock this time
                    self.locks[target] = self.locks_before[target]
                    self.record(e.TargetProbed(target, outcome))
                else:
                    self.record(e.TargetProbed(target, outcome, locked=True))
            case effects.StartStep(target) | effects.Attach(target):
                self.deeds.discard(effects.Cancel(target))
                fenced = self.locks[target] != "ours"
                self.record(
                    e.StepFinished(target, self.running(target), "failed" if fenced else outcome, fenced=fenced)
                )
            case effects.Unlock(target):
                if outcome == "ok" and self.locks[target] == "ours":
                    self.locks[target] = "free"
                self.record(e.TargetUnlocked(target, outcome == "ok", outcome))
            case effects.Cancel(target):
                self.record(e.CancelFinished(target, self.running(target), outcome == "ok"))
            case effects.ReadRelease(target):
                self.record(e.ReleaseRead(target, "2"))
            case effects.Wait(_, then):
                self.attempt(then)  # what came too late is refused, and changes nothing

    def attempt(self, event: e.Event) -> bool:
        """What a person asks for; a refusal changes nothing."""
        before = copy.deepcopy(self.state)
        try:
            self.record(event)
        except IllegalEvent:
            assert self.state == before
            return False
        self.carry_out()
        return True

    @precondition(lambda self: self.deeds)
    @rule(rounds=st.integers(1, 20))
    def all_goes_well(self, rounds: int) -> None:
        for _ in range(rounds):
            for deed in sorted(self.deeds, key=repr):
                if deed in self.deeds and not isinstance(deed, effects.Wait):
                    self.end(deed, "ok")
            self.carry_out()

    @precondition(lambda self: self.deeds)
    @rule(data=st.data(), outcome=OUTCOMES)
    def one_more_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        self.something_ends(data, outcome)

    @precondition(lambda self: self.deeds)
    @rule(data=st.data(), outcome=OUTCOMES)
    def something_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        deeds = sorted(self.deeds, key=repr)
        self.end(data.draw(st.sampled_from(deeds)), outcome)
        self.carry_out()

    @precondition(lambda self: self.state.gate is not None and self.state.gate.decision == "open")
    @rule()
    def a_person_ticks_everything_and_approves(self) -> None:
        gate, planned = self.state.gate, self.plan.waves[self.state.wave].gate
        assert gate is not None
        assert planned is not None
        for item in range(len(planned.checklist)):
            self.attempt(e.ItemTicked(gate.wave, item, True, ME))
        self.attempt(e.GateApproved(gate.wave, self.plan.hash, gate.evidence, ME))

    @precondition(lambda self: self.state.verdict is None)
    @rule(right=st.booleans())
    def a_person_approves(self, right: bool) -> None:
        gate = self.state.gate
        if gate is None:
            assert not self.attempt(e.GateApproved(0, self.plan.hash, "", ME))
            return
        done = self.attempt(e.GateApproved(gate.wave, self.plan.hash if right else "0", gate.evidence, ME))
        assert not done or right

    @rule(data=st.data(), lock=st.sampled_from(["free", "theirs"]), meant=st.integers(0, 2))
    def somebody_else_takes_or_leaves_a_lock(self, data: st.DataObject, lock: str, meant: int) -> None:
        """Not while something of ours runs there: that is what a target sees to."""
        idle = [name for name, target in self.state.targets.items() if not target.running]
        if idle and not meant:
            self.locks[data.draw(st.sampled_from(idle))] = lock

    @rule(item=st.integers(0, 2), ticked=st.booleans())
    def a_person_ticks(self, item: int, ticked: bool) -> None:
        self.attempt(e.ItemTicked(self.state.wave, item, ticked, ME))

    @precondition(lambda self: self.state.wave >= 0)
    @rule(rollback=st.booleans(), meant=st.integers(0, 3))
    def a_person_aborts(self, rollback: bool, meant: int) -> None:
        if meant:
            return
        self.attempt(e.Aborted(ME, "no", rollback))

    @precondition(lambda self: any(target.failing for target in self.state.targets.values()))
    @rule(data=st.data(), treatment=st.sampled_from(["retry", "skip", "exclude", "rollback"]))
    def a_person_treats_a_failure(self, data: st.DataObject, treatment: Treatment) -> None:
        failing = sorted(name for name, target in self.state.targets.items() if target.failing)
        name = data.draw(st.sampled_from(failing))
        self.attempt(e.FailureTreated((name,), treatment, ME, "why"))

    @precondition(lambda self: bool(failures.settleable(self.state)))
    @rule(data=st.data(), settlement=st.sampled_from(["retry", "ok", "failed"]))
    def a_person_settles(self, data: st.DataObject, settlement: Settlement) -> None:
        name = data.draw(st.sampled_from(sorted(self.state.targets)))
        self.attempt(e.UnknownSettled(name, settlement, ME))

    @precondition(lambda self: self.state.wave >= 0)
    @rule(stage=st.sampled_from(["asking", "asking", "starting", "running"]), meant=st.integers(0, 3))
    def a_person_stops(self, stage: StopStage, meant: int) -> None:
        if meant:
            return
        at_work = self.state.paused is None and self.state.verdict is None
        assert self.attempt(e.StopRequested(stage, ME)) == at_work

    @precondition(lambda self: self.state.stop != "none")
    @rule()
    def a_person_keeps_going(self) -> None:
        assert self.attempt(e.StopWithdrawn(ME)) == (self.state.stop == "none")

    @precondition(lambda self: self.state.wave >= 0)
    @rule(meant=st.integers(0, 5))
    def the_front_is_lost(self, meant: int) -> None:
        if meant:
            return
        self.attempt(e.FrontLost())

    @precondition(lambda self: self.state.paused is not None)
    @rule(attended=st.sampled_from([True, True, False]))
    def a_paused_rollout_is_resumed(self, attended: bool) -> None:
        self.the_engine_is_killed_and_resumed(attended)

    @precondition(lambda self: self.state.wave >= 0)
    @rule(attended=st.sampled_from([True, True, False]), meant=st.integers(0, 3))
    def the_engine_is_killed(self, attended: bool, meant: int) -> None:
        if not meant:
            self.the_engine_is_killed_and_resumed(attended)

    def the_engine_is_killed_and_resumed(self, attended: bool) -> None:
        self.deeds.clear()
        if self.state.verdict is None:
            self.record(e.EngineResumed(ME, attended))
            self.carry_out()

    @precondition(lambda self: any(target.running for target in self.state.targets.values()))
    @rule()
    def a_connection_comes_and_goes(self) -> None:
        for target in list(self.state.targets.values()):
            if target.running:
                self.attempt(e.ConnectionLost(target.name, "reset"))
                self.attempt(e.ConnectionRestored(target.name))

    @invariant()
    def no_step_goes_past_a_gate_without_its_approval(self) -> None:
        approved: set[int] = set()
        for record in self.records:
            match record.event:
                case e.GateApproved(wave, plan):
                    assert plan == self.plan.hash
                    approved.add(wave)
                case e.StepStarted(target, "steps"):
                    gates = [i for i, wave in enumerate(self.plan.waves[: self.plan.wave_of(target)]) if wave.gate]
                    assert set(gates) <= approved

    @invariant()
    def no_step_starts_on_a_target_whose_lock_was_not_taken_or_is_known_to_be_lost(self) -> None:
        held: dict[str, bool] = {}
        for record in self.records:
            match record.event:
                case e.TargetProbed(target, outcome):
                    held[target] = outcome == "ok"
                case e.StepFinished(target, fenced=True) | e.TargetUnlocked(target):
                    held[target] = False
                case e.StepStarted(target, "steps"):
                    assert held.get(target)

    @invariant()
    def a_rollout_that_has_ended_holds_no_lock_or_names_it(self) -> None:
        if self.state.verdict is not None:
            for name, target in self.state.targets.items():
                assert not target.locked
                assert self.locks[name] != "ours" or (target.left_locked and "lock left on" in self.state.reason)

    @invariant()
    def what_was_changed_is_asked_for_its_release_before_its_lock_is_gone(self) -> None:
        gone: set[str] = set()
        for record in self.records:
            match record.event:
                case e.TargetUnlocked(target):
                    gone.add(target)
                case e.ReleaseRead(target):
                    assert target not in gone
        if self.state.verdict is not None and self.plan.current:
            assert not any(target.unread for target in self.state.targets.values())

    @invariant()
    def a_gate_opens_only_on_canaries_that_are_ok(self) -> None:
        good: dict[str, bool] = {}
        for record in self.records:
            match record.event:
                case e.StepFinished(target, _, outcome):
                    good[target] = outcome == "ok"
                case e.UnknownSettled(target, settlement):
                    good[target] = settlement == "ok"
                case e.GateOpened(wave):
                    assert any(good.get(name) for name in self.plan.waves[wave].targets)

    @invariant()
    def never_more_than_parallel_targets_are_at_work(self) -> None:
        if self.state.wave >= 0:
            running = (target.running for target in self.state.targets.values())
            at_work = sum(one is not None and one.phase == "steps" for one in running)
            assert at_work <= self.plan.waves[self.state.wave].parallel or self.deeds_of_earlier_waves()

    def deeds_of_earlier_waves(self) -> bool:
        """After a resume, steps that an earlier engine began may be more than a smaller wave's places."""
        return any(t.running and t.wave < self.state.wave for t in self.state.targets.values())

    @invariant()
    def after_abort_or_stop_no_new_step_starts(self) -> None:
        aborted = stopped = held = False
        for record in self.records:
            match record.event:
                case e.Aborted():
                    # An abort is an answer to what a hold asks: what it calls for is not held back.
                    aborted, stopped = True, stopped and not held
                case e.StopRequested(stage):
                    held, stopped = stage == "asking" and (held or not stopped), True
                case e.FrontLost():
                    held, stopped = False, True
                case e.StopWithdrawn():
                    stopped = any(isinstance(r.event, e.FrontLost) for r in self.since_resumed(record.seq))
                    held = False
                case e.EngineResumed():
                    held = stopped = False
                case e.WaveStarted() | e.ProbeStarted():
                    assert not stopped
                case e.StepStarted(_, phase):
                    assert not stopped
                    assert not (aborted and phase == "steps")

    def since_resumed(self, seq: int) -> list[e.Record]:
        last = max((r.seq for r in self.records[:seq] if isinstance(r.event, e.EngineResumed)), default=0)
        return self.records[last:seq]

    @invariant()
    def the_budget_is_plain_arithmetic(self) -> None:
        bad = [t for t in self.state.targets.values() if t.failing]
        share = self.plan.limits.failures
        allowed = len(self.plan.targets) * int(share[:-1]) // 100 if share.endswith("%") else int(share)
        over = len(bad) > allowed or any(t.steps.outcome == "unknown" for t in bad)
        over = over or any(self.plan.waves[t.wave].gate and t.wave >= self.state.wave for t in bad)
        if over:
            assert failures.blocked(self.plan, self.state)
            started = [
                a
                for a in next_actions(self.plan, self.state)
                if isinstance(a, effects.StartStep) and a not in self.deeds
            ]
            assert not [a for a in started if a.phase == "steps"]

    @invariant()
    def at_rest_there_is_somebody_to_move(self) -> None:
        state = self.state
        if self.deeds or state.verdict or state.paused:
            return
        gate = state.gate
        asked = state.attended and (
            failures.pending_failures(self.plan, state)
            or failures.settleable(state)
            or (gate and gate.decision == "open")
            or state.stop == "asking"
        )
        assert asked, "nothing runs, nobody is asked, and it has not ended"

    @invariant()
    def a_hold_ends_no_engine_and_holds_nobody_who_cannot_be_asked(self) -> None:
        if self.state.stop == "asking" and self.state.attended:
            assert self.state.paused is None
            now = next_actions(self.plan, self.state)
            assert all(isinstance(action, effects.Wait | e.GateExpired) for action in now)
        if self.state.stop == "asking" and not self.state.attended and not self.deeds:
            assert self.state.paused in ("interrupted", "detached")

    @invariant()
    def no_rollout_ends_while_an_outcome_is_unknown(self) -> None:
        assert self.state.verdict is None or not failures.settleable(self.state)

    @invariant()
    def replay_of_the_records_is_the_state(self) -> None:
        assert replay(self.records) == self.state

    @invariant()
    def the_index_is_what_a_walk_over_all_targets_finds(self) -> None:
        waves = [name for wave in self.plan.waves for name in wave.targets]
        there = {name: groups(self.plan, self.state.targets[name]) for name in waves}
        for group in get_args(Group):
            assert list(self.state.index.among(group)) == [name for name in waves if group in there[name]]
        ended = {name for name, target in self.state.targets.items() if target.steps.outcome and target.ended_at}
        by_time = sorted(ended, key=lambda name: -self.state.targets[name].ended_at)
        assert list(self.state.index.ended_lately()) == by_time

    def teardown(self) -> None:
        """Every state has an exit: resume, say what became of things, abort, let everything end."""
        if not hasattr(self, "records"):
            return
        if self.state.verdict is None:
            self.the_engine_is_killed_and_resumed(attended=True)
        for _ in range(300):
            if self.state.verdict is not None:
                break
            for deed in sorted(self.deeds, key=repr):
                if deed in self.deeds:
                    self.end(deed, "ok")
            self.carry_out()
            for name in failures.settleable(self.state):
                self.attempt(e.UnknownSettled(name, "ok", ME))
            self.attempt(e.Aborted(ME, "enough", rollback=False))
        assert self.state.verdict is not None
        text = json.dumps(encode(self.records[-1]))
        assert decode(e.Record, json.loads(text)) == self.records[-1]
        for length in range(1, len(self.records)):
            replay(self.records[:length])


Rollouts.TestCase.settings = settings(
    max_examples=250, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRollouts = Rollouts.TestCase
