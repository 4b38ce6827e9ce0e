"""The rollouts of one fleet: look at one again, or go on with one that has not ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from canary_tui.domain.state import RolloutState, apply
from canary_tui.engine.control import Notice, Opened, Refused, Resume
from canary_tui.errors import CanaryError
from canary_tui.store.directory import RolloutDirectory, rollouts
from canary_tui.store.journal import read_journal
from canary_tui.tui.actions import bindings
from canary_tui.tui.link import operator
from canary_tui.tui.phrases import short_time
from canary_tui.tui.terminal import one_line
from canary_tui.tui.widgets.footer import KeyBar
from canary_tui.tui.widgets.header import TitleBar

if TYPE_CHECKING:
    from canary_tui.tui.app import CanaryApp

_MOST = 200
"""Rollouts that are listed: the youngest."""
_HEAD = "  WHEN               RELEASE        RESULT        OK/ALL   BY"


@dataclass(frozen=True, slots=True)
class Entry:
    """One rollout, as its journal tells it. `problem` says why it could not be read."""

    directory: RolloutDirectory
    state: RolloutState
    problem: str = ""

    @property
    def resumable(self) -> bool:
        """It has begun and not ended."""
        return not self.problem and self.state.plan is not None and self.state.verdict is None


def read_entry(directory: RolloutDirectory) -> Entry:
    """Fold one journal."""
    state = RolloutState()
    try:
        for record in read_journal(directory.journal):
            apply(state, record)
    except (CanaryError, OSError, ValueError) as error:
        return Entry(directory, state, str(error))
    return Entry(directory, state)


def entry_pieces(entry: Entry) -> Iterator[tuple[str, str]]:
    """A row: when, which release, how it ended, for how many, by whom."""
    state = entry.state
    if entry.problem or state.plan is None:
        yield (f"  {entry.directory.id:30}  ", "")
        yield (one_line(entry.problem or "no journal yet"), "bold $error")
        return
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.started_at))
    ok = sum(1 for target in state.targets.values() if target.steps.outcome == "ok")
    verdict = state.verdict or (f"open, {state.paused}" if state.paused else "open")
    style = "$success" if state.verdict == "succeeded" else "bold $warning" if state.verdict is None else "bold $error"
    yield (f"  {when}   {one_line(state.plan.release):13.13}  ", "")
    yield (f"{verdict:13.13} ", style)
    by = state.started_by.user if state.started_by else ""
    yield (f"{ok:>4}/{len(state.targets):<5} {one_line(by)}", "")
    yield (f"  {short_time(max(0.0, state.at - state.started_at))}", "$foreground 65%")


class HistoryScreen(Screen[None]):
    """The list, the youngest first; journals are read in a thread."""

    BINDINGS = bindings("history", "move")
    AUTO_FOCUS = "OptionList"

    if TYPE_CHECKING:
        app: CanaryApp

    def __init__(self, state: Path, fleet: str) -> None:
        super().__init__()
        self._state, self._fleet = state, fleet
        self._entries: list[Entry] = []

    def compose(self) -> ComposeResult:
        """Title, list, what is going on, keys."""
        yield TitleBar(f"HISTORY  {self._fleet}")
        yield Static(Content(_HEAD), classes="list-head")
        yield OptionList(markup=False, id="rollouts")
        yield Static(id="summary")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read, and listen to what becomes of a resume."""
        self._forget = self.app.link.listen(self._noticed)
        self.run_worker(self._read())

    def on_unmount(self) -> None:
        """No more."""
        self._forget()

    async def _read(self) -> None:
        found = await asyncio.to_thread(rollouts, self._state, self._fleet)
        self._say("" if found else "No rollout of this fleet yet.")
        listed = self.query_one(OptionList)
        for directory in found[:_MOST]:
            entry = await asyncio.to_thread(read_entry, directory)
            self._entries.append(entry)
            listed.add_option(Option(Content.assemble(*entry_pieces(entry))))
        if self._entries:
            listed.highlighted = 0
        self.query_one(TitleBar).show(f"HISTORY  {self._fleet}", f"{len(found):,} rollouts")

    def _say(self, text: str, *, warning: bool = False) -> None:
        line = self.query_one("#summary", Static)
        line.set_class(warning, "-warning")
        line.update(Content(one_line(text)))

    def _chosen(self) -> Entry | None:
        place = self.query_one(OptionList).highlighted
        return None if place is None else self._entries[place]

    def on_option_list_option_selected(self) -> None:
        """Enter."""
        self.action_open()

    def action_open(self) -> None:
        """The same screens, read only."""
        entry = self._chosen()
        if entry is not None and entry.state.plan is not None:
            from canary_tui.tui.screens.rollout import RolloutScreen

            self.app.push_screen(RolloutScreen(entry.directory.path, None))

    def action_resume(self) -> None:
        """Have the engine take the rollout over."""
        entry = self._chosen()
        if entry is None:
            return
        if not entry.resumable:
            self._say("It has ended; there is nothing to go on with.", warning=True)
        elif self.app.link.gone:
            self._say(self.app.link.gone, warning=True)
        else:
            self._say("Resuming ...")
            self.app.link.send(Resume(str(entry.directory.path), operator()))

    def _noticed(self, notice: Notice) -> None:
        match notice:
            case Opened() if self.is_current:
                from canary_tui.tui.screens.rollout import RolloutScreen

                self.app.switch_screen(RolloutScreen(Path(notice.directory), self.app.link))
            case Refused(command="Resume"):
                self._say(f"Refused: {notice.reason}", warning=True)
            case _:
                pass

    # -- moving

    def action_up(self) -> None:
        """One up."""
        self.query_one(OptionList).action_cursor_up()

    def action_down(self) -> None:
        """One down."""
        self.query_one(OptionList).action_cursor_down()

    def action_page_up(self) -> None:
        """A screen up."""
        self.query_one(OptionList).action_page_up()  # type: ignore[no-untyped-call]  # untyped in Textual

    def action_page_down(self) -> None:
        """A screen down."""
        self.query_one(OptionList).action_page_down()  # type: ignore[no-untyped-call]  # untyped in Textual

    def action_top(self) -> None:
        """The youngest."""
        self.query_one(OptionList).action_first()

    def action_bottom(self) -> None:
        """The oldest."""
        self.query_one(OptionList).action_last()

    def action_back(self) -> None:
        """Away."""
        self.dismiss()
