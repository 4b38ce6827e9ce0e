"""The part of the app that its screens use: with it they need not import the app, which imports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from canary_tui.tui.options import AppOptions

if TYPE_CHECKING:  # the picker imports this module before its first paint, and needs no message yet
    from canary_tui.engine.messages import Command, Notice


class Link(Protocol):
    """The way to the engine. `gone` is "" while the engine lives, and one sentence after its death."""

    gone: str

    def send(self, command: Command) -> None:
        """Send a command to the engine."""

    def listen(self, listener: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `listener` with every notice from now on; the returned function ends that."""
        ...


class Host(Protocol):
    """The app as the picker, the plan and the history see it."""

    @property
    def options(self) -> AppOptions:
        """The options of the command line."""
        ...

    refused_file: str
    """Why the fleet file could not be used, in one line, for the terminal after the screens; "" if it could."""

    @property
    def link(self) -> Link:
        """The way to the engine; commands sent before the engine has started are kept for it."""
        ...

    def resume(self, path: Path, refused: Callable[[str], None]) -> None:
        """Take the rollout in a folder over, and show it; `refused` is told why that cannot be."""
        ...

    async def start_engine(self) -> None:
        """Start the engine, unless it was started before."""
