"""Comparing logs: who has printed the same so far, and where the others leave."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.store.logs.format import Formatter
from canary_tui.store.logs.grouping import Group, Grouping, own_words

NAMES = tuple(f"web-{number}" for number in range(1, 8))
Texts = dict[str, list[str]]


def log_of(name: str, *texts: str, at: float = 1e9, execution: str = "ab12ab12ab12") -> bytes:
    """Lines of a log as they are written; `ME` is the target's own name."""
    form = Formatter()
    lines = [form.begin("switch", execution, at)]
    lines += [form.text(text.replace("ME", name) + "\n", "out", at + number) for number, text in enumerate(texts)]
    return "".join(lines).encode()


def grouped(texts: Texts, **options: int) -> Grouping:
    grouping = Grouping({name: [name] for name in texts}, **options)
    for number, (name, lines) in enumerate(texts.items()):
        grouping.add(name, log_of(name, *lines, at=1e9 + number * 77, execution=f"{number:012x}"))
    return grouping


def members(groups: list[Group]) -> list[tuple[str, ...]]:
    return [group.targets for group in groups]


words = st.sampled_from(["unpack", "ME is up", "switch", "boom"])
many_texts = st.dictionaries(st.sampled_from(NAMES), st.lists(words, max_size=6), min_size=1)


@settings(max_examples=150, deadline=None)
@given(many_texts, st.data())
def test_groups_are_a_partition_and_every_member_has_printed_the_beginning_of_its_groups_text(
    texts: Texts, data: st.DataObject
) -> None:
    first = data.draw(st.lists(st.sampled_from(sorted(texts)), unique=True))
    groups = grouped(texts).groups(first)
    assert sorted(name for group in groups for name in group.targets) == sorted(texts)
    for group in groups:
        text = texts[group.furthest]
        assert group.lines == len(text) + 1
        assert all(texts[name] == text[: len(texts[name])] for name in group.targets)
        assert group.behind == sum(len(texts[name]) < len(text) for name in group.targets)
    reference, *others = groups
    assert reference.differs is None
    assert not first or set(first) & set(reference.targets)
    for group in others:
        assert group.differs is not None
        line = group.differs - 1  # the mark of the beginning is a line, too
        assert texts[group.furthest][:line] == texts[reference.furthest][:line]
        assert texts[group.furthest][line] != texts[reference.furthest][line]
    home = {name: group.targets for group in groups for name in group.targets}
    assert all(home[one] == home[other] for one in texts for other in texts if texts[one] == texts[other])


@settings(max_examples=100, deadline=None)
@given(many_texts, st.randoms(use_true_random=False))
def test_it_does_not_matter_in_which_portions_and_in_whose_order_the_logs_are_read(
    texts: Texts, random: random.Random
) -> None:
    grouping = Grouping({name: [name] for name in texts})
    portions = [[line + b"\n" for line in log_of(name, *lines).split(b"\n")[:-1]] for name, lines in texts.items()]
    while any(portions):
        name, lines = random.choice([pair for pair in zip(texts, portions, strict=True) if pair[1]])
        size = random.randint(1, len(lines))
        grouping.add(name, b"".join(lines[:size]))
        del lines[:size]
    once = grouped(texts)
    assert {name: place.lines for name, place in grouping.places.items()} == {
        name: place.lines for name, place in once.places.items()
    }
    for one in texts:
        for other in texts:
            same = grouping.places[one].branch is grouping.places[other].branch
            assert (same and len(texts[one]) == len(texts[other])) == (texts[one] == texts[other])


def test_the_canaries_are_the_reference_even_where_most_print_something_else() -> None:
    texts = {name: ["unpack", "new warning"] for name in NAMES} | {"web-1": ["unpack", "ok"], "web-2": ["unpack", "ok"]}
    reference, others = grouped(texts).groups(["web-1", "web-2"])
    assert reference.targets == ("web-1", "web-2")
    assert (others.targets, others.differs) == (NAMES[2:], 2)
    assert members(grouped(texts).groups()) == [NAMES[2:], ("web-1", "web-2")], "without canaries most are right"


