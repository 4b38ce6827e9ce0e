"""Fault 8: files of a run vanish on the target; the step is never started a second time, and never called not-started."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

import pytest
from test_runner import DIGEST, SHELLS, Host, Talk, new_run, payload, until

RUN_FILES = ("go", "child", "out", "exit", "acked")
SHARED = ("born", "register", "forgotten")
AT_ONCE = 6
"""Hosts that are tried at the same time."""


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    name: str = request.param
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if name != "busybox":
        return found
    (tmp_path / "ash").symlink_to(found)
    return str(tmp_path / "ash")


async def prints_one(talk: Talk) -> None:
    """Wait for the first line of a case's output."""
    assert talk.process.stdout is not None
    await talk.process.stdout.readuntil(b"one\n")


class Case:
    """One step on a host of its own; each of its starts leaves a mark."""

    def __init__(self, folder: pathlib.Path, shell: str) -> None:
        folder.mkdir()
        self.folder, self.host, self.run = folder, Host(folder, shell), new_run()
        self.place = self.now()
        self.script = (
            f"echo start >>{folder}/marks; echo one; "
            f"until [ -e {folder}/end ]; do sleep 0.05; done; echo two; echo end >>{folder}/marks\n"
        )

    def now(self) -> str:
        """The place that the runner names when it is met."""
        return self.boot_of(self.host.answer("hello"))

    @staticmethod
    def boot_of(answer: str) -> str:
        return next((word[5:] for word in answer.split() if word.startswith("boot=")), "")

    async def start(self) -> Talk:
        talk = await self.host.speak("run", self.run, 0, 0, DIGEST, "", self.place)
        talk.say(payload(self.script))
        return talk

    async def reach(self, stage: str) -> None:
        """Come to that stage with no connection left."""
        if stage == "before go":
            return
        talk = await self.start()
        await talk.until("BEGUN")
        await prints_one(talk)
        await until(lambda: (self.host.runs / f"{self.run}.child").exists())
        if stage != "acked":
            await talk.cut()
        if stage != "running":
            (self.folder / "end").touch()
        if stage == "acked":
            await talk.to_the_end()
            await until(lambda: (self.host.runs / f"{self.run}.acked").exists())
        elif stage == "ended":
            await until(lambda: (self.host.runs / f"{self.run}.exit").exists())

    def remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            for path in self.paths(name):
                path.unlink(missing_ok=True)

    def paths(self, name: str) -> list[pathlib.Path]:
        match name:
            case "born":
                return [self.host.runs / "born"]
            case "register":
                return list(self.host.folder.glob("starts.*"))
            case "forgotten":
                return [self.host.folder / "forgotten"]
        return [self.host.runs / f"{self.run}.{name}"]

    def judge(self, answer: str, removed: tuple[str, ...]) -> None:
        """An answer that the engine would take for a proof that the step never began, or ended well, must be true."""
        words = answer.split()
        denies = words[:1] == ["STATE"] and words[1] in {"absent", "void"} and self.boot_of(answer) == self.place
        assert not denies, (removed, answer)
        if "exit" in removed:
            assert "done" not in words or (self.folder / "end").exists(), (removed, answer)

    @property
    def starts(self) -> int:
        path = self.folder / "marks"
        return path.read_text().split().count("start") if path.exists() else 0

    async def ask_all(self, removed: tuple[str, ...]) -> None:
        """Everything that a reconnected engine, or the next one, may ask: on the old connection and on a new one."""
        for _ in range(2):
            self.judge(await asyncio.to_thread(self.host.answer, "void", self.run), removed)
            # Both may follow what still runs: it is the first answer that counts.
            for talk in (await self.host.speak("attach", self.run, 0), await self.start()):
                self.judge(await talk.line(), removed)
                await talk.cut()
            await asyncio.to_thread(self.host.answer, "hello")


def subsets(*names: str) -> Iterator[tuple[str, ...]]:
    """Each file and each pair of files, and all of them."""
    yield from ((name,) for name in names)
    yield from itertools.combinations(names, 2)
    yield names


STAGES = {
    "before go": SHARED[:2],
    "running": ("go", "child", "out", "register", "born"),
    "ended": ("go", "child", "out", "exit", "register", "born"),
    "acked": ("go", "out", "exit", "acked", "register", "born"),
}


@pytest.mark.found("fault 8")
@pytest.mark.parametrize("stage", STAGES)
async def test_no_file_of_a_run_that_vanishes_starts_it_again(shell: str, tmp_path: pathlib.Path, stage: str) -> None:
    """Fault 8, for each file and each pair of files of a run, at each of its stages."""
    room = asyncio.Semaphore(AT_ONCE)

    async def try_without(number: int, removed: tuple[str, ...]) -> None:
        async with room:
            case = Case(tmp_path / str(number), shell)
            try:
                await case.reach(stage)
                expected = int(stage != "before go")
                case.remove(removed)
                await case.ask_all(removed)
                assert case.starts == expected, (stage, removed)
                if stage == "running":
                    (case.folder / "end").touch()
                    await until(lambda: "end" in (case.folder / "marks").read_text())
                    await case.ask_all(removed)
                    assert case.starts == expected, (stage, removed)
            finally:
                (case.folder / "end").touch()

    async with asyncio.TaskGroup() as group:
        for number, removed in enumerate(subsets(*STAGES[stage])):
            group.create_task(try_without(number, removed))


