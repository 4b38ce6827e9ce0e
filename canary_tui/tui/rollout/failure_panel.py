"""The panel of failed targets and unknown outcomes: one list, and the treatments open to each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content

from canary_tui.domain.fleet.names import count
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import FailureTreated, Operator, UnknownSettled
from canary_tui.domain.rollout.failures import blocked, pending_failures, settleable
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState, can_roll_back
from canary_tui.domain.rollout.words import Settlement, Treatment
from canary_tui.engine.messages import Decide
from canary_tui.tui.rollout.failure_groups import Grouper, LastWords
from canary_tui.tui.rollout.failure_list import FailureList
from canary_tui.tui.shared.formats import in_short
from canary_tui.tui.shared.panel import Decided, KeyGuard, Panel, TypedField, keyed, line
from canary_tui.tui.shared.rows import TonedText, fit

_SETTLEMENTS: dict[str, Settlement] = {"done": "ok", "failed": "failed", "retry": "retry"}
_MOST_ROWS, _LEAST_ROWS = 6, 4
_ROOMY = 30
"""Rows of a terminal that has room for a line about each key."""
_SHORT_NAME = 20
_FIELD = 34
"""Cells that the label of a field leaves at least, with its last word."""
_CHOOSE = "tab, space: choose   enter opens a row"


@dataclass(frozen=True, slots=True)
class TreatmentKey:
    """One treatment: its key, its effect in words, and a test of the targets that it is open to."""

    key: str
    treatment: Treatment
    verb: str
    doing: str
    does: str
    open_to: Callable[[Plan, TargetState], bool]


TREATMENT_KEYS: tuple[TreatmentKey, ...] = (
    TreatmentKey(
        "R",
        "retry",
        "Retry",
        "retrying",
        "the failed step on these targets; the rollout continues",
        lambda _, target: target.unknown_phase is None,
    ),
    TreatmentKey(
        "K",
        "skip",
        "Skip the step",
        "skipping the step",
        "treat it as ok",
        lambda _, target: target.unknown_phase is None and target.probe == "ok",
    ),
    TreatmentKey(
        "E",
        "exclude",
        "Exclude",
        "excluding",
        "no further steps there; counts as not deployed",
        lambda _plan, _target: True,
    ),
    TreatmentKey(
        "B",
        "rollback",
        "Roll back",
        "rolling back",
        "to the previous release, and exclude",
        lambda plan, target: target.unknown_phase is None and can_roll_back(plan, target),
    ),
)


def waiting_targets(plan: Plan, state: RolloutState) -> tuple[str, ...]:
    """List the targets about which a person is asked, in the plan's order."""
    asked = {*pending_failures(plan, state), *settleable(state)}
    return tuple(name for name in state.targets if name in asked) if asked else ()


