"""How the program grows: python tests/bench/scale.py [policy] [fleet] [output]

policy  what deciding costs: next_actions and apply over a whole rollout without any SSH, 100 to 10,000 targets
fleet   200 real sshd, 50 at a time: wall time, the engine's memory, no failure that is not real
output  1 GB from one target, and 10 MB/s over 50 at once, and as fast as they can: every byte, by sha256
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import measuring
from targets_apart import TargetsApart

from canary_tui.domain import events as e
from canary_tui.domain import schedule
from canary_tui.domain.fleet import Gate, RunStep, Ssh
from canary_tui.domain.fold import apply, replay
from canary_tui.domain.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.schedule import next_actions
from canary_tui.domain.state import RolloutState

ME = e.Operator("ann", "here")
PARALLEL = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["policy", "fleet", "output", []], default=[])
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    arguments = parser.parse_args()
    what = arguments.what or ["policy", "fleet", "output"]
    print(f"{measuring.machine()}\n")
    if "policy" in what:
        policy()
    if "fleet" in what:
        fleet(arguments.targets)
    if "output" in what:
        output(arguments.gigabytes)


# --- policy -----------------------------------------------------------------------------------------------------------


def policy(sizes: tuple[int, ...] = (100, 1_000, 10_000)) -> None:
    """Decide and fold a whole rollout of three steps, as the engine's loop does, for several sizes of the fleet."""
    rows, before = [], (0, 0.0)
    for size in sizes:
        records, seconds = roll_out(plan_for(size))
        started = time.process_time()
        replay(records)
        folding = time.process_time() - started
        exponent = f"{math.log(seconds / before[1]) / math.log(size / before[0]):.2f}" if before[0] else ""
        rows.append(
            [f"{size:,}", f"{len(records):,}", f"{seconds:.2f}", f"{1e6 * seconds / len(records):.0f}", exponent,
             f"{folding:.2f}"]
        )  # fmt: skip
        before = size, seconds
    head = ["targets", "events", "policy and fold, CPU s", "us an event", "exponent", "replay, CPU s"]
    print(f"Deciding a rollout of 3 steps, {PARALLEL} at a time, no SSH\n\n{measuring.table(head, rows)}\n")


def plan_for(size: int) -> Plan:
    """Two waves with a gate, three steps for everybody."""
    steps = tuple(RunStep(run="true", name=name) for name in ("fetch", "switch", "check"))
    names = [f"web-{number}" for number in range(1, size + 1)]
    targets = {name: PlannedTarget(name, name, Ssh(), steps=(0, 1, 2)) for name in names}
    canaries = max(1, size // 100)
    waves = (
        PlannedWave("canary", tuple(names[:canaries]), PARALLEL, Gate()),
        PlannedWave("rest", tuple(names[canaries:]), PARALLEL),
    )
    return Plan("shop", "2", "", targets, waves, steps)


def roll_out(plan: Plan) -> tuple[list[e.Record], float]:
    """Everything goes well, one deed ends after the other; the records, and the seconds of processor."""
    state, records = RolloutState(), []
    deeds: set[schedule.Deed] = set()
    order: deque[schedule.Deed] = deque()

    def record(event: e.Event) -> None:
        records.append(e.Record(len(records), float(len(records)), event))
        apply(state, records[-1])

    started = time.process_time()
    record(e.RolloutStarted("r", plan, ME, True, "0"))
    while state.verdict is None:
        acted = False
        for action in next_actions(plan, state):
            if not isinstance(action, schedule.DEEDS):
                record(action)
                acted = True
            elif action not in deeds:
                deeds.add(action)
                order.append(action)
                record(_announced(action, len(records)))
        if acted:
            continue
        if order:
            deed = order.popleft()
            deeds.discard(deed)
            record(_ended(deed, state))
        else:
            gate = state.gate
            assert gate is not None, "nothing runs, and it has not ended"
            record(e.GateApproved(gate.wave, plan.hash, gate.evidence, ME))
    assert state.verdict == "succeeded"
    return records, time.process_time() - started


def _announced(deed: schedule.Deed, number: int) -> e.Event:
    match deed:
        case schedule.Probe(target):
            return e.ProbeStarted(target)
        case schedule.StartStep(target, phase, step, attempt):
            return e.StepStarted(target, phase, step, attempt, f"x{number}")
    raise AssertionError(deed)


def _ended(deed: schedule.Deed, state: RolloutState) -> e.Event:
    match deed:
        case schedule.Probe(target):
            return e.TargetProbed(target, "ok", "boot", "1")
        case schedule.StartStep(target):
            running = state.targets[target].running
            assert running is not None
            return e.StepFinished(target, running.execution, "ok", 0)
    raise AssertionError(deed)


# --- real servers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rolled:
    """One headless rollout: wall seconds, the engine's processor seconds, its resident memory in MB."""

    wall: float
    cpu: float
    peak_mb: float
    middle_mb: float
    logs: Path


@contextlib.contextmanager
def rolled_out(fleet_file: Path) -> Iterator[Rolled]:
    """Roll out with nobody to ask; sys.exit where it does not succeed. The logs are there inside."""
    with tempfile.TemporaryDirectory(prefix="canary-scale-") as state, (Path(state) / "said").open("w+b") as said:
        words = [sys.executable, "-m", "canary_tui", "run", fleet_file, "--release", "1", "--headless"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, words)], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env={**os.environ, "CANARY_TUI_STATE": state},
        )  # fmt: skip
        samples = []
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            samples.append(_resident_mb(process.pid))
            time.sleep(0.05)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        if process.returncode:
            said.seek(0)
            sys.exit(f"ended with {process.returncode}:\n{said.read()[-3000:].decode(errors='replace')}")
        usage = ended[2]
        [logs] = Path(state).glob("rollouts/*/logs")
        cpu = usage.ru_utime + usage.ru_stime
        yield Rolled(wall, cpu, usage.ru_maxrss / 1024, measuring.middle(samples or [0.0]), logs)


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except (OSError, IndexError):
        return 0.0


