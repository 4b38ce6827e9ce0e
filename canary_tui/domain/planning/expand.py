"""Plan-time expansion: a fleet file's steps become the plan's three lists, and for each target what applies to it.

Whatever a file may say in short is written out here once, into ordinary planned steps with traits of their own. So
nothing that runs a plan, tells it or hashes it knows a shorter form than the one that is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from canary_tui.domain.fleet.step_names import named
from canary_tui.domain.fleet.steps import Step
from canary_tui.domain.fleet.tables import Fleet

Applied = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Indexes into `steps`, `rollback` and `finally_`: what applies to a target, in order."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """The steps of a plan, each with a name that no other in its list has."""

    steps: tuple[Step, ...]
    rollback: tuple[Step, ...]
    finally_: tuple[Step, ...]
    _applied: dict[tuple[str, ...], Applied] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Step, ...]:
        """The steps of all three lists."""
        return (*self.steps, *self.rollback, *self.finally_)

    def for_roles(self, roles: tuple[str, ...]) -> Applied:
        """The steps for a target of these roles; worked out once for each combination of roles."""
        if roles not in self._applied:
            self._applied[roles] = (
                _applying(self.steps, roles),
                _applying(self.rollback, roles),
                _applying(self.finally_, roles),
            )
        return self._applied[roles]


def expand(fleet: Fleet) -> Expanded:
    """Write a fleet file's steps out in full."""
    return Expanded(named(fleet.steps), named(fleet.rollback), named(fleet.finally_))


def applies_to(step: Step, roles: tuple[str, ...]) -> bool:
    """Whether a step is for a target of these roles: one without roles is for all."""
    return not step.roles or not set(step.roles).isdisjoint(roles)


def _applying(steps: tuple[Step, ...], roles: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(index for index, step in enumerate(steps) if applies_to(step, roles))
