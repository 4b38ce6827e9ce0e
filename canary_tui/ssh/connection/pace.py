"""How much is begun at once on servers that share this machine's processors, where somebody is at the screens.

All that can be begun at once would have every processor for seconds, and a key would wait for its paint as long. Half
of them are left to the screens and to us; elsewhere, and where nobody looks, nothing is held back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Logins and starts of steps under way at once on this machine's own servers."""
PATIENCE = 0.5
"""Seconds until something counts as begun in any case: what waits for something else takes no processor."""


class Pace:
    """Hands out the turns to begin something: a login, or a step."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._places = asyncio.Semaphore(at_once)

    async def turn(self) -> Callable[[], None]:
        """Wait for a turn. What is returned says that the thing has begun; it may be called again."""
        await self._places.acquire()
        return _Turn(self._places).begun


class _Turn:
    """One turn: over when it is said to be, or after a while."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.begun)

    def begun(self) -> None:
        places, self._places = self._places, None
        self._timer.cancel()
        if places is not None:
            places.release()
