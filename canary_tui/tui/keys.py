"""The operator's settings for the screens: keys, theme, mouse and bell, from one small file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from canary_tui.regular import read_regular
from canary_tui.tui.actions import ACTIONS, KeyAction, find_action, key_signs
from canary_tui.tui.themes import NAMES

_LARGEST = 2**20
_UNSAFE = {"enter", "space", "tab", "escape"}
_RENAMED = {"log.folded": "log.grouped", "abort.leave": "abort.keep"}
"""Ids that an older version had: an operator's file may still use them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the file. `complaints` are sentences about the entries that were ignored."""

    keys: dict[str, str] = field(default_factory=dict)
    theme: str = ""
    mouse: bool = False
    bell: bool = False
    """Ring when a person is newly needed."""
    complaints: tuple[str, ...] = ()


def settings_path(environ: Mapping[str, str]) -> Path:
    """Find the file's place: `$CANARY_TUI_CONFIG`, or in the XDG configuration folder."""
    if chosen := environ.get("CANARY_TUI_CONFIG"):
        return Path(chosen)
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(home) / "canary-tui" / "config.toml"


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file. Without one, return the defaults; with an unreadable one, also a complaint."""
    path = settings_path(environ)
    try:
        data = tomllib.loads(read_regular(path, _LARGEST).decode())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        return Settings(complaints=(f"{path}: {error}",))
    return _read(data, str(path))


def _read(data: Mapping[str, object], path: str) -> Settings:
    complaints = [f"{path}: {key}: unknown key" for key in data if key not in {"keys", "theme", "mouse", "terminal"}]
    keys = data.get("keys", {})
    theme, mouse = data.get("theme", ""), data.get("mouse", False)
    if theme and theme not in NAMES:
        complaints.append(f"{path}: theme: expected one of {', '.join(NAMES)}, got {theme!r}")
    if not isinstance(mouse, bool):
        complaints.append(f"{path}: mouse: expected true or false, got {mouse!r}")
    bell = _bell(data.get("terminal", {}), path, complaints)
    if not isinstance(keys, dict):
        complaints.append(f"{path}: keys: expected a table")
        keys = {}
    good = {}
    for written, chosen in keys.items():
        action_id = _RENAMED.get(str(written), str(written))
        wrong = _wrong_with(action_id, chosen)
        if wrong:
            complaints.append(f"{path}: keys: {written}: {wrong}")
        else:
            good[action_id] = ",".join(key.strip() for key in chosen.split(","))
    complaints += [f"{path}: keys: {clash}" for clash in clashes(good)]
    return Settings(good, str(theme) if theme in NAMES else "", mouse is True, bell, tuple(complaints))


def _bell(terminal: object, path: str, complaints: list[str]) -> bool:
    if not isinstance(terminal, dict):
        complaints.append(f"{path}: terminal: expected a table")
        return False
    complaints += [f"{path}: terminal: {key}: unknown key" for key in terminal if key != "bell"]
    bell = terminal.get("bell", False)
    if not isinstance(bell, bool):
        complaints.append(f"{path}: terminal: bell: expected true or false, got {bell!r}")
    return bell is True


def _wrong_with(action_id: str, chosen: object) -> str:
    action = find_action(action_id)
    if action is None:
        close = get_close_matches(action_id, [known.id for known in ACTIONS], 1)
        return f"unknown action{f'; did you mean {close[0]}?' if close else ''}"
    if not isinstance(chosen, str):
        return f"expected keys such as 'f5' or 'x,ctrl+x', got {chosen!r}"
    return _too_easy(action, chosen)


def _too_easy(action: KeyAction, chosen: str) -> str:
    """Refuse for a dangerous action a lower-case letter, or a key that people press without looking."""
    for key in chosen.split(","):
        bare = key.strip()
        if action.dangerous and (bare in _UNSAFE or (len(bare) == 1 and not bare.isupper())):
            return f"{bare!r} is too easy to press for a dangerous action; use a capital or a ctrl chord"
    return ""


def clashes(keys: Mapping[str, str]) -> list[str]:
    """List the keys that two actions of one pane, or a pane and the whole app, would share after `keys`."""
    found = []
    taken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        for key in filter(None, keys.get(action.id, action.keys).split(",")):
            for pane in {action.pane, "app"}:
                other = taken.get((pane, key))
                if other and (action.id in keys or other in keys):
                    found.append(f"{key_signs(key)} is both {other} and {action.id}")
            taken.setdefault((action.pane, key), action.id)
    return found
