"""The acceptance criteria that are held against four and against forty real OpenSSH servers, and what the tests say of it.

As a pytest plugin (`-p criteria`) it prints, instead of tests, a line of JSON for each criterion that a test is marked with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

CRITERIA = {
    "A1": "No step reaches any other target before the gate after the canaries is approved.",
    "A2": "Any number of canaries that leaves one target; none and all are refused, with the rule.",
    "A3": "A canary that fails, is unreachable or unknown: the rest gets nothing, and the exit code is not 0.",
    "A6": "The rest is the plan's: all minus canaries minus excluded, after any retry, resume or crash.",
    "A7": "Canaries and the rest are sent the same bytes, apart from each target's own variables.",
    "A8": "Every target is looked at before the first change: a dead, locked or ill-equipped one is known by then.",
    "D3": "--exclude is repeatable; an unknown name and an empty result are errors.",
    "E1": "A step goes to the union of its roles; an unknown role is a load error.",
    "E2": "Canaries come from their role, and the plan says whether the operator changed them.",
    "E4": "In an environment without canaries the same file deploys to all at once, and the plan says why.",
    "E5": "A misspelt environment disables no gate; a protected one has a gate in any case.",
    "F1": "The gate shows what it is decided by, and never covers the logs, which stay live and searchable.",
    "F2": "Only what `confirm` demands approves: no enter, y, paste, type-ahead, Ctrl-C or closed terminal.",
    "F3": "Approval and abort are in the journal with who, from where, when, a note and what was seen.",
    "F4": "After an abort nothing is deployed anywhere; `finally` runs; then roll back or leave.",
    "F7": "A gate's expiry holds across restarts, and never lets anything through.",
    "F9": "Without a terminal the gate holds, exit code 4; a prepared approval is the only way through.",
    "G2": "A failing target is retried, excluded, rolled back, or ends the rollout; several are one list.",
    "G4": "One budget over the whole rollout; unreachable counts; the decision is a sentence with numbers.",
    "G5": "A stop has two stages, the first from the first Ctrl-C on, and each is seen on the target.",
    "G6": "A slow, hung or silent target holds up no other, and is named.",
    "H1": "Exactly what the rollout changed goes back to what it had, newest wave first.",
    "H2": "A target without a former release, or out of reach, is named and fails no other.",
    "H3": "A rollback ends with what the targets say, and what was untouched saw no command.",
    "J1": "A line of a target's step is on the screen within 200 ms of its write: of one target, and of all merged.",
    "J2": "Logs are complete on disk; on the screen they are searched, filtered, followed, wrapped and copied.",
    "J3": "One plain text file a target; each line has time, step and stream.",
}
ON_SCREEN = {"F1", "F2", "G2", "G5", "J1", "J2"}
"""Those that a person has to do with: held by keys in a real terminal, too."""
SIZES = {"four_servers": 4, "forty_servers": 40}


@dataclass(frozen=True)
class Held:
    """A test that is marked with a criterion, and how many servers it runs against; 0 where it has none of its own."""

    code: str
    test: str
    servers: int
    by_keys: bool


def held() -> list[Held]:
    """What all tests say of themselves, as pytest collects them."""
    here = Path(__file__).parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "criteria",
        "--collect-only",
        "-q",
        "-o",
        "addopts=",
        str(here / "end_to_end"),
    ]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return [Held(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Print a line for each criterion of each test."""
    for item in session.items:
        for one in _held_by(item):
            print(f"\n{json.dumps(asdict(one))}")


def _held_by(item: pytest.Item) -> Iterator[Held]:
    chosen = getattr(item, "callspec", None)
    farm = chosen.params.get("any_farm", "") if chosen is not None else ""
    for mark in item.iter_markers("criterion"):
        for code in mark.args:
            yield Held(code, item.nodeid, SIZES.get(farm, 0), mark.kwargs.get("by_keys", False))


def main() -> None:
    """Print the table: criterion, tests against four and forty servers."""
    everything = held()
    for code, text in CRITERIA.items():
        own = [one for one in everything if one.code == code]
        print(f"{code}  {text}")
        for test in sorted({one.test.partition("[")[0] for one in own}):
            sizes = sorted({one.servers for one in own if one.test.partition("[")[0] == test})
            keys = any(one.by_keys for one in own if one.test.partition("[")[0] == test)
            print(f"      {test} at {', '.join(map(str, sizes))}{', by keys' if keys else ''}")


if __name__ == "__main__":
    main()
