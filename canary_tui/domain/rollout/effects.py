"""The effects that the policy asks the engine for. They are plain data; an action is an effect or an event."""

from __future__ import annotations

from dataclasses import dataclass

from canary_tui.domain.planning.plan import Phase
from canary_tui.domain.rollout.events import Event


@dataclass(frozen=True, slots=True)
class Probe:
    """Look at a target before anything is changed there, and acquire its lock."""

    target: str


@dataclass(frozen=True, slots=True)
class StartStep:
    """Start a step; `step` is an index into the plan's list for the phase, `attempt` counts from 1."""

    target: str
    phase: Phase
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Attach:
    """Ask the target what became of a start that an earlier engine made, and follow it to its end."""

    target: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what runs on the target."""

    target: str


@dataclass(frozen=True, slots=True)
class ReadRelease:
    """Ask the target which release it has now."""

    target: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Release the target's lock: nothing more is started there."""

    target: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Hand the event in at a time, in seconds since 1970. The only timer.

    What happens meanwhile may make the event illegal: then `apply` refuses it, and nobody need know why.
    """

    at: float
    then: Event


OnTarget = Probe | StartStep | Attach | Cancel | ReadRelease | Unlock
Effect = OnTarget | Wait
EFFECTS = (Probe, StartStep, Attach, Cancel, ReadRelease, Unlock, Wait)
Action = Effect | Event
"""An effect to begin, or an event to be recorded as it stands."""
