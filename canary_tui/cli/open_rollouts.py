"""The open rollout that `resume` without an id means: the only one, or the one that a person names at the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canary_tui.cli.options import state_folder
from canary_tui.errors import CanaryError, UsageError
from canary_tui.text.safe import whole_line

if TYPE_CHECKING:
    from canary_tui.store.history import RolloutSummary


def open_rollouts() -> list[RolloutSummary]:
    """The rollouts that have not ended, the newest first; UsageError where there is none."""
    from canary_tui.store.history import history

    found = [one for one in history(state_folder()) if one.verdict is None]
    if not found:
        raise UsageError("every rollout has ended; there is nothing to resume")
    return found


def only_one(found: Sequence[RolloutSummary], arguments: Sequence[str]) -> RolloutSummary:
    """The only open rollout; UsageError with a command for each where there are several.

    `arguments` are those that the command would need again.
    """
    import shlex

    from canary_tui.store.layout import resume_command

    if len(found) == 1:
        return found[0]
    lines = [f"{len(found)} rollouts are open, and none was resumed; say which one:"]
    lines += [f"  {resume_command(one.rollout)} {shlex.join(arguments)}  # {_told(one)}" for one in found]
    raise UsageError("\n".join(map(whole_line, lines)))


def ask_which(found: Sequence[RolloutSummary]) -> RolloutSummary:
    """The rollout that a person confirms, or picks among several, at the terminal; UsageError where they do not."""
    _forget_what_was_typed()
    if len(found) == 1:
        if _answer(f"Resume {_name(found[0])}? {_left(found[0])}: enter") == "":
            return found[0]
        raise UsageError("nothing was started: only enter alone resumes it")
    print(f"{len(found)} rollouts are open:")
    for number, one in enumerate(found, 1):
        print(whole_line(f"  {number}  {_told(one)}  {one.rollout}"))
    while True:
        answer = _answer(f"Which one to resume? Its number (1 to {len(found)}), then enter; q for none:")
        if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(found):
            return found[int(answer) - 1]
        if answer.casefold() in ("q", "quit", "n", "no"):
            raise UsageError("nothing was started")


def _forget_what_was_typed() -> None:
    """Keys that were pressed before the question stood there are no answer to it."""
    import termios

    termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _answer(question: str) -> str:
    try:
        return input(f"{whole_line(question)} ").strip()
    except EOFError:
        print()
        raise UsageError("nobody answered, so nothing was started") from None


def _told(one: RolloutSummary) -> str:
    at_work = f", {one.engine.who} is at work on it" if one.engine else ""
    return f"{_name(one)}: {_left(one)}{at_work}"


def _name(one: RolloutSummary) -> str:
    began, now = time.localtime(one.started_at), time.localtime()
    when = time.strftime("%H:%M" if began[:3] == now[:3] else "%Y-%m-%d %H:%M", began)
    where = f" in {one.environment}" if one.environment else ""
    return f"{one.fleet} {one.release}{where} of {when}"


def _left(one: RolloutSummary) -> str:
    from canary_tui.domain.rollout.apply import IllegalEvent, replay
    from canary_tui.domain.rollout.narration import left_to_do
    from canary_tui.store.journal import read_journal
    from canary_tui.store.layout import RolloutDirectory

    try:
        return left_to_do(replay(read_journal(RolloutDirectory(one.path).journal)))
    except (CanaryError, IllegalEvent, OSError):
        return "its journal cannot be read"
