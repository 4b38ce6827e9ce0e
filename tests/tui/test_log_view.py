from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from driving import press, screen_lines, screen_text, shows, type_text, until
from recorded import Recorded, Stage, Wire, make_plan
from textual import events
from textual.pilot import Pilot

from canary_tui.tui.logs.log_view import LogView
from canary_tui.tui.rollout.log_pane import LogPane
from canary_tui.tui.rollout.screen import RolloutScreen


@asynccontextmanager
async def watched(
    recorded: Recorded, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[Stage, Pilot[int], LogPane]]:
    screen = RolloutScreen(recorded.directory, Wire())
    app = Stage(screen)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(lambda: screen.is_mounted and screen.query(LogView))
        yield app, pilot, screen.query_one(LogPane)
    recorded.close()


def log_rows(app: Stage) -> list[str]:
    """What stands in the log's half, without the title and the list."""
    view = app.screen.query_one(LogView).region
    return [line[view.x : view.right].rstrip() for line in screen_lines(app)[view.y : view.bottom]]


def running(tmp_path: Path, *lines: str) -> Recorded:
    recorded = Recorded(tmp_path / "r").start()
    recorded.begin("web-1")
    recorded.print("web-1", *lines)
    return recorded


async def test_output_is_shown_as_it_is_written_and_ours_and_stderr_are_told_apart(tmp_path: Path) -> None:
    recorded = running(tmp_path, "first words")
    async with watched(recorded) as (app, _, pane):
        await shows(app, "first words", "-- unpack: begin", "FOLLOW")
        recorded.print("web-1", "oh no", stream="err")
        await shows(app, "oh no")
        view = pane.view
        styles = {}
        for y in range(len(view._rows)):
            for segment in view.render_line(y):
                assert segment.style is not None
                styles[segment.text.strip()] = segment.style.color
        assert styles["first words"] != styles["oh no"]
        assert any("-- unpack" in text and colour != styles["first words"] for text, colour in styles.items())


async def test_scrolling_up_pauses_and_the_text_under_the_eye_never_moves_while_100_000_lines_arrive(
    tmp_path: Path,
) -> None:
    recorded = running(tmp_path, *(f"early {n}" for n in range(200)))
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "early 199")
        pane.view.focus()
        await press(pilot, "pageup")
        await until(lambda: not pane.view.window.follow)
        await shows(app, "PAUSED")
        before = log_rows(app)
        for burst in range(20):
            recorded.print("web-1", *(f"late {burst}-{n}" for n in range(5000)))
            await pilot.pause()
            assert log_rows(app) == before
        await shows(app, "PAUSED +100,000 new (G follows)")
        assert log_rows(app) == before
        await press(pilot, "G")
        await shows(app, "late 19-4999", "FOLLOW")


async def test_g_goes_to_the_first_line_and_f_follows_from_the_target_list(tmp_path: Path) -> None:
    recorded = running(tmp_path, *(f"line {n}" for n in range(500)))
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "line 499")
        pane.view.focus()
        await press(pilot, "g")
        await shows(app, "-- unpack: begin", "line 3")
        app.screen.query_one("#targets").focus()
        await press(pilot, "f")
        await shows(app, "line 499")


async def test_search_highlights_counts_and_goes_both_ways(tmp_path: Path) -> None:
    lines = [f"{'needle' if n % 100 == 50 else 'hay'} {n}" for n in range(1000)]
    recorded = running(tmp_path, *lines)
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "hay 999")
        await press(pilot, "slash")
        await type_text(pilot, "needle")
        await press(pilot, "enter")
        await shows(app, "needle 950", "/ needle: 10 of 10")
        await press(pilot, "N")
        await shows(app, "needle 850", "9 of 10")
        await press(pilot, "n")
        await shows(app, "needle 950", "10 of 10")
        await press(pilot, "n")
        await shows(app, "no more below")
        hit = app.screen.query_one(LogView).tone("hit")
        painted = [s for y in range(20) for s in app.screen.query_one(LogView).render_line(y) if s.text == "needle"]
        assert painted and painted[0].style is not None
        assert painted[0].style.bgcolor == hit.bgcolor


async def test_a_search_from_the_top_finds_what_stands_below_and_says_which_keys_go_on(tmp_path: Path) -> None:
    recorded = running(tmp_path, *(f"{'needle' if n in (50, 90) else 'hay'} {n}" for n in range(100)))
    async with watched(recorded, (100, 24)) as (app, pilot, pane):
        await shows(app, "hay 99")
        pane.view.focus()
        await press(pilot, "g", "slash")
        await shows(app, "text to find; then n and N move between matches")
        await type_text(pilot, "needle")
        await press(pilot, "enter")
        await shows(app, "needle 50", "/ needle: 1 of 2 (n N)")
        await press(pilot, "N")
        await shows(app, "/ needle: no more above (n N)")
        await press(pilot, "n")
        await shows(app, "needle 90", "/ needle: 2 of 2 (n N)")


