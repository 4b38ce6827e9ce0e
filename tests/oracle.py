"""Whether a rollout kept its promises, judged from what the targets wrote, the journal and the logs, never from a screen.

A step that is judged is one of `numbered_step`: it writes when it began and ended into a file of its target, and prints
numbered lines.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from farm import FarmTarget

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import replay
from canary_tui.domain.rollout.events import Record
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.store.journal import read_journal, verify
from canary_tui.store.logs.format import log_path

_LINE = re.compile(rb"(\S+) (\S+) (out|err|--)([|+]) (.*)", re.DOTALL)
_BEGIN, _END = re.compile(rb"begin ([0-9a-f]{12})"), re.compile(rb"end ([0-9a-f]{12}) (.*)", re.DOTALL)


def numbered_step(name: str, lines: int, pause_after: int, pause: float = 0.05, *, table: str = "steps") -> str:
    """A table (of `steps`, `rollback` or `finally`) whose executions can be counted and whose output is known."""
    return f"""
[[{table}]]
name = "{name}"
run = '''
id=$(cat /proc/sys/kernel/random/uuid)
echo "start $ROLLOUT {name} $id $(date +%s.%N)" >>"$HOME/marks"
i=0
while [ $i -lt {lines} ]; do
    i=$((i + 1))
    echo "{name} $i of {lines} on $TARGET"
    [ $((i % {pause_after})) -ne 0 ] || sleep {pause}
done
echo "end $ROLLOUT {name} $id $(date +%s.%N)" >>"$HOME/marks"
'''
"""


def numbered_output(name: str, lines: int, target: str) -> bytes:
    """What that step prints."""
    return "".join(f"{name} {i} of {lines} on {target}\n" for i in range(1, lines + 1)).encode()


@dataclass(frozen=True, slots=True)
class Mark:
    """One execution as its target saw it; `ended` is None where it never came to its last line."""

    step: str
    id: str
    started: float
    ended: float | None = None


def marks(target: FarmTarget, rollout: str) -> list[Mark]:
    """The executions of a rollout on a target, in the order of their starts."""
    found: dict[str, Mark] = {}
    for line in target.read("marks").splitlines():
        kind, of, step, one, at = line.split()
        if of != rollout:
            continue
        if kind == "start":
            assert one not in found
            found[one] = Mark(step, one, float(at))
        else:
            found[one] = Mark(step, one, found[one].started, float(at))
    return list(found.values())


@dataclass(slots=True)
class Section:
    """What a log holds of one execution. `ends` are the words of its end lines."""

    step: str
    text: bytearray = field(default_factory=bytearray)
    ends: list[str] = field(default_factory=list)
    begins: int = 0
    open: bool = False
    """The last line had no end yet."""

    def take(self, mark: bytes, text: bytes) -> None:
        """One line of the target's, put back together as the format says."""
        if mark == b"+":
            assert self.text.endswith(b"\n") or not self.text
            del self.text[-1:]
        self.text += text + b"\n"


def sections(log: Path) -> dict[str, Section]:
    """A target's log by the first 12 digits of each execution's id."""
    found: dict[str, Section] = {}
    current: Section | None = None
    for line in _lines(log):
        match = _LINE.fullmatch(line)
        assert match, f"{log.name}: no line of a log: {line[:200]!r}"
        _, step, stream, mark, text = match.groups()
        if stream != b"--":
            assert current is not None, f"{log.name}: output of no execution: {line[:200]!r}"
            current.take(mark, text)
        elif begin := _BEGIN.fullmatch(text):
            current = found.setdefault(begin[1].decode(), Section(step.decode()))
            current.begins += 1
        elif end := _END.fullmatch(text):
            found[end[1].decode()].ends.append(end[2].decode())
    return found


def _lines(log: Path) -> Iterator[bytes]:
    if log.exists():
        with log.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


@dataclass(frozen=True, slots=True)
class Case:
    """A rollout to be judged: its directory, its targets, and how many lines each numbered step prints.

    Of other steps, uploads for instance, only the caller knows what they should have done.
    """

    directory: Path
    targets: Iterable[FarmTarget]
    lines: dict[str, int]

    @property
    def records(self) -> list[Record]:
        """The journal, whose chain must be intact."""
        report = verify(self.directory / "journal.jsonl")
        assert report.intact, report.problem
        return read_journal(self.directory / "journal.jsonl")


