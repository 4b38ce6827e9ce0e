"""Checks across the tables of a fleet file: each fault of what cannot be meant, with the key to change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from canary_tui.domain.fleet.names import MOST_TARGETS, count, expand, suggest
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.rules import HOST, TARGET_NAME
from canary_tui.domain.fleet.selection import (
    RESERVED_TAGS,
    RESERVED_WORDS,
    SelectionError,
    TargetFacts,
    Vocabulary,
    parse_selection,
    unknown_words,
)
from canary_tui.domain.fleet.steps import Step, filled_fields
from canary_tui.domain.fleet.tables import Environment, Fleet, Target, Wave
from canary_tui.domain.fleet.variables import ALWAYS, OF_THE_ROLLOUT, names_in
from canary_tui.domain.planning.waves import divide, lineup
from canary_tui.fleetfile.decode import Fault
from canary_tui.fleetfile.locate import KeyPath

_MOST_WAVES = 100
_MOST_FAULTS = 100
"""Tables that cannot be expanded, before the rest is not looked at."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """One target of a table that may stand for several; `index` is the table's place in the file."""

    index: int
    target: Target


def expand_targets(targets: Sequence[Target]) -> tuple[list[Expanded], list[Fault]]:
    """Every single target, in order, and why some tables are none."""
    found: list[Expanded] = []
    faults: list[Fault] = []
    for index, target in enumerate(targets):
        try:
            found += (Expanded(index, one) for one in _expand(target))
        except _Unexpandable as error:
            faults.append(Fault(("targets", index, error.key), str(error), error.hint))
        if len(found) > MOST_TARGETS:
            faults.append(Fault(("targets", index), f"more than {MOST_TARGETS:,} targets in all", "split the fleet"))
        if len(found) > MOST_TARGETS or len(faults) == _MOST_FAULTS:
            break  # thousands of tables of thousands of targets each would take minutes
    return found, faults


class _Unexpandable(ValueError):
    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.hint = hint


def _expand(target: Target) -> list[Target]:
    names = _expanded("name", target.name)
    hosts: Sequence[str | None] = [None] * len(names)
    if target.host is not None:
        hosts = _hosts(target.host, len(names))
    addresses = [name if host is None else host for name, host in zip(names, hosts, strict=True)]
    for key, texts, rule in (
        ("name", names, TARGET_NAME),
        ("name" if target.host is None else "host", addresses, HOST),
    ):
        for text in texts:
            try:
                rule.check(text)
            except ValueError as error:
                hint = "a name may differ from its host: give both" if key == "name" else ""
                raise _Unexpandable(key, str(error), getattr(error, "hint", "") or hint) from None
    if len(names) == 1 and target.name == names[0] and target.host == hosts[0]:
        return [target]
    return [replace(target, name=name, host=host) for name, host in zip(names, hosts, strict=True)]


def _hosts(host: str, number: int) -> Sequence[str]:
    if host.startswith("[") and host.endswith("]") and ":" in host:
        return (host[1:-1],)  # an IPv6 address, as a URL would write it
    hosts = _expanded("host", host)
    if len(hosts) == number:
        return hosts
    if len(hosts) == 1:
        raise _Unexpandable("host", f"{number} names for the one host {host}", "expand the host in step with the name")
    raise _Unexpandable("host", f"{count(len(hosts), 'host')} for {count(number, 'name')}", "they expand in step")


def _expanded(key: str, text: str) -> tuple[str, ...]:
    try:
        return expand(text)
    except ValueError as error:
        raise _Unexpandable(key, str(error)) from None


