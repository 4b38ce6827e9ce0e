"""Sitting down at a rollout that has not ended: at once, or read only until the engine that works on it has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App

from canary_tui.tui.host import Link
from canary_tui.tui.options import AppOptions

if TYPE_CHECKING:
    from canary_tui.engine.messages import Notice
    from canary_tui.tui.rollout.screen import RolloutScreen


class Takeover:
    """One wish to resume a rollout, from the command to the screen that steers it."""

    def __init__(self, app: App[Any], link: Link, options: AppOptions) -> None:
        self._app, self._link, self._options = app, link, options
        self._path: Path | None = None
        self._refused: Callable[[str], None] = lambda _: None

    def begin(self, path: Path, refused: Callable[[str], None] = lambda _: None) -> None:
        """Ask the engine to resume the rollout in a folder; `refused` is told why it does not."""
        from canary_tui.engine.identity import operator  # late, as the messages are: not before the first paint
        from canary_tui.engine.messages import Resume

        self._path, self._refused = path, refused
        self._link.send(Resume(str(path), operator(), self._options.breaks))

    def give_up(self) -> None:
        """Wait no longer for another engine's end."""
        from canary_tui.engine.messages import WithdrawResume

        if self._path is not None:
            self._path = None
            self._link.send(WithdrawResume())

    async def noticed(self, notice: Notice) -> None:
        """Show the screen that fits the engine's answer."""
        from canary_tui.engine.messages import Busy, Opened, Refused
        from canary_tui.tui.rollout.screen import RolloutScreen

        path = self._path
        if path is None:
            return
        match notice:
            case Busy():
                await self._show(RolloutScreen(path, None, self._options, takes_over=True))
            case Opened():
                self._path = None
                if not any(screen.link is not None for screen in self._shown()):
                    await self._show(RolloutScreen(path, self._link, self._options))
            case Refused(command="Resume"):
                self._path = None
                for screen in self._shown():
                    screen.takes_over = False  # it stays, as a read-only view
                self._refused(notice.reason)
            case _:
                pass

    def _shown(self) -> list[RolloutScreen]:
        from canary_tui.tui.rollout.screen import RolloutScreen

        return [screen for screen in self._app.screen_stack if isinstance(screen, RolloutScreen)]

    async def _show(self, screen: RolloutScreen) -> None:
        """Show it instead of the one that shows the rollout by now, with all that stands above that one."""
        shown = self._shown()
        while shown and self._app.screen is not shown[0]:
            await self._app.pop_screen()
        await (self._app.switch_screen(screen) if shown else self._app.push_screen(screen))
