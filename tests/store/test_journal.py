"""The journal: what was committed is there, what is there was written, and anything else is said."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout.events import (
    Event,
    GateOpened,
    Operator,
    Record,
    RolloutFinished,
    RolloutStarted,
    StepFinished,
    StepStarted,
    TargetProbed,
    WaveStarted,
)
from canary_tui.store import journal_format as chain
from canary_tui.store.journal import JournalDead, JournalReader, JournalWriter, read_journal, verify
from canary_tui.store.journal_format import JournalError

ADA = Operator("ada", "laptop", "/dev/pts/3")


def plan(*names: str) -> Plan:
    targets = {name: PlannedTarget(name, "10.0.0.1", Ssh(user="deploy"), steps=(0,)) for name in names}
    return Plan("shop", "1.5.0", "", targets, (PlannedWave("all", names, 8),), (RunStep(run="true"),))


EVENTS = (
    RolloutStarted("2026-11-23T101500Z-shop-7f3a", plan("web-1", "web-2"), ADA, attended=True, version="0.1"),
    TargetProbed("web-1", "ok", boot="b1", release="1.4.0", clock_offset=-0.25, free_bytes=10**9),
    WaveStarted(0),
    StepStarted("web-1", "steps", 0, 1, "0123456789abcdef0123456789abcdef"),
    StepFinished("web-1", "0123456789abcdef0123456789abcdef", "failed", 3, 12, "ended with 3: “ä”"),
    GateOpened(0, "ff" * 32),
    RolloutFinished("failed", "1 of 2 failed", 1),
)


def written(folder: Path, events: Iterable[Event] = EVENTS) -> Path:
    path = folder / "journal.jsonl"
    writer = JournalWriter.create(path)
    for number, event in enumerate(events):
        writer.append(event, 1795428900.25 + number)
    writer.close()
    return path


def put(writer: JournalWriter, event: Event, at: float) -> Coroutine[None, None, None]:
    """Append at once; what is returned waits until that is on disk."""
    writer.append(event, at)
    return writer.commit()


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    events: tuple[Event, ...] = EVENTS
    assert read_journal(path) == [Record(i, 1795428900.25 + i, event) for i, event in enumerate(events)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert verify(path).intact
    assert verify(path).records == len(EVENTS)


def test_an_existing_journal_or_a_link_is_never_taken_for_a_new_one(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(FileExistsError):
        JournalWriter.create(path)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with pytest.raises(OSError):
        JournalWriter.reopen(link)


def test_a_journal_cut_anywhere_is_a_prefix(tmp_path: Path) -> None:
    path = written(tmp_path)
    data, records = path.read_bytes(), read_journal(path)
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        assert read_journal(path) == records[: sum(end <= cut for end in ends)]


def test_every_flipped_byte_is_found_and_no_record_is_invented(tmp_path: Path) -> None:
    path = written(tmp_path)
    data, records = path.read_bytes(), read_journal(path)
    last = data.rindex(b"\n", 0, -1) + 1
    for place in range(len(data)):
        for flip in (0x01, 0x20, 0x80):
            path.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            report = verify(path)
            line = data.count(b"\n", 0, place) + 1
            if place == len(data) - 1:
                assert report.torn == len(data) - last
            else:
                assert report.bad_line == line, (place, flip, report)
            if place < last:
                with pytest.raises(JournalError, match=f":{line}:"):
                    read_journal(path)
            else:
                assert read_journal(path) == records[:-1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lines: lines[:2] + lines[3:], id="a line removed"),
        pytest.param(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], id="two lines swapped"),
        pytest.param(lambda lines: [*lines[:3], lines[2], *lines[3:]], id="a line doubled"),
        pytest.param(lambda lines: lines[1:], id="the first line removed"),
    ],
)
def test_whole_lines_out_of_place_are_refused(tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = written(tmp_path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(JournalError):
        read_journal(path)
    assert not verify(path).intact


def test_a_line_altered_with_a_new_checksum_breaks_the_chain(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    forged = Record(4, 1795428904.25, replace(EVENTS[4], outcome="ok", exit_code=0))
    lines[4] = chain.write_line(forged, chain.line_hash(lines[3]))
    path.write_bytes(b"".join(lines))
    report = verify(path)
    assert report.bad_line == 6
    assert "does not continue" in report.problem


def test_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="journal format 9, this version reads up to 2"):
        read_journal(written(tmp_path, (replace(EVENTS[0], format=9), *EVENTS[1:])))


def test_reopening_keeps_what_was_torn_and_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS[:4])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":4,"at":17954')
    reader = JournalReader(path)
    assert len(reader.poll()) == 4
    writer = JournalWriter.reopen(path)
    assert writer.past == read_journal(path)
    assert path.read_bytes() == whole
    assert (tmp_path / "journal.torn").read_bytes() == b'{"seq":4,"at":17954\n'
    record = writer.append_now(EVENTS[4], 5.0)
    writer.close()
    assert record.seq == 4
    assert reader.poll() == [record]
    reader.close()
    assert verify(path).records == 5


def test_a_reader_sees_each_record_once_and_never_a_torn_one(tmp_path: Path) -> None:
    data = written(tmp_path).read_bytes()
    path = tmp_path / "growing.jsonl"
    reader, seen = JournalReader(path), []
    assert reader.poll() == []
    place, dice = 0, random.Random(7)
    with path.open("wb") as file:
        while place < len(data):
            step = dice.choice((1, 5, 90, 400))
            file.write(data[place : place + step])
            file.flush()
            place += step
            seen += reader.poll()
            assert len(seen) == data[:place].count(b"\n")
    assert [record.event for record in seen] == list(EVENTS)
    assert reader.poll() == []
    reader.close()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls that made something of a journal durable."""
    found: list[int] = []
    fdatasync = os.fdatasync

    def counted(fd: int) -> None:
        fdatasync(fd)
        found.append(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    return found


async def test_commits_are_grouped_however_many_append(tmp_path: Path, commits: list[int]) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    writer.append(EVENTS[0], 0.0)
    started = time.monotonic()

    async def target(number: int) -> None:
        for step in range(10):
            await put(writer, StepStarted(f"web-{number}", "steps", step, 1, "a" * 32), 1.0)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(target(number))
    elapsed = time.monotonic() - started
    assert len(read_journal(writer.path)) == 2001
    assert len(commits) <= 8 + 40 * elapsed + 1
    writer.close()
    print(f"2,000 records that 200 tasks waited for: {elapsed:.2f} s, {len(commits)} commits")


async def test_a_quiet_journal_commits_at_once(tmp_path: Path) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    async with asyncio.timeout(5):
        await put(writer, EVENTS[0], 0.0)
        assert len(read_journal(writer.path)) == 1
    writer.close()


async def test_what_nobody_waits_for_is_written_soon(tmp_path: Path, commits: list[int]) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    writer.append(EVENTS[0], 0.0)
    async with asyncio.timeout(5):
        while not commits:
            await asyncio.sleep(0.001)
    assert len(read_journal(writer.path)) == 1
    writer.close()


async def test_what_is_appended_during_a_commit_waits_for_the_next(
    tmp_path: Path, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    syncing, go_on, fdatasync = threading.Event(), threading.Semaphore(0), os.fdatasync

    def slow_disk(fd: int) -> None:
        syncing.set()
        assert go_on.acquire(timeout=5)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow_disk)
    first = asyncio.create_task(put(writer, EVENTS[0], 0.0))
    async with asyncio.timeout(5):
        await asyncio.to_thread(syncing.wait, 5)
        syncing.clear()
        second = asyncio.create_task(put(writer, EVENTS[1], 1.0))
        go_on.release()
        await first
        await asyncio.to_thread(syncing.wait, 5)
        assert not second.done()
        go_on.release()
        await second
    writer.close()
    assert len(commits) == 2


async def test_closing_writes_what_is_queued_and_nobody_is_left_waiting(tmp_path: Path) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    for _ in range(40):  # beyond what is committed at once, so that a group is being waited for
        writer._delay()
    waiting = [asyncio.create_task(put(writer, event, 0.0)) for event in EVENTS]
    await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert len(read_journal(writer.path)) == len(EVENTS)
    with pytest.raises(JournalDead, match="closed"):
        writer.append(EVENTS[1], 1.0)


async def test_one_who_is_cancelled_does_not_take_the_others_along(tmp_path: Path) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    waiting = [asyncio.create_task(put(writer, event, 0.0)) for event in EVENTS]
    await asyncio.sleep(0)
    waiting[2].cancel()
    async with asyncio.timeout(5):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended if one] == [asyncio.CancelledError]
    assert len(read_journal(writer.path)) == len(EVENTS)
    writer.close()


