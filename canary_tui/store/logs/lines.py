"""The interface of a log for screens and searches, whether one target's, merged or grouped."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from typing import NamedTuple, Protocol

from canary_tui.store.logs.format import LogLine, parse_line

SHOWN = 4096
"""Bytes of a line's text that are read unless all are wanted."""
_KEPT_PIECES = 16


class Piece(NamedTuple):
    """Consecutive lines without their ends, from line number `first` on. `target` is set in a log of many targets."""

    first: int
    lines: list[bytes]
    target: str = ""


class Lines(Protocol):
    """Numbered lines that only grow, in numbered pieces of some 64 KiB."""

    behind: bool = False
    """The last `poll` left some of the new lines for the next."""

    @property
    @abstractmethod
    def lines(self) -> int:
        """The number of lines; in one target's log, a last line without its end counts."""

    @abstractmethod
    def poll(self) -> bool:
        """Take in new lines; return whether there are any. Cheap enough for twenty times a second."""

    @abstractmethod
    def piece(self, number: int) -> Piece:
        """Read the lines of a piece; there may be none."""

    @abstractmethod
    def piece_of(self, line: int) -> int:
        """Return the number of a line's piece."""

    def read(self, start: int, stop: int, *, whole: bool = False) -> list[LogLine]:
        """Read the existing lines from `start` up to, not including, `stop`; long ones are shortened."""
        found: list[LogLine] = []
        start, stop = max(0, start), min(stop, self.lines)
        longest = None if whole else SHOWN
        while start < stop:
            piece = self.piece(self.piece_of(start))
            chosen = piece.lines[start - piece.first : stop - piece.first]
            if not chosen:
                break
            found += [parse_line(line, piece.target, longest) for line in chosen]
            start += len(chosen)
        return found

    def line(self, number: int, *, whole: bool = False) -> LogLine:
        """Read one line; IndexError if there is none."""
        return self.read(number, number + 1, whole=whole)[0]


class Pieces(OrderedDict[int, Piece]):
    """The last pieces that were read."""

    def keep(self, number: int, piece: Piece) -> Piece:
        """Keep a piece, drop the oldest."""
        self[number] = piece
        if len(self) > _KEPT_PIECES:
            self.popitem(last=False)
        return piece
