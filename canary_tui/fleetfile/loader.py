"""A fleet file, from its path to a sound `Fleet`, or every problem with its line, column and hint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.steps import ScriptStep
from canary_tui.domain.fleet.tables import Fleet
from canary_tui.errors import FleetFileError, Problem
from canary_tui.fleetfile.anchor import anchored, folder_of
from canary_tui.fleetfile.decode import MOST_FAULTS, Fault, Faults, TooManyFaultsError, keys_of, read_keys, reader
from canary_tui.fleetfile.locate import KeyPath, Position, locate
from canary_tui.fleetfile.source import parse, read_text
from canary_tui.fleetfile.validate import check, expand_targets
from canary_tui.startup import without_collector

LARGEST_SCRIPT = 2**20
"""Bytes of one script: it travels inside the plan, and so into the journal."""


@dataclass(frozen=True, slots=True)
class LoadedFleet:
    """A sound fleet: `fleet.targets` are single servers, `scripts` maps each script step's path to its text.

    `path` is absolute, and its folder has no link and no `..` in it.
    """

    fleet: Fleet
    scripts: Mapping[str, str]
    path: Path
    text: str

    @property
    def directory(self) -> str:
        """The folder that relative paths of the file start from."""
        return str(self.path.parent)


@without_collector()
def load_fleet(path: str | Path) -> LoadedFleet:
    """Read, decode and check a fleet file and the scripts that it names. Connects to nothing.

    Raises:
        FleetFileError: with every problem, in the order of the file.

    """
    shown = Path(path)
    text = read_text(shown)
    table = parse(shown, text)
    faults = Faults()
    try:
        fleet = _decode(table, faults)
    except TooManyFaultsError:
        raise FleetFileError(_problems(shown, text, faults)) from None
    damaged = {str(fault.path[0]) for fault in faults if fault.path}
    expanded, later = expand_targets(fleet.targets)
    damaged |= {"targets"} if later else set()
    later += check(fleet, expanded, damaged)
    scripts = _scripts(fleet, shown.parent, later)
    faults += _replaced(later, table, faults.dropped)
    if faults:
        raise FleetFileError(_problems(shown, text, faults))
    single = tuple(one.target for one in expanded)
    folder = folder_of(shown)
    return LoadedFleet(anchored(replace(fleet, targets=single), folder), scripts, folder / shown.name, text)


def _decode(table: dict[str, Any], faults: Faults) -> Fleet:
    """The fleet as far as it is sound: what is refused is at its default, or empty."""
    keys = {key: (one.name, reader(one.hint)) for key, one in keys_of(Fleet).items()}
    sound = read_keys(Fleet, keys, table, (), faults)
    if "name" not in table:
        faults.append(Fault((), "missing key 'name'", 'a fleet file begins with name = "..."'))
    return Fleet(**({"name": "", "targets": (), "steps": ()} | sound))


def _scripts(fleet: Fleet, folder: Path, faults: list[Fault]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table, steps in (("steps", fleet.steps), ("rollback", fleet.rollback), ("finally", fleet.finally_)):
        for index, step in enumerate(steps):
            if isinstance(step, ScriptStep) and step.script not in found:
                try:
                    found[step.script] = _script(folder / os.path.expanduser(step.script))  # noqa: PTH111 - Path raises for unknown users
                except FleetFileError as error:
                    problem = error.problems[0]
                    faults.append(Fault((table, index, "script"), f"{problem.path}: {problem.message}", problem.hint))
    return found


def _script(path: Path) -> str:
    text = read_text(path, LARGEST_SCRIPT)
    if "\0" in text or not text.strip():
        raise FleetFileError((Problem("is empty" if not text.strip() else "is no text", path=str(path)),))
    return text


def _replaced(faults: Iterable[Fault], table: dict[str, Any], dropped: set[KeyPath]) -> Iterator[Fault]:
    """The faults with the indexes of the file: what the decoder dropped has moved the rest up."""
    for fault in faults:
        match fault.path:
            case (str(key), int(index), *rest) if dropped:
                kept = [at for at in range(len(table[key])) if (key, at) not in dropped]
                yield replace(fault, path=(key, kept[index], *rest))
            case _:
                yield fault


def _problems(path: Path, text: str, faults: Iterable[Fault]) -> tuple[Problem, ...]:
    faults = tuple(islice(faults, MOST_FAULTS + 1))
    places = locate(text, {fault.path[:end] for fault in faults for end in range(len(fault.path) + 1)})

    def place(fault: Fault) -> Position | None:
        at: KeyPath = fault.path
        while at and at not in places:
            at = at[:-1]
        return places[at] if at else None

    placed = sorted(((place(fault), fault) for fault in faults), key=lambda pair: pair[0] or (0, 0))
    needed = {at.line for at, _ in placed if at}
    lines = {number: line for number, line in enumerate(StringIO(text), 1) if number in needed}
    problems = [_problem(path, lines, fault, at) for at, fault in placed]
    if len(problems) > MOST_FAULTS:
        problems[MOST_FAULTS:] = [Problem(f"has more than {MOST_FAULTS:,} problems; the rest was left", path=str(path))]
    return tuple(problems)


def _problem(path: Path, lines: Mapping[int, str], fault: Fault, at: Position | None) -> Problem:
    key = _dotted(fault.path)
    if at is None:
        return Problem(fault.message, fault.hint, key, str(path))
    source = lines[at.line].removesuffix("\n").removesuffix("\r")
    return Problem(fault.message, fault.hint, key, str(path), at.line, at.column, source)


def _dotted(path: KeyPath) -> str:
    """`waves[1].gate.confirm`, with other than bare keys quoted."""
    parts = []
    for key in path:
        if isinstance(key, int):
            parts.append(f"[{key}]")
        else:
            bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
            parts.append(("." if parts else "") + (key if bare and len(key) <= 64 else shorten(key)))
    return "".join(parts)
