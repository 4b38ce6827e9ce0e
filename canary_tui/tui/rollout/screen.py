"""The rollout as it happens: what is shown where, and which key reaches which part of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from canary_tui.domain.fleet.names import count
from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.identity import operator
from canary_tui.engine.messages import Ended, Notice, Refused
from canary_tui.store.layout import resume_command
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Link
from canary_tui.tui.options import AppOptions
from canary_tui.tui.rollout.abort_panel import AbortPanel
from canary_tui.tui.rollout.failure_panel import TREATMENT_KEYS, FailurePanel, waiting_targets
from canary_tui.tui.rollout.follower import SILENT_AFTER, Follower
from canary_tui.tui.rollout.gate_panel import GatePanel
from canary_tui.tui.rollout.gate_summary import GateSummary, summarise
from canary_tui.tui.rollout.log_keys import LogKeys
from canary_tui.tui.rollout.log_pane import LogPane
from canary_tui.tui.rollout.status_bar import StatusBar, ended_words
from canary_tui.tui.rollout.stop_panel import StopPanel
from canary_tui.tui.rollout.strip import HeatStrip
from canary_tui.tui.rollout.target_list import TargetList
from canary_tui.tui.shared.banner import Banner
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel
from canary_tui.tui.shared.rows import Tones, fit
from canary_tui.tui.shell import open_shell, ssh_program
from canary_tui.tui.terminal import one_line

_FRAMES = 15
_NEWS_EVERY, _TEXT_EVERY, _CLOCKS_EVERY = 3, 7, 15
"""Frames between two looks at what events and keys change, at what running steps change, and at what only clocks do:
nobody reads it faster.
"""
_RESTING = 2
"""Frames in one while nothing runs: what begins is still shown within 200 ms of its being on disk."""
_LAST_RECORDS = 1.0
"""Seconds after which no record follows an engine's last words: one that gave up without ending its journal."""
_LOG_ROWS = 9
"""Rows that panels leave to the logs: a title and eight lines."""
_FEW_LOG_ROWS, _ROOMY = 5, 22
"""What they leave where the terminal has fewer rows: a question that cannot be read is not answered well."""
_DIGITS = "123456789"
_PANES = ("rollout", "log", "gate", "failures", "abort")


