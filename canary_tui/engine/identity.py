"""The identity of the person at this terminal, for the journal."""

from __future__ import annotations

import getpass
import os
import socket
import sys

from canary_tui.domain.rollout.events import Operator


def operator() -> Operator:
    """The OS user, this machine's name, and the terminal ("" without one)."""
    try:
        terminal = os.ttyname(sys.__stdin__.fileno()) if sys.__stdin__ is not None else ""
    except (OSError, ValueError):
        terminal = ""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return Operator(user, socket.gethostname(), terminal)
