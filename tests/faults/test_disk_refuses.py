"""One call to the disk is refused, whichever it is: the engine says so in words, and nothing is lost or told wrongly."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engines import Controller, Engine, all_ok, remove_marks, until
from farm import Farm, available
from oracle import numbered_step

STRACE = shutil.which("strace") or ""
pytestmark = [
    pytest.mark.skipif(available() != "", reason=available() or "sshd is there"),
    pytest.mark.skipif(not STRACE, reason="strace is not installed"),
]
REFUSALS = int(os.environ.get("CANARY_TUI_REFUSALS", "1"))
"""Calls that are refused, drawn from all of a short rollout, beside the worst one; 0 refuses each, with each error."""
LINES = 4
BODY = numbered_step("deploy", LINES, 1, 0.1) + '\n[[waves]]\nname = "all"\n'
CALLS = (
    "openat", "mkdir", "flock", "ftruncate", "truncate", "write", "pread64", "fsync", "fdatasync", "fallocate",
    "fstatfs", "getdents64", "rename", "unlink", "close",
)  # fmt: skip
ERRORS = os.environ.get("CANARY_TUI_REFUSED_WITH", "ENOSPC EIO EDQUOT EINTR").split()
_CALL = re.compile(r"(\d+) +(\w+)\(")


@dataclass(frozen=True, order=True)
class Call:
    """The `number`th call of this name in a thread of the engine; with `path`, of those to this path.

    The path is below the state directory, with ROLLOUT for the rollout's id.
    """

    name: str
    number: int
    path: str = ""


@dataclass(frozen=True)
class Refusal:
    """A call that gets this error instead of being made."""

    call: Call
    error: str

    @property
    def words(self) -> str:
        return os.strerror(getattr(errno, self.error))

    def under(self, log: Path, path: Path | None = None) -> list[str]:
        """The words of a program that runs the engine and refuses it the call."""
        only = ["-P", str(path)] if path else []
        return traced(log, *only, "-e", f"inject={self.call.name}:error={self.error}:when={self.call.number}")


def traced(log: Path, *more: str) -> list[str]:
    """The words of a strace that watches the engine's threads, and leaves the programs that it starts alone."""
    return [STRACE, "-f", "-b", "execve", "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *more]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("refuses"), 1, net=55) as farm:
        yield farm


def here(farm: Farm, folder: Path) -> Controller:
    """A state directory of its own, and a target on which nothing was done."""
    remove_marks(farm)
    for target in farm.targets:  # of a case that went wrong
        (target.home / ".local/state/canary-tui/lock").unlink(missing_ok=True)
    return Controller(farm, folder, BODY, {"deploy": LINES})


def interrupted(controller: Controller) -> str:
    """Begin a rollout whose engine is told to end while its step prints; the rollout's id."""
    engine = controller.run()
    until(lambda: controller.directory and b"deploy 1" in _bytes(controller.directory / "logs/web-1.log"), 30)
    engine.kill(signal.SIGTERM)
    assert engine.wait() == 130, engine.said()
    assert controller.directory is not None
    return controller.directory.name


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


@pytest.mark.found("fault 5")
def test_a_disk_that_refuses_any_one_call_of_a_new_rollout_is_told_in_words(farm: Farm, tmp_path: Path) -> None:
    """No traceback, no wrong exit code, and what can be resumed is resumed to its end."""
    with here(farm, tmp_path / "recorded") as controller:
        engine = controller.run(under=traced(tmp_path / "log"))
        assert engine.wait() == 0, engine.said()
    calls = _recorded(tmp_path / "log", controller.state, lambda _: "")

    def refuse(refusal: Refusal, folder: Path) -> None:
        with here(farm, folder) as controller:
            engine = controller.run(under=refusal.under(folder / "log"))
            _judge(controller, engine, refusal, folder / "log")

    last = max(call for call in calls if call.name == "ftruncate")  # of a lock that is let go, when all is over
    _try_each(calls, last, tmp_path, refuse)


@pytest.mark.found("fault 5")
def test_a_disk_that_refuses_any_one_call_of_a_resumed_rollout_is_told_in_words(farm: Farm, tmp_path: Path) -> None:
    """The same, with a step that runs on its target and a log that is gone on with."""
    with here(farm, tmp_path / "recorded") as controller:
        rollout = interrupted(controller)
        engine = controller.engine("resume", rollout, "--headless", "--json", under=traced(tmp_path / "log"))
        assert engine.wait() == 0, engine.said()
        calls = _recorded(tmp_path / "log", controller.state, lambda path: path.replace(rollout, "ROLLOUT"))
    calls = {call for call in calls if "/." not in call.path}  # a name with random digits
    opens = next(call for call in calls if call.name == "openat" and call.path.endswith("logs/order"))

    def refuse(refusal: Refusal, folder: Path) -> None:
        with here(farm, folder) as controller:
            rollout = interrupted(controller)
            path = controller.state / refusal.call.path.replace("ROLLOUT", rollout)
            under = refusal.under(folder / "log", path)
            engine = controller.engine("resume", rollout, "--headless", "--json", under=under)
            _judge(controller, engine, refusal, folder / "log", resumed=rollout)

    _try_each(calls, opens, tmp_path, refuse)


def _recorded(log: Path, state: Path, path_of: Callable[[str], str]) -> set[Call]:
    """The calls to files of the state directory, each with its number in its thread among those of the same path."""
    below = re.compile(re.escape(str(state)) + r'/?([^>"]*)')
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    found = set()
    for line in log.read_text(errors="replace").splitlines():
        if match := _CALL.match(line):
            thread, name = match.groups()
            place = below.search(line)
            path = path_of(place[1]) if place else ""
            counts[thread, name, path] += 1
            if place:
                found.add(Call(name, counts[thread, name, path], path))
    return found


def _try_each(calls: Iterable[Call], worst: Call, folder: Path, refuse: Callable[[Refusal, Path], None]) -> None:
    """Refuse all of them; or the worst, and a sample that is the same every time."""
    each = [Refusal(call, error) for call in sorted(calls) for error in ERRORS]
    some = [Refusal(worst, ERRORS[0]), *random.Random(1).sample(each, REFUSALS)]
    wrong = []
    for number, refusal in enumerate(some if REFUSALS else each):
        try:
            refuse(refusal, folder / str(number))
        except AssertionError as error:
            print(f"WRONG {refusal}: {error}", flush=True)
            wrong.append(f"{refusal}: {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.found("fault 5")
@pytest.mark.parametrize("limit", ["-n 12", "-v 70000"])
def test_a_machine_that_gives_too_little_is_told_in_words(farm: Farm, tmp_path: Path, limit: str) -> None:
    """Few open files or little memory: the rollout succeeds, or stops in words and can be resumed; it never hangs."""
    with here(farm, tmp_path) as controller:
        engine = controller.run(under=["/bin/sh", "-c", f'ulimit {limit}; exec "$@"', "sh"])
        code = engine.wait(60)
        said = engine.said()
        assert "Traceback" not in said, said
        _judge_end(controller, code, said)


def _judge(controller: Controller, engine: Engine, refusal: Refusal, log: Path, resumed: str = "") -> None:
    code, said = engine.wait(60), engine.said()
    hit = [line for line in log.read_text(errors="replace").splitlines() if "(INJECTED)" in line]
    print(f"{refusal.call} {refusal.error}: exit {code}: {' '.join(hit)[:300]}", flush=True)
    if not any(str(controller.state) in line for line in hit):
        return  # it was the dynamic linker's, or a thread came in another order
    assert "Traceback" not in said, said
    assert "Error" not in said, said
    assert code == 0 or refusal.words in said, said
    _judge_end(controller, code, said, resumed)


def _judge_end(controller: Controller, code: int, said: str, resumed: str = "") -> None:
    """Nothing was begun, or it is resumed to its end."""
    assert code in (0, 1, 2, 130), said
    if code == 0:
        assert not list(all_ok(controller.judge()))
        return
    if code == 130:
        assert "resume" in said, said
    elif not resumed:
        assert controller.directory is None, "what never began is no open rollout"
        assert not controller.farm.targets[0].read("marks")
    if controller.directory is None:
        engine = controller.run()
        assert engine.wait() == 0, engine.said()
    elif controller.rollout().verdict is None:  # else its last record reached the disk, and could not be made sure of
        engine = controller.engine("resume", resumed, "--headless", "--json") if resumed else controller.resume()
        assert engine.wait() == 0, engine.said()
    assert not list(all_ok(controller.judge()))
