"""Textual's faults that the screens work around, and every private part of Textual that the screens use.

`PRIVATE_PARTS` is the whole list; `tests/tui/test_textual_private_parts.py` has a contract test for each of them and
fails if the screens use another one. So a new Textual that lacks a part is known before an operator meets it.

Two faults leave garbage that only Python's collector finds, by walking every object made since the start: up to 85 ms
again and again, and a key waits as long. The others end the screens. Measured with Textual 8.2.8.
"""

from __future__ import annotations

import contextlib
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from textual.await_complete import AwaitComplete
from textual.driver import Driver
from textual.events import Key
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import OptionList


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
    PrivatePart(
        "textual.drivers.linux_driver",
        "getincrementaldecoder",
        "its strict decoder ends the app at the first byte of input that is no UTF-8, as in a pasted Latin-1 text",
        "delete `_decode_any_input` once the driver decodes with errors replaced; not reported upstream yet",
    ),
)


def apply_fixes() -> None:
    """Work around Textual's faults from outside; a second call changes nothing."""
    Strip.divide = _divided  # type: ignore[method-assign,assignment]
    Screen.dismiss = _dismiss_once  # type: ignore[method-assign,assignment]
    OptionList.action_page_up = _page_up  # type: ignore[method-assign]
    OptionList.action_page_down = _page_down  # type: ignore[method-assign]
    with contextlib.suppress(ImportError, AttributeError):  # a Textual without the fault has no need of this
        _release_removed_widgets()
    with contextlib.suppress(ImportError):  # it is the driver of every system but Windows
        _decode_any_input()


_BELOW = "\x1b[999;1H\n"


def leaving_below(driver: type[Driver]) -> type[Driver]:
    """A driver that leaves the cursor in a row of its own below the last frame.

    Its keys tell when they were read, not when it was their turn.

    A terminal without an alternate screen (GNU screen, as it is installed) keeps that frame, and what is printed next
    would stand in the middle of it. One that has it puts the cursor back where it was before.
    """

    class LeavingBelow(driver):  # type: ignore[valid-type,misc]  # which driver it is, only Textual knows
        def process_message(self, message: Message) -> None:
            # Of one read, all keys have one time: a busy loop between them would make a paste look typed.
            if isinstance(message, Key) and _Input.read_at:
                message.time = _Input.read_at
            super().process_message(message)

        def stop_application_mode(self) -> None:
            self.write(_BELOW)
            super().stop_application_mode()

    return LeavingBelow


_divide = Strip.divide


def _divided(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Divide as Textual does, but keep no whole row in the cache that the row itself owns."""
    width = strip.cell_length
    cuts = [cut for cut in cuts if cut <= width]
    return [strip] if cuts == [width] else _divide(strip, cuts)


_dismiss = Screen.dismiss


def _dismiss_once(screen: Screen[Any], result: Any = None) -> AwaitComplete:
    """Dismiss a screen only while it is on top: Textual closes whichever is, with the callback of this one.

    A second `esc` in the queue of a dialog that has just closed would close the screen below it.
    """
    return _dismiss(screen, result) if screen.is_active else AwaitComplete.nothing()  # type: ignore[no-untyped-call]  # untyped in Textual


_whole_page_up, _whole_page_down = OptionList.action_page_up, OptionList.action_page_down


def _page_up(options: OptionList) -> None:
    """Move up one page; a list that has no place on the screen yet, or no longer, has no pages."""
    if options.scrollable_content_region:
        _whole_page_up(options)  # type: ignore[no-untyped-call]  # untyped in Textual


def _page_down(options: OptionList) -> None:
    """Move down one page. In a list without a place Textual raises KeyError, and the screens end."""
    if options.scrollable_content_region:
        _whole_page_down(options)  # type: ignore[no-untyped-call]  # untyped in Textual


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


def _decode_any_input() -> None:
    """Replace bytes of input that are no UTF-8: the driver's thread would die of them, and the screens with it."""
    from textual.drivers import linux_driver

    linux_driver.getincrementaldecoder = partial(partial, _Input)  # type: ignore[assignment,attr-defined]  # its own import


class _Input:
    """Decodes what the terminal sends, and tells when the last of it was read (monotonic seconds)."""

    read_at = 0.0

    def __init__(self, encoding: str) -> None:
        self._decoder = getincrementaldecoder(encoding)("replace")

    def decode(self, data: bytes, final: bool = False) -> str:
        """Decode one read; bytes that are no text are replaced."""
        _Input.read_at = time.monotonic()
        return self._decoder.decode(data, final)
