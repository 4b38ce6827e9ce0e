"""The actions of the log keys, which work from every pane of the rollout's screen."""

from __future__ import annotations

import os
import shlex
import subprocess

from textual.app import SuspendNotSupported
from textual.screen import Screen

from canary_tui.store.logs.format import log_path
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.log_pane import LogPane
from canary_tui.tui.shell import lend_terminal


class LogKeys(Screen[None]):
    """The part of the rollout's screen with the actions of the registry's `log` pane."""

    logs: LogPane
    follower: Follower

    def action_follow(self) -> None:
        self.logs.pin()
        self.logs.follow()

    def action_search(self) -> None:
        self.logs.pin()
        self.logs.ask_search()

    def action_filter(self) -> None:
        self.logs.pin()
        if self.logs.shown == "grouped":
            self.notify("no filter here: it would hide differing lines; / searches", markup=False)
        else:
            self.logs.ask_filter()

    def action_clear_finds(self) -> None:
        """Clear the search, then the filter."""
        self.logs.pin()
        self.logs.clear_finds()

    def action_merged(self) -> None:
        self.logs.pin()
        self.logs.toggle_merged()

    def action_grouped(self) -> None:
        self.logs.pin()
        self.logs.toggle_grouped()

    def action_wrap(self) -> None:
        self.logs.pin()
        self.logs.toggle_wrap()

    def action_time(self) -> None:
        self.logs.pin()
        self.logs.toggle_time()

    def action_copy(self) -> None:
        """Copy the selected line to the terminal's clipboard, and to a file for terminals without one."""
        self.logs.pin()
        line = self.logs.view.current_line()
        if not line:
            self.notify("nothing to copy: no line is shown", markup=False)
            return
        self.app.copy_to_clipboard(line)
        path = self.follower.directory / "copied.txt"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            self.notify(f"copied; no file: {error.strerror}", markup=False)
            return
        self.notify(f"copied, and written to {path}", markup=False)

    def action_export(self) -> None:
        """Open the log's file, or all of them, in $PAGER."""
        self.logs.pin()
        pane = self.logs
        folder = self.follower.logs
        paths = sorted(folder.glob("*.log")) if pane.shown != "one" else [log_path(folder, pane.target)]
        paths = [path for path in paths if path.exists()]
        if not paths:
            self.notify("no log yet", markup=False)
            return
        pager = shlex.split(os.environ.get("PAGER", "")) or ["less"]
        try:
            with lend_terminal(self.app):
                # LESSSECURE: a log is only looked at; no shell, no editor from in there.
                subprocess.run([*pager, *map(str, paths)], check=False, env={**os.environ, "LESSSECURE": "1"})
        except (OSError, SuspendNotSupported):
            self.notify(f"no pager here; the file is {paths[0]}", markup=False)
