"""The file `~/shop.log` of a demo target: a line for each start of its shop and for each page, read by `shop-stats`.

    1764284719.123 start - 64214400 shop 1.4.2
    1764284719.382 200 20.4 63920113

Each line has the time, the status or `start`, the page's milliseconds, and the bytes of memory that the shop holds.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEPT_SECONDS = 600
"""The file and the one before it, `shop.log.1`, tell at least so much; `shop-stats` counts over no longer time."""


class AccessLog:
    """Writes the file, and begins a new one now and then."""

    def __init__(self, path: Path, kept: float = KEPT_SECONDS) -> None:
        self._path, self._kept = path, kept
        self._begin()

    def started(self, release: str, memory: int) -> None:
        """The shop has started with a release: what was counted before no longer counts."""
        self._write(f"start - {memory} shop {' '.join(release.split())}")

    def answered(self, code: int, seconds: float, memory: int) -> None:
        """The shop has answered a page."""
        self._write(f"{code} {seconds * 1000:.1f} {memory}")

    def _begin(self) -> None:
        self._full_at = time.monotonic() + self._kept
        with contextlib.suppress(OSError):
            self._path.replace(f"{self._path}.1")

    def _write(self, words: str) -> None:
        if time.monotonic() > self._full_at:
            self._begin()
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as file:  # a page matters more
            file.write(f"{time.time():.3f} {words}\n".encode())
