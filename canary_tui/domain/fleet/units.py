"""Durations, sizes and shares as a fleet file writes them."""

from __future__ import annotations

import re
from typing import ClassVar, Self

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Duration(float):
    """Seconds, written as a whole number with a unit: `"500ms" "30s" "10m" "2h" "7d"`."""

    PATTERN: ClassVar[str] = r"^[0-9]{1,9}(ms|s|m|h|d)$"
    SCHEMA: ClassVar[dict[str, object]] = {"type": "string", "pattern": PATTERN}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a duration; ValueError says what one looks like."""
        match = re.fullmatch(cls.PATTERN[1:-1], value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"expected a duration such as '500ms', '30s' or '10m', got {value!r}")
        return cls(int(match[0].removesuffix(match[1])) * _SECONDS[match[1]])


class Size(int):
    """Bytes, written as a whole number with a unit: `"64KiB" "256MiB" "1GB"`."""

    PATTERN: ClassVar[str] = r"^[0-9]{1,9}(B|kB|MB|GB|KiB|MiB|GiB)$"
    SCHEMA: ClassVar[dict[str, object]] = {"type": "string", "pattern": PATTERN}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a size; ValueError says what one looks like."""
        match = re.fullmatch(cls.PATTERN[1:-1], value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"expected a size such as '64KiB' or '256MiB', got {value!r}")
        return cls(int(match[0].removesuffix(match[1])) * _BYTES[match[1]])


class Share(str):
    """A part of a number of targets: `"25%"` or a whole number of them. Kept as it was written."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, object]] = {
        "oneOf": [
            {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"},
            {"type": "integer", "minimum": 0, "maximum": 1_000_000},
        ]
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a share; ValueError says what one looks like."""
        if type(value) is int and 0 <= value <= 1_000_000:
            return cls(value)
        if isinstance(value, str) and re.fullmatch(r"(100|[0-9]{1,2})%", value):
            return cls(value)
        raise ValueError(f"expected a share such as '25%' or a whole number, got {value!r}")

    def of(self, total: int) -> int:
        """The share of `total`, as a number: a percentage is rounded down, a number is at most `total`."""
        if self.endswith("%"):
            return total * int(self[:-1]) // 100
        return min(int(self), total)


def spoken_duration(seconds: float) -> str:
    """A duration as people read it, with a blank before its unit: `90 m`, `2 h`, `500 ms`."""
    text = duration_text(seconds)
    number = text.rstrip("dhms")
    return f"{number} {text[len(number) :]}"


def duration_text(seconds: float) -> str:
    """A duration as a fleet file writes it: `90m`, `2h`, `500ms`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"