async def test_after_a_failed_write_every_append_is_refused(tmp_path: Path) -> None:
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    await put(writer, EVENTS[0], 0.0)
    broken = os.open("/dev/full", os.O_WRONLY)
    os.dup2(broken, writer._fd)
    os.close(broken)
    writer.append(EVENTS[1], 1.0)
    async with asyncio.timeout(5):
        with pytest.raises(JournalDead):
            await writer.commit()
    with pytest.raises(JournalDead, match="nothing more is started"):
        writer.append(EVENTS[2], 2.0)
    writer.close()
    assert len(read_journal(writer.path)) == 1


def test_a_full_disk_leaves_room_for_the_last_records(small_disk: Path) -> None:
    writer = JournalWriter.create(small_disk / "journal.jsonl")
    writer.append_now(EVENTS[0], 0.0)
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    wide = replace(EVENTS[4], detail="x" * 5000)
    for number in range(20):
        writer.append_now(wide, float(number))
    assert "No space left" in writer.shortage
    with pytest.raises(JournalDead):
        for _ in range(400):
            writer.append_now(wide, 30.0)
    confirmed = writer._durable
    writer.close()
    filler.unlink()
    again = JournalWriter.reopen(writer.path)
    assert len(again.past) >= confirmed > 20
    again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_journal import EVENTS, put
