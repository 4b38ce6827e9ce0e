"""Every acceptance criterion has its test against four and forty real servers, and all that real use found its own."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from criteria import CRITERIA, ON_SCREEN, SIZES, Held, held
from found import FOUND


@pytest.fixture(scope="module")
def everything() -> list[Held]:
    return held()


def sizes(everything: list[Held], code: str, *, by_keys: bool = False) -> set[int]:
    return {one.servers for one in everything if one.code == code and (one.by_keys or not by_keys)}


@pytest.mark.parametrize("code", CRITERIA)
def test_every_criterion_is_held_at_both_sizes(everything: list[Held], code: str) -> None:
    assert sizes(everything, code) >= set(SIZES.values()), CRITERIA[code]


@pytest.mark.parametrize("code", sorted(ON_SCREEN))
def test_what_a_person_has_to_do_with_is_held_by_keys(everything: list[Held], code: str) -> None:
    assert sizes(everything, code, by_keys=True) >= set(SIZES.values()), CRITERIA[code]


@pytest.mark.parametrize("code", FOUND)
def test_everything_that_real_use_found_is_held_by_a_test(code: str) -> None:
    assert code in _held_by_tests(), FOUND[code]


@cache
def _held_by_tests() -> set[str]:
    """The codes of all marks `found` in the tests' sources."""
    here = Path(__file__).parent
    marks = [
        mark for path in here.rglob("test_*.py") for mark in re.findall(r"mark\.found\(([^)]*)\)", path.read_text())
    ]
    return {code for mark in marks for code in re.findall(r'"([^"]+)"', mark)}