async def test_a_search_for_what_stands_nowhere_says_so_and_names_no_keys_that_go_on(tmp_path: Path) -> None:
    recorded = running(tmp_path, "hay")
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "hay")
        await press(pilot, "slash")
        await type_text(pilot, "needle")
        await press(pilot, "enter")
        await shows(app, "/ needle: not found")
        assert "(n N)" not in screen_text(app)


async def test_a_filter_keeps_the_place_of_who_reads_above(tmp_path: Path) -> None:
    recorded = running(tmp_path, *(f"{'error' if n % 50 == 0 else 'fine'} {n}" for n in range(1000)))
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "fine 999")
        pane.view.focus()
        await press(pilot, "pageup", "ampersand")
        await type_text(pilot, "error")
        await press(pilot, "enter")
        await shows(app, "error 950", "& error: 20", "PAUSED")
        assert " new" not in screen_text(app)


async def test_the_title_keeps_the_name_and_the_mode_however_long_the_search_is(tmp_path: Path) -> None:
    query = "a text that is longer than the title is wide"
    recorded = running(tmp_path, query)
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "a text that")
        await press(pilot, "slash")
        await type_text(pilot, query)
        await press(pilot, "enter")
        await shows(app, "web-1   / a text", "…  PAUSED")


async def test_a_filter_shows_only_matching_lines_and_an_empty_one_all_again(tmp_path: Path) -> None:
    recorded = running(tmp_path, *(f"{'error' if n % 50 == 0 else 'fine'} {n}" for n in range(1000)))
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "fine 999")
        await press(pilot, "ampersand")
        await type_text(pilot, "error")
        await press(pilot, "enter")
        await shows(app, "error 950", "& error: 20")
        assert "fine" not in "".join(log_rows(app))
        recorded.print("web-1", "an error more", "quite fine")
        await shows(app, "an error more", "& error: 21")
        await press(pilot, "ampersand", *["backspace"] * 6, "enter")
        await shows(app, "quite fine")


async def test_long_lines_scroll_sideways_or_wrap(tmp_path: Path) -> None:
    recorded = running(tmp_path, "begin " + "x" * 100 + " end")
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "begin xxx")
        assert " end" not in "".join(log_rows(app))
        assert any(row.endswith("x…") for row in log_rows(app))
        pane.view.focus()
        await press(pilot, "right", "right", "right", "right", "right")
        await shows(app, "xx end")
        assert any(row.startswith("…x") for row in log_rows(app))
        await press(pilot, "w")
        await until(lambda: "begin" in "".join(log_rows(app)) and "end" in "".join(log_rows(app)))
        joined = "".join(log_rows(app))
        assert "x" * 100 in joined.replace(" ", "")


async def test_merged_shows_all_targets_in_the_order_of_their_lines_with_their_names(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.begin("web-2")
    for number in range(6):
        recorded.print(f"web-{1 + number % 2}", f"step {number}")
    async with watched(recorded) as (app, pilot, _):
        await press(pilot, "l")
        await shows(app, " merged", "step 5")
        rows = [row for row in log_rows(app) if "step" in row and "--" not in row]
        assert [row.split()[1:4] for row in rows] == [[f"web-{1 + n % 2}", "step", str(n)] for n in range(6)]
        recorded.print("web-2", "and more")
        await shows(app, "and more")
        await press(pilot, "l")
        await until(lambda: " merged" not in screen_text(app))


async def test_the_time_column_comes_and_goes(tmp_path: Path) -> None:
    recorded = running(tmp_path, "hello")
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "hello")
        row = next(row for row in log_rows(app) if "hello" in row)
        assert row != "hello"
        assert row.split()[0].count(":") == 2
        await press(pilot, "t")
        await until(lambda: "hello" in log_rows(app))


async def test_the_cursor_chooses_whose_log_is_shown(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    for name in ("web-1", "web-2"):
        recorded.begin(name)
        recorded.print(name, f"this is {name}")
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "this is web-1")
        await press(pilot, "j")
        await shows(app, "this is web-2")
        assert "this is web-1" not in screen_text(app)


