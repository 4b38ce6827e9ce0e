"""Knows the words and the payload that start an execution, and the digest that its id is bound to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from canary_tui.engine.target import ExecuteRequest
from canary_tui.ssh.execution.install import export_lines, rollout_word


def fingerprint(script: bytes, variables: Iterable[str]) -> str:
    """The digest that an execution's id is bound to on the target: of the script and the names of its variables."""
    return hashlib.sha256(script + b"\0" + "\n".join(sorted(variables)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Start:
    """The words and the payload that start an execution."""

    words: str
    payload: bytes

    @classmethod
    def of(cls, request: ExecuteRequest) -> Start:
        lines = export_lines(request.environment)
        head = b"%d %d\n" % (lines.count(b"\n"), len(request.script))
        words = f"{_hundredths(request.timeout)} {max(0, request.output_cap)}"
        rollout = rollout_word(request.rollout) if request.rollout else "''"
        return cls(
            f"{words} {fingerprint(request.script, request.environment)} {rollout}",
            head + lines + request.script,
        )


def _hundredths(seconds: float) -> int:
    """The runner's unit of time; 0 is no limit."""
    return max(1, math.ceil(seconds * 100)) if seconds > 0 else 0
