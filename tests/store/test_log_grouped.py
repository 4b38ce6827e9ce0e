"""Grouped logs as rows, from real logs on disk that grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from canary_tui.store.logs.grouped import GroupedReader
from canary_tui.store.logs.grouping import MOST_LINES
from canary_tui.store.logs.search import Direction, Search
from canary_tui.store.logs.writer import LogSet

NAMES = tuple(f"web-{number}" for number in range(1, 41))
OWN = {name: [name] for name in NAMES}


@contextmanager
def logs_of(folder: Path, *names: str) -> Iterator[LogSet]:
    with LogSet(folder) as logs:
        for number, name in enumerate(names):
            logs.target(name).begin("switch", f"{number:032x}")
        yield logs


def say(logs: LogSet, texts: str, *names: str) -> None:
    for name in names:
        logs.target(name).write("".join(f"{text}\n" for text in texts.split(",")))
    logs.flush()


def poll_until(reader: GroupedReader, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, rows(reader)
        reader.poll()


def rows(reader: GroupedReader) -> list[str]:
    return [line.text for line in reader.read(0, reader.lines)]


def first_found(reader: GroupedReader, pattern: str, start: int = 0, direction: Direction = 1) -> int | None:
    """The row that a search comes to first."""
    looking = Search(reader, pattern, start, direction)
    while not looking.done:
        if found := looking.step(0.0):
            return found[0]
    return None


def test_equal_output_stands_there_once_and_what_differs_is_open_from_shortly_before_its_first_other_line(
    tmp_path: Path,
) -> None:
    with logs_of(tmp_path / "logs", *NAMES) as logs:
        say(logs, "a,b,c,d,e", *(name for name in NAMES if name != "web-7"))
        say(logs, "a,b,c,X,Y", "web-7")
        reader = GroupedReader(tmp_path / "logs", OWN, ("web-1", "web-2"), "canary")
        poll_until(reader, lambda: reader.tally.same + reader.tally.differ == 40)
        found = rows(reader)
        assert found[:6] == [
            "39 targets same as canary: web-[1-6,8-40]",
            "1 target differs from line 5 on: web-7",
            "b",
            "c",
            "X",
            "Y",
        ]
        assert found[6:] == ["output of the 39, as web-1 printed it", "begin 000000000000", *"abcde"]
        part, line = reader.part_of(4)
        assert (part.target, part.differs, line) == ("web-7", 4, 4)
        reader.close()


def test_who_is_behind_is_counted_and_no_difference_until_it_prints_one(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:3]) as logs:
        say(logs, "a,b", "web-1", "web-2")
        say(logs, "a", "web-3")
        reader = GroupedReader(tmp_path / "logs", OWN, ("web-1",), "canary")
        poll_until(reader, lambda: reader.lines)
        assert rows(reader)[0] == "3 targets same as canary, 1 still behind: web-[1-3]"
        say(logs, "b", "web-3")
        poll_until(reader, lambda: not reader.tally.behind)
        assert rows(reader)[0] == "3 targets same as canary: web-[1-3]"
        say(logs, "c", "web-1", "web-2")
        say(logs, "C", "web-3")
        poll_until(reader, lambda: reader.tally.differ)
        assert rows(reader)[:2] == [
            "2 targets same as canary: web-[1-2]",
            "1 target differs from line 4 on: web-3",
        ]
        reader.close()


def test_a_row_that_is_looked_at_is_found_again_when_rows_come_above_it(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:4]) as logs:
        say(logs, "a,b,c", *NAMES[:4])
        reader = GroupedReader(tmp_path / "logs", OWN)
        poll_until(reader, lambda: reader.lines)
        before, edition = rows(reader), reader.edition
        say(logs, "d", *NAMES[:4])
        poll_until(reader, lambda: reader.lines > len(before))
        assert reader.edition == edition, "lines that are only added renumber nothing"
        at = rows(reader).index("c")
        say(logs, "odd", "web-4")
        poll_until(reader, lambda: reader.edition > edition)
        assert rows(reader)[reader.moved(at)] == "c"
        assert reader.moved(0) == 0
        at, edition = rows(reader).index("odd"), reader.edition
        say(logs, "other", "web-3")
        poll_until(reader, lambda: reader.edition > edition)
        assert rows(reader)[reader.moved(at)] == "odd"
        reader.close()


def test_a_search_goes_through_headings_and_lines_both_ways(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:3]) as logs:
        say(logs, "a,needle,c", "web-1", "web-2")
        say(logs, "a,thread,needle too", "web-3")
        reader = GroupedReader(tmp_path / "logs", OWN)
        poll_until(reader, lambda: reader.lines)
        found = rows(reader)
        first, last = [at for at, row in enumerate(found) if "needle" in row]
        assert first_found(reader, "needle") == first
        assert first_found(reader, "needle", first + 1) == last
        assert first_found(reader, "needle", last - 1, -1) == first
        assert first_found(reader, "differs", last, -1) == 1
        assert first_found(reader, "nothing such") is None
        reader.close()


def test_long_logs_are_read_in_pieces_and_found_line_by_line(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:3]) as logs:
        for name in NAMES[:3]:
            logs.target(name).write("".join(f"line {n} of {name} {'x' * 90}\n" for n in range(20_000)))
        say(logs, "odd", "web-3")
        say(logs, "end", *NAMES[:2])
        reader = GroupedReader(tmp_path / "logs", OWN, budget=0.0)
        polls = 0
        while reader.progress < 1.0:
            reader.poll()
            polls += 1
        assert polls > 1, "nothing of it is done at once"
        poll_until(reader, lambda: reader.tally.differ)
        assert reader.lines == 1 + 1 + 3 + 1 + 20_002
        assert reader.line(0).text.startswith("2 targets with the same output")
        assert reader.line(4).text == "odd"
        for number in (0, 1, 777, 12_345, 19_999):
            assert reader.line(7 + number).text.startswith(f"line {number} of web-1 x")
        assert reader.line(reader.lines - 1).text == "end"
        reader.close()


def test_more_different_logs_than_files_may_be_open_are_read(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES) as logs:
        for name in NAMES:
            say(logs, f"from {name[4:]}", name)
        reader = GroupedReader(tmp_path / "logs", OWN)
        poll_until(reader, lambda: reader.tally.differ == 39)
        for _ in range(2):
            assert sorted(row for row in rows(reader) if row.startswith("from")) == sorted(
                f"from {number}" for number in range(1, 41)
            )
        reader.close()


def test_without_logs_there_are_no_rows(tmp_path: Path) -> None:
    reader = GroupedReader(tmp_path / "none", OWN)
    assert not reader.poll()
    assert (reader.lines, reader.progress) == (0, 1.0)


def test_logs_that_are_too_long_say_up_to_where_they_are_compared(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:2]) as logs:
        say(logs, ",".join(f"{n}" for n in range(MOST_LINES)), *NAMES[:2])
        reader = GroupedReader(tmp_path / "logs", OWN)
        poll_until(reader, lambda: reader.progress == 1.0)
        assert reader.line(0).text.startswith("2 targets with the same output, compared up to line 100,000 ")
        assert reader.lines == 1 + MOST_LINES
        reader.close()


def test_a_long_text_that_differs_does_not_hide_the_short_ones(tmp_path: Path) -> None:
    with logs_of(tmp_path / "logs", *NAMES[:5]) as logs:
        say(logs, "a,b", *NAMES[:3])
        say(logs, ",".join(f"noise {n}" for n in range(500)), "web-4")
        say(logs, "boom", "web-5")
        reader = GroupedReader(tmp_path / "logs", OWN)
        poll_until(reader, lambda: reader.tally.differ == 2)
        headings = [row for row in rows(reader) if "differs" in row]
        assert headings == ["1 target differs from line 2 on: web-5", "1 target differs from line 2 on: web-4"]
        reader.close()
