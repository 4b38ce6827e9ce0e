"""Settles each target's steps, connection settings and variables, and tells from which table each comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.rules import RemotePath
from canary_tui.domain.fleet.steps import UploadStep, filled_fields
from canary_tui.domain.fleet.tables import Environment, Fleet, Ssh, Target
from canary_tui.domain.fleet.variables import ALWAYS, AT_RUN_TIME, fill, names_in
from canary_tui.domain.planning.expand import Expanded, applies_to
from canary_tui.domain.planning.plan import Plan, PlannedTarget

LONGEST_CANARIES = 2000
"""Characters of $CANARIES: it stands in the plan once for each target, and 10,000 times 2 kB is enough."""


class Settings:
    """Resolves one rollout's targets. `overrides` are the operator's variables; later tables win over earlier."""

    def __init__(
        self,
        fleet: Fleet,
        environment: str,
        overrides: Mapping[str, str],
        release: str,
        canaries: Sequence[str],
        expanded: Expanded,
    ) -> None:
        place = fleet.environments.get(environment, Environment())
        always = {"FLEET": fleet.name, "ENVIRONMENT": environment, "RELEASE": release, "CANARIES": " ".join(canaries)}
        self.of_gates = {**fleet.vars, **place.vars, **overrides, **always}
        self.has_canaries = len(always["CANARIES"]) <= LONGEST_CANARIES
        if not self.has_canaries:
            del always["CANARIES"]
        self.shared = {**fleet.vars, **place.vars, **overrides, **always}
        self.ssh = place.ssh.over(fleet.ssh)
        self.overrides = overrides
        self.expanded = expanded
        self.uses = [
            (name, step, field.is_path)
            for step in expanded.all
            for field in filled_fields(step)
            for name in names_in(field.text)
        ]
        self.uploads = [step for step in expanded.all if isinstance(step, UploadStep) and "$" in step.to]

    def target(self, target: Target, wave: str) -> PlannedTarget:
        """Everything about one target of a wave."""
        steps, rollback, finally_ = self.expanded.for_roles(target.roles)
        return PlannedTarget(
            name=target.name,
            address=target.address,
            ssh=target.ssh.over(self.ssh),
            roles=target.roles,
            tags=target.tags,
            variables=self._variables(target, wave),
            steps=steps,
            rollback=rollback,
            finally_=finally_,
        )

    def refusals(self, target: PlannedTarget) -> Iterator[str]:
        """Why some `$NAME` that we fill in for a target cannot be filled in, or makes no path where it is."""
        unfit = list(self._unfit(target))
        yield from unfit or self._no_paths(target)

    def _unfit(self, target: PlannedTarget) -> Iterator[str]:
        for name, step, is_path in self.uses:
            if name in AT_RUN_TIME or not applies_to(step, target.roles):
                continue
            value = target.variables.get(name)
            if value is None:
                yield f"step {step.name!r} uses ${name}, which {target.name} does not have"
            elif is_path and (".." in value.split("/") or not value.isprintable()):
                yield f"step {step.name!r}: ${name} of {target.name} is no part of a path: {shorten(value)}"

    def _no_paths(self, target: PlannedTarget) -> Iterator[str]:
        """Parts that are harmless alone may climb together: `.$A` with a dot."""
        for step in self.uploads:
            if not applies_to(step, target.roles):
                continue
            path = fill(step.to, {**target.variables, **dict.fromkeys(AT_RUN_TIME, "x")})
            try:
                RemotePath().check(path)
            except ValueError as error:
                yield f"step {step.name!r} cannot upload to {shorten(path)} on {target.name}: {error}"

    def _variables(self, target: Target, wave: str) -> dict[str, str]:
        own = {"TARGET": target.name, "HOST": target.address, "WAVE": wave}
        if not target.vars:
            return {**self.shared, **own}
        mine = {name: value for name, value in target.vars.items() if name not in self.overrides}
        return {**self.shared, **mine, **own}


@dataclass(frozen=True, slots=True)
class Explained:
    """One effective setting of a target and the table that said it."""

    name: str
    value: str
    source: str


def explain(plan: Plan, fleet: Fleet, target: str, overrides: Mapping[str, str]) -> tuple[Explained, ...]:
    """Every variable of a planned target, by name, then its connection settings; KeyError for another target."""
    planned = plan.targets[target]
    declared = next(one for one in fleet.targets if one.name == target)
    place = fleet.environments.get(plan.environment, Environment())
    table = f"[environments.{plan.environment}]"
    variables = (("--var", overrides), (f"target {target}", declared.vars), (table, place.vars), ("[vars]", fleet.vars))
    connections = ((f"target {target}", declared.ssh), (table, place.ssh), ("[ssh]", fleet.ssh))
    return (
        *(Explained(name, value, _source(name, variables)) for name, value in sorted(planned.variables.items())),
        *_explained_ssh(planned.ssh, connections),
    )


def _source(name: str, tables: tuple[tuple[str, Mapping[str, str]], ...]) -> str:
    if name in ALWAYS:
        return "built in"
    return next(source for source, table in tables if name in table)


def _explained_ssh(ssh: Ssh, tables: tuple[tuple[str, Ssh], ...]) -> Iterator[Explained]:
    for one in fields(ssh):
        value = getattr(ssh, one.name)
        if value is not None:
            source = next(source for source, table in tables if getattr(table, one.name) is not None)
            yield Explained(f"ssh.{one.name.replace('_', '-')}", str(value), source)
