"""Says on the restored terminal how the screens and their rollout ended, and with which exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from canary_tui.errors import ExitCode
from canary_tui.store.layout import resume_command
from canary_tui.tui.terminal import printable

if TYPE_CHECKING:
    from canary_tui.tui.link import EngineLink


def exit_code(code: ExitCode | None, link: EngineLink) -> ExitCode:
    """The exit code once the engine has said its last: who left may have left a rollout that was just beginning."""
    if code is not ExitCode.SUCCEEDED or (link.opened is None and not link.opening):
        return ExitCode.FAILED if code is None else code
    return ExitCode(link.ended.exit_code) if link.ended is not None else ExitCode.INTERRUPTED


def print_last_words(link: EngineLink, *, crash: str, refused_file: str, demo: bool) -> None:
    """Print to the restored terminal the reason why the screens or the engine died."""
    if crash:
        sys.stderr.write(printable(crash))
        sys.stderr.write(
            "canary-tui: a bug, see above. A live rollout starts nothing new; `canary-tui resume` goes on with it.\n"
        )
    if link.gone:
        sys.stderr.write(printable(f"canary-tui: {link.gone}\n{link.last_words}"))
    if link.opening:
        sys.stderr.write("canary-tui: it was being started; `canary-tui history` shows whether it began\n")
    if refused_file:
        sys.stderr.write(printable(f"canary-tui: {refused_file}"))
    ended = link.ended
    if link.opened is not None and ended is not None and not ExitCode(ended.exit_code).resumable:
        logs = "" if demo else f"logs in {link.opened.directory}/logs\n"  # a demo's folder is removed
        sys.stdout.write(printable(f"{ended.message}\n{logs}"))
    if link.opened is not None and not demo and (ended is None or ExitCode(ended.exit_code).resumable):
        sys.stderr.write(
            printable(f"canary-tui: not finished. Continue with:\n  {resume_command(link.opened.rollout)}")
        )
