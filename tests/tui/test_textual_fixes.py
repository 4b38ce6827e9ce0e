"""What is gone from the screens is gone from memory, and without Python's having to search for it."""

from __future__ import annotations

import gc
from pathlib import Path

from driving import opened, press, shows
from recorded import Recorded, Stage, Wire, make_plan
from textual.pilot import Pilot

from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.textual_fixes import apply_fixes


async def help_opened(app: CanaryApp, pilot: Pilot[ExitCode], times: int) -> int:
    for _ in range(times):
        await press(pilot, "?")
        await shows(app, "Keys here")
        await press(pilot, "?")
        await shows(app, "18 after the gate")
    await pilot.pause()
    gc.collect()
    return len(gc.get_objects())


async def test_a_screen_that_was_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await shows(app, "18 after the gate")
        before = await help_opened(app, pilot, 4)
        assert await help_opened(app, pilot, 6) - before < 600, "objects more after six screens came and went"


async def test_what_was_painted_goes_without_a_search_for_it(tmp_path: Path) -> None:
    apply_fixes()
    recorded = Recorded(tmp_path / "r", make_plan(8, 2)).start()
    recorded.deploy("web-1", "web-2")
    for number in range(60):
        recorded.print("web-1", f"unpacked {number}")
    app = Stage(RolloutScreen(recorded.directory, Wire()))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, "unpacked 59", "web-8")
        gc.collect()
        gc.disable()
        try:
            await press(pilot, *"jkjkjkjkjk", *["tab"] * 4)
            await pilot.pause()
            found = gc.collect()
        finally:
            gc.enable()
    assert found < 6000, "14 keys leave rows and styles behind that only a search finds"
