"""The columns of the rollout's list of targets as data: title, width, text and tone; and their widths in a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from canary_tui.domain.rollout.patience import asked_until
from canary_tui.domain.rollout.target import TargetState
from canary_tui.tui.rollout.follower import Follower, Pace
from canary_tui.tui.rollout.status import Status, current_step, step_name
from canary_tui.tui.shared.formats import short_size, short_time, tight_time
from canary_tui.tui.shared.rows import TonedText, fit

_SIGN = 3
"""Cells of a row before its first column: the symbol between two blanks."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target of the list, as its cells see it."""

    follower: Follower
    target: TargetState
    status: Status


@dataclass(frozen=True, slots=True)
class Column:
    """One column. A list of `from_width` cells and more shows it; `width` is without the blank after it."""

    title: str
    width: int
    text: Callable[[Row], str]
    tone: Callable[[Row], str] = lambda _row: "plain"
    from_width: int = 0
    right: bool = False

    def heading(self, width: int) -> TonedText:
        """Write the title above the column."""
        return self._fitted(self.title, width), "heading"

    def cell(self, row: Row, width: int) -> TonedText:
        """Write the column's cell of a row."""
        text = self.text(row)
        if len(text) > width:
            text = text.removeprefix("ok, ")  # the sign says that, too
        return self._fitted(text, width), self.tone(row)

    def _fitted(self, text: str, width: int) -> str:
        return fit(text.rjust(width) if self.right else text, width) + " "


def _doing(row: Row) -> str:
    """Name the running step, or the status with the step that the target ended at."""
    plan, target = row.follower.plan, row.target
    step = current_step(plan, target) if plan is not None else None
    if target.unconfirmed:
        return "unconfirmed stop"
    if target.running is not None and target.running.lost and step is not None:
        left = max(0.0, asked_until(step, target.running.since) - row.follower.now())
        return f"lost, {short_time(left // 60 * 60 if left >= 60 else left)} left"  # 80 columns have room for 14 cells
    if target.running is not None:
        stopping = "stopping " if target.running.cancelling else ""
        return f"{stopping}{step_name(step)}" if step is not None else ""
    if row.status.kind in ("failed", "unknown") and step is not None and target.steps.attempts:
        return f"{row.status.word}: {step_name(step)}"
    return row.status.word


def _took(row: Row) -> str:
    if row.target.running is not None and row.target.running.lost:
        return tight_time(row.follower.lost_for(row.target.name))
    elapsed = row.follower.elapsed(row.target)
    return tight_time(elapsed) if elapsed is not None else ""


def _release(row: Row) -> str:
    """Write the release that a target reports, or must have; a question mark where a step may have changed it since."""
    target, plan = row.target, row.follower.plan
    if target.reported or plan is None or not target.changed:
        return target.reported or target.previous
    if target.rollback is not None and target.rollback.outcome == "ok":
        return target.previous
    if target.rollback is None and target.steps.outcome == "ok" and not target.steps.skipped:
        return plan.release
    return f"{target.previous} ?".strip() if plan.current is not None else ""


def _release_tone(row: Row) -> str:
    return "unknown" if _release(row).endswith("?") else "plain"


def _rate(row: Row) -> str:
    """Write the speed of a step's output, or the progress of an upload."""
    pace = row.follower.paces.get(row.target.name)
    if pace is None or row.target.running is None:
        return ""
    return upload_words(pace) if pace.total else f"{short_size(pace.rate)}/s"


def upload_words(pace: Pace) -> str:
    """Write an upload's progress: `45 % 4 s left`."""
    done = f"{100 * pace.size // max(1, pace.total)} %"
    return f"{done} {short_time((pace.total - pace.size) / pace.rate)} left" if pace.rate else done


def _last_line(row: Row) -> str:
    if row.target.running is not None and row.target.running.lost:
        return row.target.running.lost
    return row.follower.last_line(row.target.name) or row.target.steps.detail


_TARGET = Column("TARGET", 24, lambda row: row.target.name)
_NOW = Column("NOW", 24, _doing, lambda row: row.status.kind)
_LAST_LINE = Column("LAST LINE", 40, _last_line, from_width=100)
_LEAST_TARGET, _LEAST_NOW = 6, 12
"""Cells that names keep in the narrowest list, and cells that names leave to what is done now."""

COLUMNS: tuple[Column, ...] = (
    _TARGET,
    _NOW,
    Column("TIME", 6, _took, right=True),
    Column("RELEASE", 10, _release, _release_tone, from_width=48),
    Column("RATE", 16, _rate, from_width=64),
    _LAST_LINE,
)


Columns = list[tuple[Column, int]]
"""The shown columns with their widths."""


def lay_out(width: int, longest_name: int) -> Columns:
    """Choose the columns of a list of `width` cells, and their widths.

    Names get the room of the longest one. The rest goes to the last line, or to what is done now where there is none.
    """
    shown = [column for column in COLUMNS if column.from_width <= width]
    widths = {column: column.width for column in shown}
    others = sum(column.width for column in shown if column not in (_TARGET, _NOW))
    room = width - _SIGN - others - len(shown)
    widths[_TARGET] = max(_LEAST_TARGET, min(longest_name, _TARGET.width, room - _LEAST_NOW))
    widths[_NOW] = max(0, room - widths[_TARGET])
    if _LAST_LINE in widths and widths[_NOW] > _NOW.width:
        widths[_LAST_LINE] += widths[_NOW] - _NOW.width
        widths[_NOW] = _NOW.width
    return [(column, widths[column]) for column in shown]
