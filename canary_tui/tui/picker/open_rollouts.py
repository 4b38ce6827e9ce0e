"""The dialog that offers the rollouts of a fleet that have not ended, before anybody begins another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from canary_tui.store.unended import Unended, unended
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Host
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.prompts import ARMED_AFTER
from canary_tui.tui.terminal import one_line

Choice = tuple[Literal["resume", "look"], Path]


class _List(OptionList):
    """The list. Its enter is an action of the registry, so that the footer and the help know it."""

    BINDINGS = bindings("open.look")

    def action_look(self) -> None:
        """Look at the selected rollout."""
        self.action_select()


class OpenRolloutsScreen(ModalScreen[Choice | None]):
    """The open rollouts. It is dismissed with what to do with one of them, or with None for a new rollout."""

    BINDINGS = bindings("open.resume", "open.new", "open.up", "open.down")
    AUTO_FOCUS = "_List"

    def __init__(self, fleet: str, found: Sequence[Unended]) -> None:
        super().__init__()
        self._fleet, self._found = fleet, found
        self._shown_at = float("inf")

    def compose(self) -> ComposeResult:
        """Lay out the rollouts, what follows from them, and the keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(one_line(f"{self._fleet}: not ended"))
            yield _List(*(Option(Content(_told(one))) for one in self._found), markup=False)
            held = "A new rollout is refused where one of these still holds its targets."
            yield Static(Content(held), classes="hint")
            yield KeyBar()

    def on_mount(self) -> None:
        """Begin at the newest."""
        for options in self.query(OptionList):  # none where a key has ended the dialog before it was there
            options.highlighted = 0
        self.call_after_refresh(self._is_shown)

    def _is_shown(self) -> None:
        self._shown_at = time.monotonic()

    def on_option_list_option_selected(self) -> None:
        """Show the selected rollout read only, on enter."""
        self._choose("look")

    def action_up(self) -> None:
        """Move as the arrow keys do."""
        self.query_one(OptionList).action_cursor_up()

    def action_down(self) -> None:
        """Move as the arrow keys do."""
        self.query_one(OptionList).action_cursor_down()

    def action_resume(self) -> None:
        """Resume the selected rollout; a key that was meant for the screen below does not."""
        if time.monotonic() - self._shown_at > ARMED_AFTER:
            self._choose("resume")

    def action_new(self) -> None:
        """Go on to a new rollout."""
        self.dismiss(None)

    def _choose(self, what: Literal["resume", "look"]) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self.dismiss((what, self._found[place].summary.path))


async def offer(screen: Screen[None], host: Host, fleet: str, say: Callable[[str], None]) -> bool:
    """Offer the open rollouts of a fleet on top of a screen, unless another one covers it: then False.

    `say` is given what becomes of a resume.
    """
    found = await asyncio.to_thread(unended, host.options.state, fleet)
    if not screen.is_current:
        return False
    if found:
        screen.app.push_screen(OpenRolloutsScreen(fleet, found), lambda choice: _go_on(screen, host, choice, say))
    return True


def _go_on(screen: Screen[None], host: Host, choice: Choice | None, say: Callable[[str], None]) -> None:
    match choice:
        case ("resume", path):
            say("Resuming ...")
            host.resume(path, lambda reason: say(f"Refused: {reason}"))
        case ("look", path):
            from canary_tui.tui.rollout.screen import RolloutScreen  # 85 ms that the picker need not wait for

            screen.app.push_screen(RolloutScreen(path, None, host.options))
        case _:
            pass


def _told(one: Unended) -> str:
    return "\n".join(map(one_line, _lines(one)))


def _lines(one: Unended) -> Iterator[str]:
    yield f"{one.name} {one.stands}"
    yield f"  {one.left}"
