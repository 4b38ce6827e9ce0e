"""The panel of failed targets and unknown outcomes: one list, and the treatments open to each target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from canary_tui.domain.fleet.names import count
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import FailureTreated, Operator, UnknownSettled
from canary_tui.domain.rollout.failures import blocked, pending_failures, settleable
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState, can_roll_back
from canary_tui.domain.rollout.words import Settlement, Treatment
from canary_tui.engine.messages import Decide
from canary_tui.tui.rollout.status import current_step, status_of, step_name
from canary_tui.tui.shared.formats import in_short
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, TypedField, keyed, line
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit, texts_width

_SETTLEMENTS: dict[str, Settlement] = {"done": "ok", "failed": "failed", "retry": "retry"}
_MOST_ROWS = 6


@dataclass(frozen=True, slots=True)
class TreatmentKey:
    """One treatment: its key, its effect in words, and a test of the targets that it is open to."""

    key: str
    treatment: Treatment
    verb: str
    does: str
    open_to: Callable[[Plan, TargetState], bool]


TREATMENT_KEYS: tuple[TreatmentKey, ...] = (
    TreatmentKey(
        "R",
        "retry",
        "Retry",
        "run the failed step again, only there",
        lambda _, target: target.unknown_phase is None,
    ),
    TreatmentKey(
        "K",
        "skip",
        "Skip the step",
        "treat as ok; it does not count as proof",
        lambda _, target: target.unknown_phase is None and target.probe == "ok",
    ),
    TreatmentKey(
        "E", "exclude", "Exclude", "nothing more there; it does not count as done", lambda _plan, _target: True
    ),
    TreatmentKey(
        "B",
        "rollback",
        "Roll back",
        "to its previous release; nothing more there",
        lambda plan, target: target.unknown_phase is None and can_roll_back(plan, target),
    ),
)


def waiting_targets(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """List the targets about which a person is asked, in the plan's order."""
    asked = {*pending_failures(plan, state), *settleable(state)}
    return tuple(name for name in state.targets if name in asked) if asked else ()


