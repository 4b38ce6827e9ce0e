"""However the app ends, the terminal is given back as it was: in a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types of its own
import pyte
import pytest
from driving import SHOP

HERE = Path(__file__).parent
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h")
"""Leaving the alternate screen, showing the cursor."""


@contextmanager
def terminal(folder: Path, *arguments: str, **environment: str) -> Iterator[pexpect.spawn[bytes]]:
    fleet = folder / "shop.toml"
    fleet.write_text(SHOP, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLORTERM"}}
    child = pexpect.spawn(
        sys.executable,
        [str(HERE / "in_terminal.py"), str(fleet), str(folder / "state"), *arguments],
        env={**inherited, "TERM": "xterm-256color", "PYTHONPATH": str(HERE.parents[1]), **environment},
        dimensions=(24, 80),
        timeout=20,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def rest_of(child: pexpect.spawn[bytes]) -> None:
    child.expect(pexpect.EOF)
    child.wait()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(lambda child: child.send("q"), 0, id="q"),
        pytest.param(lambda child: child.send("\x03"), 130, id="Ctrl-C"),
        pytest.param(lambda child: child.kill(signal.SIGTERM), 130, id="TERM"),
        pytest.param(lambda child: child.kill(signal.SIGHUP), 130, id="HUP"),
        pytest.param(lambda child: child.kill(signal.SIGINT), 130, id="INT from outside"),
    ],
)
def test_the_terminal_is_given_back_after(
    tmp_path: Path, end: Callable[[pexpect.spawn[bytes]], object], code: int
) -> None:
    with terminal(tmp_path) as child:
        before = termios.tcgetattr(child.child_fd)
        child.expect("18 after the gate")
        assert termios.tcgetattr(child.child_fd) != before
        end(child)
        child.expect(f"ended with {code}; loaded \\[\\]")
        assert all(sequence in child.before for sequence in RESTORED)
        assert termios.tcgetattr(child.child_fd) == before
        rest_of(child)
        assert child.exitstatus == code


@pytest.mark.found("field 19")
def test_the_last_words_stand_below_the_frame_where_there_is_no_alternate_screen(tmp_path: Path) -> None:
    """A terminal that keeps the last frame, as GNU screen does, shows all of it, and below it what is said then."""
    screen = pyte.Screen(80, 24)  # it has no alternate screen
    with terminal(tmp_path) as child:
        child.expect("18 after the gate")
        painted = child.before + child.after
        child.send("q")
        rest_of(child)
        painted += child.before
    pyte.ByteStream(screen).feed(painted)
    rows = [row.rstrip() for row in screen.display]
    assert "? Help" in rows[-3], "\n".join(rows)
    assert "ended with 0" in rows[-2], "\n".join(rows)


def test_a_bug_gives_the_terminal_back_and_prints_a_traceback_without_locals(tmp_path: Path) -> None:
    with terminal(tmp_path, "--crash") as child:
        child.expect("18 after the gate")
        child.send("?")
        child.expect("ended with 1;")
        printed = child.before
        assert all(sequence in printed for sequence in RESTORED)
        after = printed[printed.rindex(RESTORED[0]) :]
        assert b"RuntimeError: a planted bug" in after
        assert b"Traceback (most recent call last)" in after
        assert b"canary-tui: a bug, see above" in after
        assert b"hunter2" not in after
        assert b"\x1b[2J" not in after


@pytest.mark.found("fault 4")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("é".encode("latin-1") + b"x", id="Latin-1"),
        pytest.param(b"\xe1", id="a meta key of eight bits"),
        pytest.param(b"\x1b[200~\xff\xfe\x1b[201~", id="in a paste"),
    ],
)
def test_input_that_is_no_utf_8_does_not_end_the_screens(tmp_path: Path, sent: bytes) -> None:
    """Whatever bytes a terminal sends, the next key still works."""
    with terminal(tmp_path) as child:
        child.expect("18 after the gate")
        child.send(sent)
        child.send("?")
        child.expect("Keys here")
        child.send("\x03")
        child.expect("ended with 130")


def test_no_control_sequence_of_a_fleet_file_reaches_the_terminal(tmp_path: Path) -> None:
    words = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b31m"
    with terminal(tmp_path, "--ask", "password", "--words", words) as child:
        child.expect("18 after the gate")
        child.send("\r")
        child.expect("Nothing was connected")
        child.send("P")
        child.expect("Kept in memory only")
        assert b"]52;c;" in child.before
        assert b"\x1b]52" not in child.before
        child.send("\x03")
        rest_of(child)


def test_no_color_prints_no_colour_at_all(tmp_path: Path) -> None:
    with terminal(tmp_path, NO_COLOR="1") as child:
        child.expect("18 after the gate")
        painted = child.before
        child.send("q")
        rest_of(child)
    for codes in re.findall(rb"\x1b\[([0-9;]*)m", painted):
        numbers = [int(number) for number in codes.split(b";") if number]
        own = {39, 49}  # the terminal's own colours
        assert not any(30 <= number <= 49 or 90 <= number <= 107 for number in numbers if number not in own), codes


def test_leaving_the_problems_of_a_file_leaves_one_line_on_the_terminal(tmp_path: Path) -> None:
    """Who comes back to the shell reads there why nothing was started, and the command that tells more."""
    with terminal(tmp_path) as child:
        child.expect("18 after the gate")
        (tmp_path / "shop.toml").write_text("name = 7\n", encoding="utf-8")
        child.send("\x12")
        child.expect("problem")
        child.send("q")
        child.expect(r"canary-tui: .*shop.toml: \d+ problems?; list them with: canary-tui check .*shop.toml")
        child.expect("ended with 2")
        rest_of(child)
