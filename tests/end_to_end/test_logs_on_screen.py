"""The logs as a person reads them: the whole program in a real terminal, driven by keys, on real servers."""

from __future__ import annotations

import math
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from farm import Farm, FarmTarget
from fronts import only_rollout
from marks import COUNTS, fleet_file, let_go, names, with_mark
from on_screen import ENTER, ESCAPE, Terminal, run, start

ALL = '[[waves]]\nname = "all"\nparallel = {count}\n'
SPEAKS = """
[[steps]]
name = "speak"
run = '''
pause=2; [ $TARGET != web-1 ] || pause=0.1
echo x > begun
until [ -e go ]; do echo "at $TARGET $(date +%s.%N)" | tee -a said; sleep $pause; done
'''
"""
"""Lines that say when they were written, by the target's clock; ten a second on web-1, one in two seconds on the others."""
SPOKEN = re.compile(r"at web-\d+ \d{10}\.\d{9}")
LATEST = 0.2
"""Seconds from a target's write to the screen."""
ROUND = 3.0
"""Seconds; a line that was written in them has another to be seen."""


def ages(screen: Terminal, targets: Sequence[FarmTarget]) -> dict[str, float]:
    """For each line that these write in one round: how old it was when it stood on the screen, infinitely if never."""
    began = time.time()
    shown = screen.moments(screen.pump(ROUND + 1), lambda text: set(SPOKEN.findall(text)))
    written = {text: float(text.split()[-1]) for target in targets for text in SPOKEN.findall(target.read("said"))}
    return {text: shown.get(text, math.inf) - at for text, at in written.items() if began <= at < began + ROUND}


@pytest.mark.alone
@pytest.mark.criterion("J1", by_keys=True)
@pytest.mark.parametrize("view", ["one", "merged"])
def test_a_line_is_on_the_screen_200_ms_after_its_target_wrote_it(any_farm: Farm, state: Path, view: str) -> None:
    """By the target's own clock: nine of ten lines, in the best of a few rounds."""
    count = len(any_farm.targets)
    speakers = any_farm.targets if view == "merged" else any_farm.targets[:1]
    with run(state, fleet_file(any_farm, SPEAKS + ALL.format(count=count))) as screen:
        start(screen)
        screen.until(lambda: with_mark(any_farm, "begun") == names(any_farm))
        screen.press("g")
        screen.shows("at web-1 ")
        if view == "merged":
            screen.press("l")
            screen.shows("merged", "at web-2 ")
        for _ in range(8):
            took = ages(screen, speakers)
            assert {text.split()[1] for text in took} == {target.name for target in speakers}
            figures = [statistics.median(took.values()), _nine_of_ten(took), max(took.values())]
            told = ", ".join(f"{1000 * figure:.0f}" for figure in figures)
            print(f"{count} servers, {view}: {len(took)} lines, median, p90 and slowest: {told} ms")
            assert min(took.values()) > 0, "the clocks agree"
            assert max(took.values()) < math.inf, "every line is shown"
            if _nine_of_ten(took) < LATEST:
                break
        let_go(any_farm)
    assert _nine_of_ten(took) < LATEST


def _nine_of_ten(took: dict[str, float]) -> float:
    return statistics.quantiles(took.values(), n=10)[-1]


@pytest.mark.criterion("J2", by_keys=True)
def test_logs_are_searched_filtered_wrapped_copied_and_opened_by_keys(
    any_farm: Farm, state: Path, tmp_path: Path
) -> None:
    count = len(any_farm.targets)
    paged = tmp_path / "paged"
    paged.mkdir()
    with run(state, fleet_file(any_farm, COUNTS + ALL.format(count=count)), PAGER=f"cp -t {paged}") as screen:
        start(screen)
        screen.shows("SUCCEEDED")
        screen.read()
        screen.press(ESCAPE, "g")
        screen.shows("part 60 of web-1", "FOLLOW")
        screen.press("/", *"part 7 ", ENTER)
        screen.shows("/ part 7 : 1 of 1", "PAUSED", "part 7 of web-1")
        screen.press("y")
        screen.until((only_rollout(state).path / "copied.txt").exists)
        screen.press("g")
        screen.shows("00000000")
        assert "far right" not in screen.text
        screen.press("w")
        screen.shows("far right")
        assert re.search(r"\d\d:\d\d:\d\d part 1 of web-1$", screen.text, re.MULTILINE)
        screen.press("t")
        screen.until(lambda: re.search(r"│ ?part 1 of web-1$", screen.text, re.MULTILINE))
        screen.press("l", "/", *"part 7 ", ENTER)
        screen.shows("merged", f"/ part 7 : {count} of {count}")
        screen.press("N")
        screen.shows(f"/ part 7 : {count - 1} of {count}")
        screen.press("n")
        screen.shows(f"/ part 7 : {count} of {count}")
        screen.press("&", *f"of web-{count}", ENTER)
        screen.shows(f"& of web-{count}: 60")
        screen.press("G")
        screen.shows(f"part 60 of web-{count}", "FOLLOW")
        screen.press("e")
        screen.until(lambda: len(list(paged.glob("*.log"))) == count)
        screen.shows("FOLLOW")
    assert "part 7 of web-1" in (only_rollout(state).path / "copied.txt").read_text()
    for target in any_farm.targets:
        out = [line.partition("out| ")[2] for line in (paged / f"{target.name}.log").read_text().splitlines()]
        assert [line for line in out if line] == target.read("said").splitlines()
        assert len(target.read("said").splitlines()) == 61


def test_what_is_typed_ahead_of_the_pager_s_end_decides_nothing(farm: Farm, state: Path, tmp_path: Path) -> None:
    """What was asked may be another question by then, and nobody has read that."""
    pager = tmp_path / "pager"
    waits = "until [ -e go ]; do sleep 0.05; done"
    pager.write_text(f"#!/bin/sh\ncd {tmp_path}; echo x > lent; {waits}; echo x > ended\n")
    pager.chmod(0o755)
    fails = '[[steps]]\nname = "deploy"\nrun = "echo x >> tried; exit 3"\n'
    with run(state, fleet_file(farm, fails), "--canary", "web-1", PAGER=str(pager)) as screen:
        start(screen)
        screen.shows("1 target failed", "R Retry")
        screen.read()
        screen.press("e")
        screen.until((tmp_path / "lent").exists)
        screen.press("R")
        (tmp_path / "go").touch()
        screen.until((tmp_path / "ended").exists)
        screen.press("R")
        screen.read()
        assert farm.targets[0].read("tried") == "x\n"
        screen.press("R")
        screen.until(lambda: farm.targets[0].read("tried") == "x\nx\n")