class RolloutScreen(LogKeys):
    """One rollout, from its directory. Without a link it is read only: nothing is ever sent."""

    CSS_PATH = "../rollout.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*_PANES)
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual's declaration
        (0, "-narrow"),
        (78, "-normal"),
        (120, "-wide"),
        (170, "-very-wide"),
        (200, "-widest"),
    ]

    class StatusChanged(Message):
        """How the rollout stands, in few words, and what is waited for by a person, "" for nothing."""

        def __init__(self, words: str, waits: str) -> None:
            super().__init__()
            self.words, self.waits = words, waits

    def __init__(self, directory: Path, link: Link | None, options: AppOptions | None = None) -> None:
        super().__init__()
        self.follower = Follower(directory)
        self.link = link
        self._options = options
        self.ended: Ended | None = None
        """The engine's last words."""
        self._guard = KeyGuard()
        self._by = operator()
        self._unseen = 0
        """Frames since all was shown."""
        self._told_result = False
        self._kept_back = False
        """It has ended, and the result waits for its key."""
        self._banner_text = ""
        self._news = False
        """Something has happened since it was shown last."""
        self._unlisten: Callable[[], None] = lambda: None
        self._looked_at: tuple[object, ...] = ()
        self._waiting = False
        self._summary: GateSummary | None = None
        self._usable: tuple[str, ...] = ()
        self._told = ("", "")
        read_only = link is None
        self.status = StatusBar(self.follower, link)
        self.banner = Static(id="banner", markup=False)
        self.strip = HeatStrip(self.follower)
        self.targets = TargetList(self.follower)
        self.logs = LogPane(self.follower)
        self.gate = GatePanel(self._guard, self._by, read_only=read_only)
        self.failures = FailurePanel(self._guard, self._by, read_only=read_only)
        self.abort = AbortPanel(self._guard, self._by)
        self.stopping = StopPanel(self._guard, self._by)
        self.panels: tuple[Panel, ...] = (self.gate, self.failures, self.abort, self.stopping)

    def compose(self) -> ComposeResult:
        yield Tones()
        yield self.status
        yield self.banner
        yield self.strip
        with Horizontal(id="body"):
            yield self.targets
            yield self.logs
        yield from self.panels
        yield KeyBar()

    def on_mount(self) -> None:
        if self.link is not None:
            self._unlisten = self.link.listen(self.on_notice)
        self.targets.focus()
        # A long journal takes a second to fold: the screen is there before.
        self.call_after_refresh(self._first_look)

    def _first_look(self) -> None:
        self.follower.poll()
        # Watching something that had ended before is for reading its logs; the result is one key away. What only
        # paused, and an engine goes on with, has none yet: that of the pause would stand before its gate.
        self._told_result = self.follower.ended and (self.link is None or self.follower.state.verdict is None)
        self._show_all()
        gc.collect()
        gc.freeze()  # a collection that walks the widgets and the grouped journal again takes 100 ms, and a key waits
        self._frames = self.set_interval(1 / _FRAMES, self._tick)
        self._slow_frames = self.set_interval(_RESTING / _FRAMES, lambda: self._tick(_RESTING), pause=True)

    def on_unmount(self) -> None:
        self._unlisten()
        self.follower.close()

    # what happens

    def on_notice(self, notice: Notice) -> None:
        """Something that the engine says beside the journal."""
        self.follower.take(notice)
        match notice:
            case Refused():
                self._refused(notice)
            case Ended():
                self.ended = notice
            case _:
                pass

    def _refused(self, refused: Refused) -> None:
        self._news = True
        reason = one_line(refused.reason)
        self.gate.refused(reason)
        self.failures.refused(reason)
        self.notify(reason, title="Refused", severity="warning", markup=False)

    def _tick(self, frames: int = 1) -> None:
        records = self.follower.poll()
        self._unseen += frames
        self._news = self._news or bool(records)
        reading = self._reading()  # what is shown next may close the field
        if self.is_current:
            usual = _TEXT_EVERY if self.follower.at_work else _CLOCKS_EVERY
            if self._unseen >= (_NEWS_EVERY if self._news else usual):
                self._show_all()
            self.logs.flush()
        if self.follower.ended and not self._told_result:
            self._told_result = True
            self._tell_result(reading=reading)
        elif not self.follower.ended:
            self._told_result = self._kept_back = False
        rests = not (self.follower.at_work or self._news or self.logs.busy)
        (self._frames.pause if rests else self._frames.resume)()
        (self._slow_frames.resume if rests else self._slow_frames.pause)()

    def _reading(self) -> bool:
        """Somebody types, or reads a log away from its end: the next key is not meant for another screen."""
        return isinstance(self.app.focused, Input) or not self.logs.view.window.follow

    def _tell_result(self, *, reading: bool) -> None:
        """Show how it ended; who is `reading` is told in a line, and shows it by its key."""
        self._kept_back = reading
        if reading:
            self._show_all()
        else:
            self.action_result()

    def _show_all(self) -> None:
        self._news, self._unseen = False, 0
        self.status.flush()
        self.strip.flush()
        self.targets.flush()
        self.logs.restate()
        self._show_banner()
        self._show_panels()

    def _show_banner(self) -> None:
        trouble = self.follower.broken or self._gone()
        text = one_line(trouble or self._result_line())
        if text != self._banner_text:
            self._banner_text = text
            self.banner.display = bool(text)
            self.banner.set_class(not trouble, "-ended")
            self.banner.update(Content(text))

    def _result_line(self) -> str:
        """How it ended, cut to one line with the key that shows all of it; "" once that was shown."""
        if not (self._kept_back and self.follower.ended):
            return ""
        from canary_tui.tui.rollout.report import verdict_line

        key = "  v shows the result"
        return fit(verdict_line(self.follower.state, demo=self._demo())[0], self.size.width - 2 - len(key)) + key

    def _gone(self) -> str:
        """What to do without an engine; "" while there is one, or where the app says it over every screen."""
        if self.link is None or self.follower.ended:
            return ""
        rollout = self.follower.state.rollout or self.follower.directory.name
        if self.ended is not None and self.follower.quiet_for() > _LAST_RECORDS:
            return f"{self.ended.message or 'the engine gave up'}; `{resume_command(rollout)}` goes on."
        if not self.link.gone or self.query(Banner):
            return ""
        return f"{self.link.gone}. What runs on the targets goes on; `{resume_command(rollout)}` takes over."

    # panels: one at a time, what is most urgent on top

    def _show_panels(self) -> None:
        plan, state = self.follower.plan, self.follower.state
        if plan is None:
            return
        live = not self.follower.ended and not self.follower.broken
        if self.stopping.display and not live:
            self.stopping.close()
        if self.abort.display and (state.aborted != "none" or state.stage not in ("preflight", "waves") or not live):
            self.abort.close()
        self._look(plan, state)
        covered = self.stopping.display or self.abort.display or not live
        if self._waiting and not covered:
            self.failures.show(plan, state)
        else:
            self.failures.close()
        self.gate.show(None if self._waiting or covered else self._summary, self.follower.now())
        self.abort.draw()
        self.stopping.draw()
        self._limit_panels()
        self._follow_keys()
        self._tell(plan, state)

    def _look(self, plan: Plan, state: RolloutState) -> None:
        """Work out what waits for a person, if anything has happened: it costs a look at every target."""
        silent = self._silent()
        if self._looked_at != (self.follower.version, silent):
            self._looked_at = (self.follower.version, silent)
            self._waiting = bool(self.follower.troubled) and bool(waiting_targets(plan, state))
            self._summary = summarise(plan, state, engine_silent=silent)

    def _tell(self, plan: Plan, state: RolloutState) -> None:
        """Say to whoever looks at another window how things are, whenever that has changed."""
        waits = ""
        if self.follower.ended:
            words = ended_words(state)
        elif self._waiting:
            words = waits = f"{count(len(waiting_targets(plan, state)), 'target')} not ok"
        elif self._summary is not None:
            words, waits = "GATE waiting", f"gate {self._summary.wave}"
        else:
            words = plan.waves[state.wave].name if state.stage == "waves" else state.stage
        if (words, waits) != self._told:
            self._told = words, waits
            self.post_message(self.StatusChanged(f"{plan.fleet} {plan.release}: {words}", waits))

    def _follow_keys(self) -> None:
        """The key bar follows what is open and what is possible."""
        usable = tuple(name for name, condition in _CONDITIONS.items() if condition(self))
        usable += ("approve",) if self.gate.display and self.gate.can_approve else ()
        if usable != self._usable:
            self._usable = usable
            self.refresh_bindings()

    def _silent(self) -> bool:
        return self.link is not None and (bool(self.link.gone) or self.follower.silent_for() > SILENT_AFTER)

    def _limit_panels(self) -> None:
        logs = _LOG_ROWS if self.size.height >= _ROOMY else _FEW_LOG_ROWS
        taken = 2 + 1 + logs + (self.strip.size.height if self.strip.display else 0)
        for panel in self.panels:
            if panel.display:
                panel.limit(max(6, self.size.height - taken))

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_all)

    def on_key(self, event: events.Key) -> None:
        """Note every key before its action: some depend on when it was pressed. Digits tick the checklist."""
        self._guard.saw(event)
        self._news = True  # what it did is shown no later than what happens on a target
        bound = self.active_bindings.get(event.key)
        if bound is not None and bound.binding.id == "gate.approve" and not bound.enabled:
            self.gate.explain()
            self._show_panels()
        if self.gate.display and self.link is not None and len(event.key) == 1 and event.key in _DIGITS:
            event.stop()
            self.gate.tick(_DIGITS.index(event.key))

    def on_decided(self, event: Decided) -> None:
        event.stop()
        if self.link is not None:
            self.link.send(event.command)

    def on_panel_asks(self) -> None:
        self._show_panels()

    def on_target_list_chosen(self, event: TargetList.Chosen) -> None:
        pane = self.logs
        if pane.shown == "one":
            pane.show_target(event.target)
        else:
            pane.target = event.target

    def on_heat_strip_picked(self, event: HeatStrip.Picked) -> None:
        self.targets.choose(event.target)

    def on_stop_panel_abort_wanted(self) -> None:
        self.action_abort()

    def on_abort_panel_left(self) -> None:
        self.stopping.release()
        self._show_panels()

    # which keys do something now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's
        """Hide what is not possible; grey out an approval that is locked."""
        if action == "approve":
            if not self.gate.display or self.link is None:
                return False
            return True if self.gate.can_approve else None
        condition = _CONDITIONS.get(action)
        return condition(self) if condition is not None and self.is_mounted else condition is None

    # keys

    async def action_stop(self) -> None:
        """Ctrl-C: hold and ask; the second time, stop what runs."""
        self.action_stop_panel()

    def action_stop_panel(self) -> None:
        """Start nothing new and ask what to stop; a second time, stop what runs."""
        if not _can_stop(self) or self.follower.plan is None:
            return
        self.abort.close()
        self.stopping.begin(self.follower)
        self._show_panels()

    def action_ask_stop(self) -> None:
        if not self.stopping.display:
            self.action_stop_panel()

    def action_approve(self) -> None:
        self.gate.arm()
        self._show_panels()

    def action_hold(self) -> None:
        self.gate.hold()
        self._show_panels()

    def action_tick(self) -> None:
        """From the command palette, where no digit says which: the first open item."""
        self.gate.tick_next()

    def action_abort(self) -> None:
        plan = self.follower.plan
        if plan is not None:
            self.abort.begin(plan, self.follower.state)
            self._show_panels()

    def action_abort_failed(self) -> None:
        self.action_abort()

    def action_abort_back(self) -> None:
        self.abort.decide(rollback=True)

    def action_abort_leave(self) -> None:
        self.abort.decide(rollback=False)

    def action_abort_cancel(self) -> None:
        self.abort.leave()

    def action_retry(self) -> None:
        self.failures.treat("retry")

    def action_skip(self) -> None:
        self.failures.treat("skip")

    def action_exclude(self) -> None:
        self.failures.treat("exclude")

    def action_roll_back(self) -> None:
        self.failures.treat("rollback")

    def action_settle(self) -> None:
        self.failures.settle()

    def action_scroll_up(self) -> None:
        self._scroll_panel(-2)

    def action_scroll_down(self) -> None:
        self._scroll_panel(2)

    def _scroll_panel(self, rows: int) -> None:
        for panel in self.panels:
            if panel.display:
                panel.scroll(rows)

    def action_next_failed(self) -> None:
        self.targets.action_next_failed()

    def action_shell(self) -> None:
        """The operator's own ssh to the target under the cursor; the rollout goes on meanwhile."""
        plan, ssh = self.follower.plan, ssh_program()
        name = self.failures.under_cursor() or self.targets.cursor
        if plan is None or name not in plan.targets:
            return
        if ssh is None:
            why = "no shell: the ssh program is not installed here"
        else:
            why = self._visit(plan.targets[name], ssh)
        if why:
            self.notify(why, markup=False)

    def _visit(self, target: PlannedTarget, ssh: str) -> str:
        try:
            open_shell(self.app, target, ssh)
        except SuspendNotSupported:
            return "no shell: these screens are on no terminal of their own"
        self._rearm()
        return ""

    def action_export(self) -> None:
        super().action_export()
        self._rearm()

    def _rearm(self) -> None:
        """What a panel asks may be something else by now."""
        for panel in self.panels:
            panel.rearm()

    def action_result(self) -> None:
        """How it ended."""
        from canary_tui.tui.rollout.result_screen import ResultScreen

        if self.follower.ended and not isinstance(self.app.screen, ResultScreen):
            self._kept_back = False
            self._news = True
            live, fleet_file = self.link is not None, self._fleet_file()
            self.app.push_screen(
                ResultScreen(self.follower, self.ended, live=live, fleet_file=fleet_file, demo=self._demo())
            )

    def _fleet_file(self) -> str:
        """The fleet file that the app was started with; a rollout that is only watched does not know its own."""
        fleet = self._options.fleet if self._options is not None else None
        return str(fleet or "FLEET.toml")

    def _demo(self) -> bool:
        """The servers and the rollout's folder end with the program."""
        return self._options is not None and self._options.demo

    async def action_back(self) -> None:
        """Leave: back to where this was opened from, or out of the program; a live rollout asks first."""
        if self.link is not None and self.follower.ended:
            self.action_result()
        elif self.link is None and len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            await self.app.run_action("quit")