def test_who_has_only_not_come_as_far_is_behind_and_who_prints_more_than_an_ended_step_differs() -> None:
    form = Formatter()
    ended = (form.begin("switch", "aa", 1e9) + form.text("done\n", "out", 1e9) + form.end("aa", "ok", 1e9)).encode()
    grouping = Grouping({name: [name] for name in NAMES[:3]})
    grouping.add("web-1", ended)
    grouping.add("web-2", log_of("web-2", "done"))
    grouping.add("web-3", log_of("web-3", "done", "and more"))
    reference, other = grouping.groups(["web-1"])
    assert (reference.targets, reference.behind, reference.furthest) == (("web-1", "web-2"), 1, "web-1")
    assert (other.targets, other.differs) == (("web-3",), 2)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("web-1 is up", "web-2 is up", True, id="own name"),
        pytest.param("shop-web-1.service", "shop-web-2.service", True, id="own name with more around it"),
        pytest.param("peer web-12", "peer web-12", True, id="a longer name is another's"),
        pytest.param("peer web-12", "peer web-22", False, id="two longer names"),
        pytest.param("peer web-3", "peer web-2", False, id="another's name is a difference"),
        pytest.param("listens on 10.0.0.0:80", "listens on 10.0.0.1:80", True, id="own address"),
        pytest.param("http://10.0.0.0:8081/", "http://10.0.0.1:8082/", True, id="a variable of its own"),
        pytest.param("1 of 2", "2 of 2", False, id="numbers are not names"),
    ],
)
def test_only_what_is_the_targets_own_may_differ(one: str, other: str, same: bool) -> None:
    plan = two_targets("web-2", PORT=("8081", "8082"), COLOUR=("green", "green"), ID=("1", "2"))
    grouping = Grouping(own_words(plan))
    grouping.add("web-1", log_of("web-1", one))
    grouping.add("web-2", log_of("web-2", other))
    assert (len(grouping.groups()) == 1) == same


def two_targets(second: str, **variables: tuple[str, str]) -> Plan:
    """web-1 and another, with a value each of every variable."""
    targets = {
        name: PlannedTarget(name, f"10.0.0.{n}", Ssh(), variables={key: values[n] for key, values in variables.items()})
        for n, name in enumerate(("web-1", second))
    }
    step = RunStep(run="true", name="switch")
    return Plan("shop", "1.4.2", "", targets, (PlannedWave("all", tuple(targets), 2),), (step,))


def test_a_target_that_is_called_like_a_step_is_compared_with_the_others() -> None:
    grouping = Grouping(own_words(two_targets("switch")))
    grouping.add("web-1", log_of("web-1", "to switch"))
    grouping.add("switch", log_of("switch", "to switch"))
    assert len(grouping.groups()) == 1


def test_standard_error_is_not_standard_output() -> None:
    grouping = Grouping({name: [name] for name in NAMES[:2]})
    for name, stream in (("web-1", "out"), ("web-2", "err")):
        form = Formatter()
        grouping.add(name, (form.begin("switch", "aa", 1e9) + form.text("careful\n", stream, 1e9)).encode())
    assert len(grouping.groups()) == 2


def test_what_is_kept_is_bounded_and_what_is_not_compared_is_told() -> None:
    texts = {name: [f"{name if number < 3 else 'x'} {n}" for n in range(100)] for number, name in enumerate(NAMES)}
    short = grouped(texts, most=50).groups()
    assert all(group.cut and group.lines == 50 for group in short)
    grouping = grouped({name: [f"{number} {n}" for n in range(100)] for number, name in enumerate(NAMES)}, room=350)
    groups = grouping.groups()
    assert sum(len(place.branch.lines) for place in grouping.places.values()) <= 350 + len(NAMES)
    assert len(groups) == len(NAMES), "that it differs is known of each"
    assert [group.cut for group in groups].count(True) == 4, "three whole logs and a half had room"
    assert sorted(name for group in groups for name in group.targets) == list(NAMES)


def test_equal_logs_are_kept_once() -> None:
    grouping = grouped({name: [f"line {n}" for n in range(1000)] for name in NAMES})
    assert len({id(place.branch) for place in grouping.places.values()}) == 1
    assert len(grouping.places["web-1"].branch.lines) == 1001
