"""One target's life in a rollout: its state, and how each event changes it. Knows nothing of waves and gates.

    probe    none ──ProbeStarted──▶ running ──TargetProbed──▶ ok | failed  (failed ends its steps as
               ▲                                               │  unreachable, failed or skipped)
               └────────── "retry", or another engine ─────────┘

    a phase  (steps, then perhaps rollback, then perhaps finally; each has a Track)

             idle ──StepStarted──▶ running ──StepFinished──▶ idle, one step further ──▶ ... ──▶ outcome ok
              ▲                       │ ▲                     │
              │                       │ └─ ConnectionLost, ConnectionRestored, StepAttached, CancelStarted
              ├─ not-started ─────────┤                       │
              ├─ failed, and retries left                     │
              │                       └──▶ outcome failed | timed-out | unreachable | unknown | cancelled
              └───────────── FailureTreated, UnknownSettled ──┘

What must hold:

- `running` is set from StepStarted to StepFinished and at no other time; a target with one runs nothing else.
- `attempts` grows before the first byte is sent, so that no crash makes a start go uncounted.
- An unknown outcome is left only by a person (UnknownSettled), or by asking the target again: another engine makes
  the execution an orphan (`resumed`), and the policy attaches to it before it does anything else.
- A fenced step was refused by the target, for the lock is not this rollout's any more. So what the probe learned is
  void, and if nothing was changed before, nothing is now.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import IllegalEvent, TargetEvent, require
from canary_tui.domain.rollout.rulings import Ruling, rulings_of
from canary_tui.domain.rollout.words import Outcome, why_ended

FAILING: frozenset[Outcome] = frozenset({"failed", "timed-out", "unreachable", "unknown", "cancelled"})
"""Outcomes that count against the limits."""
PHASES: tuple[Phase, ...] = ("steps", "rollback", "finally")


@dataclass(frozen=True, slots=True)
class Running:
    """One execution in flight. `orphaned`: an earlier engine started it, and nobody has asked about it since."""

    phase: Phase
    step: int
    attempt: int
    execution: str
    since: float
    orphaned: bool = False
    cancelling: bool = False
    lost: str = ""
    """Why the connection is gone, while it is."""
    first: bool = False
    """Nothing was changed on the target before it, so if it is refused there, nothing is."""


@dataclass(frozen=True, slots=True)
class Track:
    """A target's progress in one phase.

    `position` counts the steps done of those that apply to it, `skipped` those of them that a person waived,
    `attempts` the starts of the current one since a person last had it run again, and `again` how often that was.
    `outcome` is None until the phase has ended for this target.
    """

    position: int = 0
    skipped: int = 0
    attempts: int = 0
    execution: str = ""
    outcome: Outcome | None = None
    detail: str = ""
    exit_code: int | None = None
    again: int = 0

    @property
    def why(self) -> str:
        """The reason behind its outcome, in words, "" where there is none."""
        return why_ended(self.outcome, self.detail, self.exit_code)


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target. `steps.outcome` is how its deployment ended (None: not yet), `rulings` are decisions of persons."""

    name: str
    wave: int
    probe: Literal["none", "running", "ok", "failed"] = "none"
    boot: str = ""
    previous: str = ""
    """The release that it said it had before."""
    reported: str | None = None
    """The release that it said it has since the last step that may have changed it."""
    stale: bool = False
    """That was before the end, and a person may have changed it since."""
    changed: bool = False
    in_window: bool = False
    """It has one of its wave's parallel places: from its first step until its deployment ends, well or badly."""
    locked: bool = False
    """Its lock is this rollout's, or may be."""
    locked_before: bool = False
    """The same before the last probe, which may not have come far enough to say anything about it."""
    held_by: str = ""
    """The other rollout that kept this one from having its lock."""
    left_locked: str = ""
    """Why its lock could not be released at the end."""
    unconfirmed: bool = False
    """A stop was asked for, and the target did not show the process group gone."""
    running: Running | None = None
    steps: Track = field(default_factory=Track)
    rollback: Track | None = None
    finally_: Track | None = None
    rulings: tuple[Ruling, ...] = ()
    started_at: float = 0.0
    ended_at: float = 0.0

    def track(self, phase: Phase) -> Track:
        """The progress in a phase; a fresh track where the phase was never begun."""
        match phase:
            case "steps":
                return self.steps
            case "rollback":
                return self.rollback or Track()
            case "finally":
                return self.finally_ or Track()

    def with_track(self, phase: Phase, track: Track) -> TargetState:
        """The same target, elsewhere in a phase."""
        match phase:
            case "steps":
                return replace(self, steps=track)
            case "rollback":
                return replace(self, rollback=track)
            case "finally":
                return replace(self, finally_=track)

    @property
    def failing(self) -> bool:
        """Its deployment ended in a way that counts against the limits."""
        return self.steps.outcome in FAILING

    @property
    def unread(self) -> bool:
        """It was changed, and has not been asked for its release since the last change."""
        return self.changed and (self.reported is None or self.stale)

    @property
    def can_be_asked(self) -> bool:
        """It rests, and was reached when last heard of."""
        return self.running is None and self.probe == "ok" and self.steps.outcome != "unreachable"

    @property
    def unknown_phase(self) -> Phase | None:
        """The phase whose outcome on this target is unknown."""
        return next((phase for phase in PHASES if self.track(phase).outcome == "unknown"), None)

    def idle(self) -> TargetState:
        """Itself; IllegalEvent while it is at work."""
        require(self.running is None, f"{self.name} is at work")
        return self

    def running_now(self, execution: str | None = None) -> Running:
        """The execution that runs there; IllegalEvent where none does, or not this one."""
        running = self.running
        if running is None or (execution is not None and running.execution != execution):
            raise IllegalEvent(f"{self.name} does not run {execution or 'anything'}")
        return running