def judge(case: Case, seen: Iterable[Record] = ()) -> RolloutState:
    """Hold a rollout to its promises; AssertionError where it broke one. `seen` are records that were shown as true."""
    records = case.records
    state = replay(records)
    for record in seen:
        assert record.seq < len(records), f"record {record.seq} was shown and is lost"
        assert record == records[record.seq], f"record {record.seq} was shown and is another now"
    for target in case.targets:
        _judge_target(case, target, records, state)
    _judge_gate(case, records, state)
    return state


def _judge_target(case: Case, target: FarmTarget, records: list[Record], state: RolloutState) -> None:
    assert state.plan is not None
    started: dict[str, list[str]] = defaultdict(list)
    outcomes: dict[str, str] = {}
    for record in records:
        match record.event:
            case e.StepStarted(name, phase, index, _, execution) if name == target.name:
                started[state.plan.phase_steps(phase)[index].name].append(execution)
            case e.StepFinished(name, execution, outcome) if name == target.name:
                outcomes[execution] = outcome
    there = marks(target, state.rollout)
    assert {one.step for one in there} <= set(case.lines)
    log = sections(log_path(case.directory / "logs", target.name))
    for step in case.lines:
        allowed = sum(outcomes.get(execution) != "not-started" for execution in started[step])
        ok = [execution for execution in started[step] if outcomes.get(execution) == "ok"]
        here = [one for one in there if one.step == step]
        what = f"{target.name} {step}: started {started[step]}, ended {outcomes}, marks {here}"
        assert len(here) <= allowed, f"executed more often than it may be: {what}"
        assert len(ok) <= 1, f"ran again after it was ok: {what}"
        if ok:
            assert sum(one.ended is not None for one in here) == 1, f"shown as ok, and not done once: {what}"
        for execution in started[step]:
            _judge_output(case, target, step, log.get(execution[:12]), outcomes.get(execution))


def _judge_output(case: Case, target: FarmTarget, step: str, section: Section | None, outcome: str | None) -> None:
    whole = numbered_output(step, case.lines[step], target.name)
    if outcome == "ok":
        assert section is not None, f"{target.name} {step}: ok, and nothing in the log"
    if section is None:
        return
    assert section.step == step
    assert section.begins == 1, f"{target.name} {step}: begins {section.begins} times in the log"
    assert len(section.ends) <= 1, f"{target.name} {step}: ends as {section.ends}"
    if outcome == "ok":
        assert section.ends == ["ok"]
        assert _digest(section.text) == _digest(whole), f"{target.name} {step}: {_difference(section.text, whole)}"
    elif outcome is not None:
        got = bytes(section.text[:-1]) if section.text else b""
        assert whole.startswith(got), f"{target.name} {step}: {_difference(section.text, whole)}"


def _digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _difference(got: bytes | bytearray, wanted: bytes) -> str:
    mine, theirs = bytes(got).split(b"\n"), wanted.split(b"\n")
    place = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    doubled = [line for line, count in Counter(mine).items() if count > 1 and line][:3]
    return (
        f"{len(mine)} lines of {len(theirs)}; first difference at line {place + 1}: "
        f"{mine[place : place + 3]} for {theirs[place : place + 3]}; doubled {doubled}"
    )


def _judge_gate(case: Case, records: list[Record], state: RolloutState) -> None:
    """No target beyond a gate did anything before the gate's approval was on record."""
    assert state.plan is not None
    approved = {r.event.wave: r.at for r in records if isinstance(r.event, e.GateApproved)}
    for target in case.targets:
        if target.name not in state.plan.targets:
            assert not marks(target, state.rollout), f"{target.name} is not in the plan"
            continue
        for wave in range(state.plan.wave_of(target.name)):
            if state.plan.waves[wave].gate is None:
                continue
            for mark in marks(target, state.rollout):
                assert wave in approved, f"{target.name} {mark.step}: gate {wave} was never approved"
                assert mark.started >= approved[wave], f"{target.name} {mark.step}: before gate {wave} was approved"
