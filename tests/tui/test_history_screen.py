"""Earlier rollouts: what they left known in the picker, and their list."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from driving import opened, press, screen_lines, screen_text, shows, until
from recorded import Recorded, make_plan

from canary_tui.domain.rollout import events as e
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.picker.open_rollouts import OpenRolloutsScreen
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.shared.prompts import ARMED_AFTER


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    (folder / "rollouts").mkdir(parents=True, mode=0o700)
    return folder


def rollout(state: Path, stamp: str, end: str = "waiting") -> Recorded:
    """web-1 ok, web-2 failed; then it is aborted, or its engine stopped waiting, or it is live."""
    recorded = Recorded(state / "rollouts" / f"{stamp}-shop-7f3a", make_plan(4, 2)).start()
    recorded.deploy("web-1")
    recorded.fail("web-2")
    if end == "aborted":
        recorded.add(e.Aborted(e.Operator("maria", "laptop"), "no", rollback=False))
        recorded.add(e.RolloutFinished("aborted", "1 of 4 targets has 1.4.2", 3))
    elif end == "waiting":
        recorded.add(e.EngineStopped("waiting"))
    recorded.close()
    return recorded


def shows_rollout(app: CanaryApp) -> bool:
    return any(isinstance(screen, RolloutScreen) for screen in app.screen_stack)


async def test_the_picker_tells_what_is_on_each_target_and_how_its_last_rollout_ended(
    tmp_path: Path, state: Path
) -> None:
    rollout(state, "2026-11-23T101500Z")
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "n")
        await shows(app, "FAILED just now")
        rows = screen_lines(app)
        assert "1.4.2  ok     just now" in next(row for row in rows if "web-1 " in row)
        assert "-      FAILED just now" in next(row for row in rows if "web-2 " in row)
        assert "never" in next(row for row in rows if "web-5 " in row)
        await press(pilot, "slash", *"failed", "enter")
        await shows(app, "shown 1 ")
        await press(pilot, "enter")
        await shows(app, "! 1 canary failed its last rollout", "! 1 marked target is hidden by the filter")


async def test_the_list_is_the_youngest_first_and_an_open_one_can_be_resumed(tmp_path: Path, state: Path) -> None:
    log = tmp_path / "commands"
    rollout(state, "2026-11-22T101500Z", "aborted")
    rollout(state, "2026-11-23T101500Z")
    async with opened(tmp_path, engine=("--log", str(log))) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "n")
        await shows(app, "18 after the gate")
        await press(pilot, "h")
        await shows(app, "HISTORY  shop", "2 rollouts", "open, at a gate", "aborted", "maria")
        text = screen_text(app)
        assert text.index("open, at a gate") < text.index("aborted")
        await press(pilot, "j", "R")
        await shows(app, "It is over (aborted); there is nothing to go on with.")
        await press(pilot, "k", "r")
        assert not log.exists()
        await press(pilot, "R")
        await until(lambda: shows_rollout(app))
        (resume,) = map(json.loads, log.read_text().splitlines())
        assert resume["directory"].endswith("2026-11-23T101500Z-shop-7f3a")


async def test_where_there_is_no_rollout_no_key_offers_to_open_one(tmp_path: Path, state: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "web-1 ")
        await press(pilot, "h")
        await shows(app, "No rollout of this fleet yet.")
        await shows(app, "esc Back  ? Help")
        assert "enter" not in screen_lines(app)[-1]
        assert "R" not in screen_lines(app)[-1].split()


async def test_enter_shows_a_rollout_again_and_escape_comes_back(tmp_path: Path, state: Path) -> None:
    rollout(state, "2026-11-23T101500Z")
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "n")
        await shows(app, "18 after the gate")
        await press(pilot, "h")
        await shows(app, "open, at a gate")
        await press(pilot, "enter")
        await until(lambda: shows_rollout(app))
        await shows(app, "! web-2", "paused: at a gate")
        await press(pilot, "q")
        await shows(app, "HISTORY  shop")
        await press(pilot, "escape")
        await shows(app, "space Mark")


async def test_ctrl_c_on_a_live_rollout_asks_what_to_stop_and_ends_nothing(tmp_path: Path, state: Path) -> None:
    directory = rollout(state, "2026-11-23T101500Z", "live").directory
    async with opened(tmp_path, engine=("--directory", str(directory))) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "n")
        await shows(app, "18 after the gate")
        await press(pilot, "enter")
        await shows(app, "Nothing was connected to yet")
        await press(pilot, "S", "enter")
        await until(lambda: shows_rollout(app) and app.link.live)
        await shows(app, "web-2")
        await press(pilot, "ctrl+c")
        await shows(app, "Continue")
        assert app.return_value is None


async def test_at_80_columns_every_column_has_its_title_and_enter_stands_in_the_footer(
    tmp_path: Path, state: Path
) -> None:
    rollout(state, "2026-11-23T101500Z", "aborted")
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "h")
        await shows(app, "HISTORY  shop", "enter Open", "BY        TOOK")
        lines = screen_lines(app)
        row = next(line for line in lines if "aborted" in line)
        head = next(line for line in lines if "TOOK" in line)
        assert row.index("0 s") == head.index("TOOK")


@pytest.mark.found("M5")
async def test_an_open_rollout_is_offered_when_its_fleet_is_opened(tmp_path: Path, state: Path) -> None:
    """Whoever opens a fleet is offered its open rollouts before a new one: resume, look, or a new one."""
    log = tmp_path / "commands"
    rollout(state, "2026-11-22T101500Z", "aborted")
    mine = rollout(state, "2026-11-23T101500Z", "killed")
    async with opened(tmp_path, engine=("--log", str(log)), size=(80, 24)) as (app, pilot):
        await shows(app, "shop: not ended", "was interrupted", "1 ok, 1 failed", "R Resume", "enter Look", "n New one")
        assert "aborted" not in screen_text(app)
        await press(pilot, "n")
        await shows(app, "enter Plan")
        await press(pilot, "ctrl+r")
        await shows(app, "enter Plan")
        assert "shop: not ended" not in screen_text(app), "it is offered once"
    async with opened(tmp_path, engine=("--log", str(log)), size=(80, 24)) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "enter")
        await shows(app, "READ ONLY · no engine is at work")
        await press(pilot, "q")
        await shows(app, "enter Plan")
    async with opened(tmp_path, engine=("--log", str(log)), size=(80, 24)) as (app, pilot):
        await shows(app, "shop: not ended")
        await press(pilot, "R")
        assert not shows_rollout(app), "it may have been meant for the picker"
        dialog = app.screen
        assert isinstance(dialog, OpenRolloutsScreen)
        await until(lambda: time.monotonic() > dialog._shown_at + ARMED_AFTER)
        await press(pilot, "R")
        await until(lambda: shows_rollout(app))
        [resumed] = [json.loads(line) for line in log.read_text().splitlines() if '"resume"' in line]
        assert resumed["directory"] == str(mine.directory)
