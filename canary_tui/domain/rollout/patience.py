"""The limits of waiting for a step beyond its own time limit, each counted from the step's start."""

from __future__ import annotations

from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.fleet.traits import traits

LOGIN = 60.0
"""Seconds that a login may take until the target's first word about a step; its limit is counted from that word on."""
STOPPING = 8.0
"""Seconds that a target takes to end a step at its limit: TERM, after 5 s KILL, and 3 s to look."""
OVERDUE = 20.0
"""Seconds beyond both, in which a target that is in reach must have told how the step ended."""
OUT_OF_REACH = 600.0
"""Seconds beyond both that a target is tried which cannot be reached."""


def asked_until(step: Step, since: float) -> float:
    """The time at which a lost target is asked about its step for the last time; `since` is the step's start."""
    if not traits(step).durable:
        return since + step.timeout
    return since + LOGIN + step.timeout + STOPPING + OUT_OF_REACH
