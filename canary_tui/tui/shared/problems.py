"""The screen of a refused fleet file: every problem, as `canary-tui check` prints it."""

from __future__ import annotations

import shlex
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from canary_tui.domain.fleet.names import count
from canary_tui.errors import CanaryError, FleetFileError, Problem
from canary_tui.fleetfile.report import problem_lines
from canary_tui.tui.actions import bindings
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.header import TitleBar


class ProblemsScreen(Screen[str]):
    """The list of problems. It is dismissed with "" to read the file again, else with why the program is left."""

    BINDINGS = bindings("problems")

    def __init__(self, path: Path, error: CanaryError) -> None:
        super().__init__()
        self._path, self._error = path, error

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        problems = self._error.problems if isinstance(self._error, FleetFileError) else ()
        number = count(len(problems), "problem") if problems else "cannot be used"
        yield TitleBar(f"canary-tui  {self._path}", number)
        with VerticalScroll(id="problems"):
            if problems:
                for problem in problems:
                    yield Static(problem_text(problem), classes="problem")
            else:
                yield Static(Content(str(self._error)), classes="problem")
        yield KeyBar()

    def action_again(self) -> None:
        """Read the file again."""
        self.dismiss("")

    def action_leave(self) -> None:
        """Leave the program."""
        self.dismiss(refusal_line(self._path, self._error))


def refusal_line(path: Path, error: CanaryError) -> str:
    """Tell in one line why a fleet file cannot be used, and the command that lists its problems."""
    problems = error.problems if isinstance(error, FleetFileError) else ()
    if not problems:
        return str(error)
    return f"{path}: {count(len(problems), 'problem')}; list them with: canary-tui check {shlex.quote(str(path))}"


def problem_text(problem: Problem) -> Content:
    """Write a problem as `check` does, with its first line and its caret set off."""
    first, *rest = problem_lines(problem)
    parts: list[tuple[str, str]] = [(first, "bold")]
    parts += [(f"\n{line}", "bold $error" if line.rstrip().endswith("^") else "$secondary") for line in rest]
    return Content.assemble(*parts)
