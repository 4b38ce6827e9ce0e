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
    """`count` targets. The same words as a farm's, and `cpu()`. Use as a context manager."""

    count: int
    net: int = 20
    folder: pathlib.Path = field(default_factory=lambda: pathlib.Path(tempfile.mkdtemp(prefix="canary-bench-")))

    def __enter__(self) -> TargetsApart:
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            ours.close()
            _serve(theirs, self.folder, self.count, self.net)
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

    def _ask(self, word: str) -> dict:
        self._talk.write(word.encode() + b"\n")
        self._talk.flush()
        line = self._talk.readline()
        if not line:
            raise RuntimeError("the targets have ended; see what was printed above")
        return json.loads(line)


def _serve(talk: socket.socket, folder: pathlib.Path, count: int, net: int) -> None:
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with QuickFarm(folder, count, net=net, own_sshd=False) as farm:
            try:
                _answer(talk, farm)
            finally:
                for pid in _below(os.getpid()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        code = 0
    except SystemExit:
        code = 0
    finally:
        # Here and not in the parent: a bench that is killed ends this process by closing its socket.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(code)


def _answer(talk: socket.socket, farm: Farm) -> None:
    stream = talk.makefile("rwb")
    for line in stream:
        if line == b"facts\n":
            reply = {"port": farm.port, "targets": [(target.name, target.address) for target in farm.targets]}
        else:
            reply = {"cpu": _cpu_when_idle({process.pid for process in farm._processes})}
        stream.write(json.dumps(reply).encode() + b"\n")
        stream.flush()


def _cpu_when_idle(listeners: set[int]) -> float:
    deadline = time.monotonic() + 3
    while set(_below(os.getpid())) - listeners and time.monotonic() < deadline:
        _reap(listeners)
        time.sleep(0.02)
    _reap(listeners)
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
