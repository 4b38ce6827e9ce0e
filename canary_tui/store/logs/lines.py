"""What a screen or a search may ask of a log, whether it is one target's or all targets' merged."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from typing import NamedTuple, Protocol

from canary_tui.store.logs.format import LogLine, parse_line

SHOWN = 4096
"""Bytes of a line's text that are given unless all are asked for."""
_KEPT_PIECES = 16


class Piece(NamedTuple):
    """Consecutive lines without their ends. `first` is the number of the first; `target` is set in a merged log."""

    first: int
    lines: list[bytes]
    target: str = ""


class Lines(Protocol):
    """Numbered lines that only grow, in numbered pieces of some 64 KiB."""

    behind: bool = False
    """The last `poll` has left some of what is there for the next."""

    @property
    @abstractmethod
    def lines(self) -> int:
        """How many there are; in one target's log, a last line without its end counts."""

    @abstractmethod
    def poll(self) -> bool:
        """Take in what is new; whether anything is. Cheap enough for twenty times a second."""

    @abstractmethod
    def piece(self, number: int) -> Piece:
        """The lines of a piece; there may be none."""

    @abstractmethod
    def piece_of(self, line: int) -> int:
        """The number of the piece that a line is in."""

    def read(self, start: int, stop: int, *, whole: bool = False) -> list[LogLine]:
        """The lines from `start` up to, not including, `stop`, as far as there are any; long ones shortened."""
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
        """One line; IndexError where there is none."""
        return self.read(number, number + 1, whole=whole)[0]


class Pieces(OrderedDict[int, Piece]):
    """The pieces that were read last."""

    def keep(self, number: int, piece: Piece) -> Piece:
        """Remember one, forget the oldest."""
        self[number] = piece
        if len(self) > _KEPT_PIECES:
            self.popitem(last=False)
        return piece
