"""The list of rollouts with their ends, read from the two ends of their journals, and the summary of one."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canary_tui.domain.rollout.events import Operator
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import Verdict, ended_word, pause_word
from canary_tui.store.files import close_file, read_only, write_atomically
from canary_tui.store.format_1 import Format1
from canary_tui.store.journal_format import Damaged, read_line
from canary_tui.store.layout import RolloutDirectory, rollouts
from canary_tui.store.lock import Holder, held_by


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """One rollout in a list. `verdict` is None while it has not ended; then `reason` says why its engine stopped."""

    rollout: str
    fleet: str
    release: str
    environment: str
    started_at: float
    by: Operator
    targets: int
    path: Path
    verdict: Verdict | None = None
    reason: str = ""
    exit_code: int | None = None
    ended_at: float | None = None
    """The time of the last record."""
    engine: Holder | None = None
    """The engine that works on it now."""

    @property
    def result(self) -> str:
        """Its end in a word, or its state while it has none."""
        return self.word or f"open, {f'{self.engine.who} is at work' if self.engine else self.pause}"

    @property
    def pause(self) -> str:
        """The word for why no engine works on it."""
        return pause_word(self.reason) or "killed"

    @property
    def word(self) -> str:
        """The word of every face for its end, "" while it has not ended."""
        return ended_word(self.verdict, self.exit_code) if self.verdict else ""


def history(state_dir: Path, fleet: str | None = None) -> list[RolloutSummary]:
    """The rollouts of a fleet (or of all), the newest first. One whose journal cannot be read is left out."""
    found = (summarize(directory) for directory in rollouts(state_dir, fleet))
    known = (one for one in found if one is not None and fleet in (None, one.fleet))
    # By the record, not by the folder's name: those of one second would stand in the order of their fleets.
    return sorted(known, key=lambda one: one.started_at, reverse=True)


def summarize(directory: RolloutDirectory) -> RolloutSummary | None:
    """A rollout from its journal's first and last record alone; None where there is no whole first one."""
    try:
        fd = read_only(directory.journal)
    except OSError:
        return None
    try:
        first, last = read_line(_first_line(fd)), _last_record(fd)
        older = Format1()
        return _summary(directory, *({**one, "event": older.event(one["event"])} for one in (first, last)))
    except (Damaged, OSError, KeyError, TypeError, AttributeError):
        return None
    finally:
        close_file(fd)


def _summary(directory: RolloutDirectory, first: dict[str, Any], last: dict[str, Any]) -> RolloutSummary:
    started, ended = first["event"], last["event"]
    plan = started["plan"]
    finished = ended["type"] == "rollout-finished"
    return RolloutSummary(
        rollout=started["rollout"],
        fleet=plan["fleet"],
        release=plan["release"],
        environment=plan["environment"],
        started_at=float(first["at"]),
        by=Operator(**{key: value for key, value in started["by"].items() if key != "type"}),
        targets=len(plan["targets"]),
        path=directory.path,
        verdict=ended["verdict"] if finished else None,
        engine=None if finished else held_by(directory.lock),
        reason=ended["reason"] if ended["type"] in ("rollout-finished", "engine-stopped") else "",
        exit_code=ended["exit_code"] if finished else None,
        ended_at=float(last["at"]),
    )


def _first_line(fd: int) -> bytes:
    data = b""
    while b"\n" not in data and (more := os.pread(fd, 1 << 18, len(data))):
        data += more
    return data[: data.find(b"\n") + 1]


def _last_record(fd: int) -> dict[str, Any]:
    """The last whole record, looked for from the end."""
    data = b""
    place = os.fstat(fd).st_size
    while place:
        step = min(place, max(1 << 16, len(data)))
        place -= step
        data = os.pread(fd, step, place) + data
        lines = data.splitlines(keepends=True)
        for line in reversed(lines if place == 0 else lines[1:]):
            try:
                return read_line(line)
            except Damaged:
                continue
    raise Damaged("no whole record")


def write_summary(directory: RolloutDirectory, state: RolloutState) -> None:
    """Write `summary.toml`: how a rollout ended, as a whole and on each target, for people and scripts."""
    import tomli_w

    assert state.plan is not None
    data: dict[str, Any] = {
        "rollout": state.rollout,
        "fleet": state.plan.fleet,
        "release": state.plan.release,
        "environment": state.plan.environment,
        "plan": state.plan.hash,
        "verdict": state.verdict or "open",
        "reason": state.reason,
        "started": when(state.started_at),
        "ended": when(state.ended_at or state.at),
        "by": str(state.started_by or ""),
        "outcomes": dict(Counter(one.steps.outcome or "not-started" for one in state.targets.values())),
        "targets": [_target(state, one) for one in state.targets.values()],
    }
    if state.exit_code is not None:
        data["exit-code"] = state.exit_code
    write_atomically(directory.summary, tomli_w.dumps(data, multiline_strings=False))


def _target(state: RolloutState, target: TargetState) -> dict[str, Any]:
    assert state.plan is not None
    data: dict[str, Any] = {
        "name": target.name,
        "wave": state.plan.waves[target.wave].name,
        "outcome": target.steps.outcome or "not-started",
        "detail": target.steps.detail,
        "previous": target.previous,
        "reported": target.reported or "",
    }
    if target.rollback is not None:
        data["rollback"] = target.rollback.outcome or "not-started"
    if target.rulings:
        data["decisions"] = [
            {"step": one.step, "decision": one.word, "by": str(one.by), "note": one.note} for one in target.rulings
        ]
    if target.started_at:
        data["started"] = when(target.started_at)
    if target.ended_at:
        data["ended"] = when(target.ended_at)
    return data


def when(at: float) -> datetime:
    """A time as TOML has it, in UTC."""
    return datetime.fromtimestamp(at, UTC)
