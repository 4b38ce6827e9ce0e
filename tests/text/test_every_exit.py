"""The same hostile texts at every exit of the program: whatever the way out, no terminal acts on them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.segment import Segment
from textual.color import Color

from canary_tui.cli.main import run
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Operator, Record
from canary_tui.errors import Problem
from canary_tui.fleetfile.report import render
from canary_tui.service.headless import print_journal
from canary_tui.store.logs.format import log_path
from canary_tui.store.logs.writer import LogSet
from canary_tui.text.safe import HOSTILE
from canary_tui.text.secrets import Redactor
from canary_tui.text.sink import SafeSink
from canary_tui.tui.terminal import StripControls, one_line, printable, title

TEXTS = [
    pytest.param("\x1b]52;c;ZXZpbA==\x07", id="the clipboard"),
    pytest.param("\x1b]0;title\x1b\\", id="the title"),
    pytest.param("\x1b]8;;http://x\x07a\x1b]8;;\x07", id="a link"),
    pytest.param("\x1b[2J\x1b[31m", id="cursor and colour"),
    pytest.param("\x9b2J\x9d0;t\x9c", id="C1"),
    pytest.param("\x1bP+q\x1b\\", id="a question to the terminal"),
    pytest.param("\x1b", id="a sequence that is only begun"),
    pytest.param("a\rb\x08\x0b\x0c", id="a cursor that goes back"),
    pytest.param("a\x00b\x7fc", id="NUL and DEL"),
    pytest.param("x\u202ey\u2066z\u2069", id="direction"),
    pytest.param("a\u2028b\u2029c\x85d", id="other ends of lines"),
    pytest.param("a\u200bb\ufeffc\u00add\u2060e", id="what is not seen"),
    pytest.param("a\U000e0041\U000e0042\U000e007f", id="tags"),
    pytest.param("a\ud800b", id="half a character"),
    pytest.param("\x1b\x1b[\x18\x1b(0\x1bc", id="one within another"),
]


def to_log(text: str, tmp_path: Path, _capsys: pytest.CaptureFixture[str]) -> str:
    logs = LogSet(tmp_path / "logs")
    sink = SafeSink(logs.target("web-1"), Redactor())
    sink.write(b"shown " + text.encode(errors="surrogatepass"))
    sink.finish()
    logs.close()
    return log_path(tmp_path / "logs", "web-1").read_text(encoding="utf-8")


def to_headless_line(text: str, _tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    plan = Plan("shop", "2", "", {}, (), ())
    print_journal(
        [
            Record(0, 1.0, e.RolloutStarted("r", plan, Operator("ann", "desk"), attended=False, version="1")),
            Record(1, 1.0, e.EngineStopped(text)),  # type: ignore[arg-type]  # as a damaged journal may say
        ],
        as_json=False,
    )
    return capsys.readouterr().out


def to_command_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    run(["--state-dir", str(tmp_path), "history", f"gone {text}"])
    said = capsys.readouterr()
    assert "gone" in said.err
    return said.out + said.err


def to_fleet_file_error(text: str, _tmp_path: Path, _capsys: pytest.CaptureFixture[str]) -> str:
    return render([Problem(text, text, text, text, 1, 3, f"name = {text}")])


def to_screen(text: str, _tmp_path: Path, _capsys: pytest.CaptureFixture[str]) -> str:
    (segment,) = StripControls().apply([Segment(f"before{text}after")], Color(0, 0, 0))
    return segment.text


def to_title(text: str, _tmp_path: Path, _capsys: pytest.CaptureFixture[str]) -> str:
    return title(text).removeprefix("\x1b]2;").removesuffix("\x1b\\")


EXITS = [
    pytest.param(to_log, id="log"),
    pytest.param(to_headless_line, id="headless line"),
    pytest.param(to_command_line, id="command line"),
    pytest.param(to_fleet_file_error, id="fleet file error"),
    pytest.param(to_screen, id="screen"),
    pytest.param(to_title, id="title"),
    pytest.param(lambda text, _tmp_path, _capsys: one_line(text), id="screen line"),
    pytest.param(lambda text, _tmp_path, _capsys: printable(text), id="last words"),
]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--state-dir` becomes a variable of this process."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("leave", EXITS)
def test_no_hostile_character_leaves_the_program(
    leave: Callable[[str, Path, pytest.CaptureFixture[str]], str],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = leave(text, tmp_path, capsys)
    assert not re.findall(f"[{HOSTILE}]", left)
