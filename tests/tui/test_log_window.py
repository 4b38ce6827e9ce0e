from __future__ import annotations

import time
from pathlib import Path

import pytest

from canary_tui.store.logs.reader import LogReader
from canary_tui.tui.logs.log_window import LogWindow, Matching


class Listed:
    """Lines in memory."""

    def __init__(self, *texts: str) -> None:
        self.all = list(texts)

    @property
    def lines(self) -> int:
        return len(self.all)

    def displayed(self, start: int, stop: int) -> list[str]:
        return self.all[start:stop]


def numbered(count: int) -> Listed:
    return Listed(*(f"line {number}" for number in range(count)))


def visible(window: LogWindow) -> list[str]:
    return [window.source.displayed(row.position, row.position + 1)[0][row.start : row.stop] for row in window.rows()]


def window_on(source: Listed, height: int = 5, width: int = 20) -> LogWindow:
    window = LogWindow(source)
    window.resize(width, height)
    return window


def test_a_following_window_shows_the_newest_lines() -> None:
    source = numbered(100)
    window = window_on(source)
    assert visible(window) == [f"line {n}" for n in range(95, 100)]
    source.all += ["new"]
    assert visible(window)[-1] == "new"


def test_text_under_the_eye_stands_still_whatever_comes() -> None:
    source = numbered(100)
    window = window_on(source)
    window.page(-1)
    before = visible(window)
    for burst in range(50):
        source.all += [f"burst {burst}"] * 1000
        assert visible(window) == before
    assert window.unseen == 50_000


def test_moving_up_pauses_without_moving_the_text() -> None:
    window = window_on(numbered(100))
    before = visible(window)
    window.up()
    assert not window.follow
    assert visible(window) == before
    assert window.cursor == 98


def test_moving_down_past_the_newest_line_follows_again() -> None:
    window = window_on(numbered(100))
    window.up(3)
    window.down(3)
    assert not window.follow
    window.down()
    assert window.follow


def test_a_short_log_leaves_rows_empty_and_every_key_is_harmless() -> None:
    for count in (0, 1, 3):
        window = window_on(numbered(count))
        for act in (window.up, window.down, window.home, lambda w=window: w.page(-1), lambda w=window: w.page(1)):
            act()
            assert len(visible(window)) == count


def test_paging_up_and_down_meets_every_line() -> None:
    window = window_on(numbered(23))
    seen = set(visible(window))
    for _ in range(10):
        window.page(-1)
        seen |= set(visible(window))
    assert seen == {f"line {n}" for n in range(23)}
    assert visible(window)[0] == "line 0"
    for _ in range(10):
        window.page(1)
    assert visible(window)[-1] == "line 22"


def test_wrapped_rows_are_the_line_cut_at_the_width_and_the_newest_row_is_the_last() -> None:
    source = Listed("a" * 50, "b" * 45, "short")
    window = window_on(source, height=6, width=20)
    window.set_wrap(True)
    assert visible(window) == ["a" * 20, "a" * 10, "b" * 20, "b" * 20, "b" * 5, "short"][-6:]


def test_wide_characters_wrap_by_cells() -> None:
    window = window_on(Listed("漢" * 15), height=3, width=20)
    window.set_wrap(True)
    assert visible(window) == ["漢" * 10, "漢" * 5]


def test_a_line_longer_than_the_window_can_be_read_to_its_end_when_wrapped() -> None:
    source = Listed("x" * 300, "last")
    window = window_on(source, height=4, width=20)
    window.set_wrap(True)
    assert visible(window) == ["x" * 20] * 3 + ["last"]
    window.up()
    window.up()
    assert visible(window)[0] == "x" * 20
    assert window.rows()[0].first
    assert window.cursor == 0


@pytest.mark.parametrize("wrap", [False, True])
def test_resizing_keeps_the_line_at_the_top(wrap: bool) -> None:
    window = window_on(Listed(*("y" * (n % 60) for n in range(200))), height=10, width=30)
    window.set_wrap(wrap)
    window.page(-1)
    window.page(-1)
    top = window.rows()[0].position
    window.resize(50, 14)
    assert window.rows()[0].position == top


