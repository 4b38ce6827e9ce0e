"""The first screen: the choice of canaries, release and environment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.selection import SelectionError, parse_filter
from canary_tui.domain.planning.build import Choices, PlanError, build_plan, check_release
from canary_tui.errors import CanaryError, ExitCode
from canary_tui.fleetfile.loader import LoadedFleet, load_fleet
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Host
from canary_tui.tui.picker.candidates import Candidates, candidates_of, learn
from canary_tui.tui.picker.target_table import TableHead, TargetTable
from canary_tui.tui.shared.filter_bar import AskBar, Field, LineBar
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.header import TitleBar
from canary_tui.tui.shared.problems import ProblemsScreen
from canary_tui.tui.shared.prompts import ChooseScreen
from canary_tui.tui.terminal import one_line

if TYPE_CHECKING:
    from canary_tui.store.inventory import Known

_HERE = (
    "plan suggest filter only-marked undo random one-each environment release history reload clear quit".split()  # noqa: SIM905
)


class PickerScreen(Screen[None]):
    """The picker. It is shown before the fleet file is read, in a thread."""

    BINDINGS = bindings(*(f"picker.{name}" for name in _HERE))
    AUTO_FOCUS = "TargetTable"

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._options = host.options
        self._choices: Choices = host.options.choices
        self._loaded: LoadedFleet | None = None
        self._here = Candidates()
        self._origin = ""
        self._warning = ""
        self._offered = False  # the fleet's open rollouts were offered
        self._dice = random.Random()  # noqa: S311  nobody gains by guessing a canary

    def compose(self) -> ComposeResult:
        """Lay out title, filter, table, question, summary and keys."""
        yield TitleBar(f"canary-tui  {self._options.fleet}")
        yield LineBar("Filter:", "@role  key=value  name*  !not, or plain words", id="filter")
        head = TableHead()
        yield head
        yield TargetTable(head)
        yield AskBar()
        yield Static(id="summary")
        yield KeyBar()

    @property
    def table(self) -> TargetTable:
        """The table of targets."""
        return self.query_one(TargetTable)

    @property
    def _leaving(self) -> bool:
        """Whether the screen was taken down while a thread read for it."""
        return not self.query(TargetTable)

    @property
    def filter(self) -> LineBar:
        """The filter's line."""
        return self.query_one("#filter", LineBar)

    # -- reading the fleet file

    def on_mount(self) -> None:
        """Read the file once the first frame is out."""
        self._summarise()
        self.call_after_refresh(self.action_reload)

    def action_reload(self) -> None:
        """Read the fleet file, again or for the first time."""
        self.run_worker(self._load(), exclusive=True, group="load")

    async def _load(self) -> None:
        assert self._options.fleet is not None
        try:
            self._loaded = await asyncio.to_thread(load_fleet, self._options.fleet)
        except CanaryError as error:
            self._refuse(error)
            return
        if not self._leaving:
            await self._settle(self._choices.environment or "")

    def _refuse(self, error: CanaryError) -> None:
        assert self._options.fleet is not None
        self.app.push_screen(ProblemsScreen(self._options.fleet, error), self._reload_or_leave)

    def _reload_or_leave(self, why: str | None) -> None:
        if why:
            self._host.refused_file = why
            self.app.exit(ExitCode.USAGE)
        else:
            self.action_reload()

    async def _settle(self, environment: str) -> None:
        """Show the targets of an environment; ask if several are possible."""
        assert self._loaded is not None
        environments = tuple(self._loaded.fleet.environments)
        if environment not in environments:
            environment = environments[0] if len(environments) == 1 else ""
        if environments and not environment:
            self._warn("Choose the environment to roll out to")
            self.action_environment()
            return
        self._choices = replace(self._choices, environment=environment or None)
        try:
            self._here = await asyncio.to_thread(candidates_of, self._loaded.fleet, self._choices)
        except PlanError as error:
            self._refuse(error)
            return
        if self._leaving:
            return
        self._origin = self._here.origin
        self.table.load(self._here.picker)
        self._filter_again()
        self._title()
        self.call_after_refresh(self._targets_are_out)
        if not self._choices.release:
            self.action_release()

    async def _targets_are_out(self) -> None:
        self.run_worker(self._learn(), exclusive=True, group="learn")
        await self._host.start_engine()

    async def _learn(self) -> None:
        """Add the last outcomes when they are read: old journals may be long."""
        assert self._loaded is not None
        known = await asyncio.to_thread(self._last_known, self._loaded.fleet.name)
        if known and not self._leaving:
            self._here = learn(self._here, known, self._choices.release, time.time())
            self.table.learn()
        if not self._offered and not self._leaving:
            from canary_tui.tui.picker.open_rollouts import offer  # with the journals: not before the targets are shown

            self._offered = await offer(self, self._host, self._loaded.fleet.name, self._warn)

    def _last_known(self, fleet: str) -> Known:
        from canary_tui.store.inventory import last_known  # all that reads journals: not before the targets are shown

        return last_known(self._options.state, fleet)

    def _title(self) -> None:
        assert self._loaded is not None
        release = f"release {self._choices.release}" if self._choices.release else "no release yet"
        parts = (self._loaded.fleet.name, self._choices.environment or "", release)
        title = "canary-tui  " + " · ".join(part for part in parts if part)
        self.query_one(TitleBar).show(title, count(len(self._here.picker.rows), "target"))

    # -- the counts and the summary

    def on_target_table_changed(self) -> None:
        """Tell the new marks, filter or order."""
        self._warning = ""
        self._summarise()

    def _summarise(self) -> None:
        picker = self._here.picker
        hidden = len(picker.hidden)
        marked = f"marked {len(picker.marked) - hidden:,}" + (f" (+{hidden:,} hidden)" if hidden else "")
        only = "only marked   " if picker.only_marked else ""
        self.filter.say(f"{only}shown {len(picker.shown):,}   {marked}" if self._loaded else "")
        line = self.query_one("#summary", Static)
        line.set_class(bool(self._warning), "-warning")
        line.update(Content(one_line(self._warning or self._sentence())), layout=False)

    def _sentence(self) -> str:
        if self._loaded is None:
            return "Reading the fleet file ..."
        if self.table.range_start is not None:
            return "Range: move to its other end, then space marks it; esc forgets it"
        return self._here.sentence(self._origin)

    def _warn(self, text: str) -> None:
        self._warning = text
        self._summarise()

    # -- the filter

    def action_filter(self) -> None:
        """Move the focus to the filter."""
        self.filter.field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply the filter at every key."""
        if event.input is self.filter.field:
            self._filter_again()

    def _filter_again(self) -> None:
        """Apply the filter; an incomplete one changes nothing and says what is wrong."""
        text = self.filter.field.value.strip()
        try:
            test = self._here.test_of(parse_filter(text)) if text else None
        except SelectionError as error:
            self.filter.complain(str(error))
            return
        self.filter.complain("")
        self._here.picker.narrow(test)
        self.table.show_again(to_top=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Move from the filter to the list on enter."""
        event.stop()
        self.table.focus()

    def on_field_left(self, event: Field.Left) -> None:
        """Clear the filter on escape, then leave it; on down, move to the list."""
        field = self.filter.field
        if not event.down and field.value:
            field.value = ""
        else:
            self.table.focus()

    def action_clear(self) -> None:
        """Cancel the range, else clear the filter."""
        if self.table.range_start is not None:
            self.table.action_span()
        elif self._here.picker.only_marked:
            self.action_only_marked()
        else:
            self.filter.field.value = ""

    def action_only_marked(self) -> None:
        """List only the marked targets, or all."""
        self._here.picker.toggle_only_marked()
        self.table.show_again(to_top=True)

    # -- marks

    def action_suggest(self) -> None:
        """Mark suitable canaries."""
        if self._can_pick():
            self._origin = self._here.picker.suggest()
            self._here.picker.preselected = frozenset(self._here.picker.marked)
            self.table.marks_changed()

    def action_undo(self) -> None:
        """Undo the last change of marks."""
        if self._here.picker.undo():
            self.table.marks_changed()
        else:
            self._warn("Nothing to take back")

    def action_random(self) -> None:
        """Ask for the number of targets to mark at random."""
        if self._can_pick():
            most = len(self._here.picker.shown)
            self.query_one(AskBar).ask("How many at random:", "", self._random, side=f"of {most:,} shown")

    def _random(self, text: str) -> str:
        most = len(self._here.picker.shown)
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
            return f"expected a number from 1 to {most:,}"
        self._here.picker.mark_random(int(text), self._dice)
        self.table.marks_changed()
        return ""

    def action_one_each(self) -> None:
        """Mark one target for each value of a tag; ask for the tag if there are several."""
        tags = self._here.picker.tag_names()
        if not self._can_pick():
            return
        if not tags:
            self._warn("No target has tags")
        elif len(tags) == 1:
            self._one_each(tags, 0)
        else:
            self.app.push_screen(ChooseScreen("One target of each", tags), lambda place: self._one_each(tags, place))

    def _one_each(self, tags: tuple[str, ...], place: int | None) -> None:
        if place is not None:
            self._here.picker.mark_one_each(tags[place])
            self.table.marks_changed()

    def _can_pick(self) -> bool:
        if self._here.why_not:
            self._warn(self._here.why_not)
        return bool(self._here.picker.rows) and not self._here.why_not

    # -- environment and release

    def action_environment(self) -> None:
        """Choose among the file's environments."""
        if self._loaded is None:
            return
        names = tuple(self._loaded.fleet.environments)
        if not names:
            self._warn("The fleet file has no environments")
            return
        current = names.index(self._choices.environment) if self._choices.environment in names else 0
        about = [self._about_environment(name) for name in names]
        esc = "esc keeps it" if self._choices.environment else "esc leaves the program"
        self.app.push_screen(ChooseScreen("Roll out to", about, current, esc), lambda place: self._enter(names, place))

    def _about_environment(self, name: str) -> str:
        assert self._loaded is not None
        targets = self._loaded.fleet.targets
        members = sum(1 for target in targets if not target.environments or name in target.environments)
        protected = ", protected" if self._loaded.fleet.environments[name].protected else ""
        return f"{name}  ({count(members, 'target')}{protected})"

    def _enter(self, names: tuple[str, ...], place: int | None) -> None:
        if place is not None:
            self.run_worker(self._settle(names[place]), exclusive=True, group="load")
        elif self._choices.environment not in names:
            self.app.exit(ExitCode.USAGE)  # no targets can be shown without one

    def action_release(self) -> None:
        """Ask for the release."""
        if self._loaded is not None:
            self.query_one(AskBar).ask("Release:", self._choices.release, self._take_release)

    def _take_release(self, text: str) -> str:
        try:
            check_release(text)
        except ValueError as error:
            return str(error) if text else "Which release? For example 1.4.2"
        self._choices = replace(self._choices, release=text)
        self._title()
        return ""

    def on_ask_bar_closed(self) -> None:
        """Return to the list."""
        self.table.focus()

    # -- further

    def action_plan(self) -> None:
        """Show the plan, or say what is missing."""
        if missing := self._missing():
            self._warn(missing)
            return
        if not self._choices.release:
            self.action_release()
            return
        self.run_worker(self._plan(), exclusive=True, group="plan")

    def _missing(self) -> str:
        picker = self._here.picker
        if self._loaded is None or self._here.why_not:
            return "" if self._loaded else "The fleet file is still being read"
        if not picker.marked:
            return "Mark at least one canary first: space marks, s suggests"
        if len(picker.marked) == len(picker.rows):
            return f"All {len(picker.rows):,} are marked; leave at least one for after the gate"
        return ""

    async def _plan(self) -> None:
        assert self._loaded is not None
        canaries = None if self._here.why_not else self._here.picker.marked_names()
        folder = str(self._loaded.path.resolve().parent)
        self._choices = replace(self._choices, canaries=canaries, picked=canaries is not None, directory=folder)
        try:
            plan = await asyncio.to_thread(build_plan, self._loaded.fleet, self._choices, self._loaded.scripts)
        except CanaryError as error:
            self._warn(str(error))
            return
        from canary_tui.tui.plan.screen import PlanScreen  # with the engine's messages: not before the first paint

        self.app.push_screen(PlanScreen(self._host, plan, tuple(self._remarks())))

    def _remarks(self) -> Iterable[str]:
        """Warnings for the plan that only the picker can give."""
        if hidden := len(self._here.picker.hidden):
            yield f"{count(hidden, 'marked target')} {'is' if hidden == 1 else 'are'} hidden by the filter"
        yield from self._here.remarks()

    def action_history(self) -> None:
        """List the rollouts of this fleet."""
        if self._loaded is not None:
            from canary_tui.tui.history.screen import HistoryScreen  # with the journals: not before the first paint

            self.app.push_screen(HistoryScreen(self._host, self._loaded.fleet.name))

    def on_screen_resume(self, event: events.ScreenResume) -> None:  # noqa: ARG002  Textual's signature
        """Return from the plan to the list."""
        if self._loaded is not None and not self.query_one(AskBar).open:
            self.table.focus()
            self.run_worker(self._learn(), exclusive=True, group="learn")
