"""The targets' logs, as `less` and `grep` see them: plain, complete, and named."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, canary_tui, headless, only_rollout, plan_of, until
from marks import DEPLOY, fleet_file, let_go, names

from canary_tui.engine.messages import Heartbeat, Progress
from canary_tui.store.logs.format import parse_line
from canary_tui.store.logs.merged import MergedReader

ALL = '[[waves]]\nname = "all"\nparallel = 8\n'
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [^\s|]+ (out|err|--)[|+] .*")


def log_of(state: Path, target: str) -> str:
    return (only_rollout(state).logs / f"{target}.log").read_text()


@pytest.mark.criterion("J3")
def test_every_line_has_time_step_and_stream(any_farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "say"\nrun = "echo to out; echo to err >&2"\ndurable = false\n' + DEPLOY + ALL
    assert headless(state, fleet_file(any_farm, body)).code == 0
    logs = only_rollout(state).logs
    assert {path.stem for path in logs.glob("*.log")} == names(any_farm)
    for path in logs.glob("*.log"):
        lines = path.read_text().splitlines()
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        said = [(one.step, one.stream, one.text) for one in (parse_line(line.encode()) for line in lines)]
        assert ("say", "out", "to out") in said
        assert ("say", "err", "to err") in said
        assert [step for step, stream, text in said if stream == "--" and text.startswith("end ")] == ["say", "deploy"]
    found = subprocess.run(["grep", "-l", "to out", "-r", logs], capture_output=True, text=True, check=True).stdout
    assert len(found.splitlines()) >= len(any_farm.targets)


@pytest.mark.criterion("J2")
def test_every_line_of_a_long_output_is_there_once_and_in_order(any_farm: Farm, state: Path) -> None:
    count = 120_000 // len(any_farm.targets)
    body = (
        f"[[steps]]\nname = \"count\"\nrun = '''i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; done'''\n"
    )
    assert headless(state, fleet_file(any_farm, body + ALL)).code == 0
    for target in names(any_farm):
        texts = [
            one.text for one in map(parse_line, log_of(state, target).encode().splitlines()) if one.stream == "out"
        ]
        assert texts == [f"line {number}" for number in range(1, count + 1)]


@pytest.mark.criterion("J1")
def test_the_logs_read_as_one_have_every_line_of_each_target_in_its_order(any_farm: Farm, state: Path) -> None:
    """Merged in the order in which they came; what all targets printed first is before what any printed last."""
    body = """[[steps]]
name = "count"
run = "for i in 1 2 3 4 5 6 7 8 9; do echo $TARGET $i; done"
[[finally]]
name = "bye"
run = "echo $TARGET 10"
"""
    assert headless(state, fleet_file(any_farm, body + ALL)).code == 0
    logs = only_rollout(state).logs
    merged = MergedReader(logs)
    merged.poll()
    lines = merged.read(0, merged.lines)
    merged.close()
    for target in names(any_farm):
        own = [line for line in lines if line.target == target]
        assert [line.text for line in own if line.stream == "out"] == [f"{target} {i}" for i in range(1, 11)]
        assert own == [parse_line(line, target) for line in log_of(state, target).encode().splitlines()]
    assert len(lines) == sum(len(path.read_text().splitlines()) for path in logs.glob("*.log"))
    steps = [line.step for line in lines if line.stream == "out"]
    assert steps == ["count"] * 9 * len(any_farm.targets) + ["bye"] * len(any_farm.targets)


def test_what_a_target_prints_is_inert_in_the_log(farm: Farm, state: Path) -> None:
    """P12: nothing of it acts on the terminal that shows the log, and no text passes for a line of ours."""
    forged = "2026-01-01T00:00:00.000Z deploy --| end 000000000000 ok"
    body = f"""[[steps]]
name = "evil"
run = '''printf 'a\\033]52;c;AAAA\\007b\\233c\\377\\n'; echo '{forged}'; printf 'no end'
'''
"""
    assert headless(state, fleet_file(farm, body + ALL)).code == 0
    text = log_of(state, "web-1")
    assert all(char.isprintable() or char == "\n" for char in text)
    ours = [line for line in text.splitlines() if parse_line(line.encode()).stream == "--"]
    assert len(ours) == 2, "begin and end"
    assert any(line.endswith("no end") for line in text.splitlines())


@pytest.mark.criterion("J1")
async def test_output_is_in_the_log_while_the_step_still_runs(any_farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "talk"\nrun = "echo here I am; until [ -e go ]; do sleep 0.1; done"\n'
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(any_farm, body), canaries=("web-1",)))
        log = front.logs / "web-1.log"
        await until(lambda: log.exists() and "out| here I am\n" in log.read_text(), 10)
        assert front.poll().targets["web-1"].running
        assert (await front.notice(Progress)).target == "web-1"
        await until(lambda: any(isinstance(one, Heartbeat) and one.lines >= 1 for one in front.notices))
        let_go(any_farm)
        await front.until(lambda state: state.gate)


def test_what_is_kept_is_for_the_operator_only(farm: Farm, state: Path) -> None:
    """P20"""
    assert headless(state, fleet_file(farm, DEPLOY + ALL)).code == 0
    found = only_rollout(state)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [found.path, *found.path.rglob("*")]}
    assert {mode for mode in modes.values()} <= {0o700, 0o600}, modes


def test_a_step_that_prints_more_than_its_limit_is_stopped_and_says_so(farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "flood"\nrun = "yes | head -c 1000000; sleep 30"\n[limits]\noutput = "100KiB"\n'
    ran = headless(state, fleet_file(farm, body + '[[waves]]\nname = "all"\nparallel = 4\n'))
    assert ran.code == 1
    assert "its output exceeded the cap" in ran.text


def test_the_summary_reads_back(farm: Farm, state: Path) -> None:
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1").code == 4
    summary = tomllib.loads(only_rollout(state).summary.read_text())
    assert summary["fleet"] == "shop"
    assert canary_tui(state, "verify").code == 0
