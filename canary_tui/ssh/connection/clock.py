"""Holds the time that a server has for a login: for each silence, and in all; it stands still where it is not to blame.

`silence` is `connect-timeout` until the key exchange is over, as ConnectTimeout is for ssh, and at least `LOGIN_WITHIN`
from there on: a server may have to ask elsewhere. Over a slow line a login that goes on is no server that is gone, so
each piece that arrives begins the silence anew; a server that drips for ever is given up after `PATIENCE` times as
long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

LOGIN_WITHIN = 30.0
"""Seconds of silence in a login after the key exchange, where `connect-timeout` is no longer."""
PATIENCE = 4
"""So many times the limit of a silence may a login take in all, where the server goes on sending."""


class Clock:
    """The clock of one attempt. `silence`: seconds without a byte from the server."""

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self._limit = asyncio.timeout(None)
        self._last = 0.0
        self._stopped_at: float | None = None
        self._is_running = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A context that ends in TimeoutError where the server lets the time pass."""
        self._limit = asyncio.timeout(None)
        async with self._limit:
            self._is_running = True
            self._begin()
            try:
                yield
            finally:
                self._is_running = False

    def begin_login(self) -> None:
        """Give the server the time for the login."""
        self.silence = max(self.silence, LOGIN_WITHIN)
        self._begin()

    def heard(self) -> None:
        """Begin the silence anew, for something came from the server."""
        if self._is_running and self._stopped_at is None:
            self._allow()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """A context whose time is nobody's: an agent or a person is waited for."""
        self._stopped_at = _now()
        self._reschedule(None)
        try:
            yield
        finally:
            self._last += _now() - self._stopped_at
            self._stopped_at = None
            self._allow()

    @property
    def is_over(self) -> bool:
        """True where the server went on sending, and the whole time has passed."""
        return _now() >= self._last

    def _begin(self) -> None:
        self._last = _now() + self.silence * PATIENCE
        self._allow()

    def _allow(self) -> None:
        self._reschedule(min(self._last, _now() + self.silence))

    def _reschedule(self, when: float | None) -> None:
        if self._is_running and not self._limit.expired():
            self._limit.reschedule(when)


def _now() -> float:
    return asyncio.get_running_loop().time()
