"""One registry of actions: bindings, footer, help and the operator's own keys are made from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from canary_tui.tui.actions import ACTIONS, TITLES, bindings, find_action, key_signs, key_table
from canary_tui.tui.keys import Settings, clashes, load_settings
from canary_tui.tui.shared.footer import MOST, Hint, that_fit


def test_every_action_has_one_id_and_a_pane_with_a_title() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(set(ids)) == len(ids)
    assert {action.pane for action in ACTIONS} <= set(TITLES)


def test_the_keys_of_the_program_do_not_clash() -> None:
    taken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        for key in action.keys.split(","):
            assert (action.pane, key) not in taken, f"{key}: {action.id} and {taken[action.pane, key]}"
            taken[action.pane, key] = action.id


def test_only_capitals_act_on_targets() -> None:
    for action in ACTIONS:
        if action.dangerous:
            assert all(len(key) == 1 and key.isupper() for key in action.keys.split(",")), action.id


def test_an_action_is_told_as_an_order_of_at_most_twelve_words() -> None:
    for action in ACTIONS:
        first = action.help.split()[0]
        assert len(action.help.split()) <= 12, action.id
        assert not first.endswith("s") and first not in {"What", "Who", "Which", "How", "Where", "The", "To"}, action.id


def made(*names: str) -> list[Binding]:
    """The bindings, each of the kind that has an id."""
    found = bindings(*names)
    kept = [one for one in found if isinstance(one, Binding)]
    assert len(kept) == len(found)
    return kept


def test_no_action_has_priority_over_a_text_field() -> None:
    assert not any(binding.priority for binding in made(*TITLES))


def test_a_pane_is_bound_whole_or_by_single_ids() -> None:
    assert {binding.id for binding in made("choose", "app.quit")} == {
        "choose.up",
        "choose.down",
        "choose.leave",
        "app.quit",
    }


def test_keys_are_written_as_people_read_them() -> None:
    assert key_signs("question_mark,f1") == "? f1"
    assert key_signs("slash") == "/"
    assert key_signs("escape") == "esc"
    assert key_signs("shift+up") == "shift+↑"


def test_the_table_of_keys_tells_every_action_with_the_keys_that_hold() -> None:
    table = key_table({"picker.mark": "x", "picker.undo": ""})
    for action in ACTIONS:
        assert action.id in table
    assert "picker.mark            x " in table
    assert "picker.undo            (none) " in table


def test_a_key_file_may_use_an_id_that_an_older_version_had(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[keys]\n"log.folded" = "f6"\n')
    assert (settings.complaints, settings.keys) == ((), {"log.grouped": "f6"})


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "canary-tui").mkdir()
    (folder / "canary-tui" / "config.toml").write_text(text, encoding="utf-8")
    return load_settings({"XDG_CONFIG_HOME": str(folder)})


def test_keys_theme_and_mouse_come_from_one_small_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'theme = "light"\nmouse = true\n[keys]\n"picker.mark" = "x, f5"\n')
    assert settings.complaints == ()
    assert (settings.theme, settings.mouse, settings.keys) == ("light", True, {"picker.mark": "x,f5"})


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    settings = load_settings({"XDG_CONFIG_HOME": str(tmp_path)})
    assert (settings.keys, settings.theme, settings.mouse, settings.complaints) == ({}, "", False, ())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("them = 1", "them: unknown key", id="unknown key"),
        pytest.param('theme = "pink"', "expected one of dark, light, terminal, colour-blind", id="unknown theme"),
        pytest.param('mouse = "on"', "expected true or false", id="mouse"),
        pytest.param("keys = 3", "expected a table", id="keys"),
        pytest.param('[keys]\n"picker.mrk" = "x"', "did you mean picker.mark?", id="unknown action"),
        pytest.param('[keys]\n"picker.mark" = 3', "expected keys such as", id="not keys"),
        pytest.param('[keys]\n"plan.start" = "enter"', "too easy to press", id="enter acts"),
        pytest.param('[keys]\n"gate.abort" = "x"', "too easy to press", id="lower case acts"),
        pytest.param('[keys]\n"picker.mark" = "v"', "v is both picker.mark and picker.range", id="clash in a pane"),
        pytest.param(
            '[keys]\n"picker.mark" = "ctrl+t"', "ctrl+t is both app.theme and picker.mark", id="clash with the app"
        ),
        pytest.param(
            "[terminal]\nbell = 1", "terminal: bell: expected true or false, got 1", id="a bell that is a number"
        ),
        pytest.param("[terminal]\nring = true", "terminal: ring: unknown key", id="an unknown key of the terminal"),
        pytest.param("terminal = true", "terminal: expected a table", id="no table"),
        pytest.param("keys = [", "config.toml: ", id="not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_and_not_taken(tmp_path: Path, text: str, complaint: str) -> None:
    settings = settings_of(tmp_path, text)
    assert any(complaint in one for one in settings.complaints), settings.complaints
    assert "plan.start" not in settings.keys
    assert "gate.abort" not in settings.keys


def test_a_key_that_was_moved_away_is_free() -> None:
    assert clashes({"picker.range": "R", "picker.mark": "v"}) == []


def hint(rank: int, label: str = "Label", key: str = "k") -> Hint:
    return Hint(rank, key, label, enabled=True)


def test_the_footer_has_at_most_seven_keys_more_where_it_is_wide_and_always_the_help() -> None:
    hints = [hint(rank) for rank in range(1, 12)] + [hint(99, "Help", "?")]
    chosen = that_fit(hints, 110)
    assert len(chosen) == MOST
    assert len(that_fit(hints, 200)) > MOST
    assert chosen[-1].label == "Help"


@pytest.mark.parametrize("width", range(10, 120, 7))
def test_the_footer_is_never_wider_than_the_terminal(width: int) -> None:
    hints = [hint(rank, "Some label") for rank in range(1, 8)] + [hint(99, "Help", "?")]
    chosen = that_fit(hints, width)
    assert chosen[-1].label == "Help"
    assert 1 + sum(one.width for one in chosen) <= max(width, 1 + chosen[-1].width)


def test_an_id_finds_its_action() -> None:
    mark = find_action("picker.mark")
    assert mark is not None and mark.label == "Mark"
    assert find_action("nothing") is None
    assert find_action(None) is None
