"""Builds the frozen plan from a fleet and the operator's choices, or lists the reasons why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from canary_tui.domain.fleet.names import count
from canary_tui.domain.fleet.selection import parse_selection
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, Wave
from canary_tui.domain.fleet.variables import UnknownVariable, check_name, check_value, fill
from canary_tui.domain.planning.choices import Choices, PlanError, check_release, choose_environment
from canary_tui.domain.planning.expand import expand
from canary_tui.domain.planning.members import NOT_IN_ONLY, Members
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave, canaries_of
from canary_tui.domain.planning.settings import Settings
from canary_tui.domain.planning.warnings import warnings
from canary_tui.domain.planning.waves import DEFAULT_WAVES, Lineup, divide, lineup

__all__ = ["Choices", "Picking", "PlanError", "build_plan", "check_release", "choose_environment", "picking"]


@dataclass(frozen=True, slots=True)
class Picking:
    """The candidates for canaries, before there is a plan.

    `candidates` are the targets that take part, `preselected` those that the file names as canaries and `origin`
    says from where. `pickable` is false where no canary wave applies, and `notes` says why.
    """

    environment: str
    candidates: tuple[str, ...]
    preselected: tuple[str, ...]
    origin: str
    pickable: bool
    notes: tuple[str, ...]


def build_plan(fleet: Fleet, choices: Choices, scripts: Mapping[str, str]) -> Plan:
    """Resolve everything: who takes part, who goes when, with which settings and variables.

    Raises:
        PlanError: with every reason that was found.

    """
    return _Build(fleet, choices).plan(scripts)


def picking(fleet: Fleet, choices: Choices) -> Picking:
    """The targets that could be canaries, and those that the file names; PlanError as `build_plan`."""
    build = _Build(fleet, replace(choices, canaries=None, canary_selection=None))
    build.who.settle(choices)
    build.fail_if_refused()
    first = build.lineup.canary if choices.only is None else None
    preselected, origin = build.preselected() if first else ((), "")
    return Picking(
        build.environment, tuple(build.who.going), preselected, origin, first is not None, build.lineup.notes
    )


class _Build:
    """One plan in the making. `reasons` grows; what needs a sound ground stops at `fail_if_refused`."""

    def __init__(self, fleet: Fleet, choices: Choices) -> None:
        self.fleet = fleet
        self.choices = choices
        self.warnings: list[str] = []
        self.environment = choose_environment(fleet, choices.environment)
        self.who = Members(fleet, self.environment)
        self.reasons = self.who.reasons
        self.place = fleet.environments.get(self.environment, Environment())
        self.lineup: Lineup = lineup(fleet, self.environment)
        self.expanded = expand(fleet)

    def plan(self, scripts: Mapping[str, str]) -> Plan:
        self.who.settle(self.choices)
        self.check_words()
        self.fail_if_refused()
        waves = self.waves()
        self.fail_if_refused()
        choices = self.choices
        settings = Settings(
            self.fleet, self.environment, choices.variables, choices.release, canaries_of(waves), self.expanded
        )
        targets = self.planned_targets(waves, settings)
        waves = tuple(self.instructed(wave, settings) for wave in waves)
        self.fail_if_refused()
        return Plan(
            fleet=self.fleet.name,
            release=self.choices.release,
            environment=self.environment,
            targets=targets,
            waves=waves,
            steps=self.expanded.steps,
            rollback=self.expanded.rollback,
            finally_=self.expanded.finally_,
            scripts=dict(scripts),
            excluded=self.who.left_alone(),
            limits=self.fleet.limits,
            current=self.fleet.release.current,
            redeploy=self.choices.redeploy,
            directory=self.choices.directory,
            warnings=(*self.warnings, *warnings(waves, targets, self.expanded.steps)),
        )

    def fail_if_refused(self) -> None:
        if self.reasons:
            raise PlanError(self.reasons)

    def check_words(self) -> None:
        """Refuse a release or variable that cannot be what it says."""
        self.try_word(check_release, self.choices.release)
        for name, value in self.choices.variables.items():
            self.try_word(check_name, name, "--var: ")
            self.try_word(check_value, value, f"--var {name}: ")

    def try_word(self, check: Callable[[str], None], text: str, where: str = "") -> None:
        try:
            check(text)
        except ValueError as error:
            self.reasons.append(f"{where}{error}")

    # Who goes when

    def waves(self) -> tuple[PlannedWave, ...]:
        if self.choices.only is not None:
            return self.only_wave()
        self.warnings += self.lineup.notes
        canaries, origin = self.canaries()
        self.fail_if_refused()
        division = divide(self.lineup.waves, list(self.who.going.values()), canaries)
        changed = canaries is not None or bool(self.choices.exclude)
        for fault in division.faults:
            if fault.empty and changed and fault.wave > 0:
                name = self.lineup.waves[fault.wave].name
                self.warnings.append(f"wave {name!r} is left out: {fault.message}")
            else:
                self.reasons.append(
                    f"wave {self.lineup.waves[fault.wave].name!r}: " + _joined(fault.message, fault.hint)
                )
        self.check_canaries(division.groups[0])
        return self.planned_waves(division.groups, origin)

    def only_wave(self) -> tuple[PlannedWave, ...]:
        if self.choices.canaries is not None or self.choices.canary_selection is not None:
            self.reasons.append("--only and canaries exclude each other: --only is the subset itself")
        if self.place.protected and NOT_IN_ONLY not in self.who.excluded.values():
            why = f"{self.environment} is protected, and with all its targets named by --only there would be no gate"
            self.reasons.append(f"{why}; name fewer, or leave --only out")
        return (
            PlannedWave("only", tuple(self.who.going), DEFAULT_WAVES[1].parallel, None, f"--only {self.choices.only}"),
        )

    def preselected(self) -> tuple[tuple[str, ...], str]:
        """The canaries as the file has them, and from where."""
        wave = self.lineup.waves[0]
        if self.lineup.to_pick:
            return (), ""
        group = divide(self.lineup.waves, list(self.who.going.values())).groups[0]
        return group, _origin(wave, len(self.who.going))

    def canaries(self) -> tuple[tuple[str, ...] | None, str]:
        """The canaries that the operator wants (None: those that the file names), and the words for it."""
        wanted, words = self.wanted()
        if wanted is None:
            if self.lineup.to_pick:
                self.reasons.append(self.nobody_picked())
            return None, ""
        if self.lineup.canary is None:
            why = "; ".join(self.lineup.notes) or "its first wave has no gate"
            self.reasons.append(f"there are no canaries to choose{self.who.here}: {why}")
            return None, ""
        self.reasons += [
            f"canary {name!r} cannot be one: {self.who.why_not(name)}" for name in wanted if name not in self.who.going
        ]
        before, origin = self.preselected()
        added, removed = len(set(wanted) - set(before)), len(set(before) - set(wanted))
        if before and (added or removed):
            return wanted, f"{origin}, changed by operator (+{added} -{removed})"
        return wanted, origin if before else words

    def wanted(self) -> tuple[tuple[str, ...] | None, str]:
        selection, names = self.choices.canary_selection, self.choices.canaries
        if names is not None:
            return names, "picked by operator" if self.choices.picked else "named by operator"
        if selection is not None:
            return self.who.named_by("--canary", selection), f"from --canary {selection}"
        return None, ""

    @property
    def alone(self) -> str:
        return (
            f"with a single target{self.who.here} there is no rest to follow the canary; "
            f"use --only {next(iter(self.who.going))}"
        )

    def nobody_picked(self) -> str:
        if len(self.who.going) == 1:
            return self.alone
        name = self.lineup.waves[0].name
        if self.choices.attended:
            return f"wave {name!r}: no canaries picked; pick 1 to {len(self.who.going) - 1}, or say --canary SELECTION"
        return f"wave {name!r}: its canaries are picked by a person, and nobody is there: say --canary SELECTION"

    def check_canaries(self, group: Sequence[str]) -> None:
        """Hold the rule of the canary wave: at least one, and at least one that remains."""
        if self.lineup.canary is None or self.reasons:
            return
        total, size = len(self.who.going), len(group)
        if total == 1:
            self.reasons.append(self.alone)
        elif size == 0:
            self.reasons.append(f"no canaries: a canary wave has 1 to {total - 1} of the {total} targets")
        elif size == total:
            why = f"a canary wave has 1 to {total - 1}, at least one target must remain"
            self.reasons.append(f"all {total} targets are canaries: {why}")

    def planned_waves(self, groups: Sequence[tuple[str, ...]], origin: str) -> tuple[PlannedWave, ...]:
        total = len(self.who.going)
        planned: list[PlannedWave] = []
        for wave, group in zip(self.lineup.waves, groups, strict=True):
            if group:
                planned.append(PlannedWave(wave.name, group, wave.parallel, wave.gate, _origin(wave, total)))
            elif planned and planned[-1].gate is None:  # a wave that is left out leaves its gate where it stood
                planned[-1] = replace(planned[-1], gate=wave.gate)
        if planned and origin:
            planned[0] = replace(planned[0], origin=origin)
        if planned and planned[-1].gate:
            planned[-1] = replace(planned[-1], gate=None)
        gated = any(wave.gate and wave.gate.approve for wave in planned)
        if self.place.protected and not gated and not self.reasons:
            self.reasons.append(f"{self.environment} is protected, and with these choices no gate is left")
        return tuple(planned)

    # What each target gets

    def planned_targets(self, waves: Sequence[PlannedWave], settings: Settings) -> dict[str, PlannedTarget]:
        wave_of = {name: wave.name for wave in waves for name in wave.targets}
        planned = {
            one.name: settings.target(one, wave_of[one.name]) for one in self.who.targets if one.name in self.who.going
        }
        if settings.uses:
            self.reasons += [reason for target in planned.values() for reason in settings.refusals(target)]
        if not settings.has_canaries:
            size = len(waves[0].targets)
            self.warnings.append(f"$CANARIES is not set in steps: {count(size, 'name')} are too many for a variable")
        return planned

    def instructed(self, wave: PlannedWave, settings: Settings) -> PlannedWave:
        """The wave with its gate's instructions filled in."""
        if wave.gate is None or not wave.gate.instructions:
            return wave
        try:
            text = fill(wave.gate.instructions, {**settings.of_gates, "WAVE": wave.name})
        except UnknownVariable as error:
            self.reasons.append(
                f"wave {wave.name!r}: its instructions use ${error.name}, which is not set{self.who.here}"
            )
            return wave
        gate: Gate = replace(wave.gate, instructions=text)
        return replace(wave, gate=gate)


def _origin(wave: Wave, total: int) -> str:
    if wave.targets is not None:
        words = parse_selection(wave.targets).words
        if len(words) == 1 and words[0].kind == "role" and not words[0].negated:
            return f"from role {words[0].value!r}"
        return f"from selection {wave.targets!r}"
    if wave.share is not None:
        return f"{wave.share} of {count(total, 'target')}"
    return "all that is left"


def _joined(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message
