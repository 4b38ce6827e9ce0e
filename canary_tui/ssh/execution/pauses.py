"""Counts the waits between retries."""

from __future__ import annotations

import asyncio
import random


class Pauses:
    """The waits between retries: half a second, then twice as long each time, up to 15 s, with jitter."""

    def __init__(self) -> None:
        self._longest = 0.5

    async def next(self) -> None:
        """Wait."""
        await asyncio.sleep(self._longest * random.uniform(0.5, 1))  # noqa: S311 jitter is no secret
        self._longest = min(15.0, self._longest * 2)
