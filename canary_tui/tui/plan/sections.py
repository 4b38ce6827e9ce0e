"""The plan as text with styles: warnings, waves, steps, limits, excluded targets; and the results of preflight."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from canary_tui.domain.fleet.names import compress_names, count
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.planning.plan_text import Line, tell
from canary_tui.engine.messages import Preflighted
from canary_tui.tui.shared.formats import short_size
from canary_tui.tui.terminal import one_line

StyledText = tuple[str, str]
"""A text and its style; a newline in the text ends the line."""

_HEAD = "bold $accent"
_DIM = "$foreground 65%"
_STEP = "$foreground bold"
_CHOSEN = "$block-cursor-foreground on $block-cursor-background bold"
_NAME_LINES = 4
"""Lines of names before the rest is counted."""
_SINGLE_ROWS = 200
"""Most targets whose good preflight has a row of its own."""
_GROWING_ROWS = 30
"""The same while preflight goes on: painting 200 rows ten times a second keeps a key waiting for 100 ms."""
_CLOCK_OFF = 5.0
"""Seconds that a target's clock may differ before it is shown in colour."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The width of the text, and whether every name is shown."""

    width: int
    all_names: bool = False

    def names(self, names: Iterable[str], indent: int) -> Iterator[StyledText]:
        """Write names over as many lines as are allowed, indented."""
        words = " ".join(names) if self.all_names else compress_names(names)
        pad = " " * indent
        room = max(20, self.width - indent)
        lines = textwrap.wrap(one_line(words), room, break_long_words=True, break_on_hyphens=False)
        shown = lines if self.all_names else lines[:_NAME_LINES]
        for line in shown:
            yield (f"{pad}{line}\n", "")
        if len(lines) > len(shown):
            yield (f"{pad}... and {count(len(lines) - len(shown), 'line')} more; n shows all\n", _DIM)


def plan_pieces(plan: Plan, remarks: Sequence[str], layout: Layout, chosen: int = -1) -> Iterator[StyledText]:
    """Draw the whole plan, warnings first. `chosen` is the place of the selected step among all."""
    lines = [*(Line("warning", remark) for remark in remarks), *tell(plan)]
    names = [len(line.label) for line in lines if line.kind == "step"]
    draw = _Drawing(layout, min(24, max(names, default=0)))
    steps = 0
    warned = False
    for line in lines:
        if line.kind == "section" and (warned or line.text != lines[0].text):
            yield ("\n", "")
        warned = line.kind == "warning"
        yield from draw.line(line, chosen=line.kind == "step" and steps == chosen)
        steps += line.kind == "step"


def step_rows(pieces: Iterable[StyledText]) -> list[int]:
    """Return the row of each step among drawn pieces."""
    rows, row = [], 0
    for text, style in pieces:
        if style in (_STEP, _CHOSEN):
            rows.append(row)
        row += text.count("\n")
    return rows


def _hanging(text: str, width: int, indent: int) -> str:
    return textwrap.fill(text, max(20, width - 1), subsequent_indent=" " * indent, initial_indent=" " * indent)[indent:]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Draws the lines of a plan; the names of steps are `widest` cells wide."""

    layout: Layout
    widest: int

    def line(self, line: Line, *, chosen: bool) -> Iterator[StyledText]:  # noqa: C901 - one case for each kind
        text, label, width = one_line(line.text), one_line(line.label), self.layout.width
        match line.kind:
            case "warning":
                yield from (("! ", "bold $warning"), (_hanging(text, width, 2) + "\n", "$warning"))
            case "section":
                yield (f"{text}\n", _HEAD)
            case "wave":
                head = (f"  {line.number}  {label:10}", "bold")
                yield from self._beside(head, f"  {text}", one_line(line.aside), 5)
            case "gate":
                yield from ((f"     {label}: ", "bold"), (_hanging(text, width, 11) + "\n", ""))
            case "item":
                yield (f"           [ ] {_hanging(text, width, 15)}\n", "")
            case "instruction":
                yield (f"           {_hanging(text, width, 11)}\n", _DIM)
            case "step":
                indent = self.widest + 7
                told = _hanging(text, width, indent)
                head = (
                    f"{'>' if chosen else ' '} {line.number}  {label:{self.widest}}  ",
                    _CHOSEN if chosen else _STEP,
                )
                yield from self._beside(head, told, one_line(line.aside), indent)
            case "nothing":
                yield (f"  {text}\n", _DIM)
            case "absent":
                yield (f"     {text}\n", _DIM)
            case "limits" | "excluded":
                yield (f"  {_hanging(text, width, 2)}\n", "")
            case _:
                assert_never(line.kind)
        yield from self.layout.names(line.names, 7 if line.kind == "absent" else 5)

    def _beside(self, head: StyledText, text: str, aside: str, indent: int) -> Iterator[StyledText]:
        """Put the aside after the text if the line has room, else on lines of its own."""
        yield from (head, (text, ""))
        used = self.layout.width if "\n" in text else len(head[0]) + len(text)
        if used + 2 + len(aside) > self.layout.width:
            yield (f"\n{' ' * indent}{_hanging(aside, self.layout.width, indent)}\n", _DIM)
        else:
            yield (f"  {aside}\n" if aside else "\n", _DIM)


# -- preflight


def preflight_pieces(total: int, looked: Sequence[Preflighted], layout: Layout) -> Iterator[StyledText]:
    """Write the results of preflight so far: failures first, a row for each target while they are few."""
    bad = [one for one in looked if one.outcome != "ok"]
    good = [one for one in looked if one.outcome == "ok"]
    yield (f"Preflight  {len(looked):,}/{total:,}\n", _HEAD)
    for one in bad:
        symbol = "~" if one.outcome == "unreachable" else "!"
        yield (f"  {symbol} {one_line(one.target):20}  {one.outcome:12}", "bold $error")
        yield (f" {_hanging(one_line(one.detail), layout.width, 37)}\n", "")
    if len(good) > (_SINGLE_ROWS if len(looked) == total else _GROWING_ROWS):
        yield (f"  + {len(good):,} ok\n", "bold $success")
        yield from layout.names([one.target for one in good], 4)
        return
    for one in good:
        yield (f"  + {one_line(one.target):20}  ok          ", "$success")
        yield (f" {_findings(one)}", "")
        yield (f"{_clock(one)}\n", "bold $warning" if abs(one.clock_offset) > _CLOCK_OFF else _DIM)


def _findings(one: Preflighted) -> str:
    parts = [f"runs {one_line(one.release)}" if one.release else "", f"{short_size(one.free_bytes)} free"]
    return "  ".join(part for part in parts if part)


def _clock(one: Preflighted) -> str:
    return f"  clock {one.clock_offset:+.1f} s" if abs(one.clock_offset) >= 0.1 else ""
