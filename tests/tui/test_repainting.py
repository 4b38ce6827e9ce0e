from __future__ import annotations

from pathlib import Path

from driving import press, shows, until
from recorded import Recorded, Stage, Wire, make_plan

from canary_tui.tui.rollout.screen import RolloutScreen


class Lit(Stage):
    """The stage in a theme of choice."""

    def __init__(self, screen: RolloutScreen, theme: str) -> None:
        super().__init__(screen)
        self.theme = theme


def drawn(app: Stage) -> list[list[tuple[str, object]]]:
    """Every row with its colours, but for the two whose clocks run."""
    strips = app.screen._compositor.render_strips()[2:]
    return [[(segment.text, segment.style) for segment in strip] for strip in strips]


async def test_another_theme_colours_every_row_as_if_it_had_been_there_from_the_start(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(8, 2)).start()
    recorded.deploy("web-1", "web-2")
    recorded.print("web-1", "unpacked")
    screens = [RolloutScreen(recorded.directory, Wire()) for _ in range(2)]
    changed, fresh = Lit(screens[0], "textual-dark"), Lit(screens[1], "textual-light")
    async with changed.run_test(size=(100, 30)) as pilot, fresh.run_test(size=(100, 30)):
        for app in (changed, fresh):
            await shows(app, "unpacked", "web-8")
        before = drawn(changed)
        changed.theme = "textual-light"
        await until(lambda: drawn(changed) == drawn(fresh))
        assert drawn(changed) != before
        await press(pilot, "tab")
        await until(lambda: drawn(changed) != drawn(fresh))
        changed.screen.focus_next()
        await until(lambda: drawn(changed) == drawn(fresh))
