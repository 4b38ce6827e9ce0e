"""What can be said about a rollout at one moment: its state, and what follows from it without a decision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from canary_tui.domain.fleet.steps import RunStep, ScriptStep, Step
from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout.events import Ending, Operator, Outcome, Pause, StopStage, Verdict
from canary_tui.domain.rollout.index import Census, Group

FAILING: frozenset[Outcome] = frozenset({"failed", "timed-out", "unreachable", "unknown", "cancelled"})
"""Outcomes that count against the limits."""


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
    """How far a target is in one phase.

    `position` counts the steps done of those that apply to it, `skipped` those of them that a person waived,
    `attempts` the starts of the current one. `outcome` is None until the phase has ended for this target.
    """

    position: int = 0
    skipped: int = 0
    attempts: int = 0
    execution: str = ""
    outcome: Outcome | None = None
    detail: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target. `steps.outcome` is how its deployment ended, None while it has not."""

    name: str
    wave: int
    probe: Literal["none", "running", "ok", "failed"] = "none"
    boot: str = ""
    previous: str = ""
    """The release that it said it had before."""
    reported: str | None = None
    """The release that it said it has, read back at the end."""
    changed: bool = False
    holding: bool = False
    """It has one of its wave's parallel places: from its first step until its deployment ends, well or badly."""
    locked: bool = False
    """Its lock is this rollout's, or may be."""
    locked_before: bool = False
    """The same before the last probe, which may not have come far enough to say anything about it."""
    held_by: str = ""
    """The other rollout that kept this one from having its lock."""
    left_locked: str = ""
    """Why its lock could not be let go of at the end."""
    unconfirmed: bool = False
    """A stop was asked for, and the target did not show the process group gone."""
    running: Running | None = None
    steps: Track = field(default_factory=Track)
    rollback: Track | None = None
    finally_: Track | None = None
    started_at: float = 0.0
    ended_at: float = 0.0

    def track(self, phase: Phase) -> Track:
        """How far it is in a phase; a fresh track where the phase was never begun."""
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
        return self.changed and self.reported is None


@dataclass(frozen=True, slots=True)
class GateState:
    """The gate after `wave`, from opening to decision. `expired` with decision open: on-expire says hold."""

    wave: int
    opened_at: float
    evidence: str
    ticked: frozenset[int] = frozenset()
    decision: Literal["open", "approved", "passed", "expired"] = "open"
    expired: bool = False
    by: Operator | None = None
    note: str = ""


Stage = Literal["preflight", "waves", "rolling-back", "finishing", "finished"]


@dataclass(slots=True)
class RolloutState:
    """Everything that a screen can say about a rollout. Changed only by `apply`, one record at a time."""

    rollout: str = ""
    plan: Plan | None = None
    seq: int = -1
    at: float = 0.0
    started_at: float = 0.0
    started_by: Operator | None = None
    attended: bool = False
    breaks: tuple[str, ...] = ()
    """Rollouts that a person named to lose their locks to this one."""
    stage: Stage = "preflight"
    wave: int = -1
    """Index of the current wave; -1 before the first."""
    wave_times: dict[int, float] = field(default_factory=dict)
    """When each wave started."""
    targets: dict[str, TargetState] = field(default_factory=dict)
    census: Census = field(default_factory=Census)
    artifacts: dict[str, tuple[int, str]] = field(default_factory=dict)
    gates: dict[int, GateState] = field(default_factory=dict)
    ending: Ending | None = None
    """Why the deploying part ended, once it has."""
    rollback_order: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    """Changed targets that could not be rolled back, for want of a former release."""
    stop: Literal["none"] | StopStage = "none"
    paused: Pause | None = None
    front_lost: bool = False
    aborted: Literal["none", "leave", "rollback"] = "none"
    aborted_by: Operator | None = None
    abort_note: str = ""
    verdict: Verdict | None = None
    reason: str = ""
    exit_code: int | None = None
    ended_at: float = 0.0

    @property
    def gate(self) -> GateState | None:
        """The gate after the current wave, once it has opened."""
        return self.gates.get(self.wave)


def is_durable(step: Step) -> bool:
    """The target itself can be asked later what became of it."""
    return isinstance(step, ScriptStep) or (isinstance(step, RunStep) and step.durable)


def can_roll_back(plan: Plan, target: TargetState) -> bool:
    """It was changed, there are steps that undo it, and it said which release it had."""
    return target.changed and bool(applicable(plan, target.name, "rollback")) and bool(target.previous)


def unknown_phase(target: TargetState) -> Phase | None:
    """The phase whose outcome on this target is unknown."""
    phases: tuple[Phase, ...] = ("steps", "rollback", "finally")
    return next((phase for phase in phases if target.track(phase).outcome == "unknown"), None)


def groups(plan: Plan, target: TargetState) -> tuple[Group, ...]:
    """Where a target stands, as far as the policy asks about all of them."""
    outcome, running = target.steps.outcome, target.running
    rolls_back = _open(target, target.rollback)
    cleans = _open(target, target.finally_)
    places: dict[Group, bool] = {
        "unprobed": target.probe == "none" and outcome is None,
        "probing": target.probe == "running",
        "orphaned": running is not None and running.orphaned,
        "running": running is not None,
        "holding": target.holding,
        "unfinished": outcome is None or running is not None,
        "failing": target.failing,
        "failing canary": target.failing and plan.waves[target.wave].gate is not None,
        "unknown": unknown_phase(target) is not None,
        "rolling back": rolls_back,
        "undoing": rolls_back and _begun(target, target.rollback),
        "cleaning": cleans,
        "tidying": cleans and _begun(target, target.finally_),
        "unread": target.unread,
        "locked": target.locked,
    }
    return tuple(group for group, there in places.items() if there)


def _open(target: TargetState, track: Track | None) -> bool:
    return track is not None and (track.outcome is None or target.running is not None)


def _begun(target: TargetState, track: Track | None) -> bool:
    return track is not None and (target.running is not None or track.position > 0 or track.attempts > 0)
