"""Any sequence of terminal sizes ends in the picture that the last size alone gives."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from driving import opened, press, screen_text, shows, until

from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp

SIZES = [(120, 35), (80, 24), (60, 18), (200, 50), (40, 10), (50, 24), (80, 12)]
SMALL = SIZES[4:]
PLACES = {
    "picker": ([], "LAST ROLLOUT"),
    "plan": (["enter"], "Nothing was connected to yet"),
    "history": (["h"], "No rollout of this fleet"),
}


async def picture(app: CanaryApp, size: tuple[int, int]) -> str:
    """What stands on the screen when it no longer changes."""
    await until(lambda: app.size == size)
    seen = [""]

    def rests() -> bool:
        seen.append(screen_text(app))
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    await until(rests)
    return seen[-1]


@pytest.mark.found("M15")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("last", SIZES[:3])
async def test_any_resizes_end_in_the_picture_of_the_last_size(
    tmp_path: Path, place: str, last: tuple[int, int]
) -> None:
    """M15: also after the terminal was too small."""
    keys, text = PLACES[place]
    dice = random.Random(place)
    async with opened(tmp_path, size=last) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, *keys)
        await shows(app, text)
        alone = await picture(app, last)
        for _ in range(5):
            for size in (*dice.choices(SIZES, k=dice.randrange(1, 4)), dice.choice(SMALL), last):
                await pilot.resize_terminal(*size)
                await until(lambda size=size: app.size == size)  # type: ignore[misc]  # bound at once
            assert app.return_code is ExitCode.SUCCEEDED or app.is_running
            assert await picture(app, last) == alone
