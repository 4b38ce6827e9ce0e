"""A demo is up in a moment, ends with its parent however that ends, and leaves nothing behind."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable

import pytest
from demo_client import alive, arguments, output_of, server_pid, ssh, traces, wait_until

from canary_tui.demo.fleet import TARGETS
from canary_tui.demo.launch import Demo, start_demo, write_demo
from canary_tui.demo.sweep import marked_processes
from canary_tui.errors import CanaryError, UsageError
from canary_tui.store.layout import state_directory

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")

_STEP = "setsid sh -c 'echo up; while :; do sleep 0.1; done'"
_PARENT = """
import sys, time
from canary_tui.demo.launch import start_demo
print(start_demo().folder, flush=True)
time.sleep(600)
"""


def running_step(demo: Demo, target: str = "web-1") -> subprocess.Popen[bytes]:
    """A step of the target that is running, and will not end by itself."""
    client = subprocess.Popen(arguments(demo, target, _STEP), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert output_of(client).readline() == b"up\n"
    return client


def close(client: subprocess.Popen[bytes]) -> None:
    client.kill()
    client.wait()
    output_of(client).close()


def test_it_is_up_within_a_second_of_processor_time() -> None:
    before = os.times()
    with start_demo() as demo:
        assert len(tomllib.loads(demo.fleet_path.read_text())["targets"]) == len(TARGETS) == 8
    spent = os.times()
    assert spent.children_user + spent.children_system - before.children_user - before.children_system < 1.0


@needs_ssh
def test_stopping_ends_every_step_and_removes_the_folder() -> None:
    demo = start_demo()
    client = running_step(demo)
    assert marked_processes(demo.folder)
    demo.stop()
    close(client)
    assert traces(demo.folder) == []
    assert not alive(server_pid(demo))


@needs_ssh
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_parent_that_ends_by_a_signal_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        folder = pathlib.Path(output_of(parent).readline().decode().strip())
        client = subprocess.Popen(
            ["ssh", "-F", folder / "ssh_config", "web-1", _STEP], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        try:
            assert output_of(client).readline() == b"up\n"
            parent.send_signal(number)
            parent.wait(10)
        finally:
            parent.kill()  # the end of the block waits for it
    wait_until(lambda: traces(folder) == [])
    close(client)


@needs_ssh
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_server_process_that_ends_by_a_signal_leaves_nothing(number: signal.Signals) -> None:
    demo = start_demo()
    client = running_step(demo)
    os.kill(server_pid(demo), number)
    demo._process.wait(10)
    demo.stop()
    close(client)
    assert traces(demo.folder) == []


def test_a_signal_in_the_middle_of_the_start_leaves_nothing(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _PARENT]
    for moment in range(6):
        place = tmp_path / str(moment)
        place.mkdir()
        parent = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(place)}
        )
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(0.05 + 0.04 * moment)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while any(place.iterdir()) or _servers_below(place):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _servers_below(place: pathlib.Path) -> list[str]:
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={place}".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


@needs_ssh
def test_a_named_folder_stays_with_its_ports_keys_and_releases(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a demo"
    with start_demo(folder) as demo:
        first = {name: (folder / name).read_bytes() for name in ("demo.toml", "ssh_config", "known_hosts")}
        assert ssh(demo, "web-1", "unpack-shop 1.4.2 && ln -sfn releases/1.4.2 ~/current").returncode == 0
        step = running_step(demo)
    close(step)
    assert marked_processes(folder) == []
    with start_demo(folder) as demo:
        assert {name: (folder / name).read_bytes() for name in first} == first
        assert ssh(demo, "web-1", "cat ~/current/REVISION").stdout == b"1.4.2\n"
    assert folder.exists()


def test_a_fleet_file_that_was_edited_is_not_written_over(tmp_path: pathlib.Path) -> None:
    path = write_demo(tmp_path)
    path.write_text(path.read_text() + "# mine\n")
    with start_demo(tmp_path) as demo:
        assert demo.fleet_path.read_text().endswith("# mine\n")


@needs_ssh
def test_a_folder_that_was_moved_works_where_it_is_now(tmp_path: pathlib.Path) -> None:
    write_demo(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    with start_demo(tmp_path / "there") as demo:
        assert str(tmp_path / "here") not in demo.fleet_path.read_text()
        assert ssh(demo, "web-1", "pwd").stdout.decode().strip() == str(tmp_path / "there/web-1")


@needs_ssh
def test_a_port_that_somebody_else_has_now_is_replaced_everywhere(tmp_path: pathlib.Path) -> None:
    other = tmp_path.with_name(f"{tmp_path.name}-other")
    write_demo(tmp_path)
    with start_demo(tmp_path), start_demo(_copy(tmp_path, other)) as second:
        assert ssh(second, "web-1", "echo $HOME").stdout.decode().strip() == str(second.folder / "web-1")


def _copy(source: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """The same demo elsewhere, as if restored from a backup: its files name the first one's ports."""
    return shutil.copytree(source, to, symlinks=True)


