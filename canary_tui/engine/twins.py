"""Tells when two targets are one server behind two names, which would be deployed to twice, perhaps past the gate.

A server is told by the runner's folder in one boot of the machine, so other logins, homes and containers are others.
"""

from __future__ import annotations

from collections.abc import Mapping


class Servers:
    """The servers of a rollout, each with the target by which it was met first."""

    def __init__(self, met: Mapping[str, str] = {}) -> None:
        """`met`: targets that were probed before, with their servers."""
        self._target_of: dict[str, str] = {}
        for target, server in met.items():
            self._target_of.setdefault(server, target)

    def objection(self, target: str, server: str) -> str:
        """Why a target cannot be one of its own, "" where it is; `server` is "" where that is not known."""
        if not server:
            return ""
        first = self._target_of.setdefault(server, target)
        if first == target:
            return ""
        return (
            f"it is the same server as {first}: both names lead to one folder of the runner; keep one of them. "
            "Containers that share a home need an XDG_STATE_HOME each"
        )
