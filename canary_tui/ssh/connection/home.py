"""Knows the login name and the home folder as ssh does: by the user's id, whatever USER and HOME say."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path


def login_name() -> str:
    """Name of the user who runs this."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user that nobody entered
        return getpass.getuser()


def home() -> Path:
    """The user's home folder."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def expanded(path: str) -> str:
    """The path with a leading `~` or `~USER` replaced by that home."""
    if path == "~" or path.startswith("~/"):
        return f"{home()}{path[1:]}"
    return os.path.expanduser(path)  # noqa: PTH111 - as it is written
