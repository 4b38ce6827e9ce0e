"""The picker, pressed by keys and read from the screen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from driving import SHOP, opened, press, screen_lines, screen_text, shows, type_text, until
from textual.widgets import Static

from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.picker.target_table import TargetTable


def line_with(app: CanaryApp, text: str) -> str:
    return next(line for line in screen_lines(app) if text in line)


async def test_the_picker_shows_itself_before_the_fleet_file_is_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        assert "Filter:" in screen_text(app) or not screen_text(app).strip()
        await shows(app, "shop · production · release 1.4.2", "20 targets")


async def test_the_first_waves_targets_are_marked_and_the_line_says_from_where(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "2 canaries in 2 zones, 18 after the gate (from selection 'web-13 | web-2'")
        assert "[x] web-2 " in line_with(app, "web-2 ")
        await press(pilot, "space")
        await shows(app, "17 after the gate (you added 1; from selection")


async def test_marking_moves_on_and_a_range_marks_all_between(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "space", "j", "v", "j", "j", "space")
        await shows(app, "shown 20   marked 6")
        for name in ("web-1 ", "web-3 ", "web-4 ", "web-5 "):
            assert "[x]" in line_with(app, name)


@pytest.mark.found("drive 1")
async def test_the_list_says_where_the_cursor_is_and_how_many_rows_there_are(tmp_path: Path) -> None:
    """The head of the list tells the row of the cursor and the number of rows, also behind a filter."""
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate", "1 of 20")
        await press(pilot, "j", "j")
        await shows(app, "3 of 20")
        await press(pilot, "G")
        await shows(app, "20 of 20")
        await press(pilot, "slash")
        await type_text(pilot, "zone=b")
        await shows(app, "1 of 8")
        await type_text(pilot, " no-such-target")
        await until(lambda: " of " not in line_with(app, "TARGET"))


async def test_a_range_shows_what_it_would_mark_and_escape_forgets_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "v", "j", "j")
        await shows(app, "[~] web-3", "Range: move to its other end")
        await press(pilot, "escape")
        await shows(app, "[ ] web-3", "18 after the gate")


async def test_marks_outside_of_the_filter_are_counted_as_hidden(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash")
        await type_text(pilot, "zone=b")
        await shows(app, "shown 8   marked 1 (+1 hidden)")
        await press(pilot, "enter", "a")
        await shows(app, "shown 8   marked 8 (+1 hidden)", "11 after the gate")


async def test_a_filter_that_is_not_whole_keeps_the_last_good_one_and_says_why(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash")
        await type_text(pilot, "zone=b ~web[")
        await shows(app, "not a regular expression", "shown 8")
        await press(pilot, "backspace")
        await until(lambda: "not a regular" not in screen_text(app))


async def test_escape_clears_the_filter_and_never_the_marks_or_the_app(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash")
        await type_text(pilot, "nothing-at-all")
        await shows(app, "no target fits the filter", "marked 0 (+2 hidden)")
        await press(pilot, "escape", "escape", "escape", "escape")
        await shows(app, "shown 20   marked 2", "18 after the gate")
        assert isinstance(app.focused, TargetTable)


async def test_only_marked_undo_invert_and_suggest(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "m")
        await shows(app, "only marked   shown 2   marked 2")
        await press(pilot, "m", "i")
        await shows(app, "marked 18")
        await press(pilot, "u")
        await shows(app, "shown 20   marked 2", "18 after the gate")
        await press(pilot, "s")
        await shows(app, "8 canaries in 1 zone, 12 after the gate (from role 'canary'")


async def test_so_many_at_random_and_one_of_each_tag_value(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "r")
        await type_text(pilot, "21")
        await press(pilot, "enter")
        await shows(app, "expected a number from 1 to 20")
        await press(pilot, "backspace", "backspace")
        await type_text(pilot, "5")
        await press(pilot, "enter")
        await shows(app, "marked 5", "15 after the gate")
        await press(pilot, "1")
        await shows(app, "marked 2", "in 2 zones")
        assert "[x]" in line_with(app, "web-1 ")


async def test_enter_with_nothing_marked_says_what_is_missing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "m", "a", "m", "enter")
        await shows(app, "Mark at least one canary first: space marks, s suggests")
        await press(pilot, "a", "enter")
        await shows(app, "All 20 are marked; leave at least one for after the gate")


async def test_a_missing_release_is_asked_for_and_a_bad_one_refused_in_words(tmp_path: Path) -> None:
    async with opened(tmp_path, release="") as (app, pilot):
        await shows(app, "Release:", "no release yet")
        await type_text(pilot, "-rf")
        await press(pilot, "enter")
        await shows(app, "release '-rf' is not")
        await press(pilot, "backspace", "backspace", "backspace")
        await type_text(pilot, "2.0")
        await press(pilot, "enter")
        await shows(app, "shop · production · release 2.0")
        await press(pilot, "space")
        await shows(app, "(you added 1; from selection")


async def test_canaries_of_the_command_line_are_marked_and_a_bad_selection_is_refused_in_words(tmp_path: Path) -> None:
    async with opened(tmp_path, canary="zone=b") as (app, _):
        await shows(app, "8 canaries in 1 zone, 12 after the gate (from --canary zone=b")
    async with opened(tmp_path, canary="~[") as (app, _):
        await shows(app, "--canary ~[: not a regular expression", "q Leave")


async def test_several_environments_are_offered_with_their_sizes(tmp_path: Path) -> None:
    async with opened(tmp_path, environment=None) as (app, pilot):
        await shows(app, "production  (20 targets, protected)", "staging  (2 targets)")
        await press(pilot, "j", "enter")
        await shows(app, "shop · staging", "2 targets")


async def test_where_no_canary_wave_applies_there_is_nothing_to_pick_and_enter_shows_the_plan(tmp_path: Path) -> None:
    async with opened(tmp_path, environment="staging") as (app, pilot):
        await shows(app, "Enter shows the plan. No canaries to pick: wave 'canary' and its gate do not")
        await press(pilot, "s")
        await shows(app, "No canaries to pick")
        await press(pilot, "enter")
        await shows(app, "PLAN", "shop · staging · release 1.4.2")


async def test_a_broken_file_shows_every_problem_and_is_read_again(tmp_path: Path) -> None:
    broken = SHOP.replace('roles = ["web"]', 'rols = ["web"]', 1)
    async with opened(tmp_path, broken, size=(120, 24)) as (app, pilot):
        await shows(app, "shop.toml:11:1", "rols", "did you mean", "^")
        (tmp_path / "shop.toml").write_text(SHOP, encoding="utf-8")
        await press(pilot, "r")
        await shows(app, "20 targets", "18 after the gate")


async def test_leaving_a_broken_file_is_a_usage_error(tmp_path: Path) -> None:
    async with opened(tmp_path, "name = 3") as (app, pilot):
        await shows(app, "Leave")
        await press(pilot, "q")
        await until(lambda: app.return_value is not None)
        assert app.return_value == ExitCode.USAGE


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (200, 60)])
async def test_wider_terminals_show_more_columns_and_none_is_too_long(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size=size) as (app, _):
        await shows(app, "18 after the gate")
        head = line_with(app, "TARGET ")
        assert all(title in head for title in ("ROLES", "ZONE", "ON", "LAST ROLLOUT"))
        assert ("ADDRESS" in head) == (size[0] >= 80)
        assert all(len(line) <= size[0] for line in screen_lines(app))


async def test_the_columns_order_the_rows_and_the_title_says_which(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "o", "O", "g")
        await shows(app, "TARGET↓")
        assert screen_lines(app)[3].startswith(">[ ] web-20")


async def test_the_mouse_is_not_needed_and_the_keys_reach_the_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "G")
        await shows(app, ">[ ] web-20")
        await press(pilot, "g")
        await shows(app, ">[ ] web-1 ")
        await press(pilot, "shift+down", "shift+down")
        await shows(app, "marked 4")


def big_fleet(count: int) -> str:
    head = 'name = "big"\n[[steps]]\nrun = "true"\n'
    return head + f'[[targets]]\nname = "t-[1-{count}]"\nroles = ["web"]\ntags = {{ zone = "a" }}\n'


async def test_ten_thousand_targets_are_filtered_while_typing(tmp_path: Path) -> None:
    async with opened(tmp_path, big_fleet(10_000), environment=None) as (app, pilot):
        await shows(app, "10,000 targets", deadline=30)
        await press(pilot, "slash")
        begin = time.perf_counter()
        await press(pilot, *"99")
        await shows(app, "shown 280 ")
        print(
            f"\ntwo filter keys over 10,000 targets: {(time.perf_counter() - begin) * 1000:.0f} ms with the pilot's own waits"
        )
        await press(pilot, "enter", "G", "space")
        await shows(app, "marked 1", "9,999 after the gate")


async def test_sorting_keeps_the_cursor_on_its_target_and_in_sight(tmp_path: Path) -> None:
    async with opened(tmp_path, size=(80, 18)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "j", "j")
        await shows(app, ">[ ] web-3 ")
        await press(pilot, "O")
        await until(lambda: 0 <= screen_text(app).find("[ ] web-4 ") < screen_text(app).find(">[ ] web-3 "))
        await press(pilot, "o", "O")
        await shows(app, "TARGET↑", ">[ ] web-3 ")


async def test_a_target_that_sorting_takes_out_of_the_list_leaves_the_cursor_on_a_row(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "m")
        await shows(app, "only marked   shown 2")
        await press(pilot, "G", "space", "o")
        await shows(app, "shown 1", ">[x] web-2 ")


async def test_the_first_dialog_says_what_is_asked_and_that_esc_leaves_the_program(tmp_path: Path) -> None:
    """Minor 32: behind it nothing claims to be read still, and esc is announced for what it does."""
    async with opened(tmp_path, environment=None) as (app, pilot):
        await shows(app, "Roll out to", "esc leaves the program")
        behind = app.screen_stack[-2].query_one("#summary", Static)
        assert str(behind.render()) == "Choose the environment to roll out to"
        await press(pilot, "enter")
        await shows(app, "18 after the gate")
        await press(pilot, "e")
        await shows(app, "esc keeps it")
