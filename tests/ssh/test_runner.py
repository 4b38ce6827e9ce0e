"""What the runner does on a target by itself, whatever shell the target has."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pathlib
import re
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary_tui.ssh import execution

RUNNER = pathlib.Path(execution.__file__).parent / "runner.sh"
SHELLS = {"dash": "dash", "bash": "bash", "busybox": "busybox"}
DIGEST = "d" * 64
T = TypeVar("T")


def _shell(name: str, folder: pathlib.Path) -> str:
    """The path of a shell under a name that makes it that shell."""
    found = shutil.which(SHELLS[name])
    if found is None:
        pytest.skip(f"{name} is not installed")
    if name != "busybox":
        return found
    (folder / "ash").symlink_to(found)
    return str(folder / "ash")


class Host:
    """A folder with the runner in it, and a shell that runs it."""

    def __init__(self, folder: pathlib.Path, shell: str, **environment: str) -> None:
        self.folder = folder / "canary-tui"
        self.runs = self.folder / "runs"
        self.folder.mkdir(mode=0o700)
        shutil.copy(RUNNER, self.folder / "runner.sh")
        self.shell = shell
        self.environment = {**os.environ, "CANARY_TUI_SHELL": shell, **environment}
        self.answer("hello")

    async def speak(self, op: str, *words: object) -> Talk:
        nonce = secrets.token_hex(8)
        process = await asyncio.create_subprocess_exec(
            self.shell,
            str(self.folder / "runner.sh"),
            op,
            nonce,
            *map(str, words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
            cwd=self.folder.parent,
            limit=1 << 26,
        )
        return Talk(process, nonce)

    def answer(self, op: str, *words: object, payload: bytes = b"") -> str:
        """The first answer to a question."""
        done = subprocess.run(
            [self.shell, str(self.folder / "runner.sh"), op, "N1", *map(str, words)],
            input=payload,
            capture_output=True,
            env=self.environment,
            start_new_session=True,
            cwd=self.folder.parent,
            timeout=60,
        )
        return next((line.removeprefix("CTUI1 N1 ") for line in done.stderr.decode().splitlines()), "")

    async def start(self, script: str | bytes, run: str = "", **options: object) -> Talk:
        run = run or new_run()
        talk = await self.speak(
            "run", run, options.get("timeout", 0), options.get("cap", 0), options.get("digest", DIGEST)
        )
        talk.run = run
        talk.say(payload(script, str(options.get("environment", ""))))
        return talk

    async def run(self, script: str | bytes, run: str = "", **options: object) -> tuple[bytes, str]:
        talk = await self.start(script, run, **options)
        return await talk.to_the_end()

    async def attach(self, run: str, offset: int = 0) -> tuple[bytes, str]:
        return await (await self.speak("attach", run, offset)).to_the_end()

    def recorded(self, run: str) -> str:
        """The line about a run's command, "" while there is none."""
        path = self.runs / f"{run}.child"
        return path.read_text().strip() if path.exists() else ""

    def identity(self, run: str, what: str) -> int:
        return int((self.runs / f"{run}.{what}").read_text().split()[0])


