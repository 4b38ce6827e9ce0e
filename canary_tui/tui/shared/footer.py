"""The line at the bottom of every screen: the keys that matter now, at most seven in a usual terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rich.segment import Segment
from textual.app import App
from textual.keys import key_to_character
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from canary_tui.tui.actions import find_action, key_sign

MOST, _MOST_WIDE = 7, 11
_WIDE = 120
LAST = 99
"""The rank of the key that is never left out."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A key in the line."""

    rank: int
    key: str
    label: str
    enabled: bool

    @property
    def width(self) -> int:
        """The columns of key and label, with the blanks after them."""
        return len(self.key) + 1 + len(self.label) + 2


@runtime_checkable
class NamesTargets(Protocol):
    """A screen whose labels change with what a key acts on; `key_labels` maps ids of actions to labels."""

    @property
    def key_labels(self) -> dict[str, str]: ...


def hints_of(screen: Screen[object]) -> list[Hint]:
    """List the keys that are bound now and belong in the line, in the registry's order; the help is last."""
    found: dict[str, Hint] = {}
    labels = screen.key_labels if isinstance(screen, NamesTargets) else {}
    for key, active in screen.active_bindings.items():
        action = find_action(active.binding.id)
        if action is not None and action.footer and action.id not in found and not is_text(screen, key):
            label = labels.get(action.id, active.binding.description)
            found[action.id] = Hint(action.footer, key_sign(key), label, active.enabled)
    return sorted(found.values(), key=lambda hint: hint.rank)


def is_text(screen: Screen[object], key: str) -> bool:
    """Whether the key is text for the focused field."""
    sign = key_sign(key)
    character = sign if len(sign) == 1 and sign.isascii() else key_to_character(key)
    return screen.focused is not None and screen.focused.check_consume_key(key, character)


def that_fit(hints: list[Hint], width: int) -> list[Hint]:
    """Choose the first six keys, or ten in a wide terminal, and the last; fewer where they do not fit beside it."""
    if not hints:
        return []
    *first, last = hints if hints[-1].rank == LAST else [*hints, Hint(LAST, "", "", enabled=False)]
    chosen: list[Hint] = []
    room = width - 1 - last.width
    for hint in first[: (MOST if width < _WIDE else _MOST_WIDE) - 1]:
        if hint.width > room:
            break
        chosen.append(hint)
        room -= hint.width
    return [*chosen, last]


class KeyBar(Widget):
    """One line, painted from the active bindings; it follows the focus by itself."""

    DEFAULT_CSS = """
    KeyBar { height: 1; dock: bottom; background: $panel; color: $foreground; }
    KeyBar > .keybar--key { color: $footer-key-foreground; text-style: bold; }
    KeyBar > .keybar--off { color: $foreground 45%; }
    KeyBar:ansi > .keybar--off { color: $foreground; text-style: dim; }
    """
    COMPONENT_CLASSES = {"keybar--key", "keybar--off"}  # noqa: RUF012  Textual's declaration

    def on_mount(self) -> None:
        """Repaint when other keys become active, and when a dialog covers the screen or leaves it."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh(), immediate=True)
        self.watch(self.screen, "stack_updates", self._covered, init=False)

    def _covered(self) -> None:
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  Textual's signature
        """Paint the only line."""
        width = self.size.width
        segments = list(self._segments(that_fit(hints_of(self.screen), width)))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _segments(self, hints: Iterable[Hint]) -> Iterable[Segment]:
        plain = self.rich_style
        key_style = self.get_component_rich_style("keybar--key")
        off_style = self.get_component_rich_style("keybar--off")
        # Below a dialog they still stand there, and do nothing.
        app = self.screen.parent  # not self.app: that is whichever app paints now, where there are several
        on_top = isinstance(app, App) and app.screen is self.screen
        yield Segment(" ", plain)
        for hint in hints:
            enabled = hint.enabled and on_top
            yield Segment(hint.key, key_style if enabled else off_style)
            yield Segment(f" {hint.label}  ", plain if enabled else off_style)
