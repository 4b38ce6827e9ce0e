"""Commands about one rollout: run, resume, watch, replay, verify."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from canary_tui.cli.options import (
    Face,
    Headless,
    Screens,
    Subparsers,
    add_break_lock,
    add_choices,
    add_command,
    add_face,
    add_screens,
    choices_of,
    face_of,
    plan_of,
    screens_of,
    state_folder,
)
from canary_tui.errors import CanaryError, ExitCode, UsageError
from canary_tui.startup import pause_collector
from canary_tui.text.safe import make_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canary_tui.domain.planning.choices import Choices
    from canary_tui.domain.rollout.events import Decision, Operator
    from canary_tui.service.headless import PreparedApproval
    from canary_tui.store.layout import RolloutDirectory


class Stopped(CanaryError):
    """Nobody can be asked about a step that was stopped; the rollout can still be resumed."""

    exit_code = ExitCode.INTERRUPTED


def add_run(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    parser = add_command(subparsers, "run", "Pick canaries, review the plan, roll the release out.", _run)
    add_choices(parser)
    add_break_lock(parser)
    add_face(parser)


def _run(options: argparse.Namespace) -> ExitCode:
    choices = choices_of(options, attended=not options.headless)
    return roll_out(Path(options.fleet), choices, face_of(options), breaks=tuple(options.break_lock))


def roll_out(
    fleet: Path,
    choices: Choices,
    face: Face,
    *,
    breaks: tuple[str, ...] = (),
    demo: bool = False,
    engine: tuple[str, ...] = (),
) -> ExitCode:
    """Run a new rollout to its end; the screens ask for what `choices` leaves open.

    `breaks` are rollouts that may lose their targets' locks to it; `demo`: its servers end with this command.
    `engine` is the command line of the screens' engine, where it is not the usual one.
    """
    if isinstance(face, Screens):
        return _show(face, fleet=fleet, choices=choices, breaks=breaks, demo=demo, engine=engine)
    pause_collector()
    from canary_tui.engine.identity import operator
    from canary_tui.service.headless import run_headless
    from canary_tui.service.session import open_new

    approval = _approval(face)
    plan = plan_of(fleet, choices)
    for warning in plan.warnings:
        sys.stderr.write(f"warning: {make_safe(warning)}\n")
    by = operator()
    session = open_new(state_folder(), plan, by, attended=False, breaks=breaks)
    return run_headless(session, by, approval, as_json=face.as_json)


def _approval(face: Headless) -> PreparedApproval | None:
    from canary_tui.service.headless import read_approval

    return read_approval(Path(face.approval)) if face.approval else None


def _show(  # noqa: PLR0913 - all but the first by name, each an option of the screens
    face: Screens,
    *,
    fleet: Path | None = None,
    rollout: Path | None = None,
    resume: bool = False,
    choices: Choices | None = None,
    breaks: tuple[str, ...] = (),
    demo: bool = False,
    engine: tuple[str, ...] = (),
) -> ExitCode:
    _check_terminal()
    pause_collector()
    from canary_tui.domain.planning.choices import Choices
    from canary_tui.tui.app import run_app
    from canary_tui.tui.options import AppOptions

    options = AppOptions(
        state=state_folder(), fleet=fleet, rollout=rollout, resume=resume, choices=choices or Choices(""),
        theme=face.theme, mouse=face.mouse, demo=demo, breaks=breaks,
    )  # fmt: skip
    return run_app(replace(options, engine=engine) if engine else options)


def _check_terminal() -> None:
    """UsageError where the screens cannot be shown."""
    from canary_tui.tui.terminal import refusal

    if reason := refusal(os.environ, (sys.stdin, sys.stdout)):
        raise UsageError(reason)


def add_resume(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Resume a rollout that has not ended; repeats no finished step."
    parser = add_command(subparsers, "resume", text, _resume)
    _add_rollout(parser, "the only open one")
    text = "with --headless: run again each step that was stopped before its end"
    parser.add_argument("--retry-stopped", action="store_true", help=text)
    add_break_lock(parser)
    add_face(parser)


def _resume(options: argparse.Namespace) -> ExitCode:
    face, breaks = face_of(options), tuple(options.break_lock)
    if isinstance(face, Screens):
        _check_terminal()
        return _show(face, rollout=_open_rollout(options, face).path, resume=True, breaks=breaks)
    directory = _open_rollout(options, face)
    pause_collector()
    from canary_tui.engine.identity import operator
    from canary_tui.service.headless import run_headless
    from canary_tui.service.session import open_again

    approval = _approval(face)
    by = operator()
    retries = list(_retries(directory, by, again=options.retry_stopped))
    session = open_again(state_folder(), directory, by, attended=False, breaks=breaks)
    return run_headless(session, by, approval, as_json=face.as_json, decisions=retries)


def _retries(directory: RolloutDirectory, by: Operator, *, again: bool) -> Iterator[Decision]:
    """The decision to run steps `again` that a person stopped before their end; without it nobody can be asked here.

    Raises:
        Stopped: and the rollout is as open as before; ending it as failed would take the decision away.
    """
    from canary_tui.domain.fleet.names import compress_names, count
    from canary_tui.domain.rollout.apply import replay
    from canary_tui.domain.rollout.events import FailureTreated
    from canary_tui.store.journal import read_journal
    from canary_tui.store.layout import resume_command

    state = replay(read_journal(directory.journal))
    stopped = tuple(target.name for target in state.targets.values() if target.steps.outcome == "cancelled")
    if not stopped or not state.deploying:
        return
    if not again:
        raise Stopped(
            f"{directory.id}: a step was stopped before its end on {count(len(stopped), 'target')}: "
            f"{compress_names(stopped)}\n"
            f"whether to run it again is a person's decision: {resume_command(directory.id)}\n"
            f"or run it again without screens: {resume_command(directory.id)} --headless --retry-stopped"
        )
    yield FailureTreated(stopped, "retry", by, "stopped before its end")


def _open_rollout(options: argparse.Namespace, face: Face) -> RolloutDirectory:
    from canary_tui.store.layout import RolloutDirectory

    if options.rollout:
        return _rollout(options)
    from canary_tui.cli.open_rollouts import ask_which, only_one, open_rollouts

    found = open_rollouts()
    if isinstance(face, Screens):
        return RolloutDirectory(ask_which(found).path)
    again = ["--headless", *(["--json"] if face.as_json else [])]
    again += ["--approve-with", face.approval] if face.approval else []
    again += [word for rollout in options.break_lock for word in ("--break-lock", rollout)]
    return RolloutDirectory(only_one(found, again).path)


def add_watch(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    parser = add_command(subparsers, "watch", "Watch a rollout live, from any terminal. Read only.", _watch)
    _add_rollout(parser)
    add_screens(parser)


def _watch(options: argparse.Namespace) -> ExitCode:
    return _show(screens_of(options), rollout=_rollout(options).path)


def add_replay(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Replay a rollout from its journal, in the UI or as text."
    parser = add_command(subparsers, "replay", text, _replay)
    _add_rollout(parser)
    add_screens(parser)
    parser.add_argument("--headless", action="store_true", help="print lines on stdout; no screens")
    parser.add_argument("--json", action="store_true", help="print the journal's records, one JSON object a line")


def _replay(options: argparse.Namespace) -> ExitCode:
    if options.headless or options.json:
        return tell(_rollout(options), as_json=options.json)
    return _watch(options)


def _add_rollout(parser: argparse.ArgumentParser, default: str = "the newest") -> None:
    text = f"its id, or the end of it; default: {default}"
    parser.add_argument("rollout", nargs="?", metavar="ROLLOUT", help=text)


def _rollout(options: argparse.Namespace) -> RolloutDirectory:
    from canary_tui.store.layout import find_rollout, latest

    found = find_rollout(state_folder(), options.rollout) if options.rollout else latest(state_folder())
    if found is None:
        raise UsageError(f"there is no rollout yet in {state_folder()}")
    return found


def tell(directory: RolloutDirectory, *, as_json: bool) -> ExitCode:
    """Print a rollout again, from its journal."""
    from canary_tui.service.headless import print_journal
    from canary_tui.store.journal import read_journal

    print_journal(read_journal(directory.journal), as_json=as_json)
    return ExitCode.SUCCEEDED


def add_verify(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    parser = add_command(subparsers, "verify", "Verify a rollout's journal hash chain.", _verify)
    _add_rollout(parser)


def _verify(options: argparse.Namespace) -> ExitCode:
    from canary_tui.store.journal import verify

    directory = _rollout(options)
    report = verify(directory.journal)
    if not report.intact:
        raise CanaryError(f"{directory.journal}:{report.bad_line}: {report.problem}")
    torn = "; an unfinished last record is not counted" if report.torn else ""
    print(f"{directory.id}: {report.records} records, intact, ends with {report.head}{torn}")
    return ExitCode.SUCCEEDED
