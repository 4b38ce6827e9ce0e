"""Which columns there are, what stands in them, and which fit."""

from __future__ import annotations

import pytest

from canary_tui.tui.picker.columns import GAP, Column, columns_for, lay_out
from canary_tui.tui.picker.picker import TargetRow

ROWS = [
    TargetRow("web-1", "10.0.0.1", ("web",), (), {"zone": "a", "rack": "r1"}, "1.4.1", "ok", 7200, seen=True),
    TargetRow("web-2", "10.0.0.2", ("web", "db"), (), {"zone": "b", "rack": "r2"}, "1.4.0", "failed", 60, seen=True),
    TargetRow("web-3", "10.0.0.3", ("web",), (), {"zone": "a"}, "", None, 30, seen=True),
    TargetRow("web-4", "10.0.0.4", ("web",), (), {"zone": "a"}),
]


def titles(width: int, rows: list[TargetRow] = ROWS) -> list[str]:
    return [one.column.title for one in lay_out(columns_for(("zone", "rack")), rows, width)]


def column(title: str) -> Column:
    return next(one for one in columns_for(("zone", "rack")) if one.title == title)


def test_narrow_terminals_keep_what_one_picks_by() -> None:
    assert titles(40) == ["TARGET", "ROLES", "ZONE", "ON", "LAST ROLLOUT"]


def test_wide_terminals_add_columns_in_their_places() -> None:
    assert titles(200) == ["TARGET", "ADDRESS", "ROLES", "ZONE", "RACK", "ON", "LAST ROLLOUT"]


def test_a_column_that_is_the_same_everywhere_is_left_out() -> None:
    alike = [TargetRow("a", "a"), TargetRow("b", "b")]
    assert "ADDRESS" not in titles(200, alike)
    assert "ENVIRONMENTS" not in titles(200)


@pytest.mark.parametrize("width", [55, 60, 79, 133, 200])
def test_what_is_laid_out_fits(width: int) -> None:
    laid = lay_out(
        columns_for(("zone", "rack")),
        [*ROWS, TargetRow("a-name-of-more-than-thirty-characters", roles=("a-role-of-more-than", "twenty"))],
        width,
    )
    assert sum(one.width + GAP for one in laid) - GAP <= width


def test_the_last_rollout_is_told_in_words() -> None:
    cells = [column("LAST ROLLOUT").cell(row) for row in ROWS]
    assert cells == ["ok     2 h ago", "FAILED 1 m ago", "OPEN   just now", "never"]


def test_what_failed_comes_first_when_ordered_by_the_last_rollout() -> None:
    ordered = sorted(ROWS, key=column("LAST ROLLOUT").sort_key)
    assert [row.name for row in ordered] == ["web-3", "web-2", "web-1", "web-4"]


def test_only_what_went_wrong_or_is_open_is_coloured() -> None:
    assert [bool(column("LAST ROLLOUT").tone(row)) for row in ROWS] == [False, True, True, False]