def _way_open(treatment: str) -> Callable[[RolloutScreen], bool]:
    way = next(way for way in TREATMENT_KEYS if way.treatment == treatment)
    return lambda screen: _answers(screen, screen.failures) and bool(screen.failures.open_to(way))


def _answers(screen: RolloutScreen, panel: Panel) -> bool:
    return screen.link is not None and panel.display


def _can_abort(screen: RolloutScreen, panel: Panel) -> bool:
    return _answers(screen, panel) and screen.follower.state.stage in ("preflight", "waves")


def _can_stop(screen: RolloutScreen) -> bool:
    return screen.link is not None and not screen.link.gone and not screen.follower.ended


def _can_open_shell(screen: RolloutScreen) -> bool:
    """Of a rollout that is only told again the targets may be others by now."""
    told_again = screen.link is None and screen.follower.state.verdict is not None
    return screen.follower.plan is not None and not told_again


def _some_panel(screen: RolloutScreen) -> bool:
    return any(panel.display for panel in screen.panels)


_CONDITIONS: dict[str, Callable[[RolloutScreen], bool]] = {
    "hold": lambda screen: _answers(screen, screen.gate),
    "tick": lambda screen: _answers(screen, screen.gate),
    "abort": lambda screen: _can_abort(screen, screen.gate),
    "abort_failed": lambda screen: _can_abort(screen, screen.failures),
    "retry": _way_open("retry"),
    "skip": _way_open("skip"),
    "exclude": _way_open("exclude"),
    "roll_back": _way_open("rollback"),
    "settle": lambda screen: _answers(screen, screen.failures) and bool(screen.failures.unsettled()),
    "abort_back": lambda screen: screen.abort.display and screen.abort.can_roll_back(),
    "abort_leave": lambda screen: screen.abort.display and screen.abort.can_leave(),
    "abort_cancel": lambda screen: screen.abort.display and not screen.abort.asking,
    "shell": _can_open_shell,
    "ask_stop": lambda screen: _can_stop(screen) and not _some_panel(screen),
    "scroll_up": _some_panel,
    "scroll_down": _some_panel,
    "result": lambda screen: screen.follower.ended,
    "grouped": lambda screen: screen.follower.plan is not None,
}
"""Actions that are not always possible, and when they are."""
