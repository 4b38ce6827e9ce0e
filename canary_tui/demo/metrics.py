"""The numbers that a demo target's shop keeps of its requests, and the text in which Prometheus reads them.

The text is format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTENT_TYPE = "text/plain; version=0.0.4"
BOUNDS = (
    0.005, 0.01, 0.015, 0.0175, 0.02, 0.0225, 0.025, 0.0275, 0.03, 0.035, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
"""The histogram's upper bounds in seconds: close together where a page's time is, so that 20 % more shows in them."""


class Metrics:
    """The numbers of one run of a shop. They begin at 0 with it, as those of every process do."""

    def __init__(self) -> None:
        self._answers = {200: 0, 500: 0}  # a rate of errors needs the 0 before the first error
        self._within = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, code: int, seconds: float) -> None:
        """Count an answer and the time that it took."""
        self._answers[code] = self._answers.get(code, 0) + 1
        self._within[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def text(self, instance: str, release: str, memory: int) -> str:
        """All of them, for Prometheus; `memory` in bytes."""
        errors = sum(number for code, number in self._answers.items() if code >= 500)
        codes = [(f'{{code="{code}"}}', number) for code, number in self._answers.items()]
        info = f'{{release="{_escaped(release)}",instance="{_escaped(instance)}"}}'
        return "".join(
            [
                _family("http_requests_total", "counter", "Pages answered, by status code.", codes),
                _family("http_errors_total", "counter", "Pages answered with a code of 500 or more.", [("", errors)]),
                _family("http_request_duration_seconds", "histogram", "Time to answer a page.", self._histogram()),
                _family("shop_memory_bytes", "gauge", "Memory that the shop holds.", [("", memory)]),
                _family("shop_info", "gauge", "Always 1; the labels tell what runs where.", [(info, 1)]),
            ]
        )

    def _histogram(self) -> Iterable[tuple[str, float]]:
        up_to = list(accumulate(self._within))
        for bound, number in zip((f"{bound:g}" for bound in BOUNDS), up_to, strict=False):
            yield f'_bucket{{le="{bound}"}}', number
        yield '_bucket{le="+Inf"}', up_to[-1]
        yield "_sum", self._seconds
        yield "_count", up_to[-1]


def _family(name: str, kind: str, words: str, samples: Iterable[tuple[str, float]]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    return "\n".join(lines + [f"{name}{suffix} {value}" for suffix, value in samples]) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