from canary_tui.store.journal import JournalWriter

async def target(writer, number):
    for step in range(10**6):
        record = writer.append(EVENTS[3], float(step))
        await writer.commit()
        print(record.seq, flush=True)

async def main():
    writer = JournalWriter.create(Path(sys.argv[1]))
    await put(writer, EVENTS[0], 0.0)
    print(0, flush=True)
    await asyncio.gather(*(target(writer, number) for number in range(20)))

asyncio.run(main())
"""


def test_a_killed_writer_loses_nothing_that_it_had_confirmed(tmp_path: Path) -> None:
    dice = random.Random(11)
    for round_ in range(20):
        path = tmp_path / f"{round_}.jsonl"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        confirmed = [int(writer.stdout.readline()) for _ in range(dice.randrange(1, 200))]
        writer.send_signal(signal.SIGKILL)
        confirmed += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
        writer.wait()
        writer.stdout.close()
        again = JournalWriter.reopen(path)
        assert max(confirmed) < len(again.past)
        again.close()


def test_24000_records_are_written_and_read_again(tmp_path: Path) -> None:
    events = [EVENTS[min(number % 7, 5) if number else 0] for number in range(24_000)]
    started = time.process_time()
    writer = JournalWriter.create(tmp_path / "journal.jsonl")
    for number, event in enumerate(events):
        writer.append(event, number / 7)
    writer.close()
    between = time.process_time()
    found = read_journal(writer.path)
    ended = time.process_time()
    print(f"24,000 records: written in {between - started:.2f} s, read in {ended - between:.2f} s")
    assert [record.event for record in found] == events
    assert [record.at for record in found] == pytest.approx([number / 7 for number in range(24_000)], abs=0.001)


@pytest.mark.found("fault 5")
def test_a_journal_that_cannot_be_read_as_it_grows_is_told_in_words(tmp_path: Path) -> None:
    """The screens follow it: an error of the disk under them is a sentence there."""
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(JournalError, match=r"journal\.jsonl:0: cannot be read: Is a directory"):
        JournalReader(tmp_path / "journal.jsonl").poll()
