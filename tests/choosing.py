"""An operator's choices as keywords: those of `Choices` without the release and the directory."""

from __future__ import annotations

from typing import TypedDict


class Chosen(TypedDict, total=False):
    """What is said; the rest is as `Choices` has it."""

    environment: str | None
    canaries: tuple[str, ...] | None
    canary_selection: str | None
    only: str | None
    exclude: tuple[str, ...]
    variables: dict[str, str]
    redeploy: bool
    attended: bool
    picked: bool
