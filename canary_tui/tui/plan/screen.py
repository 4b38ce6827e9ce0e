"""The plan before the start: read it, run preflight, start the rollout."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from canary_tui.domain.fleet.names import count
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.target import PHASES
from canary_tui.engine.identity import operator
from canary_tui.engine.messages import Notice, Opened, Preflight, Preflighted, Refused, Start
from canary_tui.tui.actions import bindings
from canary_tui.tui.host import Host
from canary_tui.tui.plan.sections import Layout, StyledText, plan_pieces, preflight_pieces, step_rows
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.header import TitleBar
from canary_tui.tui.terminal import one_line

_REPAINT = 0.1
"""Seconds between two repaints while preflight goes on."""


class PlanScreen(Screen[None]):
    """The screen of one plan. `remarks` are warnings that the plan itself cannot know."""

    BINDINGS = bindings("plan", "step.open", "move")

    def __init__(self, host: Host, plan: Plan, remarks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._host = host
        self._link = host.link
        self._plan, self._remarks = plan, remarks
        self._all_names = False
        self._asking = False
        self._starting = False
        self._opened: Path | None = None
        """The folder of the rollout that was started, until it is shown."""
        self._looked: dict[str, Preflighted] | None = None
        self._stale = False
        self._chosen = 0
        """The place of the selected step among all, and the rows of all."""
        self._rows: list[int] = []

    def compose(self) -> ComposeResult:
        """Lay out title, plan, question and keys."""
        yield TitleBar(*_title(self._plan))
        with VerticalScroll(id="plan", can_focus=False):
            yield Static(id="plan-text")
        yield Static(id="summary")
        yield KeyBar()

    def on_mount(self) -> None:
        """Listen to the engine, and load the next screen."""
        self._forget = self._link.listen(self._noticed)
        self.set_interval(_REPAINT, self._catch_up)
        # While the plan is read: 85 ms that a key would wait for otherwise.
        self.run_worker(partial(import_module, "canary_tui.tui.rollout.screen"), thread=True)
        self._say("Nothing was connected to yet.  P looks at every target, S starts.")

    def on_unmount(self) -> None:
        """Stop listening."""
        self._forget()

    def on_resize(self) -> None:
        """Wrap the text for the new width."""
        self.call_after_refresh(self._paint)

    def _paint(self) -> None:
        width = self.query_one("#plan").size.width - 3
        layout = Layout(max(40, width), self._all_names)
        parts: list[StyledText] = []
        if self._looked is not None:
            looked = [self._looked[name] for name in self._plan.targets if name in self._looked]
            parts += [*preflight_pieces(len(self._plan.targets), looked, layout), ("\n", "")]
        parts += plan_pieces(self._plan, self._remarks, layout, self._chosen)
        self._rows = step_rows(parts)
        self.query_one("#plan-text", Static).update(Content.assemble(*parts))

    def _say(self, text: str, *, warning: bool = False, whole: bool = False) -> None:
        """Change the text above the keys; one that must be read `whole` takes more rows instead of being cut."""
        line = self.query_one("#summary", Static)
        line.set_class(warning, "-warning")
        before = line.has_class("-whole")
        line.set_class(whole, "-whole")
        line.update(Content(one_line(text)), layout=whole or before)

    # -- moving

    def action_up(self) -> None:
        """Select the step above if it is in sight, else scroll."""
        self._move(-1)

    def action_down(self) -> None:
        """Select the step below if it is in sight, else scroll."""
        self._move(1)

    def action_page_up(self) -> None:
        """Scroll up one screen."""
        self._scroll(-self._height)

    def action_page_down(self) -> None:
        """Scroll down one screen."""
        self._scroll(self._height)

    def action_top(self) -> None:
        """Scroll to the warnings."""
        self._scroll(-self.query_one("#plan").max_scroll_y)

    def action_bottom(self) -> None:
        """Scroll to the end."""
        self._scroll(self.query_one("#plan").max_scroll_y)

    @property
    def _height(self) -> int:
        return max(1, self.query_one("#plan").scrollable_content_region.height)

    def _in_sight(self) -> list[int]:
        """List the places of the steps whose first row is visible."""
        top = round(self.query_one("#plan").scroll_y)
        return [place for place, row in enumerate(self._rows) if top <= row < top + self._height]

    def _move(self, by: int) -> None:
        seen = self._in_sight()
        if self._chosen not in seen:
            self._scroll(by)
        elif self._chosen + by in seen:
            self._choose(self._chosen + by)
        else:
            self._scroll(by)

    def _scroll(self, rows: int) -> None:
        """Scroll; a step that goes out of sight loses the selection to the nearest one in sight."""
        before = self._chosen in self._in_sight()
        plan = self.query_one("#plan")
        plan.scroll_to(y=plan.scroll_y + rows, animate=False, immediate=True)
        seen = self._in_sight()
        if seen and self._chosen not in seen:
            self._choose(seen[0] if rows > 0 or before else seen[-1])

    def _choose(self, place: int) -> None:
        self._chosen = place
        self._paint()

    def action_open_step(self) -> None:
        """Open the selected step."""
        from canary_tui.tui.plan.step_screen import StepScreen

        places = [(phase, index) for phase in PHASES for index in range(len(self._plan.phase_steps(phase)))]
        if self._chosen < len(places):
            self.app.push_screen(StepScreen(self._plan, *places[self._chosen]))

    def action_copy(self) -> None:
        """Copy the plan's whole hash, and show it for terminals without a clipboard."""
        self.app.copy_to_clipboard(self._plan.hash)
        self._say(f"Copied: {self._plan.hash}")

    def action_names(self) -> None:
        """Show every name, or names in short."""
        self._all_names = not self._all_names
        self._paint()

    # -- preflight

    def action_preflight(self) -> None:
        """Connect to every target and check it."""
        if self._refused_by_link():
            return
        self._looked = {}
        self._link.send(Preflight(self._plan))
        self.action_top()
        self._paint()
        self._tell_preflight()

    def _bad_preflight(self) -> str:
        """Tell beside the question what preflight has found; "" if nothing is wrong, or nobody looked."""
        bad = sum(1 for one in (self._looked or {}).values() if one.outcome != "ok")
        return f"   PREFLIGHT: {bad:,} of {len(self._plan.targets):,} not ok" if bad else ""

    def _tell_preflight(self) -> None:
        assert self._looked is not None
        bad = sum(1 for one in self._looked.values() if one.outcome != "ok")
        done, total = len(self._looked), len(self._plan.targets)
        if done < total:
            self._say(f"Preflight: {done:,} of {total:,} looked at, {bad:,} not ok ...", warning=bad > 0)
        elif bad:
            self._say(f"Preflight: {count(bad, 'target')} of {total:,} not ok, see above.", warning=True)
        else:
            self._say(f"Preflight: all {total:,} ok.  S starts.")

    def _catch_up(self) -> None:
        self._open_when_on_top()
        if self._starting and self._refused_by_link():
            self._starting = False
            self.refresh_bindings()
        if self._stale:
            self._stale = False
            self._paint()
            if not self._asking and not self._starting:
                self._tell_preflight()

    # -- starting

    def action_start(self) -> None:
        """Ask for a confirmation, in a sentence."""
        if not self._refused_by_link() and not self._starting:
            self._asking = True
            question = f"{start_sentence(self._plan)}?  enter Start"
            self._say(f"{question}{self._bad_preflight()}", warning=True, whole=True)
            self.refresh_bindings()

    def action_confirm(self) -> None:
        """Start, if the question is open."""
        if self._asking and not self._refused_by_link():
            self._asking, self._starting = False, True
            self._link.send(Start(self._plan, operator(), self._host.options.breaks))
            self._say("Starting ...")
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's
        """Offer enter for the start only while the question is open, else for the selected step."""
        if action == "confirm":
            return self._asking
        if action == "open_step":
            return not self._asking and not self._starting
        if action in {"start", "preflight"}:
            return None if self._starting else not self._asking
        return True

    def action_back(self) -> None:
        """Close the question, or the screen."""
        if self._asking:
            self._asking = False
            self._say("Not started.")
            self.refresh_bindings()
        elif not self._starting:
            self.dismiss()

    def _refused_by_link(self) -> bool:
        if self._link.gone:
            self._say(self._link.gone, warning=True)
        return bool(self._link.gone)

    # -- the engine's words

    def _noticed(self, notice: Notice) -> None:
        match notice:
            case Preflighted() if self._looked is not None:
                self._looked[notice.target] = notice
                self._stale = True
            case Refused(command="Preflight" | "Start"):
                self._starting = False
                self._say(f"Refused: {notice.reason}", warning=True)
                self.refresh_bindings()
            case Opened() if self._starting:
                self._opened = Path(notice.directory)
                self._open_when_on_top()
            case _:
                pass

    def _open_when_on_top(self) -> None:
        """Show the rollout; the help or a dialog that covers the plan is not taken away, but waited for."""
        if self._opened is None or not self.is_active:
            return
        from canary_tui.tui.rollout.screen import RolloutScreen  # loaded by on_mount's thread meanwhile

        directory, self._opened = self._opened, None
        self.app.switch_screen(RolloutScreen(directory, self._link, self._host.options))


def _title(plan: Plan) -> tuple[str, str]:
    about = " · ".join(part for part in (plan.fleet, plan.environment, f"release {plan.release}") if part)
    return f"PLAN  {about}", f"plan {plan.hash[:12]}"


def start_sentence(plan: Plan) -> str:
    """Write the question before the start: `Start shop 1.4.2 in production: 3 canaries of 20 targets`."""
    first, total = len(plan.waves[0].targets), len(plan.targets)
    place = f" in {plan.environment}" if plan.environment else ""
    of_all = f" of {count(total, 'target')}" if first < total else ""
    everyone = "" if plan.canaries else ", without canaries and without a gate"
    return f"Start {plan.fleet} {plan.release}{place}: {first:,} {plan.members(0, first)}{of_all}{everyone}"
