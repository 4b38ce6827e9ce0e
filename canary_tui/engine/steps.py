"""Performs each kind of step on one target, with its variables."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.variables import AT_RUN_TIME, fill, names_in
from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.domain.rollout.events import ArtifactRead
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.http_probe import ask_http
from canary_tui.engine.local_command import LocalRequest, artifact_path, run_here, seen_gone
from canary_tui.engine.target import (
    CancelReport,
    CommandRequest,
    ExecuteReport,
    ExecuteRequest,
    Remote,
    Sink,
    UploadRequest,
    Watch,
)
from canary_tui.errors import UsageError
from canary_tui.regular import open_regular


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of a step on a target: everything that it needs, none of it to be looked up later."""

    rollout: str
    plan: Plan
    step: Step
    target: str
    execution: str
    variables: dict[str, str]
    boot: str
    artifacts: dict[str, tuple[int, str]]


def variables(plan: Plan, state: RolloutState, target: str, phase: Phase) -> dict[str, str]:
    """The variables of a step: those of the plan, and what is known only now.

    In a rollback RELEASE is what the target had before, and PREVIOUS what this rollout brought.
    """
    previous = state.targets[target].previous
    wave = plan.waves[state.targets[target].wave].name
    known = {**plan.targets[target].variables, "ROLLOUT": state.rollout, "WAVE": wave, "PREVIOUS": previous}
    return {**known, "RELEASE": previous, "PREVIOUS": plan.release} if phase == "rollback" else known


async def perform(
    task: Task, remote: Remote, sink: Sink, watch: Watch, began_here: Callable[[int], None]
) -> ExecuteReport:
    """Do the step; the report says how it ended. `began_here` hears the process group of a local one."""
    step, cap = task.step, task.plan.limits.output
    match step:
        case RunStep(durable=True):
            return await remote.execute(_durable(task, _as_typed(step.run)), sink, watch)
        case RunStep():
            command = CommandRequest(_as_typed(step.run), task.variables, step.timeout, cap, task.rollout)
            return await remote.command(command, sink)
        case ScriptStep():
            return await remote.execute(_durable(task, task.plan.scripts[step.script].encode()), sink, watch)
        case UploadStep():
            return await _upload(task, step, remote, sink, watch)
        case HttpStep():
            asker = remote if step.from_ == "target" else None
            return await ask_http(fill(step.http, task.variables), step.expect, step.timeout, asker, sink)
        case LocalStep():
            request = LocalRequest(step.local, task.variables, task.plan.directory, step.timeout, cap)
            return await run_here(request, sink, began_here)
        case _:
            assert_never(step)


async def see_ended(step: Step, remote: Remote, group: int | None) -> CancelReport:
    """Look at the end of a stopped step that the engine runs itself, once its task has ended.

    `group` is the process group that `perform` told of, None where none had begun.
    """
    match step:
        case LocalStep():
            return await seen_gone(group) if group else CancelReport(confirmed=True, detail="it had not begun")
        case HttpStep(from_="target"):
            detail = "nothing more is asked; a request under way there changes nothing, and ends by its limit"
            return CancelReport(confirmed=True, detail=detail)
        case HttpStep():
            return CancelReport(confirmed=True, detail="nothing more is asked")
        case UploadStep():
            return remote.upload_end()
        case RunStep() | ScriptStep():
            return CancelReport(confirmed=False, detail="it runs on the target, and only the target can see its end")
        case _:
            assert_never(step)


def _as_typed(text: str) -> bytes:
    """Text for sh that stops at the first failure; on one line with that, so that sh counts lines as the file does."""
    return b"set -e; " + text.encode()


def _durable(task: Task, script: bytes) -> ExecuteRequest:
    step = task.step
    cap = task.plan.limits.output
    return ExecuteRequest(task.execution, script, task.variables, step.timeout, cap, task.boot, task.rollout)


async def _upload(task: Task, step: UploadStep, remote: Remote, sink: Sink, watch: Watch) -> ExecuteReport:
    source, to = fill(step.upload, task.variables), fill(step.to, task.variables)
    path = artifact_path(task.plan.directory, source)
    try:  # what is not frozen is a rollback's file, whose name holds the release to go back to
        size, sha256 = task.artifacts[source] if source in task.artifacts else await asyncio.to_thread(measure, path)
    except OSError as error:
        return ExecuteReport("failed", detail=f"{path}: {error.strerror}")
    request = UploadRequest(str(path), size, sha256, _from_home(to), int(step.mode, 8), step.timeout, task.rollout)
    report = await remote.upload(request, watch)
    words = "already there, skipped" if report.skipped else f"{size} bytes, verified"
    sink.write(f"{source} to {to}: {words if report.outcome == 'ok' else report.detail}\n".encode())
    return ExecuteReport(report.outcome, 0 if report.outcome == "ok" else None, 0, report.detail, report.fenced)


def _from_home(to: str) -> str:
    """A path that begins at the home, as a relative one does there: no shell reads it that would know `~/`."""
    return f"./{to[2:]}" if to.startswith("~/") else to


def read_artifacts(plan: Plan) -> Iterator[ArtifactRead]:
    """Measure, once, every local file that the steps of some target send, so that all are sent the same bytes.

    Raises:
        UsageError: one cannot be read.
    """
    uploads = [step.upload for step in plan.steps if isinstance(step, UploadStep)]
    uploads = [name for name in uploads if not set(names_in(name)) & set(AT_RUN_TIME)]
    for name in sorted({fill(upload, target.variables) for upload in uploads for target in plan.targets.values()}):
        path = artifact_path(plan.directory, name)
        try:
            yield ArtifactRead(name, *measure(path))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; an upload step sends this file") from None


def measure(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 in hex of a file."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
