"""The time that a server has for a login: it is for each silence, and stands still while an agent is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator

PATIENCE = 4
"""So many times the limit of a silence may a part of a login take in all, where the server goes on sending."""


class Clock:
    """The time of one attempt. A server behind a slow line is heard again and again; one that is gone is not."""

    def __init__(self) -> None:
        self.slow = False
        """The server went on sending, and yet had not ended its part when the time for it was over."""
        self._limit = asyncio.timeout(None)
        self._runs = False
        self._silence = self._last = math.inf

    @contextlib.asynccontextmanager
    async def start(self, seconds: float) -> AsyncIterator[None]:
        """A context that ends in TimeoutError after a silence of this time."""
        self._limit = asyncio.timeout(seconds)
        async with self._limit:
            self._runs = True
            self.allow(seconds)
            try:
                yield
            finally:
                self._runs = False
                self.slow = _now() >= self._last

    def allow(self, seconds: float) -> None:
        """Begin the next part of the login, for each silence of which the server has this time."""
        self._silence, self._last = seconds, _now() + PATIENCE * seconds
        self._set(_now() + seconds)

    def heard(self) -> None:
        """The server has sent something."""
        if self._runs and (until := self._limit.when()) is not None:
            later = min(self._last, _now() + self._silence)
            if later - until > self._silence / 100:  # a timer for each packet would cost more than the packet
                self._set(later)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """A context whose time does not count."""
        until, began = self._limit.when(), _now()
        if not self._runs or until is None:
            yield
            return
        self._set(None)
        try:
            yield
        finally:
            self._last += _now() - began
            self._set(until + _now() - began)

    def _set(self, at: float | None) -> None:
        if self._runs and not self._limit.expired():
            self._limit.reschedule(at)


def _now() -> float:
    return asyncio.get_running_loop().time()
