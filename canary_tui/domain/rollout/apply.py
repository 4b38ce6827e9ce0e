"""What a rollout's events add up to: one fold, for the engine, every screen, replay and resume.

`apply` refuses an event that cannot happen in the state that it meets, and then changes nothing:
no journal, however it came about, folds into a rollout that went past a gate without its approval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from canary_tui.domain.fleet.steps import HttpStep
from canary_tui.domain.fleet.tables import Gate
from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Event, Outcome, Record
from canary_tui.domain.rollout.index import Census
from canary_tui.domain.rollout.state import (
    GateState,
    RolloutState,
    Running,
    TargetState,
    Track,
    can_roll_back,
    groups,
    is_durable,
    unknown_phase,
)

_STOPS = ("none", "hold", "starting", "running")
"""Each of these is more of a stop than those before it."""


class IllegalEvent(ValueError):
    """The event cannot happen in this state."""


def replay(records: Iterable[Record]) -> RolloutState:
    """Fold records from the first one."""
    state = RolloutState()
    for record in records:
        apply(state, record)
    return state


def apply(state: RolloutState, record: Record) -> None:
    """Take one record in.

    Raises:
        IllegalEvent: it cannot happen now, or a record is missing before it. The state is as it was.
    """
    _require(record.seq == state.seq + 1, f"record {record.seq} after {state.seq}")
    _require(state.verdict is None, "the rollout has ended")
    _require((state.plan is None) == isinstance(record.event, e.RolloutStarted), "a rollout starts once")
    _require(state.paused is None or isinstance(record.event, e.EngineResumed), "no engine is at work")
    _fold(state, record.event, record.at)
    state.seq, state.at = record.seq, record.at


def _fold(state: RolloutState, event: Event, at: float) -> None:  # noqa: PLR0915 - one line an event
    match event:
        case e.RolloutStarted():
            _start(state, event, at)
        case e.EngineResumed():
            _resume(state, event)
        case e.EngineStopped():
            state.paused = event.reason
        case e.FrontLost():
            state.front_lost, state.attended = True, False
        case e.ArtifactRead():
            state.artifacts[event.path] = (event.size, event.sha256)
        case e.ProbeStarted() | e.TargetProbed():
            _probe(state, event, at)
        case e.WaveStarted():
            _start_wave(state, event.wave, at)
        case e.TargetSkipped():
            target = _idle(state, event.target)
            _require(target.steps.outcome is None, "its steps have ended")
            _put(state, replace(target, steps=Track(outcome="skipped", detail=event.reason), ended_at=at))
        case e.StepStarted():
            _start_step(state, event, at)
        case e.StepAttached():
            target, running = _running(state, event.target, event.execution)
            _put(state, replace(target, running=replace(running, orphaned=False)))
        case e.ConnectionLost() | e.ConnectionRestored():
            target, running = _running(state, event.target, None)
            lost = event.detail or "lost" if isinstance(event, e.ConnectionLost) else ""
            _put(state, replace(target, running=replace(running, lost=lost)))
        case e.StepFinished():
            _finish_step(state, event, at)
        case e.FailureTreated():
            _treat(state, event)
        case e.UnknownSettled():
            _settle(state, event, at)
        case e.GateOpened():
            _open_gate(state, event, at)
        case e.ItemTicked():
            gate = _gate(state, event.wave)
            items = len(_plan_gate(state, event.wave).checklist)
            _require(0 <= event.item < items, f"the checklist has {items} items")
            ticked = gate.ticked | {event.item} if event.ticked else gate.ticked - {event.item}
            state.gates[event.wave] = replace(gate, ticked=ticked)
        case e.GateApproved():
            gate = _gate(state, event.wave)
            _require(event.plan == _plan(state).hash, "the approval is for another plan")
            _require(not _too_late(_plan_gate(state, event.wave), gate, at), "the gate has expired")
            _require(event.evidence == gate.evidence, "something changed since the approval was asked for")
            _require(len(gate.ticked) == len(_plan_gate(state, event.wave).checklist), "the checklist is not ticked")
            state.gates[event.wave] = replace(gate, decision="approved", by=event.by, note=event.note)
        case e.GatePassed():
            gate = _gate(state, event.wave)
            _require(not _plan_gate(state, event.wave).approve, "a person must approve")
            state.gates[event.wave] = replace(gate, decision="passed")
        case e.GateExpired():
            gate = _gate(state, event.wave)
            hold = _plan_gate(state, event.wave).on_expire == "hold"
            state.gates[event.wave] = replace(gate, decision="open" if hold else "expired", expired=True)
        case e.Aborted():
            _require(state.aborted == "none", "it is aborted already")
            _require(state.stage in ("preflight", "waves"), "it is ending already")
            _require(not event.rollback or bool(_plan(state).rollback), "the fleet file has no [[rollback]] steps")
            state.aborted = "rollback" if event.rollback else "leave"
            state.aborted_by, state.abort_note = event.by, event.note
            state.stop = "none" if state.stop == "hold" else state.stop  # the question is answered
        case e.StopRequested():
            if _STOPS.index(event.stage) > _STOPS.index(state.stop):
                state.stop = event.stage
        case e.StopWithdrawn():
            _require(state.stop != "none", "nothing is stopped")
            _require(state.stop != "running", "what runs is being stopped already")
            state.stop = "none"
        case e.CancelStarted():
            target, running = _running(state, event.target, event.execution)
            _put(state, replace(target, running=replace(running, cancelling=True)))
        case e.CancelFinished():
            _put(state, replace(_target(state, event.target), unconfirmed=not event.confirmed))
        case e.RollbackStarted():
            _start_rollback(state, event)
        case e.FinallyStarted():
            _require(state.stage in ("preflight", "waves", "rolling-back"), "it is ending already")
            state.stage, state.ending = "finishing", event.ending
            for name in event.targets:
                _put(state, replace(_idle(state, name), finally_=Track()))
        case e.ReleaseRead():
            _put(state, replace(_target(state, event.target), reported=event.release))
        case e.TargetUnlocked():
            _require(state.stage == "finishing", "it is not ending yet")
            left = "" if event.released else event.detail or "nobody knows why"
            _put(state, replace(_idle(state, event.target), locked=False, left_locked=left))
        case e.RolloutFinished():
            _require(all(target.running is None for target in state.targets.values()), "a step is running")
            state.stage, state.ended_at = "finished", at
            state.verdict, state.reason, state.exit_code = event.verdict, event.reason, event.exit_code
        case _:
            assert_never(event)


def _start(state: RolloutState, event: e.RolloutStarted, at: float) -> None:
    state.rollout, state.plan, state.attended = event.rollout, event.plan, event.attended
    state.started_at, state.started_by, state.breaks = at, event.by, event.breaks
    state.targets = {name: TargetState(name, event.plan.wave_of(name)) for name in event.plan.targets}
    state.census = Census.of(event.plan.waves)
    for target in state.targets.values():
        _put(state, target)


def _resume(state: RolloutState, event: e.EngineResumed) -> None:
    state.attended, state.paused, state.front_lost, state.stop = event.attended, None, False, "none"
    state.breaks = event.breaks
    for target in state.targets.values():
        probe = "none" if target.probe == "running" else target.probe
        _put(state, _orphan(_plan(state), replace(target, probe=probe)))


def _orphan(plan: Plan, target: TargetState) -> TargetState:
    """The target with what it is to be asked about: a step in flight, or one whose outcome it could not tell."""
    if target.running is not None:
        return replace(target, running=replace(target.running, orphaned=True, cancelling=False, lost=""))
    phase = unknown_phase(target)
    track = target.track(phase) if phase else Track()
    if phase is None or not track.execution:
        return target
    step = applicable(plan, target.name, phase)[track.position]
    if not is_durable(plan.phase_steps(phase)[step]):
        return target
    running = Running(phase, step, track.attempts, track.execution, target.ended_at, orphaned=True)
    target = replace(target, running=running, holding=phase == "steps")
    return target.with_track(phase, replace(track, outcome=None))


def _probe(state: RolloutState, event: e.ProbeStarted | e.TargetProbed, at: float) -> None:
    target = _target(state, event.target)
    if isinstance(event, e.ProbeStarted):
        _require(target.probe == "none", "it was probed already")
        _put(state, replace(target, probe="running", locked=True, locked_before=target.locked, held_by=""))
        return
    _require(target.probe == "running", "no probe is running")
    if event.outcome == "ok":  # asked again for its lock it says what it has become, not what it was
        previous = target.previous if target.changed else event.release
        _put(state, replace(target, probe="ok", boot=event.boot, previous=previous))
        return
    lenient = _plan(state).limits.on_unavailable == "skip" and _plan(state).waves[target.wave].gate is None
    outcome: Outcome = "skipped" if lenient and not event.held_by and not target.changed else event.outcome
    locked = event.locked or (target.locked_before and not event.held_by)
    target = replace(target, probe="failed", locked=locked, held_by=event.held_by, ended_at=at)
    _put(state, replace(target, steps=replace(target.steps, outcome=outcome, detail=event.detail, exit_code=None)))


def _start_wave(state: RolloutState, wave: int, at: float) -> None:
    plan = _plan(state)
    _require(state.stage in ("preflight", "waves") and state.aborted == "none", "no wave starts any more")
    _require(wave == state.wave + 1 and wave < len(plan.waves), "waves go in order")
    if state.wave >= 0 and plan.waves[state.wave].gate is not None:
        gate = state.gates.get(state.wave)
        _require(gate is not None and gate.decision in ("approved", "passed"), "its gate was not approved")
    state.stage, state.wave = "waves", wave
    state.wave_times[wave] = at


def _start_step(state: RolloutState, event: e.StepStarted, at: float) -> None:
    target, plan, phase = _idle(state, event.target), _plan(state), event.phase
    track = target.track(phase)
    steps = applicable(plan, event.target, phase)
    _require(track.outcome is None, "this phase has ended for it")
    _require(track.position < len(steps) and steps[track.position] == event.step, "it is not this step's turn")
    _require(event.attempt == track.attempts + 1, f"attempt {event.attempt} after {track.attempts}")
    if phase == "steps":
        _require(state.stage == "waves" and state.aborted == "none", "no step starts any more")
        _require(target.wave <= state.wave, "its wave has not started")
    else:
        _require((target.rollback if phase == "rollback" else target.finally_) is not None, f"{phase} has not begun")
    changes = phase == "steps" and not isinstance(plan.steps[event.step], HttpStep)
    first = changes and not target.changed
    running = Running(phase, event.step, event.attempt, event.execution, at, first=first)
    target = replace(target, running=running, changed=target.changed or changes, unconfirmed=False)
    target = replace(target, started_at=target.started_at or at, holding=phase == "steps")
    target = replace(target, locked=target.locked or bool(state.breaks))  # by whom locks are taken with each start
    _put(state, target.with_track(phase, replace(track, attempts=event.attempt, execution=event.execution)))


def _finish_step(state: RolloutState, event: e.StepFinished, at: float) -> None:
    target, running = _running(state, event.target, event.execution)
    plan, phase = _plan(state), running.phase
    track = target.track(phase)
    ended = replace(track, outcome=event.outcome, detail=event.detail, exit_code=event.exit_code)
    match event.outcome:
        case "ok":
            track = _advance(plan, target, phase, replace(track, exit_code=event.exit_code))
        case "not-started":
            track = replace(track, attempts=track.attempts - 1, execution="", outcome=None)
        case "failed" | "timed-out":
            again = track.attempts <= plan.phase_steps(phase)[running.step].retries
            again = again and not running.cancelling and not event.fenced
            track = replace(track, detail=event.detail, outcome=None) if again else ended
        case "unreachable" | "unknown" | "cancelled":
            track = ended
        case "skipped" | "excluded":
            raise IllegalEvent(f"a step does not end as {event.outcome}")
        case _:
            assert_never(event.outcome)
    ended_at = at if phase == "steps" and track.outcome is not None else target.ended_at
    target = replace(target.with_track(phase, track), running=None, ended_at=ended_at)
    if event.fenced:  # what was learned of it before is void: its lock must be taken again first
        target = replace(target, probe="failed", locked=False, changed=target.changed and not running.first)
    _put(state, replace(target, holding=target.holding and target.steps.outcome is None))


def _advance(plan: Plan, target: TargetState, phase: Phase, track: Track, *, waived: bool = False) -> Track:
    """One step further; at the end the phase is ok."""
    position = track.position + 1
    done = position >= len(applicable(plan, target.name, phase))
    return Track(
        position=position,
        skipped=track.skipped + waived,
        execution=track.execution,
        outcome="ok" if done else None,
        exit_code=track.exit_code,
    )


def _treat(state: RolloutState, event: e.FailureTreated) -> None:
    _require(state.stage in ("preflight", "waves") and state.aborted == "none", "it is ending already")
    treated = [_treated(state, _idle(state, name), event) for name in event.targets]
    for target in treated:
        _put(state, target)


def _treated(state: RolloutState, target: TargetState, event: e.FailureTreated) -> TargetState:
    track = target.steps
    _require(target.failing, f"{target.name} has not failed")
    _require(track.outcome != "unknown" or event.treatment == "exclude", f"{target.name}: say what became of it first")
    match event.treatment:
        case "retry":
            probe = "none" if target.probe == "failed" else target.probe
            return replace(target, probe=probe, steps=replace(track, attempts=0, outcome=None, detail=""))
        case "skip":
            unlocked = target.boot or target.held_by
            why = "is not locked for this rollout: retry" if unlocked else "was never reached"
            _require(target.probe == "ok", f"{target.name} {why}")
            return replace(target, steps=_advance(_plan(state), target, "steps", track, waived=True))
        case "exclude":
            return replace(target, steps=replace(track, outcome="excluded", detail=_said(track.detail, event.note)))
        case "rollback":
            _require(can_roll_back(_plan(state), target), f"{target.name} has nothing to go back to")
            excluded = replace(track, outcome="excluded", detail=_said(track.detail, event.note))
            return replace(target, steps=excluded, rollback=Track())
        case _:
            assert_never(event.treatment)


def _said(detail: str, note: str) -> str:
    return f"{detail} ({note})" if detail and note else detail or note


def _settle(state: RolloutState, event: e.UnknownSettled, at: float) -> None:
    target = _idle(state, event.target)
    phase = unknown_phase(target)
    _require(phase is not None, f"{event.target} has no unknown outcome")
    assert phase is not None
    track = target.track(phase)
    match event.settlement:
        case "retry":
            track = replace(track, attempts=0, execution="", outcome=None, detail="")
        case "ok":
            track = _advance(_plan(state), target, phase, track)
        case "failed":
            track = replace(track, outcome="failed", detail=_said(track.detail, event.note))
        case _:
            assert_never(event.settlement)
    _put(state, replace(target.with_track(phase, track), ended_at=at))


def _open_gate(state: RolloutState, event: e.GateOpened, at: float) -> None:
    _require(event.wave == state.wave and state.aborted == "none", "it is not this gate's turn")
    _plan_gate(state, event.wave)
    wave = _plan(state).waves[event.wave].targets
    _require(all(state.targets[name].steps.outcome is not None for name in wave), "its wave is not through")
    _require(any(state.targets[name].steps.outcome == "ok" for name in wave), "no target of its wave is ok")
    before = state.gates.get(event.wave)
    _require(before is None or before.decision == "open", "it was decided already")
    opened = replace(before, evidence=event.evidence) if before else GateState(event.wave, at, event.evidence)
    state.gates[event.wave] = opened


def _start_rollback(state: RolloutState, event: e.RollbackStarted) -> None:
    _require(state.stage in ("preflight", "waves"), "it is ending already")
    targets = [_idle(state, name) for name in event.targets]
    _require(all(target.changed for target in targets), "only what this rollout changed is rolled back")
    state.stage, state.ending = "rolling-back", event.ending
    state.rollback_order, state.unnamed = event.targets, event.unnamed
    for target in targets:
        _put(state, replace(target, rollback=target.rollback or Track()))


def _plan(state: RolloutState) -> Plan:
    assert state.plan is not None
    return state.plan


def _target(state: RolloutState, name: str) -> TargetState:
    _require(name in state.targets, f"no target {name!r}")
    return state.targets[name]


def _idle(state: RolloutState, name: str) -> TargetState:
    target = _target(state, name)
    _require(target.running is None, f"{name} is at work")
    return target


def _running(state: RolloutState, name: str, execution: str | None) -> tuple[TargetState, Running]:
    target = _target(state, name)
    running = target.running
    if running is None or (execution is not None and running.execution != execution):
        raise IllegalEvent(f"{name} does not run {execution or 'anything'}")
    return target, running


def _plan_gate(state: RolloutState, wave: int) -> Gate:
    waves = _plan(state).waves
    gate = waves[wave].gate if 0 <= wave < len(waves) else None
    if gate is None:
        raise IllegalEvent(f"wave {wave} has no gate")
    return gate


def _gate(state: RolloutState, wave: int) -> GateState:
    gate = state.gates.get(wave)
    if gate is None or wave != state.wave or gate.decision != "open" or state.aborted != "none":
        raise IllegalEvent("that gate is not open")
    return gate


def _too_late(planned: Gate, gate: GateState, at: float) -> bool:
    """Its time is over, whether or not an engine was there to say so; a gate that then holds goes on waiting."""
    return planned.expires is not None and planned.on_expire != "hold" and at >= gate.opened_at + planned.expires


def _put(state: RolloutState, target: TargetState) -> None:
    before = state.targets[target.name]
    state.targets[target.name] = target
    state.census.move(target.name, groups(_plan(state), target))
    now = before.steps.outcome is None or before.ended_at != target.ended_at
    state.census.end(target.name, ended=target.steps.outcome is not None and target.ended_at > 0, now=now)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise IllegalEvent(otherwise)
