"""Files over real sshd: whole and verified, or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pathlib
import resource
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from direct_line import DirectLine, Seen
from farm import Farm, available

from canary_tui.engine.target import UploadRequest
from canary_tui.ssh.execution import install
from canary_tui.ssh.execution import upload as uploading
from canary_tui.ssh.execution.upload import upload

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("upload"), 1, net=45) as farm:
        yield farm


@pytest.fixture
async def line(farm: Farm) -> AsyncIterator[DirectLine]:
    line = DirectLine(farm)
    yield line
    await line.close()


def written(path: pathlib.Path, size: int, to: str, *, timeout: float = 60.0) -> UploadRequest:
    data = os.urandom(min(size, 1 << 20))
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(data[: size - at])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return UploadRequest(str(path), size, digest, to, 0o640, timeout)


def left_over(folder: pathlib.Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".canary-tui")]


class CutAfter(Seen):
    """Kills the server's sessions once so many bytes are on their way; `times` bounds how often."""

    def __init__(self, line: DirectLine, size: int, times: int = 1) -> None:
        super().__init__()
        self.line = line
        self.size = size
        self.times = times

    def upload_progress(self, sent: int, total: int) -> None:
        super().upload_progress(sent, total)
        if sent >= self.size and self.times:
            self.times -= 1
            self.line.server.kill_sessions()


@pytest.mark.parametrize("to", ["plain.bin", "new/folder/with a 'quote'.bin", "-n", "$(touch pwned)"])
async def test_a_file_arrives_with_its_bytes_and_mode(line: DirectLine, tmp_path: pathlib.Path, to: str) -> None:
    request, seen = written(tmp_path / "file", 300_000, to), Seen()
    assert (await upload(line, request, seen)).outcome == "ok"
    there = line.server.home / to
    assert there.read_bytes() == (tmp_path / "file").read_bytes()
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    assert seen.progress[-1] == (300_000, 300_000)
    assert left_over(there.parent) == []
    assert not (line.server.home / "pwned").exists()


async def test_an_absolute_path_is_taken_as_it_is_and_an_empty_file_is_a_file(
    line: DirectLine, tmp_path: pathlib.Path
) -> None:
    request = written(tmp_path / "file", 0, str(tmp_path / "there"))
    assert (await upload(line, request, Seen())).outcome == "ok"
    assert (tmp_path / "there").read_bytes() == b""


async def test_the_same_bytes_are_not_sent_twice(line: DirectLine, tmp_path: pathlib.Path) -> None:
    request, seen = written(tmp_path / "file", 300_000, "twice.bin"), Seen()
    assert not (await upload(line, request, Seen())).skipped
    (line.server.home / "twice.bin").chmod(0o600)
    report = await upload(line, request, seen)
    assert (report.outcome, report.skipped, seen.progress) == ("ok", True, [])
    assert stat.S_IMODE((line.server.home / "twice.bin").stat().st_mode) == 0o640
    other, seen = written(tmp_path / "file", 300_000, "twice.bin"), Seen()
    assert (await upload(line, other, seen)).skipped is False
    assert (line.server.home / "twice.bin").read_bytes() == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
async def test_a_cut_upload_is_old_or_new_and_then_new(line: DirectLine, tmp_path: pathlib.Path, share: float) -> None:
    (line.server.home / "cut.bin").write_bytes(b"old")
    size = 12_000_000
    request = written(tmp_path / "file", size, "cut.bin")
    seen = CutAfter(line, int(size * share), times=2)
    task = asyncio.create_task(upload(line, request, seen))
    whole = (tmp_path / "file").read_bytes()
    while not task.done():
        assert (line.server.home / "cut.bin").read_bytes() in {b"old", whole}
        await asyncio.sleep(0.01)
    assert task.result().outcome == "ok"
    assert (line.server.home / "cut.bin").read_bytes() == whole
    assert seen.times < 2
    assert left_over(line.server.home) == []


HALF = 1_500_000


