"""The words for how things go and end in a rollout, one for each; files and screens use the same."""

from __future__ import annotations

from typing import Literal

from canary_tui.errors import ExitCode

Outcome = Literal[
    "ok", "failed", "timed-out", "unreachable", "unknown", "cancelled", "skipped", "excluded", "not-started"
]
Verdict = Literal["succeeded", "failed", "aborted", "rolled-back", "expired"]
Treatment = Literal["retry", "skip", "exclude", "rollback"]
"""A person's decision for one failed target; aborting is a decision about the whole rollout."""
Ending = Literal["completed", "aborted", "expired", "failed"]
"""The reason why the deploying part of a rollout ended."""
Settlement = Literal["retry", "ok", "failed"]
"""A person's word for a step whose outcome no target can tell."""
StopStage = Literal["asking", "starting", "running"]
"""Start nothing new while a person is asked whether to stop; start nothing new, and end when what runs has ended;
stop what runs, too."""
Pause = Literal["waiting", "unknown", "detached", "interrupted", "terminated"]
"""Why an engine ended before its rollout did: nobody to ask at a gate, or about an unknown outcome; a lost front;
Ctrl-C; a signal."""


PAUSE_WORDS: dict[Pause, str] = {
    "waiting": "at a gate",
    "unknown": "no outcome",
    "detached": "no terminal",
    "interrupted": "stopped",
    "terminated": "engine ended",
}
"""The words of every list and header for a pause."""


def pause_word(reason: str) -> str:
    """The word for why an engine stopped, as a journal has it; a reason of another version stands for itself."""
    return next((word for pause, word in PAUSE_WORDS.items() if pause == reason), reason)


OUTCOME_WORDS: dict[Outcome, str] = {
    "ok": "ok",
    "failed": "failed",
    "timed-out": "timed out",
    "unreachable": "unreachable",
    "unknown": "unknown",
    "cancelled": "stopped",
    "skipped": "skipped",
    "excluded": "excluded",
    "not-started": "not started",
}
"""The words of every face for an outcome, and of the logs. Journals keep the outcome itself."""


def ended_word(verdict: Verdict, exit_code: int | None) -> str:
    """The word of every face for a verdict: a success that leaves targets without the release is `partly done`.

    Files keep the verdict itself, with the exit code beside it.
    """
    return "partly done" if (verdict, exit_code) == ("succeeded", ExitCode.PARTLY) else verdict


def why_ended(outcome: Outcome | None, detail: str, exit_code: int | None) -> str:
    """The reason behind an outcome, in words: the detail, else a failure's exit code, else ""."""
    return detail or (f"exit {exit_code}" if outcome == "failed" and exit_code else "")
