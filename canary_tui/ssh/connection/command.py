"""Command lines for the ssh program, to read a target's settings or open a shell there, and the answers to them."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from canary_tui.domain.fleet.rules import HOST, LOGIN, USER, Matches
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.errors import CanaryError
from canary_tui.ssh.connection.home import expanded
from canary_tui.text.safe import one_line

MOST_JUMPS = 8
"""Jump hosts in a row; more are a circle."""
ANSWER_WITHIN = 15.0
"""Seconds for ssh to print a target's settings."""
Settings = Mapping[str, tuple[str, ...]]
"""The answer of `ssh -G`: each keyword in lower case with its values."""
_ALWAYS = ("StrictHostKeyChecking=yes", "ControlPath=none", "ClearAllForwardings=yes", "PermitLocalCommand=no")
"""As the engine connects: never to an unknown key, over a connection of its own, and nothing else of ssh_config."""


class ResolveError(CanaryError):
    """A target's SSH settings cannot be used; trying again does not help."""


def query(ssh_program: str, host: str, ssh: Ssh) -> list[str]:
    """The command that prints a host's settings and connects to nothing."""
    return [ssh_program, "-G", "-T", *_settings(ssh), "--", checked_host(host)]


def parse(command: list[str], code: int | None, output: bytes, complaint: bytes) -> Settings:
    """The settings that a `query` printed. ResolveError where it ended with another exit code than 0."""
    if code:
        raise ResolveError(
            f"`{shlex.join(command)}` cannot read ssh_config: {one_line(complaint.decode(errors='replace'))}"
        )
    settings: dict[str, tuple[str, ...]] = {}
    for line in output.decode(errors="replace").splitlines():
        keyword, _, value = line.partition(" ")
        settings[keyword.lower()] = (*settings.get(keyword.lower(), ()), value)
    return settings


def overdue(command: list[str]) -> ResolveError:
    """The error of a `query` that did not end in time."""
    return ResolveError(f"`{shlex.join(command)}` did not answer within {ANSWER_WITHIN:.0f} s")


def one(settings: Settings, keyword: str, default: str = "") -> str:
    """The first value of a keyword."""
    return settings.get(keyword, (default,))[0]


@dataclass(frozen=True, slots=True)
class Hop:
    """The jump host right before a server, and the settings to reach it with; its own jump host is in them."""

    host: str
    ssh: Ssh


def last_hop(settings: Settings, ssh: Ssh, depth: int) -> Hop | None:
    """The jump host right before a server, None where it is reached directly.

    The fleet file's `jump` goes before ProxyJump. `depth` counts the jump hosts behind this one, to find a circle.
    """
    if depth > MOST_JUMPS:
        raise ResolveError(f"more than {MOST_JUMPS} jump hosts in a row; is there a circle in ProxyJump?")
    jump = _proxy_jump(settings) if ssh.jump is None else ssh.jump
    if jump in ("none", ""):
        return None
    before, _, last = jump.rpartition(",")
    user, host, port = parse_hop(last)
    return Hop(checked_host(host), replace(ssh, user=user, port=port, jump=before or None, sudo=None))


def _proxy_jump(settings: Settings) -> str:
    """ProxyJump with the server's own name, port and login filled in, as in the command that ssh makes of it."""
    host, port, user = one(settings, "hostname"), one(settings, "port"), one(settings, "user")
    tokens = {"%%": "%", "%h": host, "%n": one(settings, "host", host), "%p": port, "%r": user}

    def token(match: re.Match[str]) -> str:
        if match[0] not in tokens:
            raise ResolveError(f"ssh_config: {match[0]} in a ProxyJump is not supported")
        return tokens[match[0]]

    return re.sub("%.?", token, one(settings, "proxyjump", "none"))


def shell(ssh_program: str, host: str, ssh: Ssh, ask: Callable[[list[str]], Settings]) -> list[str]:
    """The command that opens a shell at a terminal, on the way on which the plan reaches the host.

    `ask` runs a `query`. The jump hosts are written out as a ProxyCommand, because `ssh -J` would tell them nothing
    about keys and known hosts.
    """
    words = [ssh_program, "-t", *_way(ssh_program, host, ssh, ask, 0), "-o", "RemoteCommand=none"]
    return [*words, "--", host]


def _way(ssh_program: str, host: str, ssh: Ssh, ask: Callable[[list[str]], Settings], depth: int) -> list[str]:
    settings = ask(query(ssh_program, host, ssh))
    options = [*_ALWAYS, *_told(ssh)]
    if hop := last_hop(settings, ssh, depth):
        words = shlex.join([ssh_program, *_way(ssh_program, hop.host, hop.ssh, ask, depth + 1)])
        options.append(f"ProxyCommand={_literal(words)} -W '[%h]:%p' -- {_literal(hop.host)}")
    elif one(settings, "proxyjump", "none") not in ("none", ""):
        options.append("ProxyJump=none")
    return [*_settings(ssh), *(word for option in options for word in ("-o", option))]


def _settings(ssh: Ssh) -> list[str]:
    """The options that say where ssh looks for settings, and those on which others may depend."""
    user, port = checked(ssh)
    words = []
    if ssh.config is not None:
        words += ["-F", ssh.config if ssh.config == "none" else expanded(ssh.config)]
    words += [] if user is None else ["-l", user]
    return [*words, *([] if port is None else ["-p", str(port)])]


def _told(ssh: Ssh) -> list[str]:
    options = []
    if ssh.identity is not None:
        options += [f"IdentityFile={_quoted(ssh.identity)}", "IdentitiesOnly=yes"]
    if ssh.known_hosts is not None:
        options += [f"UserKnownHostsFile={_quoted(_literal(ssh.known_hosts))}", "GlobalKnownHostsFile=/dev/null"]
    if ssh.connect_timeout is not None:
        options.append(f"ConnectTimeout={math.ceil(ssh.connect_timeout)}")
    return options


def _quoted(text: str) -> str:
    """One word as ssh_config reads it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    """A text in which ssh fills in nothing."""
    return text.replace("%", "%%")


def parse_hop(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port of a jump host: `[user@]host[:port]`, with an IPv6 address in brackets."""
    match = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?/?", text.strip())
    if match is None:
        raise ResolveError(f"jump host {one_line(text, 80)!r}: expected [user@]host[:port]")
    return match[1], match[2] or match[3], int(match[4]) if match[4] else None


def is_user(text: str) -> bool:
    """Test that a text is a login name, and no option wherever it is put."""
    return _is(USER, text)


def _is(rule: Matches, text: str) -> bool:
    try:
        rule.check(text)
    except ValueError:
        return False
    return True


def checked(ssh: Ssh) -> tuple[str | None, int | None]:
    """User and port, as they can be put on a command line."""
    if ssh.user is not None and not _is(LOGIN, ssh.user):
        raise ResolveError(f"user {one_line(ssh.user, 80)!r} is not a login name")
    if ssh.port is not None and not 1 <= ssh.port <= 65535:
        raise ResolveError(f"port {ssh.port} is not between 1 and 65535")
    return ssh.user, ssh.port


def checked_host(host: str) -> str:
    """The host, as it can be put on a command line."""
    if not _is(HOST, host):
        raise ResolveError(f"{one_line(host, 80)!r} is not a host name or address")
    return host
