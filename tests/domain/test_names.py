"""Names that people read: of targets, in few words and back; of steps that have none; of what was meant."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.names import MOST_TARGETS, compress_names, count, expand, some_names, suggest
from canary_tui.domain.fleet.rules import COMMAND, LABEL, NAME_PATTERN, TARGET_NAME, URL
from canary_tui.domain.fleet.step_names import default_name, named
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep

TARGET_NAMES = st.from_regex(TARGET_NAME.pattern, fullmatch=True).map(lambda name: name[:40])


@settings(max_examples=150, deadline=None)
@given(st.lists(TARGET_NAMES, unique=True, max_size=12))
def test_any_targets_names_are_compressed_and_come_back(names: list[str]) -> None:
    compressed = compress_names(names)
    assert sorted(name for word in compressed.split() for name in expand(word)) == sorted(names)
    assert len(compressed) <= len(" ".join(names)) + 4 * len(names)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 12)), min_size=1, max_size=4),
    st.sampled_from(["web-{}", "{}", "r{}.eu", "a{}-1"]),
)
def test_a_list_of_numbers_and_ranges_is_that_many_names(ranges: list[tuple[int, int]], form: str) -> None:
    numbers = [number for first, more in ranges for number in range(first, first + more + 1)]
    assume(len(set(numbers)) == len(numbers))
    inside = ",".join(f"{first}-{first + more}" if more else f"{first}" for first, more in ranges)
    assert expand(form.format(f"[{inside}]")) == tuple(form.format(number) for number in numbers)


@given(st.integers(1, 5), st.integers(0, 9), st.integers(0, 9))
def test_zeros_in_front_say_how_wide_a_number_is(width: int, first: int, more: int) -> None:
    last = first + more
    assume(width > 1 and len(str(last)) < width)
    found = expand(f"web-[{first:0{width}d}-{last:0{width}d}]")
    assert found == tuple(f"web-{number:0{width}d}" for number in range(first, last + 1))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="web-019[],", max_size=14))
def test_any_text_expands_to_names_or_is_refused_in_short(text: str) -> None:
    try:
        found = expand(text)
    except ValueError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 150
    else:
        assert 1 <= len(found) <= MOST_TARGETS
        assert len(set(found)) == len(found)
        assert not any(set(name) & set("[]") for name in found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("web-[1", "a bracket of 'web-[1' has no partner", id="open"),
        pytest.param("web-1]", "a bracket of 'web-1]' has no partner", id="closed"),
        pytest.param("web-[a-c]", "[a-c] is not a list of numbers and ranges such as [1-4,7]", id="letters"),
        pytest.param("web-[3-1]", "the range 3-1 runs backwards", id="backwards"),
        pytest.param("web-[01-5]", "the range 01-5 mixes widths; write both ends with as many digits", id="widths"),
        pytest.param("web-[1-3,2]", "[1-3,2] names a number twice", id="twice"),
        pytest.param("web-[0-10000]", "[0-10000] stands for more than 10,000 names", id="many"),
        pytest.param("[1-101][1-100]", "'[1-101][1-100]' stands for more than 10,000 names", id="many together"),
    ],
)
def test_what_is_no_name_of_several_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        expand(text)


def test_a_lower_limit_holds_for_whoever_asks_for_less() -> None:
    assert len(expand("a[1-10]", most=10)) == 10
    for text in ("a[1-11]", "a[1-4][1-3]"):
        with pytest.raises(ValueError, match="more than 10 names"):
            expand(text, most=10)


def test_what_expands_may_be_written_in_a_fleet_file() -> None:
    NAME_PATTERN.check("web-[1-40,07]")
    for name in expand("web-[1-3]"):
        TARGET_NAME.check(name)


@settings(max_examples=60, deadline=None)
@given(st.lists(TARGET_NAMES, max_size=60))
def test_a_message_shows_at_most_200_characters_of_names(names: list[str]) -> None:
    shown, whole = some_names(names), compress_names(names)
    assert len(shown) <= 200
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))


# What was meant


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        pytest.param("wbe-1", "did you mean 'web-1'?", id="swapped"),
        pytest.param("web1", "did you mean 'web-1'?", id="left out"),
        pytest.param("cache", "", id="nothing is near"),
        pytest.param("", "", id="nothing was said"),
    ],
)
def test_a_near_word_is_suggested_and_no_other(word: str, hint: str) -> None:
    assert suggest(word, ["web-1", "db-9", "production"]) == hint
    assert suggest(word, []) == ""


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("wbe-7123", id="swapped"),
        pytest.param("web7123", id="left out"),
        pytest.param("web--7123", id="too much"),
        pytest.param("eb-7123", id="without its first"),
        pytest.param("web-7123x", id="with one more"),
    ],
)
def test_a_near_word_is_found_among_ten_thousand(word: str) -> None:
    assert suggest(word, [f"web-{number}" for number in range(10_000)]) == "did you mean 'web-7123'?"


def test_no_word_is_near_in_a_large_fleet_either() -> None:
    assert suggest("cache", [f"web-{number}" for number in range(10_000)]) == ""


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 targets"), (1, "1 target"), (2, "2 targets"), (1000, "1,000 targets")]
)
def test_a_number_of_things_is_written_with_its_noun(number: int, text: str) -> None:
    assert count(number, "target") == text


# Steps that have no name


def is_command(text: str) -> bool:
    try:
        COMMAND.check(text)
    except ValueError:
        return False
    return True


COMMANDS = st.text(alphabet="ab -#\n\t;'ü\u200b\u2028", min_size=1, max_size=60).filter(is_command)
STEPS = st.one_of(
    st.builds(RunStep, run=COMMANDS, name=st.sampled_from(["", "", "make", "make (2)"])),
    st.builds(LocalStep, local=COMMANDS),
    st.builds(ScriptStep, script=st.sampled_from(["a.sh", "bin/a.sh", "x/" + "y" * 90])),
    st.builds(UploadStep, upload=st.sampled_from(["a.sh", "dist/", "d/" + "y" * 90]), to=st.just("b")),
    st.builds(HttpStep, http=st.from_regex(URL.pattern, fullmatch=True).map(lambda url: url[:90])),
    st.just(RunStep(run="make")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=8))
def test_every_step_has_a_name_of_its_own_that_a_file_could_have_given_it(steps: list[Step]) -> None:
    given_names = [step.name for step in steps if step.name]
    assume(len(set(given_names)) == len(given_names))
    done = named(steps)
    assert [step.name for step in done if step.name in given_names] == given_names
    assert len({step.name for step in done}) == len(steps)
    for step in done:
        LABEL.check(step.name)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=6))
def test_steps_that_have_their_names_keep_them(steps: list[Step]) -> None:
    done = named(steps)
    assert named(done) == done


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param("make", "make", id="a word"),
        pytest.param(
            "set -eu\nset +x\n# why\n\nmake install", "make install", id="the first line that tells something"
        ),
        pytest.param("\u200b\nmake", "make", id="not one that shows nothing"),
        pytest.param("  a\t b  ", "a b", id="spaces"),
        pytest.param("x" * 32, "x" * 32, id="32 characters"),
        pytest.param("x" * 33, "x" * 31 + "…", id="33 characters"),
        pytest.param("systemctl restart the-very-long-unit-name", "systemctl restart…", id="cut between words"),
        pytest.param("a " + "x" * 40, "a " + "x" * 29 + "…", id="or inside of a long one"),
        pytest.param("# only", "# only", id="nothing tells anything"),
    ],
)
def test_a_command_is_called_by_its_first_words(command: str, name: str) -> None:
    assert default_name(RunStep(run=command)) == name
    assert default_name(LocalStep(local=command)) == f"local {name}"
