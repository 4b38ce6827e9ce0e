"""The rollout screen's panels: the choice of the open one, and the keys that reach it."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events
from textual.app import SuspendNotSupported

from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.identity import operator
from canary_tui.engine.messages import GiveUp
from canary_tui.store.layout import resume_command
from canary_tui.tui.actions import ACTIONS
from canary_tui.tui.host import Link
from canary_tui.tui.rollout.abort_panel import AbortPanel
from canary_tui.tui.rollout.failure_groups import held_up
from canary_tui.tui.rollout.failure_panel import TREATMENT_KEYS, FailurePanel, waiting_targets
from canary_tui.tui.rollout.follower import SILENT_AFTER, Follower
from canary_tui.tui.rollout.gate_panel import GatePanel
from canary_tui.tui.rollout.gate_summary import GateSummary, summarise
from canary_tui.tui.rollout.log_keys import LogKeys
from canary_tui.tui.rollout.stop_panel import StopPanel
from canary_tui.tui.rollout.target_list import TargetList
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, read_since
from canary_tui.tui.shared.rows import fit
from canary_tui.tui.shell import open_shell, ssh_program

_DIGITS = "123456789"
_ACTING = frozenset(
    one.keys for one in ACTIONS if one.dangerous and one.pane in ("rollout", "gate", "failures", "abort")
)
"""Keys that would act on targets, were the screen not read only."""
_LABEL = 20
"""Cells that a target's name takes at most in the footer."""


