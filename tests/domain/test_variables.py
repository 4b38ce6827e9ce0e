"""One syntax, `$NAME`; names that always are there, and names that may not be set."""

import pytest

from canary_tui.domain.fleet.variables import UnknownVariable, check_name, check_value, fill, names_in


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param("a-$RELEASE.tar", "a-1.4.2.tar", id="ends before a dot"),
        pytest.param("${RELEASE}x$RELEASE", "1.4.2x1.4.2", id="braces"),
        pytest.param("$$ $5 $ ${} ${a-b} $", "$$ $5 $ ${} ${a-b} $", id="other dollars stand for themselves"),
        pytest.param("$TRAP", "$RELEASE", id="a value is not filled in again"),
        pytest.param("", "", id="empty"),
    ],
)
def test_names_are_filled_in_once(text: str, filled: str) -> None:
    assert fill(text, {"RELEASE": "1.4.2", "TRAP": "$RELEASE"}) == filled


def test_an_unknown_name_is_an_error_and_never_empty() -> None:
    with pytest.raises(UnknownVariable, match=r"\$RELASE is not known") as caught:
        fill("dist/$RELASE", {"RELEASE": "1"})
    assert caught.value.name == "RELASE"


def test_the_names_of_a_text_are_found_in_order() -> None:
    assert list(names_in("$B ${A} $B $1")) == ["B", "A", "B"]


@pytest.mark.parametrize("name", ["A", "_", "app_home", "A1", "PATH", "HOME", "LDFLAGS"])
def test_a_name_of_letters_digits_and_underscores_is_good(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1A",
        "A-B",
        "A B",
        "Ä",
        "A\n",
        "A" * 129,
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PS4",
        "SHELLOPTS",
        "RELEASE",
        "PREVIOUS",
        "TARGET",
        "HOST",
        "FLEET",
        "ENVIRONMENT",
        "WAVE",
        "ROLLOUT",
        "CANARIES",
        "CANARY_OUTPUT",
    ],
)
def test_names_that_cannot_be_or_change_every_command_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_name(name)


def test_a_value_holds_no_nul_and_fits_an_environment() -> None:
    check_value("x" * 32_768 + "")
    for value in ("a\0b", "x" * 32_769):
        with pytest.raises(ValueError):
            check_value(value)
