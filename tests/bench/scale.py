"""How the program grows: python tests/bench/scale.py [policy] [fleet] [output] [--back]

policy  what deciding costs: next_actions and apply over a whole rollout without any SSH, 100 to 10,000 targets
fleet   200 real sshd, 50 at a time, canaries first: no failure, nothing left behind, every log complete
output  1 GB from one target, and 10 MB/s over 50 at once, and as fast as they can: every byte, by sha256

The last two are done by keys on the real app in a terminal of its own; harmless keys are pressed all the while, and
each is timed until what it asked for stands on the screen. "Unqueued" leaves out, roughly, when the screens or this
bench waited for a processor that others had. Idle moves are keys at the end of the list: they had nothing to do. Memory
is what the screens and the engine have to themselves or share (PSS). The servers share the processors with the app:
--back has them stand back, as if they were other machines.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import measuring
from at_the_screens import Rolled, rolled_out
from farm import GROUP
from hand import LATENCIES, Press, latencies, mark
from targets_apart import TargetsApart, stand_back

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Gate, Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import effects
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply, replay
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.domain.rollout.state import RolloutState

ME = e.Operator("ann", "here")
PARALLEL = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["policy", "fleet", "output", []], default=[])
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3, help="of fleet")
    parser.add_argument("--startups", default="", help="of fleet: share servers, with this MaxStartups, such as 3:50:6")
    parser.add_argument("--back", action="store_true", help="the servers stand back from the processors")
    arguments = parser.parse_args()
    what = arguments.what or ["policy", "fleet", "output"]
    print(f"{measuring.machine()}\n")
    if "policy" in what:
        decide()
    if "fleet" in what:
        fleet(arguments.targets, arguments.rounds, arguments.back, arguments.startups)
    if "output" in what:
        output(arguments.gigabytes, arguments.back)


# --- policy -----------------------------------------------------------------------------------------------------------


def decide(sizes: tuple[int, ...] = (100, 1_000, 10_000)) -> None:
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
    state = RolloutState()
    records: list[e.Record] = []
    deeds: set[effects.Effect] = set()
    order: deque[effects.Effect] = deque()

    def record(event: e.Event) -> None:
        records.append(e.Record(len(records), float(len(records)), event))
        apply(state, records[-1])

    started = time.process_time()
    record(e.RolloutStarted("r", plan, ME, True, "0"))
    while state.verdict is None:
        acted = False
        for action in next_actions(plan, state):
            if not isinstance(action, effects.EFFECTS):
                record(action)
                acted = True
            elif action not in deeds:
                deeds.add(action)
                order.append(action)
                if not isinstance(action, effects.Unlock):  # nothing on a target begins with it
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


def _announced(deed: effects.Effect, number: int) -> e.Event:
    match deed:
        case effects.Probe(target):
            return e.ProbeStarted(target)
        case effects.StartStep(target, phase, step, attempt):
            return e.StepStarted(target, phase, step, attempt, f"x{number}")
    raise AssertionError(deed)


def _ended(deed: effects.Effect, state: RolloutState) -> e.Event:
    match deed:
        case effects.Probe(target):
            return e.TargetProbed(target, "ok", "boot", "1")
        case effects.StartStep(target):
            running = state.targets[target].running
            assert running is not None
            return e.StepFinished(target, running.execution, "ok", 0)
        case effects.Unlock(target):
            return e.TargetUnlocked(target, released=True)
    raise AssertionError(deed)


# --- real servers and the real screens --------------------------------------------------------------------------------

_FLEET = """
[[steps]]
name = "fetch"
run = "for part in 1 2 3 4 5; do echo \\"<$TARGET> fetch $part\\"; sleep 0.2; done"

[[steps]]
name = "switch"
run = "for part in 1 2 3 4 5; do echo \\"<$TARGET> switch $part\\"; sleep 0.2; done"

[[waves]]
name = "canary"
gate = {{}}

[[waves]]
name = "rest"
parallel = {parallel}
"""
_LOUD = """
[limits]
output = "4GB"

[[steps]]
name = "loud"
run = '''{script}'''