def as_it_was_left(part: pathlib.Path) -> None:
    """A connection broke, or an engine was killed."""


def changed(part: pathlib.Path) -> None:
    part.write_bytes(b"x" + part.read_bytes()[1:])


def longer(part: pathlib.Path) -> None:
    part.write_bytes(part.read_bytes() * 3)


def a_link(part: pathlib.Path) -> None:
    part.rename(part.with_name("precious"))
    part.symlink_to("precious")


def of_somebody_else(part: pathlib.Path) -> None:
    os.chown(part, 1234, 1234)


@pytest.mark.found("fault 1")
@pytest.mark.parametrize(
    ("happens", "start"),
    [
        pytest.param(as_it_was_left, HALF, id="left"),
        pytest.param(changed, 0, id="changed"),
        pytest.param(longer, 0, id="longer"),
        pytest.param(a_link, 0, id="link"),
        pytest.param(
            of_somebody_else,
            0,
            id="other",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root"),
        ),
    ],
)
async def test_an_upload_that_was_cut_goes_on_where_it_was_if_that_is_the_file_s_beginning(
    line: DirectLine, tmp_path: pathlib.Path, happens: Callable[[pathlib.Path], None], start: int
) -> None:
    """Whatever lies beside the place, the whole file is what is put there, and nothing else is touched."""
    folder = line.server.home / f"resumed-{happens.__name__}"
    folder.mkdir()
    request, seen = written(tmp_path / "file", 2 * HALF, f"{folder.name}/there.bin"), Seen()
    whole = (tmp_path / "file").read_bytes()
    part = folder / f".canary-tui.{uploading.token_of(request)}.earlier"
    part.write_bytes(whole[:HALF])
    happens(part)
    assert (await upload(line, request, seen)).outcome == "ok"
    assert start < seen.progress[0][0] <= start + uploading.CHUNK
    assert (folder / "there.bin").read_bytes() == whole
    assert left_over(folder) == []
    if happens is a_link:
        assert (folder / "precious").read_bytes() == whole[:HALF]


@pytest.mark.found("fault 1")
async def test_an_earlier_try_that_is_still_at_it_spoils_nothing(line: DirectLine, tmp_path: pathlib.Path) -> None:
    """A server may notice late that a connection is gone, and write to the part what was still on its way."""
    request = written(tmp_path / "file", 2 * HALF, "late.bin")
    whole = (tmp_path / "file").read_bytes()
    part = line.server.home / f".canary-tui.{uploading.token_of(request)}.earlier"
    with part.open("wb", buffering=0) as late:
        late.write(whole[:HALF])

        class WritesLate(Seen):
            def upload_progress(self, sent: int, total: int) -> None:
                super().upload_progress(sent, total)
                late.write(whole[HALF : HALF + 1000])

        assert (await upload(line, request, WritesLate())).outcome == "ok"
    assert (line.server.home / "late.bin").read_bytes() == whole
    assert left_over(line.server.home) == []


async def test_what_is_left_of_an_upload_is_removed_after_a_week(line: DirectLine, tmp_path: pathlib.Path) -> None:
    """A new meeting with the runner tidies up after an upload with which nobody has gone on."""
    await install.ensure_runner(line)
    folder, runs = line.server.home / "abandoned", line.server.home / ".local/state/canary-tui/runs"
    folder.mkdir()
    for token, age in [("old", 8), ("new", 6)]:
        (folder / f".canary-tui.{token}.1").write_bytes(b"half of it")
        (runs / f"{token}.part").write_text(f"{folder}/.canary-tui.{token}\n")
        os.utime(runs / f"{token}.part", (time.time() - age * 86400,) * 2)
    line.drop(await line.connection())
    await install.ensure_runner(line)
    async with asyncio.timeout(10):
        while (runs / "old.part").exists():
            await asyncio.sleep(0.02)
    assert left_over(folder) == [".canary-tui.new.1"]