class Talk:
    """One conversation with a runner."""

    def __init__(self, process: asyncio.subprocess.Process, nonce: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.mark = f"CTUI1 {nonce} "
        self.nonce = nonce
        self.run = ""

    def say(self, data: bytes) -> None:
        self.stdin.write(data)

    async def line(self) -> str:
        async with asyncio.timeout(30):
            return (await self.stderr.readline()).decode().strip().removeprefix(self.mark)

    async def until(self, word: str) -> str:
        while not (line := await self.line()).startswith(word):
            assert line, f"it ended without {word}"
        return line

    async def to_the_end(self) -> tuple[bytes, str]:
        """All data, and the last line."""
        async with asyncio.timeout(60):
            data, errors = await asyncio.gather(self.stdout.read(), self._answer_end())
            await self.process.wait()
        head, mark, data = data.partition(f"{self.mark}DATA\n".encode())
        return (data if mark else head), errors[-1].removeprefix(self.mark) if errors else ""

    async def _answer_end(self) -> list[str]:
        lines = []
        while line := (await self.stderr.readline()).decode().strip():
            if " TICK" in line:
                continue
            lines.append(line)
            if " END " in line:
                self.say(f"ack {self.nonce}\n".encode())
        return lines

    async def cut(self) -> None:
        """What a lost connection is to the runner: all three of its streams are gone."""
        process: asyncio.SubprocessTransport = self.process._transport  # type: ignore[attr-defined]  # no public way
        for transport in (process.get_pipe_transport(number) for number in (0, 1, 2)):
            assert transport is not None
            transport.close()
        async with asyncio.timeout(20):
            await self.process.wait()
        process.close()


def new_run() -> str:
    return secrets.token_hex(16)


def payload(script: str | bytes, environment: str = "") -> bytes:
    script = script.encode() if isinstance(script, str) else script
    return b"%d %d\n" % (environment.count("\n"), len(script)) + environment.encode() + script


def lives(pid: int) -> bool:
    """A zombie does not: it waits for whoever is process 1 here."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


async def until(condition: Callable[[], T], limit: float = 20.0) -> T:
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)
    return value


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    return _shell(request.param, tmp_path)


@pytest.fixture
def host(shell: str, tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path, shell)


async def test_every_byte_and_the_exit_code_arrive(host: Host, tmp_path: pathlib.Path) -> None:
    blob = os.urandom(1_000_000) + b"a\0b\xff"
    (tmp_path / "blob").write_bytes(blob)
    run = new_run()
    data, end = await host.run(f"cat {tmp_path}/blob; exit 7\n", run)
    assert data == blob
    assert end == f"END size={len(blob)} sum={hashlib.sha256(blob).hexdigest()} done rc=7 why=exit"
    assert (await host.attach(run, 700_001))[0] == blob[700_001:]
    assert (await host.attach(run, len(blob)))[0] == b""


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill -INT $$", 130), ("no-such-command-x", 127), ("", 0)],
)
async def test_the_exit_code_is_the_commands(host: Host, script: str, code: int) -> None:
    assert f"done rc={code} why=exit" in (await host.run(f"{script}\n"))[1]


async def test_both_streams_come_in_the_order_they_were_written(host: Host) -> None:
    script = "n=0; while [ $n -lt 50 ]; do echo $n; echo e$n >&2; n=$((n+1)); done\n"
    data, _ = await host.run(script)
    assert data == b"".join(b"%d\ne%d\n" % (n, n) for n in range(50))


async def test_a_step_with_its_own_interpreter_runs_in_it(host: Host) -> None:
    assert (await host.run("#!/usr/bin/env python3\nprint(2 ** 70)\n"))[0] == b"1180591620717411303424\n"


async def test_a_step_gets_the_umask_and_folder_of_its_login(host: Host) -> None:
    data, _ = await host.run("umask; pwd; read x || echo no input\n")
    assert data.decode().split("\n")[:3] == [f"{_umask():04o}", str(host.folder.parent), "no input"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_a_lost_connection_neither_stops_nor_repeats_a_step(host: Host, tmp_path: pathlib.Path) -> None:
    script = f"echo x >>{tmp_path}/once; n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo line $n; sleep 0.05; done\n"
    talk = await host.start(script)
    await talk.until("BEGUN")
    await talk.stdout.readuntil(b"line 3\n")
    await talk.cut()
    data, end = await host.attach(talk.run)
    assert data == b"".join(b"line %d\n" % n for n in range(1, 21))
    assert "done rc=0 why=exit" in end
    assert (tmp_path / "once").read_text() == "x\n"


async def test_racing_starts_of_one_id_are_one_start(host: Host, tmp_path: pathlib.Path) -> None:
    script = f"echo x >>{tmp_path}/once; sleep 0.3; echo done\n"
    run = new_run()
    answers = await asyncio.gather(*(host.run(script, run) for _ in range(6)))
    answers.append(await host.run(script, run))
    assert {data for data, _ in answers} == {b"done\n"}
    assert all("done rc=0" in end for _, end in answers)
    assert (tmp_path / "once").read_text() == "x\n"


async def test_an_id_is_bound_to_its_step(host: Host, tmp_path: pathlib.Path) -> None:
    run = new_run()
    await host.run(f"echo first >>{tmp_path}/once\n", run)
    data, answer = await host.run(f"echo other >>{tmp_path}/once\n", run, digest="e" * 64)
    assert (data, answer) == (b"", "OTHER")
    assert (tmp_path / "once").read_text() == "first\n"


@pytest.mark.parametrize("cut", ["head", "environment", "script", "nothing"])
async def test_a_payload_that_was_cut_off_never_runs(host: Host, tmp_path: pathlib.Path, cut: str) -> None:
    whole = payload(f"echo x >>{tmp_path}/once\n" + "# filler\n" * 10, "export A='1'\nexport B='2'\n")
    at = {"nothing": 0, "head": 2, "environment": whole.index(b"B="), "script": whole.index(b"filler")}[cut]
    run = new_run()
    talk = await host.speak("run", run, 0, 0, DIGEST)
    talk.say(whole[:at])
    talk.stdin.close()
    _, answer = await talk.to_the_end()
    assert answer == "ERR the step did not arrive whole"
    assert host.answer("attach", run, 0).startswith("STATE absent")
    data, end = await host.run(
        f"echo x >>{tmp_path}/once; echo $A$B\n", run, environment="export A='1'\nexport B='2'\n"
    )
    assert (data, "done rc=0" in end, (tmp_path / "once").read_text()) == (b"12\n", True, "x\n")


async def test_a_large_script_arrives_whole(host: Host) -> None:
    script = "echo begin\n" + "# 0123456789012345678901234567890123456789\n" * 8000 + "echo end\n"
    assert (await host.run(script))[0] == b"begin\nend\n"


async def test_a_killed_supervisor_is_seen_and_its_child_is_followed(host: Host, tmp_path: pathlib.Path) -> None:
    talk = await host.start(f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo two\n")
    await talk.until("BEGUN")
    await talk.stdout.readuntil(b"one\n")
    os.kill(host.identity(talk.run, "go"), signal.SIGKILL)
    end = await talk.until("END")
    child = host.identity(talk.run, "child")
    assert end.endswith(f"lost why=supervisor child=alive pid={child}")
    (tmp_path / "go").touch()
    await until(lambda: "child=gone" in host.answer("attach", talk.run, 0))
    data, end = await host.attach(talk.run)
    assert (data, "lost why=supervisor child=gone" in end) == (b"one\ntwo\n", True)
    await talk.cut()


async def test_limits_hold_without_a_supervisor(host: Host) -> None:
    talk = await host.start("sleep 60\n", timeout=150)
    await talk.until("BEGUN")
    await until(lambda: host.recorded(talk.run))
    os.kill(host.identity(talk.run, "go"), signal.SIGKILL)
    await until(lambda: "child=gone" in host.answer("attach", talk.run, 0))
    await talk.cut()


async def test_a_polite_step_is_stopped_and_seen_to_be_gone(host: Host) -> None:
    talk = await host.start("echo here; sleep 60\n")
    await talk.stdout.readuntil(b"here\n")
    assert host.answer("cancel", talk.run, 5) == "STATE done rc=143 why=cancelled stopped=yes"
    await talk.cut()


async def test_a_stubborn_step_is_killed_with_all_its_children(host: Host, tmp_path: pathlib.Path) -> None:
    script = f"trap '' TERM; sleep 70 & echo $! >{tmp_path}/pid; echo here; while :; do sleep 0.1; done\n"
    talk = await host.start(script)
    await talk.stdout.readuntil(b"here\n")
    assert host.answer("cancel", talk.run, 1) == "STATE done rc=137 why=cancelled stopped=yes"
    assert not lives(int((tmp_path / "pid").read_text()))
    await talk.cut()


async def test_children_that_ignore_the_end_of_their_leader_are_killed_too(host: Host) -> None:
    script = "(trap '' TERM; echo here; while :; do sleep 0.1; done) & wait\n"
    talk = await host.start(script)
    await talk.stdout.readuntil(b"here\n")
    assert host.answer("cancel", talk.run, 1).endswith("why=cancelled stopped=yes")
    group = host.identity(talk.run, "child")
    members = [pid for pid, line in _of_all_processes("stat") if int(line.rpartition(b") ")[2].split()[2]) == group]
    assert not any(lives(pid) for pid in members)
    await talk.cut()


async def test_what_was_called_off_before_it_began_never_begins(host: Host, tmp_path: pathlib.Path) -> None:
    run = new_run()
    assert host.answer("cancel", run, 1).startswith("STATE void boot=")
    _, answer = await host.run(f"echo x >>{tmp_path}/once\n", run)
    assert answer.startswith("STATE void boot=")
    assert host.answer("void", run).startswith("STATE void")
    assert not (tmp_path / "once").exists()


async def test_a_pid_that_was_used_again_is_not_signalled(host: Host) -> None:
    talk = await host.start("sleep 60\n")
    await talk.until("BEGUN")
    child = host.runs / f"{talk.run}.child"
    pid, start, boot = (await until(lambda: host.recorded(talk.run))).split()
    child.write_text(f"{pid} {int(start) + 1} {boot}\n")
    await asyncio.to_thread(host.answer, "cancel", talk.run, 0)
    os.kill(int(pid), 0)
    os.killpg(int(pid), signal.SIGKILL)
    await talk.until("END")
    await talk.cut()


async def test_a_reboot_during_a_step_is_seen(host: Host) -> None:
    talk = await host.start("sleep 60\n")
    await talk.until("BEGUN")
    await until(lambda: host.recorded(talk.run))
    go = host.runs / f"{talk.run}.go"
    pid, start, _, digest = go.read_text().splitlines()[0].split()
    go.write_text(f"{pid} {start} another-boot {digest}\n")
    assert "lost why=reboot" in host.answer("attach", talk.run, 0)
    os.killpg(host.identity(talk.run, "child"), signal.SIGKILL)
    await talk.cut()


async def test_a_time_limit_holds_without_a_connection(host: Host) -> None:
    talk = await host.start("echo here; sleep 60\n", timeout=60)
    await talk.stdout.readuntil(b"here\n")
    await talk.cut()
    await until(lambda: "done" in host.answer("attach", talk.run, 0))
    assert "done rc=143 why=timeout" in host.answer("attach", talk.run, 0)


async def test_a_cap_on_output_stops_the_step(host: Host) -> None:
    _, end = await host.run(
        "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; sleep 0.001; done\n", cap=20_000
    )
    assert "done rc=143 why=output-cap" in end


async def test_a_daemon_does_not_hold_the_step(host: Host, tmp_path: pathlib.Path) -> None:
    data, end = await host.run(f"sleep 60 & echo $! >{tmp_path}/pid; echo started\n")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (data, "done rc=0" in end) == (b"started\n", True)


async def test_what_a_daemon_writes_later_does_not_spoil_the_proof(host: Host, tmp_path: pathlib.Path) -> None:
    script = f"(while :; do echo chatter; done) & echo $! >{tmp_path}/pid; exit 0\n"
    data, end = await host.run(script)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert f"size={len(data)} sum={hashlib.sha256(data).hexdigest()} done rc=0" in end or not data


async def test_a_step_may_be_interrupted(host: Host) -> None:
    data, end = await host.run("trap 'echo interrupted; exit 5' INT; kill -INT $$; sleep 5; echo deaf\n")
    assert (data, "rc=5" in end) == (b"interrupted\n", True)


async def test_a_value_is_neither_on_disk_nor_on_a_command_line(host: Host) -> None:
    secret = f"s3cr3t-{secrets.token_hex(8)}"
    talk = await host.start("echo ${#TOKEN}; sleep 60\n", environment=f"export TOKEN='{secret}'\n")
    await talk.stdout.readuntil(f"{len(secret)}\n".encode())
    lines = [line for _, line in _of_all_processes("cmdline")]
    on_disk = [path for path in host.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert (on_disk, [line for line in lines if secret.encode() in line]) == ([], [])
    host.answer("cancel", talk.run, 5)
    await talk.cut()


def _of_all_processes(name: str) -> Iterator[tuple[int, bytes]]:
    for path in pathlib.Path("/proc").glob(f"[0-9]*/{name}"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes()


async def test_files_are_private_and_links_are_not_followed(host: Host, tmp_path: pathlib.Path) -> None:
    await host.run("echo x\n")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in host.runs.iterdir()}
    assert (modes, stat.S_IMODE(host.folder.stat().st_mode), stat.S_IMODE(host.runs.stat().st_mode)) == (
        {0o600},
        0o700,
        0o700,
    )
    shutil.rmtree(host.runs)
    (tmp_path / "elsewhere").mkdir()
    host.runs.symlink_to(tmp_path / "elsewhere")
    assert "not a folder of ours" in (await host.run("echo x\n"))[1]
    assert host.answer("hello").startswith("ERR")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_id_is_no_path(host: Host) -> None:
    assert host.answer("attach", "../../etc", 0) == "ERR not an id"
    assert host.answer("attach", "", 0) == "ERR not an id"


async def test_only_what_ended_and_is_old_is_tidied_away_and_not_forgotten(host: Host) -> None:
    fresh, acked, ended, waiting = (new_run() for _ in range(4))
    for run in (fresh, acked, ended, waiting):
        await host.run("echo x\n", run)
    (host.runs / f"{ended}.acked").unlink()
    (host.runs / f"{waiting}.acked").unlink()
    for run, days in ((acked, 2), (ended, 9), (waiting, 3)):
        old = time.time() - days * 86400
        os.utime(host.runs / f"{run}.exit", (old, old))
    host.answer("hello")
    states = {run: host.answer("attach", run, 0).split()[1] for run in (fresh, acked, ended, waiting)}
    assert states == {fresh: "done", acked: "forgotten", ended: "forgotten", waiting: "done"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk_keeps_the_exit_code_and_starts_nothing(shell: str, tmp_path: pathlib.Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", small], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        host = Host(small, shell)
        script = f"dd if=/dev/zero of={small}/fill bs=4k 2>/dev/null; echo out; exit 3\n"
        assert "done rc=3 why=exit" in (await host.run(script))[1]
        run = new_run()
        assert (await host.run("echo x\n", run))[1].startswith("ERR")
        (small / "fill").unlink()
        assert host.answer("attach", run, 0).startswith("STATE absent")
    finally:
        subprocess.run(["umount", "-l", small], check=True)


async def test_a_plain_command_dies_with_its_connection(host: Host, tmp_path: pathlib.Path) -> None:
    talk = await host.speak("plain", 60)
    talk.say(b"0 1\necho $$ >pid; echo here; sleep 60\n")
    await talk.stdout.readuntil(b"here\n")
    pid = int((tmp_path / "pid").read_text())
    await talk.cut()
    await until(lambda: not lives(pid))


async def test_a_plain_command_is_held_to_its_limit_with_its_children(host: Host, tmp_path: pathlib.Path) -> None:
    talk = await host.speak("plain", 1)
    talk.say(b"1 1\nexport A='5'\nsleep 60 & echo $! >pid; echo $A; echo e >&2; wait\n")
    lines = [await talk.line() for _ in range(3)]
    assert lines == ["DATA", "e", "END rc=143 why=timeout"]
    assert b"5\n" in await talk.stdout.read()
    assert not lives(int((tmp_path / "pid").read_text()))
    await talk.cut()


async def test_plain_commands_leave_no_process_behind(host: Host) -> None:
    limit = 100_000 + os.getpid()  # a number that no other process sleeps for
    for _ in range(40):
        talk = await host.speak("plain", limit)
        talk.say(b"0 0\n")
        while not (await talk.line()).startswith("END"):
            pass
        await talk.stdout.read()
        await talk.cut()
    await until(lambda: not sleeping(limit))


def sleeping(seconds: int) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            found += [words] if b"sleep" in words[:2] and str(seconds).encode() in words else []
    return found


@given(
    values=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
        | st.text("'\"\\\n$`!*?[]{}()<>|&;#~ \t\r\x01\x7f\x81éâ", max_size=30),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_reaches_the_step_as_it_is(host: Host, values: list[str]) -> None:
    environment = "".join(f"export V{i}={shlex.quote(value)}\n" for i, value in enumerate(values))
    script = "".join(f'printf "%s." "$V{i}"\n' for i in range(len(values)))
    data, _ = asyncio.run(host.run(script, environment=environment))
    assert data == b"".join(value.encode() + b"." for value in values)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the forks; it is not installed")
async def test_a_step_that_does_nothing_forks_little(host: Host, tmp_path: pathlib.Path) -> None:
    shell, trace = host.shell, tmp_path / "trace"
    process = await asyncio.create_subprocess_exec(
        "strace", "-f", "-o", trace, "-e", "trace=fork,vfork,clone,clone3,execve",
        shell, str(host.folder / "runner.sh"), "run", "N1", new_run(), "6000", "1000", DIGEST,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=host.environment,
    )  # fmt: skip
    talk = Talk(process, "N1")
    talk.say(payload("true\n"))
    await talk.to_the_end()
    calls = re.findall(r"\b(clone3?|v?fork|execve)\(.*= \d", trace.read_text())
    forks = sum(call != "execve" for call in calls)
    print(f"\n{shell}: {forks} forks, {len(calls) - forks} programs")
    assert forks <= 16  # two of them are naps, whose number depends on how busy the machine is
