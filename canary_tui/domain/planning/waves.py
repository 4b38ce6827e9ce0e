"""Divides targets into waves: the arithmetic of selections, shares and leftovers, for the loader and the plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from canary_tui.domain.fleet.names import count, some_names
from canary_tui.domain.fleet.selection import Selection, SelectionError, TargetFacts, parse_selection
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, Wave

DEFAULT_WAVES = (Wave("canary", gate=Gate()), Wave("rest"))
"""What a fleet file without waves means."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The waves of one environment. `places` are their indexes in the file (-1: not from the file), `notes` says
    in words what of the file does not hold here.
    """

    waves: tuple[Wave, ...]
    places: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def canary(self) -> Wave | None:
        """The canary wave: the first one, where a gate stands between it and the next."""
        return self.waves[0] if len(self.waves) > 1 and self.waves[0].gate else None

    @property
    def to_pick(self) -> bool:
        """Whether nothing but the operator says who the canaries are."""
        return self.canary is not None and self.canary.targets is None and self.canary.share is None


def lineup(fleet: Fleet, environment: str) -> Lineup:
    """The waves that apply in an environment, with the gate that a protected one always has."""
    protected = fleet.environments.get(environment, Environment()).protected
    if not fleet.waves:
        return Lineup(DEFAULT_WAVES, (-1, -1))
    applied = [(i, wave) for i, wave in enumerate(fleet.waves) if applies(wave, environment)]
    places, waves = tuple(i for i, _ in applied), tuple(wave for _, wave in applied)
    notes = tuple(
        f"wave {wave.name!r}{' and its gate do' if wave.gate else ' does'} not exist in {environment}"
        for i, wave in enumerate(fleet.waves)
        if i not in places
    )
    if protected and not any(wave.gate and wave.gate.approve for wave in waves[:-1]):
        return _guarded(Lineup(waves, places, notes), environment)
    if not waves:
        everything = f"no wave applies in {environment}: all targets go at once, without canaries and without a gate"
        return Lineup((Wave("all"),), (-1,), (*notes, everything))
    if waves[-1].gate:
        notes = (*notes, f"wave {waves[-1].name!r} is the last in {environment}, so its gate is not asked")
    if notes and not any(wave.gate for wave in waves[:-1]):
        notes = (*notes, f"in {environment} there is no gate, so the rollout will not stop for approval")
    return Lineup((*waves[:-1], _ungated(waves[-1])), places, notes)


def applies(wave: Wave, environment: str) -> bool:
    """Whether a wave exists in an environment."""
    return not wave.environments or environment in wave.environments


def _guarded(here: Lineup, environment: str) -> Lineup:
    """The same waves, with a gate that a person approves after the first."""
    why = f"{environment} is protected: a person must approve after"
    if len(here.waves) > 1:
        first, *others, last = here.waves
        gated = Wave(first.name, first.targets, first.share, first.parallel, first.environments, Gate())
        note = f"{why} wave {first.name!r}, which has no such gate in the file"
        return Lineup((gated, *others, _ungated(last)), here.places, (*here.notes, note))
    rest = _ungated(here.waves[0]) if here.waves else Wave("rest")
    name = "canary" if rest.name != "canary" else "canaries"
    note = f"{why} a canary wave, which the file does not have here"
    places = (-1, here.places[0] if here.places else -1)
    return Lineup((Wave(name, gate=Gate()), rest), places, (*here.notes, note))


def _ungated(last: Wave) -> Wave:
    if last.gate is None:
        return last
    return Wave(last.name, last.targets, last.share, last.parallel, last.environments)


@dataclass(frozen=True, slots=True)
class WaveFault:
    """One thing that is wrong with a wave of a lineup. `empty`: only that nobody is left for it."""

    wave: int
    key: Literal["targets", "share", ""]
    message: str
    hint: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Division:
    """The targets of each wave, in order, and what is wrong. Where the canaries are still to be picked, only
    what holds for any pick is said.
    """

    groups: tuple[tuple[str, ...], ...]
    faults: tuple[WaveFault, ...]


def divide(waves: Sequence[Wave], targets: Sequence[TargetFacts], canaries: Collection[str] | None = None) -> Division:
    """Give every target to the first wave that wants it. `canaries` replaces what the first wave says."""
    return _Dividing(waves, targets, canaries).divide()


class _Dividing:
    def __init__(self, waves: Sequence[Wave], targets: Sequence[TargetFacts], canaries: Collection[str] | None) -> None:
        self.waves = waves
        self.targets = targets
        self.canaries = None if canaries is None else frozenset(canaries)
        self.left = dict.fromkeys(target.name for target in targets)
        self.faults: list[WaveFault] = []
        first = waves[0]
        self.open = canaries is None and first.gate is not None and first.targets is None and first.share is None
        self.open = self.open and len(waves) > 1

    def divide(self) -> Division:
        groups = []
        for index, wave in enumerate(self.waves):
            group = self._group(index, wave)
            for name in group:
                del self.left[name]
            groups.append(group)
        if self.left and not self.open and all(fault.empty for fault in self.faults):
            self._leftover()
        return Division(tuple(groups), tuple(self.faults))

    def _group(self, index: int, wave: Wave) -> tuple[str, ...]:
        if index == 0 and self.canaries is not None:
            return tuple(name for name in self.left if name in self.canaries)
        if wave.targets is not None:
            return self._selected(index, wave.targets)
        if wave.share is not None:
            return self._share(index, wave)
        if index == len(self.waves) - 1:
            if not self.left:
                self._nobody(index)
            return tuple(self.left)
        if not (index == 0 and self.open):
            message = f"wave {wave.name!r} takes all that is left, so the waves after it have nobody"
            self.faults.append(WaveFault(index, "", message, "give it targets or a share, or make it the last"))
        return ()

    def _selected(self, index: int, text: str) -> tuple[str, ...]:
        selection = selection_of(text)
        if selection is None:
            return ()
        matched = selection.select(self.targets)
        group = tuple(name for name in matched if name in self.left)
        if not matched:
            message = f"the selection {text!r} matches no target of this rollout"
            self.faults.append(WaveFault(index, "targets", message, empty=True))
        elif not group:
            message = f"all that {text!r} selects go in an earlier wave: {some_names(matched)}"
            self.faults.append(WaveFault(index, "targets", message, empty=True))
        return group

    def _share(self, index: int, wave: Wave) -> tuple[str, ...]:
        assert wave.share is not None
        size = wave.share.of(len(self.targets))
        if size == 0:
            message = f"{wave.share} of {count(len(self.targets), 'target')} is less than one target"
            self.faults.append(WaveFault(index, "share", message, "raise it, or say a whole number"))
        elif not self.left:
            self._nobody(index)
        return tuple(self.left)[:size]

    def _nobody(self, index: int) -> None:
        message = f"nobody is left for wave {self.waves[index].name!r}"
        hint = "the waves before it take all targets"
        self.faults.append(WaveFault(index, "", message, hint, empty=True))

    def _leftover(self) -> None:
        message = f"{count(len(self.left), 'target')} left over after the last wave: {some_names(self.left)}"
        hint = "add a last wave without targets and share: it takes the rest"
        self.faults.append(WaveFault(len(self.waves) - 1, "", message, hint))


def selection_of(text: str) -> Selection | None:
    """A file's selection, or None where it is refused elsewhere: its own fault says so, once."""
    try:
        return parse_selection(text)
    except SelectionError:
        return None
