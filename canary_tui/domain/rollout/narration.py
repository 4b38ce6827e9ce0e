"""The sentence for each event, and the one for the state of all targets: the same in every face, file and message.

A new kind of event belongs to one of the four groups below; mypy points at what was forgotten. Times and the marks
around a sentence are added by the face that prints it, as are the precautions against hostile text.
"""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Phase, Plan, applicable
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Decision, Event
from canary_tui.domain.rollout.rulings import waived
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import PHASES, TargetState
from canary_tui.domain.rollout.words import OUTCOME_WORDS, Pause, Settlement, StopStage, ended_word, why_ended

_OfEngine = e.RolloutStarted | e.EngineResumed | e.EngineStopped | e.FrontLost | e.ArtifactRead
_OfRollout = (
    e.WaveStarted
    | e.GateOpened
    | e.GatePassed
    | e.GateExpired
    | e.RollbackStarted
    | e.FinallyStarted
    | e.RolloutFinished
)
_OfTarget = (
    e.ProbeStarted
    | e.TargetProbed
    | e.TargetSkipped
    | e.StepStarted
    | e.StepAttached
    | e.ConnectionLost
    | e.ConnectionRestored
    | e.StepFinished
    | e.CancelStarted
    | e.CancelFinished
    | e.ReleaseRead
    | e.TargetUnlocked
)
_STOPPING: dict[StopStage, str] = {
    "asking": "starting nothing new while a person is asked what to stop",
    "starting": "starting nothing new",
    "running": "stopping what runs",
}
_STOPPED_HERE: dict[Pause, str] = {
    "waiting": "the gate needs an approval",
    "unknown": "an outcome is unknown",
    "detached": "the controlling terminal went away",
    "interrupted": "a person stopped it",
    "terminated": "the engine was told to end",
}
_SETTLED: dict[Settlement, str] = {"retry": "to be run again", "ok": "as ok", "failed": "as failed"}


def narrate(event: Event, state: RolloutState) -> str:
    """An event as one line; "" for what is not worth one. `state` is the one that the event led to."""
    match event:
        case e.RolloutStarted() | e.EngineResumed() | e.EngineStopped() | e.FrontLost() | e.ArtifactRead():
            return _of_engine(event)
        case (
            e.WaveStarted()
            | e.GateOpened()
            | e.GatePassed()
            | e.GateExpired()
            | e.RollbackStarted()
            | e.FinallyStarted()
            | e.RolloutFinished()
        ):
            return _of_rollout(event, _plan(state))
        case (
            e.GateApproved()
            | e.ItemTicked()
            | e.Aborted()
            | e.FailureTreated()
            | e.UnknownSettled()
            | e.StopRequested()
            | e.StopWithdrawn()
        ):
            return _of_person(event, state)
        case _:
            return _of_target(event, state)


def standing(state: RolloutState) -> str:
    """The number of targets that are done, running, unknown and so on, in one line."""
    words = Counter(
        "running, to be asked about" if target.running else _ended(target) or "not started"
        for target in state.targets.values()
    )
    return ", ".join(f"{count} {word}" for word, count in words.most_common())


def left_to_do(state: RolloutState) -> str:
    """The work that a resumed rollout has, in one line: `3 half done, 0 not begun, 1 failed`."""
    words = Counter(map(_progress, state.targets.values()))
    parts = [f"{words.pop(word, 0)} {word}" for word in ("half done", "not begun")]
    return ", ".join([*parts, *(f"{count} {word}" for word, count in words.most_common())])


def _progress(target: TargetState) -> str:
    if target.running is not None or (target.steps.outcome is None and target.started_at):
        return "half done"
    return _ended(target) or "not begun"


def _ended(target: TargetState) -> str:
    """The word for how its deployment ended, "" while it has not; with a step that a person skipped no plain `ok`."""
    if target.steps.outcome is None:
        return ""
    waived_one = target.steps.outcome == "ok" and waived(target.rulings)
    return "ok but for a skipped step" if waived_one else OUTCOME_WORDS[target.steps.outcome]


def _of_engine(event: _OfEngine) -> str:
    match event:
        case e.RolloutStarted(rollout, plan, by):
            where = f" in {plan.environment}" if plan.environment else ""
            what = f"{plan.fleet} {plan.release}{where}: {count(len(plan.targets), 'target')}, {rollout}"
            return f"{by} starts {what}{_taking_over(event.breaks)}"
        case e.EngineResumed(by):
            return f"{by} resumes the rollout{_taking_over(event.breaks)}"
        case e.EngineStopped(reason):
            return f"stopped here: {_STOPPED_HERE.get(reason, reason)}"
        case e.FrontLost():
            return "the screen is gone: nothing new is started"
        case e.ArtifactRead(path, size, sha256):
            return f"{path}: {size} bytes, sha256 {sha256[:12]}"
        case _:
            assert_never(event)