def check(fleet: Fleet, expanded: Sequence[Expanded], damaged: Collection[str]) -> Iterator[Fault]:
    """Every fault of a fleet whose targets are expanded.

    What builds on a top-level key that is `damaged` by an earlier fault is not judged: it would only repeat it.
    """
    sound = {"targets", "environments", "waves", "vars"}.difference(damaged)
    facts = {one.target.name: TargetFacts.of(one.target) for one in expanded}
    known = Vocabulary.of(facts.values(), fleet.environments)
    if "targets" in sound:
        yield from _targets(fleet, expanded)
        yield from _roles(fleet, known.roles)
    if "environments" in sound:
        yield from _environments(fleet)
    yield from _duplicates(fleet)
    if {"targets", "environments", "vars"} <= sound:
        yield from _variables(fleet)
    if not fleet.steps and "steps" not in damaged:
        yield Fault(("steps",), "there are no steps", "a fleet needs at least one [[steps]]")
    yield from _gates(fleet)
    if {"targets", "environments"} <= sound:
        if len(fleet.waves) > _MOST_WAVES:
            yield Fault(
                ("waves", _MOST_WAVES), f"more than {_MOST_WAVES} waves", "a wave can go a few at a time: parallel"
            )
            return
        words = list(_selections(fleet, known))
        yield from words
        if not words and "waves" in sound and fleet.targets:
            yield from _division(fleet, list(facts.values()))


def _targets(fleet: Fleet, expanded: Sequence[Expanded]) -> Iterator[Fault]:
    if not fleet.targets:
        yield Fault(("targets",), "there are no targets", "a fleet needs at least one [[targets]]")
    seen: dict[str, int] = {}
    for one in expanded:
        name = one.target.name
        path = ("targets", one.index, "name")
        if name in RESERVED_WORDS:
            yield Fault(path, f"no target can be called {name!r}: it is a word of the selection language")
        if name in seen:
            yield Fault(path, f"duplicate target {name!r}", f"also in targets[{seen[name]}]")
        seen.setdefault(name, one.index)
    yield from _addresses(fleet, expanded)
    for index, target in enumerate(fleet.targets):
        for key in RESERVED_TAGS.intersection(target.tags):
            yield Fault(("targets", index, "tags", key), f"no tag can be called {key!r}: the selection language has it")


def _addresses(fleet: Fleet, expanded: Sequence[Expanded]) -> Iterator[Fault]:
    """Two names for one server would be deployed twice, perhaps at once, perhaps past the gate."""
    groups: dict[str, list[Expanded]] = {}
    for one in expanded:
        groups.setdefault(_usual_form(one.target.address), []).append(one)
    for group in groups.values():
        if len(group) < 2:
            continue
        seen: dict[tuple[object, ...], Expanded] = {}
        for one in group:
            ways = _ways(fleet, one.target)
            other = next((seen[way] for way in ways if way in seen), None)
            if other is not None and other.target.name != one.target.name:
                key = "name" if one.target.host is None else "host"
                message = f"{one.target.name} and {other.target.name} are two names for {one.target.address}"
                yield Fault(("targets", one.index, key), message, "give one target both roles, or another port or jump")
            for way in ways:
                seen.setdefault(way, one)


def _usual_form(address: str) -> str:
    """The same text for each way in which people write one address."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address.lower()


def _ways(fleet: Fleet, target: Target) -> set[tuple[object, ...]]:
    """The ways to a target, one for each of its environments. Behind another jump host an address is another's."""
    places = target.environments or tuple(fleet.environments) or ("",)
    found: set[tuple[object, ...]] = set()
    for place in places:
        ssh = target.ssh.over(fleet.environments.get(place, Environment()).ssh.over(fleet.ssh))
        found.add((ssh.port or 22, ssh.jump, ssh.config))
    return found


def _roles(fleet: Fleet, known: Collection[str]) -> Iterator[Fault]:
    for table, index, step in _steps(fleet):
        for at, role in enumerate(step.roles):
            if role not in known:
                yield Fault((table, index, "roles", at), f"unknown role {role!r}", suggest(role, known))


def _environments(fleet: Fleet) -> Iterator[Fault]:
    known = fleet.environments
    named = [("targets", i, target.environments) for i, target in enumerate(fleet.targets)]
    named += [("waves", i, wave.environments) for i, wave in enumerate(fleet.waves)]
    for table, index, names in named:
        for at, name in enumerate(names):
            if name not in known:
                hint = suggest(name, known) or f"declare it: [environments.{name}]"
                yield Fault((table, index, "environments", at), f"unknown environment {name!r}", hint)
    if fleet.targets and all(target.environments for target in fleet.targets):
        populated = {name for target in fleet.targets for name in target.environments}
        for name in known:
            if name not in populated and populated <= known.keys():
                yield Fault(("environments", name), f"no target belongs to {name!r}")


