"""What a person sees and does: the whole program in a real terminal, driven by keys, on real servers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from farm import Farm
from fronts import canary_tui, folded, only_rollout, told
from marks import COUNTS, DEPLOY, HOLD, ROLLBACK, fleet_file, let_go, names, times, untouched, waves, with_mark
from on_screen import CTRL_C, ENTER, ESCAPE, RIGHT, Terminal, answer_gate, run, start

from canary_tui.domain.rollout import events as e
from canary_tui.engine.identity import operator


def say(state: Path, target: str, text: str) -> None:
    """A line more in a target's log, as an engine writes it."""
    with (only_rollout(state).logs / f"{target}.log").open("ab") as log:
        log.write(f"2030-01-01T00:00:00.000Z count out| {text}\n".encode())


# The gate


@pytest.mark.criterion("F1", by_keys=True)
def test_the_gate_shows_what_it_is_decided_by_and_the_logs_above_it_stay_live(any_farm: Farm, state: Path) -> None:
    rest = any_farm.targets[2:]
    gate = 'instructions = "Look at $CANARIES for $RELEASE."\nchecklist = ["dashboards"]\nexpires = "2h"'
    with run(state, fleet_file(any_farm, DEPLOY + COUNTS + waves("web-1", "web-2", gate=gate))) as screen:
        start(screen)
        screen.shows(f"GATE canary -> rest: {len(rest)} targets next", "waiting 00:0", "expires in 1 h 59 m")
        screen.shows("Look at web-1 web-2 for 2.0.", "[ ] 1 dashboards", "1.0 -> 2.0", f"web-[3-{len(rest) + 2}]")
        screen.shows(
            f"started by {operator().user}@{operator().host}", "Approve opens when the checklist is done: 1 item left"
        )
        assert re.search(r"canaries 2: \+ web-1 ok (just now|\d+ s)  \+ web-2 ok (just now|\d+ s)", screen.text)
        screen.press("g")
        screen.shows("part 60 of web-1", "FOLLOW")
        say(state, "web-1", "still alive")
        screen.shows("still alive")
        screen.press("\t", "g")
        screen.shows("PAUSED", "part 1 of web-1\n")
        say(state, "web-1", "and more")
        screen.shows("+1 new", "part 1 of web-1\n")
        screen.press("f")
        screen.shows("FOLLOW", "and more")
        screen.press("/", *"part 33", ENTER)
        screen.shows("/ part 33: 1 of 1", "part 33 of web-1", "GATE canary -> rest")
        assert re.search(r"waiting 00:(0[2-9]|[1-5]\d)", screen.text), "the time goes on"
        assert untouched(rest)
        screen.press("1")
        screen.shows("[x] 1 dashboards")
        answer_gate(screen, len(rest))
        screen.until(lambda: with_mark(any_farm) == names(any_farm))
        screen.shows("SUCCEEDED")


@pytest.mark.criterion("F2", by_keys=True)
def test_no_key_but_the_number_of_the_targets_that_come_next_opens_the_gate(any_farm: Farm, state: Path) -> None:
    rest = any_farm.targets[1:]
    number = str(len(rest))
    with run(state, fleet_file(any_farm, HOLD), "--canary", "web-1") as screen:
        start(screen)
        screen.until(lambda: any_farm.targets[0].read("pid"))
        screen.press("A", *number, ENTER)
        let_go(any_farm)
        screen.press("A", *number, ENTER)
        screen.shows("GATE canary -> rest")
        screen.read()
        for keys in (
            [ENTER],
            ["y", ENTER],
            [*number, ENTER],
            ["\x04"],
            ["A", ENTER, ESCAPE],
            ["A", "1", "1", ENTER, ESCAPE],
        ):
            screen.press(*keys)
            assert "GATE canary -> rest" in screen.text
        screen.paste(f"A{number}\r")
        screen.press(ESCAPE, "A")
        screen.paste(f"\x1b[200~{number}\r\x1b[201~")
        screen.press(ENTER)
        screen.paste(f"{number}\r")
        screen.press(ENTER, ESCAPE, CTRL_C)
        screen.read()
        screen.press(ESCAPE)
        screen.shows("GATE canary -> rest")
    assert told(state, e.GateApproved) == []
    assert untouched(rest)
    assert canary_tui(state, "resume", "--headless").code == 4, "the closed terminal was no answer"
    assert untouched(rest)
    with Terminal(state, "resume") as screen:
        screen.shows("Resume shop 2.0 of", ": enter")
        screen.press(ENTER)
        answer_gate(screen, len(rest))
        screen.until(lambda: with_mark(any_farm) == names(any_farm))
        screen.shows("SUCCEEDED")
    assert set(times(any_farm).values()) == {1}


