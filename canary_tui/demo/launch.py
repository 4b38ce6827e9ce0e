"""Starts the demo's server process, waits until it listens, and removes all of it at the end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from canary_tui.demo.faults import parse_faults
from canary_tui.demo.fleet import ENVIRONMENT, FLEET_FILE, PORTS_FILE, SUGGESTED
from canary_tui.demo.sweep import MARK, end_marked_processes
from canary_tui.errors import CanaryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

PACED_ENGINE = (sys.executable, "-m", "canary_tui", "_serve", "--paced")
"""The engine's process for targets on this very machine; see `pace`."""
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_STATE = "CANARY_TUI_STATE"


@dataclass(frozen=True, slots=True)
class Order:
    """The order to the server process. `folder` "" is a new folder that is removed at the end.

    `faults` maps names of targets to names of faults; `serve` false only writes the folder; `visitors` is whether
    somebody asks for the shops' pages all the time.
    """

    folder: str = ""
    faults: dict[str, str] = field(default_factory=dict)
    serve: bool = True
    visitors: bool = True

    def text(self) -> str:
        """As the process's argument."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        """From the process's argument."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class Demo:
    """A demo fleet that is up. Use as a context manager, or call `stop`; it also ends with this process.

    As a context it owns what this process starts meanwhile: rollouts are kept in the demo's folder or in `state`, never
    among real ones (another demo's would tell releases that are on no target of this one), and no engine outlives the
    servers.
    """

    folder: Path
    release: str
    """The release to offer."""
    environment: str
    """The environment to offer."""
    _process: subprocess.Popen[bytes]
    _temporary: bool
    state: Path | None = None
    """The folder for rollouts that was named for this demo."""
    _before: dict[str, str | None] = field(default_factory=dict)
    """Variables of this process, as they were outside the context."""

    @property
    def fleet_path(self) -> Path:
        return self.folder / FLEET_FILE

    @property
    def engine(self) -> tuple[str, ...]:
        """The command of the engine that the screens start."""
        return PACED_ENGINE

    def stop(self) -> None:
        """End the servers and all that their targets run; remove the folder unless it was named."""
        _end(self._process)
        if self._process.returncode:  # it was killed before it could do this itself
            end_marked_processes(self.folder)
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        ours = {MARK: str(self.folder), _STATE: str(self.state or self.folder / "state")}
        self._before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.stop()


def start_demo(
    folder: Path | None = None, faults: Iterable[str] = (), state: Path | None = None, *, visitors: bool = True
) -> Demo:
    """Start the demo fleet; returns when every server listens.

    In a new folder below the temporary ones, or in `folder`, which then stays, with keys, ports and what is on the
    targets, for the next time. `faults` are texts such as `web-3:slow`. Without `visitors` nobody asks the targets' web
    services unless the caller does. UsageError for a fault or a target that there is not, and for a folder with
    something else in it; CanaryError where the servers cannot start.
    """
    order = replace(_order(folder, faults), visitors=visitors)
    process, where = _launch(order)
    return Demo(where, SUGGESTED, ENVIRONMENT, process, folder is None, state)


def write_demo(folder: Path) -> Path:
    """Write all that the demo needs into `folder` without starting it; the path of the fleet file."""
    process, where = _launch(replace(_order(folder, ()), serve=False))
    _end(process)
    return where / FLEET_FILE


def _order(folder: Path | None, faults: Iterable[str]) -> Order:
    parsed = parse_faults(faults)
    if folder is None:
        return Order(faults=parsed)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / PORTS_FILE).exists():
        raise UsageError(f"{folder}: is not empty, and no demo was written there; name a new folder")
    return Order(str(folder.resolve()), parsed)


def _launch(order: Order) -> tuple[subprocess.Popen[bytes], Path]:
    process = subprocess.Popen(
        [sys.executable, "-m", "canary_tui.demo.servers", order.text()],
        stdin=subprocess.PIPE,  # held open: its end, for whatever reason, is the end of the servers
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C on the terminal is not for it
    )
    try:
        return process, Path(json.loads(_first_line(process))["folder"])
    except BaseException:
        _end(process)
        raise


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    if ready and (line := process.stdout.readline()):
        return line
    process.kill()
    _, errors = process.communicate()
    words = errors.decode(errors="replace").strip().splitlines() or [f"no answer in {_START_SECONDS:.0f} s"]
    raise CanaryError(f"the demo's servers did not start: {words[-1]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
