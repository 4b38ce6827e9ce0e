"""The rollout as it happens: what is shown where, and which key reaches which part of it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from canary_tui.engine.control import Ended, Notice, Refused
from canary_tui.store.log_format import log_path
from canary_tui.tui.actions import bindings
from canary_tui.tui.gating import summarise
from canary_tui.tui.link import operator
from canary_tui.tui.terminal import one_line
from canary_tui.tui.watching import SILENT_AFTER, Link, Watching
from canary_tui.tui.widgets.abort_panel import AbortPanel
from canary_tui.tui.widgets.failure_panel import WAYS_OUT, FailurePanel, waiting_targets
from canary_tui.tui.widgets.footer import KeyBar
from canary_tui.tui.widgets.gate_panel import GatePanel
from canary_tui.tui.widgets.log_pane import LogPane
from canary_tui.tui.widgets.panel import Decided, KeyGuard, Panel
from canary_tui.tui.widgets.status_bar import StatusBar
from canary_tui.tui.widgets.stop_panel import StopPanel
from canary_tui.tui.widgets.strip import HeatStrip
from canary_tui.tui.widgets.target_list import TargetList

_FRAMES = 15
_TEXT_EVERY = 3
"""Frames between two looks at what only time changes: elapsed seconds do not need fifteen a second."""
_LOG_ROWS = 9
"""Rows that panels leave to the logs: a title and eight lines."""
_DIGITS = "123456789"
_PANES = ("rollout", "log", "gate", "failures", "abort")


class RolloutScreen(Screen[None]):
    """One rollout, from its directory. Without a link it is read only: nothing is ever sent."""

    CSS_PATH = "../rollout.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*_PANES)
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual's declaration
        (0, "-narrow"),
        (78, "-normal"),
        (120, "-wide"),
        (170, "-very-wide"),
    ]

    def __init__(self, directory: Path, link: Link | None) -> None:
        super().__init__()
        self.watching = Watching(directory)
        self.link = link
        self.ended: Ended | None = None
        """The engine's last words."""
        self._guard = KeyGuard()
        self._by = operator()
        self._frame = 0
        self._told_result = False
        self._unlisten: Callable[[], None] = lambda: None

    def compose(self) -> ComposeResult:
        read_only = self.link is None
        yield StatusBar(self.watching, self.link)
        yield Static(id="banner", markup=False)
        yield HeatStrip(self.watching)
        with Horizontal(id="body"):
            yield TargetList(self.watching)
            yield LogPane(self.watching)
        yield GatePanel(self._guard, self._by, read_only=read_only)
        yield FailurePanel(self._guard, self._by, read_only=read_only)
        yield AbortPanel(self._guard, self._by)
        yield StopPanel(self._guard, self._by)
        yield KeyBar()

    def on_mount(self) -> None:
        if self.link is not None:
            self._unlisten = self.link.listen(self.on_notice)
        self.query_one(TargetList).focus()
        self.watching.poll()
        # Watching something that had ended before is for reading its logs; the result is one key away.
        self._told_result = self.link is None and self.watching.ended
        self.set_interval(1 / _FRAMES, self._tick)
        self.call_after_refresh(self._show_all)

    def on_unmount(self) -> None:
        self._unlisten()
        self.watching.close()

    # what happens

    def on_notice(self, notice: Notice) -> None:
        """Something that the engine says beside the journal."""
        self.watching.take(notice)
        match notice:
            case Refused():
                self._refused(notice)
            case Ended():
                self.ended = notice
            case _:
                pass

    def _refused(self, refused: Refused) -> None:
        reason = one_line(refused.reason)
        self.query_one(GatePanel).refused(reason)
        self.query_one(FailurePanel).refused(reason)
        self.notify(reason, title=f"{refused.command} was refused", severity="warning", markup=False)

    def _tick(self) -> None:
        records = self.watching.poll()
        self._frame += 1
        if self.is_current:
            if records or self._frame % _TEXT_EVERY == 0:
                self._show_all()
            self.query_one(LogPane).flush()
        if self.watching.ended and not self._told_result:
            self._told_result = True
            self.action_result()
        elif not self.watching.ended:
            self._told_result = False

    def _show_all(self) -> None:
        self.query_one(StatusBar).flush()
        self.query_one(HeatStrip).flush()
        self.query_one(TargetList).flush()
        self._show_banner()
        self._show_panels()

    def _show_banner(self) -> None:
        text = self.watching.broken or self._gone()
        banner = self.query_one("#banner", Static)
        if banner.display != bool(text):
            banner.display = bool(text)
            banner.update(Content(one_line(text)))

    def _gone(self) -> str:
        """What to do without an engine; "" while there is one, or where the app says it over every screen."""
        if self.link is None or not self.link.gone or self.watching.ended or self.query("Banner"):
            return ""
        rollout = self.watching.state.rollout or self.watching.directory.name
        return f"{self.link.gone}. What runs on the targets goes on; `canary-tui resume {rollout}` takes over."

    # panels: one at a time, what is most urgent on top

    def _show_panels(self) -> None:
        plan, state = self.watching.plan, self.watching.state
        gate, failures = self.query_one(GatePanel), self.query_one(FailurePanel)
        abort, stop = self.query_one(AbortPanel), self.query_one(StopPanel)
        if plan is None:
            return
        live = not self.watching.ended and not self.watching.broken
        if stop.display and not live:
            stop.close()
        if abort.display and (state.aborted != "none" or state.stage not in ("preflight", "waves") or not live):
            abort.close()
        covered = stop.display or abort.display
        waiting = live and not covered and bool(waiting_targets(plan, state))
        failures.show(plan, state) if waiting else failures.close()
        open_gate = live and not covered and not waiting
        gate.show(summarise(plan, state, engine_silent=self._silent()) if open_gate else None, self.watching.now())
        abort.draw()
        stop.draw()
        self._limit_panels()
        self.refresh_bindings_if_changed()

    def refresh_bindings_if_changed(self) -> None:
        """The key bar follows what is open and what is possible."""
        usable = tuple(name for name in _CONDITIONS if _CONDITIONS[name](self))
        if usable != self._usable:
            self._usable = usable
            self.refresh_bindings()

    _usable: tuple[str, ...] = ()

    def _silent(self) -> bool:
        return self.link is not None and (bool(self.link.gone) or self.watching.silent_for() > SILENT_AFTER)

    def _limit_panels(self) -> None:
        strip = self.query_one(HeatStrip)
        taken = 2 + 1 + _LOG_ROWS + (strip.size.height if strip.display else 0)
        for panel in self.query(Panel):
            if panel.display:
                panel.limit(max(6, self.size.height - taken))

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_all)

    def on_key(self, event: events.Key) -> None:
        """Note every key before its action: some depend on when it was pressed. Digits tick the checklist."""
        self._guard.saw(event)
        gate = self.query_one(GatePanel)
        if gate.display and self.link is not None and len(event.key) == 1 and event.key in _DIGITS:
            event.stop()
            gate.tick(_DIGITS.index(event.key))

    def on_decided(self, event: Decided) -> None:
        event.stop()
        if self.link is not None:
            self.link.send(event.command)

    def on_target_list_chosen(self, event: TargetList.Chosen) -> None:
        pane = self.query_one(LogPane)
        if not pane.merged:
            pane.show_target(event.target)
        else:
            pane.target = event.target

    def on_heat_strip_picked(self, event: HeatStrip.Picked) -> None:
        self.query_one(TargetList).choose(event.target)

    def on_stop_panel_abort_wanted(self) -> None:
        self.action_abort()

    # which keys do something now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's
        """Hide what is not possible; grey out an approval that is locked."""
        if action == "approve":
            gate = self.query_one(GatePanel)
            return (True if gate.can_approve else None) if gate.display and self.link is not None else False
        condition = _CONDITIONS.get(action)
        return condition(self) if condition is not None and self.is_mounted else condition is None

    # keys

    async def action_stop(self) -> None:
        """Ctrl-C: ask; the second time, stop what runs."""
        self.action_stop_panel()

    def action_stop_panel(self) -> None:
        """Ask what to stop; a second time, stop what runs."""
        if self.link is None or self.watching.ended or self.watching.plan is None:
            return
        self.query_one(AbortPanel).close()
        self.query_one(StopPanel).begin(self.watching)
        self._show_panels()

    def action_ask_stop(self) -> None:
        if not self.query_one(StopPanel).display:
            self.action_stop_panel()

    def action_approve(self) -> None:
        self.query_one(GatePanel).arm()
        self._show_panels()

    def action_hold(self) -> None:
        self.query_one(GatePanel).hold()
        self._show_panels()

    def action_tick(self) -> None:
        """From the command palette, where no digit says which: the first open item."""
        self.query_one(GatePanel).tick_next()

    def action_abort(self) -> None:
        plan = self.watching.plan
        if plan is not None:
            self.query_one(AbortPanel).begin(plan, self.watching.state)
            self._show_panels()

    def action_abort_back(self) -> None:
        self.query_one(AbortPanel).decide(rollback=True)

    def action_abort_leave(self) -> None:
        self.query_one(AbortPanel).decide(rollback=False)

    def action_abort_cancel(self) -> None:
        self.query_one(AbortPanel).close()
        self._show_panels()

    def action_retry(self) -> None:
        self.query_one(FailurePanel).treat("retry")

    def action_skip(self) -> None:
        self.query_one(FailurePanel).treat("skip")

    def action_exclude(self) -> None:
        self.query_one(FailurePanel).treat("exclude")

    def action_roll_back(self) -> None:
        self.query_one(FailurePanel).treat("rollback")

    def action_settle(self) -> None:
        self.query_one(FailurePanel).settle()

    def action_scroll_up(self) -> None:
        self._scroll_panel(-2)

    def action_scroll_down(self) -> None:
        self._scroll_panel(2)

    def _scroll_panel(self, rows: int) -> None:
        for panel in self.query(Panel):
            if panel.display:
                panel.scroll(rows)

    def action_next_failed(self) -> None:
        self.query_one(TargetList).action_next_failed()

    def action_result(self) -> None:
        """How it ended."""
        from canary_tui.tui.screens.result import ResultScreen

        if self.watching.ended and not isinstance(self.app.screen, ResultScreen):
            self.app.push_screen(ResultScreen(self.watching, self.ended, live=self.link is not None))

    async def action_back(self) -> None:
        """Leave: back to where this was opened from, or out of the program; a live rollout asks first."""
        if self.link is not None and self.watching.ended:
            self.action_result()
        elif self.link is None and len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            await self.app.run_action("quit")

    # the log

    def action_follow(self) -> None:
        self.query_one(LogPane).view.follow()

    def action_search(self) -> None:
        self.query_one(LogPane).ask_search()

    def action_filter(self) -> None:
        self.query_one(LogPane).ask_filter()

    def action_merged(self) -> None:
        self.query_one(LogPane).toggle_merged()

    def action_wrap(self) -> None:
        view = self.query_one(LogPane).view
        view.set_wrap(not view.window.wrap)

    def action_time(self) -> None:
        self.query_one(LogPane).toggle_time()

    def action_copy(self) -> None:
        """The line under the cursor: to the terminal's clipboard, and to a file, which also works where that fails."""
        line = self.query_one(LogPane).view.current_line()
        if not line:
            return
        self.app.copy_to_clipboard(line)
        path = self.watching.directory / "copied.txt"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            self.notify(f"copied; no file: {error.strerror}", markup=False)
            return
        self.notify(f"copied, and written to {path}", markup=False)

    def action_export(self) -> None:
        """Open the log's file, or all of them, in $PAGER."""
        pane = self.query_one(LogPane)
        folder = self.watching.logs
        paths = sorted(folder.glob("*.log")) if pane.merged else [log_path(folder, pane.target)]
        paths = [path for path in paths if path.exists()]
        if not paths:
            self.notify("no log yet", markup=False)
            return
        pager = shlex.split(os.environ.get("PAGER", "")) or ["less"]
        try:
            with self.app.suspend():
                # LESSSECURE: a log is only looked at; no shell, no editor from in there.
                subprocess.run([*pager, *map(str, paths)], check=False, env={**os.environ, "LESSSECURE": "1"})
        except (OSError, SuspendNotSupported):
            self.notify(f"no pager here; the file is {paths[0]}", markup=False)