class RolloutPanels(LogKeys):
    """The half of the rollout screen that asks a person. One panel at a time is open: the most urgent one."""

    def __init__(self, follower: Follower, link: Link | None) -> None:
        super().__init__()
        self.follower = follower
        self.link = link
        self.takes_over = False
        """It is read only until the engine that works on the rollout has ended; then another screen follows."""
        by = operator()
        read_only = link is None
        self._guard = KeyGuard()
        self._looked_at: tuple[object, ...] = ()
        self._usable: tuple[str, ...] = ()
        self._turned_to: tuple[str, ...] = ()
        """The failed targets to whose first the cursor was moved."""
        self._panel_speaks = False
        """The failure panel's cursor, not the list's, was the last to be moved."""
        self.waiting = False
        """A person is asked about failed targets."""
        self.summary: GateSummary | None = None
        """The gate that waits for a person."""
        self.targets = TargetList(follower, lambda: self.logs.pinned)
        self.gate = GatePanel(self._guard, by, read_only=read_only)
        self.failures = FailurePanel(self._guard, by, follower.logs, read_only=read_only)
        self.abort = AbortPanel(self._guard, by)
        self.stopping = StopPanel(self._guard, by)
        self.panels: tuple[Panel, ...] = (self.gate, self.failures, self.abort, self.stopping)

    # one panel at a time, the most urgent one

    def show_panels(self) -> None:
        """Bring every panel up to date."""
        plan, state = self.follower.plan, self.follower.state
        if plan is None:
            return
        # Ctrl-C and an abort cover the rest: a person who asked for them must not have another question put under the
        # fingers. Failures come before the gate, which stays locked by them. So those two are closed first, here.
        live = not self.follower.ended and not self.follower.broken
        if self.stopping.display and not live:
            self.stopping.close()
        if self.abort.display and (state.aborted != "none" or state.stage not in ("preflight", "waves") or not live):
            self.abort.close()
        self._look(plan, state)
        covered = self.stopping.display or self.abort.display or not live
        if self.waiting and not covered:
            self._show_failures(plan, state)
        else:
            self.failures.close()
            self._turned_to = self._turned_to if self.waiting else ()
        self.gate.show(None if self.waiting or covered else self.summary, self.follower.now())
        self.abort.draw()
        self.stopping.draw()
        self._follow_keys()

    def _show_failures(self, plan: Plan, state: RolloutState) -> None:
        """Show the failed targets; as they come up, the cursor and the log turn to the first of them."""
        opens = not self.failures.display
        self.failures.shell_on = self.shell_target()
        self.failures.show(plan, state)
        names = self.failures.asked_about()
        if opens and names != self._turned_to:
            self._turned_to = names
            self.failures.restart()
            self._panel_speaks = True
            self._turn_to_failed()
        if self.failures.shell_on != self.shell_target():
            self.failures.shell_on = self.shell_target()
            self.failures.show(plan, state)

    def _turn_to_failed(self) -> None:
        """Move the list's cursor, and the log with it unless somebody reads there."""
        if not self.logs.pinned or self.logs.shown != "one":
            self.targets.turn_to(self.failures.current())

    def shell_target(self) -> str:
        """The target of a shell: the one under the cursor that was moved last, by a person or as the panel opened."""
        return (self.failures.current() if self._panel_speaks else "") or self.targets.cursor

    @property
    def key_labels(self) -> dict[str, str]:
        """The labels in the footer that name a target."""
        name = self.shell_target()
        return {"rollout.shell": f"Shell on {fit(name, min(len(name), _LABEL))}"} if name else {}

    def on_failure_list_moved(self) -> None:
        """Have the list and the log follow the panel's cursor."""
        self._panel_speaks = True
        self._turn_to_failed()
        self.show_panels()

    def _look(self, plan: Plan, state: RolloutState) -> None:
        """Find out what waits for a person, but only after a change: it costs a look at every target."""
        silent = self._silent()
        if self._looked_at != (self.follower.version, silent):
            self._looked_at = (self.follower.version, silent)
            self.waiting = bool(self.follower.troubled) and bool(waiting_targets(plan, state))
            self.failures.held_up = held_up(state) if self.waiting else ((), 0)
            self.summary = summarise(plan, state, engine_silent=silent)

    def _follow_keys(self) -> None:
        """Update the key bar when other keys become possible."""
        usable = tuple(name for name, condition in _CONDITIONS.items() if condition(self))
        usable += ("approve",) if self.gate.display and self.gate.can_approve else ()
        usable += (self.shell_target(),)
        if usable != self._usable:
            self._usable = usable
            self.refresh_bindings()

    def _silent(self) -> bool:
        return self.link is not None and (bool(self.link.gone) or self.follower.silent_for() > SILENT_AFTER)

    def on_stop_panel_abort_wanted(self) -> None:
        self.action_abort()

    def on_abort_panel_left(self) -> None:
        self.stopping.release()
        self.show_panels()

    def on_key(self, event: events.Key) -> None:
        """Note every key before its action, because some depend on its time. Digits tick the checklist."""
        # Textual runs the action of a key after this handler: so the guard knows the key before a panel asks about it.
        self._guard.saw(event)
        bound = self.active_bindings.get(event.key)
        if bound is not None and bound.binding.id == "gate.approve" and not bound.enabled:
            self.gate.explain()
            self.show_panels()
        if self.link is None and not self.follower.ended and event.key in _ACTING:
            event.stop()
            self.notify(self._why_read_only(), markup=False)
        if self.gate.display and self.link is not None and len(event.key) == 1 and event.key in _DIGITS:
            event.stop()
            if not self.gate.swallows():
                self.gate.tick(_DIGITS.index(event.key))

    def _why_read_only(self) -> str:
        sitting = self.follower.sitting()
        if self.takes_over:
            return f"Read only: {sitting}. You get the controls once that has ended."
        rollout = self.follower.state.rollout or self.follower.directory.name
        return f"Read only: {sitting}. To steer it: {resume_command(rollout)}"

    def on_decided(self, event: Decided) -> None:
        event.stop()
        if self.link is not None:
            self.link.send(event.command)

    def on_panel_asks(self) -> None:
        self.show_panels()

    # which keys do something now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's
        """Hide impossible actions; grey out an approval that is locked."""
        if action == "approve":
            if not self.gate.display or self.link is None:
                return False
            return True if self.gate.can_approve else None
        condition = _CONDITIONS.get(action)
        return condition(self) if condition is not None and self.is_mounted else condition is None

    # keys

    async def action_stop(self) -> None:
        """Ask what to stop on Ctrl-C; the second time, stop running steps."""
        self._guard.note("ctrl+c", time.monotonic())  # the app takes it before the screen sees a key
        self.action_stop_panel()

    def action_stop_panel(self) -> None:
        """Start nothing new and ask what to stop; a second time, stop running steps."""
        if not _can_stop(self) or self.follower.plan is None:
            return
        self.abort.close()
        self.stopping.begin(self.follower)
        self.show_panels()

    def action_ask_stop(self) -> None:
        if not self.stopping.display:
            self.action_stop_panel()

    def action_approve(self) -> None:
        self.gate.arm()
        self.show_panels()

    def action_hold(self) -> None:
        self.gate.hold()
        self.show_panels()

    def action_note(self) -> None:
        self.gate.note()
        self.show_panels()

    def action_tick(self) -> None:
        """Tick the first open item: the command palette has no digit."""
        self.gate.tick_next()

    def action_abort(self) -> None:
        plan = self.follower.plan
        if plan is not None:
            self.abort.begin(plan, self.follower.state)
            self.show_panels()

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

    def action_give_up(self) -> None:
        """Wait no longer for the lost target under the cursor; the failure panel asks what became of its step then."""
        if self.link is not None and _can_give_up(self):
            self.link.send(GiveUp(self.follower.state.rollout, self.shell_target(), operator()))

    def action_shell(self) -> None:
        """Open the operator's ssh to the target that the key names; the rollout goes on meanwhile."""
        plan, ssh = self.follower.plan, ssh_program()
        name = self.shell_target()
        if plan is None or name not in plan.targets:
            return
        unread = not self.failures.readable() if self.failures.display else not read_since(self.targets.turned_at)
        if unread:
            why = f"T is for {name} now; press it again"
        elif ssh is None:
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
        """Have every panel be read again: its question may have changed."""
        for panel in self.panels:
            panel.rearm()


