"""The policy: which actions a plan and a state call for next. One pure function, which the engine asks and obeys.

The rollout is a state machine of two floors. The upper one is here; each target (`target.py`) and each gate
(`gate.py`) is a small machine of its own below it. `apply` is the other door: it moves all of them by one event.

    stage       preflight ──────────▶ waves ───────────────────▶ rolling-back ──▶ finishing ──▶ finished
                probe every target    wave 0, gate, wave 1, ...   (only if asked)  `finally`,     the verdict
                                                                                   releases,
                                                                                   locks
    ending      aborted, expired, failed, or completed: it takes waves (or preflight) to the stages behind
    stop        none ─▶ asking ─▶ starting ─▶ running       nothing new starts; at "running" what runs is stopped
    paused      the engine has ended, the rollout has not: only EngineResumed comes next

The order of the questions in `next_actions` is the policy, and each stands before the next for a reason:

 1. Ended or paused: nothing. What happens now belongs to the next engine.
 2. Orphans: steps that an earlier engine started are asked about first, even while stopping. Nothing else may be
    decided before it is known what runs on a target.
 3. A person is asked whether to stop: nothing new, for the answer is near, but a gate's time runs on. Only where
    somebody can answer.
 4. Stopping, or the screen is lost: what runs ends (or is stopped), then the engine ends. Before any ending: a
    stopped rollout can be resumed, and the next engine comes to its end.
 5. Rolling back and finishing go on by themselves; nothing here leads back to deploying.
 6. An ending (abort before expiry before failure) takes precedence over the next wave.
 7. Preflight of all waves, then the waves in their order; none starts where every target has the release already.
    In a wave, single rollbacks go on even while failures block everything else, and those that failed are asked for
    their release; targets that were probed again come before the next steps.

What must hold:

- Pure: no clock, no chance. The time comes in with each record (`state.at`); what must happen at a time is a `Wait`.
- Asked twice without a new event it gives the same answer. The engine begins an effect only once, by equality.
- It never asks for something that `apply` would refuse.
- No action walks over all targets: groups are kept up by `index.py`, so a decision for 10,000 targets costs what one
  for ten does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import ending, gate
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.effects import Action, Attach, Cancel, Probe, Wait
from canary_tui.domain.rollout.failures import blocked
from canary_tui.domain.rollout.index import Group
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.window import busy, deploying_steps, nothing_to_do, skip_all, to_cancel

PROBES = 64
"""Preflights at once; the handshakes among them are limited further by the connections themselves."""

_UNDER_WAY: tuple[Group, ...] = ("unfinished", "rolling back")


def next_actions(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """The actions to take now; none means: wait for what runs, or for a person."""
    if state.verdict is not None or state.paused is not None:
        return []
    if orphans := list(_orphans(plan, state)):
        return orphans
    if state.stop == "asking" and state.attended:
        # Nobody gets more time for an approval by asking whether to stop.
        return [action for action in _onwards(plan, state) if isinstance(action, Wait | e.GateExpired)]
    if state.stopping or state.front_lost:
        return _stop(state)
    return _onwards(plan, state)


def _onwards(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """The actions where nothing keeps the rollout back."""
    if state.stage == "rolling-back":
        return ending.roll_back(plan, state)
    if state.stage == "finishing":
        return ending.finish(plan, state)
    if why := ending.ending(plan, state):
        return ending.wind_down(plan, state, why)
    if state.stage == "preflight":
        return _preflight(plan, state)
    return _wave(plan, state)


def _orphans(plan: Plan, state: RolloutState) -> Iterator[Action]:
    """What to do about the steps that an earlier engine left behind."""
    for target in state.in_group("orphaned"):
        running = target.running
        assert running is not None
        step = traits(plan.phase_steps(running.phase)[running.step])
        if step.durable:
            yield Attach(target.name)
        elif step.repeatable:
            detail = "cut off when the program ended; it is safe to do again"
            yield e.StepFinished(target.name, running.execution, "not-started", detail=detail)
        else:
            detail = "the program ended while it ran, and nobody can tell how it ended"
            yield e.StepFinished(target.name, running.execution, "unknown", detail=detail)


def _stop(state: RolloutState) -> Sequence[Action]:
    if busy(state):
        return [Cancel(name) for name in to_cancel(state)] if state.stop == "running" else []
    return [e.EngineStopped("detached" if state.front_lost else "interrupted")]


def _preflight(plan: Plan, state: RolloutState) -> Sequence[Action]:
    """Probe every target of every wave before the first change anywhere."""
    if ending.probing(state):
        return _probes(state, len(plan.waves) - 1)
    if blocked(plan, state):
        return []
    if nothing_to_do(plan, state):  # then no wave starts, so no gate asks about a wave that changes nothing
        return skip_all(plan, state) or ending.wind_down(plan, state, "completed")
    return [e.WaveStarted(0)]


def _probes(state: RolloutState, last_wave: int) -> Sequence[Action]:
    places = max(PROBES - state.index.count("probing"), 0)
    return [Probe(name) for name in islice(state.index.among("unprobed", 0, last_wave), places)]


def _wave(plan: Plan, state: RolloutState) -> Sequence[Action]:
    wave = plan.waves[state.wave]
    actions: list[Action] = [*ending.single_rollbacks(plan, state)]
    looks = ending.second_looks(plan, state)  # nothing waits for them
    if blocked(plan, state):
        return [*actions, *looks]
    actions += _probes(state, state.wave)
    actions += deploying_steps(plan, state, wave.parallel)
    if actions or any(state.index.any(group, 0, state.wave) for group in _UNDER_WAY):
        return [*actions, *looks]
    if state.wave + 1 == len(plan.waves):
        return ending.wind_down(plan, state, "completed")
    if wave.gate is None:
        return [e.WaveStarted(state.wave + 1), *looks]
    return [*gate.actions(plan, state), *looks]
