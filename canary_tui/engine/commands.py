"""What a person's command becomes: the event that records it, or a refusal in words."""

from __future__ import annotations

from typing import assert_never

from canary_tui.domain import events as e
from canary_tui.domain.events import Event
from canary_tui.domain.schedule import gate_locks
from canary_tui.domain.state import RolloutState
from canary_tui.engine.control import Abort, Approve, KeepGoing, Settle, Stop, Tick, Treat

Decision = Approve | Tick | Abort | Treat | Settle | Stop | KeepGoing
DECISIONS = (Approve, Tick, Abort, Treat, Settle, Stop, KeepGoing)
"""The commands that decide something about a rollout that is under way."""


class RefusedError(Exception):
    """The command does not fit what it is meant for any more; str() says why."""


def to_event(decision: Decision, state: RolloutState) -> Event:
    """The event of a person's decision.

    Raises:
        RefusedError: it names another rollout, or a gate, plan or evidence that is not the open gate's.
    """
    if state.plan is None or decision.rollout != state.rollout:
        raise RefusedError(f"it is meant for rollout {decision.rollout}, this is {state.rollout}")
    match decision:
        case Approve():
            if decision.wave != state.wave:
                raise RefusedError("that gate is not the open one")
            if locks := gate_locks(state.plan, state):
                raise RefusedError("; ".join(locks))
            return e.GateApproved(decision.wave, decision.plan, decision.evidence, decision.by, decision.note)
        case Tick():
            return e.ItemTicked(decision.wave, decision.item, decision.ticked, decision.by)
        case Abort():
            return e.Aborted(decision.by, decision.note, decision.rollback)
        case Treat():
            return e.FailureTreated(decision.targets, decision.treatment, decision.by, decision.note)
        case Settle():
            return e.UnknownSettled(decision.target, decision.settlement, decision.by, decision.note)
        case Stop():
            return e.StopRequested(decision.running, decision.by)
        case KeepGoing():
            return e.StopWithdrawn(decision.by)
        case _:
            assert_never(decision)
