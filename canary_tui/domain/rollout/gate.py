"""The gate between one wave and the next: when it opens, what keeps it shut, who opens it, when it expires.

      the wave is through, and a target of it is ok
                        │ GateOpened (with a hash of what was seen of the wave's targets)
                        ▼
      ┌──────────────▶ open ──GateApproved (a person)──▶ approved ──▶ the next wave
      │ GateOpened      │ │
      │ (something was  │ └──GatePassed (no person is needed)──▶ passed ──▶ the next wave
      │ seen since)     │
      └─────────────────┤
                        └──GateExpired──▶ expired, and the rollout ends as `on-expire` says;
                                          with on-expire = "hold" it stays open, marked as expired

`locks` is the one list of what keeps an open gate shut, each with what opens it. The policy, `apply`, the panels and
the headless report ask it; none has a rule of its own. A new reason is one more line there.

What must hold:

- An approval is bound to the plan's hash and to the evidence of the gate as the person saw it. So an approval that was
  typed before something changed is void, and the gate opens again with what is seen now.
- `apply` refuses an approval with the same list, so no journal goes past a lock, however it came about.
- A gate that expired while no engine was there is expired: the time counts, not who watched it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.tables import Gate
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action, Wait
from canary_tui.domain.rollout.events import GateEvent, IllegalEvent, require
from canary_tui.domain.rollout.state import GateState, RolloutState

LockKind = Literal["closed", "expired", "changed", "checklist", "stopping"]


@dataclass(frozen=True, slots=True)
class Lock:
    """One reason why a gate cannot be approved now, and what opens it, both in words for a person."""

    kind: LockKind
    reason: str
    opens: str


def locks(plan: Plan, state: RolloutState, at: float) -> tuple[Lock, ...]:
    """Everything that keeps the current gate from being approved at a time (seconds since 1970); empty: nothing."""
    return tuple(_locks(plan, state, at))


def _locks(plan: Plan, state: RolloutState, at: float) -> Iterator[Lock]:
    planned, gate = _planned(plan, state.wave), state.gate
    if planned is None or gate is None or gate.decision != "open" or not state.deploying:
        yield Lock("closed", "no gate is open", "it opens when its wave is through")
        return
    if _too_late(planned, gate, at):
        yield Lock("expired", "the gate has expired", "nothing: the rollout ends as on-expire says")
    if gate.evidence != evidence(plan, state):
        yield Lock("changed", f"{_members(plan, state)} changed", "the engine opens it again with what it sees now")
    if missing := len(planned.checklist) - len(gate.ticked):
        yield Lock("checklist", f"{count(missing, 'item')} of the checklist open", "look, and tick each item")
    if state.stopping:
        asking = state.stop == "asking"
        reason = "somebody is asked whether to stop" if asking else "the rollout is stopping"
        yield Lock("stopping", reason, "continue" if asking else "resume, once it has stopped")


def _members(plan: Plan, state: RolloutState) -> str:
    return "the canaries" if plan.waves[state.wave].targets == plan.canaries else f"{plan.waves[state.wave].name!r}"


def refusals(plan: Plan, state: RolloutState, approval: e.GateApproved, at: float) -> tuple[str, ...]:
    """Why an approval is void at a time, in words: the gate's locks, and whether it is meant for what is open now."""
    if approval.wave != state.wave:
        return ("that gate is not the open one",)
    reasons = [lock.reason for lock in locks(plan, state, at)]
    if approval.plan != plan.hash:
        reasons.append("the approval is for another plan")
    if state.gate is not None and approval.evidence != state.gate.evidence:
        reasons.append("something changed since the approval was asked for")
    return tuple(reasons)


def evidence(plan: Plan, state: RolloutState) -> str:
    """A hash of what is known of the current wave's targets: an approval holds for exactly that (64 hex digits)."""
    seen = hashlib.sha256()
    for name in plan.waves[state.wave].targets:
        target = state.targets[name]
        track = target.steps
        seen.update(repr((name, track.outcome, track.exit_code, track.skipped, target.previous)).encode())
    return seen.hexdigest()


