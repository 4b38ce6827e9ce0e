"""The grouped logs on the screen: pressed for, looked at, searched in, while output comes."""

from __future__ import annotations

import time
from pathlib import Path

from driving import press, screen_text, shows, type_text, until
from recorded import BY, Recorded, Stage, make_plan
from test_log_view import log_rows, watched

from canary_tui.domain.fleet.tables import Limits
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.rollout import events as e
from canary_tui.tui.rollout.screen import RolloutScreen


def second_wave(tmp_path: Path, targets: int, canaries: int = 2, *lines: str) -> Recorded:
    """All targets at work, having printed `lines` with their own names in it."""
    limits = Limits(failures=Share(5))
    recorded = Recorded(tmp_path / "r", make_plan(targets, canaries, limits=limits)).start()
    names = list(recorded.plan.targets)
    for name in names[:canaries]:
        recorded.begin(name)
        recorded.print(name, *(line.replace("ME", name) for line in lines))
        recorded.end(name)
        recorded.begin(name)
        recorded.end(name)
    recorded.open_gate()
    recorded.approve_gate()
    recorded.add(e.WaveStarted(1))
    for name in names[canaries:]:
        recorded.begin(name)
        recorded.print(name, *(line.replace("ME", name) for line in lines))
    return recorded


async def test_forty_targets_are_one_text_and_the_one_that_differs_is_open_at_its_first_other_line(
    tmp_path: Path,
) -> None:
    recorded = second_wave(tmp_path, 40, 2, "ME unpacks", "migrating")
    recorded.print("web-7", "warning: disk nearly full", "done")
    for name in [f"web-{n}" for n in range(3, 41)]:
        recorded.end(name)
        recorded.begin(name)
        recorded.end(name)
    async with watched(recorded, (120, 30)) as (app, pilot, pane):
        await press(pilot, "d")
        await shows(app, " grouped  1 differs  39 same")
        await until(lambda: log_rows(app)[0] == "== 39 targets same as canary: web-[1-6,8-40]")
        found = log_rows(app)
        assert found[1] == "!= 1 target differs from line 4 on: web-7"
        assert [row[:3] for row in found[2:6]] == ["   ", "   ", "!> ", "   "]
        assert found[2].endswith(" web-7 unpacks"), "two equal lines before it"
        assert found[4].endswith(" warning: disk nearly full")
        assert found[5].endswith(" done")
        assert "== output of the 39, as web-1 printed it" in found
        assert sum("unpacks" in row for row in found) == 2
        marked = next(segment for segment in pane.view.render_line(4) if "warning" in segment.text)
        assert marked.style is not None
        assert marked.style.color == pane.view.tone("failed").color
        await press(pilot, "d")
        await until(lambda: " grouped" not in screen_text(app))


async def test_output_that_comes_is_grouped_in_and_who_is_behind_does_not_differ(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 6, 2, "ME unpacks")
    async with watched(recorded, (120, 30)) as (app, pilot, _):
        await press(pilot, "d")
        await shows(
            app, "grouped  6 same  4 behind", "== 6 targets same as canary, 4 still behind: web-[1-6]", "FOLLOW"
        )
        recorded.end("web-3")
        await until(lambda: " behind" in screen_text(app) and "differ" not in screen_text(app))
        recorded.print("web-4", "something else")
        await shows(app, "grouped  1 differs  5 same  3 behind", "!= 1 target differs from line 3 on: web-4")
        assert any(row.startswith("!> ") and row.endswith("something else") for row in log_rows(app))
        recorded.print("web-4", "and more of it")
        await shows(app, "and more of it")


async def test_the_reference_is_followed_and_with_one_wave_it_is_what_most_print(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(5, 5)).start()
    for name in recorded.plan.targets:
        recorded.begin(name)
        recorded.print(name, *(f"line {n}" for n in range(100)))
    async with watched(recorded) as (app, pilot, pane):
        await press(pilot, "d")
        await shows(app, "grouped  5 same", "line 99", "FOLLOW")
        for name in recorded.plan.targets:
            recorded.print(name, "the newest")
        await shows(app, "the newest")
        pane.view.focus()
        await press(pilot, "g")
        await shows(app, "== 5 targets with the same output: web-[1-5]", "PAUSED")
        await press(pilot, "G")
        await shows(app, "the newest", "FOLLOW")


async def test_what_is_looked_at_stays_in_its_place_while_others_begin_to_differ(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 8, 2, *(f"line {n}" for n in range(300)))
    async with watched(recorded, (120, 30)) as (app, pilot, pane):
        await press(pilot, "d")
        await shows(app, "grouped  8 same")
        pane.view.focus()
        await press(pilot, "pageup", "pageup", "pageup")
        await shows(app, "PAUSED")
        before = log_rows(app)
        recorded.print("web-5", *(f"odd {n}" for n in range(50)))
        await shows(app, "1 differs")
        recorded.print("web-6", *(f"odd {n}" for n in range(20)))
        await shows(app, "2 differ")
        assert log_rows(app) == before
        await press(pilot, "g")
        await shows(app, "== 6 targets", "!= 2 targets differ from line 302 on: web-[5-6]", "odd 0")


