"""The list of a rollout's targets: which columns there are at which width, and whose log is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from canary_tui.domain.rollout.state import TargetState
from canary_tui.tui.actions import bindings
from canary_tui.tui.rollout.follower import Follower, Pace
from canary_tui.tui.rollout.status import Status, current_step, step_name
from canary_tui.tui.shared.formats import short_size, short_time, tight_time
from canary_tui.tui.shared.rows import RowWidget, TonedText, fit

_LONGEST_NAME = 24
_LEAST_NOW = 12
_MOST_NOW = 24
_WAITING = ("pending", "held")
_QUIET = (*_WAITING, "ok", "undone", "skipped", "excluded")


@dataclass(frozen=True, slots=True)
class Cell:
    """What the columns are made from, for one row."""

    follower: Follower
    target: TargetState
    status: Status


@dataclass(frozen=True, slots=True)
class Column:
    """`width` 0 takes the room that is left; `from_width` is the list's width from which on it is shown."""

    title: str
    width: int
    text: Callable[[Cell], str]
    from_width: int = 0
    right: bool = False


def _doing(cell: Cell) -> str:
    """The step that runs, or the word for how it stands, with the step that it ended at."""
    plan, target = cell.follower.plan, cell.target
    step = current_step(plan, target) if plan is not None else None
    if target.unconfirmed:
        return "unconfirmed stop"
    if target.running is not None and not target.running.lost:
        return f"stopping {step_name(step)}" if target.running.cancelling and step else step_name(step) if step else ""
    if cell.status.kind in ("failed", "unknown") and step is not None and target.steps.attempts:
        return f"{cell.status.word}: {step_name(step)}"
    return cell.status.word


def _took(cell: Cell) -> str:
    if cell.target.running is not None and cell.target.running.lost:
        return tight_time(cell.follower.lost_for(cell.target.name))
    elapsed = cell.follower.elapsed(cell.target)
    return tight_time(elapsed) if elapsed is not None else ""


def _release(cell: Cell) -> str:
    target, plan = cell.target, cell.follower.plan
    if target.reported is not None:
        return target.reported
    if plan is not None and target.steps.outcome == "ok" and target.rollback is None:
        return plan.release
    return target.previous


def _rate(cell: Cell) -> str:
    """How fast a running step prints, or how far an upload is and how long it still takes."""
    pace = cell.follower.paces.get(cell.target.name)
    if pace is None or cell.target.running is None:
        return ""
    return upload_words(pace) if pace.total else f"{short_size(pace.rate)}/s"


def upload_words(pace: Pace) -> str:
    """`45 % 4 s left`."""
    done = f"{100 * pace.size // max(1, pace.total)} %"
    return f"{done} {short_time((pace.total - pace.size) / pace.rate)} left" if pace.rate else done


def _last_line(cell: Cell) -> str:
    return cell.follower.last_line(cell.target.name) or cell.target.steps.detail


COLUMNS: tuple[Column, ...] = (
    Column("TARGET", _LONGEST_NAME, lambda cell: cell.target.name),
    Column("NOW", 0, _doing),
    Column("TIME", 6, _took, right=True),
    Column("RELEASE", 10, _release, from_width=48),
    Column("RATE", 16, _rate, from_width=64),
    Column("LAST LINE", 40, _last_line, from_width=100),
)


