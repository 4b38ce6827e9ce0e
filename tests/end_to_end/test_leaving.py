"""Leaving the screens at an awkward moment: the exit code and the last words tell what became of the rollout."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from farm import Farm
from fronts import folded, only_rollout
from marks import DEPLOY, fleet_file, with_mark
from on_screen import CTRL_Q, ENTER, Terminal, run


def engine_of(screen: Terminal) -> int:
    """The process id of the engine that the screens started, once it is there."""
    children = Path(f"/proc/{screen.pid}/task/{screen.pid}/children")

    def engines() -> list[int]:
        pids = children.read_text().split()
        return [int(pid) for pid in pids if b"_serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    screen.until(engines)
    return engines()[0]


@pytest.mark.found("fault 9")
def test_leaving_while_a_rollout_starts_is_told_as_it_is(farm: Farm, state: Path) -> None:
    """The rollout began and was stopped: that is no success, and the last words name the command that resumes it."""
    with run(state, fleet_file(farm, DEPLOY), "--canary", "web-1") as screen:
        screen.shows("enter Plan", "targets")
        screen.press(ENTER)
        screen.shows("Nothing was connected to yet")
        engine = engine_of(screen)
        os.kill(engine, signal.SIGSTOP)
        screen.press("S")
        screen.shows("enter Start")
        screen.press(ENTER)
        screen.shows("Starting ...")
        screen.press(CTRL_Q)
        screen.until(lambda: b"\x1b[?1049l" in b"".join(screen._unread))  # the terminal is given back
        os.kill(engine, signal.SIGCONT)
        assert screen.ended() == 130, screen.text
        assert f"resume {only_rollout(state).id}" in screen.text.replace("\n", "")
    assert folded(state).verdict is None
    assert not with_mark(farm)
