"""Arguments and wiring: what each command needs is loaded by that command alone, so that looking stays fast."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from canary_tui import __version__
from canary_tui.errors import CanaryError, ExitCode, FleetFileError, UsageError

if TYPE_CHECKING:
    from canary_tui.domain.planning.build import Choices
    from canary_tui.domain.planning.plan import Plan
    from canary_tui.fleetfile.loader import LoadedFleet
    from canary_tui.store.layout import RolloutDirectory

_Command = Callable[[argparse.Namespace], ExitCode]
_EPILOG = """\
exit codes: 0 succeeded; 1 failed; 2 usage or an invalid file; 3 aborted; 4 waiting at a gate (resumable);
  5 partly done; 6 gate expired; 7 locked by another; 8 an outcome is unknown (resumable); 130 interrupted (resumable)

Showing a feature to a few users only is a job for feature toggles, not for a deployment tool.
"""


def run(arguments: Sequence[str]) -> ExitCode:
    """Run one command line; every error that an operator can act on is told here, in words."""
    parser = _parser()
    options = parser.parse_args(_with_command(arguments))
    if options.state_dir:
        os.environ["CANARY_TUI_STATE"] = str(Path(options.state_dir).expanduser().absolute())
    command: _Command = options.command
    try:
        return command(options)
    except FleetFileError as error:
        from canary_tui.fleetfile.report import render

        sys.stderr.write(render(error.problems))
        return error.exit_code
    except CanaryError as error:
        sys.stderr.write("".join(f"canary-tui: {line}\n" for line in _printable(str(error)).splitlines()))
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone; so must be what Python would flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    finally:
        gc.enable()


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="canary-tui",
        description="Roll a release out to a fleet over plain SSH:\ncanaries first, then a test and a person's yes or "
        "no, then the rest.\n`canary-tui FLEET` is short for `canary-tui run FLEET`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"canary-tui {__version__}")
    parser.add_argument("--state-dir", metavar="DIR", help="where rollouts are kept (CANARY_TUI_STATE)")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_run, _add_check, _add_plan, _add_ping, _add_history, _add_watch, _add_replay, _add_resume, _add_verify,
        _add_schema, _add_keys, _add_demo, _add_serve,
    ):  # fmt: skip
        add(subparsers)
    return parser


_NAMES = (
    "run",
    "check",
    "plan",
    "ping",
    "history",
    "watch",
    "replay",
    "resume",
    "verify",
    "schema",
    "keys",
    "demo",
    "_serve",
)


def _with_command(arguments: Sequence[str]) -> list[str]:
    """`canary-tui shop.toml ...` means `canary-tui run shop.toml ...`."""
    words = list(arguments)
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] == "--state-dir" else 1
    if at < len(words) and words[at] not in _NAMES:
        words.insert(at, "run")
    return words


_Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _add(
    subparsers: _Subparsers[argparse.ArgumentParser], name: str, text: str, command: _Command
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fleet", metavar="FLEET", help="path of the fleet file")
    parser.add_argument("--release", default="", metavar="R", help="what is rolled out")
    parser.add_argument("--env", metavar="E", help="the environment, where the fleet has several")
    parser.add_argument("--canary", metavar="SEL", help="the canaries, as a selection: 'web-1', '@canary zone=a'")
    parser.add_argument("--only", metavar="SEL", help="exactly these targets, now; the rest is left alone")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="SEL", help="leave these alone; may be repeated"
    )
    parser.add_argument(
        "--var", action="append", default=[], metavar="K=V", help="a variable of every step; may be repeated"
    )
    parser.add_argument("--redeploy", action="store_true", help="also targets that report the release already")


def _add_break_lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--break-lock",
        action="append",
        default=[],
        metavar="ROLLOUT",
        type=_rollout_id,
        help="take targets over from exactly this rollout; may be repeated",
    )


def _rollout_id(text: str) -> str:
    from canary_tui.domain.fleet.rules import ROLLOUT

    try:
        ROLLOUT.check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _add_headless(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--headless", action="store_true", help="no screens: plain lines on stderr, the result on stdout"
    )
    parser.add_argument("--json", action="store_true", help="the journal's records on stdout, one JSON object a line")
    parser.add_argument("--approve-with", metavar="FILE", help="an approval that was prepared for this very plan")


def _add_screens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mouse", action="store_true", help="the screens take the mouse, too")
    parser.add_argument("--theme", default="", metavar="T", help="dark, light, terminal or colour-blind")


# run


def _add_run(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "run", "Pick canaries, read the plan, roll out.", _run)
    _add_choices(parser)
    _add_break_lock(parser)
    _add_headless(parser)
    _add_screens(parser)


def _run(options: argparse.Namespace) -> ExitCode:
    if not options.headless:
        return _screens(options, fleet=Path(options.fleet), choices=_choices(options, attended=True))
    gc.disable()  # the session enables it when all is loaded
    from canary_tui.engine.identity import operator
    from canary_tui.service.headless import read_approval, run_headless
    from canary_tui.service.session import open_new

    approval = read_approval(Path(options.approve_with)) if options.approve_with else None
    plan = _plan_of(options)
    for warning in plan.warnings:
        sys.stderr.write(f"warning: {_printable(warning)}\n")
    by = operator()
    session = open_new(_state(), plan, by, attended=False, breaks=tuple(options.break_lock))
    return run_headless(session, by, approval, as_json=options.json)


def _choices(options: argparse.Namespace, *, attended: bool) -> Choices:
    from canary_tui.domain.planning.build import Choices

    return Choices(
        release=options.release,
        environment=options.env,
        canary_selection=options.canary,
        only=options.only,
        exclude=tuple(options.exclude),
        variables=dict(_variable(text) for text in options.var),
        redeploy=options.redeploy,
        attended=attended,
        directory=str(Path(options.fleet).absolute().parent),
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--var {text}: write it as NAME=VALUE")
    return name, value


def _plan_of(options: argparse.Namespace) -> Plan:
    from canary_tui.domain.planning.build import build_plan

    loaded = _load(options.fleet)
    if not options.release:
        raise UsageError("--release is missing: say what is to be rolled out")
    return build_plan(loaded.fleet, _choices(options, attended=False), loaded.scripts)


def _load(path: str) -> LoadedFleet:
    from canary_tui.fleetfile.loader import load_fleet

    return load_fleet(path)


def _state() -> Path:
    from canary_tui.store.layout import state_directory

    return state_directory(None, os.environ)


def _screens(
    options: argparse.Namespace,
    *,
    fleet: Path | None = None,
    rollout: Path | None = None,
    resume: bool = False,
    choices: Choices | None = None,
) -> ExitCode:
    from canary_tui.tui.terminal import refusal

    if reason := refusal(os.environ, (sys.stdin, sys.stdout)):
        raise UsageError(reason)
    gc.disable()  # the app enables it at its first frame: walking what is just being loaded takes a tenth of the wait
    from canary_tui.domain.planning.build import Choices
    from canary_tui.tui.app import run_app
    from canary_tui.tui.options import AppOptions

    return run_app(
        AppOptions(
            state=_state(), fleet=fleet, rollout=rollout, resume=resume, choices=choices or Choices(""),
            theme=options.theme, mouse=options.mouse, demo=getattr(options, "demo", False),
            breaks=tuple(getattr(options, "break_lock", ())),
        )
    )  # fmt: skip


# Looking at a file


def _add_check(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "check", "Every problem of a fleet file, with line, column and hint.", _check)
    parser.add_argument("fleet", metavar="FLEET", help="path of the fleet file")


def _check(options: argparse.Namespace) -> ExitCode:
    fleet = _load(options.fleet).fleet
    counts = (
        ("target", fleet.targets),
        ("step", fleet.steps),
        ("wave", fleet.waves),
        ("environment", fleet.environments),
    )
    said = ", ".join(f"{len(things)} {word}{'' if len(things) == 1 else 's'}" for word, things in counts)
    print(f"{_printable(options.fleet)}: sound: {said}")
    return ExitCode.SUCCEEDED


def _add_plan(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "plan", "Who would get what, in which order; connects to nothing.", _plan)
    _add_choices(parser)
    parser.add_argument(
        "--explain", metavar="TARGET", help="every value of one target, and the table that it came from"
    )


def _plan(options: argparse.Namespace) -> ExitCode:
    from canary_tui.domain.planning.plan_text import plan_lines

    plan = _plan_of(options)
    if options.explain:
        return _explain(options, plan)
    print("\n".join(map(_printable, plan_lines(plan))))
    return ExitCode.SUCCEEDED


def _explain(options: argparse.Namespace, plan: Plan) -> ExitCode:
    from canary_tui.domain.planning.settings import explain

    if options.explain not in plan.targets:
        raise UsageError(
            f"--explain {options.explain}: not in this rollout; it has {', '.join(list(plan.targets)[:8])}"
        )
    overrides = dict(_variable(text) for text in options.var)
    for one in explain(plan, _load(options.fleet).fleet, options.explain, overrides):
        print(_printable(f"{one.name} = {one.value!r}  from {one.source}"))
    return ExitCode.SUCCEEDED


def _add_ping(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    text = (
        "Connect to every target: host key, login, clock, disk, release. Changes nothing but the runner's own folder."
    )
    parser = _add(subparsers, "ping", text, _ping)
    parser.add_argument("fleet", metavar="FLEET", help="path of the fleet file")
    parser.add_argument("selection", nargs="?", metavar="SEL", help="only these targets")
    parser.add_argument("--env", metavar="E", help="the environment, where the fleet has several")


def _ping(options: argparse.Namespace) -> ExitCode:
    from canary_tui.domain.planning.build import Choices, build_plan
    from canary_tui.service.headless import ping

    loaded = _load(options.fleet)
    choices = Choices("ping", environment=options.env, only=options.selection or "*", directory=loaded.directory)
    return ping(build_plan(loaded.fleet, choices, loaded.scripts))


# Looking at rollouts


def _add_history(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "history", "The rollouts of a fleet, the newest first; or one of them.", _history)
    parser.add_argument("what", nargs="?", metavar="FLEET|ROLLOUT", help="a fleet's name or file, or a rollout's id")


def _history(options: argparse.Namespace) -> ExitCode:
    from canary_tui.store.history import history
    from canary_tui.store.layout import find_rollout

    name = _fleet_name(options.what)
    rows = history(_state(), name)
    if not rows and options.what:
        return _tell(find_rollout(_state(), options.what), as_json=False)
    for one in rows:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started_at))
        how = one.verdict or f"open ({one.reason or 'an engine is at work, or was killed'})"
        where = f" · {one.environment}" if one.environment else ""
        print(_printable(f"{one.rollout}  {when}  {one.fleet}{where} {one.release}  {one.targets} targets  {how}"))
    return ExitCode.SUCCEEDED


def _fleet_name(text: str | None) -> str | None:
    return _load(text).fleet.name if text and text.endswith(".toml") else text


def _tell(directory: RolloutDirectory, *, as_json: bool) -> ExitCode:
    from canary_tui.service.headless import print_journal
    from canary_tui.store.journal import read_journal

    print_journal(read_journal(directory.journal), as_json=as_json)
    return ExitCode.SUCCEEDED


def _add_watch(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "watch", "A rollout that is under way, live, read only.", _watch)
    _add_rollout(parser)
    _add_screens(parser)


def _add_replay(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "replay", "A rollout as its journal tells it: in the screens, or as lines.", _replay)
    _add_rollout(parser)
    _add_screens(parser)
    parser.add_argument("--headless", action="store_true", help="plain lines on stdout")
    parser.add_argument("--json", action="store_true", help="the journal's records, one JSON object a line")


def _add_rollout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rollout", nargs="?", metavar="ROLLOUT", help="its id, or the end of it; the newest if left out"
    )


def _rollout(options: argparse.Namespace) -> RolloutDirectory:
    from canary_tui.store.layout import find_rollout, latest

    found = find_rollout(_state(), options.rollout) if options.rollout else latest(_state())
    if found is None:
        raise UsageError(f"there is no rollout yet in {_state()}")
    return found


def _watch(options: argparse.Namespace) -> ExitCode:
    return _screens(options, rollout=_rollout(options).path)


def _replay(options: argparse.Namespace) -> ExitCode:
    if options.headless or options.json:
        return _tell(_rollout(options), as_json=options.json)
    return _watch(options)


def _add_resume(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "resume", "Go on with exactly the rest of a rollout that has not ended.", _resume)
    parser.add_argument(
        "rollout", nargs="?", metavar="ROLLOUT", help="its id, or the end of it; the newest open one if left out"
    )
    _add_break_lock(parser)
    _add_headless(parser)
    _add_screens(parser)


def _resume(options: argparse.Namespace) -> ExitCode:
    directory = _open_rollout(options)
    if not options.headless:
        return _screens(options, rollout=directory.path, resume=True)
    from canary_tui.engine.identity import operator
    from canary_tui.service.headless import read_approval, run_headless
    from canary_tui.service.session import open_again

    approval = read_approval(Path(options.approve_with)) if options.approve_with else None
    by = operator()
    session = open_again(_state(), directory, by, attended=False, breaks=tuple(options.break_lock))
    return run_headless(session, by, approval, as_json=options.json)


def _open_rollout(options: argparse.Namespace) -> RolloutDirectory:
    from canary_tui.store.history import history
    from canary_tui.store.layout import RolloutDirectory

    if options.rollout:
        return _rollout(options)
    for one in history(_state()):
        if one.verdict is None:
            return RolloutDirectory(one.path)
    raise UsageError("every rollout has ended; there is nothing to resume")


def _add_verify(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "verify", "Whether a journal's chain is intact, record by record.", _verify)
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


# The rest


def _add_schema(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    _add(subparsers, "schema", "The JSON Schema of the fleet file, for editors.", _schema)


def _schema(_: argparse.Namespace) -> ExitCode:
    from canary_tui.fleetfile.schema import schema_text

    sys.stdout.write(schema_text())
    return ExitCode.SUCCEEDED


def _add_keys(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    _add(subparsers, "keys", "Every key of the screens.", _keys)


def _keys(_: argparse.Namespace) -> ExitCode:
    from canary_tui.tui.actions import key_table
    from canary_tui.tui.keys import load_settings

    print(key_table(dict(load_settings().keys)))
    return ExitCode.SUCCEEDED


def _add_demo(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = _add(subparsers, "demo", "A fleet of eight real SSH servers on loopback, and this app on it.", _demo)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TARGET:FAULT",
        help="slow, fail, flaky, hang, drop or noisy; may be repeated",
    )
    parser.add_argument(
        "--folder", metavar="DIR", help="keep everything there; the default is a new folder that is removed at the end"
    )
    parser.add_argument("--write", metavar="DIR", help="only write the fleet file and the keys there")
    parser.add_argument("--release", default="", metavar="R", help="what is rolled out")
    _add_headless(parser)
    _add_screens(parser)


def _demo(options: argparse.Namespace) -> ExitCode:
    from canary_tui.demo.launch import start_demo, write_demo

    if options.write:
        print(write_demo(Path(options.write)))
        return ExitCode.SUCCEEDED
    with start_demo(Path(options.folder) if options.folder else None, options.fault) as demo:
        sys.stderr.write(f"demo fleet: {demo.fleet_path}\n")
        words = ["run", str(demo.fleet_path), "--release", options.release or demo.release, "--env", demo.environment]
        chosen = _parser().parse_args(words)
        chosen.demo = not options.folder
        for name in ("headless", "json", "approve_with", "mouse", "theme"):
            setattr(chosen, name, getattr(options, name))
        code = _run(chosen)
    if not options.folder:
        sys.stderr.write("the demo's folder is removed, logs and all; `--folder DIR` keeps one\n")
    if options.headless and code in (ExitCode.WAITING, ExitCode.UNKNOWN, ExitCode.INTERRUPTED):
        sys.stderr.write(
            "the demo's servers ended with this command, so there is nothing to resume; leave out --headless\n"
        )
    return code


def _add_serve(subparsers: _Subparsers[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("_serve")  # what the screens start; nobody's to type
    parser.add_argument("--fd", type=int, required=True)
    parser.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> ExitCode:
    from canary_tui.service.server import serve

    return serve(options.fd, _state())