class FailurePanel(Panel):
    """One decision for the marked targets, or for all that are listed if none is marked."""

    def __init__(self, guard: KeyGuard, by: Operator, logs: Path, *, read_only: bool) -> None:
        super().__init__(guard, id="failures")
        self._by = by
        self._read_only = read_only
        self._logs = logs
        self._plan: Plan | None = None
        self._state = RolloutState()
        self._note = ""
        self._question = ""
        """The count and the names that the open field is about."""
        self._most_rows = _MOST_ROWS
        self._grouper: Grouper | None = None
        self.held_up: tuple[tuple[str, ...], int] = ((), 0)
        """The targets that were begun and wait for this decision, and the number of those not begun."""
        self.shell_on = ""
        """The target of the key that opens a shell, which the screen knows."""

    def compose_choice(self) -> ComposeResult:
        yield FailureList()

    def choice_rows(self) -> int:
        return max(1, min(len(self.query_one(FailureList).rows), self._most_rows))

    def limit(self, rows: int) -> None:
        """Shorten the list before the keys: the list scrolls, and the keys would be covered."""
        others = 2 + sum(self._rows(one) for one in (".panel-says", ".panel-keys")) + (1 if self.asking else 0)
        room = min(_MOST_ROWS, rows - others)
        # What waits for the decision stands last in the details: rather a row less of the list, which scrolls by row.
        beside = rows - others + 1 - self._rows(".panel-text")
        self._most_rows = max(1, min(room, max(beside, _LEAST_ROWS)))
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
        if self._grouper is None or self._grouper.plan is not plan:
            self._grouper = Grouper(plan, LastWords(self._logs))
        listed.show(names, self._grouper.group(state, names))
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
        about = targets[0] if len(targets) == 1 and len(targets[0]) <= _SHORT_NAME else count(len(targets), "target")
        on = " on" if treatment == "skip" else ""
        self._question = f"{way.verb}{on} {count(len(targets), 'target')}: {in_short(targets)}"
        asked = f" Reason for {way.doing}{on} {about}"
        recorded = " (recorded)" if len(asked) + _FIELD < self.screen.size.width else ""
        self.ask(f"{asked}{recorded}:", lambda note: self._noted(treatment, targets, note))

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
            self._note = "Please give a reason; it is recorded for whoever reads this later"
            return
        self.stop_asking()
        self._send(treatment, targets, note)

    def _send(self, treatment: Treatment, targets: tuple[str, ...], note: str) -> None:
        self._note = ""
        treated = FailureTreated(targets, treatment, self._by, note)
        self.post_message(Decided(Decide(self._state.rollout, treated)))

    def _draw(self, plan: Plan, state: RolloutState, names: tuple[str, ...]) -> None:
        listed = self.query_one(FailureList)
        right = "enter decides, esc leaves" if self.asking else f"keys act on {self._about(names)}"
        told = failed_words(plan, state)
        question = f"{told}. What now?"
        # The targets of the keys are never left out.
        if self.asking:
            question = self._question
        elif len(question) + len(right) + 9 > self.screen.size.width:
            question = told
        self.title(question, kept=right)
        self.details([*self._blocking(plan, state), *self._in_full(listed), *self._waiting()])
        self.says(*([line((f" {self._note}", "unknown"))] if self._note else []))
        if self._read_only:
            self.keys(line((" read only: this terminal cannot answer", "dim")))
        else:
            ways = self._ways(listed) if self.screen.size.height >= _ROOMY else self._ways_in_short(listed)
            # The field takes a row; one row less here, and nothing above moves.
            self.keys(*(ways[:-1] if self.asking else ways))

    def _about(self, names: tuple[str, ...]) -> str:
        """Name the targets of the next key."""
        chosen = self.chosen()
        if len(chosen) == 1:
            return chosen[0]
        return f"all {len(names)}" if len(chosen) == len(names) else f"{len(chosen)} of {len(names)}"

    def _blocking(self, plan: Plan, state: RolloutState) -> list[Content]:
        """Tell the limit that holds the rollout up; its names follow after the colon, and here they stand below."""
        reason = blocked(plan, state)
        return [line((f" {reason.partition(': ')[0]}", "failed"))] if reason else []

    def _in_full(self, listed: FailureList) -> list[Content]:
        """Tell in full how the selected row's targets failed, if some row has no room for it."""
        failure = listed.current_failure
        if failure is None or not any(listed.cut(row) for row in listed.rows):
            return []
        names = in_short(listed.current_names)
        names = fit(names, min(len(names), self.screen.size.width))  # two rows: an open row shows all of them
        end = line(f" {names}: ", (failure.where, "dim"), " " if failure.where else "", (failure.end, failure.kind))
        said = [line("   ", ("last line: ", "dim"), failure.last_line)] if failure.last_line else []
        return [end, *said]

    def _waiting(self) -> list[Content]:
        """Tell which targets wait until this is decided."""
        begun, not_begun = self.held_up
        parts = [f"{len(begun):,} begun: {in_short(begun)}"] if begun else []
        parts += [f"{not_begun:,} not begun"] if not_begun else []
        return [line((" waiting for this decision: ", "dim"), "; ".join(parts))] if parts else []

    def _ways(self, listed: FailureList) -> list[Content]:
        """Explain each key that is open on a line of its own."""
        lines = []
        for way, targets in self._open_ways():
            partly = f" ({in_short(targets)})" if len(targets) < len(self.chosen()) else ""
            lines.append(keyed(way.key, f"{way.verb}: ", (way.does + partly, "dim")))
        if target := self.unsettled():
            lines.append(keyed("U", f"Settle {target}: ", ("tell its outcome: done, failed or retry", "dim")))
        lines.append(keyed("T", f"Shell on {self.shell_on}: ", ("look at it yourself; exit returns", "dim")))
        tail: list[TonedText | str] = ["Abort: ", ("no further targets; then roll back or keep", "dim")]
        if listed.rows[1:] or listed.groups[0].names[1:]:
            tail.append((f"   {_CHOOSE}", "dim"))
        if self._state.stage in ("preflight", "waves"):
            lines.append(keyed("X", *tail))
        return lines

    def _ways_in_short(self, listed: FailureList) -> list[Content]:
        """Name the keys that are open in two lines, for a terminal of few rows; the help says what each does."""
        ways: list[TonedText | str] = []
        for way, targets in self._open_ways():
            partly = f" {len(targets)}" if len(targets) < len(self.chosen()) else ""
            ways += [" ", (way.key, "key"), f" {way.verb}{partly}  "]
        more: list[TonedText | str] = []
        if self._state.stage in ("preflight", "waves"):
            more += [" ", ("X", "key"), " Abort ...  "]
        if target := self.unsettled():
            more += [" ", ("U", "key"), f" Settle {fit(target, min(len(target), _SHORT_NAME))}  "]
        name = self.shell_on
        more += [" ", ("T", "key"), f" Shell on {fit(name, min(len(name), _SHORT_NAME))}"]
        if listed.rows[1:] or listed.groups[0].names[1:]:
            more.append((f"   {_CHOOSE}", "dim"))
        return [line(*ways), line(*more)] if ways else [line(*more)]

    def _open_ways(self) -> list[tuple[TreatmentKey, tuple[str, ...]]]:
        return [(way, targets) for way in TREATMENT_KEYS if (targets := self.open_to(way))]


def failed_words(plan: Plan, state: RolloutState) -> str:
    """Count the targets about which a person is asked: `2 targets failed, 1 unknown`."""
    names = waiting_targets(plan, state)
    unknown = sum(state.targets[name].unknown_phase is not None for name in names)
    failed = len(names) - unknown
    parts = [f"{count(failed, 'target')} failed"] if failed else []
    if unknown:
        parts.append(f"{unknown} unknown" if failed else f"{count(unknown, 'target')} with an unknown outcome")
    return ", ".join(parts)
