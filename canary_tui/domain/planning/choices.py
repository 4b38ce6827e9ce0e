"""The operator's choices for one rollout, before it is a plan, and the error that refuses them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from canary_tui.domain.fleet.names import suggest
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.tables import Fleet
from canary_tui.errors import UsageError

_RELEASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+:/@~-]{0,127}")


class PlanError(UsageError):
    """The choices make no plan; `reasons` holds every reason found."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices that were made on the command line or in the picker.

    `canaries` are names, `canary_selection` and `only` selections, each of `exclude` a selection.
    `picked`: the names come from the picker. `attended`: somebody is there to pick.
    """

    release: str
    environment: str | None = None
    canaries: tuple[str, ...] | None = None
    canary_selection: str | None = None
    only: str | None = None
    exclude: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    redeploy: bool = False
    attended: bool = True
    directory: str = ""
    picked: bool = False


def choose_environment(fleet: Fleet, given: str | None) -> str:
    """The environment that is meant: given by name, or the only one, or none where the fleet has none."""
    known = fleet.environments
    if given is not None:
        if given in known:
            return given
        hint = suggest(given, known) or (f"there are {', '.join(known)}" if known else "the fleet file has none")
        raise PlanError([f"unknown environment {shorten(given)}; {hint}"])
    if len(known) > 1:
        raise PlanError([f"which environment? say --env and one of {', '.join(known)}"])
    return next(iter(known), "")


def check_release(release: str) -> None:
    """Refuse what could be an option, a way out of a folder or more than one word; ValueError says why."""
    if _RELEASE.fullmatch(release) is None or ".." in release:
        raise ValueError(
            f"release {shorten(release)} is not 1 to 128 letters, digits and . _ + - : / @ ~, "
            "beginning with a letter, digit or _ and without '..'"
        )
