"""The log's half of the rollout screen: the choice of log, its title, and the field for searches."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from canary_tui.tui.actions import bindings
from canary_tui.tui.logs.grouped import GroupedLog, grouped_log
from canary_tui.tui.logs.log_view import LogView
from canary_tui.tui.logs.shown import ShownLog, ShownLogs
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.status_bar import waiting_words
from canary_tui.tui.shared.formats import short_size, short_time
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit, texts_width

Shown = Literal["one", "merged", "grouped"]
"""One target's log, or the output of all in order of arrival, or identical output grouped."""
_ROOMY = 60
"""Columns of a title with room for an upload's speed."""
_BAD = ("failed", "unknown", "unreachable")
"""The kinds of status of a target whose long lines are wrapped."""


class LogTitle(RowWidget):
    """The title. On the left: the target and its status. On the right: search, and following or paused."""

    def __init__(self) -> None:
        super().__init__(id="log-title")
        self._left: list[TonedText] = []
        self._rights: list[list[TonedText]] = [[]]
        self._whole = 1

    def show(self, left: list[TonedText], rights: list[list[TonedText]], whole: int) -> None:
        """Take the longest of `rights`, which say the same, that leaves `whole` texts of the left uncut."""
        if (left, rights, whole) != (self._left, self._rights, self._whole):
            self._left, self._rights, self._whole = left, rights, whole
            self.refresh()

    def _right(self, width: int) -> list[TonedText]:
        room = width - texts_width(self._left[: self._whole]) - 2
        right = next((right for right in self._rights if texts_width(right) <= room), self._rights[-1])
        spare = width - texts_width(self._left[:1]) - 2 - texts_width(right[1:])
        if len(right) > 1 and texts_width(right[:1]) > spare:
            return [(f"{fit(right[0][0].rstrip(), spare - 2)}  ", right[0][1]), *right[1:]]
        return right

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  Textual's signature
        width = self.size.width
        right = self._right(width)
        room = max(0, width - texts_width(right) - 2)
        pieces: list[TonedText] = []
        for text, tone in self._left:
            pieces.append((text if texts_width([(text, "")]) <= room else fit(text, room), tone))
            room -= texts_width(pieces[-1:])
        return self.strip([*pieces, (" " * (room + 1), "plain"), *right, (" ", "plain")], width)


