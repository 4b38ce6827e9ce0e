"""Draws the README's picture: the demo at its open gate, reached by keys.

`python tests/tui/picture.py` writes it.
"""

from __future__ import annotations

import asyncio
import pathlib
import tempfile

from driving import press, shows

from canary_tui.demo.launch import Demo, start_demo
from canary_tui.domain.planning.choices import Choices
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.options import AppOptions

PICTURE = pathlib.Path(__file__).parents[2] / "sample_fleets/gate.svg"
SIZE = (110, 32)


async def at_the_gate(demo: Demo, state: pathlib.Path) -> str:
    """The screen with its checklist ticked, as SVG."""
    choices = Choices(demo.release, environment=demo.environment, directory=str(demo.folder))
    app = CanaryApp(AppOptions(state, demo.fleet_path, choices=choices, engine=demo.engine, demo=True, theme="dark"))
    try:
        async with app.run_test(size=SIZE) as pilot:
            await shows(app, "2 canaries in 2 zones", deadline=30)
            await press(pilot, "enter")
            await shows(app, "Nothing was connected to yet")
            await press(pilot, "S")
            await shows(app, "2 canaries of 7 targets?")
            await press(pilot, "enter")
            await shows(app, "GATE", "waiting 00:02", deadline=60)
            await press(pilot, "1")
            await shows(app, "[x] 1", "A Approve: then type")
            await pilot.pause()
            # Some viewers drop the blanks at the ends of a text, which Textual's picture counts on.
            picture = app.export_screenshot(title="canary-tui demo")
            return picture.replace("<svg ", '<svg xml:space="preserve" ', 1)
    finally:
        await app.link.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, start_demo() as demo:
        PICTURE.write_text(asyncio.run(at_the_gate(demo, pathlib.Path(folder))), encoding="utf-8")
