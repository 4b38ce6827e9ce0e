"""Marks, filters, orders and suggestions, without a screen."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary_tui.tui.picker.picker import Picker, TargetRow, natural


def rows(count: int = 12) -> list[TargetRow]:
    return [
        TargetRow(f"web-{i}", tags={"zone": "abc"[i % 3]}, roles=("canary",) if i in {2, 7} else ())
        for i in range(count)
    ]


def test_marks_survive_filters_and_orders() -> None:
    picker = Picker(rows())
    picker.toggle(3)
    picker.narrow(lambda index: index > 5)
    picker.sort(lambda row: natural(row.name), reverse=True)
    assert picker.marked_names() == ("web-3",)
    assert picker.hidden == {3}


def test_all_shown_marks_only_what_is_shown_and_unmarks_it_again() -> None:
    picker = Picker(rows(), [0])
    picker.narrow(lambda index: index >= 10)
    picker.toggle_all_shown()
    assert picker.marked == {0, 10, 11}
    picker.toggle_all_shown()
    assert picker.marked == {0}


def test_invert_leaves_hidden_marks_alone() -> None:
    picker = Picker(rows(4), [0, 1])
    picker.narrow(lambda index: index in {1, 2})
    picker.invert_shown()
    assert picker.marked == {0, 2}


def test_undo_brings_back_every_change_in_turn() -> None:
    picker = Picker(rows())
    picker.toggle(1)
    picker.mark_span(4, 2)
    assert picker.marked == {1, 2, 3, 4}
    assert picker.undo()
    assert picker.marked == {1}
    assert picker.undo()
    assert picker.marked == set()
    assert not picker.undo()


def test_random_takes_that_many_of_the_shown_and_keeps_hidden_marks() -> None:
    picker = Picker(rows(), [0])
    picker.narrow(lambda index: index >= 6)
    picker.mark_random(3, random.Random(1))
    assert 0 in picker.marked
    assert len(picker.marked) == 4
    assert all(index >= 6 for index in picker.marked - {0})


def test_one_of_each_takes_the_first_shown_of_every_value() -> None:
    picker = Picker(rows())
    picker.narrow(lambda index: index >= 4)
    picker.mark_one_each("zone")
    assert sorted(picker.marked) == [4, 5, 6]


@pytest.mark.parametrize(
    ("given_rows", "marked", "words"),
    [
        pytest.param(rows(), {2, 7}, "from role 'canary'", id="the role canary"),
        pytest.param(
            [TargetRow(f"t{i}", tags={"zone": "ab"[i % 2]}) for i in range(8)], {0, 1}, "one of each zone", id="spread"
        ),
        pytest.param([TargetRow(f"t{i}") for i in range(40)], {0, 1}, "the first 5 %", id="a share"),
        pytest.param([TargetRow("a"), TargetRow("b")], {0}, "the first target", id="at least one"),
    ],
)
def test_a_suggestion_leaves_somebody_for_after_the_gate(
    given_rows: list[TargetRow], marked: set[int], words: str
) -> None:
    picker = Picker(given_rows)
    assert picker.suggest() == words
    assert picker.marked == marked


def test_a_role_that_all_targets_have_suggests_nothing_by_itself() -> None:
    picker = Picker([TargetRow(f"t{i}", roles=("canary",)) for i in range(3)])
    picker.suggest()
    assert len(picker.marked) == 1


def test_names_are_ordered_as_people_count() -> None:
    names = ["web-10", "web-2", "Web-1", "db", "web-2b"]
    assert sorted(names, key=natural) == ["db", "Web-1", "web-2", "web-2b", "web-10"]


@given(
    st.lists(st.sampled_from(["toggle", "all", "invert", "span", "only", "undo", "narrow"]), max_size=30), st.randoms()
)
def test_whatever_is_pressed_marks_are_rows_and_what_is_shown_has_no_doubles(
    presses: list[str], dice: random.Random
) -> None:
    picker = Picker(rows())
    for press in presses:
        act(picker, press, dice)
        assert picker.marked <= set(range(12))
        assert len(set(picker.shown)) == len(picker.shown)


def act(picker: Picker, press: str, dice: random.Random) -> None:
    match press:
        case "toggle" if picker.shown:
            picker.toggle(dice.randrange(len(picker.shown)))
        case "all":
            picker.toggle_all_shown()
        case "invert":
            picker.invert_shown()
        case "span" if picker.shown:
            picker.mark_span(dice.randrange(len(picker.shown)), dice.randrange(len(picker.shown)))
        case "only":
            picker.toggle_only_marked()
        case "undo":
            picker.undo()
        case "narrow":
            least = dice.randrange(12)
            picker.narrow(lambda index: index >= least)