class QueryField(Input):
    """The field for a search. It may be pasted, because it changes nothing but the view."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("field.done", "field.leave")

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=True)
        self.cursor_blink = False

    async def on_key(self, event: events.Key) -> None:
        """Submit enter at once: as a binding it would be overtaken by the characters typed after it."""
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            await self.action_submit()

    async def action_done(self) -> None:
        """Submit the text, as enter does in any input."""
        await self.action_submit()

    def action_leave(self) -> None:
        self.screen.query_one(LogPane).stop_asking()


class LogPane(Vertical):
    """One log at a time: the selected target's, or those of all targets, merged or grouped."""

    def __init__(self, follower: Follower) -> None:
        super().__init__(id="log-pane")
        self._follower = follower
        self.target = ""
        """The target whose log is shown, or comes back after the merged or grouped logs."""
        self.shown: Shown = "one"
        self._logs = ShownLogs(follower.logs)
        self._clocked = True
        self._wrap_by_hand: bool | None = None
        """A person's choice for long lines; without one, those of a failed target are wrapped."""
        self._pinned = False
        self._filtering = False
        self._stands: list[TonedText] = []
        self._before: Widget | None = None
        self._grouped: GroupedLog | None = None
        self._opening = False
        """Whether to show the first difference as soon as there is one, unless a person scrolls before."""

    def compose(self) -> ComposeResult:
        yield LogTitle()
        yield LogView()
        with Horizontal(id="query"):
            yield Static(id="query-label", markup=False)
            yield QueryField()

    def on_unmount(self) -> None:
        self._logs.close()
        if self._grouped is not None:
            self._grouped.close()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def show_target(self, target: str) -> None:
        """Show the log of one target; it need not exist yet."""
        self.target, self.shown = target, "one"
        self._pinned = self.view.touched = False
        self._show()

    @property
    def pinned(self) -> bool:
        """Whether a person reads or searches here, so that nothing but a person may show another log."""
        return self._pinned or self.view.touched

    def pin(self) -> None:
        """Keep this log: a person has pressed one of its keys."""
        self._pinned = True
        self._opening = False

    def toggle_merged(self) -> None:
        """Show all targets' lines with their names, or one target again."""
        self.shown = "one" if self.shown == "merged" else "merged"
        self._show()

    def toggle_grouped(self) -> None:
        """Show all targets' output with identical output grouped, or one target again."""
        self.shown = "one" if self.shown == "grouped" else "grouped"
        self._opening = self.shown == "grouped"
        self._show()

    def toggle_time(self) -> None:
        self._clocked = not self._clocked
        self.view.set_clocked(self._clocked)

    def toggle_wrap(self) -> None:
        """Wrap long lines, or cut them; from now on in every log."""
        self._wrap_by_hand = not self.view.window.wrap
        self.view.set_wrap(self._wrap_by_hand)

    def _wrap_if_failed(self) -> None:
        """Wrap the lines of a failed target, whose ends say what went wrong; no text moves that is read."""
        target = self._follower.state.targets.get(self.target) if self.shown == "one" else None
        bad = target is not None and self._follower.status(target).kind in _BAD
        wrap = bad if self._wrap_by_hand is None else self._wrap_by_hand
        if wrap != self.view.window.wrap and self.view.window.follow:
            self.view.set_wrap(wrap)

    def _show(self) -> None:
        source = self._source()
        if source is None:
            return
        source.clocked = self._clocked
        if self.shown == "grouped":
            self.view.filter("")
        self.view.show(source)
        self._wrap_if_failed()
        self.view.flush()  # now, not a frame later: a person who moves down the list reads along
        self.restate()

    def _source(self) -> ShownLog | None:
        plan = self._follower.plan
        match self.shown:
            case "merged":
                return self._logs.merged(self._follower.roster.longest)
            case "grouped" if plan is not None:
                self._grouped = self._grouped or grouped_log(plan, self._follower.logs)
                return self._grouped
        return self._logs.target(self.target) if self.target else None

    def flush(self) -> None:
        """Take in new lines."""
        self.view.flush()
        if self.shown == "grouped" and self._grouped is not None:
            self._open(self._grouped)
            self._stands = self._whose()
        self.title()

    @property
    def busy(self) -> bool:
        """Whether there is more to look at than fits into one frame."""
        return self.shown == "grouped" or self.view.busy

    def follow(self) -> None:
        """Follow the newest line."""
        self._opening = False
        self.view.follow()

    def _open(self, grouped: GroupedLog) -> None:
        """Go to the top, where the differences are."""
        self._opening = self._opening and self.view.window.follow
        if self._opening and grouped.grouped.progress == 1.0 and grouped.grouped.tally.differ:
            self._opening = False
            self.view.action_top()

    def on_log_view_moved(self) -> None:
        self.title()

    def restate(self) -> None:
        """Update the target's status, as often as the list does, so that both show the same seconds."""
        self._wrap_if_failed()
        self._stands = self._whose()
        self.title()

    def title(self) -> None:
        """Update the title, and what stands in place of a log without lines."""
        self.view.say_instead(self._instead())
        # The list shows a target's status, too; the counts of grouped output stand only here.
        whole = len(self._stands) if self.shown == "grouped" else 1
        bright = "rule" if self.view.has_focus else "strong"
        stands = [(text, bright if tone == "strong" else tone) for text, tone in self._stands]
        self.query_one(LogTitle).show(stands, [self._where(keys=True), self._where(keys=False)], whole)

    def _where(self, *, keys: bool) -> list[TonedText]:
        view = self.view
        finds = view.finds(keys=keys)
        mode = (view.mode(keys=keys), "running" if view.window.follow else "unknown")
        return [(f"{finds}  ", "name"), mode] if finds else [mode]

    def _whose(self) -> list[TonedText]:
        if self.shown == "merged":
            return [(" merged", "strong")]
        if self.shown == "grouped" and self._grouped is not None:
            return [(" grouped  ", "strong"), *self._grouped.words()]
        target = self._follower.state.targets.get(self.target)
        if target is None:
            return []
        status = self._follower.status(target)
        pieces: list[TonedText] = [(f" {target.name}  ", "strong")]
        if target.running is not None:
            waiting = waiting_words(self._follower, target).partition(": ")[2]
            more = f": {target.running.lost}" if target.running.lost else self._upload(target.name)
            return [*pieces, (f"{status.symbol} {waiting}{more}", status.kind)]
        took = self._follower.elapsed(target)
        after = f" after {short_time(took)}" if took is not None and target.steps.outcome is not None else ""
        detail = f": {target.steps.detail}" if target.steps.detail not in ("", status.word) else ""
        return [*pieces, (f"{status.symbol} {status.word}{after}{detail}", status.kind)]

    def _instead(self) -> str:
        """Tell why a target has no log; "" where that is no news."""
        target = self._follower.state.targets.get(self.target) if self.shown == "one" else None
        if target is None or target.started_at or target.probe == "running":
            return ""
        status = self._follower.status(target)
        why = target.steps.why or {"held": "It is held: nothing starts there before the gate is approved."}.get(
            status.word, ""
        )
        return f"{target.name}: {status.word}. {why}" if why else ""

    def _upload(self, name: str) -> str:
        """Tell an upload's speed where there is room; "" for every other step."""
        pace = self._follower.paces.get(name)
        if pace is None or not pace.total or self.size.width < _ROOMY:
            return ""
        return f"  {short_size(pace.rate)}/s"

    # searching and filtering

    @property
    def finds_something(self) -> bool:
        """Whether a search or a filter is on."""
        return self.view.searching is not None or bool(self.view.filter_query)

    def clear_finds(self) -> None:
        """Clear the search, else the filter."""
        if self.view.searching is not None:
            self.view.search("")
        else:
            self.view.filter("")
        self.title()

    def ask_search(self) -> None:
        """Ask for the text to search."""
        self._ask(
            " /",
            self.view.searching.query if self.view.searching else "",
            "text to find; then n and N move between matches",
        )

    def ask_filter(self) -> None:
        """Ask for the text that shown lines must contain."""
        self._ask(" &", self.view.filter_query, "only lines with this text; empty shows all")

    def stop_asking(self) -> None:
        """Close the field, and focus the log, where `n` continues."""
        if self.has_class("-asking"):
            self.remove_class("-asking")
            (self._before or self.view).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._before = self.view
        self.stop_asking()
        if self._filtering:
            self.view.filter(event.value)
        else:
            self.view.search(event.value)
        self.title()

    def _ask(self, sign: str, value: str, hint: str) -> None:
        self._filtering = sign == " &"
        self._before = self.screen.focused
        self.query_one("#query-label", Static).update(Content(sign))
        field = self.query_one(QueryField)
        field.value, field.placeholder = value, hint
        self.add_class("-asking")
        field.focus()
