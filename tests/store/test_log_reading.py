"""Reading logs: by line number, while they grow, shrink or are missing; and searching them."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.store.logs import merged as log_merged
from canary_tui.store.logs import reader as log_reader
from canary_tui.store.logs.format import stamp
from canary_tui.store.logs.merged import MergedReader
from canary_tui.store.logs.reader import LogReader
from canary_tui.store.logs.search import Search
from canary_tui.store.logs.writer import LogSet

AT = 1795428902.123
HEAD = f"{stamp(AT)} switch out| "
LINES = st.lists(st.text(st.sampled_from("abAB ☃"), max_size=40), max_size=30)


def grow(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "BLOCK", 64)


@given(lines=LINES, cuts=st.lists(st.integers(1, 700), max_size=8), block=st.sampled_from([1, 7, 64, 65536]))
@settings(max_examples=250, deadline=None)
def test_a_growing_log_reads_as_if_it_were_read_whole(lines: list[str], cuts: list[int], block: int) -> None:
    data = "".join(f"{HEAD}{line}\n" for line in lines).encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "BLOCK", block)
        path = Path(folder) / "web-1.log"
        reader, place = LogReader(path), 0
        assert not reader.poll()
        for cut in [*sorted(cuts), len(data)]:
            grow(path, data[place:cut])
            place = max(place, min(cut, len(data)))
            reader.poll()
            expected = data[:place].split(b"\n")
            expected = expected[:-1] if expected[-1] == b"" else expected
            assert reader.lines == len(expected)
            whole = [line.removeprefix(HEAD.encode()) for line in expected[:-1]]
            assert [line.text.encode() for line in reader.read(0, max(0, reader.lines - 1))] == whole
            for number in range(0, len(whole), 3):
                assert reader.line(number).text.encode() == whole[number]
        reader.close()


def test_a_line_says_when_in_which_step_and_stream_it_came(tmp_path: Path) -> None:
    path = tmp_path / "web-1.log"
    path.write_text(f"{HEAD}one\n{stamp(AT)} switch err+ two | three\nnot ours\n")
    reader = LogReader(path)
    reader.poll()
    one, two, three = reader.read(0, 10)
    assert (one.at, one.step, one.stream, one.text, one.continued) == (AT, "switch", "out", "one", False)
    assert (two.stream, two.text, two.continued) == ("err", "two | three", True)
    assert (three.at, three.text) == (0.0, "not ours")
    with pytest.raises(IndexError):
        reader.line(3)
    reader.close()


def test_a_long_line_is_shortened_unless_asked_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "web-1.log"
    path.write_text(f"{HEAD}{'ä' * 100_000}\nnext\n")
    reader = LogReader(path)
    reader.poll()
    short = reader.line(0)
    assert len(short.text.encode()) + short.hidden == 200_000
    assert short.text == "ä" * 2048
    assert reader.line(0, whole=True).text == "ä" * 100_000
    assert reader.line(1).text == "next"
    reader.close()


def test_an_unfinished_line_that_is_cut_and_written_anew_is_read_anew(tmp_path: Path, small_blocks: None) -> None:
    path = tmp_path / "web-1.log"
    path.write_text("one\ntwo\nunfinished " + "x" * 300)
    reader = LogReader(path)
    reader.poll()
    assert (reader.lines, reader.unfinished, reader.line(2).text[:10]) == (3, True, "unfinished")
    os.truncate(path, 8)
    grow(path, b"three\nfour\n" * 40)
    reader.poll()
    assert [line.text for line in reader.read(0, 4)] == ["one", "two", "three", "four"]
    assert reader.lines == 82
    os.truncate(path, 4)
    reader.poll()
    assert [line.text for line in reader.read(0, 9)] == ["one"]
    reader.close()


def test_a_huge_log_is_indexed_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "_MOST_INDEXED", 100_000)
    path = tmp_path / "web-1.log"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(60_000)))
    reader, polls = LogReader(path), 0
    while reader.poll():
        polls += 1
        assert reader.line(reader.lines - 1).text == str(reader.lines - 1)
    assert polls == 4
    assert reader.lines == 60_000
    reader.close()


@given(
    lines=LINES,
    pattern=st.sampled_from(["a", "A", "ab", "b a", "☃", "a☃", "2026", "out", ""]),
    start=st.integers(0, 30),
)
@settings(max_examples=200, deadline=None)
def test_a_search_finds_what_a_look_at_every_line_finds(lines: list[str], pattern: str, start: int) -> None:
    exact = pattern != pattern.lower()
    matching = [n for n, line in enumerate(lines) if pattern and pattern in (line if exact else line.lower())]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "BLOCK", 64)
        path = Path(folder) / "web-1.log"
        path.write_text("".join(f"{HEAD}{line}\n" for line in lines))
        reader = LogReader(path)
        reader.poll()
        for direction in (1, -1):
            looking, found = Search(reader, pattern, start, direction), []
            for _ in range(200):
                if looking.done:
                    break
                found += looking.step(0)
            expected = [n for n in matching if (n - start) * direction >= 0 and start < len(lines)][::direction]
            assert found == expected
        reader.close()


def test_a_search_never_takes_longer_than_its_budget_and_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "web-1.log"
    path.write_bytes((HEAD.encode() + b"x" * 80 + b"\n") * 400_000 + HEAD.encode() + b"Needle\n")
    reader = LogReader(path)
    while reader.poll():
        pass
    looking, found, longest, started = Search(reader, "needle"), [], 0.0, time.thread_time()
    while not looking.done:
        before = time.thread_time()
        found += looking.step(0.005)
        longest = max(longest, time.thread_time() - before)
    elapsed = time.thread_time() - started
    assert found == [400_000]
    assert longest < 0.05
    print(f"search: {path.stat().st_size / elapsed / 1e6:.0f} MB/s, longest step {longest * 1000:.1f} ms")
    reader.close()


def test_a_forward_search_goes_on_with_what_is_written_later(tmp_path: Path) -> None:
    with LogSet(tmp_path / "logs") as logs:
        merged = MergedReader(tmp_path / "logs")
        looking = Search(merged, "error")
        found = []
        for number in range(9):
            logs.target(f"web-{number % 3}").write("an Error\n" if number % 4 == 0 else "fine\n")
            logs.flush()
            merged.poll()
            found += looking.step()
            assert looking.done
        assert found == [0, 4, 8]
        assert [merged.line(number).target for number in found] == ["web-0", "web-1", "web-2"]
        merged.close()


def test_a_frame_of_the_merged_log_is_cheap_however_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_merged, "_MOST_OPEN", 4)
    with LogSet(tmp_path / "logs") as logs:
        for number in range(20_000):
            logs.target(f"web-{number % 50}").write(f"{number}\n")
            logs.target(f"web-{number % 50}").drain()
    merged = MergedReader(tmp_path / "logs")
    merged.poll()
    assert merged.lines == 20_000
    started = time.thread_time()
    for top in range(0, 20_000, 1000):
        assert [line.text for line in merged.read(top, top + 50)] == [str(number) for number in range(top, top + 50)]
    print(f"merged: {(time.thread_time() - started) / 20 * 1000:.2f} ms for 50 lines of 50 targets")
    assert len(merged._files) <= 4
    merged.close()