def test_a_window_that_gets_smaller_keeps_its_cursor_in_sight() -> None:
    window = window_on(numbered(100), height=10)
    window.up()
    top = visible(window)[0]
    window.resize(20, 4)
    assert visible(window)[0] == top
    assert window.cursor in [row.position for row in window.rows()]


def test_wrapping_shows_all_of_the_line_under_the_cursor() -> None:
    window = window_on(Listed(*(f"{n} {'y' * 50} end" for n in range(50))), height=6, width=20)
    window.up()
    window.set_wrap(True)
    assert visible(window)[-3:] == ["48 " + "y" * 17, "y" * 20, "y" * 13 + " end"]


def test_showing_a_line_puts_it_inside_the_window() -> None:
    window = window_on(numbered(1000), height=10)
    window.show(500)
    assert "line 500" in visible(window)
    at = visible(window)
    window.show(502)
    assert visible(window) == at, "a visible line needs no scrolling"


def test_lines_that_get_other_numbers_stay_where_they_are_on_the_screen() -> None:
    window = window_on(numbered(1000), height=10)
    window.show(500)
    before = visible(window)
    window.source = Listed(*(f"above {n}" for n in range(7)), *numbered(1000).all)
    window.renumber(lambda line: line + 7)
    assert visible(window) == before
    assert (window.cursor, window.unseen) == (507, 0)
    window.end()
    window.renumber(lambda line: 0)
    assert window.follow, "the newest line stays the newest"


def log_file(path: Path, texts: list[str]) -> LogReader:
    path.write_text("".join(f"2026-11-23T10:15:02.123Z switch out| {text}\n" for text in texts))
    reader = LogReader(path)
    reader.poll()
    return reader


def exhaust(matching: Matching) -> Matching:
    end = time.monotonic() + 20
    while not matching.complete and time.monotonic() < end:
        matching.advance(0.01)
    return matching


def test_a_search_in_lower_case_matches_both_cases_and_a_capital_makes_it_exact(tmp_path: Path) -> None:
    reader = log_file(tmp_path / "a.log", ["Error", "error", "fine", "ERROR error"])
    assert list(exhaust(Matching(reader, "error")).found) == [0, 1, 3]
    assert list(exhaust(Matching(reader, "Error")).found) == [0]
    assert Matching(reader, "error").spans("ERROR error") == [(0, 5), (6, 11)]


def test_a_search_does_not_find_what_only_our_own_columns_say(tmp_path: Path) -> None:
    reader = log_file(tmp_path / "a.log", ["hello"])
    assert list(exhaust(Matching(reader, "switch")).found) == []


def test_a_filter_shows_only_matching_lines_and_keeps_the_place(tmp_path: Path) -> None:
    texts = [f"{'hit' if n % 10 == 0 else 'miss'} {n}" for n in range(1000)]
    reader = log_file(tmp_path / "a.log", texts)
    source = Listed(*texts)
    window = window_on(source)
    window.show(505)
    window.set_filter(exhaust(Matching(reader, "hit")))
    assert window.count == 100
    assert window.line(window.cursor) == 510
    assert all(row.startswith("hit") for row in visible_filtered(window))
    window.set_filter(None)
    assert window.line(window.cursor) == 510


def test_a_filter_set_while_paused_makes_nothing_new_and_counts_only_what_it_shows(tmp_path: Path) -> None:
    texts = [f"{'hit' if n % 10 == 0 else 'miss'} {n}" for n in range(100)]
    reader = log_file(tmp_path / "a.log", texts)
    source = Listed(*texts)
    window = window_on(source)
    window.up()
    matching = Matching(reader, "hit")
    window.set_filter(matching)
    exhaust(matching)
    assert window.unseen == 0
    with (tmp_path / "a.log").open("a") as file:
        file.write("".join(f"2026-11-23T10:15:02.123Z s out| {text}\n" for text in ("hit", "miss", "miss")))
    source.all += ["hit", "miss", "miss"]
    reader.poll()
    exhaust(matching)
    assert window.unseen == 1
    window.set_filter(None)
    assert window.unseen == 3


def visible_filtered(window: LogWindow) -> list[str]:
    return [window.source.displayed(window.line(r.position), window.line(r.position) + 1)[0] for r in window.rows()]
