"""A rollout in full swing without servers: a journal that says so, and logs that grow at a given rate.

python tests/bench/busy_rollout.py STATE TARGETS LINES_PER_SECOND   prints the rollout's directory, then writes until
its input ends; then it prints how many lines a second it got done.
"""

from __future__ import annotations

import asyncio
import pathlib
import select
import sys
import time

import measuring  # noqa: F401 -- puts the package on the path
from hand import mark

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout.events import (
    Operator,
    ProbeStarted,
    RolloutStarted,
    StepStarted,
    TargetProbed,
    WaveStarted,
)
from canary_tui.store.journal import JournalWriter
from canary_tui.store.layout import RolloutDirectory, new_rollout, state_directory
from canary_tui.store.logs.writer import LogSet

TICK = 0.05
SCREENFUL = 50
"""Lines that every log has from the start."""
FILLER = "GET /catalogue/items 200 in 12 ms, 18,221 bytes, cache hit"


def target_name(number: int) -> str:
    """Counts from 0, and each is as long as the others."""
    return f"web-{number + 1:03d}"


async def begin(state: pathlib.Path, count: int) -> RolloutDirectory:
    """A rollout whose targets all run the same step."""
    directory = new_rollout(state_directory(str(state), {}), "busy", time.time())
    names = tuple(target_name(number) for number in range(count))
    plan = Plan(
        fleet="busy",
        release="1.4.2",
        environment="",
        targets={name: PlannedTarget(name, name, Ssh(), steps=(0,)) for name in names},
        waves=(PlannedWave("all", names, parallel=count),),
        steps=(RunStep(run="chatter", name="chatter"),),
    )
    journal = JournalWriter.create(directory.journal)
    by = Operator("bench", "bench")
    journal.append(RolloutStarted(directory.id, plan, by, attended=True, version="0"), time.time())
    for name in names:
        journal.append(ProbeStarted(name), time.time())
        journal.append(TargetProbed(name, "ok", boot="b", release="1.4.1"), time.time())
    journal.append(WaveStarted(0), time.time())
    for number, name in enumerate(names):
        journal.append(StepStarted(name, "steps", 0, 1, f"{number:032x}"), time.time())
    await journal.commit()
    return directory


def write_logs(directory: RolloutDirectory, count: int, rate: float) -> float:
    """Write until stdin ends; lines a second."""
    written = 0
    with LogSet(directory.logs) as logs:
        targets = [logs.target(target_name(number)) for number in range(count)]
        for number, log in enumerate(targets):
            log.begin("chatter", f"{number:032x}")
        started = time.perf_counter()
        due = started
        while not select.select([sys.stdin], [], [], max(0.0, due - time.perf_counter()))[0]:
            wanted = int((time.perf_counter() - started) * rate) - written
            each = max(0, wanted // count) if written else SCREENFUL
            for log in targets if each else ():
                line = f"{mark(log.target)} {written // count:08d} {FILLER}\n"
                log.write(line * each)
            written += each * count
            due += TICK
        elapsed = time.perf_counter() - started
    return written / elapsed


def main() -> None:
    state, count, rate = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    directory = asyncio.run(begin(state, count))
    print(directory.path, flush=True)
    print(f"{write_logs(directory, count, rate):.0f}", flush=True)


if __name__ == "__main__":
    main()
