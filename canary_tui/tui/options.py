"""The options that the command line hands to the screens."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.planning.choices import Choices


@dataclass(frozen=True, slots=True)
class AppOptions:
    """A fleet file to plan a rollout of, or the folder of a rollout to look at, and the look of the screens.

    `resume` takes over the rollout in `rollout`; without it that rollout is shown read only. The picker starts with
    `choices`. The rollouts in `breaks` may lose their targets' locks to this one.
    """

    state: Path
    fleet: Path | None = None
    rollout: Path | None = None
    resume: bool = False
    demo: bool = False
    """The servers end with the app, so a rollout that has not ended by then can never be resumed."""
    choices: Choices = Choices("")
    breaks: tuple[str, ...] = ()
    theme: str = ""
    usual_theme: str = "dark"
    """The theme where none was chosen, here, in the settings or with the key."""
    mouse: bool = False
    colour: bool = True
    engine: tuple[str, ...] = (sys.executable, "-m", "canary_tui", "_serve")
