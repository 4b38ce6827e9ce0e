"""The screen at the end of a rollout: the whole report, and the exit with its code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from canary_tui.engine.messages import Ended
from canary_tui.tui.actions import bindings
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.report import exit_code, report
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.header import TitleBar
from canary_tui.tui.shared.panel import KeyGuard, line


class ResultScreen(Screen[None]):
    """The report. `esc` returns to the logs, `q` leaves."""

    CSS_PATH = "../rollout.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("result")

    def __init__(
        self, follower: Follower, ended: Ended | None, *, live: bool, fleet_file: Path | None, demo: bool = False
    ) -> None:
        super().__init__()
        self._follower = follower
        self._code = exit_code(follower.state, ended)
        self._live = live
        self._fleet_file = fleet_file
        self._demo = demo
        self._guard = KeyGuard()
        self._painted_at = float("inf")

    def compose(self) -> ComposeResult:
        plan = self._follower.plan
        name = f"{plan.fleet} {plan.release} · result" if plan is not None else "result"
        yield TitleBar(name, f"exit code {self._code.value}")
        with VerticalScroll(id="result"):
            lines = (line(*pieces) for pieces in report(self._follower, self._fleet_file, demo=self._demo))
            yield Static(Content("\n").join(lines), id="result-text", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query(VerticalScroll).focus()  # none where a key has closed the screen before it was there
        self.call_after_refresh(self._painted)

    def _painted(self) -> None:
        self._painted_at = time.monotonic()

    def on_key(self, event: events.Key) -> None:
        self._guard.saw(event)

    async def action_leave(self) -> None:
        """Leave the program, or return to the screen that opened an ended rollout."""
        if not self._guard.deliberate(self._painted_at):
            self.notify("This is the result. Press q again to leave.", timeout=3, markup=False)
            return
        if self._live:
            self.app.exit(self._code)
            return
        self.dismiss()
        await self.app.screen.run_action("back")

    def action_logs(self) -> None:
        self.dismiss()
