"""Which actions a plan and a state call for next: all of the rollout's policy, in one pure function.

The engine performs what `next_actions` returns and decides nothing; asking twice without a new event gives the
same answer. Nothing here reads a clock: what must happen at a time is returned as an `Expire` with that time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from canary_tui.domain.fleet.steps import HttpStep, UploadStep
from canary_tui.domain.planning.plan import Phase, Plan, PlannedWave, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Decision, Ending, Event
from canary_tui.domain.rollout.failures import blocked, failed_targets
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.state import RolloutState, TargetState, can_roll_back, is_durable
from canary_tui.domain.rollout.verdict import conclusion

PROBES = 64
"""Preflights at once; the handshakes among them are limited further by the connections themselves."""
CLEANING = 8
"""Targets at once in `finally` steps."""
LEAVING = 64
"""Targets at once whose release is read back, and whose lock is let go of then."""

_UNSEEN: tuple[Group, ...] = ("unprobed", "probing")
_UNDER_WAY: tuple[Group, ...] = ("unfinished", "rolling back")
_OF_PHASE: dict[Phase, tuple[Group, Group]] = {
    "rollback": ("rolling back", "undoing"),
    "finally": ("cleaning", "tidying"),
}
"""For each phase but the first, the group of those that have not ended, and of those among them that have begun."""


@dataclass(frozen=True, slots=True)
class Probe:
    target: str


@dataclass(frozen=True, slots=True)
class StartStep:
    target: str
    phase: Phase
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Attach:
    """Ask the target what became of a start that an earlier engine made."""

    target: str


@dataclass(frozen=True, slots=True)
class Cancel:
    target: str


@dataclass(frozen=True, slots=True)
class ReadRelease:
    target: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Let go of the target's lock: nothing more is started there."""

    target: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The gate after `wave` expires at this time, unless something happens before; seconds since 1970."""

    wave: int
    at: float


Deed = Probe | StartStep | Attach | Cancel | ReadRelease | Unlock | Expire
DEEDS = (Probe, StartStep, Attach, Cancel, ReadRelease, Unlock, Expire)
Action = Deed | Event
"""Something to do, or an event to be recorded as it stands."""


def next_actions(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """What to do now; nothing means: wait for what runs, or for a person."""
    if state.verdict is not None or state.paused is not None:
        return []
    if orphans := list(_orphans(plan, state)):
        return orphans
    if state.stop == "hold" and state.attended:
        return []  # whoever asked is there to say what comes of it
    if state.stop != "none" or state.front_lost:
        return _stop(state)
    if state.stage == "rolling-back":
        return _roll_back(plan, state)
    if state.stage == "finishing":
        return _finish(plan, state)
    if ending := _ending(plan, state):
        return _wind_down(plan, state, ending)
    if state.stage == "preflight":
        return _preflight(plan, state)
    return _wave(plan, state)


def _all(state: RolloutState, group: Group) -> Iterator[TargetState]:
    return (state.targets[name] for name in state.census.among(group))


# What an earlier engine left behind


def _orphans(plan: Plan, state: RolloutState) -> Iterator[Action]:
    for target in _all(state, "orphaned"):
        running = target.running
        assert running is not None
        step = plan.phase_steps(running.phase)[running.step]
        if is_durable(step):
            yield Attach(target.name)
        elif isinstance(step, UploadStep | HttpStep):
            detail = "cut off when the program ended; it is safe to do again"
            yield e.StepFinished(target.name, running.execution, "not-started", detail=detail)
        else:
            detail = "the program ended while it ran, and nobody can tell how it ended"
            yield e.StepFinished(target.name, running.execution, "unknown", detail=detail)


def _stop(state: RolloutState) -> Sequence[Action]:
    if _busy(state):
        return [Cancel(name) for name in _to_cancel(state)] if state.stop == "running" else []
    return [e.EngineStopped("detached" if state.front_lost else "interrupted")]


def _busy(state: RolloutState) -> bool:
    return state.census.count("running") + state.census.count("probing") > 0


def _to_cancel(state: RolloutState) -> list[str]:
    running = ((target.name, target.running) for target in _all(state, "running"))
    return [name for name, one in running if one is not None and not one.cancelling]


# Before the first change


def _preflight(plan: Plan, state: RolloutState) -> Sequence[Action]:
    if _probing(state):
        return _probe(state, len(plan.waves) - 1)
    if blocked(plan, state):
        return []
    return [e.WaveStarted(0)]


def _probe(state: RolloutState, last_wave: int) -> Sequence[Action]:
    places = max(PROBES - state.census.count("probing"), 0)
    return [Probe(name) for name in islice(state.census.among("unprobed", 0, last_wave), places)]


# A wave


def _wave(plan: Plan, state: RolloutState) -> Sequence[Action]:
    wave = plan.waves[state.wave]
    actions: list[Action] = [*_single_rollbacks(plan, state)]
    if blocked(plan, state):
        return actions
    actions += _probe(state, state.wave)
    actions += _steps(plan, state, wave.parallel)
    if actions or any(state.census.any(group, 0, state.wave) for group in _UNDER_WAY):
        return actions
    return _after_wave(plan, state, wave)


def _steps(plan: Plan, state: RolloutState, parallel: int) -> Iterator[Action]:
    """A sliding window: a target keeps its place from its first step to its last."""
    for target in _all(state, "holding"):
        if target.running is None:
            yield _next_step(plan, target, "steps")
    places = parallel - state.census.count("holding")
    for name in state.census.among("unfinished", 0, state.wave):
        target = state.targets[name]
        if places <= 0:
            return
        if target.holding or target.running is not None or target.probe != "ok":
            continue
        if reason := _needless(plan, target):
            yield e.TargetSkipped(target.name, reason)
            continue
        places -= 1
        yield _next_step(plan, target, "steps")


def _needless(plan: Plan, target: TargetState) -> str:
    if not applicable(plan, target.name, "steps"):
        return "no step is for its roles"
    if target.previous == plan.release and not plan.redeploy and not target.changed:
        return f"already on {plan.release}"
    return ""


def _next_step(plan: Plan, target: TargetState, phase: Phase) -> StartStep:
    track = target.track(phase)
    return StartStep(target.name, phase, applicable(plan, target.name, phase)[track.position], track.attempts + 1)


def _after_wave(plan: Plan, state: RolloutState, wave: PlannedWave) -> Sequence[Action]:
    if state.wave + 1 == len(plan.waves):
        return _wind_down(plan, state, "completed")
    if wave.gate is None:
        return [e.WaveStarted(state.wave + 1)]
    gate, now = state.gate, evidence(plan, state)
    if gate is None or (gate.decision == "open" and gate.evidence != now):
        return [e.GateOpened(state.wave, now)]
    if gate.decision != "open":
        return [e.WaveStarted(state.wave + 1)]
    if not wave.gate.approve:
        return [e.GatePassed(state.wave)]
    if wave.gate.expires is not None and not gate.expired:
        at = gate.opened_at + wave.gate.expires
        if state.at >= at:  # while no engine was there to see it
            return [e.GateExpired(state.wave)]
        if state.attended:
            return [Expire(state.wave, at)]
    return [] if state.attended else [e.EngineStopped("waiting")]


def evidence(plan: Plan, state: RolloutState) -> str:
    """A hash of what is known of the current wave's targets: an approval holds for exactly that (64 hex digits)."""
    seen = hashlib.sha256()
    for name in plan.waves[state.wave].targets:
        target = state.targets[name]
        track = target.steps
        seen.update(repr((name, track.outcome, track.exit_code, track.skipped, target.previous)).encode())
    return seen.hexdigest()


