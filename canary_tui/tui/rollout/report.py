"""The report at the end of a rollout: verdict, targets that are not ok and why, times, and open work."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from canary_tui.domain.fleet.names import compress_names, count, selection_of
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import CancelFinished
from canary_tui.domain.rollout.narration import noted
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import OUTCOME_WORDS
from canary_tui.engine.messages import Ended
from canary_tui.errors import ExitCode
from canary_tui.service.endings import closing_of
from canary_tui.store.layout import resume_command
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.status import Status, current_step, status_of, step_name
from canary_tui.tui.shared.formats import clock, short_time
from canary_tui.tui.shared.rows import TonedText, fit

Line = list[TonedText]

_GOES_ON = "nothing is lost, and resume goes on with exactly the rest"
_MOST_TOLD = 200
_WIDEST = 18
"""Most cells of a name, a status or a step before a reason."""
_TONES = {ExitCode.SUCCEEDED: "ok", ExitCode.PARTLY: "unknown"}


def exit_code(state: RolloutState, ended: Ended | None) -> ExitCode:
    """Return the exit code of the program: the engine's, or the journal's."""
    if ended is not None:
        return ExitCode(ended.exit_code)
    return closing_of(state).exit_code


def verdict_line(state: RolloutState, *, demo: bool = False) -> TonedText:
    """Write the first line; a `demo` cannot be resumed."""
    end = closing_of(state)
    title = f"{end.word.upper().replace('-', ' ')}: {end.sentence}"
    if end.ended:
        return title, _TONES.get(end.exit_code, "failed")
    if state.paused is None:
        return title, "dim"
    on = "the demo's servers end with this screen" if demo else _GOES_ON
    return f"{title}; {on}", "unknown"


def report(follower: Follower, fleet_file: Path | None, *, demo: bool = False) -> list[Line]:
    """Write the whole report in lines; `fleet_file` (None: nobody knows) is for the command of a similar rollout."""
    plan, state = follower.plan, follower.state
    if plan is None:
        return [[("the journal is empty", "dim")]]
    lines: list[Line] = [[verdict_line(state, demo=demo)], [(_about(plan, follower), "dim")]]
    for part in (
        _troubled(plan, state),
        _stops(follower),
        _rest(state),
        _releases(plan, state),
        _excluded(plan),
        _waves(plan, state),
        _left(follower, demo=demo),
        _places(plan, follower, fleet_file),
    ):
        told = list(part)
        if told:
            lines += [[], *told]
    return lines


def _about(plan: Plan, follower: Follower) -> str:
    began, took = follower.state.started_at, clock(follower.now() - follower.state.started_at)
    started = time.strftime("%H:%M:%S %Z", time.localtime(began)) if began else "-"  # every time here is of this zone
    where = f" in {plan.environment}" if plan.environment else ""
    return f"{plan.fleet} {plan.release}{where}, {count(len(plan.targets), 'target')}, started {started}, took {took}"


def _troubled(plan: Plan, state: RolloutState) -> Iterator[Line]:
    bad = [target for target in state.targets.values() if is_troubled(target)]
    yield from _told(plan, state, f"Not ok: {count(len(bad), 'target')}", bad)
    less = [target for target in state.targets.values() if status_of(state, target).kind == "waived"]
    less = [target for target in less if not is_troubled(target)]
    yield from _told(plan, state, f"Ok by a person's word: {count(len(less), 'target')}", less)


def _told(plan: Plan, state: RolloutState, title: str, targets: list[TargetState]) -> Iterator[Line]:
    """Write a row for each target, and one for all that ended alike, with their names below it."""
    if not targets:
        return
    yield [(title, "strong")]
    groups: dict[tuple[Status, str, str], list[str]] = {}
    for target in targets:
        groups.setdefault(_ended(plan, state, target), []).append(target.name)
    told = list(groups.items())[:_MOST_TOLD]
    who = [names[0] if len(names) == 1 else f"{len(names):,} targets" for _, names in told]
    words = ["ok" if status.kind == "waived" else status.word for (status, _, _), _ in told]
    widths = [min(_WIDEST, max(map(len, texts))) for texts in (who, words, [where for (_, where, _), _ in told])]
    for ((status, where, why), names), one, word in zip(told, who, words, strict=True):
        cells: list[TonedText] = [(one, "plain"), (word, status.kind), (where, "dim")]
        fitted = [(f"{fit(text, width)}  ", tone) for (text, tone), width in zip(cells, widths, strict=True) if width]
        yield [(f" {status.symbol} ", status.kind), *fitted, (why, "plain")]
        if len(names) > 1:
            yield [(f"     {compress_names(names)}", "dim")]
    if left := sum(len(names) for names in list(groups.values())[_MOST_TOLD:]):
        yield [(f"   and {left:,} more", "dim")]


def _ended(plan: Plan, state: RolloutState, target: TargetState) -> tuple[Status, str, str]:
    """Tell a target's status, the step that it ended at, and why, unless the status says that already."""
    status, step, why = status_of(state, target), current_step(plan, target), _why(target)
    where = step_name(step) if step is not None and target.started_at else ""
    return status, where, "" if why == status.word else why


def _stops(follower: Follower) -> Iterator[Line]:
    """Tell for each stopped target whether the stop was confirmed."""
    gone = [e for e in follower.stops.values() if isinstance(e, CancelFinished) and e.confirmed]
    unproven = [e for e in follower.stops.values() if not (isinstance(e, CancelFinished) and e.confirmed)]
    for event in unproven:
        detail = event.detail if isinstance(event, CancelFinished) and event.detail else "no proof that it ended"
        yield [(" ? ", "unknown"), (f"stop of {event.target} unconfirmed: {detail}", "plain")]
    by_detail: dict[str, list[str]] = {}
    for event in gone:
        by_detail.setdefault(event.detail, []).append(event.target)
    for detail, targets in by_detail.items():
        yield [(" + ", "ok"), (f"stopped: {compress_names(targets)}{noted(detail)}", "plain")]


