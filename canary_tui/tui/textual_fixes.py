"""Textual's faults that the screens work around, and every private part of Textual that the screens use.

`PRIVATE_PARTS` is the whole list; `tests/tui/test_textual_private_parts.py` has a contract test for each of them and
fails if the screens use another one. So a new Textual that lacks a part is known before an operator meets it.

Both faults leave garbage that only Python's collector finds, by walking every object made since the start: up to 85 ms
again and again, and a key waits as long. Measured with Textual 8.2.8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """`owner` is a module and class; `use` says for what the screens need it, `way_out` how they will not."""

    owner: str
    name: str
    use: str
    way_out: str


PRIVATE_PARTS: tuple[PrivatePart, ...] = (
    PrivatePart(
        "textual.strip.Strip",
        "_divide_cache",
        "`divide` returns the strip itself for a whole row and keeps that in this cache of the strip: a cycle a row",
        "delete `_divided` once `divide` keeps no strip in its own cache; not reported upstream yet",
    ),
    PrivatePart(
        "textual._styles_cache.StylesCache",
        "get_inner_outer",
        "an lru_cache around this method keeps the caches of removed widgets: https://github.com/Textualize/textual/issues/6665",
        "delete `_release_removed_widgets` once that issue is closed and the pin on Textual has moved",
    ),
    PrivatePart(
        "textual.app.App",
        "_fatal_error",
        "overridden, because Textual prints the locals of a traceback, and secrets are locals",
        "a public hook for an unhandled exception, or a switch for `show_locals`",
    ),
    PrivatePart(
        "textual.app.App",
        "_driver",
        "its `write` gives the terminal a title between two frames; a direct write would land inside of one",
        "a public method that writes an escape sequence, as `copy_to_clipboard` does for one",
    ),
)


def apply_fixes() -> None:
    """Work around Textual's faults from outside; a second call changes nothing."""
    Strip.divide = _divided  # type: ignore[method-assign,assignment]
    with contextlib.suppress(ImportError, AttributeError):  # a Textual without the fault has no need of this
        _release_removed_widgets()


_divide = Strip.divide


def _divided(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Divide as Textual does, but keep no whole row in the cache that the row itself owns."""
    width = strip.cell_length
    cuts = [cut for cut in cuts if cut <= width]
    return [strip] if cuts == [width] else _divide(strip, cuts)


def _release_removed_widgets() -> None:
    """Cache `get_inner_outer` without its `self`: opening the help once left 1,300 objects behind."""
    from textual._styles_cache import StylesCache

    cached: Any = StylesCache.get_inner_outer
    uncached = cached.__wrapped__

    @lru_cache(1024)
    def inner_outer(base_background: Any, background: Any) -> Any:
        return uncached(StylesCache, base_background, background)

    def get_inner_outer(self: Any, base_background: Any, background: Any) -> Any:  # noqa: ARG001  a method's
        return inner_outer(base_background, background)

    StylesCache.get_inner_outer = get_inner_outer  # type: ignore[method-assign,assignment]
