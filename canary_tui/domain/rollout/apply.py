"""The one fold of a rollout's events: for the engine, every screen, replay and resume.

`apply` takes one record in. The events fall into four kinds, and each has its place:

    about the engine and the rollout   here: started, resumed, stopped, aborted, waves, stages, the verdict
    about one target                   `target.after`, the machine of one target's life
    about one gate                     `gate.after`, the machine of a gate
    about several targets at once      here, by asking `target` for each of them

What is checked here, and only here, is what no single target or gate can know: that records come in sequence, that a
rollout starts once and ends once, that waves go in order and not past a gate, that no step starts outside its stage.

`apply` refuses an event that cannot happen in the state that it meets, and then changes nothing. Three things rest on
that:

- No journal, however it came about, folds into a rollout that went past a gate without its approval.
- The loop folds an event in before it writes it. So a stale decision leaves no trace in the journal, and a timer that
  fires too late is simply refused.
- Replay of any prefix of a journal is a state in which the rollout was, so a crash at any record can be resumed.

To keep "changes nothing" true, every case checks first and assigns last, and works on frozen values meanwhile:

    record ─▶ sequence, started, ended, paused? ─▶ the case: require(...), compute ─▶ assign ─▶ seq and time
                     │ no                                   │ no
                     └──────────── IllegalEvent ◀───────────┘        (the state is as it was)

The rollout's own states, and the events that move them (everything else moves a target or a gate):

    stage    preflight ─WaveStarted─▶ waves ─RollbackStarted─▶ rolling-back ─FinallyStarted─▶ finishing ─▶ finished
                                        └──────────────FinallyStarted────────────────────────▶   RolloutFinished
    engine   at work ─EngineStopped─▶ paused ─EngineResumed─▶ at work    (a killed engine writes nothing: EngineResumed)
    stop     none ─StopRequested─▶ asking ─▶ starting ─▶ running         StopWithdrawn leads back, but not from running
    aborted  none ─Aborted─▶ leave | rollback                            for good: no step of `steps` starts any more
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout import gate
from canary_tui.domain.rollout import target as one_target
from canary_tui.domain.rollout.events import Event, IllegalEvent, Record, TargetEvent, require
from canary_tui.domain.rollout.grouping import groups
from canary_tui.domain.rollout.index import Index
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState

__all__ = ["IllegalEvent", "apply", "replay"]

_STOPS = ("none", "asking", "starting", "running")
"""Each of these is more of a stop than those before it."""


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
    require(record.seq == state.seq + 1, f"record {record.seq} after {state.seq}")
    require(state.verdict is None, "the rollout has ended")
    require((state.plan is None) == isinstance(record.event, e.RolloutStarted), "a rollout starts once")
    require(state.paused is None or isinstance(record.event, e.EngineResumed), "no engine is at work")
    _take_in(state, record.event, record.at)
    state.seq, state.at = record.seq, record.at


def _take_in(state: RolloutState, event: Event, at: float) -> None:  # noqa: C901, PLR0912 - one case for each event
    match event:
        case e.RolloutStarted():
            _start(state, event, at)
        case e.EngineResumed():
            _resume(state, event)
        case e.EngineStopped(reason=reason):
            state.paused = reason
        case e.FrontLost():
            state.front_lost, state.attended = True, False
        case e.ArtifactRead(path=path, size=size, sha256=sha256):
            state.artifacts[path] = (size, sha256)
        case e.WaveStarted(wave=wave):
            _start_wave(state, wave, at)
        case e.FailureTreated():
            _treat(state, event)
        case e.GateOpened() | e.ItemTicked() | e.GateApproved() | e.GatePassed() | e.GateExpired():
            state.gates[event.wave] = gate.after(_plan(state), state, event, at)
        case e.Aborted():
            _abort(state, event)
        case e.StopRequested() | e.StopWithdrawn():
            _stop(state, event)
        case e.RollbackStarted():
            _start_rollback(state, event)
        case e.FinallyStarted():
            _start_finally(state, event)
        case e.RolloutFinished():
            require(all(target.running is None for target in state.targets.values()), "a step is running")
            state.stage, state.ended_at = "finished", at
            state.verdict, state.reason, state.exit_code = event.verdict, event.reason, event.exit_code
        case _:
            _change_target(state, event, at)


def _start(state: RolloutState, event: e.RolloutStarted, at: float) -> None:
    state.rollout, state.plan, state.attended = event.rollout, event.plan, event.attended
    state.started_at, state.started_by, state.breaks = at, event.by, event.breaks
    state.engine_by = event.by
    state.targets = {name: TargetState(name, event.plan.wave_of(name)) for name in event.plan.targets}
    state.index = Index.of(event.plan.waves)
    for target in state.targets.values():
        _put(state, target)


def _resume(state: RolloutState, event: e.EngineResumed) -> None:
    state.attended, state.paused, state.front_lost, state.stop = event.attended, None, False, "none"
    state.breaks, state.engine_by = event.breaks, event.by
    for target in state.targets.values():
        _put(state, one_target.resumed(_plan(state), target))


def _change_target(state: RolloutState, event: TargetEvent, at: float) -> None:
    """Let one target live on, where its rollout is in a stage for it."""
    target = _target(state, event.target)
    if isinstance(event, e.StepStarted) and event.phase == "steps":
        require(state.stage == "waves" and state.aborted == "none", "no step starts any more")
        require(target.wave <= state.wave, "its wave has not started")
    if isinstance(event, e.TargetUnlocked):
        require(state.stage == "finishing", "it is not ending yet")
    target = one_target.after(_plan(state), target, event, at)
    if isinstance(event, e.StepStarted) and state.breaks:  # then the lock is acquired with each start
        target = replace(target, locked=True)
    _put(state, target)


def _start_wave(state: RolloutState, wave: int, at: float) -> None:
    require(state.deploying, "no wave starts any more")
    require(wave == state.wave + 1 and wave < len(_plan(state).waves), "waves go in order")
    require(gate.has_opened_for(_plan(state), state, wave), "its gate was not approved")
    state.stage, state.wave = "waves", wave
    state.wave_times[wave] = at


def _treat(state: RolloutState, event: e.FailureTreated) -> None:
    require(state.deploying, "it is ending already")
    treated = [one_target.treated(_plan(state), _target(state, name), event) for name in event.targets]
    for target in treated:
        _put(state, target)


def _abort(state: RolloutState, event: e.Aborted) -> None:
    require(state.aborted == "none", "it is aborted already")
    require(state.deploying, "it is ending already")
    require(not event.rollback or bool(_plan(state).rollback), "the fleet file has no [[rollback]] steps")
    state.aborted = "rollback" if event.rollback else "leave"
    state.aborted_by, state.abort_note = event.by, event.note
    state.stop = "none" if state.stop == "asking" else state.stop  # the question is answered


def _stop(state: RolloutState, event: e.StopRequested | e.StopWithdrawn) -> None:
    if isinstance(event, e.StopRequested):
        state.stop = max(state.stop, event.stage, key=_STOPS.index)
        return
    require(state.stopping, "nothing is stopped")
    require(state.stop != "running", "what runs is being stopped already")
    state.stop = "none"


def _start_rollback(state: RolloutState, event: e.RollbackStarted) -> None:
    require(state.stage in ("preflight", "waves"), "it is ending already")
    targets = [one_target.to_roll_back(_target(state, name)) for name in event.targets]
    state.stage, state.ending = "rolling-back", event.ending
    state.rollback_order, state.unnamed = event.targets, event.unnamed
    for target in targets:
        _put(state, target)


def _start_finally(state: RolloutState, event: e.FinallyStarted) -> None:
    require(state.stage in ("preflight", "waves", "rolling-back"), "it is ending already")
    targets = [one_target.to_finish(_target(state, name)) for name in event.targets]
    state.stage, state.ending = "finishing", event.ending
    for target in targets:
        _put(state, target)
    for target in [target for target in state.targets.values() if target.reported is not None]:
        _put(state, replace(target, stale=True))  # the end asks everybody again


def _plan(state: RolloutState) -> Plan:
    assert state.plan is not None
    return state.plan


def _target(state: RolloutState, name: str) -> TargetState:
    require(name in state.targets, f"no target {name!r}")
    return state.targets[name]


def _put(state: RolloutState, target: TargetState) -> None:
    """The only place where a target changes, so that the index is never behind."""
    before = state.targets[target.name]
    state.targets[target.name] = target
    state.index.move(target.name, groups(_plan(state), target))
    now = before.steps.outcome is None or before.ended_at != target.ended_at
    state.index.end(target.name, ended=target.steps.outcome is not None and target.ended_at > 0, now=now)
