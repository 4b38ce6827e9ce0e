"""What can be pressed, told from the registry: the help of where one is, and the command palette."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from canary_tui.tui.actions import ACTIONS, TITLES, KeyAction, bindings, find_action, key_sign
from canary_tui.tui.shared.footer import is_text
from canary_tui.tui.themes import NAMES

_INDENT = 20
_UNLISTED = {"app.palette", "app.interrupt"}
"""Actions that make no sense inside the palette."""


@dataclass(frozen=True, slots=True)
class UsableKey:
    """An action that can be done where one is, by these keys."""

    action: KeyAction
    keys: tuple[str, ...]
    binding: ActiveBinding

    @property
    def signs(self) -> str:
        """The keys as they are written."""
        return "  ".join(map(key_sign, self.keys))


def usable_on(screen: Screen[object]) -> list[UsableKey]:
    """The actions that are bound on a screen with its focus as it is, in the registry's order."""
    keys: dict[str, list[str]] = {}
    active: dict[str, ActiveBinding] = {}
    for key, binding in screen.active_bindings.items():
        action = find_action(binding.binding.id)
        if action is not None and not is_text(screen, key):
            keys.setdefault(action.id, []).append(key)
            active[action.id] = binding
    return [UsableKey(action, tuple(keys[action.id]), active[action.id]) for action in ACTIONS if action.id in keys]


class HelpScreen(ModalScreen[None]):
    """The keys of the pane one is in, then those of the rest."""

    BINDINGS = [*bindings("help"), *bindings("app.quit")]  # noqa: RUF012  Textual's declaration

    def __init__(self, about: Screen[object]) -> None:
        super().__init__()
        self._usable = usable_on(about)

    def compose(self) -> ComposeResult:
        """One list that scrolls."""
        with VerticalScroll(id="help") as scroll:
            scroll.border_title = Content("Keys here")
            scroll.border_subtitle = Content("esc closes")
            yield Static()

    def on_resize(self, event: events.Resize) -> None:
        """The sentences are broken for the width that there is."""
        room = min(96, event.size.width * 94 // 100) - 8
        self.query_one("#help Static", Static).update(help_text(self._usable, room))

    def action_close(self) -> None:
        """Back to the screen."""
        self.dismiss()


def help_text(usable: Iterable[UsableKey], width: int) -> Content:
    """The list, a part for each pane; what acts on targets is marked."""
    return Content.assemble(*_help_parts(usable, max(40, width)))


def _help_parts(usable: Iterable[UsableKey], width: int) -> Iterator[tuple[str, str]]:
    pane = ""
    hanging = " " * _INDENT
    for one in sorted(usable, key=lambda one: one.action.pane in {"move", "app"}):
        if one.action.pane != pane:
            yield ("\n" if pane else "", "")
            pane = one.action.pane
            yield (f"{TITLES[pane]}\n", "bold $accent")
        style = "bold $warning" if one.action.dangerous else "bold $footer-key-foreground"
        yield (f"  {one.signs:{_INDENT - 3}} ", style)
        lines = textwrap.wrap(one.action.help, width, initial_indent=hanging, subsequent_indent=hanging)
        yield ("\n".join(lines)[_INDENT:] + "\n", "")


class ActionCommands(Provider):
    """Every action that can be done now, with its key, and every theme."""

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for title, about, run in self._commands():
            yield DiscoveryHit(Content(title), run, text=title, help=about)

    async def search(self, query: str) -> Hits:
        """Those that fit what was typed."""
        matcher = self.matcher(query)
        for title, about, run in self._commands():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=about)

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        for one in usable_on(self.screen):
            if one.action.pane != "move" and one.action.id not in _UNLISTED:
                run = partial(self.app.run_action, one.binding.binding.action, one.binding.node)
                yield f"{one.action.label}  ({one.signs})", one.action.help, run
        for name in NAMES:
            yield (
                f"Theme: {name}",
                "Changes the colours, now and for the next start.",
                partial(self.app.run_action, f"app.use_theme({name!r})"),
            )
