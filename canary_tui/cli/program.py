"""Commands about the program itself: keys, demo, and the hidden one that the screens start the engine by."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from canary_tui.cli.options import Headless, Subparsers, add_command, add_face, face_of, state_folder
from canary_tui.cli.rollouts import roll_out
from canary_tui.demo.faults import fault_table
from canary_tui.errors import ExitCode


def add_keys(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    add_command(subparsers, "keys", "List every key of the screens.", _keys)


def _keys(_: argparse.Namespace) -> ExitCode:
    from canary_tui.tui.actions import key_table
    from canary_tui.tui.keys import load_settings

    print(key_table(dict(load_settings().keys)))
    return ExitCode.SUCCEEDED


def add_demo(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Start eight real SSH servers on loopback and roll out there."
    parser = add_command(subparsers, "demo", text, _demo)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TARGET:FAULT",
        help="give a target one of the faults below (repeatable)",
    )
    parser.add_argument("--folder", metavar="DIR", help="keep everything in this folder; default: a temporary folder")
    parser.add_argument("--write", metavar="DIR", help="write the fleet file and the keys there; start nothing")
    parser.add_argument("--release", default="", metavar="R", help="the release to roll out")
    add_face(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"faults, for example `--fault web-3:slow`:\n{fault_table()}"


def _demo(options: argparse.Namespace) -> ExitCode:
    from canary_tui.demo.launch import start_demo, write_demo
    from canary_tui.domain.planning.choices import Choices

    if options.write:
        print(write_demo(Path(options.write)))
        return ExitCode.SUCCEEDED
    face = face_of(options)
    state = Path(os.environ["CANARY_TUI_STATE"]) if options.state_dir else None  # `run` has put it there
    with start_demo(Path(options.folder) if options.folder else None, options.fault, state) as demo:
        sys.stderr.write(f"demo fleet: {demo.fleet_path}\n")
        choices = Choices(
            options.release or demo.release,
            environment=demo.environment,
            attended=not options.headless,
            directory=str(demo.fleet_path.absolute().parent),
        )
        code = roll_out(demo.fleet_path, choices, face, demo=not options.folder, engine=demo.engine)
    if not options.folder:
        sys.stderr.write("the demo's folder is removed, with its logs; `--folder DIR` keeps one\n")
    if isinstance(face, Headless) and code.resumable:
        sys.stderr.write(
            "the demo's servers ended with this command, so there is nothing to resume; leave out --headless\n"
        )
    return code


def add_serve(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("_serve")  # started by the screens, not typed by people, so it has no help
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--paced", action="store_true")
    parser.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> ExitCode:
    from canary_tui.service.server import serve

    if options.paced:
        from canary_tui.demo.pace import paced_network

        return serve(options.fd, state_folder(), paced_network)
    return serve(options.fd, state_folder())
