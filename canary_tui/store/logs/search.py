"""A search in a log of any size that never stops the screen: each step ends with its time budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from canary_tui.store.logs.format import text_start
from canary_tui.store.logs.lines import Lines

Direction = Literal[1, -1]


class Search:
    """Finds the lines whose text contains `pattern`, from line `start` on, forwards or backwards.

    Letters in lower case match both cases; one capital makes the search exact. A forward search continues with
    lines that are written later.
    """

    def __init__(self, lines: Lines, pattern: str, start: int = 0, direction: Direction = 1) -> None:
        self.pattern = pattern
        self._lines = lines
        self._next = start
        self._direction = direction
        self._contains = _matcher(pattern)

    @property
    def done(self) -> bool:
        """Whether every line has been searched."""
        return not self.pattern or not 0 <= self._next < self._lines.lines

    def step(self, budget: float = 0.01) -> list[int]:
        """Search on for `budget` seconds, at least one piece; return the found lines in the direction of the search."""
        found: list[int] = []
        deadline = time.monotonic() + budget
        while not self.done:
            found += self._search_piece()
            if time.monotonic() >= deadline:
                break
        return found

    def _search_piece(self) -> list[int]:
        piece = self._lines.piece(self._lines.piece_of(self._next))
        here = self._next - piece.first
        if self._direction > 0:
            numbers, self._next = range(here, len(piece.lines)), piece.first + max(len(piece.lines), here + 1)
        else:
            numbers, self._next = range(min(here, len(piece.lines) - 1), -1, -1), piece.first - 1
        contains, lines = self._contains, piece.lines
        hits = [number for number in numbers if contains(lines[number])]
        return [piece.first + number for number in hits if contains(lines[number][text_start(lines[number]) :])]


def _matcher(pattern: str) -> Callable[[bytes], bool]:
    needle = pattern.encode("utf-8", "replace")
    if pattern != pattern.lower():
        return lambda line: needle in line
    if pattern.isascii():
        return lambda line: needle in line.lower()
    # Bytes know no capitals beyond ASCII.
    return lambda line: pattern in line.decode("utf-8", "replace").lower()
