"""Durations, sizes, shares; names in brackets and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.names import MOST_TARGETS, compress_names, count, expand, some_names, suggest
from canary_tui.domain.fleet.units import Duration, Share, Size


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604800), ("0s", 0)]
)
def test_a_duration_is_a_whole_number_with_a_unit(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["30", "30 s", "-1s", "1.5h", "s", "1w", "", 30, None, True, "1s\n", "9" * 10 + "s"])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        Duration.parse(text)


def test_a_size_counts_in_tens_or_in_twos() -> None:
    assert Size.parse("64KiB") == 65536 and Size.parse("1kB") == 1000 and Size.parse("2GiB") == 2**31
    for text in ("64", "64kib", "1.5MB", 64):
        with pytest.raises(ValueError, match="expected a size such as"):
            Size.parse(text)


@pytest.mark.parametrize(
    ("written", "total", "number"),
    [("25%", 8, 2), ("50%", 5, 2), ("5%", 8, 0), ("100%", 7, 7), ("0%", 7, 0), (3, 8, 3), (9, 8, 8), (0, 8, 0)],
)
def test_a_share_is_rounded_down_and_is_never_more_than_there_are(written: object, total: int, number: int) -> None:
    assert Share.parse(written).of(total) == number


@pytest.mark.parametrize("written", ["101%", "-1%", "25", "2.5%", -1, 1.5, True, None, "%", 10**7])
def test_anything_else_is_no_share(written: object) -> None:
    with pytest.raises(ValueError, match="expected a share such as"):
        Share.parse(written)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("web", "web", id="no-brackets"),
        pytest.param("web-[1-3]", "web-1 web-2 web-3", id="range"),
        pytest.param("web-[08-11]", "web-08 web-09 web-10 web-11", id="zero-padded"),
        pytest.param("web-[8-11]", "web-8 web-9 web-10 web-11", id="not-padded"),
        pytest.param("web-[1-2,7]x", "web-1x web-2x web-7x", id="list"),
        pytest.param("r[1-2]-[0-1]", "r1-0 r1-1 r2-0 r2-1", id="product"),
        pytest.param("[0]", "0", id="single"),
    ],
)
def test_brackets_expand_in_order(text: str, names: str) -> None:
    assert expand(text) == tuple(names.split())


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[a]",
        "[1-]",
        "[-1]",
        "[3-1]",
        "[1,,2]",
        "[1,1]",
        "[01-5]",
        "[1",
        "1]",
        "[[1]]",
        f"[0-{MOST_TARGETS}]",
        "[1-101]-[1-100]",
        "[1-9999999999]",
    ],
)
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        expand(text)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("web-1 web-2 web-3", "web-[1-3]"),
        ("web-3 web-1 db-1 web-2 db-3", "web-[1-3] db-[1,3]"),
        ("web-09 web-10 web-11", "web-[09-11]"),
        ("web-9 web-10", "web-[9-10]"),
        ("a b a", "a b"),
        ("10.0.0.1 10.0.0.2", "10.0.0.[1-2]"),
        ("web-1.eu web-2.eu", "web-[1-2].eu"),
        ("", ""),
    ],
)
def test_names_are_compressed_by_their_last_number(names: str, text: str) -> None:
    assert compress_names(names.split()) == text


NAMES = st.from_regex(r"[a-c]{1,2}-?(0{0,2}[0-9]{1,3})?(\.x)?", fullmatch=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, unique=True, max_size=30))
def test_compressed_names_expand_to_the_same_names(names: list[str]) -> None:
    compressed = compress_names(names)
    expanded = [name for word in compressed.split() for name in expand(word)]
    assert sorted(expanded) == sorted(names)


def test_names_in_a_message_are_never_long() -> None:
    assert len(some_names(f"{'x' * i}y" for i in range(500))) == 200


def test_words_for_people() -> None:
    assert count(1, "target") == "1 target" and count(10_000, "target") == "10,000 targets"
    assert suggest("prodution", ["production", "staging"]) == "did you mean 'production'?"
    assert suggest("x", ["production"]) == suggest("x" * 1000, ["x" * 999]) == ""
