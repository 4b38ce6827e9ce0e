"""What an operator may choose, and how a choice is refused before anything is connected to."""

from __future__ import annotations

import posixpath
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Target
from canary_tui.domain.planning.build import build_plan
from canary_tui.domain.planning.choices import Choices, PlanError, check_release, choose_environment
from canary_tui.errors import ExitCode


def fleet_of(*environments: str) -> Fleet:
    places = {name: Environment() for name in environments}
    return Fleet("shop", (Target("a"), Target("b")), (RunStep(run="deploy"),), environments=places)


@pytest.mark.parametrize(
    ("environments", "given", "meant"),
    [
        pytest.param((), None, "", id="there are none"),
        pytest.param(("production",), None, "production", id="the only one"),
        pytest.param(("production", "staging"), "staging", "staging", id="named"),
    ],
)
def test_the_environment_is_the_one_that_was_named_or_the_only_one(
    environments: tuple[str, ...], given: str | None, meant: str
) -> None:
    assert choose_environment(fleet_of(*environments), given) == meant


@pytest.mark.parametrize(
    ("environments", "given", "reason"),
    [
        pytest.param(
            ("production", "staging"), None, "which environment? say --env and one of production, staging", id="which"
        ),
        pytest.param(
            ("production", "staging"),
            "prodution",
            "unknown environment 'prodution'; did you mean 'production'?",
            id="misspelt",
        ),
        pytest.param(
            ("production", "staging"), "x", "unknown environment 'x'; there are production, staging", id="far off"
        ),
        pytest.param((), "production", "unknown environment 'production'; the fleet file has none", id="none"),
        pytest.param(("production",), "", "unknown environment ''; there are production", id="empty"),
        pytest.param(("production",), "Production", "unknown environment 'Production'; did you mean", id="case counts"),
    ],
)
def test_a_misspelt_environment_is_never_another_one(
    environments: tuple[str, ...], given: str | None, reason: str
) -> None:
    with pytest.raises(PlanError) as caught:
        choose_environment(fleet_of(*environments), given)
    assert caught.value.reasons[0].startswith(reason)


def test_refused_choices_are_wrong_usage_with_a_line_for_each_reason() -> None:
    error = PlanError(["one", "two"])
    assert str(error) == "one\ntwo"
    assert error.exit_code == ExitCode.USAGE


def is_release(text: str) -> bool:
    try:
        check_release(text)
    except ValueError:
        return False
    return True


PIECES = ["a", "1", "..", "/", "-", "~", "$(x)", " "]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_whatever_is_a_release_is_one_word_for_a_shell_and_stays_in_its_folder(text: str) -> None:
    if is_release(text):
        assert shlex.split(text) == [text]
        assert shlex.quote(text) == text or "~" in text
        assert not text.startswith(("-", "~", "/", "."))
        assert ".." not in text.split("/")
        assert posixpath.normpath(posixpath.join("/srv", text)).startswith("/srv/")


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_+:/@~-]{0,127}", fullmatch=True))
def test_releases_as_people_call_them_are_taken(text: str) -> None:
    assert is_release(text)


@pytest.mark.parametrize("length", [1, 127, 128])
def test_a_release_has_at_most_128_characters(length: int) -> None:
    assert is_release("1" * length)
    assert not is_release("1" * (128 + length))


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        pytest.param({"RELEASE": "x"}, "--var: RELEASE is always set by the program", id="always there"),
        pytest.param({"LD_PRELOAD": "x"}, "--var: LD_PRELOAD changes what every command does", id="dangerous"),
        pytest.param({"1A": "x"}, "--var: '1A' is not a variable's name", id="no name"),
        pytest.param({"A": "x\0"}, "--var A: a variable cannot hold a NUL character", id="no value"),
        pytest.param({"A": "x" * 40_000}, "--var A: a variable can hold at most 32,768 characters", id="too long"),
    ],
)
def test_a_variable_on_the_command_line_is_held_to_the_rules_of_the_file(
    variables: dict[str, str], reason: str
) -> None:
    with pytest.raises(PlanError) as caught:
        build_plan(fleet_of(), Choices("1", canaries=("a",), variables=variables), {})
    assert [one for one in caught.value.reasons if one.startswith(reason)]
