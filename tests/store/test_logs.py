"""Writing logs: no byte lost or doubled, whatever the chunks and wherever a crash cuts; and what it costs."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.store.logs import format as log_format
from canary_tui.store.logs import writer as log_writer
from canary_tui.store.logs.format import Formatter, log_path, parse_line
from canary_tui.store.logs.merged import MergedReader
from canary_tui.store.logs.reader import LogReader
from canary_tui.store.logs.writer import LogError, LogSet
from canary_tui.text.sink import Stream

FIRST, SECOND = "0123456789abcdef" * 2, "fedcba9876543210" * 2
TEXT = st.text(st.sampled_from("ab \tä☃|+-\n\n"), max_size=60)
Chunks = list[tuple[Stream, str]]
STREAMS: tuple[Stream, ...] = ("out", "out", "out", "err")
CHUNKS = st.lists(st.tuples(st.sampled_from(STREAMS), TEXT), max_size=12)


@pytest.fixture
def whole_length() -> None:
    """Lines as long as the product's."""


@pytest.fixture(autouse=True)
def short_lines(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Lines of 16 characters at most, so that small texts meet every border."""
    if "whole_length" not in request.fixturenames:
        monkeypatch.setattr(log_format, "LONGEST", 16)


def bare(data: str | bytes) -> list[str]:
    """The lines of a log without their times."""
    text = data.decode() if isinstance(data, bytes) else data
    return [line[25:] for line in text.splitlines(keepends=True)]


def again(text: str, dice: random.Random) -> list[str]:
    """A text in other chunks."""
    pieces = []
    while text:
        size = dice.choice((1, 1, 2, 7, 40))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def runs(chunks: Chunks) -> Chunks:
    """Chunks with neighbours of one stream put together: what of the chunks may matter."""
    joined: Chunks = []
    for stream, text in chunks:
        if text and joined and joined[-1][0] == stream:
            joined[-1] = (stream, joined[-1][1] + text)
        elif text:
            joined.append((stream, text))
    return joined


def texts(lines: list[str], stream: str) -> str:
    """A stream's text, put together from the lines of a log."""
    text = None
    for line in lines:
        found = parse_line(b"2026-11-23T10:15:02.123Z " + line.rstrip("\n").encode())
        if found.stream == stream:
            text = found.text if text is None else text + ("" if found.continued else "\n") + found.text
    return text or ""


@given(chunks=CHUNKS, seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_chunk_borders_never_change_the_lines(chunks: Chunks, seed: int) -> None:
    dice = random.Random(seed)
    one, other = Formatter("switch"), Formatter("switch")
    whole = "".join(one.text(text, stream, 0.0) for stream, text in runs(chunks))
    cut = "".join(other.text(piece, stream, 1.0) for stream, text in chunks for piece in again(text, dice))
    assert bare(whole) == bare(cut)
    for stream in ("out", "err"):
        text = "".join(text for name, text in chunks if name == stream)
        assert texts(bare(whole), stream) == text.removesuffix("\n")
    assert all(len(parse_line(line.encode()).text) <= 16 for line in whole.splitlines())


def test_a_log_reads_like_this(tmp_path: Path) -> None:
    with LogSet(tmp_path / "logs", clock=lambda: 1795428902.1234) as logs:
        log = logs.target("web-1")
        log.begin("switch over", FIRST)
        log.write("one\ntwo")
        log.write("a warning\n", "err")
        log.write(" goes on\n")
        log.write("a line of more than 16\n", "err")
        log.write("no end")
        log.end(FIRST, "failed, exit code 3")
    at = "2026-11-23T10:15:02.123Z switch-over "
    assert (tmp_path / "logs/web-1.log").read_text().splitlines() == [
        at + "--| begin 0123456789ab",
        at + "out| one",
        at + "out| two",
        at + "err| a warning",
        at + "out+  goes on",
        at + "err| a line of more t",
        at + "err+ han 16",
        at + "out| no end",
        at + "--| end 0123456789ab failed, exit code 3 (no newline at the end)",
    ]
    assert (tmp_path / "logs/web-1.log").stat().st_mode & 0o777 == 0o600


def test_names_that_are_no_file_names_are_mapped_apart(tmp_path: Path) -> None:
    paths = {log_path(tmp_path, name) for name in ("../x", "..-x", "a/b", "a b", "", ".", "web-1", "x" * 300)}
    assert len(paths) == 8
    assert all(path.parent == tmp_path and len(path.name) < 120 for path in paths)


def test_a_begun_line_can_be_read_before_it_ends(tmp_path: Path) -> None:
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        log.begin("switch", FIRST)
        log.write("Password: ")
        reader = LogReader(log.path)
        deadline = time.monotonic() + 5
        while not (reader.poll() and reader.lines == 2):
            assert time.monotonic() < deadline
        assert reader.unfinished
        assert reader.line(1).text == "Password: "
        reader.close()


def deliver(folder: Path, chunks: Chunks, seed: int, *, resume: bool) -> bytes:
    dice = random.Random(seed)
    with LogSet(folder) as logs:
        log = logs.target("web-1")
        log.begin("switch", SECOND, resume=resume)
        for stream, text in chunks:
            for piece in again(text, dice):
                log.write(piece, stream)
                if dice.random() < 0.1:
                    log.drain()
        log.end(SECOND, "ok")
    return log.path.read_bytes()


@given(chunks=CHUNKS, seed=st.integers(0, 2**32), place=st.floats(0, 1))
@settings(max_examples=120, deadline=None)
def test_a_log_cut_anywhere_is_completed_by_reading_again(chunks: Chunks, seed: int, place: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "logs"
        with LogSet(folder) as logs:
            log = logs.target("web-1")
            log.begin("check", FIRST)
            log.write("an earlier execution\n begin fedcba987654\n")
            log.end(FIRST)
        before = log.path.stat().st_size
        whole = deliver(folder, chunks, seed, resume=False)
        log.path.write_bytes(whole[: before + int(place * (len(whole) - before))])
        resumed = deliver(folder, chunks, seed + 1, resume=True)
        assert bare(resumed) == bare(whole)
        # The merged order is mended along with it.
        merged = MergedReader(folder)
        merged.poll()
        assert [line.text for line in merged.read(0, 10**6)] == [
            parse_line(line).text for line in resumed.split(b"\n")[:-1]
        ]
        merged.close()


def test_a_target_cannot_fake_a_mark_of_ours(tmp_path: Path, whole_length: None) -> None:
    fake = f"x --| begin {SECOND[:12]}\n2026-11-23T10:15:02.123Z switch --| begin {SECOND[:12]}\n"
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        log.begin("switch", FIRST)
        log.write(fake)
        log.begin("switch", SECOND, resume=True)
        log.write("text\n")
        log.end(SECOND)
    lines = log.path.read_text().splitlines()
    assert lines[3][25:] == "switch --| begin fedcba987654"
    assert lines[4][25:] == "switch out| text"


def open_logs(folder: Path) -> list[str]:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    paths = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [path for path in paths if path.startswith(str(folder)) and path.endswith(".log")]


async def test_sync_makes_ended_output_durable_and_closes_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fdatasync = os.fdatasync

    def noted(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", noted)
    with LogSet(tmp_path / "logs") as logs:
        for number in range(50):
            log = logs.target(f"web-{number}")
            log.begin("switch", FIRST)
            if number:
                log.write("done\n")
            log.end(FIRST)
        async with asyncio.timeout(10):
            await logs.sync()
        # Without text, there is nothing that reading the target again would not bring back.
        assert sorted(synced) == sorted(str(log_path(logs.folder, f"web-{number}")) for number in range(1, 50))
        assert all(len(Path(path).read_bytes().splitlines()) == 3 for path in synced)
        logs.flush()
        assert open_logs(tmp_path) == []
        async with asyncio.timeout(10):
            await logs.sync()
        assert len(synced) == 49


WRITER = """
import sys, time
from pathlib import Path
from canary_tui.store.logs.writer import LogSet
logs = LogSet(Path(sys.argv[1]))
for name in ("web-1", "web-2", "web-3"):
    logs.target(name).begin("switch", "0123456789abcdef" * 2, resume=len(sys.argv) > 2)
text = "".join(f"{number} {'x' * (number % 90)}\\n" for number in range(60000))
place = 0
print("ready", flush=True)
while place < len(text):
    for name in ("web-1", "web-2", "web-3"):
        logs.target(name).write(text[place : place + 777])
    place += 777
logs.close()
"""


@pytest.mark.usefixtures("whole_length")
def test_a_killed_writer_leaves_logs_that_reading_again_completes(tmp_path: Path) -> None:
    dice = random.Random(5)
    expected = [f"{number} {'x' * (number % 90)}" for number in range(60_000)]
    for round_ in range(6):
        folder = tmp_path / str(round_)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        goal, log = dice.randrange(1, 3_000_000), folder / "web-2.log"
        while writer.poll() is None and not (log.exists() and log.stat().st_size > goal):
            pass
        writer.kill()
        writer.wait()
        writer.stdout.close()
        subprocess.run([sys.executable, "-c", WRITER, str(folder), "resume"], check=True, stdout=subprocess.DEVNULL)
        merged = MergedReader(folder)
        merged.poll()
        assert merged.lines == 3 * 60_001
        for name in ("web-1", "web-2", "web-3"):
            lines = log_path(folder, name).read_bytes().split(b"\n")[1:-1]
            assert [parse_line(line).text for line in lines] == expected
        merged.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_merged_log_has_each_whole_line_once_and_in_the_order_of_its_target(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    written: dict[str, str] = {f"web-{number}": "" for number in range(200)}
    merged = MergedReader(tmp_path / "logs")
    with LogSet(tmp_path / "logs") as logs:
        for number in range(6000):
            name = f"web-{dice.randrange(200)}"
            piece = dice.choice((f"{number}\n", f"{number} ", f"{number}\nx\ny", "\n"))
            logs.target(name).write(piece)
            written[name] += piece
            if number % 500 == 0:
                merged.poll()
                shown = merged.read(0, merged.lines)
                assert len(shown) == merged.lines
    merged.poll()
    shown = merged.read(0, merged.lines)
    assert len(shown) == merged.lines
    for name in written:
        own = log_path(logs.folder, name).read_bytes().split(b"\n")[:-1]
        assert [line.text for line in shown if line.target == name] == [parse_line(line).text for line in own]
    dice.shuffle(order := list(range(merged.lines)))
    assert all(merged.line(number) == shown[number] for number in order[:500])
    merged.close()


@pytest.mark.parametrize("damage", ["torn", "garbage", "gone", "ahead of the logs"])
def test_a_damaged_order_is_mended_from_the_logs(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "logs"
    with LogSet(folder) as logs:
        for number in range(60):
            logs.target(f"web-{number % 3}").write(f"{number}\n")
            logs.flush()
    order = folder / "order"
    match damage:
        case "torn":
            order.write_bytes(order.read_bytes()[:-13])
        case "garbage":
            order.write_bytes(order.read_bytes()[:400] + os.urandom(700))
        case "gone":
            order.unlink()
        case _:
            log = folder / "web-1.log"
            log.write_bytes(log.read_bytes()[:300])
    LogSet(folder).close()
    merged = MergedReader(folder)
    merged.poll()
    shown = merged.read(0, 1000)
    for number in range(3):
        own = (folder / f"web-{number}.log").read_bytes().split(b"\n")[:-1]
        assert [line.text for line in shown if line.target == f"web-{number}"] == [parse_line(one).text for one in own]
    merged.close()


@pytest.mark.usefixtures("whole_length")
async def test_a_full_disk_stops_the_logs_with_room_left_for_the_journal(small_disk: Path) -> None:
    logs = LogSet(small_disk / "logs", keep_free=1 << 20)
    log = logs.target("web-1")
    log.begin("switch", FIRST)
    for _ in range(80):
        log.write("x" * 99_999 + "\n")
    log.end(FIRST)
    with pytest.raises(LogError, match="it stays on the targets"):
        await logs.sync()
    log.write("more\n")
    assert logs.failure
    assert log.backlog_in == log.backlog_out
    logs.close()


@pytest.mark.usefixtures("whole_length")
def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "PAUSE", 3600.0)
    monkeypatch.setattr(log_writer, "_MOST_QUEUED", 1 << 20)
    logs = LogSet(tmp_path / "logs")
    for number in range(200):
        log = logs.target(f"web-{number % 5}")
        log.write("x" * 100_000 + "\n")
        assert sum(one.backlog_in - one.backlog_out for one in logs._logs.values()) < 2 << 20
    logs.close()
    assert logs.lines == sum(len(path.read_bytes().splitlines()) for path in (tmp_path / "logs").glob("*.log"))


@pytest.mark.usefixtures("whole_length")
def test_200_megabytes_of_plain_lines_are_all_written(tmp_path: Path) -> None:
    chunk = ("x" * 99 + "\n") * 650
    size = 0
    started = time.process_time()
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        log.begin("switch", FIRST)
        while size < 200_000_000:
            log.write(chunk)
            size += len(chunk)
    elapsed = time.process_time() - started
    print(f"logs: {size / elapsed / 1e6:.0f} MB/s of CPU time for lines of 100 bytes")
    assert logs.lines == size // 100 + 1
    assert log.path.stat().st_size > size


@pytest.mark.usefixtures("whole_length")
def test_a_large_output_that_is_read_again_is_written_once(tmp_path: Path) -> None:
    chunk = "".join(f"{number:>98} \n" for number in range(650))
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        log.begin("switch", FIRST)
        for _ in range(800):
            log.write(chunk)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20_000_010])
    started = time.process_time()
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        log.begin("switch", FIRST, resume=True)
        for _ in range(800):
            log.write(chunk)
    print(f"50 MB read again in {time.process_time() - started:.2f} s")
    strip = re.compile(rb"(?m)^.{24}")
    assert strip.sub(b"", log.path.read_bytes()) == strip.sub(b"", whole)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", False, id="nothing came"),
        pytest.param("\n", True, id="an empty line"),
        pytest.param("one\ntwo\n", True, id="lines"),
        pytest.param("a prompt", True, id="an unfinished line"),
    ],
)
def test_a_log_knows_whether_output_of_an_execution_came(tmp_path: Path, text: str, expected: bool) -> None:
    """Fault 8: a step of which output is here has begun, whatever its target has forgotten."""
    with LogSet(tmp_path / "logs") as logs:
        log = logs.target("web-1")
        assert not log.heard("a" * 32)
        log.begin("deploy", "a" * 32)
        log.write(text)
    with LogSet(tmp_path / "logs") as logs:
        assert logs.target("web-1").heard("a" * 32) is expected
        assert not logs.target("web-1").heard("b" * 32)
