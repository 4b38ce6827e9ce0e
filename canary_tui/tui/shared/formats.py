"""Short forms of times, sizes, counts and lists of names."""

from __future__ import annotations

from functools import lru_cache

from canary_tui.domain.fleet.names import compress_names

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def short_time(seconds: float) -> str:
    """Write a duration with about two digits: `8 s`, `2 m`, `1 m 30 s`, `1 h 58 m`, `9 d`."""
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            count, rest = divmod(whole, size)
            smaller = {"d": (3600, "h"), "h": (60, "m"), "m": (1, "s")}[unit]
            extra = rest // smaller[0]
            return f"{count} {unit} {extra} {smaller[1]}" if extra and count < 10 else f"{count} {unit}"
    return f"{whole} s"


def tight_time(seconds: float) -> str:
    """Write a duration in at most six characters: `8 s`, `1m39s`, `12m34s`, `1h58m`, `9d3h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller, sign in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller}{sign}"
    raise AssertionError


def clock(seconds: float) -> str:
    """Write elapsed time as `03:12`, from an hour on as `1:03:12`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def short_size(size: float) -> str:
    """Write bytes as `0 B`, `41 kB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def short_count(count: float) -> str:
    """Write a number as `812` or `31.2k` or `2.0M`."""
    if count < 1000:
        return f"{count:.0f}"
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def ago(seconds: float) -> str:
    """Write an age no finer than a minute, so that it stands still while it is read."""
    return f"{short_time(int(seconds) // 60 * 60)} ago" if seconds >= 60 else "just now"


@lru_cache(32)
def in_short(names: tuple[str, ...]) -> str:
    """Compress names of targets; the result is kept, because 5,000 names take 0.2 s."""
    return compress_names(names)
