"""Runs a command line as another user on the target, with the password on no command line."""

from __future__ import annotations

from dataclasses import dataclass

CHECK = "/bin/sh -c :"
"""A command that does nothing: whoever may run the steps may run it, too."""


_AT_HOME = """/bin/sh -c 'cd 2>/dev/null || cd /; exec "$@"' sh"""
"""Begins what follows in the user's own home: the login's may be closed to that user, and is not HOME either."""


@dataclass(frozen=True, slots=True)
class SudoPrefix:
    """sudo as `user`. `password` None: none is needed."""

    user: str
    password: str | None = None

    def wrap(self, words: str) -> tuple[str, bytes]:
        """The command line for `words`, and the bytes that must come first on its standard input.

        `-k` makes sudo read the password whatever it remembers, so that the line never reaches the command itself;
        the empty prompt leaves standard error to the command. `-H`: the folder of the runner is that user's own.
        """
        if self.password is None:
            return f"sudo -n -H -u {self.user} -- {_AT_HOME} {words}", b""
        return f"sudo -k -S -p '' -H -u {self.user} -- {_AT_HOME} {words}", self.password.encode() + b"\n"


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
