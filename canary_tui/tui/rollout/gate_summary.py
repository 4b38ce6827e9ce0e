"""The summary of an open gate that an approval is based on, and the differences between two of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.tables import Gate
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import gate as gates
from canary_tui.domain.rollout.events import Operator
from canary_tui.domain.rollout.state import GateState, RolloutState
from canary_tui.tui.rollout.status import Kind, status_of


@dataclass(frozen=True, slots=True)
class Member:
    """A target of the wave that went before the gate."""

    name: str
    kind: Kind
    word: str
    detail: str
    ended_at: float


@dataclass(frozen=True, slots=True)
class GateSummary:
    """Everything that an approval is based on. Equal summaries mean that nothing has changed for the reader."""

    rollout: str
    wave: int
    wave_name: str
    next_name: str
    next_targets: tuple[str, ...]
    members: tuple[Member, ...]
    old_releases: tuple[str, ...]
    release: str
    fleet: str
    started_by: Operator | None
    plan_hash: str
    evidence: str
    opened_at: float
    expires_at: float | None
    expired: bool
    instructions: str
    checklist: tuple[str, ...]
    ticked: frozenset[int]
    confirm: str
    locks: tuple[str, ...]

    @property
    def called(self) -> str:
        """The word for the members: only those of the first wave are canaries."""
        return "canaries" if self.wave == 0 else self.wave_name

    @property
    def expected(self) -> str:
        """The text that approves."""
        return self._confirmation.expected

    @property
    def question(self) -> str:
        """The order above the field."""
        return self._confirmation.question

    @property
    def _confirmation(self) -> gates.Confirmation:
        return gates.confirmation(self.confirm, self.release, self.fleet, len(self.next_targets))


def summarise(plan: Plan, state: RolloutState, engine_silent: bool) -> GateSummary | None:
    """Summarise the gate that waits now; None if none does."""
    gate = state.gate
    if gate is None or gate.decision != "open" or state.aborted != "none" or state.stage != "waves":
        return None
    planned = plan.waves[state.wave].gate
    if planned is None or not planned.approve:
        return None
    locks = tuple(lock.reason for lock in gates.locks(plan, state, time.time()))
    if engine_silent:
        locks = (*locks, "the engine is silent")
    members = tuple(_member(state, name) for name in plan.waves[state.wave].targets)
    previous = {state.targets[name].previous for name in plan.waves[state.wave].targets}
    following = plan.waves[state.wave + 1].name if state.wave + 1 < len(plan.waves) else ""
    return GateSummary(
        rollout=state.rollout,
        wave=state.wave,
        wave_name=plan.waves[state.wave].name,
        next_name=following,
        next_targets=gates.next_wave_targets(plan, state),
        members=members,
        old_releases=tuple(sorted(previous - {"", plan.release})),
        release=plan.release,
        fleet=plan.fleet,
        started_by=state.started_by,
        plan_hash=plan.hash,
        evidence=gate.evidence,
        opened_at=gate.opened_at,
        expires_at=_expiry(planned, gate),
        expired=gate.expired,
        instructions=planned.instructions.strip(),
        checklist=planned.checklist,
        ticked=gate.ticked,
        confirm=planned.confirm,
        locks=locks,
    )


def changes(before: GateSummary, after: GateSummary) -> list[str]:
    """List in words the changes from one summary to the next."""
    said = [
        f"{new.name} is {new.word} now" for old, new in zip(before.members, after.members, strict=False) if old != new
    ]
    if before.next_targets != after.next_targets:
        said.append(f"{count(len(after.next_targets), 'target')} come next now, not {len(before.next_targets)}")
    if before.ticked != after.ticked:
        items = sorted(before.ticked ^ after.ticked)
        said += [f"item {item + 1} was {'ticked' if item in after.ticked else 'unticked'}" for item in items]
    said += [f"now locked: {lock}" for lock in after.locks if lock not in before.locks]
    said += [f"no longer locked: {lock}" for lock in before.locks if lock not in after.locks]
    if before.evidence != after.evidence and not said:
        said.append(f"the results of wave {after.wave_name} have changed")
    if before.plan_hash != after.plan_hash or before.wave != after.wave:
        said.append("another gate is open")
    return said


def _member(state: RolloutState, name: str) -> Member:
    target = state.targets[name]
    status = status_of(state, target)
    detail = target.steps.why or "; ".join(map(str, target.rulings))
    return Member(name, status.kind, status.word, detail, target.ended_at)


def _expiry(planned: Gate, gate: GateState) -> float | None:
    return gate.opened_at + planned.expires if planned.expires is not None else None