def _of_rollout(event: _OfRollout, plan: Plan) -> str:
    match event:
        case e.WaveStarted(wave):
            planned = plan.waves[wave]
            return f"wave {wave + 1} of {len(plan.waves)} {planned.name}: {count(len(planned.targets), 'target')}"
        case e.GateOpened(wave):
            return f"GATE after {plan.waves[wave].name}: waiting for a person's approval"
        case e.GatePassed():
            return "the gate needs no person"
        case e.GateExpired():
            return "the gate expired"
        case e.RollbackStarted(_, targets, unnamed):
            cannot = f"; no former release: {', '.join(unnamed)}" if unnamed else ""
            return f"rolling back {count(len(targets), 'target')}{cannot}"
        case e.FinallyStarted(_, targets):
            return f"finally, on {count(len(targets), 'target')}" if targets else ""
        case e.RolloutFinished(verdict, reason, exit_code):
            return f"{ended_word(verdict, exit_code)}: {reason}"
        case _:
            assert_never(event)


def _of_person(event: Decision, state: RolloutState) -> str:
    match event:
        case e.GateApproved(_, _, _, by, note):
            return f"{by.user} approved{noted(note)}"
        case e.ItemTicked(_, item, ticked, by):
            return f"{by.user}: item {item + 1} of the checklist {'ticked' if ticked else 'open'}"
        case e.Aborted(by, note, rollback):
            what = "rolled back" if rollback else "kept as they are"
            return f"{by.user} aborted{noted(note)}: changed targets are {what}"
        case e.FailureTreated(targets, treatment, by, note):
            return f"{by.user}: {treatment} {_skipped(event, state)}{', '.join(targets)}{noted(note)}"
        case e.UnknownSettled(target, settlement, by, note):
            return f"{by.user} marked {target} {_SETTLED[settlement]}{noted(note)}"
        case e.StopRequested(stage):
            return _STOPPING[stage]
        case e.StopWithdrawn(by):
            return f"{by.user} withdrew the stop"
        case _:
            assert_never(event)


def _skipped(event: e.FailureTreated, state: RolloutState) -> str:
    """The names of the steps that a person skips: `switch on `."""
    if event.treatment != "skip":
        return ""
    ruled = (state.targets[name].rulings for name in event.targets)
    steps = sorted({rulings[-1].step for rulings in ruled if rulings})
    return f"{' and '.join(steps)} on " if steps else ""


def _of_target(event: _OfTarget, state: RolloutState) -> str:
    line = _at_target(event, state)
    return f"{event.target}: {line}" if line else ""


def _at_target(event: _OfTarget, state: RolloutState) -> str:  # noqa: C901, PLR0911, PLR0912 - one case for each event
    match event:
        case e.TargetProbed(_, "ok", _, release, _, _, detail):
            return f"reached{f', runs {release}' if release else ''}{noted(detail)}"
        case e.TargetProbed(_, outcome):
            return f"{outcome}, {event.detail}"
        case e.TargetSkipped(_, reason):
            return f"skipped, {reason}"
        case e.StepStarted(_, phase, step, attempt):
            return f"{_step(_plan(state), phase, step)}{f', attempt {attempt}' if attempt > 1 else ''}"
        case e.StepAttached():
            return "asking how its step ended"
        case e.ConnectionLost(_, detail):
            return f"connection lost ({detail}); reconnecting{_meanwhile(event, state)}"
        case e.ConnectionRestored():
            return "reconnected"
        case e.StepFinished():
            return _step_ended(event, state)
        case e.CancelFinished(_, _, confirmed, detail):
            return f"{'stopped' if confirmed else 'stop unconfirmed'}{noted(detail)}"
        case e.ReleaseRead(_, release, detail):
            return f"reports {release or f'nothing ({detail})'}"
        case e.TargetUnlocked(_, released, detail):
            return "" if released else f"its lock was not released ({detail})"
        case e.ProbeStarted() | e.CancelStarted():
            return ""
        case _:
            assert_never(event)


def _meanwhile(event: e.ConnectionLost, state: RolloutState) -> str:
    """The fate of the step while its target is lost: it may not have begun, and an upload is cut."""
    running = state.targets[event.target].running
    if running is None:
        return ""
    step = _plan(state).phase_steps(running.phase)[running.step]
    return ", a step that has begun goes on there" if traits(step).durable else " to send the rest"


def _step_ended(event: e.StepFinished, state: RolloutState) -> str:
    """The step's name stands before an end that is not a good one: `deploy: exit 3`."""
    why = why_ended(event.outcome, event.detail, event.exit_code)
    words = f"{OUTCOME_WORDS[event.outcome]}{f', {why}' if why else ''}"
    target = state.targets[event.target]
    phase = next((phase for phase in PHASES if target.track(phase).execution == event.execution), None)
    if event.outcome == "ok" or phase is None:
        return words
    only_code = event.outcome == "failed" and bool(why) and not event.detail
    return f"{step_of(_plan(state), target, phase)}: {why if only_code else words}"


def step_of(plan: Plan, target: TargetState, phase: Phase) -> str:
    """The name of the step at which a target is in a phase that it has not done."""
    return _step(plan, phase, applicable(plan, target.name, phase)[target.track(phase).position])


def _plan(state: RolloutState) -> Plan:
    assert state.plan is not None
    return state.plan


def _step(plan: Plan, phase: Phase, step: int) -> str:
    name = plan.phase_steps(phase)[step].name
    return name if phase == "steps" else f"{phase} {name}"


def _taking_over(breaks: tuple[str, ...]) -> str:
    return f", breaking the locks of {' and '.join(breaks)}" if breaks else ""


def noted(note: str) -> str:
    """Put a note after a sentence, in brackets; nothing where there is none."""
    return f" ({note})" if note else ""
