"""One step of a plan in full: its text, where and as whom it runs, its limit, and what it sees."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rich.cells import chop_cells
from rich.segment import Segment
from textual.app import ComposeResult
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip

from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.tui.actions import bindings
from canary_tui.tui.plan.step_facts import Fact, artifacts, facts, measured, text_lines
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.header import TitleBar
from canary_tui.tui.terminal import one_line

_LABEL = 9
_GUTTER = " | "
_PHASES: dict[Phase, str] = {"steps": "STEP", "rollback": "ROLLBACK STEP", "finally": "FINALLY STEP"}


class StepText(ScrollView, can_focus=False):
    """Facts and text in rows that are wrapped, never cut. Only the visible ones are painted, however long it is."""

    DEFAULT_CSS = """
    StepText { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; background: $background; }
    StepText > .step--label { color: $foreground 65%; }
    StepText > .step--text { color: $secondary; }
    """
    COMPONENT_CLASSES = {"step--label", "step--text"}  # noqa: RUF012  Textual's declaration

    def __init__(self) -> None:
        super().__init__()
        self._facts: list[Fact] = []
        self._text: list[str] = []
        self._rows: list[tuple[str, str]] = []

    def show(self, told: list[Fact], text: list[str]) -> None:
        """Change the facts and the lines of text below them."""
        self._facts, self._text = told, text
        self._wrap()

    def on_resize(self) -> None:
        """Wrap for the new width."""
        self._wrap()

    def _wrap(self) -> None:
        width = max(20, self.scrollable_content_region.width - 2)
        self._rows = [*self._head(width - _LABEL), ("", ""), *self._body(width - len(_GUTTER))]
        self.virtual_size = Size(width, len(self._rows))
        self.refresh()

    def _head(self, width: int) -> Iterator[tuple[str, str]]:
        for label, value in self._facts:
            for index, piece in enumerate(_words(one_line(value), width)):
                yield (f" {label if not index else '':{_LABEL - 1}}", piece)

    def _body(self, width: int) -> Iterator[tuple[str, str]]:
        for line in self._text:
            for piece in _pieces(one_line(line.expandtabs(8)), width):
                yield (_GUTTER, piece)

    def render_line(self, y: int) -> Strip:
        """Paint one row."""
        row = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        label, text = self._rows[row]
        tone = "step--text" if label == _GUTTER else ""
        label_style = self.rich_style + self.get_component_rich_style("step--label", partial=True)
        style = self.rich_style + self.get_component_rich_style(tone, partial=True) if tone else self.rich_style
        return Strip([Segment(label, label_style), Segment(text, style)]).adjust_cell_length(width, self.rich_style)


def _words(text: str, width: int) -> list[str]:
    """Break a sentence between words; one with wide characters is broken anywhere."""
    return textwrap.wrap(text, width, break_on_hyphens=False) if text.isascii() else _pieces(text, width)


def _pieces(text: str, width: int) -> list[str]:
    """Break a line into pieces of at most `width` cells; an empty line is one of them."""
    return chop_cells(text, width) if text else [""]


class StepScreen(Screen[None]):
    """The screen of one step; `esc` returns to the plan."""

    BINDINGS = bindings("step.back", "move")

    def __init__(self, plan: Plan, phase: Phase, index: int) -> None:
        super().__init__()
        self._plan, self._phase, self._index = plan, phase, index

    def compose(self) -> ComposeResult:
        """Lay out title, text and keys."""
        steps = self._plan.phase_steps(self._phase)
        title = f"{_PHASES[self._phase]} {self._index + 1} of {len(steps)}  {steps[self._index].name}"
        yield TitleBar(title, f"plan {self._plan.hash[:12]}")
        yield StepText()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what the plan has, and read the files that an upload sends."""
        self._show(facts(self._plan, self._phase, self._index))
        if paths := artifacts(self._plan, self._phase, self._index):
            self.run_worker(self._measure(paths), exclusive=True)

    def _show(self, told: list[Fact]) -> None:
        self.query_one(StepText).show(told, text_lines(self._plan, self._phase, self._index))

    async def _measure(self, paths: list[Path]) -> None:
        told = facts(self._plan, self._phase, self._index)
        for path in paths:
            told += await asyncio.to_thread(measured, path)
            self._show(told)

    # -- moving

    def action_up(self) -> None:
        """Scroll up one line."""
        self._scroll(-1)

    def action_down(self) -> None:
        """Scroll down one line."""
        self._scroll(1)

    def action_page_up(self) -> None:
        """Scroll up one screen."""
        self._scroll(-self.query_one(StepText).size.height)

    def action_page_down(self) -> None:
        """Scroll down one screen."""
        self._scroll(self.query_one(StepText).size.height)

    def action_top(self) -> None:
        """Scroll to the first line."""
        self.query_one(StepText).scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        """Scroll to the last line."""
        text = self.query_one(StepText)
        text.scroll_to(y=text.max_scroll_y, animate=False)

    def _scroll(self, rows: int) -> None:
        text = self.query_one(StepText)
        text.scroll_to(y=text.scroll_y + rows, animate=False)

    def action_back(self) -> None:
        """Return to the plan."""
        self.dismiss()
