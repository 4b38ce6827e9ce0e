"""Steps over real sshd: whatever happens to the connection, one execution, every byte, the right end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pathlib
import random
import resource
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import TypedDict, TypeVar, Unpack

import asyncssh
import pytest
from direct_line import Bytes, DirectLine, Seen
from farm import Farm, available

from canary_tui.engine.target import AttachRequest, CancelReport, CommandRequest, ExecuteReport, ExecuteRequest
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.connection.sudo import SudoPrefix
from canary_tui.ssh.execution import durable, install, patience, protocol
from canary_tui.ssh.execution.cancel import cancel
from canary_tui.ssh.execution.lines import LostError, Splitter
from canary_tui.ssh.execution.plain import plain

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
T = TypeVar("T")
CUTS = int(os.environ.get("CANARY_TUI_CUTS", "12"))


class Digest:
    """A sink that keeps nothing but a digest."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes, stream: str = "out") -> None:
        self.sha256.update(data)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("durable"), 1, net=41) as farm:
        yield farm


@pytest.fixture
async def line(farm: Farm) -> AsyncIterator[DirectLine]:
    line = DirectLine(farm)
    yield line
    await line.close()


class Changes(TypedDict, total=False):
    """What a test may ask for beside the script."""

    execution: str
    environment: dict[str, str]
    timeout: float
    output_cap: int


def request(script: bytes, boot: str = "", **changes: Unpack[Changes]) -> ExecuteRequest:
    usual = ExecuteRequest(secrets.token_hex(16), script, {}, 60.0, 1 << 31, boot)
    return replace(usual, **changes)


async def until(condition: Callable[[], T], limit: float = 20.0) -> T:
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)
    return value


def runs(line: DirectLine) -> pathlib.Path:
    return line.server.home / ".local/state/canary-tui/runs"


async def stop(task: asyncio.Task[ExecuteReport]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_step_that_ends_at_once_is_one_command_on_the_server(line: DirectLine) -> None:
    await install.ensure_runner(line)
    before = len(line.server.commands())
    sink = Bytes()
    step = request(b'printf %s "$A"; echo; exit 3', environment={"A": "it's\n$HOME"})
    report = await durable.execute(line, step, sink, Seen())
    assert (report.outcome, report.exit_code, report.size) == ("failed", 3, len(sink.out))
    assert bytes(sink.out) == b"it's\n$HOME\n"
    assert len(line.server.commands()) == before + 1


async def test_the_runner_is_installed_once_and_met_once_a_connection(farm: Farm, line: DirectLine) -> None:
    info = await install.ensure_runner(line)
    assert await install.ensure_runner(line) is info
    assert pathlib.Path(info.path).read_bytes().startswith(b"# The part of canary-tui")
    assert abs(info.clock_offset) < 5
    assert info.free_bytes > 0
    assert info.boot.partition(".")[0] == pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    before = len(line.server.commands())
    line.drop(await line.connection())
    assert (await install.ensure_runner(line)).path == info.path
    assert len(line.server.commands()) == before + 1


@pytest.mark.parametrize("seed", range(CUTS))
async def test_cut_connections_lose_and_repeat_nothing(line: DirectLine, seed: int) -> None:
    """A step prints ten megabytes of numbered lines while its connections are killed at random moments."""
    chance = random.Random(seed)
    script = (
        f"echo x >>once-{seed}\n"
        'awk \'BEGIN { for (n = 1; n <= 200000; n++) { printf "line %043d\\n", n; '
        'if (n % 5000 == 0) { fflush(); system("sleep 0.03") } } }\'\n'
        "exit 42\n"
    ).encode()
    expected = b"".join(b"line %043d\n" % n for n in range(1, 200_001))
    sink, seen = Bytes(), Seen()
    step = asyncio.create_task(durable.execute(line, request(script), sink, seen))
    for _ in range(3):
        done, _ = await asyncio.wait([step], timeout=chance.uniform(0.0, 0.8))
        if done:
            break
        line.server.kill_sessions()
    report = await step
    assert hashlib.sha256(sink.out).hexdigest() == hashlib.sha256(expected).hexdigest()
    assert (report.outcome, report.exit_code, report.size) == ("failed", 42, len(expected))
    assert line.server.read(f"once-{seed}") == "x\n"
    assert bool(seen.restored) == bool(seen.lost)


async def test_a_connection_that_dies_while_the_step_is_sent_starts_it_once(line: DirectLine) -> None:
    script = b"echo x >>once-sent\n" + b"# filler, so that it takes many packets\n" * 50_000
    seen = Seen()
    await install.ensure_runner(line)
    step = asyncio.create_task(durable.execute(line, request(script), Bytes(), seen))
    await until(lambda: " run " in line.server.commands()[-1])
    line.server.kill_sessions()
    assert (await step).outcome == "ok"
    assert line.server.read("once-sent") == "x\n"
    assert line.connections >= 2


async def test_a_frozen_server_is_noticed_and_left(line: DirectLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "SILENCE", 6.0)
    sink, seen = Bytes(), Seen()
    step = asyncio.create_task(durable.execute(line, request(b"echo here; sleep 8; echo there"), sink, seen))
    await sink.holds(b"here\n")
    frozen = line.server.sessions()
    assert line.server.kill_sessions(signal.SIGSTOP)
    try:
        report = await step
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)
    assert (report.outcome, bytes(sink.out)) == ("ok", b"here\nthere\n")
    assert (seen.lost, seen.restored) == (["nothing was heard for 6 s"], 1)