# Failing targets


FAILS = """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "echo $RELEASE > REVISION; echo x >> tried; [ ! -e bad ] || exit 7; echo x >> deployed"
"""


def three_fail(farm: Farm, screen: Terminal) -> None:
    """The rollout stops where web-2, web-3 and web-4 failed at once."""
    for target in farm.targets[1:4]:
        (target.home / "bad").touch()
    start(screen)
    answer_gate(screen, len(farm.targets) - 1)
    screen.shows("3 targets failed", "! 3 x deploy", "exit 7", "web-[2-4]")
    screen.read()
    assert untouched(farm.targets[4:])


@pytest.mark.criterion("G2", by_keys=True)
def test_failing_targets_are_retried_excluded_and_rolled_back_by_keys(any_farm: Farm, state: Path) -> None:
    with run(state, fleet_file(any_farm, FAILS + ROLLBACK + waves("web-1", parallel=3))) as screen:
        three_fail(any_farm, screen)
        (any_farm.targets[1].home / "bad").unlink()
        screen.press("\t", "\t", RIGHT, "j", " ")  # the three failed alike: one row, which opens
        screen.shows("keys act on web-2")
        screen.press("R")
        screen.shows("2 targets failed")
        screen.read()
        screen.press(RIGHT, "j", " ")
        screen.shows("keys act on web-3")
        screen.press("E", *"its disk is full", ENTER)
        screen.shows("1 target failed")
        screen.read()
        screen.press("B", *"wrong disk", ENTER)
        screen.shows("PARTLY DONE", limit=60)
    gone_back, excluded = any_farm.targets[3], any_farm.targets[2]
    assert with_mark(any_farm) == names(any_farm) - {"web-3", "web-4"}
    assert times(any_farm, "tried") == {name: 2 if name == "web-2" else 1 for name in names(any_farm)}
    assert with_mark(any_farm, "back") == {"web-4"}
    assert (gone_back.read("REVISION"), excluded.read("REVISION")) == ("1.0\n", "2.0\n")
    treated = [(one.targets, one.treatment, one.note) for one in told(state, e.FailureTreated)]
    assert treated == [
        (("web-2",), "retry", ""),
        (("web-3",), "exclude", "its disk is full"),
        (("web-4",), "rollback", "wrong disk"),
    ]


@pytest.mark.criterion("G2", "F4", "H1", "H3", by_keys=True)
def test_an_abort_by_keys_rolls_back_what_changed_and_reaches_nobody_else(any_farm: Farm, state: Path) -> None:
    with run(state, fleet_file(any_farm, FAILS + ROLLBACK + waves("web-1", parallel=3))) as screen:
        three_fail(any_farm, screen)
        screen.press("X")
        screen.shows("ABORT shop 2.0", "Reason for the abort")
        screen.press(*"enough", ENTER)
        screen.shows("B Roll back: 4 targets go back")
        screen.read()
        screen.press("B")
        screen.shows("4 of 4 changed targets rolled back")
        screen.read()
        screen.press("q")
        assert screen.ended() == 3
    assert with_mark(any_farm, "back") == {"web-1", "web-2", "web-3", "web-4"}
    assert {target.read("REVISION") for target in any_farm.targets} == {"1.0\n"}
    assert untouched(any_farm.targets[4:])
    assert folded(state).reason
