"""The colours: a dark theme, a light one, the terminal's own sixteen, and one safe for colour-blind eyes."""

from __future__ import annotations

import contextlib
from pathlib import Path

from textual.theme import Theme

DARK = Theme(
    name="dark",
    primary="#5f9fd7",
    secondary="#7aa2b8",
    accent="#d7af5f",
    warning="#e0b050",
    error="#f06a6a",
    success="#7fc97f",
    foreground="#d4d7db",
    background="#16191d",
    surface="#16191d",
    panel="#262b31",
    dark=True,
    variables={
        "block-cursor-background": "#33506b",
        "block-cursor-foreground": "#ffffff",
        "footer-key-foreground": "#d7af5f",
    },
)
LIGHT = Theme(
    name="light",
    primary="#1f5f99",
    secondary="#47697d",
    accent="#8a5a00",
    warning="#8a5a00",
    error="#b3261e",
    success="#1e7b34",
    foreground="#1d2125",
    background="#fafaf8",
    surface="#fafaf8",
    panel="#e6e8ea",
    dark=False,
    variables={
        "block-cursor-background": "#c4dcf2",
        "block-cursor-foreground": "#000000",
        "footer-key-foreground": "#8a5a00",
    },
)
# Blue against orange: told apart by deuteranopes and protanopes, and in grey.
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#56b4e9",
    secondary="#8fb8d0",
    accent="#f0e442",
    warning="#f0e442",
    error="#ff9e3d",
    success="#56b4e9",
    foreground="#e6e6e6",
    background="#121417",
    surface="#121417",
    panel="#2a2e33",
    dark=True,
    variables={
        "block-cursor-background": "#3c4a57",
        "block-cursor-foreground": "#ffffff",
        "footer-key-foreground": "#f0e442",
    },
)
TERMINAL = Theme(
    name="terminal",
    ansi=True,
    primary="ansi_blue",
    secondary="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    accent="ansi_yellow",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_default",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "footer-key-foreground": "ansi_yellow",
    },
)

THEMES: tuple[Theme, ...] = (DARK, LIGHT, TERMINAL, COLOUR_BLIND)
NAMES: tuple[str, ...] = tuple(theme.name for theme in THEMES)


def next_theme(name: str) -> str:
    """Return the theme after `name`; after the last comes the first."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]


def remembered_theme(state: Path | None) -> str:
    """Read the last chosen theme from the state folder; "" if there is none."""
    if state is None:
        return ""
    try:
        name = (state / "theme").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return name if name in NAMES else ""


def remember_theme(state: Path | None, name: str) -> None:
    """Keep a choice for the next start; an unwritable state folder costs only that."""
    if state is not None:
        with contextlib.suppress(OSError):
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            (state / "theme").write_text(name + "\n", encoding="utf-8")
