"""The last words of a failed step: those of that execution and no other, and no more than ten lines."""

from __future__ import annotations

from pathlib import Path

from canary_tui.service.failed_output import LAST_LINES, last_lines
from canary_tui.store.logs.writer import LogSet

ONE, TWO = "1" * 32, "2" * 32


def test_only_the_last_lines_of_the_execution_that_ended_last_are_told(tmp_path: Path) -> None:
    """M17"""
    with LogSet(tmp_path) as logs:
        log = logs.target("web-1")
        log.begin("deploy", ONE)
        log.write("".join(f"line {number}\n" for number in range(30)), "out")
        log.end(ONE, "failed")
        logs.flush()
        assert last_lines(tmp_path, "web-1", ONE) == [f"line {number}" for number in range(30 - LAST_LINES, 30)]
        assert last_lines(tmp_path, "web-1", TWO) == []
        log.begin("deploy", TWO)
        log.write("why", "err")
        log.end(TWO, "failed")
        logs.flush()
        assert last_lines(tmp_path, "web-1", TWO) == ["why"]
        assert last_lines(tmp_path, "web-1", ONE) == []
        log.begin("deploy", ONE)
        log.write("x" * 300_000, "out")
        log.end(ONE, "failed")
        logs.flush()
        [cut] = last_lines(tmp_path, "web-1", ONE)[-1:]
        assert (set(cut), len(cut) < 3_000) == ({"x", "\u2026"}, True)
    assert last_lines(tmp_path, "web-2", ONE) == []
