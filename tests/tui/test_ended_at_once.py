"""A dialog that a key ends before it is on the screen ends, and nothing else does."""

from __future__ import annotations

import pytest
from textual.app import App

from canary_tui.tui.shared.prompts import ChooseScreen


@pytest.mark.found("fault 4")
async def test_a_choice_that_is_ended_before_it_is_laid_out_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random keys met it: the dialog is told that it is there while it has no list yet, or no more."""
    monkeypatch.setattr(ChooseScreen, "compose", lambda _self: ())
    app: App[None] = App()
    async with app.run_test() as pilot:
        app.push_screen(ChooseScreen("Which?", ("a", "b"), 0))
        await pilot.pause()
        app.screen.dismiss(None)
        await pilot.pause()
    assert app.return_code in (0, None)
