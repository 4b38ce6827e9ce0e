"""Every acceptance criterion has its test against four and against forty real servers."""

from __future__ import annotations

import pytest
from criteria import CRITERIA, ON_SCREEN, SIZES, Held, held


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