def is_troubled(target: TargetState) -> bool:
    """Whether something about a target needs a person's eye."""
    tracks = (target.steps, target.rollback, target.finally_)
    bad = any(track is not None and track.outcome not in (None, "ok", "skipped", "not-started") for track in tracks)
    return bad or target.unconfirmed or target.running is not None


def _why(target: TargetState) -> str:
    phase = target.unknown_phase
    track = target.track(phase) if phase is not None else target.rollback or target.steps
    reason = track.detail or target.steps.detail or track.why
    reasons = [reason] if reason else []
    reasons += [str(replace(one, note="") if one.note and one.note in reason else one) for one in target.rulings]
    cleaned = target.finally_
    if cleaned is not None and cleaned.outcome not in (None, "ok"):
        reasons.append(f"finally {OUTCOME_WORDS[cleaned.outcome]}{noted(cleaned.why)}")
    if target.unconfirmed:
        reasons.append("the stop is unconfirmed")
    return "; ".join(reasons)


def _rest(state: RolloutState) -> Iterator[Line]:
    """List the other targets by status."""
    words: dict[tuple[str, str], list[str]] = {}
    for target in state.targets.values():
        status = status_of(state, target)
        if not is_troubled(target) and status.kind != "waived":
            words.setdefault((status.word, status.kind), []).append(target.name)
    for (word, kind), names in words.items():
        yield [(f"{fit(word, 14)} ", kind), (f"{len(names):>6,}  {compress_names(names)}", "plain")]


def _releases(plan: Plan, state: RolloutState) -> Iterator[Line]:
    read: dict[str, list[str]] = {}
    for target in state.targets.values():
        if target.reported is not None:
            read.setdefault(target.reported, []).append(target.name)
    if read:
        yield [("Releases, read back from the targets", "strong")]
    for release, names in sorted(read.items(), key=lambda one: one[0] == plan.release):
        tone = "ok" if release == plan.release else "unknown"
        yield [(f" {fit(release or 'no answer', 13)} ", tone), (f"{len(names):>6,}  {compress_names(names)}", "plain")]


def _excluded(plan: Plan) -> Iterator[Line]:
    reasons: dict[str, list[str]] = {}
    for one in plan.excluded:
        reasons.setdefault(one.reason, []).append(one.target)
    if reasons:
        yield [("Not part of this rollout", "strong")]
    for reason, names in reasons.items():
        yield [(f" {compress_names(names)}", "plain"), (f"  {reason}", "dim")]


def _waves(plan: Plan, state: RolloutState) -> Iterator[Line]:
    for index, wave in enumerate(plan.waves):
        began = state.wave_times.get(index)
        if began is None:
            yield [(f" wave {index + 1} {fit(wave.name, 10)} ", "plain"), ("not started", "dim")]
            continue
        ended = max((state.targets[name].ended_at for name in wave.targets), default=0.0)
        took = clock(ended - began) if ended >= began else "-"
        line: Line = [
            (f" wave {index + 1} {fit(wave.name, 10)} {count(len(wave.targets), 'target'):>13}  {took}", "plain")
        ]
        gate = state.gates.get(index)
        if gate is not None:
            later = state.wave_times.get(index + 1)
            waited = f", {short_time(later - gate.opened_at)}" if later is not None else ""
            by = f" by {gate.by}" if gate.by is not None else ""
            decision = "never approved" if gate.decision == "open" else gate.decision
            line.append((f"  gate {decision}{by}{waited}", "dim"))
        yield line


def _left(follower: Follower, *, demo: bool) -> Iterator[Line]:
    """List the work that is left to a person."""
    state = follower.state
    rollout = shlex.quote(state.rollout or follower.directory.name)
    if state.verdict is None and not demo:
        yield [("go on      ", "strong"), (resume_command(rollout), "plain")]
    mixed = [t.name for t in state.targets.values() if t.changed and t.rollback is None]
    other = [t.name for t in state.targets.values() if t.name not in set(mixed)]
    if state.verdict in ("failed", "aborted", "expired") and mixed and other:
        yield [("mixed      ", "unknown"), (f"{count(len(mixed), 'target')} changed: {compress_names(mixed)}", "plain")]
    if stuck := state.unnamed:
        yield [("by hand    ", "unknown"), (f"previous release unknown: {compress_names(stuck)}", "plain")]


def _places(plan: Plan, follower: Follower, fleet_file: Path | None) -> Iterator[Line]:
    yield [("logs       ", "dim"), (f"{follower.logs}/", "plain")]
    if fleet_file is not None and follower.state.verdict is not None:  # what is paused goes on, by `resume`
        yield [("similar    ", "dim"), (similar_command(plan, fleet_file), "plain")]


def similar_command(plan: Plan, fleet_file: Path) -> str:
    """Write a command for a rollout like this one, as far as the plan tells: it holds no `--var`.

    The program that reads it makes the same canaries of the same targets.
    """
    words = ["canary-tui", "run", str(fleet_file), "--release", plan.release]
    if plan.environment:
        words += ["--env", plan.environment]
    if plan.waves[0].origin.startswith("--only "):
        words += ["--only", selection_of(plan.targets)]
    else:
        words += ["--canary", selection_of(plan.canaries)] if plan.canaries else []
        words += ["--exclude", selection_of(one.target for one in plan.excluded)] if plan.excluded else []
    if plan.redeploy:
        words.append("--redeploy")
    return shlex.join([*words, "--headless"])
