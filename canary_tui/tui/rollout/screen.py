"""The rollout's screen: it follows the journal, paints in frames, and shows the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.messages import Ended, Notice, Refused
from canary_tui.fleetfile.find import find_fleet_file
from canary_tui.startup import spare_what_is_loaded
from canary_tui.store.layout import resume_command
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Link
from canary_tui.tui.options import AppOptions
from canary_tui.tui.rollout.failure_panel import failed_words
from canary_tui.tui.rollout.follower import Follower
from canary_tui.tui.rollout.log_pane import LogPane
from canary_tui.tui.rollout.panels import RolloutPanels
from canary_tui.tui.rollout.report import verdict_line
from canary_tui.tui.rollout.result_screen import ResultScreen
from canary_tui.tui.rollout.status_bar import StatusBar, ended_words
from canary_tui.tui.rollout.strip import HeatStrip
from canary_tui.tui.rollout.target_list import TargetList
from canary_tui.tui.shared.banner import Banner
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.rows import Tones, fit
from canary_tui.tui.terminal import one_line

_FRAMES = 15
_NEWS_EVERY, _TEXT_EVERY, _CLOCKS_EVERY = 3, 7, 15
"""Frames between two paints after an event or a key, while steps run, and while only clocks move.

Nobody reads faster.
"""
_RESTING = 2
"""Frames in one while nothing runs: a beginning step is still shown within 200 ms of its record."""
_LAST_RECORDS = 1.0
"""Seconds after an engine's last words without a record: it gave up without ending its journal."""
_LOG_ROWS = 9
"""Rows that panels leave to the logs: a title and eight lines."""
_FEW_LOG_ROWS, _ROOMY = 5, 22
"""Rows that panels leave in a terminal of fewer rows: a question must be readable to be answered well."""
_PANES = ("rollout", "log", "gate", "failures", "abort")