def _duplicates(fleet: Fleet) -> Iterator[Fault]:
    named: set[tuple[str, str]] = set()
    entries = [("waves", i, wave.name) for i, wave in enumerate(fleet.waves)]
    entries += [(table, i, step.name) for table, i, step in _steps(fleet) if step.name]
    for table, index, name in entries:
        if (table, name) in named:
            yield Fault((table, index, "name"), f"duplicate name {name!r}", f"another of [[{table}]] has it")
        named.add((table, name))


def _variables(fleet: Fleet) -> Iterator[Fault]:
    """A `$NAME` that we fill in must be somebody's; in commands the shell decides."""
    general = {*fleet.vars, *(name for place in fleet.environments.values() for name in place.vars)}
    known = {*ALWAYS, *general, *(name for target in fleet.targets for name in target.vars)}
    for table, index, step in _steps(fleet):
        for one in filled_fields(step):
            yield from _names((table, index, one.key), one.text, known)
    of_gates = {*OF_THE_ROLLOUT, *general}
    for index, wave in enumerate(fleet.waves):
        if wave.gate:
            yield from _names(("waves", index, "gate", "instructions"), wave.gate.instructions, of_gates)


def _names(path: KeyPath, text: str, known: Collection[str]) -> Iterator[Fault]:
    for name in dict.fromkeys(names_in(text)):
        if name not in known:
            hint = suggest(name, known) or "set it in [vars]; --var can change it"
            yield Fault(path, f"nothing sets ${name}", hint)


def _gates(fleet: Fleet) -> Iterator[Fault]:
    for index, wave in enumerate(fleet.waves):
        path = ("waves", index, "gate")
        if wave.targets is not None and wave.share is not None:
            yield Fault(("waves", index, "share"), "a wave has targets or a share, not both")
        if wave.gate is None:
            continue
        if index == len(fleet.waves) - 1:
            yield Fault(path, "nothing comes after the last wave, so its gate would never be asked", "leave it out")
        if not wave.gate.approve:
            hint = "checks are not supported yet, so a person must approve"
            yield Fault((*path, "approve"), "a gate without a person needs at least one check", hint)
        if wave.gate.confirm == "key" and (places := _protected(fleet, wave)):
            message = f"one key is too little for a protected environment ({', '.join(places)})"
            yield Fault((*path, "confirm"), message, "choose count, release or fleet")


def _protected(fleet: Fleet, wave: Wave) -> list[str]:
    named = wave.environments or tuple(fleet.environments)
    return [name for name in named if name in fleet.environments and fleet.environments[name].protected]


def _selections(fleet: Fleet, known: Vocabulary) -> Iterator[Fault]:
    for index, wave in enumerate(fleet.waves):
        path = ("waves", index, "targets")
        if wave.targets is None:
            continue
        try:
            selection = parse_selection(wave.targets)
        except SelectionError as error:
            yield Fault(path, f"{shorten(wave.targets)}: {error}")
            continue
        if selection.needs_state:
            message = "release=, outdated and failed change while nobody looks; a wave is named by what targets are"
            yield Fault(path, message, "use roles, tags or names")
        for one in unknown_words(selection, known):
            yield Fault(path, one.message, one.hint)


def _division(fleet: Fleet, facts: Sequence[TargetFacts]) -> Iterator[Fault]:
    """Divide the targets in every environment, and say each fault once."""
    said: dict[Fault, list[str]] = {}
    for place in fleet.environments or ("",):
        here = [one for one in facts if not one.environments or place in one.environments]
        if not here:
            continue
        waves = lineup(fleet, place)
        for fault in divide(waves.waves, here).faults:
            index = waves.places[fault.wave]
            if index >= 0:
                path: KeyPath = ("waves", index, fault.key) if fault.key else ("waves", index)
                said.setdefault(Fault(path, fault.message, fault.hint), []).append(place)
    for said_once, places in said.items():
        where = f" (in {', '.join(places)})" if places != [""] else ""
        yield replace(said_once, message=said_once.message + where)


def _steps(fleet: Fleet) -> Iterator[tuple[str, int, Step]]:
    lists: Mapping[str, Sequence[Step]] = {"steps": fleet.steps, "rollback": fleet.rollback, "finally": fleet.finally_}
    return ((table, index, step) for table, steps in lists.items() for index, step in enumerate(steps))
