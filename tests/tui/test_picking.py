"""Marks, filters, orders and suggestions, without a screen."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary_tui.tui.picker.picker import Picking, Row, natural


def rows(count: int = 12) -> list[Row]:
    return [
        Row(f"web-{i}", tags={"zone": "abc"[i % 3]}, roles=("canary",) if i in {2, 7} else ()) for i in range(count)
    ]


def test_marks_survive_filters_and_orders():
    picking = Picking(rows())
    picking.toggle(3)
    picking.narrow(lambda index: index > 5)
    picking.sort(lambda row: natural(row.name), reverse=True)
    assert picking.marked_names() == ("web-3",)
    assert picking.hidden == {3}


def test_all_shown_marks_only_what_is_shown_and_unmarks_it_again():
    picking = Picking(rows(), [0])
    picking.narrow(lambda index: index >= 10)
    picking.toggle_all_shown()
    assert picking.marked == {0, 10, 11}
    picking.toggle_all_shown()
    assert picking.marked == {0}


def test_invert_leaves_hidden_marks_alone():
    picking = Picking(rows(4), [0, 1])
    picking.narrow(lambda index: index in {1, 2})
    picking.invert_shown()
    assert picking.marked == {0, 2}


def test_undo_brings_back_every_change_in_turn():
    picking = Picking(rows())
    picking.toggle(1)
    picking.mark_span(4, 2)
    assert picking.marked == {1, 2, 3, 4}
    assert picking.undo()
    assert picking.marked == {1}
    assert picking.undo()
    assert picking.marked == set()
    assert not picking.undo()


def test_random_takes_that_many_of_the_shown_and_keeps_hidden_marks():
    picking = Picking(rows(), [0])
    picking.narrow(lambda index: index >= 6)
    picking.mark_random(3, random.Random(1))
    assert 0 in picking.marked
    assert len(picking.marked) == 4
    assert all(index >= 6 for index in picking.marked - {0})


def test_one_of_each_takes_the_first_shown_of_every_value():
    picking = Picking(rows())
    picking.narrow(lambda index: index >= 4)
    picking.mark_one_each("zone")
    assert sorted(picking.marked) == [4, 5, 6]


@pytest.mark.parametrize(
    ("given_rows", "marked", "words"),
    [
        pytest.param(rows(), {2, 7}, "from role 'canary'", id="the role canary"),
        pytest.param(
            [Row(f"t{i}", tags={"zone": "ab"[i % 2]}) for i in range(8)], {0, 1}, "one of each zone", id="spread"
        ),
        pytest.param([Row(f"t{i}") for i in range(40)], {0, 1}, "the first 5 %", id="a share"),
        pytest.param([Row("a"), Row("b")], {0}, "the first target", id="at least one"),
    ],
)
def test_a_suggestion_leaves_somebody_for_after_the_gate(given_rows, marked, words):
    picking = Picking(given_rows)
    assert picking.suggest() == words
    assert picking.marked == marked


def test_a_role_that_all_targets_have_suggests_nothing_by_itself():
    picking = Picking([Row(f"t{i}", roles=("canary",)) for i in range(3)])
    picking.suggest()
    assert len(picking.marked) == 1


def test_names_are_ordered_as_people_count():
    names = ["web-10", "web-2", "Web-1", "db", "web-2b"]
    assert sorted(names, key=natural) == ["db", "Web-1", "web-2", "web-2b", "web-10"]


@given(
    st.lists(st.sampled_from(["toggle", "all", "invert", "span", "only", "undo", "narrow"]), max_size=30), st.randoms()
)
def test_whatever_is_pressed_marks_are_rows_and_what_is_shown_has_no_doubles(presses, dice):
    picking = Picking(rows())
    for press in presses:
        act(picking, press, dice)
        assert picking.marked <= set(range(12))
        assert len(set(picking.shown)) == len(picking.shown)


def act(picking: Picking, press: str, dice: random.Random) -> None:
    match press:
        case "toggle" if picking.shown:
            picking.toggle(dice.randrange(len(picking.shown)))
        case "all":
            picking.toggle_all_shown()
        case "invert":
            picking.invert_shown()
        case "span" if picking.shown:
            picking.mark_span(dice.randrange(len(picking.shown)), dice.randrange(len(picking.shown)))
        case "only":
            picking.toggle_only_marked()
        case "undo":
            picking.undo()
        case "narrow":
            least = dice.randrange(12)
            picking.narrow(lambda index: index >= least)