# Failures


def pending_failures(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """Targets about which a person must decide before anything goes on; empty while within the limits."""
    if state.stage not in ("preflight", "waves") or state.aborted != "none" or not blocked(plan, state):
        return ()
    return tuple(target.name for target in failed_targets(state))


def settleable(state: RolloutState) -> tuple[str, ...]:
    """Targets with a step of which only a person can say what became of it."""
    return tuple(target.name for target in _all(state, "unknown") if target.running is None)


def gate_locks(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """Why the open gate cannot be approved now, in words; empty: it can. A closed gate is locked, too."""
    gate = state.gate
    planned = plan.waves[state.wave].gate if state.wave >= 0 else None
    if gate is None or planned is None or gate.decision != "open" or state.aborted != "none":
        return ("no gate is open",)
    locks = []
    if gate.evidence != evidence(plan, state):
        locks.append("the canaries changed")
    if items := len(planned.checklist) - len(gate.ticked):
        locks.append(f"{items} item{'s' if items > 1 else ''} of the checklist open")
    if state.stop != "none":
        locks.append("the rollout is held" if state.stop == "hold" else "the rollout is stopping")
    return tuple(locks)


def refusal(plan: Plan, state: RolloutState, rollout: str, decision: Decision) -> str:
    """Why a decision is not for what is open here now, in words; "" where the fold has the last word."""
    if rollout != state.rollout:
        return f"it is meant for rollout {rollout}, this is {state.rollout}"
    if not isinstance(decision, e.GateApproved):
        return ""
    return "; ".join(gate_locks(plan, state)) if decision.wave == state.wave else "that gate is not the open one"


def next_wave_targets(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """The targets that the wave after the current gate would change."""
    following = plan.waves[state.wave + 1].targets if state.wave + 1 < len(plan.waves) else ()
    return tuple(name for name in following if state.targets[name].steps.outcome is None)


# The end


def _ending(plan: Plan, state: RolloutState) -> Ending | None:
    """What ends the deploying part before its plan does; None where it goes on."""
    if state.aborted != "none":
        return "aborted"
    if state.gate is not None and state.gate.decision == "expired":
        return "expired"
    if _probing(state):
        return None
    if blocked(plan, state):
        asks = state.attended and (plan.limits.on_failure == "ask" or bool(settleable(state)))
        return None if asks else "failed"
    return "failed" if _nothing_proven(plan, state) else None


def _probing(state: RolloutState) -> bool:
    return state.stage == "preflight" and any(state.census.count(group) for group in _UNSEEN)


def _nothing_proven(plan: Plan, state: RolloutState) -> bool:
    """The canaries are through, and none of them ran every step."""
    if state.wave < 0 or plan.waves[state.wave].gate is None or state.gate is not None:
        return False
    if state.census.any("unfinished", state.wave, state.wave):
        return False
    tracks = (state.targets[name].steps for name in plan.waves[state.wave].targets)
    return not any(track.outcome == "ok" and not track.skipped for track in tracks)


def _wind_down(plan: Plan, state: RolloutState, why: Ending) -> Sequence[Action]:
    if _busy(state):
        rolling = set(state.census.among("rolling back"))
        deploying = [name for name in _to_cancel(state) if name not in rolling]
        return [Cancel(name) for name in deploying] if why == "aborted" else []
    if not state.attended and settleable(state):
        return _settle_first(state)
    if _rolls_back(plan, state, why):
        changed = [t for wave in reversed(plan.waves) for t in (state.targets[n] for n in wave.targets) if t.changed]
        able = tuple(target.name for target in changed if can_roll_back(plan, target))
        return [e.RollbackStarted(why, able, tuple(t.name for t in changed if t.name not in able))]
    return [e.FinallyStarted(why, _touched(plan, state))]


def _rolls_back(plan: Plan, state: RolloutState, why: Ending) -> bool:
    if not plan.rollback:
        return False
    gate = plan.waves[state.wave].gate if state.wave >= 0 else None
    match why:
        case "aborted":
            return state.aborted == "rollback"
        case "expired":
            return gate is not None and gate.on_expire == "rollback"
        case "failed":
            return plan.limits.on_failure == "rollback"
        case "completed":
            return False


def _touched(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    touched = (target for target in state.targets.values() if target.started_at)
    return tuple(target.name for target in touched if applicable(plan, target.name, "finally"))


def _single_rollbacks(plan: Plan, state: RolloutState) -> Iterator[Action]:
    for target in _all(state, "rolling back"):
        if target.running is None:
            yield _next_step(plan, target, "rollback")


def _roll_back(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """Newest wave first, each as parallel as it went out; one that fails holds up nobody else."""
    if not state.census.count("rolling back"):
        if settleable(state):
            return _settle_first(state)
        assert state.ending is not None
        return [e.FinallyStarted(state.ending, _touched(plan, state))]
    newest = state.targets[state.census.last("rolling back")].wave
    return list(_window(plan, state, "rollback", newest, newest, plan.waves[newest].parallel))


def _settle_first(state: RolloutState) -> Sequence[Action]:
    """An unknown outcome is for a person to settle, or for the next engine to ask the target about again."""
    return [] if state.attended else [e.EngineStopped("unknown")]


def _window(
    plan: Plan, state: RolloutState, phase: Phase, first_wave: int, last_wave: int, parallel: int
) -> Iterator[Action]:
    """A sliding window, for the phases that need no place in a wave."""
    waiting, at_work = _OF_PHASE[phase]
    begun = list(state.census.among(at_work, first_wave, last_wave))
    for name in begun:
        if state.targets[name].running is None:
            yield _next_step(plan, state.targets[name], phase)
    fresh = (name for name in state.census.among(waiting, first_wave, last_wave) if name not in begun)
    for name in islice(fresh, max(parallel - len(begun), 0)):
        yield _next_step(plan, state.targets[name], phase)


def _finish(plan: Plan, state: RolloutState) -> Sequence[Action]:
    if state.census.count("cleaning"):
        return list(_window(plan, state, "finally", 0, len(plan.waves) - 1, CLEANING))
    if settleable(state):
        return _settle_first(state)
    return _leave(plan, state) or [conclusion(plan, state)]


def _leave(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """A target's last two questions follow each other, so that one connection does for both."""
    reads = plan.current is not None
    if state.census.count("locked"):
        first = islice(_all(state, "locked"), LEAVING)
        return [ReadRelease(target.name) if reads and target.unread else Unlock(target.name) for target in first]
    return [ReadRelease(target.name) for target in islice(_all(state, "unread"), LEAVING if reads else 0)]
