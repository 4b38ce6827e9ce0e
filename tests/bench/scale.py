"""How the program grows: python tests/bench/scale.py [policy] [fleet] [output]

policy  what deciding costs: next_actions and apply over a whole rollout without any SSH, 100 to 10,000 targets
fleet   200 real sshd, 50 at a time: wall time, the engine's memory, no failure that is not real
output  1 GB from one target, and 10 MB/s from each of 50 at once: every byte, by sha256
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import measuring
from targets_apart import TargetsApart

from canary_tui.domain import events as e
from canary_tui.domain import schedule
from canary_tui.domain.fleet import Gate, RunStep, Ssh
from canary_tui.domain.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.schedule import next_actions
from canary_tui.domain.state import RolloutState, apply, replay

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


def policy(sizes: tuple[int, ...] = (100, 1_000)) -> None:
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


if __name__ == "__main__":
    main()
