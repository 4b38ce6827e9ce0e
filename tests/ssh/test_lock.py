"""The lock of a target by itself, whatever shell the target has: one rollout may start things there, and only that one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_runner import DIGEST, Host, Talk, new_run, payload, until

SHELLS = ("dash", "bash", "busybox")
ROUNDS = int(os.environ.get("CANARY_TUI_RACES", "25"))
WHO = "ann@desk"


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "busybox":
        (tmp_path / "ash").symlink_to(found)
        found = str(tmp_path / "ash")
    return Host(tmp_path, found)


def fields(answer: str) -> dict[str, str]:
    return {key: value for key, equals, value in (word.partition("=") for word in answer.split()) if equals}


def claim(host: Host, rollout: str, taken_from: str = "") -> tuple[str, str, str]:
    """Ask for the lock: what became of that, who holds it, and who has something running."""
    said = fields(host.answer("hello", rollout, WHO, 1000, *([taken_from] if taken_from else [])))
    return said["claim"], said["lock"], said["busy"]


def holder(host: Host) -> str:
    return fields(host.answer("hello"))["lock"]


async def said_to(host: Host, *words: object) -> str:
    """An answer, for several that ask at once: each with a nonce of its own."""
    op, *rest = map(str, words)
    command = [host.shell, str(host.folder / "runner.sh"), op, secrets.token_hex(12), *rest]
    done = await asyncio.to_thread(
        subprocess.run, command, env=host.environment, capture_output=True, timeout=60, check=False
    )
    return done.stderr.decode()


async def asked(host: Host, *words: object) -> str:
    """What became of a claim."""
    return fields(await said_to(host, "hello", *words))["claim"]


async def start(host: Host, rollout: str, script: str) -> Talk:
    """Start a step of a rollout."""
    talk = await host.speak("run", new_run(), 0, 0, DIGEST, rollout)
    talk.say(payload(script))
    return talk


async def run(host: Host, rollout: str, script: str) -> tuple[bytes, str]:
    return await (await start(host, rollout, script)).to_the_end()


def test_a_lock_is_for_one_rollout_until_that_lets_go_of_it(host: Host) -> None:
    assert holder(host) == "none"
    assert claim(host, "A") == ("ours", "A", "none")
    assert claim(host, "B") == ("held", "A", "none")
    assert claim(host, "A") == ("ours", "A", "none")
    assert fields(host.answer("hello")).items() >= {"lock": "A", "by": WHO, "at": "1000"}.items()
    assert host.answer("unlock", "B") == "UNLOCKED"
    assert holder(host) == "A"
    assert host.answer("unlock", "A") == "UNLOCKED"
    assert holder(host) == "none"
    assert claim(host, "B") == ("ours", "B", "none")


def test_a_lock_is_taken_over_from_exactly_the_rollout_that_was_named(host: Host) -> None:
    claim(host, "A")
    assert claim(host, "B", "C") == ("held", "A", "none")
    assert claim(host, "B", "A") == ("ours", "B", "none")
    assert claim(host, "C", "A") == ("held", "B", "none")
    assert host.answer("unlock", "A") == "UNLOCKED"
    assert holder(host) == "B"


def test_a_lock_that_a_loss_of_power_emptied_is_nobodys(host: Host) -> None:
    (host.folder / "lock").touch()
    assert claim(host, "A") == ("ours", "A", "none")


@pytest.mark.parametrize("left", [b"\0" * 80, b"\n\n", b" "])
def test_a_lock_that_a_loss_of_power_blanked_is_nobodys(host: Host, left: bytes) -> None:
    (host.folder / "lock").write_bytes(left)
    assert claim(host, "A") == ("ours", "A", "none")


STRANGE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "much": lambda path: path.write_bytes(b"x" * 100_000 + b"\n"),
    "what acts on a terminal": lambda path: path.write_bytes(b"\x1b]0;owned\x07 \x1b[2Jann@desk\x0bclaim=ours 1000\n"),
    "what a shell acts on": lambda path: path.write_bytes(b"$(touch${IFS}owned);`id` ;rm${IFS}* -1\n"),
    "our own word for nobody": lambda path: path.write_bytes(b"none none 0\n"),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
async def test_a_lock_that_no_rollout_has_written_is_told_at_once_and_left_alone(
    host: Host, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    claim(host, "A")
    (host.folder / "lock").unlink()
    make(host.folder / "lock")
    said = host.answer("hello", "A", WHO, 1000)
    assert len(said) < 1000
    assert said.isprintable()
    assert fields(said).items() >= {"claim": "strange", "lock": "?"}.items()
    assert host.answer("unlock", "A") == "UNLOCKED"
    assert "why=fenced lock=?" in (await run(host, "A", f"echo A >>{tmp_path}/ran\n"))[1]
    assert os.path.lexists(host.folder / "lock")
    assert not (tmp_path / "ran").exists()


def test_nothing_but_the_lock_and_who_had_it_last_is_left_in_the_folder(host: Host) -> None:
    claim(host, "A")
    host.answer("unlock", "A")
    before = sorted(path.name for path in host.folder.iterdir())
    assert "last" in before
    claim(host, "A")
    claim(host, "B")
    claim(host, "B", "A")
    assert sorted(path.name for path in host.folder.iterdir()) == sorted([*before, "lock"])
    assert (host.folder / "lock").stat().st_mode & 0o777 == 0o600
    host.answer("unlock", "B")
    assert sorted(path.name for path in host.folder.iterdir()) == before


async def test_a_step_of_a_rollout_that_lost_the_lock_is_not_run(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    assert "done rc=0 why=exit" in (await run(host, "A", f"echo A >>{tmp_path}/ran\n"))[1]
    claim(host, "B", "A")
    assert (await run(host, "A", f"echo A >>{tmp_path}/ran\n"))[1].endswith(f"done rc=126 why=fenced lock=B by={WHO}")
    host.answer("unlock", "B")
    assert (await run(host, "A", f"echo A >>{tmp_path}/ran\n"))[1].endswith("why=fenced lock=none by=none")
    assert (tmp_path / "ran").read_text() == "A\n"


async def test_a_step_that_was_refused_stays_refused(host: Host, tmp_path: Path) -> None:
    claim(host, "B")
    run_id = new_run()
    for _ in range(2):
        talk = await host.speak("run", run_id, 0, 0, DIGEST, "A")
        talk.say(payload(f"echo A >>{tmp_path}/ran\n"))
        assert "why=fenced lock=B" in (await talk.to_the_end())[1]
        host.answer("unlock", "B")
        claim(host, "A")
    assert "why=fenced lock=B" in (await host.attach(run_id))[1]
    assert not (tmp_path / "ran").exists()


async def test_a_lock_is_not_had_while_a_step_of_another_rollout_runs(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    talk = await start(host, "A", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done\n")
    await talk.until("BEGUN")
    assert claim(host, "B", "A") == ("busy", "A", "A")
    assert claim(host, "B") == ("held", "A", "none")
    (host.folder / "lock").unlink()
    assert claim(host, "B") == ("busy", "B", "A")
    assert claim(host, "A", "B") == ("ours", "A", "none")
    (tmp_path / "go").touch()
    await talk.to_the_end()
    assert claim(host, "B", "A") == ("ours", "B", "none")


async def test_a_lock_is_not_had_while_a_command_lives_whose_supervisor_was_killed(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    talk = await start(host, "A", f"echo $$; until [ -e {tmp_path}/go ]; do sleep 0.05; done\n")
    await talk.stdout.readuntil(b"DATA\n")
    command = int(await talk.stdout.readuntil(b"\n"))
    run_id = next(host.runs.glob("*.go")).stem
    os.kill(host.identity(run_id, "go"), signal.SIGKILL)
    await talk.until("END")
    assert claim(host, "B", "A") == ("busy", "A", "A")
    assert host.answer("unlock", "A") == "KEPT why=running"
    (tmp_path / "go").touch()
    await until(lambda: claim(host, "B", "A")[0] == "ours")
    with contextlib.suppress(ProcessLookupError):
        os.kill(command, signal.SIGKILL)
    await talk.cut()


async def test_a_lock_is_kept_while_something_of_its_rollout_runs(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    talk = await start(host, "A", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done\n")
    await talk.until("BEGUN")
    assert host.answer("unlock", "A") == "KEPT why=running"
    assert holder(host) == "A"
    (tmp_path / "go").touch()
    await talk.to_the_end()
    assert host.answer("unlock", "A") == "UNLOCKED"


async def test_a_lock_is_kept_while_anything_is_left_of_a_step_that_was_stopped(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    talk = await start(host, "A", f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/left\n")
    await talk.to_the_end()
    left = int((tmp_path / "left").read_text())
    run_id = next(host.runs.glob("*.exit")).stem
    try:
        assert host.answer("unlock", "A") == "UNLOCKED", "what a step leaves running of its own will holds nobody up"
        claim(host, "A")
        (host.runs / f"{run_id}.cancelled").touch()
        assert host.answer("unlock", "A") == "KEPT why=running"
        assert claim(host, "B", "A") == ("busy", "A", "A")
    finally:
        os.kill(left, signal.SIGKILL)
    assert claim(host, "B", "A") == ("ours", "B", "none")


async def test_a_plain_command_of_a_rollout_that_lost_the_lock_is_not_run(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    for rollout, word in (("A", "END rc=0 why=exit"), ("B", f"FENCED lock=A by={WHO}")):
        talk = await host.speak("plain", 20, rollout)
        talk.say(b"0 1\n" + f"echo {rollout} >>{tmp_path}/ran\n".encode())
        assert await talk.until(word.split()[0]) == word
        await talk.cut()
    assert (tmp_path / "ran").read_text() == "A\n"
    assert not list(host.runs.glob("*.now"))


async def test_a_lock_is_not_had_while_a_plain_command_of_another_rollout_runs(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    talk = await host.speak("plain", 20, "A")
    talk.say(b"0 1\n" + f"echo here; until [ -e {tmp_path}/go ]; do sleep 0.05; done\n".encode())
    await talk.stdout.readuntil(b"here\n")
    assert host.answer("unlock", "A") == "KEPT why=running"
    assert claim(host, "B", "A") == ("busy", "A", "A")
    (tmp_path / "go").touch()
    await talk.until("END")
    assert claim(host, "B", "A") == ("ours", "B", "none")
    await talk.cut()


async def sending(host: Host, tmp_path: Path, data: bytes, rollout: str) -> Talk:
    """An upload that waits for its bytes."""
    talk = await host.speak("put", "0" * 16, len(data), hashlib.sha256(data).hexdigest(), "0644", rollout)
    talk.say(f"{tmp_path}/sent\n".encode())
    return talk


async def test_a_file_of_a_rollout_that_lost_the_lock_is_not_sent(host: Host, tmp_path: Path) -> None:
    claim(host, "A")
    (tmp_path / "sent").write_bytes(b"new")
    (tmp_path / "sent").chmod(0o600)
    talk = await sending(host, tmp_path, b"new", "B")
    assert await talk.line() == f"FENCED lock=A by={WHO}"
    await talk.cut()
    assert (tmp_path / "sent").stat().st_mode & 0o777 == 0o600, "not even its mode is changed"


async def test_a_file_whose_rollout_loses_the_lock_while_it_is_sent_is_not_put_in_its_place(
    host: Host, tmp_path: Path
) -> None:
    claim(host, "A")
    talk = await sending(host, tmp_path, b"new", "A")
    assert await talk.line() == "SEND at=0 sum=none"
    (host.folder / "lock").unlink()
    assert claim(host, "B") == ("busy", "B", "A")
    talk.say(b"0\nnew")
    talk.stdin.close()
    assert await talk.line() == f"FENCED lock=B by={WHO}"
    await talk.cut()
    assert not [path for path in tmp_path.iterdir() if "sent" in path.name or ".canary-tui" in path.name]
    assert claim(host, "B") == ("ours", "B", "none")


@pytest.mark.found("fault 1")
async def test_an_upload_that_was_discarded_leaves_nothing_however_late_it_reads(host: Host, tmp_path: Path) -> None:
    """What was on its way when it was given up goes nowhere."""
    claim(host, "A")
    talk = await sending(host, tmp_path, b"the whole file", "A")
    assert await talk.line() == "SEND at=0 sum=none"
    assert host.answer("discard", "0" * 16, "A") == "GONE left=removed"
    talk.say(b"0\nhalf of it")
    talk.stdin.close()
    assert await talk.line() == "ERR it did not arrive whole"
    await talk.cut()
    assert [path.name for path in tmp_path.iterdir() if ".canary-tui" in path.name] == []
    assert not list(host.runs.glob("*.part"))


def test_what_a_killed_command_left_of_itself_holds_nobody_up(host: Host) -> None:
    claim(host, "A")
    mark = host.runs / "0123456789abcdef.now"
    mark.write_text(f"{os.getpid()} 1 some-boot A\n")
    assert claim(host, "B", "A") == ("ours", "B", "none")
    assert not mark.exists()


def test_a_lock_for_which_there_is_no_room_is_not_had_and_leaves_nothing(host: Host, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", small], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        full = Host(small, host.shell)
        with contextlib.suppress(OSError), (small / "fill").open("wb", buffering=0) as fill:
            while fill.write(b"x"):
                pass
        assert claim(full, "A") == ("room", "none", "none")
        (small / "fill").unlink()
        assert not (full.folder / "lock").exists()
        assert claim(full, "A") == ("ours", "A", "none")
    finally:
        subprocess.run(["umount", "-l", small], check=True)


async def test_of_many_that_want_a_free_lock_one_gets_it(host: Host) -> None:
    for number in range(ROUNDS):
        names = [f"{number}-{letter}" for letter in "abcd"]
        said = await asyncio.gather(*(asked(host, name, WHO, 1) for name in names))
        assert sorted(said) == ["held", "held", "held", "ours"]
        host.answer("unlock", names[said.index("ours")])
        assert holder(host) == "none"


async def test_targets_that_share_a_folder_share_the_lock_of_their_rollout(host: Host) -> None:
    """As homes on a file server do: all take it at once, and all let go of it at once."""
    for number in range(ROUNDS):
        said = await asyncio.gather(*(asked(host, f"{number}", WHO, 1) for _ in range(6)))
        assert said == ["ours"] * 6
        left = await asyncio.gather(*(said_to(host, "unlock", f"{number}") for _ in range(6)))
        assert [one.split()[2:] for one in left] == [["UNLOCKED"]] * 6
        assert holder(host) == "none"


async def test_a_lock_that_comes_and_goes_in_this_very_moment_is_no_strangers(host: Host) -> None:
    claim(host, "A")
    lock, made = host.folder / "lock", host.folder / "made"
    lock.rename(made)
    looked = threading.Event()

    def come_and_go() -> None:
        while not looked.is_set():
            os.link(made, lock)
            lock.unlink()

    with ThreadPoolExecutor(1) as aside:
        coming_and_going = aside.submit(come_and_go)
        try:
            assert {holder(host) for _ in range(8 * ROUNDS)} <= {"A", "none"}
        finally:
            looked.set()
        coming_and_going.result()


async def test_of_many_that_break_a_lock_at_most_one_gets_it(host: Host) -> None:
    for number in range(ROUNDS):
        old, names = f"{number}-old", [f"{number}-{letter}" for letter in "abcd"]
        assert claim(host, old)[0] == "ours"
        said = await asyncio.gather(*(asked(host, name, WHO, 1, old) for name in names))
        assert said.count("ours") == 1, said
        assert holder(host) == names[said.index("ours")]
        host.answer("unlock", names[said.index("ours")])


async def test_however_a_start_and_a_taker_race_two_rollouts_never_act_at_once(host: Host, tmp_path: Path) -> None:
    """The step says when it begins and ends; another rollout's never begins in between."""
    script = f"echo begin $R >>{tmp_path}/acts; sleep 0.03; echo end $R >>{tmp_path}/acts\n"

    async def starter(rollout: str) -> str:
        talk = await host.speak("run", secrets.token_hex(16), 0, 0, DIGEST, rollout)
        talk.say(payload(script, f"export R={rollout}\n"))
        return (await talk.to_the_end())[1]

    async def taker(rollout: str, old: str) -> str:
        if await asked(host, rollout, WHO, 1, old) == "ours":
            return await starter(rollout)
        return "refused"

    both = 0
    for number in range(ROUNDS):
        old, new = f"{number}-old", f"{number}-new"
        claim(host, old)
        ends = await asyncio.gather(starter(old), taker(new, old))
        both += all("rc=0" in end for end in ends)
        assert any("rc=0" in end for end in ends) or "why=fenced" in ends[0]
        host.answer("unlock", new)
        host.answer("unlock", old)
    acts = [line.split() for line in (tmp_path / "acts").read_text().splitlines()]
    for (word, who), (end, same) in zip(acts[::2], acts[1::2], strict=True):
        assert (word, end) == ("begin", "end")
        assert who == same
