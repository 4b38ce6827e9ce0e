"""A farm of real sshd in a process of its own, which also adopts what the targets detach: so that it can say what all
of it costs in processor time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import measuring  # noqa: F401 -- puts tests/ on the path
from farm import Farm, FarmTarget

_WRAPPER = """#!/bin/sh
cd "$HOME" && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
_SUBREAPER = 36


class QuickFarm(Farm):
    """A farm whose targets keep no command log: what they do costs what a server's own login costs."""

    def _wrapper(self, name: str) -> pathlib.Path:
        path = self.folder / "wrapper"
        path.write_text(_WRAPPER)
        path.chmod(0o755)
        return path


@dataclass
class TargetsApart:
    """`count` targets. The same words as a farm's, `cpu()` and `left()`. Use as a context manager.

    `back`: together they weigh little against every other program here, because they stand for other machines and share
    this one's processors; `stand_back` says how that is done here.
    """

    count: int
    net: int = 20
    own_sshd: bool = False
    back: bool = False
    extra: tuple[str, ...] = ()
    folder: pathlib.Path = field(default_factory=lambda: pathlib.Path(tempfile.mkdtemp(prefix="canary-bench-")))

    def __enter__(self) -> TargetsApart:
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            ours.close()
            _serve(theirs, self)
        theirs.close()
        self._talk = ours.makefile("rwb")
        facts = self._ask("facts")
        self.port = facts["port"]
        self.targets = [FarmTarget(name, address, self.folder, self.folder, 0) for name, address in facts["targets"]]
        self.ssh_config = self.folder / "ssh_config"
        self.identity = self.folder / "id_ed25519"
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._talk.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)

    def fleet(self, body: str, name: str) -> pathlib.Path:
        """A fleet file for these targets."""
        text = [f'name = "{name}"', body, "[ssh]", f'config = "{self.ssh_config}"']
        for target in self.targets:
            text += ["[[targets]]", f'name = "{target.name}"', f'host = "{target.address}"']
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(text) + "\n")
        return path

    def cpu(self) -> float:
        """Seconds of processor that the targets have used, once they are idle again."""
        return float(self._ask("cpu")["cpu"])

    def left(self) -> list[str]:
        """What still runs besides the listeners, a few seconds after the last session should have ended."""
        return list(self._ask("left")["left"])

    def throttled(self) -> int:
        """How often a server dropped a connection because too many came at once."""
        return (self.folder / "sshd.log").read_text(errors="replace").count("beginning MaxStartups throttling")

    def _ask(self, word: str) -> dict[str, Any]:
        self._talk.write(word.encode() + b"\n")
        self._talk.flush()
        line = self._talk.readline()
        if not line:
            raise RuntimeError("the targets have ended; see what was printed above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _serve(talk: socket.socket, wanted: TargetsApart) -> None:
    code, folder = 1, wanted.folder
    group = _own_group() if wanted.back else None
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with QuickFarm(folder, wanted.count, wanted.net, wanted.extra, own_sshd=wanted.own_sshd) as farm:
            try:
                _answer(talk, farm)
            finally:
                _end_all_below()
        code = 0
    except SystemExit:
        code = 0
    finally:
        # Here and not in the parent: a bench that is killed ends this process by closing its socket.
        shutil.rmtree(folder, ignore_errors=True)
        if group is not None:
            _leave_group(group)
        os._exit(code)


def _end_all_below() -> None:
    """Again and again: what is being started meanwhile is not in the first list."""
    deadline = time.monotonic() + 5
    while (below := _below(os.getpid())) and time.monotonic() < deadline:
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(set())
        time.sleep(0.02)


_GROUPS = (("/sys/fs/cgroup/cpu", "cpu.shares", "102"), ("/sys/fs/cgroup", "cpu.weight", "10"))
"""Control groups of version 1, then 2. Niceness says nothing between sessions where each is scheduled as a whole."""


def stand_back() -> str:
    """How servers are kept from taking processor time that others want."""
    return "in a control group that weighs a tenth of one program" if _group_place() else "at nice 19"


def _group_place() -> tuple[pathlib.Path, str, str] | None:
    for folder, knob, weight in _GROUPS:
        place = pathlib.Path(folder)
        offered = place / "cgroup.subtree_control"
        if os.access(place / "cgroup.procs", os.W_OK) and (
            not offered.exists() or "cpu" in offered.read_text().split()
        ):
            return place, knob, weight
    return None


def _own_group() -> pathlib.Path | None:
    found = _group_place()
    if found is None:
        os.nice(19)
        return None
    place, knob, weight = found
    group = place / f"canary-bench-{os.getpid()}"
    group.mkdir()
    (group / knob).write_text(weight)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    return group


def _leave_group(group: pathlib.Path) -> None:
    (group.parent / "cgroup.procs").write_text(str(os.getpid()))
    deadline = time.monotonic() + 3
    while group.exists() and time.monotonic() < deadline:
        _reap(set())
        with contextlib.suppress(OSError):
            group.rmdir()
        time.sleep(0.02)


def _answer(talk: socket.socket, farm: Farm) -> None:
    stream = talk.makefile("rwb")
    for line in stream:
        if line == b"facts\n":
            reply = {"port": farm.port, "targets": [(target.name, target.address) for target in farm.targets]}
        elif line == b"left\n":
            reply = {"left": _left({process.pid for process in farm._processes})}
        else:
            reply = {"cpu": _cpu_when_idle({process.pid for process in farm._processes})}
        stream.write(json.dumps(reply).encode() + b"\n")
        stream.flush()


def _left(listeners: set[int]) -> list[str]:
    words = {pid: pathlib.Path(f"/proc/{pid}/cmdline") for pid in _wait_until_idle(listeners)}
    return [f"{pid} " + path.read_text().replace("\0", " ") for pid, path in words.items() if path.exists()]


def _wait_until_idle(listeners: set[int]) -> set[int]:
    """The processes that are still there after that."""
    deadline = time.monotonic() + 3
    while set(_below(os.getpid())) - listeners and time.monotonic() < deadline:
        _reap(listeners)
        time.sleep(0.02)
    _reap(listeners)
    return set(_below(os.getpid())) - listeners


def _cpu_when_idle(listeners: set[int]) -> float:
    _wait_until_idle(listeners)
    adopted = resource.getrusage(resource.RUSAGE_CHILDREN)
    return adopted.ru_utime + adopted.ru_stime + sum(_with_children(pid) for pid in listeners)


def _reap(listeners: set[int]) -> None:
    for pid in _children(os.getpid()):
        if pid not in listeners:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _with_children(pid: int) -> float:
    """Processor time of a listener and of every session that it has waited for."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _below(pid: int) -> list[int]:
    return [one for child in _children(pid) for one in (child, *_below(child))]
