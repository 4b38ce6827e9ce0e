"""The selection language means what its page says, says what is wrong, and is fast enough for every key."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.selection import (
    Selection,
    SelectionError,
    TargetFacts,
    Vocabulary,
    parse_filter,
    parse_selection,
    unknown_words,
)
from canary_tui.domain.fleet.tables import Target

TARGETS = [
    TargetFacts("web-1", "10.0.0.1", ("web-server", "canary"), ("production",), {"zone": "a"}, release="1.4.1"),
    TargetFacts("web-2", "10.0.0.2", ("web-server",), ("production",), {"zone": "b"}, release="1.4.2", outdated=True),
    TargetFacts("web-10", "10.0.0.10", ("web-server",), ("staging",), {"zone": "b", "rack": "7"}, failed=True),
    TargetFacts("db-1", "10.0.1.1", ("db-server",), (), {"zone": "eu-1"}),
]
ALL = "web-1 web-2 web-10 db-1"


def chosen(text: str, parse: Callable[[str], Selection] = parse_selection) -> str:
    return " ".join(parse(text).select(TARGETS))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("web-1", "web-1", id="a name is the whole name"),
        pytest.param("*", ALL, id="star"),
        pytest.param("web-*", "web-1 web-2 web-10", id="glob"),
        pytest.param("web-?", "web-1 web-2", id="one character"),
        pytest.param("web-[1-2,10]", "web-1 web-2 web-10", id="numbers"),
        pytest.param("*-[1-2]", "web-1 web-2 db-1", id="glob and numbers"),
        pytest.param("WEB-1", "", id="case counts"),
        pytest.param("@web-server", "web-1 web-2 web-10", id="role"),
        pytest.param("@web-server @canary", "web-1", id="words are anded"),
        pytest.param("@*-server", ALL, id="role glob"),
        pytest.param("zone=b", "web-2 web-10", id="tag"),
        pytest.param("zone=eu-*", "db-1", id="tag glob"),
        pytest.param("rack=7", "web-10", id="tag of some"),
        pytest.param("!rack=7", "web-1 web-2 db-1", id="not having a tag"),
        pytest.param("env=production", "web-1 web-2 db-1", id="a target without environments is everywhere"),
        pytest.param("env=staging !db-1", "web-10", id="not"),
        pytest.param("!!web-1", "web-1", id="not not"),
        pytest.param("release=1.4.1", "web-1", id="release"),
        pytest.param("release=1.4.*", "web-1 web-2", id="release glob"),
        pytest.param("outdated", "web-2", id="outdated"),
        pytest.param("failed", "web-10", id="failed"),
        pytest.param("~^web", "web-1 web-2 web-10", id="regular expression"),
        pytest.param("~1$|2$", "web-1 web-2 db-1", id="a bar inside a regular expression belongs to it"),
        pytest.param("!~^web", "db-1", id="not a regular expression"),
        pytest.param("web-1 | @db-server", "web-1 db-1", id="alternatives"),
        pytest.param("web-1|db-1", "web-1 db-1", id="alternatives without spaces"),
        pytest.param("@web-server zone=b | db-*", "web-2 web-10 db-1", id="and binds closer"),
        pytest.param("  web-1\t web-* ", "web-1", id="space"),
    ],
)
def test_a_selection_names_its_targets(text: str, names: str) -> None:
    assert chosen(text) == names


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("a |", 4),
        ("| a", 1),
        ("a | | b", 4),
        ("a !", 4),
        ("@", 1),
        ("zone=", 1),
        ("a =b", 3),
        ("~", 1),
        ("a ~(", 3),
        ("~(a+)+$", 1),
        ("~" + "a" * 201, 1),
        ("a web-[4-1]", 3),
        ("*[1-9999]", 1),
        ("x" * 10001, 10000),
    ],
)
def test_what_is_no_selection_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_selection(text)
    assert caught.value.column == column
    assert f"(at character {column})" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", ALL, id="nothing typed"),
        pytest.param("eb-1", "web-1 web-10", id="inside of a name"),
        pytest.param("WEB 10.0.0.2", "web-2", id="any case, and address"),
        pytest.param("canary", "web-1", id="inside of a role"),
        pytest.param("zone=eu", "", id="a tag is still the whole value"),
        pytest.param("eu-1", "db-1", id="inside of a tag"),
        pytest.param("web-[1", "", id="an open bracket is text"),
        pytest.param("web-[1-2]", "web-1 web-2", id="numbers"),
        pytest.param("1.4.2", "web-2", id="release"),
        pytest.param("@ ! zone= |", ALL, id="words that are not finished are not looked at"),
        pytest.param("!db", "web-1 web-2 web-10", id="not inside"),
    ],
)
def test_the_pickers_filter_finds_what_is_being_typed(text: str, names: str) -> None:
    assert chosen(text, parse_filter) == names


def test_a_filter_refuses_an_impossible_regular_expression() -> None:
    with pytest.raises(SelectionError, match="not a regular expression"):
        parse_filter("~[")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="web-1*?[]~!@=|,() +az", max_size=30))
def test_any_text_is_a_selection_or_a_selection_error(text: str) -> None:
    for parse in (parse_selection, parse_filter):
        try:
            parse(text).select(TARGETS)
        except SelectionError as error:
            assert 1 <= error.column <= len(text) + 1


def test_unknown_words_are_named_with_what_could_be_meant() -> None:
    known = Vocabulary.of(TARGETS, ["production", "staging"])
    selection = parse_selection("@web-serve wbe-1 env=prodution zome=a zone=c | web-9? !@canary db-* outdated")
    found = [(one.word.text, one.message, one.hint) for one in unknown_words(selection, known)]
    assert found == [
        ("@web-serve", "unknown role 'web-serve'", "did you mean 'web-server'?"),
        ("wbe-1", "unknown target 'wbe-1'", "did you mean 'web-1'?"),
        ("env=prodution", "unknown environment 'prodution'", "did you mean 'production'?"),
        ("zome=a", "unknown tag 'zome'", "did you mean 'zone'?"),
        ("zone=c", "unknown value of tag 'zone': 'c'", ""),
        ("web-9?", "unknown target 'web-9?'", "did you mean 'web-2'?"),
    ]
    assert selection.needs_state and not parse_selection("web-1 @canary").needs_state


def test_facts_come_from_the_fleet_file() -> None:
    target = Target("web-1", None, ("web-server",), ("production",), {"zone": "a"})
    assert TargetFacts.of(target) == TargetFacts("web-1", "web-1", ("web-server",), ("production",), {"zone": "a"})


@pytest.mark.parametrize(
    "text", ["web", "web-9 zone=a !@db", "*7*7* | *8*8*", "~^web-[0-9]+5$", "web-[1-9999]", "a | b | c | failed"]
)
def test_ten_thousand_targets_are_filtered_within_a_frame(text: str) -> None:
    targets = [
        TargetFacts(f"web-{i}", f"10.0.{i // 250}.{i % 250}", ("web", "x"), (), {"zone": "a"}) for i in range(10**4)
    ]
    best = 1.0
    for _ in range(5):
        started = time.thread_time()
        parse_filter(text).select(targets)
        best = min(best, time.thread_time() - started)
    assert best < 0.03


@pytest.mark.parametrize("text", ["~[[", "~[a--b]", "~("])
def test_a_regular_expression_of_unsure_meaning_is_refused_in_words(text: str) -> None:
    with pytest.raises(SelectionError, match="not a regular expression"):
        parse_selection(text)
