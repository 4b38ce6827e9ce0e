"""The dialogs that only a person can answer: host keys, secrets, leaving, a choice among several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from canary_tui.store.layout import resume_command
from canary_tui.tui.actions import bindings
from canary_tui.tui.shared.filter_bar import Field
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.terminal import one_line

if TYPE_CHECKING:
    from canary_tui.engine.target import Question

ARMED_AFTER = 0.8
"""Seconds from a question's first frame until it listens, so that keys meant for another screen have passed."""

_TITLES = {
    "host-key": "An unknown host key",
    "passphrase": "A passphrase",
    "password": "A password",
    "sudo-password": "A password for sudo",
}


class SecretField(Field):
    """A field that may refuse pastes, for words that a person must read before typing them."""

    def __init__(self, *, password: bool, pastes: bool) -> None:
        super().__init__(password=password)
        self._pastes = pastes

    def on_paste(self, event: events.Paste) -> None:
        if not self._pastes:
            event.prevent_default()
            event.stop()


class QuestionScreen(ModalScreen[str | None]):
    """One question of the engine. It is dismissed with the answer, or with None to refuse the target."""

    BINDINGS = bindings("question")
    AUTO_FOCUS = None

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._armed = False

    def compose(self) -> ComposeResult:
        """Lay out the question, the field and the hint."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(_TITLES[self._question.kind])
            yield Static(question_text(self._question))
            is_key = self._question.kind == "host-key"
            field = SecretField(password=not is_key, pastes=not is_key)
            field.disabled = True
            yield field
            yield Static(Content("In a moment ..."), classes="hint")

    def on_mount(self) -> None:
        """Start the clock when the question is seen, not when it is made."""
        self.call_after_refresh(lambda: self.set_timer(ARMED_AFTER, self._arm))

    def _arm(self) -> None:
        self._armed = True
        field = self.query_one(SecretField)
        field.disabled = False
        field.value = ""
        field.focus()
        self._hint(_what_to_do(self._question))

    def _hint(self, text: str) -> None:
        self.query_one(".hint", Static).update(Content(text))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the answer; a host key takes exactly `yes`, and an empty text is no answer."""
        event.stop()
        answer = event.value
        if self._question.kind == "host-key":
            answer = answer.strip()
            if answer != "yes":
                self._hint("Only the word yes accepts the key.  esc refuses this target")
                return
        if answer:
            self.dismiss(answer)

    def on_field_left(self, event: Field.Left) -> None:
        """Refuse the target on escape in the field."""
        event.stop()
        if not event.down:
            self.action_refuse()

    def action_refuse(self) -> None:
        """Refuse this target; the others continue."""
        if self._armed:
            self.dismiss(None)


def _what_to_do(question: Question) -> str:
    if question.kind == "host-key":
        return "Compare the fingerprint, then type yes, enter.  esc refuses this target"
    does = "opens the key" if question.kind == "passphrase" else "sends it"
    return f"Kept in memory only.  enter {does}, esc refuses this target"


def question_text(question: Question) -> Content:
    """Write the question, with the server's own words marked as such."""
    return Content.assemble(*_question_parts(question))


def _question_parts(question: Question) -> Iterator[tuple[str, str]]:
    yield ("Target   ", "bold")
    yield (one_line(question.target) + "\n", "")
    yield ("Address  ", "bold")
    yield (one_line(question.address) + "\n", "")
    if question.key_type or question.fingerprint:
        yield ("Key      ", "bold")
        yield (one_line(question.key_type) + "\n", "")
        yield ("         " + one_line(question.fingerprint) + "\n", "bold $accent")
    if question.words.strip():
        # About a key of this machine no server has said anything.
        title = "The key" if question.kind == "passphrase" else "The server's own words"
        yield (f"\n{title}:\n", "bold")
        for line in question.words.strip().splitlines()[:6]:
            yield ("  | " + one_line(line)[:200] + "\n", "$secondary")


class LeaveScreen(ModalScreen[bool]):
    """The question before leaving a live rollout: it says what happens then, and takes one capital."""

    BINDINGS = bindings("leave")

    def __init__(self, rollout: str, *, demo: bool = False) -> None:
        super().__init__()
        self._text = (
            "Without this screen nothing new starts,\n"
            "running steps continue on their targets, and every gate holds.\n\n"
            f"Later:  {resume_command(one_line(rollout))}\n"
        )
        if demo:
            self._text = "The demo's servers end with this screen, and the rollout with them.\n"

    def compose(self) -> ComposeResult:
        """Lay out the sentence and the keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content("A rollout is live")
            yield Static(Content(self._text))
            yield KeyBar()

    def action_leave(self) -> None:
        """Leave."""
        self.dismiss(True)

    def action_stay(self) -> None:
        """Stay."""
        self.dismiss(False)


class ChooseScreen(ModalScreen[int | None]):
    """A choice among several. It is dismissed with an index, or None."""

    BINDINGS = bindings("choose")

    def __init__(self, title: str, options: Sequence[str], current: int = 0, esc: str = "esc leaves") -> None:
        super().__init__()
        self._title, self._options, self._current, self._esc = title, options, current, esc

    def compose(self) -> ComposeResult:
        """Lay out the options."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(one_line(self._title))
            dialog.border_subtitle = Content(one_line(f"enter chooses, {self._esc}"))
            yield OptionList(*(Option(Content(one_line(option))) for option in self._options), markup=False)

    def on_mount(self) -> None:
        """Start at the current option."""
        for options in self.query(OptionList):  # none where a key has ended the dialog before it was there
            options.highlighted = self._current

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the selected option."""
        self.dismiss(event.option_index)

    def action_up(self) -> None:
        """Move as the arrow keys do."""
        self.query_one(OptionList).action_cursor_up()

    def action_down(self) -> None:
        """Move as the arrow keys do."""
        self.query_one(OptionList).action_cursor_down()

    def action_leave(self) -> None:
        """Close without a choice."""
        self.dismiss(None)
