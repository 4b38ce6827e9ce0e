"""The rollouts of one fleet, to open one read only or to resume one that has not ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from canary_tui.domain.fleet.names import count
from canary_tui.errors import ExitCode
from canary_tui.store.history import RolloutSummary, history
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Host
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.formats import tight_time
from canary_tui.tui.shared.header import TitleBar
from canary_tui.tui.terminal import one_line

_MOST = 200
"""Rollouts that are listed, the youngest first."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the list: its title, its width with the blanks after it, and a rollout's text and style."""

    title: str
    width: int
    gap: int
    text: Callable[[RolloutSummary], str]
    style: Callable[[RolloutSummary], str] = lambda _summary: ""
    right: bool = False

    def fitted(self, text: str) -> str:
        """Fit a text into the column."""
        room = self.width - self.gap
        text = one_line(text)[:room]
        return (text.rjust(room) if self.right else text.ljust(room)) + " " * self.gap


def _result(summary: RolloutSummary) -> str:
    return summary.word or f"open, {'at work' if summary.engine else summary.pause}"


def _result_style(summary: RolloutSummary) -> str:
    if summary.exit_code == ExitCode.SUCCEEDED:
        return "$success"
    failed = summary.verdict is not None and summary.exit_code != ExitCode.PARTLY
    return "bold $error" if failed else "bold $warning"


def _took(summary: RolloutSummary) -> str:
    ended = summary.ended_at
    return "" if ended is None else tight_time(max(0.0, ended - summary.started_at))


COLUMNS: tuple[Column, ...] = (
    Column("WHEN", 19, 3, lambda one: time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started_at))),
    Column("RELEASE", 15, 1, lambda one: one.release),
    Column("RESULT", 18, 0, _result, _result_style),
    Column("TARGETS", 10, 3, lambda one: f"{one.targets:,}", right=True),
    Column("BY", 10, 1, lambda one: one.by.user),
    Column("TOOK", 6, 0, _took, lambda _one: "$foreground 65%"),
)
_INDENT = "  "
_HEAD = _INDENT + "".join(column.fitted(column.title) for column in COLUMNS)


def summary_pieces(summary: RolloutSummary) -> Iterator[tuple[str, str]]:
    """Write a row of the list as texts with styles."""
    yield (_INDENT, "")
    for column in COLUMNS:
        yield (column.fitted(column.text(summary)), column.style(summary))


class Rollouts(OptionList):
    """The list. Its enter is an action of the registry, so that the footer and the help know it."""

    BINDINGS = bindings("history.open")

    def action_open(self) -> None:
        """Open the selected rollout."""
        self.action_select()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:  # noqa: ARG002  Textual's signature
        """Offer enter only while there is a rollout."""
        return action != "open" or self.option_count > 0


class HistoryScreen(Screen[None]):
    """The list of rollouts."""

    BINDINGS = bindings("history", "move")
    AUTO_FOCUS = "Rollouts"

    def __init__(self, host: Host, fleet: str) -> None:
        super().__init__()
        self._host, self._fleet = host, fleet
        self._found: list[RolloutSummary] = []

    def compose(self) -> ComposeResult:
        """Lay out title, list, message and keys."""
        yield TitleBar(f"HISTORY  {self._fleet}")
        yield Static(Content(_HEAD), classes="list-head")
        yield Rollouts(markup=False, id="rollouts")
        yield Static(id="summary")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the rollouts."""
        self.run_worker(self._read())

    async def _read(self) -> None:
        found = await asyncio.to_thread(history, self._host.options.state, self._fleet)
        self._found = found[:_MOST]
        self._say("" if found else "No rollout of this fleet yet.")
        listed = self.query_one(OptionList)
        listed.add_options([Option(Content.assemble(*summary_pieces(one))) for one in self._found])
        listed.highlighted = 0 if found else None
        self.refresh_bindings()
        self.query_one(TitleBar).show(f"HISTORY  {self._fleet}", count(len(found), "rollout"))

    def _say(self, text: str, *, warning: bool = False) -> None:
        line = self.query_one("#summary", Static)
        line.set_class(warning, "-warning")
        line.update(Content(one_line(text)))

    def _chosen(self) -> RolloutSummary | None:
        place = self.query_one(OptionList).highlighted
        return None if place is None else self._found[place]

    def on_option_list_option_selected(self) -> None:
        """Open the rollout on enter."""
        self.action_open()

    def action_open(self) -> None:
        """Open the rollout read only."""
        if chosen := self._chosen():
            from canary_tui.tui.rollout.screen import RolloutScreen  # 85 ms that the list need not wait for

            self.app.push_screen(RolloutScreen(chosen.path, None, self._host.options))

    def action_resume(self) -> None:
        """Ask the engine to take the rollout over."""
        chosen = self._chosen()
        if chosen is None:
            return
        if chosen.verdict is not None:
            self._say(f"It is over ({chosen.word}); there is nothing to go on with.", warning=True)
        elif self._host.link.gone:
            self._say(self._host.link.gone, warning=True)
        else:
            self._say("Resuming ...")
            self._host.resume(chosen.path, self._refused)

    def _refused(self, reason: str) -> None:
        self._say(f"Refused: {reason}", warning=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:  # noqa: ARG002  Textual's signature
        """Offer open and resume only while there is a rollout."""
        return action not in ("open", "resume") or bool(self._found)

    # -- moving

    def action_up(self) -> None:
        """Move up one row."""
        self.query_one(OptionList).action_cursor_up()

    def action_down(self) -> None:
        """Move down one row."""
        self.query_one(OptionList).action_cursor_down()

    def action_page_up(self) -> None:
        """Move up one screen."""
        self.query_one(OptionList).action_page_up()  # type: ignore[no-untyped-call]  # untyped in Textual

    def action_page_down(self) -> None:
        """Move down one screen."""
        self.query_one(OptionList).action_page_down()  # type: ignore[no-untyped-call]  # untyped in Textual

    def action_top(self) -> None:
        """Move to the youngest."""
        self.query_one(OptionList).action_first()

    def action_bottom(self) -> None:
        """Move to the oldest."""
        self.query_one(OptionList).action_last()

    def action_back(self) -> None:
        """Return to the picker."""
        self.dismiss()
