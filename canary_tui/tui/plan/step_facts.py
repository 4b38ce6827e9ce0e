"""The facts of one step of a plan in words: its kind, its targets, its user, its limit, its variables, its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.units import spoken_duration
from canary_tui.domain.fleet.variables import AT_RUN_TIME, fill, names_in
from canary_tui.domain.planning.plan import Phase, Plan, PlannedTarget, applicable
from canary_tui.domain.planning.plan_text import step_text
from canary_tui.engine.local_command import artifact_path
from canary_tui.engine.steps import measure
from canary_tui.tui.shared.formats import short_size

Fact = tuple[str, str]
"""A label, "" for one more line of the same, and a text of any length."""

_MOST_FILES = 20
"""Files of one step that are read: the name may hold a variable, so each target may have its own."""
_ROLLED_BACK = {"RELEASE": "the release that the target had before", "PREVIOUS": "the release that is rolled back"}
_LATER = {"PREVIOUS": "the release that the target has before", "ROLLOUT": "the id of the rollout", "WAVE": "its wave"}


def facts(plan: Plan, phase: Phase, index: int) -> list[Fact]:
    """List everything about a step but its text."""
    step = plan.phase_steps(phase)[index]
    targets = [plan.targets[name] for name in plan.targets if index in applicable(plan, name, phase)]
    return [
        ("what", _kind(step)),
        ("where", _where(step, targets)),
        *([("as", text) for text in _users(targets)] if _on_targets(step) else []),
        ("limit", _limit(step)),
        *_needs(step),
        *_sent(step),
        *_variables(phase, targets),
    ]


def text_lines(plan: Plan, phase: Phase, index: int) -> list[str]:
    """Return the text that a step runs or asks, in lines; an upload has none."""
    step = plan.phase_steps(phase)[index]
    return [] if isinstance(step, UploadStep) else step_text(plan, step).rstrip("\n").split("\n")


def artifacts(plan: Plan, phase: Phase, index: int) -> list[Path]:
    """List the local files that a step sends, as far as they are known before the start."""
    step = plan.phase_steps(phase)[index]
    if not isinstance(step, UploadStep) or phase == "rollback" or set(names_in(step.upload)) & set(AT_RUN_TIME):
        return []
    targets = [plan.targets[name] for name in plan.targets if index in applicable(plan, name, phase)]
    names = dict.fromkeys(fill(step.upload, target.variables) for target in targets)
    return [artifact_path(plan.directory, name) for name in list(names)[:_MOST_FILES]]


def measured(path: Path) -> list[Fact]:
    """Read a file: its size and digest. The start reads it once more, and every target gets those bytes."""
    try:
        size, sha256 = measure(path)
    except OSError as error:
        return [("file", str(path)), ("", f"cannot be read: {error.strerror}; the start would be refused")]
    return [("file", str(path)), ("size", f"{short_size(size)} ({size:,} bytes)"), ("sha256", sha256)]


def _kind(step: Step) -> str:
    match step:
        case RunStep():
            return "run: shell text, by sh on the target; it ends at the first command that fails"
        case ScriptStep():
            return f"script {step.script}: by the interpreter of its first line, else by sh, on the target"
        case UploadStep():
            return "upload: one file, put there whole and verified, or not at all"
        case HttpStep():
            return "http: asked until the answer is as expected"
        case LocalStep():
            return "local: shell text, by sh on this machine, once for each target"
        case _:
            assert_never(step)


def _on_targets(step: Step) -> bool:
    return not isinstance(step, LocalStep | HttpStep) or (isinstance(step, HttpStep) and step.from_ == "target")


def _where(step: Step, targets: list[PlannedTarget]) -> str:
    roles = f", role {' or '.join(step.roles)}" if step.roles else ""
    here = "" if _on_targets(step) else "from this machine, for "
    names = compress_names(target.name for target in targets)
    return f"{here}{count(len(targets), 'target')}{roles}: {names or 'none'}"


def _users(targets: list[PlannedTarget]) -> Iterator[str]:
    """Name the users that run the step, with their targets where they differ."""
    groups: dict[str, list[str]] = {}
    for target in targets:
        login = target.ssh.user or "the login user of your ssh settings"
        sudo = "root" if target.ssh.sudo is True else target.ssh.sudo
        groups.setdefault(f"{sudo}, by sudo from {login}" if sudo else login, []).append(target.name)
    for user, names in groups.items():
        yield f"{user}: {compress_names(names)}" if len(groups) > 1 else user


def _limit(step: Step) -> str:
    parts = [spoken_duration(step.timeout)]
    if step.retries:
        parts.append(f"run again after a failure, at most {count(step.retries, 'time')}")
    if isinstance(step, RunStep) and not step.durable:
        parts.append("it ends with its connection (durable = false)")
    return "; ".join(parts)


def _needs(step: Step) -> list[Fact]:
    return [("needs", " ".join(step.tools))] if isinstance(step, RunStep | ScriptStep) and step.tools else []


def _variables(phase: Phase, targets: list[PlannedTarget]) -> Iterator[Fact]:
    """List the variables with their values; where those differ, with the number of different ones."""
    names = dict.fromkeys([*(name for target in targets for name in target.variables), *_LATER])
    later = _LATER | (_ROLLED_BACK if phase == "rollback" else {})
    label = "sees"
    for name in names:
        values = {target.variables.get(name) for target in targets}
        if name in later:
            yield (label, f"{name}  {later[name]}")
        else:
            yield (
                label,
                f"{name}={values.pop()}" if len(values) == 1 else f"{name}  {len(values):,} values, by target",
            )
        label = ""


def _sent(step: Step) -> list[Fact]:
    return [("from", step.upload), ("to", f"{step.to}, mode {step.mode}")] if isinstance(step, UploadStep) else []
