"""The docked question: it takes no key that was typed ahead, repeated or pasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content, Span
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from canary_tui.engine.messages import Command
from canary_tui.tui.actions import bindings
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit, texts_width
from canary_tui.tui.terminal import one_line

GUARD = 0.8
"""Seconds after its first paint in which a panel takes no decision, because nobody has read it yet."""
_REPEAT = 0.12
"""Seconds within which the same key again is a held key, not a decision; terminals repeat 10 to 50 times a second."""
_PAUSE = 1.0
"""Seconds without any key after which the same key again is a second press."""
_PASTED = 0.02
"""Seconds within which no person presses enter after another key; a paste arrives at once."""

_LEAST_LEFT = 30
"""Cells of a title that the keys for scrolling leave to what is asked."""

_TONE_COLOURS = {
    "dim": "$foreground 60%",
    "strong": "bold",
    "heading": "$foreground 60%",
    "running": "$primary",
    "ok": "$success",
    "undone": "$secondary",
    "waived": "$warning",
    "failed": "$error",
    "unreachable": "$error",
    "unknown": "$warning",
    "key": "$footer-key-foreground bold",
}


def read_since(painted_at: float) -> bool:
    """Whether a person had the time to read what was painted then."""
    return time.monotonic() >= painted_at + GUARD


class Decided(Message):
    """A person has decided; the command is for the engine."""

    def __init__(self, command: Command) -> None:
        super().__init__()
        self.command = command


class KeyGuard:
    """The times of the last keys, and whether the last one is held down."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._pressed = 0.0
        self._key = ""
        self._held = False
        self.anew = True
        """The last key was pressed by itself: it is another one than before, or comes after a pause of a second.

        A terminal tells of no key that is released, and a held key repeats first after up to 0.5 s.
        """

    def saw(self, event: events.Key) -> None:
        """Note a key before its action runs."""
        self.note(event.key, event.time)

    def note(self, key: str, at: float) -> None:
        """Note a key that was pressed at a monotonic time in seconds."""
        self.anew = key != self._key or at - self._pressed >= _PAUSE
        self._held = at - self._last.get(key, float("-inf")) < _REPEAT
        self._last[key] = self._pressed = at
        self._key = key

    def deliberate(self, painted_at: float) -> bool:
        """Whether the last key came from a person who had time to read what was painted then."""
        return not self._held and self._pressed >= painted_at + GUARD


class TypedField(Input):
    """A line to type in. It takes no paste and remembers nothing; `esc` leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("field.done", "field.leave")

    class Left(Message):
        """`esc` was pressed."""

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.by_hand = False
        """An enter that comes too fast after a character is ignored, because this field decides by itself."""
        self._last_key = float("-inf")

    async def on_key(self, event: events.Key) -> None:
        """Submit on enter, unless it came right behind a character: some terminals do not mark a paste as one."""
        typed = event.time - self._last_key > _PASTED
        self._last_key = event.time
        if event.key != "enter":
            return
        # At once: as a binding it would be overtaken by the characters that are typed after it.
        event.stop()
        event.prevent_default()
        if typed or not self.by_hand:
            await self.action_submit()
        else:
            self.value = ""
            self.notify("That came all at once, as a paste does. Type it.", severity="warning", markup=False)

    async def action_done(self) -> None:
        """Submit the text, as enter does in any input."""
        await self.action_submit()

    def on_paste(self, event: events.Paste) -> None:
        """Ignore a paste: a decision is typed."""
        event.prevent_default()
        event.stop()

    def action_paste(self) -> None:
        """Ignore the program's own clipboard, too."""

    def action_leave(self) -> None:
        self.value = ""
        self.post_message(self.Left())