def can_roll_back(plan: Plan, target: TargetState) -> bool:
    """It was changed, there are steps that undo it, and it said which release it had."""
    return target.changed and bool(applicable(plan, target.name, "rollback")) and bool(target.previous)


def after(plan: Plan, target: TargetState, event: TargetEvent, at: float) -> TargetState:  # noqa: C901, PLR0911, PLR0912 - one case for each event
    """The target after an event that is about it.

    Raises:
        IllegalEvent: it cannot happen to the target now.
    """
    match event:
        case e.ProbeStarted():
            require(target.probe == "none", "it was probed already")
            return replace(target, probe="running", locked=True, locked_before=target.locked, held_by="")
        case e.TargetProbed():
            return _probed(plan, target, event, at)
        case e.TargetSkipped(reason=reason):
            require(target.idle().steps.outcome is None, "its steps have ended")
            return replace(target, steps=Track(outcome="skipped", detail=reason), ended_at=at)
        case e.StepStarted():
            return _started(plan, target.idle(), event, at)
        case e.StepAttached(execution=execution):
            return replace(target, running=replace(target.running_now(execution), orphaned=False))
        case e.ConnectionLost(detail=detail):
            return replace(target, running=replace(target.running_now(), lost=detail or "lost"))
        case e.ConnectionRestored():
            return replace(target, running=replace(target.running_now(), lost=""))
        case e.StepFinished():
            return _finished(plan, target, event, at)
        case e.UnknownSettled():
            return _settled(plan, target.idle(), event, at)
        case e.CancelStarted(execution=execution):
            return replace(target, running=replace(target.running_now(execution), cancelling=True))
        case e.CancelFinished(confirmed=confirmed):
            return replace(target, unconfirmed=not confirmed)
        case e.ReleaseRead(release=release):
            return replace(target.idle(), reported=release, stale=False)
        case e.TargetUnlocked(released=released, detail=detail):
            return replace(target.idle(), locked=False, left_locked="" if released else detail or "nobody knows why")
        case _:
            assert_never(event)


def _probed(plan: Plan, target: TargetState, event: e.TargetProbed, at: float) -> TargetState:
    require(target.probe == "running", "no probe is running")
    if event.outcome == "ok":  # asked again for its lock it says what it has become, not what it was
        previous = target.previous if target.changed else event.release
        return replace(target, probe="ok", boot=event.boot, previous=previous)
    lenient = plan.limits.on_unavailable == "skip" and plan.waves[target.wave].gate is None
    outcome: Outcome = "skipped" if lenient and not event.held_by and not target.changed else event.outcome
    locked = event.locked or (target.locked_before and not event.held_by)
    steps = replace(target.steps, outcome=outcome, detail=event.detail, exit_code=None)
    return replace(target, probe="failed", locked=locked, held_by=event.held_by, ended_at=at, steps=steps)


def _started(plan: Plan, target: TargetState, event: e.StepStarted, at: float) -> TargetState:
    phase, track = event.phase, target.track(event.phase)
    steps = applicable(plan, event.target, phase)
    require(track.outcome is None, "this phase has ended for it")
    require(track.position < len(steps) and steps[track.position] == event.step, "it is not this step's turn")
    require(event.attempt == track.attempts + 1, f"attempt {event.attempt} after {track.attempts}")
    begun = {"steps": True, "rollback": target.rollback is not None, "finally": target.finally_ is not None}
    require(begun[phase], f"{phase} has not begun")
    changes = phase == "steps" and traits(plan.steps[event.step]).changes_target
    running = Running(phase, event.step, event.attempt, event.execution, at, first=changes and not target.changed)
    target = replace(
        target,
        running=running,
        changed=target.changed or changes,
        reported=None if changes or phase == "rollback" else target.reported,
        unconfirmed=False,
        started_at=target.started_at or at,
        in_window=phase == "steps",
    )
    return target.with_track(phase, replace(track, attempts=event.attempt, execution=event.execution))


def _finished(plan: Plan, target: TargetState, event: e.StepFinished, at: float) -> TargetState:
    running = target.running_now(event.execution)
    phase = running.phase
    track = _track_after(plan, target, running, event)
    ended_at = at if phase == "steps" and track.outcome is not None else target.ended_at
    target = replace(target.with_track(phase, track), running=None, ended_at=ended_at)
    if event.fenced:  # what was learned of it before is void: its lock must be acquired again first
        target = replace(target, probe="failed", locked=False, changed=target.changed and not running.first)
    return replace(target, in_window=target.in_window and target.steps.outcome is None)


