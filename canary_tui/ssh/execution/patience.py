"""Knows how long one execution is waited for, from its start, whatever is reconnected in between; and how long to pause.

    nothing was sent ── START ──▶ unreachable
    sent ── the first word of the target (LOGIN at most), its time limit, STOPPING ──▶ "limit"
    limit ── in reach: OVERDUE; out of reach: OUT_OF_REACH ──▶ unknown
    it said how it ended ── REST ──▶ unknown, where its output did not come

Output that still comes buys time, a second for each `SLOWEST` bytes; so does coming back into reach. Neither a new
connection nor a word that says nothing new does.
"""

from __future__ import annotations

import asyncio
import math
import random

from canary_tui.domain.rollout.patience import LOGIN, OUT_OF_REACH, OVERDUE, STOPPING

START = 60.0
"""Seconds of trying to reach a target to which nothing about the step was sent."""
REST = 60.0
"""Seconds for the rest of the output, once a target has said how the step ended."""
MOMENT = 5.0
"""Seconds for the word that follows the first one of a conversation, however late it is."""
SLOWEST = 1024
"""Bytes a second of the slowest line on which output is still waited for."""


class Patience:
    """The deadlines of one execution. All times are of one clock, in seconds; it reads none."""

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout + STOPPING
        self._start_by = now + START
        self._limit = now + LOGIN + self._timeout
        self._sent = False
        self._away = False
        self._back = -math.inf
        self._rest_by = math.inf
        self._bought = 0.0

    def sent(self, now: float) -> None:
        """Its payload has left, for the first time."""
        if not self._sent:
            self._sent, self._limit = True, now + LOGIN + self._timeout

    def begun(self, now: float) -> None:
        """The target said that it runs, or something that only comes after that."""
        self._limit = min(self._limit, now + self._timeout)

    def ended(self, now: float) -> None:
        """The target said that it has ended."""
        if self._rest_by == math.inf:
            self._rest_by = now + REST

    def came(self, size: int, now: float) -> None:
        """So many bytes of its output came."""
        if now >= self._limit or self._rest_by < math.inf:
            self._bought += size / SLOWEST

    def away(self) -> None:
        """The target cannot be reached."""
        self._away = True

    def reached(self, now: float) -> None:
        """The target answers."""
        if self._away:
            self._away, self._back = False, now

    @property
    def start_by(self) -> float:
        """The end of trying to reach a target to which nothing was sent."""
        return self._start_by

    @property
    def told_by(self) -> float:
        """The end of waiting for a target that is in reach."""
        back = min(self._back, self.reached_by)
        if self._rest_by < math.inf:
            return max(self._rest_by, back + REST) + self._bought
        return max(self._limit, back) + OVERDUE + self._bought

    @property
    def reached_by(self) -> float:
        """The end of trying to reach a target that may run it."""
        return self._limit + OUT_OF_REACH


class Pauses:
    """The waits between retries: half a second, then twice as long each time, up to 15 s, with jitter."""

    def __init__(self) -> None:
        self._longest = 0.5

    async def next(self) -> None:
        """Wait."""
        await asyncio.sleep(self._longest * random.uniform(0.5, 1))  # noqa: S311 jitter is no secret
        self._longest = min(15.0, self._longest * 2)
