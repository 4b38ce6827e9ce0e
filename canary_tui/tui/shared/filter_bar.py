"""A line to type into: a label on the left, counts on the right, a complaint below."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from canary_tui.tui.actions import bindings
from canary_tui.tui.terminal import one_line


class Field(Input):
    """A one-line input without a frame; enter, escape and down are left to the bar around it."""

    DEFAULT_CSS = """
    Field, Field:focus { border: none; height: 1; padding: 0; background: $panel; }
    Field:ansi { background: $background; text-style: underline; }
    Field:nocolor { text-style: underline; }
    """
    BINDINGS = bindings("field")

    class Left(Message):
        """Escape or down was pressed; `down` asks for the list below."""

        def __init__(self, *, down: bool) -> None:
            super().__init__()
            self.down = down

    def __init__(self, placeholder: str = "", *, password: bool = False) -> None:
        super().__init__(placeholder=placeholder, password=password, select_on_focus=False)
        self.cursor_blink = False

    async def action_done(self) -> None:
        """Submit the text, as enter does in any input."""
        await self.action_submit()

    def action_leave(self) -> None:
        """Leave the field on escape."""
        self.post_message(self.Left(down=False))

    def action_down(self) -> None:
        """Leave the field downwards."""
        self.post_message(self.Left(down=True))


class LineBar(Vertical):
    """A label, a field and a text at the right; a second line appears only while something is wrong."""

    DEFAULT_CSS = """
    LineBar { height: auto; }
    LineBar > Horizontal { height: 1; }
    LineBar .label { width: auto; padding: 0 1; }
    LineBar Field { width: 1fr; min-width: 12; }
    LineBar .side { width: auto; padding: 0 1 0 2; }
    LineBar .wrong { color: $error; padding: 0 1; display: none; height: auto; max-height: 3; }
    LineBar.-wrong .wrong { display: block; }
    """

    def __init__(self, label: str, placeholder: str = "", *, id: str | None = None) -> None:  # noqa: A002  Textual's
        super().__init__(id=id)
        self._label, self._placeholder = label, placeholder

    def compose(self) -> ComposeResult:
        """Lay out the two lines."""
        with Horizontal():
            yield Static(Content(self._label), classes="label")
            yield Field(self._placeholder)
            yield Static(classes="side")
        yield Static(classes="wrong")

    @property
    def field(self) -> Field:
        """The field."""
        return self.query_one(Field)

    def say(self, side: str) -> None:
        """Change the text at the right."""
        self.query_one(".side", Static).update(Content(one_line(side)))

    def complain(self, what: str) -> None:
        """Say what is wrong with the text; "" clears it."""
        self.query_one(".wrong", Static).update(Content(one_line(what)))
        self.set_class(bool(what), "-wrong")


class AskBar(LineBar):
    """A question inside a screen that covers nothing and closes when it is answered."""

    DEFAULT_CSS = """
    AskBar { display: none; }
    AskBar.-open { display: block; }
    AskBar .label { color: $accent; text-style: bold; }
    """

    class Closed(Message):
        """The question was answered or left; the focus is free."""

    def __init__(self) -> None:
        super().__init__("")
        self._take: Callable[[str], str] = lambda _: ""

    def ask(self, label: str, value: str, take: Callable[[str], str], *, side: str = "enter takes it") -> None:
        """Ask; `take` gets the text and returns a complaint, or "" to close."""
        self._take = take
        self.query_one(".label", Static).update(Content(label))
        self.complain("")
        self.say(side)
        self.set_class(True, "-open")
        self.field.value = value
        self.field.cursor_position = len(value)
        self.field.focus()

    @property
    def open(self) -> bool:
        """Whether the question is open."""
        return self.has_class("-open")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the text, or say what is wrong with it."""
        event.stop()
        wrong = self._take(event.value.strip())
        self.complain(wrong)
        if not wrong:
            self._close()

    def on_field_left(self, event: Field.Left) -> None:
        """Close the question without an answer."""
        event.stop()
        if not event.down:
            self._close()

    def _close(self) -> None:
        self.set_class(False, "-open")
        self.post_message(self.Closed())
