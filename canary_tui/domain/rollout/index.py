"""An index of the targets by group, kept up with every change: no decision walks a fleet of ten thousand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from canary_tui.domain.planning.plan import PlannedWave

Group = Literal[
    "unprobed", "probing", "orphaned", "running", "in window", "unfinished", "failing", "failing before a gate",
    "unknown", "rolling back", "rollback begun", "in finally", "finally begun", "unread", "failed unread", "locked",
]  # fmt: skip


@dataclass(slots=True)
class Index:
    """The members of each group in the order of the waves, and the targets in the order in which they ended.

    A member is kept as its place in that order: a sorted list of a few machine words is moved faster than it is sought.
    """

    _names: tuple[str, ...] = ()
    _places: dict[str, int] = field(default_factory=dict)
    _wave_ends: tuple[int, ...] = ()
    _groups: dict[str, tuple[Group, ...]] = field(default_factory=dict)
    _members: dict[Group, list[int]] = field(default_factory=dict)
    _ended: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, waves: Iterable[PlannedWave]) -> Index:
        """An index of these waves' targets, with nobody in any group yet."""
        waves = tuple(waves)
        names = tuple(name for wave in waves for name in wave.targets)
        ends = tuple(accumulate(len(wave.targets) for wave in waves))
        return cls(names, {name: place for place, name in enumerate(names)}, ends)

    def move(self, name: str, groups: tuple[Group, ...]) -> None:
        """Put a target into exactly these groups."""
        before, place = self._groups.get(name, ()), self._places[name]
        if before == groups:
            return
        self._groups[name] = groups
        for group in before:
            if group not in groups:
                members = self._members[group]
                del members[bisect_left(members, place)]
        for group in groups:
            if group not in before:
                members = self._members.setdefault(group, [])
                members.insert(bisect_left(members, place), place)

    def count(self, group: Group) -> int:
        """The number of targets in a group."""
        return len(self._members.get(group, ()))

    def among(self, group: Group, first_wave: int = 0, last_wave: int | None = None) -> Iterator[str]:
        """Their names in the order of the waves; of these waves only. Not while the group changes."""
        members = self._members.get(group, [])
        start = bisect_left(members, self._wave_ends[first_wave - 1]) if first_wave > 0 else 0
        beyond = self._wave_ends[last_wave] if last_wave is not None and last_wave >= 0 else len(self._names)
        for index in range(start, len(members)):
            if members[index] >= beyond:
                return
            yield self._names[members[index]]

    def any(self, group: Group, first_wave: int = 0, last_wave: int | None = None) -> bool:
        """Whether there is one, in these waves."""
        return next(self.among(group, first_wave, last_wave), None) is not None

    def last(self, group: Group) -> str:
        """The last of them, in the order of the waves."""
        return self._names[self._members[group][-1]]

    def end(self, name: str, *, ended: bool, now: bool) -> None:
        """Note that a target's deployment has ended, `now` or earlier, or that it goes on after all."""
        if now or not ended:
            self._ended.pop(name, None)
        if ended:
            self._ended.setdefault(name)

    def ended_lately(self) -> Iterator[str]:
        """The targets that have ended, the last one first."""
        return reversed(self._ended)
