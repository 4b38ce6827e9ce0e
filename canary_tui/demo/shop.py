"""One run of a demo target's shop: how long its pages take, which of them fail, and how much memory it holds.

This is where the faults are that show only after a release: a shop that runs the release of the start has none.
"""

from __future__ import annotations

from http import HTTPStatus
from random import Random

from canary_tui.demo.fleet import INSTALLED
from canary_tui.demo.metrics import Metrics

PAGE_SECONDS = 0.02
"""The time of a page, give or take `_NOISE` of it, and `_APART` of it from target to target."""
_NOISE = 0.1
_APART = 0.03
_SLOWER = 1.2
_GOOD_PAGES = (9, 19)
"""Good pages between two failed ones of the fault `errors`: 5 to 10 % fail, in every stretch of some dozens."""
_MEMORY = 64_000_000
"""Bytes that a sound shop holds, give or take a hundredth."""
_LEAKED_BY_A_PAGE = 500_000
_LEAKED_AT_MOST = 512_000_000
_LEAKED_TO_BE_TWICE_AS_SLOW = 128_000_000


class Shop:
    """One run of a shop, from its start with a release to its end."""

    def __init__(self, target: str, release: str, fault: str) -> None:
        self.release = release
        self.metrics = Metrics()
        self._fault = "" if release == INSTALLED else fault
        # No two servers are quite alike, and each stays as it is: the name is the seed.
        self._page_seconds = PAGE_SECONDS * Random(target).uniform(1 - _APART, 1 + _APART)  # noqa: S311 no secret
        self._luck = Random()  # noqa: S311 noise is no secret
        self._good_pages = self._luck.randint(*_GOOD_PAGES)
        self._leaked = 0

    def next_page(self) -> tuple[HTTPStatus, float]:
        """The status of the next page, and the seconds that it takes."""
        seconds = self._page_seconds * self._luck.uniform(1 - _NOISE, 1 + _NOISE)
        match self._fault:
            case "slow20":
                seconds *= _SLOWER
            case "leak":
                self._leaked = min(self._leaked + _LEAKED_BY_A_PAGE, _LEAKED_AT_MOST)
                seconds *= 1 + self._leaked / _LEAKED_TO_BE_TWICE_AS_SLOW
            case "errors" if self._good_pages == 0:
                self._good_pages = self._luck.randint(*_GOOD_PAGES)
                return HTTPStatus.INTERNAL_SERVER_ERROR, seconds
            case "errors":
                self._good_pages -= 1
        return HTTPStatus.OK, seconds

    def memory(self) -> int:
        """Bytes that it holds now."""
        return int((_MEMORY + self._leaked) * self._luck.uniform(0.99, 1.01))