class TargetList(RowWidget, can_focus=True):
    """Failed targets first. The cursor stays on its target, not on its row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Not move.bottom: `G` follows the log from everywhere.
        *bindings("move.up", "move.down", "move.page-up", "move.page-down", "move.top", "rollout.next-failed"),
        Binding("end", "bottom", "Bottom", show=False),
    ]

    class Chosen(Message):
        """Another target is under the cursor."""

        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

    def __init__(self, follower: Follower) -> None:
        super().__init__(id="targets")
        self._follower = follower
        self._top = 0
        self._cursor = ""
        self._steered = False
        """A person has moved the cursor: from then on nothing else does."""
        self._rows: list[tuple[list[TonedText], bool]] = []

    @property
    def cursor(self) -> str:
        """The target whose log is looked at; "" before there are any."""
        return self._cursor

    def flush(self) -> None:
        """Look at the visible targets again; repaint the rows that read differently."""
        roster = self._follower.roster
        if len(roster) and not self._steered:
            self._drift()
        rows = [self._header(), *(self._row(roster.at(row)) for row in self._visible())]
        before, self._rows = self._rows, rows
        changed = [y for y, (row, old) in enumerate(zip_longest(rows, before)) if row != old]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            return self.strip([], width)
        pieces, chosen = self._rows[y]
        over = ("cursor" if self.has_focus else "chosen") if chosen else ""
        return self.strip(pieces, width, over)

    def choose(self, target: str) -> None:
        """Put the cursor on a target."""
        if target in self._follower.state.targets:
            self._go(self._follower.roster.row(target))

    def action_up(self) -> None:
        self._go(self._position() - 1)

    def action_down(self) -> None:
        self._go(self._position() + 1)

    def action_page_up(self) -> None:
        self._go(self._position() - max(1, self.size.height - 2))

    def action_page_down(self) -> None:
        self._go(self._position() + max(1, self.size.height - 2))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(len(self._follower.roster) - 1)

    def action_next_failed(self) -> None:
        """The next target that is not ok, round and round; those stand at the top."""
        roster = self._follower.roster
        troubled = roster.counts["failed"] + roster.counts["unknown"] + roster.counts["unreachable"]
        if troubled:
            here = self._position()
            self._go(here + 1 if here + 1 < troubled else 0)

    def on_resize(self) -> None:
        self._keep_visible()
        self.flush()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if 0 < event.y <= len(self._visible()):
            self._go(self._top + event.y - 1)

    def _go(self, row: int) -> None:
        roster = self._follower.roster
        if len(roster):
            self._steered = True
            self._choose(roster.at(max(0, min(row, len(roster) - 1))))
            self._keep_visible()
            self.flush()

    def _drift(self) -> None:
        """Look at what needs a person, or runs, and stay there until it has ended; else at what ended before who waits.

        Before anything has begun every target is looked at for a moment, and the canary may be done in less.
        """
        roster = self._follower.roster
        first = roster.at(0)
        if not self._cursor or self._interest(first) > self._interest(self._cursor):
            self._choose(first)

    def _interest(self, target: str) -> int:
        kind = self._follower.roster.kind(target)
        return 0 if kind in _WAITING else 1 if kind in _QUIET else 2

    def _choose(self, target: str) -> None:
        if target != self._cursor:
            self._cursor = target
            self.post_message(self.Chosen(target))

    def _position(self) -> int:
        return self._follower.roster.row(self._cursor) if self._cursor else 0

    def _keep_visible(self) -> None:
        height, position = max(1, self.size.height - 1), self._position()
        if position < self._top:
            self._top = position
        elif position >= self._top + height:
            self._top = position - height + 1

    def _visible(self) -> range:
        self._top = min(self._top, max(0, len(self._follower.roster) - max(1, self.size.height - 1)))
        return range(self._top, min(self._top + max(0, self.size.height - 1), len(self._follower.roster)))

    def _header(self) -> tuple[list[TonedText], bool]:
        titles: list[TonedText] = [
            (self._cell(column, column.title, width), "heading") for column, width in self._columns()
        ]
        return [("   ", "heading"), *titles], False

    def _row(self, name: str) -> tuple[list[TonedText], bool]:
        target = self._follower.state.targets[name]
        status = self._follower.status(target)
        cell = Cell(self._follower, target, status)
        pieces: list[TonedText] = [(f" {status.symbol} ", status.kind)]
        for column, width in self._columns():
            tone = status.kind if column.title == "NOW" else "plain"
            pieces.append((self._cell(column, column.text(cell), width), tone))
        return pieces, name == self._cursor

    def _columns(self) -> list[tuple[Column, int]]:
        """Names get what the longest one needs; what is left over goes to the last column, or to what is done now."""
        width = self.size.width
        shown = [column for column in COLUMNS if column.from_width <= width]
        widths = {column.title: column.width for column in shown}
        room = width - 3 - sum(column.width for column in shown[2:]) - len(shown)
        widths["TARGET"] = max(6, min(self._follower.roster.longest, _LONGEST_NAME, room - _LEAST_NOW))
        widths["NOW"] = max(0, room - widths["TARGET"])
        if "LAST LINE" in widths and widths["NOW"] > _MOST_NOW:
            widths["LAST LINE"] += widths["NOW"] - _MOST_NOW
            widths["NOW"] = _MOST_NOW
        return [(column, widths[column.title]) for column in shown]

    def _cell(self, column: Column, text: str, width: int) -> str:
        text = fit(text.rjust(width) if column.right else text, width)
        return text + " "