class RolloutScreen(RolloutPanels):
    """One rollout, from its directory. Without a link it is read only and sends nothing."""

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
        """The rollout's status in few words, and in `waits` the reason why a person is needed, or ""."""

        def __init__(self, words: str, waits: str) -> None:
            super().__init__()
            self.words, self.waits = words, waits

    class GivenUp(Message):
        """The person does not want to take the rollout over any more."""

    def __init__(
        self, directory: Path, link: Link | None, options: AppOptions | None = None, *, takes_over: bool = False
    ) -> None:
        super().__init__(Follower(directory), link)
        self.takes_over = takes_over
        self._options = options
        self.ended: Ended | None = None
        """The engine's last words."""
        self._unseen = 0
        """Frames since the last paint of everything."""
        self._told_result = False
        self._kept_back = False
        """The rollout has ended, and the result waits for its key."""
        self._banner_text = ""
        self._news = False
        """Something has happened since the last paint."""
        self._unlisten: Callable[[], None] = lambda: None
        self._announced = ("", "")
        self.status = StatusBar(self.follower, link)
        self.banner = Static(id="banner", markup=False)
        self.strip = HeatStrip(self.follower)
        self.logs = LogPane(self.follower)

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
        # A long journal takes a second to replay: the screen is there before.
        self.call_after_refresh(self._first_look)

    def _first_look(self) -> None:
        self.follower.poll()
        # A rollout that had ended before is opened to read its logs, and the result is one key away. A paused one that
        # an engine resumes has no result yet: the result of the pause would cover its gate.
        self._told_result = self.follower.ended and (self.link is None or self.follower.state.verdict is None)
        self._show_all()
        spare_what_is_loaded()
        self._frames = self.set_interval(1 / _FRAMES, self._tick)
        self._slow_frames = self.set_interval(_RESTING / _FRAMES, lambda: self._tick(_RESTING), pause=True)

    def on_unmount(self) -> None:
        self._unlisten()
        self.follower.close()

    # notices and frames

    def on_notice(self, notice: Notice) -> None:
        """Take a notice of the engine."""
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
        if not (self.gate.display or self.failures.display):  # those two say it themselves
            self.notify(reason, title="Refused", severity="warning", markup=False)

    def _tick(self, frames: int = 1) -> None:
        records = self.follower.poll()
        self._unseen += frames
        self._news = self._news or bool(records)
        reading = self._reading()  # before _show_all, which may close the field
        if self.is_current:
            usual = _TEXT_EVERY if self.follower.at_work else _CLOCKS_EVERY
            if self._unseen >= (_NEWS_EVERY if self._news else usual):
                self._show_all()
            self.logs.flush()
        if self.takes_over and self.follower.state.paused is not None:
            pass  # our own engine goes on in a moment
        elif self.follower.ended and not self._told_result:
            self._told_result = True
            self._tell_result(reading=reading)
        elif not self.follower.ended:
            self._told_result = self._kept_back = False
        rests = not (self.follower.at_work or self._news or self.logs.busy)
        (self._frames.pause if rests else self._frames.resume)()
        (self._slow_frames.resume if rests else self._slow_frames.pause)()

    def _reading(self) -> bool:
        """Whether a person types, or reads a log away from its end: the next key is not meant for another screen."""
        return isinstance(self.app.focused, Input) or not self.logs.view.window.follow

    def _tell_result(self, *, reading: bool) -> None:
        """Show the result; a person who is `reading` gets one line with the key that shows it."""
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
        self.show_panels()

    def _show_banner(self) -> None:
        trouble = self.follower.broken or self._gone()
        text = one_line(trouble or self._result_line())
        if text != self._banner_text:
            self._banner_text = text
            self.banner.display = bool(text)
            self.banner.set_class(not trouble, "-ended")
            self.banner.update(Content(text))

    def _result_line(self) -> str:
        """Write the result in one line with the key that shows all of it; "" once it was shown."""
        if not (self._kept_back and self.follower.ended):
            return ""
        key = "  v shows the result"
        return fit(verdict_line(self.follower.state, demo=self._demo())[0], self.size.width - 2 - len(key)) + key

    def _gone(self) -> str:
        """Say what to do without an engine; "" while there is one, or if the app's banner says it."""
        if self.link is None or self.follower.ended:
            return ""
        text = ""
        if self.ended is not None and self.follower.quiet_for() > _LAST_RECORDS:
            told = self.ended.message or "the engine gave up"
            text = told if self._resume_command() in told else f"{told}; resume it with: {self._resume_command()}"
        elif self.link.gone:
            text = f"{self.link.gone}. What runs on the targets goes on; `{self._resume_command()}` takes over."
        # Looked for last: it is a walk over all widgets, and this is asked at each paint.
        return "" if text and self.query(Banner) else text

    def _resume_command(self) -> str:
        return resume_command(self.follower.state.rollout or self.follower.directory.name)

    def show_panels(self) -> None:
        """Update the panels, within the rows that the logs leave them."""
        super().show_panels()
        self._limit_panels()
        if self.follower.plan is not None:
            self._announce(self.follower.plan, self.follower.state)

    def _announce(self, plan: Plan, state: RolloutState) -> None:
        """Tell the terminal's title a changed status, for a person who looks at another window."""
        waits = ""
        if self.follower.ended:
            words = ended_words(state)
        elif self.waiting:
            words = waits = failed_words(plan, state)
        elif self.summary is not None:
            words, waits = "GATE waiting", f"gate {self.summary.wave}"
        else:
            words = plan.waves[state.wave].name if state.stage == "waves" else state.stage
        if (words, waits) != self._announced:
            self._announced = words, waits
            self.post_message(self.StatusChanged(f"{plan.fleet} {plan.release}: {words}", waits))

    def _limit_panels(self) -> None:
        logs = _LOG_ROWS if self.size.height >= _ROOMY else _FEW_LOG_ROWS
        taken = 2 + 1 + logs + (self.strip.size.height if self.strip.display else 0)
        for panel in self.panels:
            if panel.display:
                panel.limit(max(6, self.size.height - taken))

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_all)

    def on_key(self, event: events.Key) -> None:  # noqa: ARG002  Textual calls each class's own handler
        """Show the effect of a key no later than what happens on a target; `RolloutPanels` sees the key as well."""
        self._news = True

    def on_target_list_chosen(self, event: TargetList.Chosen) -> None:
        pane = self.logs
        if pane.shown == "one":
            pane.show_target(event.target)
        else:
            pane.target = event.target
        if event.by_hand:
            self._panel_speaks = False
            self.show_panels()

    def on_heat_strip_picked(self, event: HeatStrip.Picked) -> None:
        self.targets.choose(event.target)

    def action_result(self) -> None:
        """Show the result."""
        if self.follower.ended and not isinstance(self.app.screen, ResultScreen):
            self._kept_back = False
            self._news = True
            live, fleet_file = self.link is not None, self._fleet_file()
            self.app.push_screen(
                ResultScreen(self.follower, self.ended, live=live, fleet_file=fleet_file, demo=self._demo())
            )

    def _fleet_file(self) -> Path | None:
        """The fleet file of the app's options, else the one that the plan's folder has of this fleet."""
        if self._options is not None and self._options.fleet is not None:
            return self._options.fleet.absolute()
        plan = self.follower.plan
        return find_fleet_file(plan.directory, plan.fleet) if plan is not None else None

    def _demo(self) -> bool:
        """Whether the servers and the rollout's folder end with the program."""
        return self._options is not None and self._options.demo

    async def action_back(self) -> None:
        """Return to the screen that opened this one, or leave the program; a live rollout asks first."""
        if self.link is not None and self.follower.ended:
            self.action_result()
        elif self.link is None and len(self.app.screen_stack) > 2:
            if self.takes_over:
                self.post_message(self.GivenUp())
            self.dismiss()
        else:
            await self.app.run_action("quit")
