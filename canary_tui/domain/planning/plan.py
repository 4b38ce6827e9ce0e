"""The frozen plan of a rollout: its targets, waves and steps, and the hash that an approval is bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from canary_tui.domain.codec import encode, wire
from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.fleet.tables import Gate, Limits, Ssh

Phase = Literal["steps", "rollback", "finally"]


@wire("target", finally_="finally")
@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """One target of the rollout, with every setting and variable resolved.

    `steps`, `rollback` and `finally_` are indexes into the plan's lists of the same names:
    what applies to this target's roles.
    """

    name: str
    address: str
    ssh: Ssh
    roles: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    rollback: tuple[int, ...] = ()
    finally_: tuple[int, ...] = ()


@wire("wave")
@dataclass(frozen=True, slots=True)
class PlannedWave:
    """Targets that go together. `gate` stands between this wave and the next; the last wave has none."""

    name: str
    targets: tuple[str, ...]
    parallel: int
    gate: Gate | None = None
    origin: str = ""
    """Where the targets come from, in words: "from role 'canary', changed by operator"."""


def canaries_of(waves: Sequence[PlannedWave]) -> tuple[str, ...]:
    """The targets of the first wave where a gate stands after it, nobody where none does."""
    return waves[0].targets if waves and waves[0].gate else ()


@wire("excluded")
@dataclass(frozen=True, slots=True)
class Excluded:
    """A target of the fleet that is not part of this rollout, and why."""

    target: str
    reason: str


@wire("plan", finally_="finally")
@dataclass(frozen=True)
class Plan:
    """Everything a rollout needs: it is the journal's first record, and no file is read again.

    `scripts` maps each script step's path to its text. `environment` is empty where the fleet has none.
    """

    fleet: str
    release: str
    environment: str
    targets: dict[str, PlannedTarget]
    waves: tuple[PlannedWave, ...]
    steps: tuple[Step, ...]
    rollback: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = ()
    scripts: dict[str, str] = field(default_factory=dict)
    excluded: tuple[Excluded, ...] = ()
    limits: Limits = field(default_factory=Limits)
    current: str | None = None
    redeploy: bool = False
    directory: str = ""
    """The fleet file's folder: where relative paths of uploads and `local` steps start."""
    warnings: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """sha256 of the whole plan, 64 hex digits: what an approval is bound to."""
        text = json.dumps(encode(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def canaries(self) -> tuple[str, ...]:
        """The canaries: the targets that go before the first gate."""
        return canaries_of(self.waves)

    def members(self, wave: int, number: int) -> str:
        """The word for so many targets of a wave: canaries are called so, the others targets."""
        word = ("canary", "canaries") if wave == 0 and self.canaries else ("target", "targets")
        return word[number != 1]

    def phase_steps(self, phase: Phase) -> tuple[Step, ...]:
        """The plan's list of steps for a phase."""
        match phase:
            case "steps":
                return self.steps
            case "rollback":
                return self.rollback
            case "finally":
                return self.finally_

    def wave_of(self, target: str) -> int:
        """The index of the wave that a target goes with."""
        return self._wave_of[target]

    @cached_property
    def _wave_of(self) -> dict[str, int]:
        return {name: index for index, wave in enumerate(self.waves) for name in wave.targets}


def applicable(plan: Plan, target: str, phase: Phase) -> tuple[int, ...]:
    """Indexes of the phase's steps that apply to a target, in order."""
    planned = plan.targets[target]
    match phase:
        case "steps":
            return planned.steps
        case "rollback":
            return planned.rollback
        case "finally":
            return planned.finally_