@pytest.mark.parametrize("removed", list(subsets("register", "forgotten", "born")), ids="+".join)
async def test_a_run_that_was_tidied_away_is_not_started_again(
    shell: str, tmp_path: pathlib.Path, removed: tuple[str, ...]
) -> None:
    """Fault 8: of an old run only two lines are left, and either may vanish."""
    case = Case(tmp_path / "old", shell)
    await case.reach("acked")
    old = case.host.runs / f"{case.run}.exit"
    os.utime(old, (1, 1))
    case.host.answer("hello")
    assert not old.exists()
    case.remove(removed)
    await case.ask_all(removed)
    assert case.starts == 1


async def test_a_cleaner_that_is_at_work_during_the_start_lets_one_through(shell: str, tmp_path: pathlib.Path) -> None:
    """Fault 8: the name that is the first gate vanishes between two starts of one id; the register is the second gate."""
    case = Case(tmp_path / "raced", shell)
    (case.folder / "end").touch()
    at_work = True

    def clean() -> None:
        while at_work:
            for path in case.host.runs.glob("*.go"):
                with contextlib.suppress(OSError):
                    path.unlink()

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for _ in range(4):
            talks = await asyncio.gather(*(case.start() for _ in range(4)))
            await asyncio.gather(*(talk.to_the_end() for talk in talks))
    finally:
        at_work = False
        cleaner.join()
    assert case.starts <= 1


async def test_a_start_that_was_meant_for_another_place_is_refused(shell: str, tmp_path: pathlib.Path) -> None:
    """Fault 8: where all traces are gone with the register, its next one has another name."""
    case = Case(tmp_path / "moved", shell)
    case.remove(("register",))
    assert case.now() != case.place
    _, answer = await (await case.start()).to_the_end()
    assert (answer.split()[0], case.starts) == ("MOVED", 0)


async def test_a_step_whose_files_were_removed_can_be_stopped(shell: str, tmp_path: pathlib.Path) -> None:
    """Fault 8: the register knows the command, and stopping it is confirmed by a look."""
    case = Case(tmp_path / "stopped", shell)
    await case.reach("running")
    case.remove(("go", "child", "out"))
    answer = await asyncio.to_thread(case.host.answer, "cancel", case.run, 5)
    assert answer.endswith("stopped=yes"), answer
    assert case.starts == 1


@pytest.mark.parametrize("removed", [("go",), ("go", "child"), ("child",)], ids="+".join)
async def test_a_lock_is_not_had_while_a_step_runs_whose_files_were_removed(
    shell: str, tmp_path: pathlib.Path, removed: tuple[str, ...]
) -> None:
    """Fault 8: who takes the lock, or releases it, sees the steps in the register, too."""
    case = Case(tmp_path / "locked", shell)
    case.host.answer("hello", "A", "ann", 1)
    talk = await case.host.speak("run", case.run, 0, 0, DIGEST, "A", case.place)
    talk.say(payload(case.script))
    await prints_one(talk)
    case.remove(removed)
    assert case.host.answer("unlock", "A") == "KEPT why=running"
    assert "claim=busy" in case.host.answer("hello", "B", "bob", 1, "A")
    (case.folder / "end").touch()
    await talk.to_the_end()
    assert case.host.answer("unlock", "A") == "UNLOCKED"


async def test_output_that_was_removed_is_never_said_to_be_whole(shell: str, tmp_path: pathlib.Path) -> None:
    """Fault 8: no output file is no empty output."""
    case = Case(tmp_path / "output", shell)
    talk = await case.start()
    await prints_one(talk)
    case.remove(("out",))
    (case.folder / "end").touch()
    data, end = await talk.to_the_end()
    assert data == b"two\n"
    assert "sum=removed" in end


@pytest.mark.found("field 11")
def test_who_comes_second_to_name_a_folder_is_told_its_whole_name(tmp_path: pathlib.Path) -> None:
    """A server with two names is told by it; here another visitor names `runs` in the very moment of the attempt."""
    tools = tmp_path / "tools"
    tools.mkdir()
    real = shutil.which("ln")
    (tools / "ln").write_text(f'#!/bin/sh\ncase $2 in */born) echo 1-other >"$2" ;; esac\nexec {real} "$@"\n')
    (tools / "ln").chmod(0o755)
    host = Host(tmp_path, "/bin/sh")
    shutil.rmtree(host.runs)
    for register in host.folder.glob("starts.*"):
        register.unlink()
    host.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
    place = next(word[5:] for word in host.answer("hello").split() if word.startswith("boot="))
    boot, born, registered = place.split(".")
    assert born == "1-other"
    assert "none" not in (boot, registered)
