"""What a fleet file's `ssh` may say, as keywords."""

from __future__ import annotations

from typing import TypedDict

from canary_tui.domain.fleet.units import Duration


class SshTable(TypedDict, total=False):
    """Keywords of `Ssh`, but for `config`, of which each test has its own."""

    user: str
    port: int
    identity: str
    known_hosts: str
    jump: str
    connect_timeout: Duration
