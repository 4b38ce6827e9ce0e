"""What every test may use: the helper modules beside this file, and real OpenSSH servers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", derandomize=True)  # a change is judged by what it changed, not by luck
if os.environ.get("CANARY_TUI_CI"):
    hypothesis.settings.load_profile("ci")

# Started by nohup, or in a script's background, the tests would hand down signals that are ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(pathlib.Path(__file__).parent))

_LONG_FIRST = ("faults", "end_to_end", "ssh", "engine", "demo", "tui")
"""The folders whose files take longest: begun first, so that none of them is left at the end for one process alone."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes a processor: with one, the tests leave six tenths of the processors' time unused."""
    del config
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the slow folders first, each file's in its own order."""
    here = pathlib.Path(__file__).parent
    ranks = {name: rank for rank, name in enumerate(_LONG_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(here).parts[0], len(ranks)))


_DOOR, _ROOM = (
    pathlib.Path(tempfile.gettempdir(), f"canary-tui-tests-{os.getuid()}.{lock}") for lock in ("door", "room")
)
"""What the processes that run tests lock: the room while a test is in it, the door while one waits for the room."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """A test marked `alone` measures how soon something happens: while it runs, no other one does.

    So no test may run tests of its own: they would wait for it at the door.
    """
    alone = item.get_closest_marker("alone") is not None
    with contextlib.ExitStack() as room:
        with _locked(_DOOR, fcntl.LOCK_EX):  # whoever waits for an empty room lets nobody in before
            room.enter_context(_locked(_ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        return (yield)


@contextlib.contextmanager
def _locked(path: pathlib.Path, how: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CANARY_TUI_CI says that everything is installed, a test that is skipped for want of it has failed."""
    report = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CANARY_TUI_CI") and ("install" in reason or "root" in reason):
        report.outcome, report.longrepr = "failed", f"skipped, and here it must not be: {reason}"
    return report
