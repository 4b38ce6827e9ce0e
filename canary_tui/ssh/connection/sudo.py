"""Runs a command line as another user on the target, with the password on no command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from canary_tui.text.safe import one_line

CHECK = "/bin/sh -c :"
"""A command that does nothing: whoever may run the steps may run it, too."""
IN = "SUDO"
"""The word that is said on standard error once sudo has let the command in."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A command line as it is to be executed.

    `password` is the first line for its standard input, and `prompt` stands on standard error as often as sudo wants
    one. `guarded`: the line `CTUI1 NONCE SUDO` tells there that sudo is done. Nothing else may be sent before it: sudo
    would take it for another password.
    """

    command: str
    password: bytes = b""
    prompt: bytes = b""
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class SudoPrefix:
    """sudo as `user`. `password` None: none is needed."""

    user: str
    password: str | None = None

    def wrap(self, words: str, nonce: str = "") -> Wrapped:
        """The command line for `words`, guarded where there is a nonce.

        `-k` makes sudo read the password whatever it remembers, so that the line never reaches the command itself.
        `-H`: the folder of the runner is that user's own. The command begins in that user's home: the login's may be
        closed to that user, and is not HOME either.
        """
        told = f"echo CTUI1 {nonce} {IN} >&2; " if nonce else ""
        words = f"/bin/sh -c {shlex.quote(f'{told}cd 2>/dev/null || cd /; exec {words}')}"
        if self.password is None:
            return Wrapped(f"sudo -n -H -u {self.user} -- {words}", guarded=bool(nonce))
        prompt = f"[{nonce}]" if nonce else ""
        command = f"sudo -k -S -p '{prompt}' -H -u {self.user} -- {words}"
        return Wrapped(command, self.password.encode() + b"\n", prompt.encode(), guarded=bool(nonce))


def permission(user: str) -> str:
    """Words that name the permission which sudo must give, and the way without it."""
    return (
        f"sudo must allow this login to run /bin/sh as {user}, and unattended without a password (NOPASSWD); "
        "where it allows single commands only, leave `sudo` out and write `sudo -n COMMAND` in `run`"
    )


def user_of(setting: bool | str | None) -> str | None:
    """The user that the fleet file's `sudo` names; None for no sudo."""
    if setting is True:
        return "root"
    return setting or None


def needs_password(complaint: str) -> bool:
    """Tell from the complaint of sudo, which was told to speak English, that it wants a password."""
    return "password is required" in complaint or "a terminal is required" in complaint


def is_wrong_password(complaint: str) -> bool:
    """Tell from it that it refused the password, and not the user or the command."""
    return "incorrect password attempt" in complaint or "no password was provided" in complaint


def last_words(complaint: str) -> str:
    """The end of it, made safe for a line of text: a lecture may stand before."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return one_line("; ".join(lines[-2:]), 300)
