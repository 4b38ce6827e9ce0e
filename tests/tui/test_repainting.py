from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import press, shows, until
from recorded import Recorded, Stage, Wire, make_plan
from textual.content import Content
from textual.css.query import DOMQuery

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


async def test_what_is_painted_five_times_a_second_walks_over_no_widgets_and_wraps_no_text_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk over all widgets costs as much as a third of a paint."""
    recorded = Recorded(tmp_path / "r", make_plan(8, 2)).start()
    recorded.deploy("web-1", "web-2")
    recorded.open_gate()
    screen = RolloutScreen(recorded.directory, Wire())
    app = Stage(screen)
    async with app.run_test(size=(100, 30)):
        await shows(app, "GATE", "web-8")
        screen.targets.choose("web-8")
        await shows(app, "web-8: held")
        walks: list[object] = []
        wrapped: list[str] = []
        query, wrap = DOMQuery.__init__, Content.wrap

        def counted_query(*arguments: Any, **words: Any) -> None:
            walks.append(arguments)
            query(*arguments, **words)

        def counted_wrap(content: Content, *arguments: Any, **words: Any) -> list[Content]:
            wrapped.append(content.plain)
            return wrap(content, *arguments, **words)

        monkeypatch.setattr(DOMQuery, "__init__", counted_query)
        monkeypatch.setattr(Content, "wrap", counted_wrap)
        for _ in range(3):
            screen._show_all()
        view = screen.logs.view
        painted = [view.render_line(y).text for y in range(view.size.height)]
        assert any("It is held" in row for row in painted)
        assert (walks, [text for text in wrapped if "It is held" in text]) == ([], [])