def next_wave_targets(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """The targets that the wave after the current gate would change."""
    following = plan.waves[state.wave + 1].targets if state.wave + 1 < len(plan.waves) else ()
    return tuple(name for name in following if state.targets[name].steps.outcome is None)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The text that a person must type to approve, and the order to do so."""

    expected: str
    question: str


def confirmation(kind: str, release: str, fleet: str, coming: int) -> Confirmation:
    """The confirmation that a gate's `confirm` asks for; `coming` is the number of targets that come next."""
    match kind:
        case "release":
            return Confirmation(release, "type the release that goes out")
        case "fleet":
            return Confirmation(fleet, "type the name of the fleet")
        case _:
            return Confirmation(str(coming), "type the number of targets that come next")


def has_opened_for(plan: Plan, state: RolloutState, wave: int) -> bool:
    """Whether the gate before a wave, if there is one, let it go."""
    if wave <= 0 or _planned(plan, wave - 1) is None:
        return True
    gate = state.gates.get(wave - 1)
    return gate is not None and gate.decision in ("approved", "passed")


def actions(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """The actions that the gate after the current wave calls for, once all of that wave's targets are through."""
    planned, gate, now = _planned(plan, state.wave), state.gate, evidence(plan, state)
    assert planned is not None
    if gate is None or (gate.decision == "open" and gate.evidence != now):
        return [e.GateOpened(state.wave, now)]
    if gate.decision != "open":
        return [e.WaveStarted(state.wave + 1)]
    if not planned.approve:
        return [e.GatePassed(state.wave)]
    if planned.expires is not None and not gate.expired:
        due, expired = gate.opened_at + planned.expires, e.GateExpired(state.wave)
        if state.at >= due:  # while no engine was there to see it
            return [expired]
        if state.attended:
            return [Wait(due, expired)]
    return [] if state.attended else [e.EngineStopped("waiting")]


def after(plan: Plan, state: RolloutState, event: GateEvent, at: float) -> GateState:
    """The gate after an event that is about it.

    Raises:
        IllegalEvent: it cannot happen to the gate now.
    """
    if isinstance(event, e.GateOpened):
        return _opened(plan, state, event, at)
    if isinstance(event, e.GateApproved):
        reasons = refusals(plan, state, event, at)
        require(not reasons, "; ".join(reasons))
    planned, gate = _open_gate(plan, state, event.wave)
    match event:
        case e.ItemTicked(item=item):
            require(0 <= item < len(planned.checklist), f"the checklist has {len(planned.checklist)} items")
            return replace(gate, ticked=gate.ticked | {item} if event.ticked else gate.ticked - {item})
        case e.GateApproved(by=by, note=note):
            return replace(gate, decision="approved", by=by, note=note)
        case e.GatePassed():
            require(not planned.approve, "a person must approve")
            return replace(gate, decision="passed")
        case e.GateExpired():
            require(not gate.expired, "it has expired already")
            return replace(gate, decision="open" if planned.on_expire == "hold" else "expired", expired=True)
        case _:
            assert_never(event)


def _opened(plan: Plan, state: RolloutState, event: e.GateOpened, at: float) -> GateState:
    require(event.wave == state.wave and state.aborted == "none", "it is not this gate's turn")
    require(_planned(plan, event.wave) is not None, f"wave {event.wave} has no gate")
    outcomes = [state.targets[name].steps.outcome for name in plan.waves[event.wave].targets]
    require(None not in outcomes, "its wave is not through")
    require("ok" in outcomes, "no target of its wave is ok")
    before = state.gates.get(event.wave)
    require(before is None or before.decision == "open", "it was decided already")
    return replace(before, evidence=event.evidence) if before else GateState(event.wave, at, event.evidence)


def _planned(plan: Plan, wave: int) -> Gate | None:
    return plan.waves[wave].gate if 0 <= wave < len(plan.waves) else None


def _open_gate(plan: Plan, state: RolloutState, wave: int) -> tuple[Gate, GateState]:
    planned, gate = _planned(plan, wave), state.gates.get(wave)
    answered = gate is None or wave != state.wave or gate.decision != "open" or state.aborted != "none"
    if planned is None or gate is None or answered:
        raise IllegalEvent("that gate is not open")
    return planned, gate


def _too_late(planned: Gate, gate: GateState, at: float) -> bool:
    """Its time is over, whether or not an engine was there to say so; one that then holds goes on waiting."""
    return planned.expires is not None and planned.on_expire != "hold" and at >= gate.opened_at + planned.expires
