"""The targets that take part in a rollout: those of its environment, without the excluded ones and their reasons."""

from __future__ import annotations

from collections.abc import Iterable

from canary_tui.domain.fleet.names import suggest
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.selection import (
    SelectionError,
    TargetFacts,
    Vocabulary,
    Word,
    parse_selection,
    unknown_words,
)
from canary_tui.domain.fleet.tables import Fleet
from canary_tui.domain.planning.choices import Choices
from canary_tui.domain.planning.plan import Excluded

NOT_IN_ONLY = "not in --only"


class Members:
    """The targets of one environment. `going` take part, in the order of the file; `excluded` says why others do not;
    `reasons` why what was asked for cannot be done.
    """

    def __init__(self, fleet: Fleet, environment: str) -> None:
        self.fleet = fleet
        self.environment = environment
        self.reasons: list[str] = []
        self.targets = [one for one in fleet.targets if not one.environments or environment in one.environments]
        self.facts = {one.name: TargetFacts.of(one) for one in self.targets}
        self.known = Vocabulary.of(self.facts.values(), fleet.environments)
        self.going: dict[str, TargetFacts] = dict(self.facts)
        self.excluded: dict[str, str] = {}

    def settle(self, choices: Choices) -> None:
        """Leave out what is excluded, what --only does not name, and what no step is for."""
        if not self.targets:
            self.reasons.append(f"no target belongs to {self.environment}")
        for text in choices.exclude:
            self.leave_out(self.named_by("--exclude", text), f"excluded by --exclude {text}")
        if choices.only is not None:
            wanted = set(self.named_by("--only", choices.only))
            self.leave_out([name for name in self.going if name not in wanted], NOT_IN_ONLY)
        roles = {role for step in self.fleet.steps for role in step.roles}
        if all(step.roles for step in self.fleet.steps):
            idle = [name for name, facts in self.going.items() if roles.isdisjoint(facts.roles)]
            self.leave_out(idle, "no step is for its roles")
        if not self.going and self.targets and not self.reasons:
            self.reasons.append("nobody is left: every target is excluded")

    def leave_out(self, names: Iterable[str], reason: str) -> None:
        for name in names:
            if self.going.pop(name, None):
                self.excluded[name] = reason

    def named_by(self, option: str, text: str) -> tuple[str, ...]:
        """The targets of the environment that an option's selection names; notes why there are none."""
        try:
            selection = parse_selection(text)
        except SelectionError as error:
            self.reasons.append(f"{option} {shorten(text)}: {error}")
            return ()
        if selection.needs_state:
            words = "release=, outdated and failed are known only once the targets were asked"
            self.reasons.append(f"{option} {shorten(text)}: {words}; name the targets")
            return ()
        unknown = unknown_words(selection, self.known)
        self.reasons += [f"{option}: {self.unknown(one.word, one.message, one.hint)}" for one in unknown]
        names = selection.select(self.facts.values())
        if not names and not unknown:
            both = len(text.split()) > 1 and "|" not in text
            hint = f"; all words must fit: {' | '.join(text.split())!r} means either" if both else ""
            self.reasons.append(f"{option} {shorten(text)} matches no target{self.here}{hint}")
        return names

    def unknown(self, word: Word, message: str, hint: str) -> str:
        """An unknown word's message; a target of another environment is no spelling mistake."""
        elsewhere = next((one for one in self.fleet.targets if one.name == word.value), None)
        if word.kind == "name" and elsewhere:
            places = ", ".join(elsewhere.environments)
            return f"target {word.value!r} does not belong to {self.environment} (only {places})"
        return f"{message}{self.here}" + (f"; {hint}" if hint else "")

    @property
    def here(self) -> str:
        return f" in {self.environment}" if self.environment else ""

    def left_alone(self) -> tuple[Excluded, ...]:
        """The targets that the plan leaves alone, in the order of the file."""
        why = self.excluded
        return tuple(Excluded(one.name, why[one.name]) for one in self.targets if one.name in why)

    def why_not(self, name: str) -> str:
        """Why a target of that name does not take part."""
        if name in self.excluded:
            return self.excluded[name]
        if any(one.name == name for one in self.fleet.targets):
            return f"it does not belong to {self.environment}"
        hint = suggest(name, self.facts)
        return f"unknown target; {hint}" if hint else "unknown target"
