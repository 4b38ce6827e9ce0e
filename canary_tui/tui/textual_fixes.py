"""What Textual gets wrong and the screens cannot live with, put right from outside; each to go once Textual has.

Both leave behind what only Python's collector finds, by walking everything that was made since the start: up to 85 ms,
again and again, and a key waits so long. Seen in Textual 8.2.8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from textual.strip import Strip

_divide = Strip.divide


def apply_fixes() -> None:
    """Do it; again does no harm."""
    Strip.divide = _divided  # type: ignore[method-assign,assignment]
    with contextlib.suppress(ImportError, AttributeError):  # another Textual, which may be right by itself
        _forget_removed_widgets()


def _divided(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """A whole row, undivided, would keep itself in a cache of its own: every row that was ever painted."""
    width = strip.cell_length
    cuts = [cut for cut in cuts if cut <= width]
    return [strip] if cuts == [width] else _divide(strip, cuts)


def _forget_removed_widgets() -> None:
    """A method's `lru_cache` holds the cache of rows that it belongs to: 1,300 objects each time help is opened."""
    from textual._styles_cache import StylesCache

    cached: Any = StylesCache.get_inner_outer
    uncached = cached.__wrapped__

    @lru_cache(1024)
    def inner_outer(base_background: Any, background: Any) -> Any:
        return uncached(StylesCache, base_background, background)

    def get_inner_outer(self: Any, base_background: Any, background: Any) -> Any:  # noqa: ARG001  a method's
        return inner_outer(base_background, background)

    StylesCache.get_inner_outer = get_inner_outer  # type: ignore[method-assign,assignment]
