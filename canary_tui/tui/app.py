"""The application of the screens: its start, its end, its engine, and all that the screens share."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.command import CommandPalette
from textual.content import Content
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.screen import Screen
from textual.widgets import Input, Static

from canary_tui.errors import ExitCode
from canary_tui.startup import start_collector
from canary_tui.store.layout import resume_command
from canary_tui.tui.actions import bindings, key_sign
from canary_tui.tui.keys import Settings, load_settings
from canary_tui.tui.options import AppOptions
from canary_tui.tui.shared.banner import Banner
from canary_tui.tui.shared.help import ActionCommands, HelpScreen
from canary_tui.tui.shared.prompts import LeaveScreen, QuestionScreen
from canary_tui.tui.terminal import (
    FORMER_TITLE,
    KEEP_TITLE,
    SMALLEST,
    StripControls,
    colourless,
    few_colours,
    one_line,
    printable,
    speak_utf8,
    title,
)
from canary_tui.tui.textual_fixes import apply_fixes, leaving_below
from canary_tui.tui.themes import THEMES, next_theme, remember_theme, remembered_theme

if TYPE_CHECKING:
    from canary_tui.engine.messages import Asked, Notice
    from canary_tui.tui.link import EngineLink
    from canary_tui.tui.rollout.screen import RolloutScreen
    from canary_tui.tui.takeover import Takeover

_STRIP_CONTROLS = StripControls()
_LONGEST_COMMAND = 60
"""Characters that the command palette takes."""
_AFTER_STOP = 2.0
"""Seconds without a Ctrl-C before one leaves: what was to stop a rollout may come when it has just ended."""


class TooSmall(Screen[None]):
    """The only screen that fits into a terminal below the smallest size."""

    def compose(self) -> Iterable[Static]:
        """Show one line."""
        yield Static(id="too-small")

    def on_resize(self, event: events.Resize) -> None:
        """Say how small the terminal is."""
        size, need = event.size, "x".join(map(str, SMALLEST))
        text = f"terminal too small ({size.width}x{size.height}, need {need})"
        self.query_one("#too-small", Static).update(Content(text))

    def on_screen_resume(self) -> None:
        """Look at the size again: the terminal may have grown while a prompt was above this screen."""
        self.app.call_later(self.app.fit)  # type: ignore[attr-defined]  # only CanaryApp shows this screen


class CanaryApp(App[ExitCode]):
    """The app. It reads nothing and starts no engine before the first frame is out."""

    CSS_PATH = "canary.tcss"
    TITLE = "canary-tui"
    COMMANDS = {ActionCommands}  # noqa: RUF012  Textual's declaration
    BINDINGS = [  # noqa: RUF012  Textual's declaration
        *bindings("app.help", "app.palette", "app.theme", "app.next-pane", "app.quit"),
        # Priority, because text fields and screens take it for copying; while a rollout is live it only asks.
        Binding("ctrl+c", "interrupt", "Stop", show=False, priority=True, id="app.interrupt"),
    ]

    def __init__(self, options: AppOptions, settings: Settings | None = None) -> None:
        apply_fixes()
        super().__init__(ansi_color=None if options.colour else True)
        self.animation_level = "none"
        self.options = options
        self.settings = settings or Settings()
        self.crash = ""
        """The traceback of a bug that ended the app; it is printed when the terminal is restored."""
        self.titled = False
        """The terminal shows a title of ours, and keeps its own for the end."""
        self._waited = ""
        self._interrupted = float("-inf")
        """The time of the last Ctrl-C."""
        self.refused_file = ""
        """Why the fleet file could not be used, in one line; it is printed when the screens were left for it."""
        self._told_clashes: set[str] = set()
        self._engine_started = False
        self._register_themes()
        self.set_keymap(self.settings.keys)

    @cached_property
    def link(self) -> EngineLink:
        """The way to the engine, made late: its module loads every message, and the first screen needs none."""
        from canary_tui.tui.link import EngineLink

        link = EngineLink(self.options.engine, on_gone=self._engine_gone)
        link.listen(self._noticed)
        return link

    @cached_property
    def takeover(self) -> Takeover:
        """The way to sit down at a rollout that has not ended."""
        from canary_tui.tui.takeover import Takeover

        return Takeover(self, self.link, self.options)

    def resume(self, path: Path, refused: Callable[[str], None]) -> None:
        """Take the rollout in a folder over, and show it; `refused` is told why that cannot be."""
        self.takeover.begin(path, refused)

    def on_rollout_screen_given_up(self) -> None:
        """Wait no longer for the engine that works on the rollout."""
        self.takeover.give_up()

    def _register_themes(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        chosen = (
            self.options.theme
            or self.settings.theme
            or remembered_theme(self.options.state)
            or self.options.usual_theme
        )
        self.theme = chosen if self.options.colour else "terminal"

    def get_driver_class(self) -> type[Driver]:
        """Leave the cursor below the last frame."""
        return leaving_below(super().get_driver_class())

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Add to Textual's filters a last one that no control character passes."""
        return [*super().get_line_filters(), _STRIP_CONTROLS]

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:  # noqa: ARG002  Textual's signature
        """Offer none of Textual's commands: the palette lists the actions of the registry."""
        return ()

    # -- beginning

    def on_mount(self) -> None:
        """Show the first screen; slow work comes after its first frame."""
        self._listen_to_signals()
        self.push_screen(self._first_screen())
        self.call_after_refresh(self._first_frame_is_out)

    def _first_screen(self) -> Screen[Any]:
        if self.options.rollout is not None:
            from canary_tui.tui.rollout.screen import RolloutScreen  # only the first screen delays the first paint

            link = self.link if self.options.resume else None
            return RolloutScreen(self.options.rollout, link, self.options)
        from canary_tui.tui.picker.screen import PickerScreen

        return PickerScreen(self)

    async def _first_frame_is_out(self) -> None:
        start_collector()
        if complaints := "\n".join(map(one_line, self.settings.complaints)):
            self.notify(complaints, title="Settings", severity="warning", timeout=15, markup=False)
        if self.options.rollout is not None and self.options.resume:
            self.takeover.begin(self.options.rollout)
            await self.start_engine()

    async def start_engine(self) -> None:
        """Start the engine once, after the picker shows its targets: loading the engine would delay them."""
        if not self._engine_started:
            self._engine_started = True
            await self.link.start()

    def _listen_to_signals(self) -> None:
        """End the app on a signal as a key would, with the terminal restored; Textual alone leaves it broken."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._bug_in_a_task)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self.exit, ExitCode.INTERRUPTED)

    def on_unmount(self) -> None:
        """Remove the signal handlers."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.remove_signal_handler(number)

    # -- ending

    def _bug_in_a_task(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Show the death of a task that nobody waits for, which is silent in Textual; the screens go on."""
        error = context.get("exception")
        if error is None:
            loop.default_exception_handler(context)
            return
        self.crash = "".join(traceback.format_exception(error))
        self.notify(one_line(f"{type(error).__name__}: {error}"), title="A bug", severity="error", markup=False)

    def _fatal_error(self) -> None:
        """Keep the traceback for the restored terminal, without the locals: secrets are locals."""
        self.crash = traceback.format_exc()
        self.panic()

    async def action_quit(self) -> None:
        """Leave; while a rollout is live, say first what happens to it."""
        if not self.link.live:
            ended = self.link.ended
            cut = ExitCode.INTERRUPTED if self.link.opened is not None else ExitCode.SUCCEEDED
            self.exit(ExitCode(ended.exit_code) if ended is not None else cut)
        elif not self._shows(LeaveScreen):
            assert self.link.opened is not None
            self.push_screen(LeaveScreen(self.link.opened.rollout, demo=self.options.demo), self._leave)

    def _leave(self, leave: bool | None) -> None:
        if leave:
            self.exit(ExitCode.INTERRUPTED)

    async def action_interrupt(self) -> None:
        """Ctrl-C: ask what to stop while a rollout is live, else leave."""
        now = time.monotonic()
        pressed, self._interrupted = self._interrupted, now
        if not self.link.live:
            if now - pressed < _AFTER_STOP:
                self.notify("It has stopped. Press ctrl+c again in two seconds to leave.", timeout=2, markup=False)
            else:
                self.exit(ExitCode.INTERRUPTED)
            return
        for screen in reversed(self.screen_stack):
            if hasattr(screen, "action_stop"):
                await screen.run_action("stop")
                return

    # -- the terminal's own frame

    def on_rollout_screen_status_changed(self, event: RolloutScreen.StatusChanged) -> None:
        """Set the terminal's title, and ring when the operator is newly needed, if the settings say so."""
        if self.is_headless or self._driver is None:
            return
        self._driver.write(("" if self.titled else KEEP_TITLE) + title(event.words))
        self.titled = True
        if event.waits and event.waits != self._waited and self.settings.bell:
            self.bell()
        self._waited = event.waits

    # -- shared by all screens

    def action_help(self) -> None:
        """Show the keys of the current pane."""
        if not self._shows(HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_command_palette(self) -> None:
        """Show the command palette, once: also not a second one above a dialog that covers the first."""
        if not self._shows(CommandPalette):
            # Without the id that Textual gives it: one that is still being closed would clash with the next.
            palette = CommandPalette()
            self.push_screen(palette)
            # Each character starts a search that walks all that were started before: 5,000 ones take half a minute.
            self.call_after_refresh(lambda: _limit_input(palette))

    def _shows(self, kind: type[Screen[Any]]) -> bool:
        """Whether a dialog is open, perhaps below another one."""
        return any(isinstance(screen, kind) for screen in self.screen_stack)

    def action_next_pane(self) -> None:
        """Move the focus to the next pane."""
        self.screen.focus_next()

    def action_theme(self) -> None:
        """Switch to the next theme, also for the next start."""
        self.action_use_theme(next_theme(self.theme))

    def action_use_theme(self, name: str) -> None:
        """Change the colours now and for the next start."""
        self.theme = name
        remember_theme(self.options.state, name)
        self.notify(f"Theme: {name}", timeout=2, markup=False)

    def get_key_display(self, binding: Binding) -> str:
        """Write keys as everywhere else."""
        return key_sign(binding.key)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:  # noqa: ARG002  Textual's
        """Report once that two actions share a key."""
        names = " and ".join(sorted(binding.id or binding.action for binding in clashed_bindings))
        if names not in self._told_clashes:
            self._told_clashes.add(names)
            self.notify(f"One key for {names}", title="Settings", severity="warning", markup=False)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002  Textual's signature
        """Cover or uncover the screens."""
        self.call_later(self.fit)

    def fit(self) -> None:
        """Cover the screens while the terminal is too small for them."""
        small = self.size.width < SMALLEST[0] or self.size.height < SMALLEST[1]
        if small and not self._shows(TooSmall):
            self.push_screen(TooSmall())
        elif not small and isinstance(self.screen, TooSmall):
            self.pop_screen()

    # -- the engine

    def _noticed(self, notice: Notice) -> None:
        from canary_tui.engine.messages import Asked, Busy, Opened, Refused  # loaded with the link by now

        if isinstance(notice, Busy | Opened | Refused):
            self.call_later(self.takeover.noticed, notice)
        if isinstance(notice, Asked):
            self.push_screen(QuestionScreen(notice.about), lambda answer: self._answer(notice, answer))

    def _answer(self, asked: Asked, answer: str | None) -> None:
        from canary_tui.engine.messages import Answered  # loaded with the link by now

        self.link.send(Answered(asked.question, answer))

    def _engine_gone(self) -> None:
        """Put a banner over every screen, with the command that takes the rollout over."""
        text = self.link.gone
        if isinstance(self.screen, QuestionScreen):
            self.screen.dismiss(None)
        if self.link.opened is not None and self.link.ended is None:
            text += f". What runs on the targets goes on; `{resume_command(self.link.opened.rollout)}` takes over."
        for screen in self.screen_stack:
            if screen.is_mounted and not screen.query(Banner):
                screen.mount(Banner(Content(one_line(text))))


def run_app(options: AppOptions) -> ExitCode:
    """Show the screens until they end. The caller has checked the terminal with `terminal.refusal`."""
    if colourless(os.environ):
        options = replace(options, colour=False)
    else:
        os.environ.pop("NO_COLOR", None)  # Textual takes an empty one for a wish
    if few_colours(os.environ):
        options = replace(options, usual_theme="terminal")  # there the others' roles all become one grey
    speak_utf8(sys.__stderr__)  # what Textual draws on
    app = CanaryApp(options, load_settings())
    code = asyncio.run(_run(app))
    if app.titled and sys.__stderr__ is not None:
        sys.__stderr__.write(FORMER_TITLE)
        sys.__stderr__.flush()
    _print_last_words(app)
    return _as_it_ended(code, app.link)


def _limit_input(palette: CommandPalette) -> None:
    for field in palette.query(Input):
        field.max_length = _LONGEST_COMMAND


async def _run(app: CanaryApp) -> ExitCode | None:
    try:
        return await app.run_async(mouse=app.options.mouse or app.settings.mouse)
    finally:
        await app.link.close()


def _as_it_ended(code: ExitCode | None, link: EngineLink) -> ExitCode:
    """The exit code once the engine has said its last: who left may have left a rollout that was just beginning."""
    if code is not ExitCode.SUCCEEDED or (link.opened is None and not link.opening):
        return ExitCode.FAILED if code is None else code
    return ExitCode(link.ended.exit_code) if link.ended is not None else ExitCode.INTERRUPTED


def _print_last_words(app: CanaryApp) -> None:
    """Print to the restored terminal the reason why the screens or the engine died."""
    if app.crash:
        sys.stderr.write(printable(app.crash))
        sys.stderr.write(
            "canary-tui: a bug, see above. A live rollout starts nothing new; `canary-tui resume` goes on with it.\n"
        )
    if app.link.gone:
        sys.stderr.write(printable(f"canary-tui: {app.link.gone}\n{app.link.last_words}"))
    if app.link.opening:
        sys.stderr.write("canary-tui: it was being started; `canary-tui history` shows whether it began\n")
    if app.refused_file:
        sys.stderr.write(printable(f"canary-tui: {app.refused_file}"))
    ended = app.link.ended
    if app.link.opened is not None and ended is not None and not ExitCode(ended.exit_code).resumable:
        logs = "" if app.options.demo else f"logs in {app.link.opened.directory}/logs\n"  # a demo's folder is removed
        sys.stdout.write(printable(f"{ended.message}\n{logs}"))
    if app.link.opened is not None and not app.options.demo and (ended is None or ExitCode(ended.exit_code).resumable):
        sys.stderr.write(
            printable(f"canary-tui: not finished. Continue with:\n  {resume_command(app.link.opened.rollout)}")
        )
