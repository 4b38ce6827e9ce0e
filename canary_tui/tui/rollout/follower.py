"""The state behind one rollout's screens: its journal applied so far, the tails of its logs, the engine's pulse."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.apply import IllegalEvent, apply
from canary_tui.domain.rollout.events import (
    CancelFinished,
    CancelStarted,
    ConnectionLost,
    ConnectionRestored,
    Record,
    RolloutStarted,
    StepFinished,
)
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.engine.messages import Heartbeat, Notice, Progress
from canary_tui.store.journal import JournalReader
from canary_tui.store.journal_format import JournalError
from canary_tui.store.lock import Holder, held_by
from canary_tui.store.logs.format import log_path
from canary_tui.tui.logs.shown import last_line
from canary_tui.tui.rollout.status import Roster, Status, status_of

SILENT_AFTER = 3.0
"""Seconds without a heartbeat after which the engine is called silent and nothing is approved."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The engine's last heartbeat, its time (monotonic), and the speed of the output in lines a second."""

    at: float
    lines_per_second: float
    size: int
    beat: Heartbeat


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a running step: bytes so far, of `total` for an upload, and bytes a second."""

    at: float
    size: int
    total: int
    rate: float


class Follower:
    """Follows a rollout's directory. `poll` costs as much as is new; everything else is a look-up."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.state = RolloutState()
        self.roster = Roster(())
        self.stops: dict[str, CancelFinished | CancelStarted] = {}
        """The latest event about stopping each target's step: asked, or answered."""
        self.pulse: Pulse | None = None
        self.paces: dict[str, Pace] = {}
        self.version = 0
        """The number of applied records. Values of the state alone are computed anew only when it changes."""
        self.broken = ""
        """The reason why the journal cannot be followed any further, or ""."""
        self._last_lines: dict[str, tuple[float, str]] = {}
        self._written: dict[str, tuple[float, float]] = {}
        self.troubled: set[str] = set()
        """Targets that failed or have an unknown outcome: a person is asked about no other ones."""
        self._engine: Holder | None = None
        self._engine_at = -1.0
        self._heard_at = time.monotonic()
        self._at_work: set[str] = set()
        self._lost_since: dict[str, float] = {}
        self._reader = JournalReader(directory / "journal.jsonl")

    @property
    def plan(self) -> Plan | None:
        return self.state.plan

    @property
    def ended(self) -> bool:
        """Whether nothing will happen unless somebody resumes."""
        return self.state.verdict is not None or self.state.paused is not None

    def poll(self) -> list[Record]:
        """Apply the records that are new in the journal."""
        if self.broken:
            return []
        before, touched = self.version, set[str]()
        records: list[Record] = []
        try:
            records = self._reader.poll()
            for record in records:
                apply(self.state, record)
                self.version += 1
                touched.add(self._note(record))
        except (JournalError, IllegalEvent) as error:
            self.broken = str(error)
        # Once for all records, not after each: a journal of 24,000 records places 2,000 targets, not 24,000.
        if self.version > before:
            self._heard_at = time.monotonic()
            self._place(self.state.targets if "" in touched else touched)
        return records[: self.version - before]

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def now(self) -> float:
        """The time in seconds since 1970; it stops when the rollout or its engine has ended."""
        return self.state.at if self.ended else max(self.state.at, time.time())

    def take(self, notice: Notice) -> None:
        """Take in a notice of the engine."""
        match notice:
            case Heartbeat():
                self.pulse = self._pulse(notice)
            case Progress():
                self.paces[notice.target] = self._pace(notice)
            case _:
                pass

    def sitting(self) -> str:
        """Say who sits at the screens of the rollout, for those who only watch; looked up once a second."""
        now = time.monotonic()
        if now - self._engine_at >= 1.0:
            self._engine, self._engine_at = held_by(self.directory / "lock"), now
        state = self.state
        if self._engine is None:
            return "no engine is at work"
        if state.front_lost:
            return "nobody sits at its screens"
        return f"{state.engine_by} {'sits at its screens' if state.attended else 'runs it headless'}"

    def silent_for(self) -> float:
        """Return the seconds since the last heartbeat."""
        return time.monotonic() - self.pulse.at if self.pulse is not None else 0.0

    def status(self, target: TargetState) -> Status:
        return status_of(self.state, target)

    def elapsed(self, target: TargetState) -> float | None:
        """Return the seconds of the running step, or of the whole target; None before it began."""
        if target.running is not None:
            return max(0.0, self.now() - target.running.since)
        if target.started_at and target.ended_at:
            return max(0.0, target.ended_at - target.started_at)
        return None

    def last_line(self, target: str) -> str:
        """Return the newest line that a target printed, read at most once a second."""
        now = time.monotonic()
        at, line = self._last_lines.get(target, (0.0, ""))
        if now - at >= 1.0:
            line = last_line(log_path(self.logs, target))
            self._last_lines[target] = now, line
        return line

    def printless_for(self, target: TargetState) -> float:
        """Return the seconds since a target's running step has begun or printed; the log is looked at each second."""
        if target.running is None:
            return 0.0
        now = time.monotonic()
        looked, written = self._written.get(target.name, (float("-inf"), 0.0))
        if now - looked >= 1.0:
            with contextlib.suppress(OSError):
                written = log_path(self.logs, target.name).stat().st_mtime
            self._written[target.name] = now, written
        return max(0.0, self.now() - max(target.running.since, written))

    def running(self) -> list[TargetState]:
        """List the targets on which a step runs."""
        return [self.state.targets[name] for name in sorted(self._at_work, key=self.roster.place_in_plan)]

    @property
    def at_work(self) -> bool:
        """Whether a step runs on some target."""
        return bool(self._at_work)

    def quiet_for(self) -> float:
        """Return the seconds since the last record."""
        return time.monotonic() - self._heard_at

    def lost_for(self, target: str) -> float:
        """Return the seconds since the connection to a target was lost."""
        return max(0.0, self.now() - self._lost_since.get(target, self.now()))

    def _note(self, record: Record) -> str:
        """Note what the state does not keep; return the event's target, "" if it may concern any."""
        event = record.event
        match event:
            case ConnectionLost():  # told again where the cause is another one
                self._lost_since.setdefault(event.target, record.at)
                return event.target
            case ConnectionRestored() | StepFinished():
                self._lost_since.pop(event.target, None)
                return event.target
            case RolloutStarted():
                names = tuple(name for wave in event.plan.waves for name in wave.targets)
                self.roster = Roster(names)
                return ""
            case CancelStarted() | CancelFinished():
                self.stops[event.target] = event
                return event.target
            case _:
                return getattr(event, "target", "")

    def _place(self, names: set[str] | dict[str, TargetState]) -> None:
        wave = self.state.wave
        for name in names:
            target = self.state.targets[name]
            if target.running is None:
                self.paces.pop(name, None)
            (self._at_work.add if target.running is not None else self._at_work.discard)(name)
            bad = target.failing or target.unknown_phase is not None
            (self.troubled.add if bad else self.troubled.discard)(name)
            self.roster.place(
                name,
                status_of(self.state, target).kind,
                later=target.wave > max(0, wave),
                begun=target.started_at > 0,
            )

    def _pulse(self, beat: Heartbeat) -> Pulse:
        now, last = time.monotonic(), self.pulse
        if last is None or now <= last.at:
            return Pulse(now, 0.0, beat.size, beat)
        rate = max(0, beat.lines - last.beat.lines) / (now - last.at)
        # Half the old rate: a number that a person can read does not jump twice a second.
        return Pulse(now, (rate + last.lines_per_second) / 2, beat.size, beat)

    def _pace(self, progress: Progress) -> Pace:
        now, last = time.monotonic(), self.paces.get(progress.target)
        if last is None or progress.size < last.size or progress.total != last.total:
            return Pace(now, progress.size, progress.total, 0.0)
        rate = (progress.size - last.size) / max(now - last.at, 0.01)
        return Pace(now, progress.size, progress.total, (rate + last.rate) / 2 if last.rate else rate)