def test_writing_starts_nothing_and_uses_what_is_there(tmp_path: pathlib.Path) -> None:
    path = write_demo(tmp_path / "new")
    assert path == tmp_path / "new" / "demo.toml"
    text = path.read_text()
    assert write_demo(tmp_path / "new").read_text() == text
    assert marked_processes(tmp_path / "new") == []


def test_nobody_else_can_read_the_folder(tmp_path: pathlib.Path) -> None:
    write_demo(tmp_path / "new")
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        if path.parent.name != "bin" and not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        pytest.param(lambda path: path.write_text("x"), "is not a folder", id="a file"),
        pytest.param(lambda path: (path.mkdir(), (path / "thesis").touch()), "is not empty", id="somebody's folder"),
    ],
)
def test_a_place_that_is_not_the_demo_s_is_refused_and_left_alone(
    tmp_path: pathlib.Path, prepare: Callable[[pathlib.Path], object], words: str
) -> None:
    place = tmp_path / "place"
    prepare(place)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=words):
        start_demo(place)
    assert sorted(tmp_path.rglob("*")) == before


def test_servers_that_cannot_start_say_why(tmp_path: pathlib.Path) -> None:
    (tmp_path / "servers.toml").touch()
    (tmp_path / "keys").touch()
    with pytest.raises(CanaryError, match=r"did not start: .*keys"):
        start_demo(tmp_path)


def test_starting_a_demo_loads_no_ssh_library() -> None:
    code = "import sys; from canary_tui.demo.launch import start_demo; start_demo().stop(); print('asyncssh' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_sweep_ends_a_family_that_keeps_forking(tmp_path: pathlib.Path) -> None:
    script = "i=0; while [ $i -lt 300 ]; do (sleep 60 &) ; i=$((i+1)); done; sleep 60"
    from canary_tui.demo.sweep import MARK, end_marked_processes

    with subprocess.Popen(["sh", "-c", script], env=os.environ | {MARK: str(tmp_path)}, start_new_session=True):
        wait_until(lambda: len(marked_processes(tmp_path)) > 5)
        end_marked_processes(tmp_path)
        assert [pid for pid in marked_processes(tmp_path) if alive(pid)] == []


def test_rollouts_of_a_demo_are_kept_in_its_folder_or_where_it_is_said_for_this_demo(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real rollouts have a place of their own, also where the environment names it (minor 22)."""
    monkeypatch.delenv("CANARY_TUI_STATE", raising=False)
    with start_demo() as demo:
        assert state_directory(None, os.environ) == demo.folder / "state"
    assert "CANARY_TUI_STATE" not in os.environ
    assert not demo.folder.exists()
    monkeypatch.setenv("CANARY_TUI_STATE", str(tmp_path / "mine"))
    with start_demo() as demo:
        assert state_directory(None, os.environ) == demo.folder / "state"
    assert os.environ["CANARY_TUI_STATE"] == str(tmp_path / "mine")
    with start_demo(state=tmp_path / "this"):
        assert state_directory(None, os.environ) == tmp_path / "this"


def test_no_engine_outlives_the_servers_of_a_demo() -> None:
    with start_demo():
        engine = subprocess.Popen(["sleep", "600"], start_new_session=True)
    assert engine.wait(10) == -signal.SIGKILL