async def test_y_copies_the_line_and_says_where_it_is_written(tmp_path: Path) -> None:
    recorded = running(tmp_path, "copy me [prod] " + "z" * 5000)
    async with watched(recorded) as (app, pilot, _):
        await shows(app, "copy me [prod]")
        await press(pilot, "y")
        written = recorded.directory / "copied.txt"
        await until(written.exists)
        assert written.read_text() == "copy me [prod] " + "z" * 5000 + "\n"
        assert written.stat().st_mode & 0o777 == 0o600
        assert app.clipboard == "copy me [prod] " + "z" * 5000
        await shows(app, "written to")


async def test_no_text_of_a_log_acts_on_the_terminal_or_as_markup(tmp_path: Path) -> None:
    evil = "\x1b]52;c;aGk=\x07 \x1b[2J [/x] [bold]deploy[prod] \x9b31m \u202eevil"
    recorded = running(tmp_path)
    path = recorded.logs.target("web-1").path
    with path.open("a") as file:
        file.write(f"2026-11-23T10:15:02.123Z switch out| {evil}\n")
    async with watched(recorded, (140, 24)) as (app, _, _pane):
        await shows(app, "[/x] [bold]deploy[prod]")
        text = screen_text(app)
        assert all(character.isprintable() or character == "\n" for character in text)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_log_of_300_mb_opens_at_once_and_memory_stays_flat(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2)).start()
    recorded.begin("web-1")
    recorded.print("web-1", "small")
    line = "2026-11-23T10:15:02.123Z unpack out| " + "payload " * 11 + "\n"
    chunk = (line * 8000).encode()
    with (recorded.directory / "logs" / "web-2.log").open("wb") as file:
        for _ in range(300_000_000 // len(chunk)):
            file.write(chunk)
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "small")
        before = resident()
        await press(pilot, "j")
        assert pane.view.source is not None
        reader = pane.view.source.reader
        await until(lambda: pane.view.window.count > 1_000_000 and not reader.behind, deadline=30)
        await press(pilot, "k")
        await shows(app, "small")
        started = time.perf_counter()
        pane.show_target("web-2")
        opened = time.perf_counter() - started
        assert opened < 0.1
        pane.view.focus()
        await press(pilot, "g", "pagedown", "pagedown", "G")
        await press(pilot, "slash")
        await type_text(pilot, "zzz")
        await press(pilot, "enter")
        await shows(app, "/ zzz: not found", deadline=60)
        assert resident() - before < 40_000_000


async def test_keys_that_follow_enter_at_once_do_not_get_into_what_is_searched(tmp_path: Path) -> None:
    recorded = running(tmp_path, "shop one", "shop two")
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "shop two")
        await press(pilot, "slash")
        await shows(app, "enter Done  esc Leave")
        for key, character in (("s", "s"), ("h", "h"), ("enter", "\r"), ("n", "n")):
            app.post_message(events.Key(key, character))
        await until(lambda: pane.view.searching)
        assert pane.view.searching is not None
        assert pane.view.searching.query == "sh"


@pytest.mark.found("M2")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(["tab", "k"], id="scroll"),
        pytest.param(["tab", "right"], id="sideways"),
        pytest.param(["slash", "l", "i", "n", "e", "enter"], id="search"),
        pytest.param(["slash", "l", "i"], id="typing a search"),
        pytest.param(["ampersand", "l", "i", "n", "e", "enter"], id="filter"),
        pytest.param(["w"], id="wrap"),
        pytest.param(["l", "l"], id="merged and back"),
        pytest.param(["d", "d"], id="grouped and back"),
        pytest.param(["f"], id="follow"),
    ],
)
async def test_any_key_in_the_log_keeps_it_while_other_targets_run_and_fail(tmp_path: Path, keys: list[str]) -> None:
    """M2: also when the panel of failed targets opens."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-2")
    recorded.print("web-2", *(f"line {number}" for number in range(60)))
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "web-2  >", "line 59")
        await press(pilot, *keys)
        rows = log_rows(app)[:5]
        recorded.end("web-2")
        recorded.begin("web-3")
        await shows(app, "> web-3")
        assert pane.target == "web-2"
        recorded.fail("web-4")
        await shows(app, "1 target failed", "T Shell on web-4")
        assert pane.target == "web-2"
        if not pane.view.window.follow:
            assert log_rows(app)[:5] == rows


async def test_a_target_chosen_in_the_list_is_shown_whatever_was_read_before(tmp_path: Path) -> None:
    """M2."""
    recorded = Recorded(tmp_path / "r", make_plan(6, 4)).start()
    recorded.begin("web-2")
    recorded.print("web-2", "line")
    async with watched(recorded) as (app, pilot, pane):
        await shows(app, "web-2  >", "line")
        await press(pilot, "w", "j")
        await until(lambda: pane.target == "web-1")
        recorded.fail("web-4")
        await until(lambda: pane.target == "web-4")
