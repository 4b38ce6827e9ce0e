"""The panel of Ctrl-C: it starts nothing new while it asks what to stop, then shows each target's answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from canary_tui.domain.fleet.names import count
from canary_tui.domain.rollout.events import CancelFinished, Operator, StopRequested, StopWithdrawn
from canary_tui.domain.rollout.narration import noted
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import StopStage
from canary_tui.engine.messages import Decide
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.status_bar import waiting_words
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, line
from canary_tui.tui.shared.rows import RowWidget

StopChoice = Literal["keep", "starting", "running", "abort"]

_LABELS: dict[StopChoice, str] = {
    "keep": "Continue         start what was held back; nothing is stopped",
    "starting": "Stop starting    running steps finish, nothing new starts; resume later",
    "running": "Stop what runs   end the running processes on the targets, and verify it",
    "abort": "Abort ...        no further targets; then roll back or keep",
}

_GO_ON = "Continue         withdraw the stop: start what was held back"


class StopChoices(RowWidget, can_focus=True):
    """The choices in rows, one of them selected; `enter` takes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k,left", "move(-1)", "Up", show=False),
        Binding("down,j,right", "move(1)", "Down", show=False),
        Binding("enter", "take", "Choose", show=False),
        Binding("escape", "leave", "Back", show=False),
    ]

    class Taken(Message):
        """A choice was taken; None for `esc`."""

        def __init__(self, choice: StopChoice | None) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self) -> None:
        super().__init__(classes="choices")
        self.choices: tuple[StopChoice, ...] = ()
        self._at = 0

    def offer(self, choices: tuple[StopChoice, ...]) -> None:
        """Show choices; new ones start at the first."""
        if choices != self.choices:
            self.choices, self._at = choices, 0
            self.styles.height = len(choices)
            self.refresh()

    def reset(self) -> None:
        self._at = 0
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if y >= len(self.choices):
            return self.strip([], self.size.width)
        chosen = y == self._at
        mark = ">" if chosen else " "
        return self.strip(
            [(f" {mark} {self._label(self.choices[y])}", "plain")], self.size.width, "cursor" if chosen else ""
        )

    def _label(self, choice: StopChoice) -> str:
        # While this panel only asks, new steps start again by themselves; after a stop they do not.
        return _GO_ON if choice == "keep" and "starting" not in self.choices else _LABELS[choice]

    def action_move(self, rows: int) -> None:
        self._at = max(0, min(self._at + rows, len(self.choices) - 1))
        self.refresh()

    def action_take(self) -> None:
        if self.choices:
            self.post_message(self.Taken(self.choices[self._at]))

    def action_leave(self) -> None:
        self.post_message(self.Taken(None))