def fleet(count: int) -> None:
    """Two short steps on many real servers."""
    steps = "".join(f'[[steps]]\nname = "{name}"\nrun = "echo {name}; sleep 0.2"\n' for name in ("fetch", "switch"))
    body = f'{steps}\n[[waves]]\nname = "all"\nparallel = {PARALLEL}\n'
    with TargetsApart(count) as targets, rolled_out(targets.fleet(body, "many")) as done:
        logs = {one.name: (done.logs / f"{one.name}.log").read_bytes() for one in targets.targets}
        missing = [name for name, log in logs.items() if b"switch out| switch\n" not in log]
    if missing:
        sys.exit(f"no output of {missing}")
    figures = [done.wall, 1000 * done.cpu / count, done.middle_mb, done.peak_mb]
    head = ["targets", "wall s", "CPU ms/target", "memory MB, median", "peak"]
    table = measuring.table(head, [[f"{count}", *(f"{one:.1f}" for one in figures)]])
    print(f"2 steps on real sshd, {PARALLEL} at a time, no failure\n\n{table}\n")


def output(gigabytes: float) -> None:
    """Much output, compared with what was printed, byte for byte."""
    size = int(gigabytes * 1e9) // 100
    loud = f"yes {'x' * 92} | head -n {size} | cat -n"
    paced = f"i=0; while [ $i -lt 40 ]; do i=$((i + 1)); yes {'y' * 92} | head -n 1000 | cat -n; sleep 0.5; done"
    flat_out = f"yes {'z' * 92} | head -n 100000 | cat -n"
    rows = [
        _printed("one target, as fast as it can", 1, loud),
        _printed("50 targets, 10 MB/s in all for 20 s", 50, paced),
        _printed("50 targets, as fast as they can", 50, flat_out),
    ]
    head = ["", "MB", "wall s", "MB/s", "engine CPU s", "memory MB, median", "peak", "sha256"]
    print(f"Output\n\n{measuring.table(head, rows)}\n")


def _printed(title: str, count: int, script: str) -> list[str]:
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        wanted, size = _digest(process.stdout)
    body = f'[limits]\noutput = "4GB"\n[[steps]]\nname = "loud"\nrun = "{script}"\n'
    body += f'[[waves]]\nname = "all"\nparallel = {count}\n'
    with TargetsApart(count) as targets, rolled_out(targets.fleet(body, "loud")) as done:
        for target in targets.targets:
            with (done.logs / f"{target.name}.log").open("rb") as log:
                got, _ = _digest(_printed_text(log))
            if got != wanted:
                sys.exit(f"{title}: the log of {target.name} is not what was printed")
    total = count * size / 1e6
    figures = [total, done.wall, total / done.wall, done.cpu, done.middle_mb, done.peak_mb]
    return [title, *(f"{one:.0f}" if one > 20 else f"{one:.1f}" for one in figures), "same"]


_HEAD = re.compile(rb"\S+ \S+ (out|--)([|+]) ")


def _printed_text(log: Iterable[bytes]) -> Iterator[bytes]:
    """The text of a log without what stands before it in each line."""
    broken = False
    for line in log:
        head = _HEAD.match(line)
        if head is None:
            sys.exit(f"no line of a log: {line[:200]!r}")
        if head[1] == b"--":
            continue
        if broken and head[2] != b"+":
            yield b"\n"
        broken = True
        yield line[head.end() : -1]
    yield b"\n"


def _digest(pieces: Iterable[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


if __name__ == "__main__":
    main()