[[waves]]
name = "all"
parallel = {parallel}
"""
_FIGURES = ["", "wall s", *LATENCIES, "idle moves", "MB front + engine", "together", "CPU s", "MB/s", "load"]


def fleet(count: int, rounds: int, back: bool, startups: str) -> None:
    """Two short steps on many real servers, canaries first."""
    rows, waits, dropping = [], [], 0
    extra = (f"MaxStartups {startups}",) if startups else ()
    for number in range(1, rounds + 1):
        with TargetsApart(count, own_sshd=not startups, extra=extra, back=back) as targets:
            path = targets.fleet(_FLEET.format(parallel=PARALLEL), "many")
            with rolled_out(path, canaries=max(1, count // 40), preflight=True) as done:
                _hold_to_account(done, targets)
                for target in targets.targets:
                    said = b"".join(_printed_text((done.logs / f"{target.name}.log").open("rb")))
                    if said.decode() != _short_output(target.name):
                        sys.exit(f"the log of {target.name} is not what was printed, but:\n{said.decode()}")
            dropping += targets.throttled()
        rows.append(_figures(f"{count} targets, round {number}", done))
        waits += done.presses
    if startups:
        print(f"MaxStartups {startups}, {GROUP} targets a server: {dropping} times one began to drop connections\n")
    _print_watched(f"2 steps, {PARALLEL} at a time, canaries first", rows, back)
    _print_stages(waits)


def output(gigabytes: float, back: bool) -> None:
    """Much output, compared with what was printed, byte for byte."""
    size = int(gigabytes * 1e9) // 100
    loud = f"yes {'x' * 92} | head -n {size} | cat -n"
    paced = f"i=0; while [ $i -lt 40 ]; do i=$((i + 1)); yes {'y' * 92} | head -n 1000 | cat -n; sleep 0.5; done"
    flat_out = f"yes {'z' * 92} | head -n 100000 | cat -n"
    rows = []
    for title, count, script, alone in (
        (f"{gigabytes:g} GB from one of 4 targets", 4, loud, True),
        ("50 targets, 10 MB/s in all for 20 s", 50, paced, False),
        ("50 targets, as fast as they can", 50, flat_out, False),
    ):
        rows.append(_printed(title, count, script, back, alone=alone))
    _print_watched("Output, every byte held to its sha256", rows, back)


def _printed(title: str, count: int, script: str, back: bool, *, alone: bool) -> list[str]:
    """`alone`: only the first target prints, the others are there to be looked at meanwhile."""
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        wanted, size = _digest(process.stdout)
    quiet = _digest([b"nothing\n"])[0]
    if alone:
        script = f'if [ "$TARGET" = web-1 ]; then {script}; else echo nothing; fi'
    with TargetsApart(count, own_sshd=True, back=back) as targets:
        path = targets.fleet(_LOUD.format(script=script, parallel=count), "loud")
        with rolled_out(path, canaries=0) as done:
            _hold_to_account(done, targets)
            for number, target in enumerate(targets.targets):
                with (done.logs / f"{target.name}.log").open("rb") as log:
                    if _digest(_printed_text(log))[0] != (quiet if alone and number else wanted):
                        sys.exit(f"{title}: the log of {target.name} is not what was printed")
    return _figures(title, done, size * (1 if alone else count))


def _short_output(target: str) -> str:
    return "".join(f"{mark(target)} {step} {part}\n" for step in ("fetch", "switch") for part in range(1, 6))


def _hold_to_account(done: Rolled, targets: TargetsApart) -> None:
    """It succeeded without a failure, a second attempt or a lost connection, and left nothing behind; else sys.exit."""
    events = [record.event for record in done.records]
    bad: list[e.Event] = [event for event in events if isinstance(event, e.ConnectionLost)]
    bad += [one for one in events if isinstance(one, e.StepFinished | e.TargetProbed) and one.outcome != "ok"]
    bad += [event for event in events if isinstance(event, e.StepStarted) and event.attempt > 1]
    if done.exit_code or bad or replay(done.records).verdict != "succeeded":
        sys.exit(f"ended with {done.exit_code}: {bad[:5]}")
    left = targets.left() + [f"process {one.pid}" for one in (done.front, done.engine) if not one.gone()]
    if left:
        sys.exit(f"left behind: {left}")


def _figures(title: str, done: Rolled, size: int = 0) -> list[str]:
    front, engine = done.front, done.engine
    cells = [title, f"{done.wall:.1f}", *latencies(done.presses), str(done.idle_moves)]
    cells += [f"{max(front.memory):.0f} + {max(engine.memory):.0f}", f"{done.memory:.0f}"]
    return [
        *cells,
        f"{front.cpu:.1f} + {engine.cpu:.1f}",
        f"{size / 1e6 / done.wall:.0f}" if size else "",
        f"{done.load:.1f}",
    ]


def _print_watched(title: str, rows: list[list[str]], back: bool) -> None:
    how = f", servers {stand_back()}" if back else ""
    print(f"{title}. All succeeded without a failure, a second attempt or a lost connection, and left nothing behind.")
    print(f"Keys pressed at the screens meanwhile, ms to their paint{how}:\n")
    print(f"{measuring.table(_FIGURES, rows)}\n", flush=True)


def _print_stages(presses: list[Press]) -> None:
    rows = [["all", *latencies(presses)]]
    rows += [[f"in {stage}", *latencies(some)] for stage, some in _grouped(presses, lambda press: press.stage)]
    rows += [[f"key {key}", *latencies(some)] for key, some in _grouped(presses, lambda press: press.key)]
    print(f"{measuring.table(['pressed', *LATENCIES], rows)}\n", flush=True)


def _grouped(presses: list[Press], word: Callable[[Press], str]) -> list[tuple[str, list[Press]]]:
    words = dict.fromkeys(map(word, presses))
    return [(one, [press for press in presses if word(press) == one]) for one in words]


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