def _panel_open(kind: type[Panel]) -> Callable[[RolloutScreen], bool]:
    return lambda screen: screen.query_one(kind).display and not screen.query_one(kind).asking


def _way_open(treatment: str) -> Callable[[RolloutScreen], bool]:
    way = next(way for way in WAYS_OUT if way.treatment == treatment)

    def is_open(screen: RolloutScreen) -> bool:
        panel = screen.query_one(FailurePanel)
        return screen.link is not None and panel.display and bool(panel.open_to(way))

    return is_open


def _answers(kind: type[Panel]) -> Callable[[RolloutScreen], bool]:
    return lambda screen: screen.link is not None and screen.query_one(kind).display


def _can_abort(screen: RolloutScreen) -> bool:
    return (_answers(GatePanel)(screen) or _answers(FailurePanel)(screen)) and (
        screen.watching.state.stage in ("preflight", "waves")
    )


def _some_panel(screen: RolloutScreen) -> bool:
    return any(panel.display for panel in screen.query(Panel))


_CONDITIONS: dict[str, Callable[[RolloutScreen], bool]] = {
    "hold": _answers(GatePanel),
    "tick": _answers(GatePanel),
    "abort": _can_abort,
    "retry": _way_open("retry"),
    "skip": _way_open("skip"),
    "exclude": _way_open("exclude"),
    "roll_back": _way_open("rollback"),
    "settle": lambda screen: _answers(FailurePanel)(screen) and bool(screen.query_one(FailurePanel).unsettled()),
    "abort_back": lambda screen: screen.query_one(AbortPanel).display and screen.query_one(AbortPanel).can_roll_back(),
    "abort_leave": lambda screen: screen.query_one(AbortPanel).display and screen.query_one(AbortPanel).can_leave(),
    "abort_cancel": _panel_open(AbortPanel),
    "ask_stop": lambda screen: screen.link is not None and not screen.watching.ended and not _some_panel(screen),
    "scroll_up": _some_panel,
    "scroll_down": _some_panel,
    "result": lambda screen: screen.watching.ended,
    "folded": lambda _screen: False,
}
"""Actions that are not always possible, and when they are."""
