"""What a rollout's events add up to: one fold, for the engine, every screen, replay and resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from canary_tui.domain.events import Operator, Outcome, Pause, Verdict
from canary_tui.domain.plan import Phase, Plan


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


@dataclass(frozen=True, slots=True)
class Track:
    """How far a target is in one phase. `position` counts the steps done of those that apply to it."""

    position: int = 0
    attempts: int = 0
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
    running: Running | None = None
    steps: Track = field(default_factory=Track)
    rollback: Track | None = None
    finally_: Track | None = None
    started_at: float = 0.0
    ended_at: float = 0.0
    reading: bool = False


@dataclass(frozen=True, slots=True)
class GateState:
    """The gate after `wave`, from opening to decision."""

    wave: int
    opened_at: float
    evidence: str
    ticked: frozenset[int] = frozenset()
    decision: Literal["open", "approved", "passed", "expired"] = "open"
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
    stage: Stage = "preflight"
    wave: int = -1
    """Index of the current wave; -1 before the first."""
    targets: dict[str, TargetState] = field(default_factory=dict)
    artifacts: dict[str, tuple[int, str]] = field(default_factory=dict)
    gates: dict[int, GateState] = field(default_factory=dict)
    stop: Literal["none", "starting", "running"] = "none"
    paused: Pause | None = None
    front_lost: bool = False
    aborted: Literal["none", "leave", "rollback"] = "none"
    abort_note: str = ""
    verdict: Verdict | None = None
    reason: str = ""
    exit_code: int | None = None