def _way_open(treatment: str) -> Callable[[RolloutPanels], bool]:
    way = next(way for way in TREATMENT_KEYS if way.treatment == treatment)
    return lambda screen: _answers(screen, screen.failures) and bool(screen.failures.open_to(way))


def _answers(screen: RolloutPanels, panel: Panel) -> bool:
    return screen.link is not None and panel.display


def _can_abort(screen: RolloutPanels, panel: Panel) -> bool:
    return _answers(screen, panel) and screen.follower.state.stage in ("preflight", "waves")


def _can_stop(screen: RolloutPanels) -> bool:
    return screen.link is not None and not screen.link.gone and not screen.follower.ended


def _can_open_shell(screen: RolloutPanels) -> bool:
    """Whether it steers the rollout: who only watches acts on no target, and those of an ended one may be others."""
    return screen.follower.plan is not None and screen.link is not None


def _can_give_up(screen: RolloutPanels) -> bool:
    target = screen.follower.state.targets.get(screen.shell_target())
    return _can_stop(screen) and target is not None and target.running is not None and bool(target.running.lost)


def _some_panel(screen: RolloutPanels) -> bool:
    return any(panel.display for panel in screen.panels)


_CONDITIONS: dict[str, Callable[[RolloutPanels], bool]] = {
    "hold": lambda screen: _answers(screen, screen.gate),
    "tick": lambda screen: _answers(screen, screen.gate),
    "note": lambda screen: _answers(screen, screen.gate),
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
    "give_up": _can_give_up,
    "shell": _can_open_shell,
    "next_failed": lambda screen: bool(screen.follower.troubled),
    "clear_finds": lambda screen: (
        screen.logs.finds_something and not screen.abort.display and not screen.stopping.display
    ),
    "ask_stop": lambda screen: _can_stop(screen) and not _some_panel(screen),
    "scroll_up": _some_panel,
    "scroll_down": _some_panel,
    "result": lambda screen: screen.follower.ended,
    "grouped": lambda screen: screen.follower.plan is not None,
}
"""The conditions of actions that are not always possible."""
