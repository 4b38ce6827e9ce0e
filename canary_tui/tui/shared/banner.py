"""The full-width line over a screen that reports trouble with the engine."""

from __future__ import annotations

from textual.widgets import Static


class Banner(Static):
    """A line over a screen about trouble that concerns everything below it."""

    DEFAULT_CSS = """
    Banner { dock: top; width: 100%; height: auto; max-height: 4; padding: 0 1;
             background: $error; color: $background; text-style: bold; }
    Banner:ansi { background: ansi_red; color: ansi_bright_white; }
    Banner:nocolor { text-style: bold reverse; }
    """
