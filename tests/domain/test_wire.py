"""Journals and messages name things by tags of their own, and a stored plan means the same whatever a default becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from golden_journals import golden_journals

from canary_tui.domain import codec
from canary_tui.domain.codec import decode, encode, tag_of
from canary_tui.domain.fleet.units import Duration, Share, Size
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.apply import replay
from canary_tui.domain.rollout.events import FORMAT, Event, Record, RolloutStarted
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.engine.messages import Command, Notice
from canary_tui.store.journal import read_journal

WIRE = Path(__file__).parent / "wire.txt"


def classes_in(kind: Any) -> Iterator[type]:
    """Every dataclass that a value of this type may hold."""
    waiting, seen = [kind], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and is_dataclass(one):
            if one in seen:
                continue
            seen.add(one)
            yield one
            waiting += get_type_hints(one).values()
        waiting += [part for part in get_args(one) if not isinstance(part, str)]


def test_the_wire_of_this_format_is_as_it_was_written_down() -> None:
    """A tag or field that changes without a new format number would make old journals mean something else."""
    lines = [f"format {FORMAT}"]
    for kind in sorted({*classes_in(Event), Record}, key=tag_of):
        lines.append(f"{tag_of(kind)}: {', '.join(written for _, written in codec._fields(kind))}")
    assert WIRE.read_text().splitlines() == lines


def test_no_two_classes_share_a_tag() -> None:
    kinds = {*classes_in(Event), *classes_in(Command), *classes_in(Notice), Record}
    assert len({tag_of(kind) for kind in kinds}) == len(kinds)


def planned(journal: Path) -> Plan:
    """The plan that a journal begins with."""
    started = read_journal(journal)[0].event
    assert isinstance(started, RolloutStarted)
    return started.plan


PLANS = [planned(golden.path) for golden in golden_journals() if golden.path.stem == "succeeded"]
DEFAULTS = [
    pytest.param(kind, one.name, id=f"{tag_of(kind)}.{one.name}")
    for kind in sorted(classes_in(Plan), key=tag_of)
    for one in fields(kind)
    if one.default is not MISSING or one.default_factory is not MISSING
]
OTHERS: dict[type, object] = {
    bool: True, int: 7, float: 7.0, str: "other", tuple: ("other",), dict: {"other": "other"},
    Duration: Duration(7), Size: Size(7), Share: Share("7%"),
}  # fmt: skip


def another(value: object) -> object:
    """A default that is not this one."""
    if isinstance(value, bool):
        return not value
    return OTHERS.get(type(value), "other")


def test_the_defaults_of_a_plan_are_all_tried() -> None:
    assert PLANS
    assert len(DEFAULTS) > 50


@pytest.mark.parametrize(("kind", "name"), DEFAULTS)
def test_a_stored_plan_stays_what_it_is_when_a_default_changes(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hash, fields and what the policy does next: an approval covers what runs, whatever a later version takes for granted."""
    goldens = golden_journals()
    before = [(golden, replay(read_journal(golden.path))) for golden in goldens]
    stored = [json.dumps(encode(state.plan)) for _, state in before]
    change_default(monkeypatch, kind, name)
    for (golden, state), text in zip(before, stored, strict=True):
        plan = decode(Plan, json.loads(text))
        assert plan == state.plan
        assert plan.hash == golden.says["plan_hash"]
        again = replay(read_journal(golden.path))
        assert again == state
        assert next_actions(plan, again) == next_actions(plan, state)


@pytest.mark.parametrize(("kind", "name"), DEFAULTS)
def test_a_new_plan_does_take_the_new_default(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above changes something indeed."""
    needed = {one.name: None for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    before = getattr(kind(**needed), name)
    change_default(monkeypatch, kind, name)
    assert getattr(kind(**needed), name) != before


def change_default(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
    """Have a field stand at another value where nobody says one."""
    init = vars(kind)["__init__"]
    code = init.__code__
    names = code.co_varnames[: code.co_argcount]
    if name in (init.__kwdefaults__ or {}):
        value = (init.__kwdefaults__ or {})[name]
        monkeypatch.setattr(init, "__kwdefaults__", {**init.__kwdefaults__, name: changed(kind, name, value)})
        return
    defaults = dict(zip(reversed(names), reversed(init.__defaults__ or ()), strict=False))
    defaults[name] = changed(kind, name, defaults[name])
    ordered = tuple(defaults[one] for one in names if one in defaults)
    monkeypatch.setattr(init, "__defaults__", ordered)


def changed(kind: type, name: str, value: object) -> object:
    one = next(one for one in fields(kind) if one.name == name)
    return another(one.default_factory() if one.default_factory is not MISSING else value)


def test_a_plan_is_written_in_full() -> None:
    """Every field stands in the journal, also one that nobody said."""
    for plan in PLANS:
        for table in tables(encode(plan)):
            kind = next(one for one in classes_in(RolloutStarted) if tag_of(one) == table["type"])
            assert set(table) == {"type", *(written for _, written in codec._fields(kind))}


def tables(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if "type" in data:
            yield data
        for item in data.values():
            yield from tables(item)
    if isinstance(data, list):
        for item in data:
            yield from tables(item)