async def test_search_wrap_time_and_copy_work_and_a_filter_says_why_it_does_not(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 6, 2, "needle one", *(f"hay {n}" for n in range(100)), "needle two", "x" * 300)
    recorded.print("web-4", "needle three")
    async with watched(recorded, (100, 30)) as (app, pilot, pane):
        await press(pilot, "ampersand", "h", "a", "y", "enter")
        await shows(app, "& hay")
        await press(pilot, "d")
        await shows(app, "1 differs", "!= 1 target")
        assert "& hay" not in screen_text(app)
        await press(pilot, "ampersand")
        await shows(app, "no filter here")
        assert not pane.has_class("-asking")
        await press(pilot, "slash")
        await type_text(pilot, "needle")
        await press(pilot, "enter")
        await shows(app, "/ needle: 1 of 4")
        await press(pilot, "n")
        await shows(app, "2 of 4")
        await press(pilot, "n")
        await shows(app, "3 of 4")
        await press(pilot, "N", "y")
        await until((recorded.directory / "copied.txt").exists)
        assert (recorded.directory / "copied.txt").read_text() == "needle three\n"
        await press(pilot, "g", "t")
        await until(lambda: any(row == "!> needle three" for row in log_rows(app)))
        await press(pilot, "w")
        await until(lambda: "".join(row.strip() for row in log_rows(app)).count("x" * 120))


async def test_merged_and_grouped_take_turns_and_the_list_chooses_again_only_when_they_are_left(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 4, 2, "ME unpacks")
    async with watched(recorded) as (app, pilot, _):
        await press(pilot, "d")
        await shows(app, " grouped")
        await press(pilot, "j")
        await shows(app, " grouped")
        await press(pilot, "l")
        await shows(app, " merged")
        await press(pilot, "d")
        await shows(app, " grouped")
        await press(pilot, "d")
        await shows(app, " web-4  ")


async def test_a_rollout_that_has_ended_is_grouped_as_a_live_one_is(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 6, 2, "ME unpacks")
    recorded.print("web-5", "oh")
    for name in ("web-3", "web-4", "web-5", "web-6"):
        recorded.end(name, *(("failed", 1, "exit 1") if name == "web-5" else ()))
    recorded.logs.close()
    app = Stage(RolloutScreen(recorded.directory, None))
    async with app.run_test(size=(100, 30)) as pilot:
        await shows(app, "READ ONLY")
        await press(pilot, "d")
        await shows(app, "grouped  1 differs  5 same", "!= 1 target differs from line 3 on: web-5", "oh")
    recorded.writer.close()


async def test_before_anything_is_printed_the_title_says_so(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r").start()
    async with watched(recorded) as (app, pilot, _):
        await press(pilot, "d")
        await shows(app, "grouped  no output yet")
        recorded.begin("web-1")
        recorded.print("web-1", "first words")
        await shows(app, "grouped  1 same", "first words")


async def test_no_output_acts_on_the_terminal_or_as_markup(tmp_path: Path) -> None:
    recorded = second_wave(tmp_path, 4, 2, "\x1b]52;c;aGk=\x07 \x1b[2J [/x] deploy[prod] \u202eevil")
    async with watched(recorded, (140, 24)) as (app, pilot, _):
        await press(pilot, "d")
        await shows(app, "grouped  4 same", "[/x] deploy[prod]")
        assert all(character.isprintable() or character == "\n" for character in screen_text(app))


async def test_a_thousand_targets_are_compared_in_slices_between_which_keys_are_served(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(1000, 1000))
    recorded.add(e.RolloutStarted("2026-11-23T101500Z-shop-7f3a", recorded.plan, BY, True, "0.1"))
    recorded.add(e.WaveStarted(0))
    text = "".join(f"unpacking file number {n} into /srv/shop/current\n" for n in range(1000))
    for number, name in enumerate(recorded.plan.targets):
        recorded.logs.target(name).write(text if number != 500 else text.replace("number 700", "number 7OO"))
    recorded.logs.flush()
    async with watched(recorded, (120, 30)) as (app, pilot, pane):
        await shows(app, "web-4")
        started = time.process_time()
        await press(pilot, "d")
        await shows(app, " grouped")
        assert time.process_time() - started < 1.0
        assert pane._grouped is not None
        grouped = pane._grouped.grouped
        slices = []
        while grouped.progress < 1.0:
            before = time.process_time()
            grouped.poll()
            slices.append(time.process_time() - before)
            await pilot.pause()
        assert max(slices, default=0.0) < 0.2
        await shows(app, "grouped  1 differs  999 same", "differs from line 701 on: web-501")
        assert any(row.startswith("!> ") and row.endswith("number 7OO into /srv/shop/current") for row in log_rows(app))
        await press(pilot, "d")
        await shows(app, " web-1  ")
