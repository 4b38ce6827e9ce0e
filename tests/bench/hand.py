"""A hand at the keyboard of the real screens: presses harmless keys at odd moments, and times the paint that each asked
for, as it stands on the terminal.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measuring import percentile
from terminal import Terminal

FROZEN = 5.0
"""Seconds without the paint after which the screens are called frozen."""
_NOTHING_TO_DO = 1.5
"""Seconds after which a move that changed nothing is taken for one at the end of the list, if other keys answer."""
_PAUSES = (0.02, 0.2)
_HEADER = re.compile(r"^ +TARGET +NOW .*│")
_TITLE = re.compile(r"│ (\S+)  |│ (merged) ")
_MARK = re.compile(r"<([^<> ]+)>")
_HELP = "─ Keys here ─"


def mark(target: str) -> str:
    """What a target's output must say to be told from another's."""
    return f"<{target}>"


@dataclass(frozen=True, slots=True)
class Press:
    """One key: the stage of the rollout in which it was pressed, and the seconds until its paint.

    `queued` of these the screens or this bench could have worked, but others had the processors.
    """

    stage: str
    key: str
    seconds: float
    queued: float


class Hand:
    """Presses keys on a terminal that shows a plan, a rollout or its result. `between` is called between two keys."""

    def __init__(self, terminal: Terminal, between: Callable[[], None] = lambda: None) -> None:
        self.terminal, self._between = terminal, between
        self.presses: list[Press] = []
        self.idle_moves = 0
        """Moves that asked for nothing: at the end of the list."""
        self._odd = random.Random(7)

    def wander(self, until: Callable[[], object], seconds: float = 120.0) -> None:
        """Press until something is so."""
        deadline = time.perf_counter() + seconds
        while not until():
            if time.perf_counter() > deadline:
                raise TimeoutError(f"it was not so within {seconds:.0f} s:\n{self.terminal.screen.text}")
            self._pause()
            if not self.shows_rollout():
                self._help()
            elif self._whose() is not None:
                self._odd.choices((self._move, self._merge, self._search, self._change_panes), (7, 1, 1, 1))[0]()

    def move(self, count: int) -> None:
        """Look at one log after the other."""
        for _ in range(count):
            self._pause()
            self._move()

    def press(self, key: str, painted: Callable[[], object], seconds: float = FROZEN) -> bool:
        """One key and its paint; false where another screen came instead, so that nothing was measured."""
        stage, before, queued = self.stage(), self.shows_rollout(), self.terminal.queued()
        pressed = self.terminal.press(key)
        at = self.terminal.until(lambda: painted() or self.shows_rollout() != before, seconds)
        if not painted():
            return False
        self.presses.append(Press(stage, repr(key), at - pressed, self.terminal.queued() - queued))
        return True

    def stage(self) -> str:
        """Where the rollout is, as the screen says."""
        head = self.terminal.screen.row(0)
        if head.startswith(" PLAN"):
            return "preflight" if "Preflight" in self.terminal.screen.row(2) else "plan"
        if "· result" in head:
            return "result"
        if "· preflight" in head:
            return "connect"
        wave = re.search(r"wave \d+ of \d+ (\S+)", head)
        return "gate" if self.gate_is_open() else wave[1] if wave else "end"

    def shows_rollout(self) -> bool:
        """Targets and logs, and neither a plan nor a result."""
        return self._header() >= 0

    def gate_is_open(self) -> bool:
        return any(row.startswith("== GATE") for row in self.terminal.screen.rows)

    # the keys

    def _pause(self) -> None:
        self._between()
        self.terminal.idle(self._odd.uniform(*_PAUSES))

    def _help(self) -> None:
        """On screens that only show text."""
        screen = self.terminal.screen
        if self.press("?", lambda: _HELP in screen.text):
            self._pause()
            self.press("?", lambda: _HELP not in screen.text)

    def _move(self) -> None:
        """Up or down the list: its log is named, and no line of another target is left."""
        before = self._whose()
        if before is None:
            return
        names = self._listed()
        at = names.index(before) if before in names else -1
        down = at == 0 or (0 < at < len(names) - 1 and self._odd.random() < 0.5)
        try:
            self.press("j" if down else "k", lambda: self._shows_another_than(before), _NOTHING_TO_DO)
        except TimeoutError:
            self.idle_moves += 1
            self._merge()  # which raises where the screens are frozen

    def _merge(self) -> None:
        """All logs in one, and back."""
        if self.press("l", lambda: self._whose() == "merged"):
            self._pause()
            self.press("l", lambda: self._whose() != "merged")

    def _search(self) -> None:
        """The field to search in, left empty; then back into the list."""
        if self.press("/", self._asks):
            self._pause()
            if self.press("\r", lambda: not self._asks()):
                self._pause()
                self._tab()

    def _change_panes(self) -> None:
        if self._tab():
            self._pause()
            self._tab()

    def _tab(self) -> bool:
        """The focus goes on: the row under the cursor looks otherwise."""
        whose = self._whose()
        names = self._listed()
        if whose not in names:
            self.terminal.press("\t")  # no row shows it
            self.terminal.idle(2 * max(_PAUSES))
            return self.shows_rollout()
        before = self._look_of(whose)
        return self.press("\t", lambda: self._look_of(whose) != before)

    # what stands on the screen

    def _shows_another_than(self, before: str) -> bool:
        whose = self._whose()
        others = set(_MARK.findall("\n".join(row.partition("│")[2] for row in self.terminal.screen.rows)))
        return whose not in (before, None) and not others - {whose}

    def _header(self) -> int:
        rows = self.terminal.screen.rows[:12]
        return next((number for number, row in enumerate(rows) if _HEADER.match(row)), -1)

    def _whose(self) -> str | None:
        """The target whose log is shown, "merged", or None where there is no log."""
        header = self._header()
        title = _TITLE.search(self.terminal.screen.row(header)) if header >= 0 else None
        return (title[1] or title[2]) if title else None

    def _asks(self) -> bool:
        """The field to search in is open, and empty."""
        return any(row.partition("│ ")[2].startswith("/ text to find") for row in self.terminal.screen.rows)

    def _listed(self) -> list[str]:
        """The visible names of the list, from the top."""
        rows = self.terminal.screen.rows[self._header() + 1 :]
        left = [row.partition("│") for row in rows]
        return [words[1] for words in (one.split() for one, line, _ in left if line) if len(words) > 1]

    def _look_of(self, name: str | None) -> str:
        names = self._listed()
        if name not in names:
            return "gone"
        return self.terminal.screen.look(self._header() + 1 + names.index(name), 4)


def latencies(presses: Sequence[Press]) -> list[str]:
    """Keys, median, p95, p99 and the slowest in milliseconds; median, p99 and the slowest had processors been free."""
    if not presses:
        return ["0", *[""] * (len(LATENCIES) - 1)]
    waits = [1000 * press.seconds for press in presses]
    works = [1000 * max(0.0, press.seconds - press.queued) for press in presses]
    figures = [percentile(waits, share) for share in (0.5, 0.95, 0.99, 1)]
    figures += [percentile(works, share) for share in (0.5, 0.99, 1)]
    return [str(len(waits)), *(f"{figure:.0f}" for figure in figures)]


LATENCIES = ("keys", "p50", "p95", "p99", "slowest", "unqueued p50", "unqueued p99", "unqueued slowest")