class PanelTitle(RowWidget):
    """The rule above a panel with a text at each end: `== GATE canary -> half ====== waiting 02:11 ==`.

    In a narrow terminal the text at the right is left out first, then the left one is cut; `kept` always stands.
    """

    def __init__(self) -> None:
        super().__init__(classes="panel-title")
        self._left = self._right = self._stands = ""
        self._cut = self._urgent = False

    def show(self, left: str, right: str = "", kept: str = "", *, urgent: bool = False) -> None:
        """Change the texts; `kept` follows `right`, and is red if it is urgent."""
        if (left, right, kept, urgent) != (self._left, self._right, self._stands, self._urgent):
            self._left, self._right, self._stands, self._urgent = left, right, kept, urgent
            self.refresh()

    def show_cut(self, cut: bool) -> None:
        """Show or hide the keys that scroll, for details that do not fit."""
        if cut != self._cut:
            self._cut = cut
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  Textual's signature
        width = self.size.width
        right = self._at_right(width)
        right = [(" ", "rule"), *right, (" ==", "rule")] if right else [("==", "rule")]
        room = width - texts_width(right) - 4
        left = f" {fit(self._left, room).rstrip()} " if room > 8 else " "
        pieces: list[TonedText] = [("==", "rule"), (left, "rule")]
        pieces.append(("=" * max(0, width - texts_width([*pieces, *right])), "rule"))
        return self.strip([*pieces, *right], width)

    def _at_right(self, width: int) -> list[TonedText]:
        """Choose the texts at the right: what is asked comes before since when, but not before until when."""
        kept: list[TonedText] = [(self._stands, "failed" if self._urgent else "rule")] if self._stands else []
        scroll: list[TonedText] = [("[ and ] scroll", "rule")] if self._cut else []
        gap: list[TonedText] = [("  ", "rule")] if self._cut and (self._right or self._stands) else []
        all_of_it = [(self._right + (", " if kept and self._right else ""), "rule"), *kept] if self._right else kept
        least = [*scroll, *(gap if kept else []), *kept]
        room = width - texts_width([(self._left, "")]) - 9
        if texts_width([*scroll, *gap, *all_of_it]) <= room:
            return [*scroll, *gap, *all_of_it]
        return least if not kept or texts_width(least) + _LEAST_LEFT <= width else kept


def line(*pieces: TonedText | str) -> Content:
    """Make a line of a panel; a plain string has no tone."""
    parts = [(one_line(piece), "") if isinstance(piece, str) else (one_line(piece[0]), piece[1]) for piece in pieces]
    return Content.assemble(*((text, _TONE_COLOURS.get(tone, "")) for text, tone in parts))


def keyed(key: str, *rest: TonedText | str) -> Content:
    """Make a line that begins with the key to press."""
    return line(" ", (key, "key"), " ", *rest)


def _indented(lines: Sequence[Content]) -> Content:
    """Stack lines. Their first blank becomes the margin, so that wrapped text begins below it, too."""
    return Content("\n").join(one[1:] if one.plain.startswith(" ") else one for one in lines)


