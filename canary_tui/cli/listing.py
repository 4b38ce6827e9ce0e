"""The command that lists rollouts, or tells one of them: history."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canary_tui.cli.options import Subparsers, add_command, load, state_folder
from canary_tui.cli.rollouts import tell
from canary_tui.errors import ExitCode
from canary_tui.text.safe import one_line, whole_line

if TYPE_CHECKING:
    from canary_tui.store.history import RolloutSummary

_HEADER = ("ROLLOUT", "STARTED", "FLEET", "RELEASE", "TARGETS", "RESULT")


def add_history(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    text = "List the rollouts, newest first, or tell one of them."
    parser = add_command(subparsers, "history", text, _history)
    parser.add_argument("what", nargs="?", metavar="FLEET|ROLLOUT", help="a fleet's name or file, or a rollout's id")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each rollout, or record")


def _history(options: argparse.Namespace) -> ExitCode:
    from canary_tui.store.history import history
    from canary_tui.store.layout import find_rollout

    by_file = bool(options.what and options.what.endswith(".toml"))
    fleet = load(options.what).fleet.name if by_file else options.what
    found = history(state_folder(), fleet)
    if not found and options.what and not by_file:
        return tell(find_rollout(state_folder(), options.what), as_json=options.json)
    if options.json:
        for one in found:
            print(json.dumps(_as_json(one)))
    elif found:
        print("\n".join(_table([_HEADER, *map(_row, found)])))
    else:
        print(whole_line(f"there is no rollout{f' of {fleet}' if fleet else ''} yet in {state_folder()}"))
    return ExitCode.SUCCEEDED


def _as_json(one: RolloutSummary) -> dict[str, object]:
    """The keys that the README documents."""
    return {
        "rollout": one.rollout,
        "fleet": one.fleet,
        "release": one.release,
        "environment": one.environment,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "by": str(one.by),
        "targets": one.targets,
        "result": one.result,
        "engine": str(one.engine or ""),
        "verdict": one.verdict,
        "exit_code": one.exit_code,
        "reason": one.reason,
        "path": str(one.path),
    }


def _row(one: RolloutSummary) -> Sequence[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started_at))
    where = f" in {one.environment}" if one.environment else ""
    return (one.rollout, when, f"{one.fleet}{where}", one.release, f"{one.targets:,}", one.result)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows in columns as wide as their widest text, every text made safe."""
    safe = [[one_line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in safe]
