"""The demo's targets behave as servers do, seen by the real `ssh`."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pexpect  # type: ignore[import-untyped]  # it has no types of its own
import pytest
from demo_client import alive, arguments, fetch, output_of, server_pid, ssh, wait_until, web_port, zombies_of

from canary_tui.demo.fleet import TARGETS
from canary_tui.demo.launch import Demo, start_demo

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with start_demo() as running:
        yield running


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        pytest.param("echo hi", 0, b"hi\n", b"", id="output"),
        pytest.param("echo no >&2; exit 42", 42, b"", b"no\n", id="stderr and exit code"),
        pytest.param("printf '\\377\\000\\n'", 0, b"\xff\x00\n", b"", id="bytes that are no text"),
        pytest.param("echo $USER; basename $PWD; basename $HOME", 0, b"deploy\nweb-1\nweb-1\n", b"", id="login"),
        pytest.param("exec 1>&- 2>&-; exit 7", 7, b"", b"", id="outputs closed before the end"),
    ],
)
def test_a_command_runs_by_sh_in_the_target_s_home(demo: Demo, command: str, code: int, out: bytes, err: bytes) -> None:
    done = ssh(demo, "web-1", command)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


def test_input_reaches_the_command_whole_and_ends(demo: Demo) -> None:
    data = b"".join(b"%015d\n" % number for number in range(131072))
    for _ in range(15):  # what got lost here once did so one time in ten
        assert ssh(demo, "web-2", "cat > copy", data=data).returncode == 0
        assert (demo.folder / "web-2/copy").read_bytes() == data


def test_ten_megabytes_of_output_arrive_whole(demo: Demo) -> None:
    done = ssh(demo, "web-2", "head -c 10000000 /dev/urandom | tee ten; exit 5")
    assert done.returncode == 5
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256((demo.folder / "web-2/ten").read_bytes()).digest()


def test_a_reader_that_stops_reading_holds_the_command_up_and_not_the_server_s_memory(demo: Demo) -> None:
    status = pathlib.Path(f"/proc/{server_pid(demo)}/status")
    if not status.exists():
        pytest.skip("no /proc to read the peak of the server's memory from")
    command = "head -c 400000000 /dev/zero && touch all-was-taken"
    with subprocess.Popen(
        arguments(demo, "web-3", command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        output_of(client).read(1)
        for _ in range(20):
            assert ssh(demo, "web-4", "echo hi").stdout == b"hi\n"
        client.kill()
    peak_kb = int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    assert peak_kb < 120_000
    assert not (demo.folder / "web-3/all-was-taken").exists()


def test_a_process_that_ends_by_a_signal_is_told_as_one(demo: Demo) -> None:
    done = ssh(demo, "web-1", "kill -TERM $$", "-v")
    assert done.returncode == 255
    assert b"exit-signal" in done.stderr


def test_a_step_in_its_own_session_survives_its_connection(demo: Demo) -> None:
    home = demo.folder / "web-5"
    command = "setsid sh -c 'echo $$ > pid; echo up; while [ ! -e go ]; do sleep 0.05; done; echo done > result'"
    with subprocess.Popen(
        arguments(demo, "web-5", command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        assert output_of(client).readline() == b"up\n"
        client.kill()
    pid = int((home / "pid").read_text())
    assert alive(pid)
    (home / "go").touch()
    wait_until(lambda: (home / "result").exists())
    wait_until(lambda: not alive(pid))


def test_a_daemon_that_keeps_the_output_open_holds_the_channel_as_with_openssh(demo: Demo) -> None:
    started = "sleep 600 & echo $! > daemon; echo started"
    with subprocess.Popen(arguments(demo, "db-1", started), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        assert output_of(client).readline() == b"started\n"
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(0.3)
        ssh(demo, "db-1", "kill $(cat daemon)")
        assert client.wait(10) == 0


def test_a_daemon_with_its_own_outputs_does_not_hold_the_channel(demo: Demo) -> None:
    done = ssh(demo, "db-1", "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $! > daemon")
    assert done.returncode == 0
    ssh(demo, "db-1", "kill $(cat daemon)")


def test_no_zombies_stay_however_a_command_ends(demo: Demo) -> None:
    ssh(demo, "db-2", "true")
    with subprocess.Popen(
        arguments(demo, "db-2", "echo up; sleep 0.2"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        output_of(client).readline()
        client.kill()
    wait_until(lambda: not zombies_of(server_pid(demo)))


def test_all_eight_answer_at_once(demo: Demo) -> None:
    running = [subprocess.Popen(arguments(demo, name, f"echo {name}"), stdout=subprocess.PIPE) for name in TARGETS]
    assert [one.communicate(timeout=60)[0].decode().strip() for one in running] == list(TARGETS)


@pytest.mark.parametrize("login", [pytest.param("deploy", id="another key"), pytest.param("root", id="another name")])
def test_nobody_else_is_let_in(demo: Demo, login: str, tmp_path: pathlib.Path) -> None:
    key = demo.folder / "keys/operator"
    if login == "deploy":
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    options = [f"-oPort={ssh_port(demo, 'web-1')}", f"-oUserKnownHostsFile={demo.folder}/known_hosts"]
    options += ["-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oBatchMode=yes"]
    refused = subprocess.run(
        ["ssh", "-F", "none", "-i", key, *options, f"{login}@127.0.0.1", "id"], capture_output=True, timeout=30
    )
    assert refused.returncode == 255
    assert b"Permission denied (publickey)" in refused.stderr
    assert refused.stdout == b""


def test_the_host_keys_are_those_in_known_hosts(demo: Demo, tmp_path: pathlib.Path) -> None:
    wrong = tmp_path / "known_hosts"
    lines = (demo.folder / "known_hosts").read_text().splitlines()
    keys = [line.split(" ", 1)[1] for line in lines]
    wrong.write_text("".join(f"{line.split()[0]} {keys[index - 1]}\n" for index, line in enumerate(lines)))
    refused = ssh(demo, "web-1", "id", "-o", f"UserKnownHostsFile={wrong}")
    assert refused.returncode == 255
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert len(set(keys)) == len(TARGETS)


def test_the_page_shows_the_release_that_current_points_at(demo: Demo) -> None:
    port = web_port(demo, "stage-1")
    assert fetch(port, "/health") == (200, "ok 1.4.1\n")
    assert "stage-1 runs shop 1.4.1 and is well" in fetch(port, "/")[1]
    ssh(demo, "stage-1", "unpack-shop 2.0.0 && ln -sfn releases/2.0.0 ~/current")
    assert fetch(port, "/health") == (500, "unhealthy: cannot reach the payment service: bad certificate\n")
    assert "stage-1 runs shop 2.0.0 and is not well" in fetch(port, "/")[1]
    ssh(demo, "stage-1", "ln -sfn releases/1.4.1 ~/current")
    assert fetch(port, "/health") == (200, "ok 1.4.1\n")


def test_a_signal_of_the_client_reaches_the_command_s_process_group(demo: Demo) -> None:
    import asyncio

    import asyncssh

    async def signalled() -> str:
        async with asyncssh.connect("web-1", config=str(demo.folder / "ssh_config"), encoding=None) as connection:
            process = await connection.create_process("sh -c 'echo up; sleep 600'; true")
            await process.stdout.readline()
            process.send_signal("TERM")
            await process.wait()
            assert process.exit_signal is not None
            return process.exit_signal[0]

    assert asyncio.run(asyncio.wait_for(signalled(), 30)) == signal.SIGTERM.name.removeprefix("SIG")


def ssh_port(demo: Demo, target: str) -> str:
    resolved = subprocess.run(
        ["ssh", "-F", demo.folder / "ssh_config", "-G", target], capture_output=True, text=True, check=True
    )
    return next(line.split()[1] for line in resolved.stdout.splitlines() if line.startswith("port "))


def test_a_shell_at_a_terminal_says_where_it_is_and_ends_with_its_own_exit_code(demo: Demo) -> None:
    child = pexpect.spawn(
        "ssh", ["-F", str(demo.folder / "ssh_config"), "-t", "web-2"], timeout=20, dimensions=(30, 100)
    )
    prompt = r"web-2:~\$ "
    child.expect(prompt)
    child.sendline("pwd; stty size; tty")
    child.expect_exact(f"{demo.folder}/web-2\r\n30 100\r\n/dev/")
    child.expect(prompt)
    child.setwinsize(40, 120)
    child.sendline("sleep 600")
    child.expect_exact("sleep 600")
    child.send("\x03")
    child.expect(prompt)
    child.sendline("stty size; exit 3")
    child.expect_exact("40 120")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_a_terminal_that_is_hung_up_takes_its_shell_with_it(demo: Demo) -> None:
    child = pexpect.spawn("ssh", ["-F", str(demo.folder / "ssh_config"), "-t", "web-3"], timeout=20)
    child.expect(r"web-3:~\$ ")
    child.sendline("echo $$ > shell; echo written")
    child.expect_exact("\nwritten")
    pid = int((demo.folder / "web-3/shell").read_text())
    child.close(force=True)
    wait_until(lambda: not alive(pid))
    assert not zombies_of(server_pid(demo))
