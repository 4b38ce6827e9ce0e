"""The keys that work now, from the registry: the help, and the command palette."""

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
_ASKING = {"gate", "failures", "abort"}
_UNLISTED = {"app.palette", "app.interrupt"}
"""Actions that are useless inside the palette."""


@dataclass(frozen=True, slots=True)
class UsableKey:
    """An action that works on a screen now, with its keys."""

    action: KeyAction
    keys: tuple[str, ...]
    binding: ActiveBinding

    @property
    def signs(self) -> str:
        """The keys as the screens write them."""
        signs = [key_sign(key) for key in self.keys]
        return "1 ... 9" if signs == list("123456789") else "  ".join(signs)


def usable_on(screen: Screen[object]) -> list[UsableKey]:
    """List the actions bound on a screen with its present focus, in the registry's order."""
    keys: dict[str, list[str]] = {}
    active: dict[str, ActiveBinding] = {}
    for key, binding in screen.active_bindings.items():
        action = find_action(binding.binding.id)
        if action is not None and not is_text(screen, key):
            keys.setdefault(action.id, []).append(key)
            active[action.id] = binding
    return [UsableKey(action, tuple(keys[action.id]), active[action.id]) for action in ACTIONS if action.id in keys]


class HelpScreen(ModalScreen[None]):
    """The keys of the focused pane, then those of the rest."""

    BINDINGS = [*bindings("help"), *bindings("app.quit")]  # noqa: RUF012  Textual's declaration

    def __init__(self, about: Screen[object]) -> None:
        super().__init__()
        self._usable = usable_on(about)

    def compose(self) -> ComposeResult:
        """Lay out one list that scrolls."""
        with VerticalScroll(id="help") as scroll:
            scroll.border_title = Content("Keys here")
            scroll.border_subtitle = Content("↑ ↓ scroll, esc closes")
            yield Static()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the sentences for the new width."""
        room = min(96, event.size.width * 94 // 100) - 8
        self.query_one("#help Static", Static).update(help_text(self._usable, room))

    def action_close(self) -> None:
        """Close the help."""
        self.dismiss()


def help_text(usable: Iterable[UsableKey], width: int) -> Content:
    """Write the list, a part for each pane; actions on targets are marked."""
    return Content.assemble(*_help_parts(usable, max(40, width)))


def _help_parts(usable: Iterable[UsableKey], width: int) -> Iterator[tuple[str, str]]:
    pane = ""
    hanging = " " * _INDENT
    for one in sorted(usable, key=lambda one: _place(one.action.pane)):
        if one.action.pane != pane:
            yield ("\n" if pane else "", "")
            pane = one.action.pane
            yield (f"{TITLES[pane]}\n", "bold $accent")
        style = "bold $warning" if one.action.dangerous else "bold $footer-key-foreground"
        yield (f"  {one.signs:{_INDENT - 3}} ", style)
        lines = textwrap.wrap(one.action.help, width, initial_indent=hanging, subsequent_indent=hanging)
        yield ("\n".join(lines)[_INDENT:] + "\n", "")


def _place(pane: str) -> int:
    """First the keys of what is asked, last those of everywhere."""
    return 0 if pane in _ASKING else 2 if pane in {"move", "app"} else 1


class ActionCommands(Provider):
    """The command palette: every action that works now, with its keys, and every theme."""

    async def discover(self) -> Hits:
        """Offer all commands before anything is typed."""
        for title, about, run in self._commands():
            yield DiscoveryHit(Content(title), run, text=title, help=about)

    async def search(self, query: str) -> Hits:
        """Offer the commands that match the text."""
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
                "Change the colours, now and for the next start.",
                partial(self.app.run_action, f"app.use_theme({name!r})"),
            )
