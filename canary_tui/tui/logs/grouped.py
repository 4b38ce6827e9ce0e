"""The grouped logs on the screen: identical output under one heading, differing output open and marked."""

from __future__ import annotations

from pathlib import Path

from canary_tui.domain.planning.plan import Plan
from canary_tui.store.logs.format import LogLine
from canary_tui.store.logs.grouped import GroupedReader
from canary_tui.store.logs.grouping import own_words
from canary_tui.tui.logs.shown import ShownLog
from canary_tui.tui.shared.rows import TonedText

_SAME, _OTHER, _FIRST = "== ", "!= ", "!> "


class GroupedLog(ShownLog):
    """The logs of all targets that have begun, as a source for the log view."""

    def __init__(self, reader: GroupedReader) -> None:
        super().__init__(reader, named=False)
        self.grouped = reader

    @property
    def edition(self) -> int:
        return self.grouped.edition

    def moved(self, line: int) -> int:
        return self.grouped.moved(line)

    def words(self) -> list[TonedText]:
        """Tell the title what the comparison has found so far."""
        tally, progress = self.grouped.tally, self.grouped.progress
        if progress < 1.0:
            return [(f"comparing {progress:.0%}", "dim")]
        if not tally.same:
            return [("no output yet", "dim")]
        differ = f"{tally.differ:,} {'differs' if tally.differ == 1 else 'differ'}  " if tally.differ else ""
        behind = f"  {tally.behind:,} behind" if tally.behind else ""
        return [(differ, "failed"), (f"{tally.same:,} same", "ok"), (behind, "dim")]

    def _before(self, number: int, line: LogLine) -> list[TonedText]:
        part, here = self.grouped.part_of(number)
        if part.kind != "lines":
            return [(_SAME, "strong") if part.group is None else (_OTHER, "failed")]
        sign = _FIRST if here == part.differs else " " * len(_FIRST)
        return [(sign, "failed"), *super()._before(number, line)]

    def _body(self, number: int, line: LogLine) -> TonedText:
        text, tone = super()._body(number, line)
        part, here = self.grouped.part_of(number)
        if part.kind != "lines":
            return text, "strong"
        return text, "failed" if here == part.differs else tone


def grouped_log(plan: Plan, folder: Path) -> GroupedLog:
    """Group the logs of a rollout; with more than one wave, the first is the reference for the others."""
    first, called = (plan.waves[0].targets, plan.waves[0].name) if len(plan.waves) > 1 else ((), "")
    return GroupedLog(GroupedReader(folder, own_words(plan), first, called))
