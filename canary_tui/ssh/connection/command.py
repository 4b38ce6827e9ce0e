"""What the ssh program is told about a target: the same words for reading its settings and for a shell there."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.errors import CanaryError
from canary_tui.text.safe import one_line

MOST_JUMPS = 8
"""Jump hosts in a row; more are a circle."""
_HOST = re.compile(r"(?!-)[A-Za-z0-9._:-]{1,255}(%[A-Za-z0-9._-]{1,32})?")
_USER = re.compile(r"(?!-)[A-Za-z0-9._@+-]{1,128}")
_ALWAYS = ("StrictHostKeyChecking=yes", "ControlPath=none", "ClearAllForwardings=yes", "PermitLocalCommand=no")
"""As the engine connects: never to an unknown key, over a connection of its own, and nothing else of ssh_config."""


class ResolveError(CanaryError):
    """A target's SSH settings cannot be used; trying again does not help."""


def query(ssh_program: str, host: str, ssh: Ssh) -> list[str]:
    """The command that prints a host's settings and connects to nothing."""
    return [ssh_program, "-G", "-T", *_settings(ssh), "--", checked_host(host)]


def shell(ssh_program: str, host: str, ssh: Ssh, proxy_jump: Callable[[list[str]], str]) -> list[str]:
    """The command that opens a shell at a terminal, on the way on which the plan reaches the host.

    `proxy_jump` is given a `query` and returns what it says about ProxyJump. The jump hosts are written out as a
    ProxyCommand, because `ssh -J` would tell them nothing about keys and known hosts.
    """
    words = [ssh_program, "-t", *_way(ssh_program, host, ssh, proxy_jump, 0), "-o", "RemoteCommand=none"]
    return [*words, "--", host]


def _way(ssh_program: str, host: str, ssh: Ssh, proxy_jump: Callable[[list[str]], str], depth: int) -> list[str]:
    if depth > MOST_JUMPS:
        raise ResolveError(f"more than {MOST_JUMPS} jump hosts in a row; is there a circle in ProxyJump?")
    configured = proxy_jump(query(ssh_program, host, ssh))
    jump = configured if ssh.jump is None else ssh.jump
    options = [*_ALWAYS, *_told(ssh)]
    if jump not in ("none", ""):
        before, _, last = jump.rpartition(",")
        user, hop, port = parse_hop(last)
        hop_ssh = replace(ssh, user=user, port=port, jump=before or None, sudo=None)
        words = shlex.join([ssh_program, *_way(ssh_program, hop, hop_ssh, proxy_jump, depth + 1)])
        options.append(f"ProxyCommand={_literal(words)} -W '[%h]:%p' -- {_literal(hop)}")
    elif configured not in ("none", ""):
        options.append("ProxyJump=none")
    return [*_settings(ssh), *(word for option in options for word in ("-o", option))]


def _settings(ssh: Ssh) -> list[str]:
    """Where ssh looks for settings, and those that others may depend on."""
    user, port = checked(ssh)
    words = []
    if ssh.config is not None:
        words += ["-F", ssh.config if ssh.config == "none" else os.path.expanduser(ssh.config)]  # noqa: PTH111 - as it is written
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
    """Whether a text can only be a login name, wherever it is put."""
    return _USER.fullmatch(text) is not None


def checked(ssh: Ssh) -> tuple[str | None, int | None]:
    """User and port, as they can be put on a command line."""
    if ssh.user is not None and not is_user(ssh.user):
        raise ResolveError(f"user {one_line(ssh.user, 80)!r} is not a login name")
    if ssh.port is not None and not 1 <= ssh.port <= 65535:
        raise ResolveError(f"port {ssh.port} is not between 1 and 65535")
    return ssh.user, ssh.port


def checked_host(host: str) -> str:
    """The host, as it can be put on a command line."""
    if not _HOST.fullmatch(host):
        raise ResolveError(f"{one_line(host, 80)!r} is not a host name or address")
    return host