class FailureList(RowWidget, can_focus=True):
    """The list of targets; `space` marks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("space", "mark", "Mark", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(classes="failures")
        self.names: tuple[str, ...] = ()
        self.marked: set[str] = set()
        self._rows: list[list[TonedText]] = []
        self._at = self._top = 0

    class Moved(Message):
        """A person has moved the cursor."""

    def show(self, names: tuple[str, ...], rows: list[list[TonedText]]) -> None:
        """Update the list; the cursor and the marks stay with their targets."""
        self.marked &= set(names)
        if rows == self._rows and names == self.names:
            return
        here = self.current
        self.names, self._rows = names, rows
        self._at = names.index(here) if here in names else min(self._at, max(0, len(names) - 1))
        self._keep_visible()
        self.refresh()

    @property
    def current(self) -> str:
        """The selected target; "" if there is none."""
        return self.names[self._at] if self.names else ""

    def render_line(self, y: int) -> Strip:
        index = self._top + y
        if index >= len(self._rows):
            return self.strip([], self.size.width)
        mark = "[x]" if self.names[index] in self.marked else "[ ]"
        over = "cursor" if index == self._at and self.has_focus else ""
        row = self.strip([(f" {mark} ", "plain"), *self._rows[index]], self.size.width, over)
        hidden = self._hidden(y)
        if not hidden:
            return row
        sign = self.strip([(f"  {hidden} ", "name")], len(hidden) + 3, over)
        return Strip.join([row.crop(0, max(0, self.size.width - len(hidden) - 3)), sign])

    def _hidden(self, y: int) -> str:
        """Tell in the first and the last row the number of hidden targets."""
        below = len(self.names) - self._top - self.size.height
        if y == self.size.height - 1 and below > 0:
            return f"↓ {below} more"
        return f"↑ {self._top} more" if y == 0 and self._top else ""

    def action_move(self, rows: int) -> None:
        self._at = max(0, min(self._at + rows, len(self.names) - 1))
        self._keep_visible()
        self.refresh()
        self.post_message(self.Moved())

    def restart(self) -> None:
        """Move the cursor to the first target."""
        self._at = self._top = 0
        self.refresh()

    def _keep_visible(self) -> None:
        height = max(1, self.size.height)
        self._top = min(max(self._top, self._at - height + 1), self._at, max(0, len(self.names) - height))

    def on_resize(self) -> None:
        self._keep_visible()
        self.refresh()

    def action_mark(self) -> None:
        if self.current:
            self.marked ^= {self.current}
            self.action_move(1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()


class FailurePanel(Panel):
    """One decision for the marked targets, or for all that are listed if none is marked."""

    def __init__(self, guard: KeyGuard, by: Operator, *, read_only: bool) -> None:
        super().__init__(guard, id="failures")
        self._by = by
        self._read_only = read_only
        self._plan: Plan | None = None
        self._state = RolloutState()
        self._note = ""
        self._question = ""
        """The count and the names that the open field is about."""
        self._most_rows = _MOST_ROWS
        self.shell_on = ""
        """The target of the key that opens a shell, which the screen knows."""

    def compose_choice(self) -> ComposeResult:
        yield FailureList()

    def choice_rows(self) -> int:
        return max(1, min(len(self.query_one(FailureList).names), self._most_rows))

    def limit(self, rows: int) -> None:
        """Shorten the list before the keys: the list scrolls, and the keys would be covered."""
        others = 2 + sum(self._rows(one) for one in (".panel-says", ".panel-keys")) + (1 if self.asking else 0)
        self._most_rows = max(1, min(_MOST_ROWS, rows - others))
        self.query_one(FailureList).styles.height = self.choice_rows()
        super().limit(rows)

    def show(self, plan: Plan, state: RolloutState) -> None:
        """Update the panel; it is open while targets wait for a decision."""
        self._plan, self._state = plan, state
        names = waiting_targets(plan, state)
        listed = self.query_one(FailureList)
        if not names:
            self._note = ""
            self.close()
            return
        if names != listed.names and self.asking:
            self.stop_asking()
            self._note = "the list changed while you were deciding"
        self.open()
        listed.show(names, [_row(plan, state, state.targets[name]) for name in names])
        self._draw(plan, state, names)

    def on_typed_field_left(self, event: TypedField.Left) -> None:
        """Drop the note about the field."""
        self._note = ""
        super().on_typed_field_left(event)

    def refused(self, reason: str) -> None:
        self._note = f"refused: {reason}"

    def current(self) -> str:
        """The selected target; "" while the panel is closed."""
        return self.query_one(FailureList).current if self.display else ""

    def asked_about(self) -> tuple[str, ...]:
        """The listed targets; none while the panel is closed."""
        return self.query_one(FailureList).names if self.display else ()

    def restart(self) -> None:
        """Move the cursor to the first listed target."""
        self.query_one(FailureList).restart()

    def chosen(self) -> tuple[str, ...]:
        """The marked targets, or all listed ones."""
        listed = self.query_one(FailureList)
        return tuple(name for name in listed.names if name in listed.marked) or listed.names

    def open_to(self, way: TreatmentKey) -> tuple[str, ...]:
        """List the chosen targets that a treatment is open to."""
        if self._plan is None or self._state.stage not in ("preflight", "waves"):
            return ()
        plan, pending = self._plan, set(pending_failures(self._plan, self._state))
        return tuple(name for name in self.chosen() if name in pending and way.open_to(plan, self._state.targets[name]))

    def treat(self, treatment: Treatment) -> None:
        """Send a treatment: a retry at once, the others with a note."""
        way = next(way for way in TREATMENT_KEYS if way.treatment == treatment)
        targets = self.open_to(way)
        if self._read_only or not targets or not self.deliberate():
            return
        if treatment == "retry":
            self._send(treatment, targets, "")
            return
        what = f"{way.verb}{' on' if treatment == 'skip' else ''} {count(len(targets), 'target')}"
        self._question = f"{what}: {in_short(targets)}"
        self.ask(f" Reason to {what[0].lower()}{what[1:]}:", lambda note: self._noted(treatment, targets, note))

    def unsettled(self) -> str:
        """The target of `U`: the selected one, or the first with an unknown outcome."""
        unknown = settleable(self._state)
        current = self.query_one(FailureList).current
        return current if current in unknown else next(iter(unknown), "")

    def settle(self) -> None:
        """Ask for the outcome of a step that no target can report."""
        target = self.unsettled()
        if target and not self._read_only and self.deliberate():
            self._note = "done: continue with the next step. retry: run the step again, perhaps twice"
            self._question = f"Settle {target}"
            self.ask(" Type done, failed or retry, then why:", lambda text: self._settled(target, text))

    def _settled(self, target: str, text: str) -> None:
        word, _, note = text.strip().partition(" ")
        settlement = _SETTLEMENTS.get(word)
        if settlement is None or not note.strip():
            self.field.value = ""
            self._note = "type done, failed or retry, then a few words about how you know"
            return
        self.stop_asking()
        self._note = ""
        said = UnknownSettled(target, settlement, self._by, note.strip())
        self.post_message(Decided(Decide(self._state.rollout, said)))

    def _noted(self, treatment: Treatment, targets: tuple[str, ...], text: str) -> None:
        note = " ".join(text.split())
        if not note:
            self._note = "please give a reason; it is recorded in the journal"
            return
        self.stop_asking()
        self._send(treatment, targets, note)

    def _send(self, treatment: Treatment, targets: tuple[str, ...], note: str) -> None:
        self._note = ""
        treated = FailureTreated(targets, treatment, self._by, note)
        self.post_message(Decided(Decide(self._state.rollout, treated)))

    def _draw(self, plan: Plan, state: RolloutState, names: tuple[str, ...]) -> None:
        them = "it" if len(names) == 1 else "them"
        right = "enter decides, esc leaves" if self.asking else f"the keys are for {self._about(names)}"
        told = f"{count(len(names), 'target')} not ok"
        question = f"{told}: what becomes of {them}?"
        # The targets of the keys are never left out.
        if self.asking:
            question = self._question
        elif len(question) + len(right) + 9 > self.screen.size.width:
            question = told
        self.title(question, kept=right)
        reason = blocked(plan, state)
        # The names follow after the colon; here they stand below, with why.
        blocking = [line((f" {reason.partition(': ')[0]}", "failed"))] if reason else []
        self.details([*blocking, *self._in_full(plan, state, names)])
        self.says(*([line((f" {self._note}", "unknown"))] if self._note else []))
        if self._read_only:
            self.keys(line((" read only: this terminal cannot answer", "dim")))
        else:
            ways = self._ways(names)
            # The field takes a row; one row less here, and nothing above moves.
            self.keys(*(ways[:-1] if self.asking else ways))

    def _about(self, names: tuple[str, ...]) -> str:
        """Name the targets of the next key."""
        chosen = self.chosen()
        if len(chosen) == 1:
            return chosen[0]
        return f"all {len(names)}" if len(chosen) == len(names) else f"{len(chosen)} of {len(names)}"

    def _in_full(self, plan: Plan, state: RolloutState, names: tuple[str, ...]) -> list[Content]:
        """Tell in full why the selected target is not ok, if the rows have no room for it."""
        rows = {name: _row(plan, state, state.targets[name]) for name in names}
        if all(texts_width(row) + 5 <= self.screen.size.width for row in rows.values()):
            return []
        current = self.query_one(FailureList).current or names[0]
        return [line(f" {current}: ", *(text.strip(" :") for text, _ in rows[current][-1:]))]

    def _ways(self, names: Sequence[str]) -> list[Content]:
        lines = []
        for way in TREATMENT_KEYS:
            targets = self.open_to(way)
            if targets:
                partly = f" ({in_short(targets)})" if len(targets) < len(self.chosen()) else ""
                lines.append(keyed(way.key, f"{way.verb}: ", (way.does + partly, "dim")))
        if target := self.unsettled():
            lines.append(keyed("U", f"Settle {target}: ", ("tell its outcome: done, failed or retry", "dim")))
        lines.append(keyed("T", f"Shell on {self.shell_on}: ", ("look at it yourself; exit returns", "dim")))
        tail: list[TonedText | str] = ["Abort: ", ("then roll back or leave", "dim")]
        if len(names) > 1:
            tail.append(("   tab, space: choose some", "dim"))
        if self._state.stage in ("preflight", "waves"):
            lines.append(keyed("X", *tail))
        return lines


def _row(plan: Plan, state: RolloutState, target: TargetState) -> list[TonedText]:
    status = status_of(state, target)
    step = current_step(plan, target)
    track = target.steps
    phase = target.unknown_phase
    if phase is not None:
        track = target.track(phase)
    where = step_name(step) if step is not None and track.attempts else "preflight" if target.probe == "failed" else ""
    reason = track.why
    attempt = f" after {track.attempts} attempts" if track.attempts > 1 else ""
    return [
        (f"{status.symbol} ", status.kind),
        (fit(target.name, 16) + " ", "plain"),
        (fit(where, 14) + " ", "dim"),
        (status.word, status.kind),
        (f"{attempt}: {reason}" if reason else attempt, "plain"),
    ]
