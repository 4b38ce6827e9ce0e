"""Journals of each released format, recorded from real rollouts, and what each of them says for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "store" / "golden"


@dataclass(frozen=True, slots=True)
class Golden:
    """One journal; `says` holds verdict, pause, exit code, plan hash, wave, records and each target's outcome."""

    path: Path
    says: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.path.parent.name} {self.path.stem}"

    def first_event(self) -> Any:
        """The data of `rollout-started` as the file has it."""
        return json.loads(self.path.read_bytes().partition(b"\n")[0])["event"]


def golden_journals() -> list[Golden]:
    """All of them, of all formats."""
    return [
        Golden(path, json.loads(path.with_suffix(".json").read_text())) for path in sorted(GOLDEN.glob("*/*.jsonl"))
    ]