@pytest.mark.found("fault 2")
async def test_a_supervisor_that_is_stopped_holds_nobody_beyond_the_limit(
    line: DirectLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that says that a step runs, long after its limit, has said what can be learned of it."""
    monkeypatch.setattr(durable, "SILENCE", 5.0)
    monkeypatch.setattr(durable, "MOMENT", 1.0)
    monkeypatch.setattr(patience, "OVERDUE", 1.0)
    monkeypatch.setattr(patience, "STOPPING", 1.0)
    step_request = request(b"echo here; sleep 60", timeout=1.0)
    step = asyncio.create_task(durable.execute(line, step_request, sink := Bytes(), Seen()))
    await sink.holds(b"here\n")
    supervisor = int((runs(line) / f"{step_request.execution}.go").read_text().split()[0])
    os.kill(supervisor, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            report = await step
    finally:
        os.kill(supervisor, signal.SIGKILL)
    assert (report.outcome, "still running" in report.detail) == ("unknown", True)


def test_a_dead_peer_is_noticed_within_twenty_seconds() -> None:
    assert protocol.SILENCE <= 20


async def test_a_silent_step_is_not_taken_for_a_dead_connection(
    line: DirectLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "SILENCE", 6.0)
    seen = Seen()
    assert (await durable.execute(line, request(b"sleep 8"), Bytes(), seen)).outcome == "ok"
    assert seen.lost == []


async def test_output_is_live(line: DirectLine) -> None:
    class Stamps(Bytes):
        def write(self, data: bytes, stream: str = "out") -> None:
            super().write(b"".join(b"%s %.3f\n" % (one, time.time()) for one in data.splitlines()))

    sink = Stamps()
    script = b"for n in 1 2 3 4 5 6 7 8 9 10 11 12; do date +%s.%N; sleep 0.23; done"
    assert (await durable.execute(line, request(script), sink, Seen())).outcome == "ok"
    delays = sorted(float(got) - float(written) for written, got in (one.split() for one in sink.out.splitlines()))
    print(f"\nseconds from write to sink: median {delays[6]:.3f}, worst {delays[-1]:.3f}")
    assert delays[6] < 0.2


async def test_a_killed_supervisor_makes_the_end_unknown_and_says_what_lives(line: DirectLine) -> None:
    sink = Bytes()
    step_request = request(b"echo here; until [ -e go-on ]; do sleep 0.05; done; echo there")
    step = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"here\n")
    go = runs(line) / f"{step_request.execution}.go"
    os.kill(int(go.read_text().split()[0]), signal.SIGKILL)
    report = await step
    child = (runs(line) / f"{step_request.execution}.child").read_text().split()[0]
    assert report.outcome == "unknown"
    assert report.detail == f"its supervisor was killed, the command is still running (pid {child})"
    (line.server.home / "go-on").touch()
    again = AttachRequest(step_request.execution, "", 60)
    await until(lambda: b"there" in (runs(line) / f"{step_request.execution}.out").read_bytes())
    report = await durable.attach(line, again, sink := Bytes(), Seen())
    assert (report.outcome, bytes(sink.out)) == ("unknown", b"here\nthere\n")


async def test_another_program_finds_a_step_and_every_byte_of_it(farm: Farm, line: DirectLine) -> None:
    step_request = request(b"echo x >>once-attach; echo one; until [ -e attach-on ]; do sleep 0.05; done; exit 7")
    sink = Bytes()
    first = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"one\n")
    await stop(first)
    other, sink = DirectLine(farm), Bytes()
    boot = (await install.ensure_runner(line)).boot
    second = asyncio.create_task(durable.attach(other, AttachRequest(step_request.execution, boot, 60), sink, Seen()))
    await sink.holds(b"one\n")
    (line.server.home / "attach-on").touch()
    report = await second
    assert (report.outcome, report.exit_code, bytes(sink.out)) == ("failed", 7, b"one\n")
    report = await durable.execute(other, step_request, sink := Bytes(), Seen())
    assert (report.outcome, report.exit_code, bytes(sink.out)) == ("failed", 7, b"one\n")
    assert line.server.read("once-attach") == "x\n"
    await other.close()


async def test_what_was_never_started_never_will_be_once_that_was_said(line: DirectLine) -> None:
    step = request(b"echo x >>once-void")
    boot = (await install.ensure_runner(line)).boot
    attach = AttachRequest(step.execution, boot, 60)
    assert (await durable.attach(line, attach, Bytes(), Seen())).outcome == "not-started"
    assert (await durable.execute(line, step, Bytes(), Seen())).outcome == "not-started"
    assert line.server.read("once-void") == ""


@pytest.mark.found("fault 8")
async def test_no_trace_of_a_step_whose_output_came_before_is_no_proof(line: DirectLine) -> None:
    """Fault 8: the log here knows that it began, whatever the target has forgotten."""
    boot = (await install.ensure_runner(line)).boot
    attach = AttachRequest(secrets.token_hex(16), boot, 60, heard=True)
    report = await durable.attach(line, attach, Bytes(), Seen())
    assert (report.outcome, "it had begun" in report.detail) == ("unknown", True)


async def test_a_start_in_a_folder_that_was_emptied_meets_its_runner_again(line: DirectLine) -> None:
    """Fault 8: the runner refuses what was meant for another place, and the step is started once in the new one."""
    folder = pathlib.Path((await install.ensure_runner(line)).folder)
    for path in folder.glob("starts.*"):
        path.unlink()
    report = await durable.execute(line, request(b"echo x >>once-moved"), Bytes(), Seen())
    assert (report.outcome, line.server.read("once-moved")) == ("ok", "x\n")


async def test_no_trace_in_another_boot_is_no_proof(line: DirectLine) -> None:
    attach = AttachRequest(secrets.token_hex(16), "another-boot", 60)
    report = await durable.attach(line, attach, Bytes(), Seen())
    assert (report.outcome, "rebooted" in report.detail) == ("unknown", True)


async def test_a_reboot_during_a_step_is_said(line: DirectLine) -> None:
    sink = Bytes()
    step_request = request(b"echo here; sleep 60")
    step = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"here\n")
    go = runs(line) / f"{step_request.execution}.go"
    pid, start, _, digest = go.read_text().splitlines()[0].split()
    child = int((runs(line) / f"{step_request.execution}.child").read_text().split()[0])
    os.kill(int(pid), signal.SIGKILL)
    go.write_text(f"{pid} {start} another-boot {digest}\n")
    report = await step
    os.killpg(child, signal.SIGKILL)
    assert (report.outcome, report.detail) == ("unknown", "the server rebooted during the step")


async def test_an_id_that_was_used_for_another_step_is_not_believed(line: DirectLine) -> None:
    first = request(b"echo first")
    assert (await durable.execute(line, first, Bytes(), Seen())).outcome == "ok"
    for script, environment in ((b"echo other", {}), (b"echo first", {"NEW": "1"})):
        other = request(script, execution=first.execution, environment=environment)
        report = await durable.execute(line, other, sink := Bytes(), Seen())
        assert (report.outcome, bytes(sink.out)) == ("unknown", b"")


async def test_output_that_is_not_what_was_written_is_no_success(line: DirectLine) -> None:
    sink = Bytes()
    step_request = request(b"echo here; until [ -e tampered ]; do sleep 0.05; done; echo there")
    step = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"here\n")
    with (runs(line) / f"{step_request.execution}.out").open("r+b") as out:
        out.write(b"HERE")
    (line.server.home / "tampered").touch()
    report = await step
    assert (report.outcome, report.exit_code) == ("unknown", 0)


async def test_a_cancelled_task_leaves_the_step_running(line: DirectLine) -> None:
    sink = Bytes()
    step_request = request(b"echo here; sleep 60")
    step = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"here\n")
    await stop(step)
    assert await cancel(line, step_request.execution, 5) == CancelReport(
        confirmed=True, detail="its processes are gone, the target says"
    )
    assert "rc=143 why=cancelled" in (runs(line) / f"{step_request.execution}.exit").read_text()


async def test_a_step_that_ignores_term_is_stopped_and_reported_as_cancelled(line: DirectLine) -> None:
    sink = Bytes()
    step_request = request(b"trap '' TERM; echo here; while :; do sleep 0.1; done")
    step = asyncio.create_task(durable.execute(line, step_request, sink, Seen()))
    await sink.holds(b"here\n")
    assert (await cancel(line, step_request.execution, 1)).confirmed
    report = await step
    assert (report.outcome, report.exit_code) == ("cancelled", 137)


async def test_what_cannot_be_stopped_is_not_called_stopped(farm: Farm, line: DirectLine) -> None:
    await install.ensure_runner(line)
    line.server.kill_sessions()

    class Unreachable(DirectLine):
        async def connection(self) -> asyncssh.SSHClientConnection:
            raise LinkError("refused", final=True)

    unreachable = Unreachable(farm)
    assert await cancel(unreachable, "0" * 32, 1) == CancelReport(confirmed=False, detail="refused")
    report = await durable.execute(unreachable, request(b"true"), Bytes(), Seen())
    assert (report.outcome, report.detail) == ("unreachable", "refused")


async def test_a_step_that_waits_for_a_way_to_its_target_says_so(farm: Farm, line: DirectLine) -> None:
    class Shut(DirectLine):
        tries = 0

        async def connection(self) -> asyncssh.SSHClientConnection:
            self.tries += 1
            if self.tries == 1:
                raise LinkError("refused", final=False)
            return await line.connection()

    seen = Seen()
    report = await durable.execute(Shut(farm), request(b"true"), Bytes(), seen)
    assert (report.outcome, seen.lost, seen.restored) == ("ok", ["not sent yet: refused"], 1)


@pytest.mark.parametrize(
    ("script", "changes", "expected"),
    [
        pytest.param(b"true", {}, ("ok", 0), id="success is rc 0"),
        pytest.param(b"sleep 60", {"timeout": 0.5}, ("timed-out", 143), id="the limit is the target's"),
        pytest.param(b"yes", {"output_cap": 100_000}, ("failed", 143), id="a cap is shown"),
        pytest.param(b"true", {"environment": {"A B": "1"}}, ("failed", None), id="no name"),
        pytest.param(b"true", {"environment": {"A": "\0"}}, ("failed", None), id="no NUL"),
    ],
)
async def test_how_a_step_ended_is_told_in_one_word(
    line: DirectLine, script: bytes, changes: Changes, expected: tuple[str, int | None]
) -> None:
    report = await durable.execute(line, request(script, **changes), Digest(), Seen())
    assert (report.outcome, report.exit_code) == expected


async def test_two_hundred_megabytes_arrive_exactly_in_flat_memory(line: DirectLine) -> None:
    await install.ensure_runner(line)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink, began = Digest(), time.monotonic()
    block = bytes(range(256)) * 4096
    (line.server.home / "block").write_bytes(block)
    script = b"n=0; while [ $n -lt 200 ]; do cat block; n=$((n+1)); done"
    report = await durable.execute(line, request(script), sink, Seen())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\n{report.size / 1e6 / (time.monotonic() - began):.0f} MB/s, {grown / 1024:.0f} MiB more memory")
    assert (report.outcome, report.size) == ("ok", 200 * len(block))
    expected = hashlib.sha256()
    for _ in range(200):
        expected.update(block)
    assert sink.sha256.digest() == expected.digest()
    assert grown < 64 * 1024


async def test_a_sink_that_fails_is_no_fault_of_the_target(line: DirectLine) -> None:
    class Full(Bytes):
        def write(self, data: bytes, stream: str = "out") -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await durable.execute(line, request(b"echo here; exit 3"), Full(), Seen())


async def test_a_plain_command_says_how_it_ended_and_keeps_its_streams_apart(line: DirectLine) -> None:
    sink = Bytes()
    command = CommandRequest(b'printf out; printf err >&2; printf %s "$A"; exit 4', {"A": "\n'x'"}, 20)
    report = await plain(line, command, sink)
    assert (report.outcome, report.exit_code) == ("failed", 4)
    assert (bytes(sink.out), bytes(sink.err)) == (b"out\n'x'", b"err")


async def test_a_plain_command_is_ended_at_its_limit_and_at_its_cap(line: DirectLine) -> None:
    began = time.monotonic()
    report = await plain(line, CommandRequest(b"echo $$ >plain-pid; sleep 60", {}, 1), Bytes())
    assert (report.outcome, time.monotonic() - began < 20) == ("timed-out", True)
    pid = int(line.server.read("plain-pid"))
    await until(lambda: not pathlib.Path(f"/proc/{pid}/exe").exists())
    report = await plain(line, CommandRequest(b"echo $$ >plain-pid; exec yes", {}, 60, 10_000), Bytes())
    assert (report.outcome, "more than 10000 bytes" in report.detail) == ("failed", True)
    pid = int(line.server.read("plain-pid"))
    await until(lambda: not pathlib.Path(f"/proc/{pid}/exe").exists())


async def test_a_plain_command_whose_connection_broke_is_unknown(line: DirectLine) -> None:
    sink = Bytes()
    task = asyncio.create_task(plain(line, CommandRequest(b"echo here; sleep 60", {}, 60), sink))
    await sink.holds(b"here\n")
    line.server.kill_sessions()
    assert (await task).outcome == "unknown"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("echo closed for repairs", "closed for repairs", id="another program answers"),
        pytest.param("exit 7", "status 7", id="nothing answers"),
    ],
)
async def test_a_login_that_runs_no_shell_is_said_in_its_own_words(
    tmp_path: pathlib.Path, answer: str, expected: str
) -> None:
    shell = tmp_path / "no-shell"
    shell.write_text(f"#!/bin/sh\n{answer}\n")
    shell.chmod(0o755)
    with Farm(tmp_path / "closed", 1, net=42, shell=str(shell)) as farm:
        line = DirectLine(farm)
        with pytest.raises(install.RunnerError, match=expected):
            await install.ensure_runner(line)
        assert (await durable.execute(line, request(b"true"), Bytes(), Seen())).outcome == "failed"
        await line.close()


async def test_noise_of_a_login_shell_is_a_note_and_never_output(tmp_path: pathlib.Path) -> None:
    shell = tmp_path / "noisy"
    shell.write_text('#!/bin/sh\necho "Welcome CTUI1"\necho "be nice" >&2\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    with Farm(tmp_path / "noise", 1, net=43, shell=str(shell)) as farm:
        line = DirectLine(farm)
        assert "be nice" in (await install.ensure_runner(line)).note
        report = await durable.execute(line, request(b"echo mine"), sink := Bytes(), Seen())
        assert (report.outcome, bytes(sink.out)) == ("ok", b"mine\n")
        await line.close()


async def test_without_a_usable_home_the_runner_lives_in_var_tmp(tmp_path: pathlib.Path) -> None:
    with Farm(tmp_path / "homeless", 1, net=44) as farm:
        (farm.targets[0].home / ".local").write_text("in the way")
        line = DirectLine(farm)
        assert (await install.ensure_runner(line)).folder == f"/var/tmp/canary-tui-{os.getuid()}"
        assert (await durable.execute(line, request(b"true"), Bytes(), Seen())).outcome == "ok"
        await line.close()


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_our_lines_are_found_however_they_are_cut(size: int) -> None:
    stream = b"noise CTUI1 wrong X\nCTUI1 abc ONE a=1\nmore\nCTUI1 ab" + b"CTUI1 abc TWO\nrest"
    splitter, other = Splitter("abc"), b""
    lines: list[bytes] = []
    for at in range(0, len(stream), size):
        data = stream[at : at + size]
        while True:
            before, found = splitter.feed(data)
            other, data = other + before, b""
            if found is None:
                break
            lines.append(found)
    assert (other + splitter.rest(), lines) == (b"noise CTUI1 wrong X\nmore\nCTUI1 abrest", [b"ONE a=1", b"TWO"])


def test_a_line_without_an_end_is_refused_before_it_grows() -> None:
    splitter = Splitter("abc")
    with pytest.raises(LostError):
        for _ in range(1000):
            splitter.feed(b"CTUI1 abc " + b"x" * 100)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("sudo") is None, reason="needs root and sudo")
async def test_under_sudo_all_of_it_belongs_to_the_other_user(line: DirectLine) -> None:
    line.sudo = SudoPrefix("nobody")
    sink = Bytes()
    report = await durable.execute(line, request(b"id -un; echo here; sleep 0.3"), sink, Seen())
    assert (report.outcome, bytes(sink.out)) == ("ok", b"nobody\nhere\n")
    stubborn = request(b"trap '' TERM; while :; do sleep 0.1; done")
    step = asyncio.create_task(durable.execute(line, stubborn, Bytes(), Seen()))
    folder = pathlib.Path((await install.ensure_runner(line)).folder)
    await until(lambda: (folder / "runs" / f"{stubborn.execution}.out").exists())
    assert (await cancel(line, stubborn.execution, 0)).confirmed
    assert (await step).outcome == "cancelled"