class Panel(Vertical):
    """A question docked below the logs: a title, details that scroll, a field, and the keys.

    It never takes the focus by itself. It is as high as it needs, up to the rows that the screen leaves it.
    """

    class Asks(Message):
        """The field was opened or closed, so the texts around it change."""

    def __init__(self, guard: KeyGuard, *, id: str) -> None:  # noqa: A002  Textual's name
        super().__init__(id=id)
        self.display = False
        self._guard = guard
        self._painted_at = float("inf")
        self._shown: dict[str, tuple[str, tuple[Span, ...]]] = {}
        self._focus_before: Widget | None = None
        self._on_typed: Callable[[str], None] | None = None

    def compose(self) -> ComposeResult:
        yield PanelTitle()
        with VerticalScroll(classes="panel-details", can_focus=False):
            yield Static(classes="panel-text", markup=False)
        yield from self.compose_choice()
        yield Static(classes="panel-says", markup=False)
        with Horizontal(classes="panel-entry"):
            yield Static(classes="panel-label", markup=False)
            yield TypedField()
        yield Static(classes="panel-keys", markup=False)

    def compose_choice(self) -> ComposeResult:
        """Lay out the choices between the details and the field."""
        yield from ()

    def choice_rows(self) -> int:
        """Return the rows of the choices."""
        return 0

    # opening and closing

    def open(self) -> None:
        """Open the panel; text typed before does not count."""
        if self.display:
            return
        self.display = True
        self._painted_at = float("inf")
        self.field.value = ""
        self.stop_asking()
        self.call_after_refresh(self._painted)

    def close(self) -> None:
        self.stop_asking()
        self.display = False

    def rearm(self) -> None:
        """Take no decision until the panel can have been read again, after another program had the terminal."""
        if self.display:
            self._painted_at = float("inf")
            self.stop_asking()
            self.call_after_refresh(self._painted)

    def deliberate(self) -> bool:
        """Whether the key that is being handled may decide something here."""
        return self.display and self._guard.deliberate(self._painted_at)

    def readable(self) -> bool:
        """Whether the panel was open long enough to be read; for keys that the guard does not see."""
        return self.display and read_since(self._painted_at)

    def _painted(self) -> None:
        self._painted_at = time.monotonic()

    # the field

    @property
    def field(self) -> TypedField:
        return self.query_one(TypedField)

    @property
    def asking(self) -> bool:
        return self._on_typed is not None

    def ask(self, label: str, on_typed: Callable[[str], None], *, by_hand: bool = False) -> None:
        """Open the empty field with a label; `enter` hands the text to `on_typed`."""
        self.field.by_hand = by_hand
        self._on_typed = on_typed
        self.field.value = ""
        self._put(".panel-label", line(label))
        if self.screen.focused is not self.field:
            self._focus_before = self.screen.focused
        self.set_class(True, "-asking")
        self.field.focus()
        self.post_message(self.Asks())

    def stop_asking(self) -> None:
        """Close the field and give the focus back."""
        if self._on_typed is None:
            return
        self._on_typed = None
        self.set_class(False, "-asking")
        self.field.value = ""
        before, self._focus_before = self._focus_before, None
        if self.screen.focused is self.field:
            self.screen.set_focus(before if before is not None and before.is_attached else None)
        self.post_message(self.Asks())

    def on_typed_field_left(self, event: TypedField.Left) -> None:
        event.stop()
        self.stop_asking()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._on_typed is not None and self._painted_at != float("inf"):
            self._on_typed(event.value)

    # texts

    def title(self, left: str, right: str = "", kept: str = "", *, urgent: bool = False) -> None:
        self.query_one(PanelTitle).show(left, right, kept, urgent=urgent)

    def details(self, lines: list[Content]) -> None:
        self._put(".panel-text", _indented(lines))

    def says(self, *lines: Content) -> None:
        self._put(".panel-says", _indented(lines))

    def keys(self, *lines: Content) -> None:
        self._put(".panel-keys", _indented(lines))

    def limit(self, rows: int) -> None:
        """Take at most `rows` rows; the details scroll."""
        others = 1 + self.choice_rows() + sum(self._rows(one) for one in (".panel-says", ".panel-keys"))
        room = max(1, rows - others - (1 if self.asking else 0))
        self.query_one(VerticalScroll).styles.max_height = room
        self.query_one(PanelTitle).show_cut(self._rows(".panel-text") > room)

    def _rows(self, selector: str) -> int:
        text = self._shown.get(selector, ("", ()))[0]
        lines = Content(text).split("\n", allow_blank=True) if text else []
        return sum(max(1, len(one.wrap(self._text_width))) for one in lines)

    @property
    def _text_width(self) -> int:
        return max(1, (self.size.width or self.screen.size.width) - 1)

    def scroll(self, rows: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def _put(self, selector: str, content: Content) -> None:
        """Change a text only if it differs: an update lays out the whole screen again."""
        key = (content.plain, tuple(content.spans))
        if self._shown.get(selector) != key:
            self._shown[selector] = key
            widget = self.query_one(selector, Static)
            widget.display = bool(content.plain) or selector == ".panel-label"
            widget.update(content)