def _track_after(plan: Plan, target: TargetState, running: Running, event: e.StepFinished) -> Track:
    """The progress in its phase once an execution has ended."""
    track = target.track(running.phase)
    ended = replace(track, outcome=event.outcome, detail=event.detail, exit_code=event.exit_code)
    match event.outcome:
        case "ok":
            return _advanced(plan, target, running.phase, replace(track, exit_code=event.exit_code))
        case "not-started":
            return replace(track, attempts=track.attempts - 1, execution="", outcome=None)
        case "failed" | "timed-out":
            again = track.attempts <= plan.phase_steps(running.phase)[running.step].retries
            again = again and not running.cancelling and not event.fenced
            return replace(track, detail=event.detail, outcome=None) if again else ended
        case "unreachable" | "unknown" | "cancelled":
            return ended
        case "skipped" | "excluded":
            raise IllegalEvent(f"a step does not end as {event.outcome}")
        case _:
            assert_never(event.outcome)


def _advanced(plan: Plan, target: TargetState, phase: Phase, track: Track, *, waived: bool = False) -> Track:
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


def treated(plan: Plan, target: TargetState, event: e.FailureTreated) -> TargetState:
    """The target after a person decided what becomes of its failure; IllegalEvent where that cannot be."""
    track = target.idle().steps
    require(target.failing, f"{target.name} has not failed")
    require(track.outcome != "unknown" or event.treatment == "exclude", f"{target.name}: say what became of it first")
    excluded = replace(track, outcome="excluded", detail=_said(track.detail, event.note))
    ruled = _ruled(plan, target, "steps", event)
    match event.treatment:
        case "retry":
            probe = "none" if target.probe == "failed" else target.probe
            return replace(target, probe=probe, steps=_again(track))
        case "skip":
            unlocked = target.boot or target.held_by
            why = "is not locked for this rollout: retry" if unlocked else "was never reached"
            require(target.probe == "ok", f"{target.name} {why}")
            return replace(ruled, steps=_advanced(plan, target, "steps", track, waived=True))
        case "exclude":
            return replace(ruled, steps=excluded)
        case "rollback":
            require(can_roll_back(plan, target), f"{target.name} has nothing to go back to")
            return replace(ruled, steps=excluded, rollback=Track())
        case _:
            assert_never(event.treatment)


def _again(track: Track) -> Track:
    """A person has the step run again."""
    return replace(track, attempts=0, outcome=None, detail="", again=track.again + 1)


def _settled(plan: Plan, target: TargetState, event: e.UnknownSettled, at: float) -> TargetState:
    phase = target.unknown_phase
    if phase is None:
        raise IllegalEvent(f"{target.name} has no unknown outcome")
    track = target.track(phase)
    match event.settlement:
        case "retry":
            track = replace(_again(track), execution="")
        case "ok":
            track = _advanced(plan, target, phase, track)
        case "failed":
            track = replace(track, outcome="failed", detail=_said(track.detail, event.note))
        case _:
            assert_never(event.settlement)
    return replace(_ruled(plan, target, phase, event).with_track(phase, track), ended_at=at)


def _ruled(plan: Plan, target: TargetState, phase: Phase, event: e.FailureTreated | e.UnknownSettled) -> TargetState:
    """The target with a person's decision about the step at which it is in a phase; to run it again is none."""
    steps = applicable(plan, target.name, phase)[target.track(phase).position :]
    step = plan.phase_steps(phase)[steps[0]] if steps else None
    return replace(target, rulings=(*target.rulings, *rulings_of(step, event)))


def _said(detail: str, note: str) -> str:
    return f"{detail} ({note})" if detail and note else detail or note


def resumed(plan: Plan, target: TargetState) -> TargetState:
    """The target for another engine, with what it is to be asked about: a step in flight, or one whose outcome it
    could not tell. A probe that was running is void.
    """
    target = replace(target, probe="none" if target.probe == "running" else target.probe)
    if target.running is not None:
        return replace(target, running=replace(target.running, orphaned=True, cancelling=False, lost=""))
    phase = target.unknown_phase
    track = target.track(phase) if phase else Track()
    if phase is None or not track.execution:
        return target
    step = applicable(plan, target.name, phase)[track.position]
    if not traits(plan.phase_steps(phase)[step]).durable:
        return target
    running = Running(phase, step, track.attempts, track.execution, target.ended_at, orphaned=True)
    target = replace(target, running=running, in_window=phase == "steps")
    return target.with_track(phase, replace(track, outcome=None))


def to_roll_back(target: TargetState) -> TargetState:
    """The target when everything is rolled back; what it was rolled back by itself before stays as it is."""
    require(target.idle().changed, "only what this rollout changed is rolled back")
    return replace(target, rollback=target.rollback or Track())


def to_finish(target: TargetState) -> TargetState:
    """The target when its `finally` steps begin."""
    return replace(target.idle(), finally_=Track())
