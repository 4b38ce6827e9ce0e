"""A shell on a target, from the screens: the operator's own ssh, to the right server, and back to a gate that holds."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from farm import Farm
from fronts import told
from marks import DEPLOY, HOLD, fleet_file, let_go, names, times, untouched, with_mark
from on_screen import CTRL_C, RIGHT, Terminal, answer_gate, run, start

from canary_tui.domain.rollout import events as e

SHELL = ""
"""What a server is asked to run by who wants a shell."""


def shells(farm: Farm) -> list[str]:
    """The targets on which a shell was opened, a name for each time."""
    return [target.name for target in farm.targets for command in target.commands() if command == SHELL]


@pytest.mark.criterion("F1", by_keys=True)
def test_a_shell_on_the_canary_comes_back_to_a_gate_that_nothing_typed_ahead_opens(any_farm: Farm, state: Path) -> None:
    number = str(len(any_farm.targets) - 1)
    with run(state, fleet_file(any_farm, HOLD), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("T Shell", "web-1: deploy")
        screen.until(lambda: any_farm.targets[0].read("pid"))
        screen.read()
        screen.press("T")
        screen.shows(f"web-1 ({any_farm.targets[0].address}): your own ssh. exit, or Ctrl-D, goes back")
        screen.until(lambda: shells(any_farm) == ["web-1"])
        screen.paste("pwd; tty\n")
        screen.shows(str(any_farm.targets[0].home), "/dev/pts/")
        screen.paste("touch go\n")
        screen.until(lambda: told(state, e.GateOpened))
        assert [one.outcome for one in told(state, e.StepFinished)] == ["ok"], "the engine went on meanwhile"
        screen.paste("exit\n")
        for _ in range(3):
            screen.paste(f"A{number}\r")
        screen.shows("GATE canary -> rest", "A Approve: then type", "FOLLOW")
        assert told(state, e.GateApproved) == []
        assert untouched(any_farm.targets[1:])
        let_go(any_farm)
        answer_gate(screen, len(any_farm.targets) - 1)
        screen.shows("SUCCEEDED")
    assert times(any_farm) == dict.fromkeys(names(any_farm), 1)
    assert shells(any_farm) == ["web-1"]


@pytest.mark.criterion("G2", by_keys=True)
def test_a_shell_on_the_failed_target_that_is_under_the_cursor(any_farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "deploy"\nrun = "[ $TARGET != web-3 ] || sleep 1; echo x >> tried; [ -e mended ] && echo x >> deployed"\n'
    (any_farm.targets[0].home / "mended").touch()
    with run(state, fleet_file(any_farm, body), "--canary", "web-1 | web-2 | web-3") as screen:
        start(screen)
        screen.shows("2 targets failed", "T Shell on web-2: look at it yourself")
        screen.read()
        screen.press("\t", "\t", RIGHT, "j", "j", "T")
        screen.until(lambda: shells(any_farm) == ["web-3"])
        screen.paste("touch mended; exit\n")
        screen.shows("2 targets failed")
        screen.read()
        screen.press("R")
        screen.until(lambda: with_mark(any_farm) == {"web-1", "web-3"})
        screen.shows("1 target failed", "keys act on web-2")


def test_what_ssh_refuses_stays_readable(farm: Farm, state: Path) -> None:
    known = farm.known_hosts.read_text()
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("GATE canary -> rest")
        try:
            farm.known_hosts.write_text("")
            screen.read()
            screen.press("T")
            screen.shows("Host key verification failed", "web-1: ended with exit code 255. Press a key to go back")
            screen.read()
            screen.shows("Host key verification failed", "web-1: ended with exit code 255. Press a key to go back")
            screen.press("x")
            screen.until(lambda: "Press a key" not in screen.text)
        finally:
            farm.known_hosts.write_text(known)
        answer_gate(screen, 3)
        screen.shows("SUCCEEDED")
    assert shells(farm) == []


def test_ctrl_c_at_an_ssh_that_hangs_ends_that_one_and_nothing_here(farm: Farm, state: Path) -> None:
    frozen = farm.targets[1]
    with run(state, fleet_file(farm, HOLD), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("T Shell", "web-1: deploy")
        try:
            os.kill(frozen.listener, signal.SIGSTOP)
            screen.press("j", "T")
            screen.shows(f"web-2 ({frozen.address}): your own ssh")
            screen.pump(0.5)
            screen.press(CTRL_C)
            screen.shows("Press a key to go back")
        finally:
            os.kill(frozen.listener, signal.SIGCONT)
        screen.press("x")
        screen.until(lambda: "Press a key" not in screen.text)
        screen.shows("web-1: deploy", "engine ok")
        let_go(farm)
        answer_gate(screen, 3)
        screen.shows("SUCCEEDED")
    assert told(state, e.StopRequested) == []


def test_a_rollout_that_is_watched_or_told_again_offers_no_shell(farm: Farm, state: Path) -> None:
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("GATE canary -> rest")
        with Terminal(state, "watch") as watching:
            watching.shows("GATE canary -> rest", "READ ONLY")
            watching.press("T")
            watching.shows("Read only:")
            assert "T Shell" not in watching.text
        answer_gate(screen, 3)
        screen.shows("SUCCEEDED")
    with Terminal(state, "replay") as again:
        again.shows("v Result", "succeeded")
        assert "T Shell" not in again.text
        again.press("T", "v")
        again.shows("exit code 0")
    assert shells(farm) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_during_a_shell_ends_with_it(farm: Farm, state: Path, number: signal.Signals) -> None:
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("GATE canary -> rest")
        screen.read()
        screen.press("T")
        screen.until(lambda: shells(farm) == ["web-1"])
        os.kill(screen.pid, number)
        assert screen.ended() == 130
        screen.until(lambda: [one.reason for one in told(state, e.EngineStopped)] == ["detached"])
        screen.until(lambda: not farm.targets[0].sessions())
        assert "Press a key" not in screen.text


def test_a_terminal_that_is_closed_during_a_shell_leaves_nothing_behind(farm: Farm, state: Path) -> None:
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1") as screen:
        start(screen)
        screen.shows("GATE canary -> rest")
        screen.read()
        screen.press("T")
        screen.until(lambda: shells(farm) == ["web-1"])
        assert screen.hang_up() in (1, 130), "it ends by itself"
    assert [one.reason for one in told(state, e.EngineStopped)] == ["detached"]
