"""The columns of the picker's table as data: title, cell, order, width; and the choice of those that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from canary_tui.domain.rollout.words import OUTCOME_WORDS
from canary_tui.tui.picker.picker import SortKey, TargetRow, natural
from canary_tui.tui.shared.formats import ago

GAP = 2
"""Blanks between two columns."""
_LEAST = 8
"""Cells that a column keeps in the narrowest terminal."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, the text of a row's cell, its greatest width and its sort key.

    `rank` 0 is always there; columns of higher ranks come as the terminal gets wider, the lowest first.
    """

    title: str
    cell: Callable[[TargetRow], str]
    most: int
    rank: int = 0
    key: SortKey | None = None
    tone: Callable[[TargetRow], str] = lambda _: ""

    @property
    def sort_key(self) -> SortKey:
        """The key that sorts the rows by this column."""
        return self.key or (lambda row: natural(self.cell(row)))


def _address(row: TargetRow) -> str:
    return "" if row.address == row.name else row.address


def _last(row: TargetRow) -> str:
    if not row.seen:
        return "never"
    return f"{_last_word(row):6} {ago(row.age)}"


def _last_word(row: TargetRow) -> str:
    if row.aftermath:
        return row.aftermath.upper()
    return "ok" if row.outcome == "ok" else OUTCOME_WORDS[row.outcome].upper() if row.outcome else "OPEN"


def _last_key(row: TargetRow) -> tuple[tuple[int, str], ...]:
    """Sort failed targets first, then the youngest."""
    rank = 2 if not row.seen else int(row.outcome == "ok" and not row.aftermath)
    return ((rank, ""), (int(row.age), ""))


def _last_tone(row: TargetRow) -> str:
    if row.outcome is None:
        return "table--open" if row.seen else ""
    if row.aftermath in {"step skipped", "rolled back"}:
        return "table--open"
    return "" if row.outcome in {"ok", "skipped"} and not row.aftermath else "table--bad"


def _tag(name: str) -> Callable[[TargetRow], str]:
    return lambda row: row.tags.get(name, "")


def columns_for(tags: Sequence[str]) -> tuple[Column, ...]:
    """Make the columns for a fleet that uses these tags."""
    first = tuple(Column(tag.upper(), _tag(tag), 12) for tag in tags[:1])
    more = tuple(Column(tag.upper(), _tag(tag), 16, rank=2 + place) for place, tag in enumerate(tags[1:5]))
    return (
        Column("TARGET", lambda row: row.name, 40),
        Column("ADDRESS", _address, 28, rank=1),
        Column("ROLES", lambda row: " ".join(row.roles), 24),
        *first,
        *more,
        Column("ENVIRONMENTS", lambda row: " ".join(row.environments), 24, rank=9),
        Column("ON", lambda row: row.on or "-", 16),
        Column("LAST ROLLOUT", _last, 24, key=_last_key, tone=_last_tone),
    )


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column with its width."""

    column: Column
    width: int


def lay_out(columns: Sequence[Column], rows: Sequence[TargetRow], room: int) -> tuple[PlacedColumn, ...]:
    """Choose the columns that fit into `room`, each as wide as its widest cell; the widest give way."""
    widths = {column: _width(column, rows) for column in columns}
    chosen = [column for column in columns if column.rank == 0]
    for column in sorted((one for one in columns if one.rank), key=lambda one: one.rank):
        if sum(widths[one] + GAP for one in (*chosen, column)) <= room and _tells_apart(column, rows):
            chosen.append(column)
    over = sum(widths[one] + GAP for one in chosen) - GAP - room
    while over > 0 and max(widths[one] for one in chosen) > _LEAST:
        widths[max(chosen, key=lambda one: widths[one])] -= 1
        over -= 1
    return tuple(PlacedColumn(column, widths[column]) for column in columns if column in chosen)


def _tells_apart(column: Column, rows: Sequence[TargetRow]) -> bool:
    """Whether the column has two values: one that is the same everywhere helps nobody to pick."""
    first = column.cell(rows[0]) if rows else ""
    return any(column.cell(row) != first for row in rows)


def _width(column: Column, rows: Iterable[TargetRow]) -> int:
    widest = max((len(column.cell(row)) for row in rows), default=0)
    return max(cell_len(column.title), min(column.most, widest))
