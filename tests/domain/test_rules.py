"""What a value of a fleet file may be: each rule takes what is good, refuses the rest in words, and has a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet import rules
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.rules import (
    HOST,
    JUMP,
    LOGIN,
    Between,
    Matches,
    Positive,
    Printable,
    Prose,
    RemotePath,
    Rule,
    RuleError,
    ShellText,
    VariableName,
    VariableValue,
)
from canary_tui.domain.fleet.units import Duration, Size

LINE, TEXT = "\u2028", "a\nb\tc"
RULES: dict[str, Rule] = {
    **{
        name: value for name, value in vars(rules).items() if isinstance(value, Matches | Printable | Prose | ShellText)
    },
    "Between": Between(1, 65535),
    "Positive": Positive(),
    "RemotePath": RemotePath(),
    "Prose, may be empty": Prose(10, needed=False),
    "VariableName": VariableName(),
    "VariableValue": VariableValue(),
}
WORD_RULE = "expected letters, digits and . _ -, beginning with a letter or digit, got"
TABLE: dict[str, tuple[list[object], dict[object, str]]] = {
    "WORD": (
        ["web", "web-server", "1.2_3", "a" * 64],
        {
            "": f"{WORD_RULE} ''",
            "-web": f"{WORD_RULE} '-web'",
            "a b": f"{WORD_RULE} 'a b'",
            "web\n": f"{WORD_RULE} 'web\\n'",
            "é": f"{WORD_RULE} 'é'",
            "a" * 65: "longer than 64 characters",
        },
    ),
    "TARGET_NAME": (
        ["web-1", "10.0.0.1", "fe80::1%eth0", "_x", "a" * 200],
        {"-web": "expected letters, digits and . _ : -", "a%": "expected", "web-[1-2]": "expected", "a" * 201: "longer"},
    ),
    "NAME_PATTERN": (
        ["web-[1-40]", "[1-2]a", "web-1"],
        {"-x": "expected a name of letters", "a b": "expected a name", "": "expected a name"},
    ),
    "HOST": (["10.0.0.1", "::1", "fe80::1%eth0", "web.example.org"], {"-oProxyCommand=x": "not beginning with '-'", ":": "no IPv6"}),
    "HOST_PATTERN": (["10.0.0.[1-9]", "web-[1-2].example"], {"-x": "not beginning with '-'", "a b": "expected an address"}),
    "USER": (["deploy", "a.b", "me@corp", "_x"], {"-l": "not beginning with '-'", "a b": "expected a login name", "": "exp"}),
    "LOGIN": (["deploy", "me@corp", "CORP\\deploy"], {"-l": "not beginning with '-'", "CORP\\": "expected a login name"}),
    "JUMP": (
        ["none", "bastion", "ann@bastion:2222", "a,b@c", "ann@[::1]:22"],
        {"-J": "expected jump hosts", "a,,b": "expected jump hosts", "a b": "expected jump hosts", "": "expected jump"},
    ),
    "TAG_VALUE": (["eu-1", "a/b", "1.2", "k@v"], {"": "expected a word", "a b": "expected a word", "a,b": "expected a word"}),
    "OCTAL": (
        ["644", "0644", "1755", "0000"],
        {"": "expected permissions in octal", "888": "expected", "64": "expected", "u+x": "expected", "00644": "expected"},
    ),
    "URL": (
        ["http://h", "https://h:8080/a?b=$C"],
        {"ftp://h": "expected a URL", "http://": "expected a URL", "http://a b": "no spaces", "HTTP://h": "expected a URL"},
    ),
    "TOOL": (
        ["tar", "/usr/bin/env", "c++", "a.out"],
        {"-rf": "expected the name or path", "a b": "expected", "$(x)": "expected", "": "expected"},
    ),
    "ROLLOUT": (["2026-11-23T101500Z-shop-7f3a", "a~1"], {"../x": "expected a rollout's id", "": "expected", "-x": "exp"}),
    "LABEL": (
        ["Deploy", "a b", "ü", "x" * 80],
        {
            "": "expected some text, got none",
            "  ": "expected some text, got none",
            "a\nb": "expected one line without control characters",
            "\x1b[2J": "expected one line",
            f"a{LINE}": "expected one line",
            "a\u202eb": "expected one line",
            "x" * 81: "longer than 80 characters",
        },
    ),
    "PATH": (["~/.ssh/id", "a b", "x" * 1024], {"": "expected some text", "a\0": "expected one line", "x" * 1025: "longer"}),
    "COMMAND": (
        [TEXT, "echo $X", "#!/bin/sh\necho"],
        {"#!/bin/bash\n": "sh runs this text, not '/bin/bash'", "": "expected some text", " \n": "expected some text", "\r": "expected some text", "a\x07": "the control character '\\x07'"},
    ),
    "Between": ([1, 65535, "text"], {0: "expected a number from 1 to 65,535, got 0", 65536: "got 65536", -(2**70): "64 bits"}),
    "Positive": ([Duration(0.001), Size(1)], {Duration(0): "expected more than nothing", Size(0): "more", -1: "more"}),
    "RemotePath": (
        ["/srv/a", "a/b", "a..b/c", "..."],
        {
            "../a": "'..' does not belong into a path on a target: '../a'",
            "a/../b": "'..' does not belong",
            "..": "'..' does not belong",
            "srv/": "expected the path of a file, got a folder: 'srv/'",
            "": "expected some text",
            "a\nb": "expected one line",
            "x" * 1025: "longer than 1024 characters",
        },
    ),
    "Prose, may be empty": (["", "a\nb", " "], {"\x1b": "the control character '\\x1b'", "x" * 11: "longer than 10 characters"}),
    "VariableName": (["A", "_x9"], {"9A": "is not a variable's name", "LD_PRELOAD": "changes what", "RELEASE": "is always set"}),
    "VariableValue": (["", "a\nb"], {"\0": "cannot hold a NUL", "x" * 32_769: "at most 32,768 characters, this has 32,769"}),
}  # fmt: skip
"""For each rule what it takes, and what it refuses with (a part of) the words for it."""
GOOD = [pytest.param(name, value, id=f"{name}: {value!r:.30}") for name, (good, _) in TABLE.items() for value in good]
BAD = [
    pytest.param(name, value, words, id=f"{name}: {value!r:.30}")
    for name, (_, bad) in TABLE.items()
    for value, words in bad.items()
]


def fits(schema: Mapping[str, object], value: object) -> bool:
    """Whether a value is as JSON Schema says, as far as these rules use it."""
    if isinstance(value, str):
        pattern, least, most = schema.get("pattern", ""), schema.get("minLength", 0), schema.get("maxLength", 10**9)
        assert isinstance(pattern, str)
        assert isinstance(least, int)
        assert isinstance(most, int)
        return re.search(pattern.removesuffix("$") + r"\Z" if pattern else "", value) is not None and (
            least <= len(value) <= most
        )
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    assert isinstance(value, int | float)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return low <= value <= high


def takes(rule: Rule, value: object) -> bool:
    try:
        rule.check(value)
    except ValueError:
        return False
    return True


def test_every_rule_is_in_the_table() -> None:
    assert set(TABLE) == set(RULES)
    kinds = {kind for kind in vars(rules).values() if isinstance(kind, type) and kind.__module__ == rules.__name__}
    assert {type(rule) for rule in RULES.values()} == kinds - {Rule, RuleError}


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_rule_takes_what_is_good_and_so_does_its_schema(name: str, value: object) -> None:
    RULES[name].check(value)
    assert fits(RULES[name].schema(), value)


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_rule_refuses_the_rest_and_says_what_was_expected(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        RULES[name].check(value)
    assert len(str(caught.value)) < 200, "a hostile value does not fill the screen"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", sorted(set(RULES) - {"Between", "Positive"}))
def test_a_rule_about_text_leaves_other_types_to_whoever_knows_them(name: str) -> None:
    for value in (1, 1.5, None, True, ["a"]):
        RULES[name].check(value)


ANY_TEXT = st.text(alphabet="aZ09._-:/@~+%[],$ \n\t\x1b\u202e\u00fc=!*", max_size=12)


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT)
def test_whatever_a_rule_takes_fits_the_schema_that_is_printed_for_it(text: str) -> None:
    for name, rule in RULES.items():
        if name not in ("Between", "Positive") and takes(rule, text):
            assert fits(rule.schema(), text), name


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT)
def test_a_pattern_says_in_the_schema_exactly_what_the_rule_checks(text: str) -> None:
    for name, rule in RULES.items():
        if type(rule) is Matches:  # for a host, JSON Schema cannot say what an IPv6 address is
            assert takes(rule, text) == fits(rule.schema(), text), name


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_nothing_that_names_a_target_a_host_or_a_user_is_an_option_of_ssh(text: str) -> None:
    for name in (
        "WORD",
        "TARGET_NAME",
        "NAME_PATTERN",
        "HOST",
        "HOST_PATTERN",
        "USER",
        "LOGIN",
        "JUMP",
        "TOOL",
        "ROLLOUT",
    ):
        if takes(RULES[name], text):
            assert not text.startswith("-"), name
            in_a_domain = name in ("LOGIN", "JUMP") and not text.startswith("\\") and not text.endswith("\\")
            assert not set(text) & set(" \n\t$;'\"" + ("" if in_a_domain else "\\")), name


@given(st.integers(-10, 70_000))
def test_a_number_is_between_its_ends(number: int) -> None:
    rule = RULES["Between"]
    assert takes(rule, number) == (1 <= number <= 65535) == fits(rule.schema(), number)


@given(st.one_of(st.text(max_size=200), st.integers(), st.binary(max_size=100)))
def test_a_quoted_value_is_printable_and_short(value: object) -> None:
    text = shorten(value)
    assert text.isprintable()
    assert len(text) <= 60
    if len(repr(value)) <= 60 and not (isinstance(value, int) and abs(value) >= 2**63):
        assert text == repr(value)


def test_a_cut_value_still_ends_as_one() -> None:
    assert shorten("x" * 100) == "'" + "x" * 55 + "...'"
    assert shorten(2**64) == "a number beyond 64 bits"


@pytest.mark.found("field 10")
@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.1:2222", 'write host = "10.0.0.1", ssh = { port = 2222 }'),
        ("deploy@web", 'write host = "web", ssh = { user = "deploy" }'),
        ("deploy@web:22", 'write host = "web", ssh = { user = "deploy", port = 22 }'),
        ("[fe80::1%eth0]:22", 'write host = "fe80::1%eth0", ssh = { port = 22 }'),
        ("ssh://deploy@[::1]:22/", 'write host = "::1", ssh = { user = "deploy", port = 22 }'),
        ("ssh://web", 'write host = "web"'),
        ("CORP\\deploy@web", "write host = \"web\", ssh = { user = 'CORP\\deploy' }"),
        ("web:ssh", "a port is written ssh.port"),
        ("1:2:3", "a port is written ssh.port"),
        ("fe80::1::2", "a port is written ssh.port"),
    ],
)
def test_a_host_with_more_than_a_host_in_it_gets_its_hint(text: str, hint: str) -> None:
    """A host is a name or an address; login and port have keys of their own."""
    with pytest.raises(RuleError) as refusal:
        HOST.check(text)
    assert refusal.value.hint == hint


@pytest.mark.parametrize("text", ["web", "10.0.0.1", "::1", "fe80::1%eth0", "0:0:0:0:0:0:0:1", "::ffff:10.0.0.1"])
def test_a_name_or_an_address_is_a_host(text: str) -> None:
    HOST.check(text)


@pytest.mark.found("field 10")
@pytest.mark.parametrize("text", ["deploy", "CORP\\deploy", "deploy@corp.example", "a+b"])
def test_logins_of_a_domain_are_logins(text: str) -> None:
    LOGIN.check(text)
    JUMP.check(f"{text}@bastion:22")


@pytest.mark.parametrize("text", ["\\deploy", "deploy\\", "-l", "a b", "$(id)", "a'b", ""])
def test_what_a_shell_could_read_something_into_is_no_login(text: str) -> None:
    with pytest.raises(ValueError, match="login name"):
        LOGIN.check(text)
