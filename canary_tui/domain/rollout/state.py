"""A rollout's state at one moment: what its events add up to. Changed by `apply` alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import Operator
from canary_tui.domain.rollout.index import Group, Index
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import Ending, Pause, StopStage, Verdict


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
    engine_by: Operator | None = None
    """The person who started the engine that works on it, or the last one that did."""
    attended: bool = False
    breaks: tuple[str, ...] = ()
    """Rollouts that a person named to lose their locks to this one."""
    stage: Stage = "preflight"
    wave: int = -1
    """Index of the current wave; -1 before the first."""
    wave_times: dict[int, float] = field(default_factory=dict)
    """When each wave started."""
    targets: dict[str, TargetState] = field(default_factory=dict)
    index: Index = field(default_factory=Index)
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

    @property
    def deploying(self) -> bool:
        """Steps may still start: nothing has brought the deploying part to its end."""
        return self.stage in ("preflight", "waves") and self.aborted == "none"

    @property
    def stopping(self) -> bool:
        """A person asked to stop, or is asked whether to."""
        return self.stop != "none"

    def in_group(self, group: Group) -> Iterator[TargetState]:
        """The targets of a group in the order of the waves. Not while the group changes."""
        return (self.targets[name] for name in self.index.among(group))