class StopPanel(Panel):
    """Starts nothing new as soon as it opens, with Continue selected, while a person thinks.

    Once something is stopped, it shows each target's answer.
    """

    class AbortWanted(Message):
        """The person wants to abort instead."""

    def __init__(self, guard: KeyGuard, by: Operator) -> None:
        super().__init__(guard, id="stop")
        self._by = by
        self._follower: Follower | None = None
        self._note = ""
        self._holding = False
        """This panel asked to start nothing new, and that was neither withdrawn nor made a stop since."""

    def compose_choice(self) -> ComposeResult:
        yield StopChoices()

    def choice_rows(self) -> int:
        return len(self.query_one(StopChoices).choices)

    def begin(self, follower: Follower) -> None:
        """Open the panel and start nothing new; the second time, once it can have been read, stop running steps."""
        self._follower = follower
        if self.display:
            if self.readable() and self._guard.anew:
                self._stop("running")
            else:
                self._note = "wait a second, then press ctrl+c again to stop running steps"
            return
        self._note = ""
        self._holding = follower.state.stop in ("none", "asking")
        if self._holding:
            self._decide(StopRequested("asking", self._by))  # again, too: one that was withdrawn is perhaps still shown
        self.open()
        choices = self.query_one(StopChoices)
        choices.reset()
        self.draw()
        self._focus_before = self.screen.focused
        choices.focus()

    def draw(self) -> None:
        """Show the progress of the stop."""
        if self._follower is None or not self.display:
            return
        state = self._follower.state
        self.title(*_title(state, len(self._follower.running())))
        self.details(self._details(self._follower))
        self.says(*([line((f" {self._note}", "unknown"))] if self._note and state.stop != "running" else []))
        self.keys(line((_keys(state), "dim")))
        self.query_one(StopChoices).offer(_choices(state))

    def close(self) -> None:
        super().close()
        before = self._focus_before
        if before is not None and before.is_attached:
            self.screen.set_focus(before)

    def on_stop_choices_taken(self, event: StopChoices.Taken) -> None:
        event.stop()
        if self._follower is None or (event.choice not in (None, "keep") and not self.deliberate()):
            return
        match event.choice:
            case None:
                self.release()
                self.close()
            case "keep":
                self._holding = self._holding or self._follower.state.stop in ("asking", "starting")
                self.release()
                self.close()
            case "starting" | "running":
                self._stop(event.choice)
            case "abort":
                self.close()
                self.post_message(self.AbortWanted())

    def release(self) -> None:
        """Let new steps start again, if only this question kept them back."""
        if self._holding:
            self._holding = False
            self._decide(StopWithdrawn(self._by))

    def _stop(self, stage: StopStage) -> None:
        assert self._follower is not None
        if self._follower.state.stop not in (stage, "running"):
            self._holding = False
            self._decide(StopRequested(stage, self._by))

    def _decide(self, decision: StopRequested | StopWithdrawn) -> None:
        assert self._follower is not None
        self.post_message(Decided(Decide(self._follower.state.rollout, decision)))

    def _details(self, follower: Follower) -> list[Content]:
        running = follower.running()
        lines = [_stopping(follower, target) for target in running[:_MOST]]
        if len(running) > _MOST:
            lines.append(line((f"   and {len(running) - _MOST} more", "dim")))
        lines += [_stopped(event) for event in follower.stops.values() if isinstance(event, CancelFinished)]
        return lines or [line((" no step runs on any target", "dim"))]


_MOST = 20


def _choices(state: RolloutState) -> tuple[StopChoice, ...]:
    can_abort = state.stage in ("preflight", "waves") and state.aborted == "none"
    abort: tuple[StopChoice, ...] = ("abort",) if can_abort else ()
    match state.stop:
        case "none" | "asking":
            return ("keep", "starting", "running", *abort)
        case "starting":
            return ("keep", "running", *abort)
        case "running":
            return ()


def _keys(state: RolloutState) -> str:
    match state.stop:
        case "none" | "asking":
            return " ↑ ↓ enter choose, esc continues; ctrl+c again stops running steps"
        case "starting":
            return " esc closes this, and the stop stays; ctrl+c again stops running steps"
        case "running":
            return " esc closes this; stopped steps stay stopped"


def _title(state: RolloutState, running: int) -> tuple[str, str]:
    steps = count(running, "step")
    match state.stop:
        case "none":
            return "STOP? telling the engine to start nothing new", f"{steps} running"
        case "asking":
            return "STOP? nothing new starts until you choose", f"{steps} running"
        case "starting":
            return "STOPPING: nothing new starts", f"{steps} running"
        case "running":
            return "STOPPING running steps", f"{steps} still running" if running else "all ended"


def _stopping(follower: Follower, target: TargetState) -> Content:
    assert target.running is not None
    # No symbol before it: `>` marks the selected choice below.
    doing = "is being stopped" if target.running.cancelling else "runs"
    return line(f"   {waiting_words(follower, target)}  ", (doing, "running"))


def _stopped(event: CancelFinished) -> Content:
    if event.confirmed:
        return line((" + ", "ok"), f"{event.target} stopped{noted(event.detail)}")
    return line(
        (" ? ", "unknown"), f"{event.target} unconfirmed: {event.detail or 'the end of its step is not proven'}"
    )
