"""The decisions of persons about one target, kept with it: for everybody who asks later who skipped a step, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.step_names import default_name
from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.rollout.events import FailureTreated, Operator, UnknownSettled

RulingWord = Literal["skipped", "settled as ok", "settled as failed", "excluded", "rolled back"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """One decision about a step that had not ended well; `step` is its name."""

    step: str
    word: RulingWord
    by: Operator
    note: str = ""

    @property
    def waives(self) -> bool:
        """The step counts as done by a person's word alone."""
        return self.word in ("skipped", "settled as ok")

    def __str__(self) -> str:
        of_step = f"{self.step} " if self.waives or self.word == "settled as failed" else ""
        return f"{of_step}{self.word} by {self.by}{f': {self.note}' if self.note else ''}"


_WORDS: dict[str, RulingWord] = {
    "skip": "skipped",
    "exclude": "excluded",
    "rollback": "rolled back",
    "ok": "settled as ok",
    "failed": "settled as failed",
}


def rulings_of(step: Step | None, event: FailureTreated | UnknownSettled) -> tuple[Ruling, ...]:
    """The ruling of a person's decision about a step (None: before the first); to run it again is none."""
    word = _WORDS.get(event.treatment if isinstance(event, FailureTreated) else event.settlement)
    name = (step.name or default_name(step)) if step else ""
    return (Ruling(name, word, event.by, event.note),) if word else ()


def waived(rulings: Sequence[Ruling]) -> str:
    """The steps that count as done by a person's word alone, in short: `switch skipped`; "" where none does."""
    waiving = [ruling for ruling in rulings if ruling.waives]
    if len(waiving) == 1:
        return f"{waiving[0].step} {waiving[0].word}"
    words = {ruling.word for ruling in waiving}
    return f"{count(len(waiving), 'step')} {'skipped' if words == {'skipped'} else 'waived'}" if waiving else ""
