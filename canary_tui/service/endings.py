"""The table of endings: the exit code, the word and the sentence that every face gives for the same end.

The screens ask it, too, so nothing here may import SSH.
"""

from __future__ import annotations

from dataclasses import dataclass

from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Pause, ended_word
from canary_tui.errors import ExitCode
from canary_tui.store.layout import resume_command

_PAUSES: dict[Pause, tuple[ExitCode, str]] = {
    "waiting": (ExitCode.WAITING, "it waits at the gate after {wave}, and nobody could be asked"),
    "unknown": (ExitCode.UNKNOWN, "how a step ended is unknown, and nobody could be asked"),
    "detached": (ExitCode.INTERRUPTED, "the controlling terminal went away, so nothing new was started"),
    "interrupted": (ExitCode.INTERRUPTED, "it was stopped by the operator"),
    "terminated": (ExitCode.INTERRUPTED, "the engine was told to end, and what runs on the targets goes on there"),
}


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a rollout, or of the engine that had it; `ended` is false while the rollout can be resumed."""

    word: str
    exit_code: ExitCode
    sentence: str
    ended: bool


def closing_of(state: RolloutState) -> Closing:
    """The end that a state has come to. Without a verdict or a pause the engine was cut off, or is still at work."""
    if state.verdict is not None:
        assert state.exit_code is not None
        return Closing(ended_word(state.verdict, state.exit_code), ExitCode(state.exit_code), state.reason, ended=True)
    if state.paused is not None:
        code, sentence = _PAUSES[state.paused]
        wave = state.plan.waves[state.wave].name if state.plan and state.wave >= 0 else "the start"
        return Closing("paused", code, sentence.format(wave=wave), ended=False)
    return Closing("not ended", ExitCode.INTERRUPTED, "its engine has written no end", ended=False)


def closing_line(state: RolloutState) -> str:
    """The word and the sentence, with the command that resumes what has not ended."""
    end = closing_of(state)
    line = f"{end.word}: {end.sentence}"
    return line if end.ended else f"{line}; resume it with: {resume_command(state.rollout)}"
