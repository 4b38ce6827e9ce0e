"""How numbers are put into few characters: times, sizes and rates."""

from __future__ import annotations

from functools import lru_cache

from canary_tui.domain.fleet.names import compress_names

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def short_time(seconds: float) -> str:
    """About two digits that matter: `8 s`, `2 m`, `1 m 30 s`, `1 h 58 m`, `9 d`."""
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            count, rest = divmod(whole, size)
            smaller = {"d": (3600, "h"), "h": (60, "m"), "m": (1, "s")}[unit]
            extra = rest // smaller[0]
            return f"{count} {unit} {extra} {smaller[1]}" if extra and count < 10 else f"{count} {unit}"
    return f"{whole} s"


def tight_time(seconds: float) -> str:
    """At most six characters, and no coarser than it must be: `8 s`, `99 s`, `12m34s`, `1h58m`, `9d3h`."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    for size, unit, smaller, sign in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller}{sign}"
    raise AssertionError


def clock(seconds: float) -> str:
    """Elapsed time as `03:12`, from an hour on `1:03:12`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def short_size(size: float) -> str:
    """Bytes as `0 B`, `41 kB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def short_count(count: float) -> str:
    """A number as `812` or `31.2k` or `2.0M`."""
    if count < 1000:
        return f"{count:.0f}"
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def ago(seconds: float) -> str:
    """How long ago, no finer than a minute: it stands still while it is read."""
    return f"{short_time(int(seconds) // 60 * 60)} ago" if seconds >= 60 else "just now"


@lru_cache(32)
def in_short(names: tuple[str, ...]) -> str:
    """The names of targets in few words; for 5,000 that takes 0.2 s, so it is done once."""
    return compress_names(names)
