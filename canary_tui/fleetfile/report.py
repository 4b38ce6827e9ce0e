"""Prints the problems of a fleet file: place, message, the line itself and a caret."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from canary_tui.errors import Problem
from canary_tui.text.safe import written_out

_WIDEST = 100
"""Columns of a source line; longer ones are cut around the caret."""
_MOST = 50
"""Problems that are shown whole; nobody mends more at once."""


def render(problems: Sequence[Problem], most: int = _MOST) -> str:
    """All problems, in lines that can move no cursor, whatever is in the file."""
    lines = [line for problem in problems[:most] for line in problem_lines(problem)]
    if len(problems) > most:
        lines.append(f"... and {len(problems) - most:,} more")
    return "\n".join(lines) + "\n"


def problem_lines(problem: Problem) -> Iterator[str]:
    """`path:line:column: key: message; hint`, and the source line with a caret where it is known."""
    place = written_out(problem.path)
    if problem.line is not None:
        place += f":{problem.line}:{problem.column or 1}"
    parts = [part for part in (place, written_out(problem.key), written_out(problem.message)) if part]
    yield ": ".join(parts) + (f"; {written_out(problem.hint)}" if problem.hint else "")
    if problem.line is not None and problem.source:
        line, caret = _cut(problem.source, (problem.column or 1) - 1)
        number = str(problem.line)
        yield f"  {number} | {line}"
        yield f"  {' ' * len(number)} | {' ' * caret}^"


def _cut(source: str, at: int) -> tuple[str, int]:
    """The visible part of a line and the caret's column in it. `at` is the index of the character meant."""
    first = max(0, at - _WIDEST // 2)
    last = first + _WIDEST
    before, after = written_out(source[first:at]), written_out(source[at:last])
    start, end = "..." if first else "", "..." if last < len(source) else ""
    return f"{start}{before}{after}{end}", len(start) + sum(map(_width, before))


def _width(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
