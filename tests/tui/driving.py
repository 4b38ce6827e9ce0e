"""How the screens' tests press, wait and read: by keys, by conditions with a deadline, by the text on the screen."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import pytest
from textual.app import App
from textual.pilot import Pilot

from canary_tui.domain.planning.build import Choices
from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.keys import Settings
from canary_tui.tui.options import AppOptions
from canary_tui.tui.shared import panel

SHOP = """
name = "shop"

[environments.production]
protected = true
[environments.staging]

[[targets]]
name = "web-[1-12]"
host = "10.20.30.[1-12]"
roles = ["web"]
environments = ["production"]
tags = { zone = "a" }

[[targets]]
name = "web-[13-20]"
roles = ["web", "canary"]
environments = ["production"]
tags = { zone = "b" }

[[targets]]
name = "stage-[1-2]"
roles = ["web"]
environments = ["staging"]

[[steps]]
name = "switch"
run = "echo switch"

[[waves]]
name = "canary"
targets = "web-13 | web-2"
environments = ["production"]
gate = { checklist = ["Dashboards look right"] }

[[waves]]
name = "rest"
"""


Result = TypeVar("Result")
"""What an app ends with."""


class Options(TypedDict, total=False):
    """The options of the screens that a test may choose."""

    demo: bool
    theme: str


def scripted_engine(*arguments: str) -> tuple[str, ...]:
    """The command of an engine that does what the arguments say."""
    return (sys.executable, str(Path(__file__).with_name("scripted_engine.py")), *arguments)


@asynccontextmanager
async def opened(
    folder: Path,
    fleet: str = SHOP,
    *,
    release: str = "1.4.2",
    environment: str | None = "production",
    canary: str | None = None,
    engine: tuple[str, ...] = (),
    size: tuple[int, int] = (80, 24),
    settings: Settings | None = None,
    **options: Unpack[Options],
) -> AsyncIterator[tuple[CanaryApp, Pilot[ExitCode]]]:
    """The app on a fleet file, in a terminal of `size`, with an engine that does what `engine` says."""
    file = folder / "shop.toml"
    file.write_text(fleet, encoding="utf-8")
    choices = Choices(release, environment, canary_selection=canary)
    chosen = AppOptions(folder / "state", file, choices=choices, engine=scripted_engine(*engine), **options)
    app = CanaryApp(chosen, settings)
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            yield app, pilot
    finally:
        await app.link.close()


async def until(condition: Callable[[], object], deadline: float = 10.0) -> None:
    """Let the app work until `condition()` holds; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not come true within {deadline:g} s")
        await asyncio.sleep(0.01)


def screen_lines(app: App[Result]) -> list[str]:
    """What the terminal shows now, a string for each row, blanks at the end cut off."""
    return ["".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips()]


def screen_text(app: App[Result]) -> str:
    """What the terminal shows now."""
    return "\n".join(screen_lines(app))


async def shows(app: App[Result], *texts: str, deadline: float = 10.0) -> None:
    """Wait until all of `texts` stand on the screen; else fail with what stands there instead."""
    try:
        await until(lambda: all(text in screen_text(app) for text in texts), deadline)
    except AssertionError:
        raise AssertionError(f"{texts!r} not all on the screen:\n{screen_text(app)}") from None


@contextmanager
def nothing_is_read_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile no panel has stood long enough to be read, however slow the machine is."""
    with monkeypatch.context() as patch:
        patch.setattr(panel, "GUARD", 60.0)
        yield


async def press(pilot: Pilot[Result], *keys: str) -> None:
    """Press keys one after the other, each handled before the next."""
    for key in keys:
        await pilot.press(key)


async def type_text(pilot: Pilot[Result], text: str) -> None:
    """Type printable text, a key for each character."""
    await pilot.press(*("space" if character == " " else character for character in text))
