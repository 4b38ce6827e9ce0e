"""Arguments that several commands share, and the values that they are turned into."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from canary_tui.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from canary_tui.domain.planning.choices import Choices
    from canary_tui.domain.planning.plan import Plan
    from canary_tui.fleetfile.loader import LoadedFleet

Command = Callable[[argparse.Namespace], ExitCode]
Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


@dataclass(frozen=True, slots=True)
class Headless:
    """Plain lines, or with `as_json` the journal's records; `approval` is the file of a prepared approval."""

    as_json: bool = False
    approval: str | None = None


@dataclass(frozen=True, slots=True)
class Screens:
    """The terminal UI; `theme` "" is the one of the last time."""

    theme: str = ""
    mouse: bool = False


THEMES = ("dark", "light", "terminal", "colour-blind")
_ID = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z-.+-[0-9a-f]{4,}")
Face = Headless | Screens
"""One of the ways in which an operator can look at a rollout."""


def add_command(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, text: str, command: Command, more: str = ""
) -> argparse.ArgumentParser:
    """Register a command: `text` stands in the list of commands, `more` below it in the command's own help."""
    parser = subparsers.add_parser(name, help=text, description=f"{text} {more}".strip())
    parser.set_defaults(command=command)
    return parser


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """The fleet file, and the environment where it has several."""
    parser.add_argument("fleet", metavar="FLEET", help="path of the fleet file")
    parser.add_argument("--env", metavar="E", help="the environment, if the fleet has several")


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Everything that decides who gets what."""
    add_fleet(parser)
    parser.add_argument("--release", default="", metavar="R", help="the release to roll out")
    parser.add_argument("--canary", metavar="SEL", help="select the canaries: 'web-1', '@canary zone=a'")
    parser.add_argument("--only", metavar="SEL", help="deploy only to these targets")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="SEL", help="leave these targets out (repeatable)"
    )
    parser.add_argument(
        "--var", action="append", default=[], metavar="K=V", help="set a variable for every step (repeatable)"
    )
    parser.add_argument("--redeploy", action="store_true", help="deploy even to targets already on the release")


def add_break_lock(parser: argparse.ArgumentParser) -> None:
    """The way past another rollout's locks."""
    parser.add_argument(
        "--break-lock",
        action="append",
        default=[],
        metavar="ROLLOUT",
        type=_rollout_id,
        help="break this rollout's locks and take over its targets (repeatable)",
    )


def _rollout_id(text: str) -> str:
    from canary_tui.domain.fleet.rules import ROLLOUT

    try:
        ROLLOUT.check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no rollout's id; give the whole id that the error prints")
    return text


def add_face(parser: argparse.ArgumentParser) -> None:
    """Both ways to run a rollout: with nobody to ask, and in the screens."""
    parser.add_argument(
        "--headless", action="store_true", help="print lines on stderr and the result on stdout; no screens"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the journal's records on stdout, one JSON object a line"
    )
    parser.add_argument("--approve-with", metavar="FILE", help="use an approval prepared for exactly this plan")
    add_screens(parser)


def add_screens(parser: argparse.ArgumentParser) -> None:
    """The look of the screens, and the mouse."""
    parser.add_argument("--mouse", action="store_true", help="enable mouse support")
    parser.add_argument(
        "--theme",
        default="",
        choices=THEMES,
        metavar="T",
        help=f"use this theme: {', '.join(THEMES[:-1])} or {THEMES[-1]}",
    )


def face_of(options: argparse.Namespace) -> Face:
    """The face that the arguments of `add_face` ask for."""
    return Headless(options.json, options.approve_with) if options.headless else screens_of(options)


def screens_of(options: argparse.Namespace) -> Screens:
    """The screens as the arguments of `add_screens` ask for them."""
    return Screens(options.theme, options.mouse)


def choices_of(options: argparse.Namespace, *, attended: bool) -> Choices:
    """The choices that the arguments of `add_choices` are; `attended`: somebody is there to make the others."""
    from canary_tui.domain.planning.choices import Choices

    return Choices(
        release=options.release,
        environment=options.env,
        canary_selection=options.canary,
        only=options.only,
        exclude=tuple(options.exclude),
        variables=variables_of(options),
        redeploy=options.redeploy,
        attended=attended,
        directory=str(Path(options.fleet).absolute().parent),
    )


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """The operator's own variables; UsageError for one without a value."""
    return dict(_variable(text) for text in options.var)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--var {text}: write it as NAME=VALUE")
    return name, value


def plan_of(fleet: str | Path, choices: Choices) -> Plan:
    """The plan of a rollout that nobody completes in the screens; UsageError where something is missing for it."""
    from canary_tui.domain.planning.build import build_plan

    loaded = load(fleet)
    if not choices.release:
        raise UsageError("--release is missing: say what is to be rolled out")
    return build_plan(loaded.fleet, choices, loaded.scripts)


def load(fleet: str | Path) -> LoadedFleet:
    """The fleet file, read and checked."""
    from canary_tui.fleetfile.loader import load_fleet

    return load_fleet(fleet)


def state_folder() -> Path:
    """The state directory; `run` has put `--state-dir` into the environment, where the engine finds it, too."""
    from canary_tui.store.layout import state_directory

    return state_directory(None, os.environ)
