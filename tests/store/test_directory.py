"""Where rollouts are kept, who may write there, and how an operator names one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from canary_tui.errors import ExitCode, UsageError
from canary_tui.store.files import write_atomically
from canary_tui.store.layout import find_rollout, latest, new_rollout, rollouts, state_directory
from canary_tui.store.lock import Locked, acquire, fleet_lock

NOW = 1795428900.0  # 2026-11-23T10:15:00Z


def test_the_option_goes_before_the_variable_and_that_before_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    ours, xdg = {"CANARY_TUI_STATE": str(tmp_path / "b")}, {"XDG_STATE_HOME": str(tmp_path / "c")}
    assert state_directory(str(tmp_path / "a"), ours | xdg) == tmp_path / "a"
    assert state_directory(None, ours | xdg) == tmp_path / "b"
    assert state_directory(None, xdg) == tmp_path / "c/canary-tui"
    assert state_directory(None, {"XDG_STATE_HOME": "relative"}) == tmp_path / "home/.local/state/canary-tui"
    for path in (tmp_path / "a", tmp_path / "a/rollouts", tmp_path / "a/fleets"):
        assert path.stat().st_mode & 0o777 == 0o700


def _link(path: Path) -> None:
    path.with_name("real").mkdir(mode=0o700)
    path.symlink_to(path.with_name("real"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(_link, "symbolic link", id="a link"),
        pytest.param(lambda path: path.write_text(""), "cannot be the state directory", id="a file"),
        pytest.param(lambda path: (path.mkdir(), path.chmod(0o770)), "chmod go-w", id="writable by the group"),
        pytest.param(lambda path: (path.mkdir(), path.chmod(0o702)), "chmod go-w", id="writable by others"),
    ],
)
def test_a_state_directory_that_others_could_change_is_refused(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "state")
    with pytest.raises(UsageError, match=words):
        state_directory(str(tmp_path / "state"), {})


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
def test_a_state_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 12345, 12345)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        state_directory(str(tmp_path / "state"), {})


def test_a_rollout_is_named_after_time_and_fleet(tmp_path: Path) -> None:
    state = state_directory(str(tmp_path / "state"), {})
    one = new_rollout(state, "shop", NOW)
    assert one.id[:-8] == "2026-11-23T101500Z-shop-"
    assert one.logs.is_dir()
    assert one.path.stat().st_mode & 0o777 == 0o700
    many = {new_rollout(state, "shop", NOW).id for _ in range(50)}
    assert len(many) == 50
    in_order = [new_rollout(state, "shop", NOW + tenth / 10).id for tenth in range(10)]
    assert in_order == sorted(in_order)
    odd = new_rollout(state, "../odd name", NOW)
    assert odd.path.parent == state / "rollouts"
    assert [one.id for one in rollouts(state, "../odd name")] == [odd.id]


def test_a_rollout_is_found_by_any_part_that_only_it_begins_or_ends_with(tmp_path: Path) -> None:
    state = state_directory(str(tmp_path / "state"), {})
    with pytest.raises(UsageError, match="there are none yet"):
        find_rollout(state, "shop")
    assert latest(state) is None
    names = ["2026-11-22T080000Z-shop-7f3a", "2026-11-23T101500Z-shop-12ab", "2026-11-23T111500Z-blog-99ff"]
    for name in names:
        (state / "rollouts" / name).mkdir()
        (state / "rollouts" / name / "journal.jsonl").touch()
    for text, name in [(names[0], names[0]), ("7f3a", names[0]), ("2026-11-22", names[0]), ("shop-12ab", names[1])]:
        assert find_rollout(state, text).id == name
    assert find_rollout(state, str(state / "rollouts" / names[2])).id == names[2]
    assert find_rollout(state, str(state / "rollouts" / names[2] / "journal.jsonl")).id == names[2]
    with pytest.raises(UsageError, match="fits 2 rollouts"):
        find_rollout(state, "2026-11-23")
    with pytest.raises(UsageError, match="did you mean 2026-11-22T080000Z-shop-7f3a"):
        find_rollout(state, "2026-11-22T080000Z-shop-7f3b")
    for text in ("", "./nothing", ".."):
        with pytest.raises(UsageError):
            find_rollout(state, text)
    assert latest(state) == find_rollout(state, "99ff")
    assert latest(state, "shop") == find_rollout(state, "12ab")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.toml"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "two"
    assert [one.name for one in tmp_path.iterdir()] == ["summary.toml"]


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    state = state_directory(str(tmp_path / "state"), {})
    path = fleet_lock(state, "shop")
    lock = acquire(path, "ada@laptop")
    with pytest.raises(Locked, match=rf"shop: .* ada@laptop \(process {os.getpid()}\) since 20") as refused:
        acquire(path, "bob@desk")
    assert refused.value.exit_code is ExitCode.LOCKED
    lock.release()
    with acquire(path, "bob@desk"), pytest.raises(Locked, match="bob@desk"):
        acquire(path, "ada@laptop")
    acquire(path, "ada@laptop").release()


HOLDER = """
import sys
from pathlib import Path
from canary_tui.store.lock import acquire
lock = acquire(Path(sys.argv[1]), "ada@laptop")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = fleet_lock(state_directory(str(tmp_path / "state"), {}), "shop")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Locked, match=f"process {holder.pid}"):
        acquire(path, "bob@desk")
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    acquire(path, "bob@desk").release()


def test_of_many_who_try_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    path = fleet_lock(state_directory(str(tmp_path / "state"), {}), "shop")
    got, start = [], threading.Barrier(20)

    def attempt() -> None:
        start.wait()
        try:
            got.append(acquire(path, "one of many"))
        except Locked:
            pass

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0].release()
