"""Commands about a fleet file: check, plan, ping, schema."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from canary_tui.cli.options import (
    Subparsers,
    add_choices,
    add_command,
    add_fleet,
    choices_of,
    load,
    plan_of,
    variables_of,
)
from canary_tui.errors import ExitCode, UsageError
from canary_tui.text.safe import make_safe

if TYPE_CHECKING:
    from canary_tui.domain.planning.plan import Plan
    from canary_tui.engine.target import ProbeReport


def add_check(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "List every problem of a fleet file with line, column and hint."
    parser = add_command(subparsers, "check", text, _check)
    parser.add_argument("fleet", metavar="FLEET", help="path of the fleet file")


def _check(options: argparse.Namespace) -> ExitCode:
    fleet = load(options.fleet).fleet
    counts = (
        ("target", fleet.targets),
        ("step", fleet.steps),
        ("wave", fleet.waves),
        ("environment", fleet.environments),
    )
    said = ", ".join(f"{len(things)} {word}{'' if len(things) == 1 else 's'}" for word, things in counts)
    print(f"{make_safe(options.fleet)}: sound: {said}")
    return ExitCode.SUCCEEDED


def add_plan(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Show the plan: targets, waves, steps. Connects to nothing."
    parser = add_command(subparsers, "plan", text, _plan)
    add_choices(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--full", action="store_true", help="show each step's whole text and the variables' names, too")
    shown.add_argument("--json", action="store_true", help="print the frozen plan and its hash as one JSON object")
    shown.add_argument("--explain", metavar="TARGET", help="show every value of one target and its source table")


def _plan(options: argparse.Namespace) -> ExitCode:
    from canary_tui.domain.codec import encode
    from canary_tui.domain.planning.plan_text import full_lines, plan_lines

    plan = plan_of(options.fleet, choices_of(options, attended=False))
    if options.explain:
        return _explain(options, plan)
    if options.json:
        print(json.dumps({"hash": plan.hash, "plan": encode(plan)}))
        return ExitCode.SUCCEEDED
    print("\n".join(map(make_safe, full_lines(plan) if options.full else plan_lines(plan))))
    return ExitCode.SUCCEEDED


def _explain(options: argparse.Namespace, plan: Plan) -> ExitCode:
    from canary_tui.domain.planning.settings import explain

    if options.explain not in plan.targets:
        raise UsageError(
            f"--explain {options.explain}: not in this rollout; it has {', '.join(list(plan.targets)[:8])}"
        )
    for one in explain(plan, load(options.fleet).fleet, options.explain, variables_of(options)):
        print(make_safe(f"{one.name} = {one.value!r}  ({one.source})"))
    return ExitCode.SUCCEEDED


def add_ping(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "Connect to each target: check login, clock, disk and release."
    more = "Checks host keys, too, and changes nothing but the runner's own folder."
    parser = add_command(subparsers, "ping", text, _ping, more)
    add_fleet(parser)
    parser.add_argument("selection", nargs="?", metavar="SEL", help="check only these targets")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each target on stdout")


def _ping(options: argparse.Namespace) -> ExitCode:
    import asyncio

    from canary_tui.domain.planning.build import build_plan
    from canary_tui.domain.planning.choices import Choices
    from canary_tui.service.preflight import look_at_all
    from canary_tui.ssh.network import SshNetwork

    loaded = load(options.fleet)
    choices = Choices("ping", environment=options.env, only=options.selection or "*", directory=loaded.directory)
    plan = build_plan(loaded.fleet, choices, loaded.scripts)
    outcomes: list[str] = []

    def tell(name: str, report: ProbeReport) -> None:
        outcomes.append(report.outcome)
        print(json.dumps(_as_json(name, report)) if options.json else make_safe(_found(name, report)), flush=True)

    async def look() -> None:
        await look_at_all(plan, SshNetwork(), tell)

    asyncio.run(look())
    reached = outcomes.count("ok")
    print(f"{reached} of {len(plan.targets)} targets reached", file=sys.stderr if options.json else sys.stdout)
    return ExitCode.SUCCEEDED if reached == len(plan.targets) else ExitCode.FAILED


def _as_json(name: str, report: ProbeReport) -> dict[str, object]:
    """The keys that the README documents."""
    return {
        "target": name,
        "outcome": report.outcome,
        "release": report.release,
        "clock_offset": report.clock_offset,
        "free_bytes": report.free_bytes,
        "detail": report.note,
    }


def _found(name: str, report: ProbeReport) -> str:
    if report.outcome != "ok":
        return f"{name}: {report.outcome}: {report.detail}"
    runs = f", runs {report.release}" if report.release else ""
    free, note = f"{report.free_bytes / 1e9:.1f} GB free", f" ({report.note})" if report.note else ""
    return f"{name}: ok{runs}, clock {report.clock_offset:+.1f} s, {free}{note}"


def add_schema(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    add_command(subparsers, "schema", "Print the JSON Schema of the fleet file, for editors.", _schema)


def _schema(_: argparse.Namespace) -> ExitCode:
    from canary_tui.fleetfile.schema import schema_text

    sys.stdout.write(schema_text())
    return ExitCode.SUCCEEDED