async def test_an_upload_that_is_given_up_leaves_the_old_file(line: DirectLine, tmp_path: pathlib.Path) -> None:
    (line.server.home / "kept.bin").write_bytes(b"old")
    request = written(tmp_path / "file", 80_000_000, "kept.bin", timeout=0.2)
    assert (await upload(line, request, Seen())).outcome == "timed-out"
    async with asyncio.timeout(10):
        while left_over(line.server.home):
            await asyncio.sleep(0.02)
    assert (line.server.home / "kept.bin").read_bytes() == b"old"


@pytest.mark.parametrize("change", ["longer", "other"])
async def test_a_file_that_changed_since_the_plan_is_not_put_in_place(
    line: DirectLine, tmp_path: pathlib.Path, change: str
) -> None:
    request = written(tmp_path / "file", 300_000, f"changed-{change}.bin")
    with (tmp_path / "file").open("r+b") as file:
        file.seek(0 if change == "other" else 300_000)
        file.write(b"changed")
    report = await upload(line, request, Seen())
    assert (report.outcome, report.detail) == ("failed", "the local file has changed since the plan was made")
    assert not (line.server.home / f"changed-{change}.bin").exists()
    async with asyncio.timeout(10):  # the target removes it when it hears that nothing more comes
        while left_over(line.server.home):
            await asyncio.sleep(0.02)


async def test_a_link_is_replaced_and_what_it_points_to_is_not_touched(
    line: DirectLine, tmp_path: pathlib.Path
) -> None:
    (line.server.home / "precious").write_bytes(b"precious")
    (line.server.home / "link.bin").symlink_to("precious")
    assert (await upload(line, written(tmp_path / "file", 1000, "link.bin"), Seen())).outcome == "ok"
    assert (line.server.home / "precious").read_bytes() == b"precious"
    assert not (line.server.home / "link.bin").is_symlink()


@pytest.mark.parametrize(
    ("to", "detail"),
    [
        pytest.param("folder", "a folder is in its place", id="a folder"),
        pytest.param("file/below", "cannot make its folder", id="a file in the way"),
        pytest.param("two\nlines", "not a path", id="a newline"),
        pytest.param("", "not a path", id="nothing"),
    ],
)
async def test_why_a_file_cannot_be_put_there_is_said(
    line: DirectLine, tmp_path: pathlib.Path, to: str, detail: str
) -> None:
    (line.server.home / "folder").mkdir(exist_ok=True)
    (line.server.home / "file").touch()
    report = await upload(line, written(tmp_path / "source", 1000, to), Seen())
    assert (report.outcome, detail in report.detail) == ("failed", True)


async def test_a_missing_local_file_is_said(line: DirectLine, tmp_path: pathlib.Path) -> None:
    request = written(tmp_path / "file", 1000, "missing.bin")
    (tmp_path / "file").unlink()
    report = await upload(line, request, Seen())
    assert (report.outcome, "No such file" in report.detail) == ("failed", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk_on_the_target_is_said_and_left_clean(line: DirectLine, tmp_path: pathlib.Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", small)
    if await mount.wait():
        pytest.skip("no tmpfs can be mounted here")
    try:
        report = await upload(line, written(tmp_path / "file", 3_000_000, str(small / "big")), Seen())
        assert (report.outcome, "cannot write it" in report.detail) == ("failed", True)
        assert list(small.iterdir()) == []
    finally:
        await (await asyncio.create_subprocess_exec("umount", "-l", small)).wait()


async def test_fifty_megabytes_go_out_in_flat_memory_and_with_few_words(
    line: DirectLine, tmp_path: pathlib.Path
) -> None:
    request, seen = written(tmp_path / "file", 50_000_000, "large.bin"), Seen()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert (await upload(line, request, seen)).outcome == "ok"
    seconds = time.monotonic() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\n{50 / seconds:.0f} MB/s, {grown / 1024:.0f} MiB more memory")
    assert hashlib.sha256((line.server.home / "large.bin").read_bytes()).hexdigest() == request.sha256
    assert grown < 32 * 1024
    assert len(seen.progress) <= seconds / uploading.PROGRESS + 2
