"""A shell on a target: the operator's own ssh runs in the terminal while the screens are suspended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

from textual.app import App

from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.errors import ExitCode
from canary_tui.ssh.connection import command
from canary_tui.tui.terminal import one_line

_HEAR_WITHIN = 0.5
_STDIN = 0


def ssh_program() -> str | None:
    """Find the operator's ssh; None where there is none."""
    return shutil.which("ssh")


def open_shell(app: App[Any], target: PlannedTarget, ssh: str) -> None:
    """Open a shell and return when it has ended; a complaint of ssh stays until a key is pressed.

    Raises:
        SuspendNotSupported: the screens are on no terminal.
    """
    with lend_terminal(app):
        where = "" if target.address == target.name else f" ({target.address})"
        _say(f"{target.name}{where}: your own ssh. exit, or Ctrl-D, goes back to the rollout.")
        try:
            words = command.shell(ssh, target.address, target.ssh, _ask)
            code = _run(words)
            trouble = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}" if code else ""
        except (command.ResolveError, OSError) as error:
            trouble = str(error)
        if trouble:
            _say(f"{target.name}: {trouble}. Press a key to go back to the rollout.")
            _wait_for_a_key()


@contextlib.contextmanager
def lend_terminal(app: App[Any]) -> Iterator[None]:
    """Give the terminal to another program: a Ctrl-C that becomes a signal is for that program alone.

    Keys typed ahead of its end are dropped.
    """
    loop = asyncio.get_running_loop()
    ours = loop.remove_signal_handler(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # not ignored: that would be handed down

    def take_back() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if ours:
            loop.add_signal_handler(signal.SIGINT, app.exit, ExitCode.INTERRUPTED)

    try:
        with app.suspend():
            yield
            with contextlib.suppress(termios.error):
                termios.tcflush(_STDIN, termios.TCIFLUSH)
    finally:
        # Later, and by the clock: the loop hears only now of a signal that came meanwhile, and before its timers.
        loop.call_later(0, take_back)


def _run(words: list[str]) -> int:
    """Run a program to its end and return its exit code; 0 if it ended because this process was told to end.

    So signals are passed on from here: the loop hears of them only afterwards, and a terminal that closes signals
    only the leader of its session.
    """
    process: subprocess.Popen[bytes] | None = None
    told: list[int] = []

    def pass_on(number: int, _: object) -> None:
        told.append(number)
        if process is not None:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        process = subprocess.Popen(words)
        for number in told[:1]:
            process.send_signal(number)
        while (code := _ended(process)) is None:
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if told else code


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Wait a moment for the exit code; None if the process still runs, so that this thread can act on a signal."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_HEAR_WITHIN)
    return None


def _ask(query: list[str]) -> command.Settings:
    """Run a query of ssh; it connects to nothing."""
    try:
        done = subprocess.run(
            query, stdin=subprocess.DEVNULL, capture_output=True, timeout=command.ANSWER_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise command.overdue(query) from None
    return command.parse(query, done.returncode, done.stdout, done.stderr)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        sys.stderr.write(f"canary-tui: {one_line(text)}\n")
        sys.stderr.flush()


def _wait_for_a_key() -> None:
    """Wait for a key pressed from now on; return at once if the terminal is gone."""
    with contextlib.suppress(OSError, termios.error):
        before = termios.tcgetattr(_STDIN)
        try:
            tty.setraw(_STDIN, termios.TCSAFLUSH)
            os.read(_STDIN, 1)
        finally:
            termios.tcsetattr(_STDIN, termios.TCSAFLUSH, before)
