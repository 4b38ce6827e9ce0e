"""The parser of the command line, and the one place where an error becomes words and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from canary_tui import __version__
from canary_tui.cli.decisions import add_abort, add_approve
from canary_tui.cli.fleets import add_check, add_ping, add_plan, add_schema
from canary_tui.cli.listing import add_history
from canary_tui.cli.options import Command
from canary_tui.cli.program import add_demo, add_keys, add_serve
from canary_tui.cli.rollouts import add_replay, add_resume, add_run, add_verify, add_watch
from canary_tui.cli.streams import lost_output
from canary_tui.errors import CanaryError, ExitCode, FleetFileError, UsageError, machine_trouble
from canary_tui.text.safe import make_safe

_ADDED = (
    add_run, add_check, add_plan, add_ping, add_history, add_watch, add_replay, add_resume, add_approve, add_abort,
    add_verify, add_schema, add_keys, add_demo, add_serve,
)  # fmt: skip
"""Every command, in the order of `--help`."""
_EPILOG = """\
exit codes: 0 succeeded; 1 failed; 2 usage or an invalid file; 3 aborted; 4 waiting at a gate (resumable);
  5 partly done; 6 gate expired; 7 locked by another; 8 an outcome is unknown (resumable); 130 interrupted (resumable)

Showing a feature to a few users only is a job for feature toggles, not for a deployment tool.
"""


def run(arguments: Sequence[str]) -> ExitCode:
    """Run one command line; an error that the operator can act on is printed in words, without a traceback."""
    try:
        return _run(arguments)
    except FleetFileError as error:
        from canary_tui.fleetfile.report import render

        sys.stderr.write(render(error.problems))
        return error.exit_code
    except CanaryError as error:
        sys.stderr.write("".join(f"canary-tui: {line}\n" for line in make_safe(str(error)).splitlines()))
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if not (trouble := machine_trouble(error)):
            raise
        sys.stderr.write(f"canary-tui: {make_safe(trouble)}\n")
        return ExitCode.FAILED


def _run(arguments: Sequence[str]) -> ExitCode:
    parser, names = _parser()
    options = parser.parse_args(_with_command(arguments, names))
    if options.state_dir:
        os.environ["CANARY_TUI_STATE"] = str(Path(options.state_dir).expanduser().absolute())
    command: Command = options.command
    code = command(options)
    # The lines about a rollout are not what it is for: its exit code stays that of the rollout.
    if "approve_with" not in options and (why := lost_output()):
        raise CanaryError(f"standard output: {why}; what was printed there is not whole")
    return code


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """The parser, and the names of all commands, as they were registered with it."""
    parser = argparse.ArgumentParser(
        prog="canary-tui",
        description="Roll a release out to a fleet over plain SSH:\ncanaries first, then a test and a person's yes or "
        "no, then the rest.\n`canary-tui FLEET` is short for `canary-tui run FLEET`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"canary-tui {__version__}")
    parser.add_argument("--state-dir", metavar="DIR", help="keep rollouts in this folder (CANARY_TUI_STATE)")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in _ADDED:
        add(subparsers)
    return parser, subparsers.choices


def _with_command(arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """`canary-tui shop.toml ...` means `canary-tui run shop.toml ...`; UsageError for a misspelt command."""
    words = list(arguments)
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] == "--state-dir" else 1
    if at < len(words) and words[at] not in names:
        _check_path(words[at], names)
        words.insert(at, "run")
    return words


def _check_path(word: str, names: Collection[str]) -> None:
    if "/" in word or "." in word or os.access(word, os.F_OK):
        return
    from canary_tui.domain.fleet.names import suggest

    hint = suggest(word, [name for name in names if not name.startswith("_")])
    raise UsageError(f"no command {word!r}, and no fleet file of that name; {hint or 'see --help'}")
