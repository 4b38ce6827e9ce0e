"""The fleet file of a plan whose path nobody remembers: the one in its folder that names the fleet."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from canary_tui.errors import FleetFileError
from canary_tui.fleetfile.source import parse, read_text

_MOST_READ = 50


def find_fleet_file(folder: str, fleet: str) -> Path | None:
    """The path of the only file in a folder that names this fleet; None where there is none, or several."""
    if not folder:
        return None
    try:
        paths = list(islice(sorted(Path(folder).glob("*.toml")), _MOST_READ))
    except OSError:
        return None
    found = [path for path in paths if _names(path, fleet)]
    return found[0] if len(found) == 1 else None


def _names(path: Path, fleet: str) -> bool:
    try:
        return parse(path, read_text(path)).get("name") == fleet
    except FleetFileError:
        return False
