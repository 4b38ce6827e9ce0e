"""How the screens' tests press, wait and read: by keys, by conditions with a deadline, by the text on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.app import App
from textual.pilot import Pilot


async def until(condition: Callable[[], object], deadline: float = 10.0) -> None:
    """Let the app work until `condition()` holds; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not come true within {deadline:g} s")
        await asyncio.sleep(0.01)


def screen_lines(app: App[object]) -> list[str]:
    """What the terminal shows now, a string for each row, blanks at the end cut off."""
    return ["".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips()]


def screen_text(app: App[object]) -> str:
    """What the terminal shows now."""
    return "\n".join(screen_lines(app))


async def shows(app: App[object], *texts: str, deadline: float = 10.0) -> None:
    """Wait until all of `texts` stand on the screen; else fail with what stands there instead."""
    try:
        await until(lambda: all(text in screen_text(app) for text in texts), deadline)
    except AssertionError:
        raise AssertionError(f"{texts!r} not all on the screen:\n{screen_text(app)}") from None


async def press(pilot: Pilot[object], *keys: str) -> None:
    """Press keys one after the other, each handled before the next."""
    for key in keys:
        await pilot.press(key)


async def type_text(pilot: Pilot[object], text: str) -> None:
    """Type printable text, a key for each character."""
    names = {" ": "space"}
    await pilot.press(*(names.get(character, character) for character in text))
