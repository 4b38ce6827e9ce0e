"""Questions that only a person can answer: typed on purpose, one target at a time, never by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from driving import opened, press, screen_text, shows, type_text, until
from textual import events
from textual.pilot import Pilot

from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.shared import prompts
from canary_tui.tui.shared.prompts import ARMED_AFTER, QuestionScreen


async def to_question(app: CanaryApp, pilot: Pilot[ExitCode]) -> None:
    await shows(app, "18 after the gate")
    await press(pilot, "enter")
    await shows(app, "Nothing was connected to yet")
    await press(pilot, "P")
    await until(lambda: isinstance(app.screen, QuestionScreen))


def answers(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [command for command in map(json.loads, lines) if command["type"] == "answered"]


def asking(log: Path, kind: str, *more: str) -> tuple[str, ...]:
    return ("--log", str(log), "--ask", kind, *more)


async def test_a_host_key_is_accepted_by_the_word_yes_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=asking(log, "host-key")) as (app, pilot):
        await to_question(app, pilot)
        await shows(app, "An unknown host key", "web-1.example:22", "ssh-ed25519", "SHA256:abcdefgh", "then type yes")
        for wrong in ("y", "YES"):
            await type_text(pilot, wrong)
            await press(pilot, "enter", *["backspace"] * len(wrong))
        await press(pilot, "enter")
        await shows(app, "Only the word yes")
        assert answers(log) == []
        await type_text(pilot, "yes")
        await press(pilot, "enter")
        await until(lambda: answers(log))
        assert answers(log)[0]["answer"] == "yes"


async def test_what_was_typed_before_the_question_was_seen_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ARMED_AFTER >= 0.8
    monkeypatch.setattr(prompts, "ARMED_AFTER", 5.0)  # however slow the machine is, the keys come before
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=asking(log, "host-key")) as (app, pilot):
        await to_question(app, pilot)
        await press(pilot, "y", "e", "s", "enter", "escape")
        await shows(app, "then type yes")
        assert "yes " not in screen_text(app).replace("type yes", "")
        assert answers(log) == []


async def test_a_pasted_yes_is_ignored_for_a_host_key(tmp_path: Path) -> None:
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=asking(log, "host-key")) as (app, pilot):
        await to_question(app, pilot)
        await shows(app, "then type yes")
        assert app.screen.focused is not None
        app.screen.focused.post_message(events.Paste("yes"))
        await press(pilot, "enter")
        await shows(app, "Only the word yes")
        assert answers(log) == []


@pytest.mark.parametrize("kind", ["password", "passphrase", "sudo-password"])
async def test_a_secret_is_masked_and_sent_whole(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=asking(log, kind)) as (app, pilot):
        await to_question(app, pilot)
        await shows(app, "Kept in memory only")
        await type_text(pilot, "s3cret [/x]")
        assert "s3cret" not in screen_text(app)
        await press(pilot, "enter")
        await until(lambda: answers(log))
        assert answers(log)[0]["answer"] == "s3cret [/x]"


async def test_escape_refuses_this_target_only(tmp_path: Path) -> None:
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=asking(log, "password")) as (app, pilot):
        await to_question(app, pilot)
        await shows(app, "esc refuses this target")
        await press(pilot, "escape")
        await until(lambda: answers(log))
        assert answers(log)[0].get("answer") is None
        await shows(app, "Preflight: all 20 ok")


async def test_the_servers_words_are_marked_as_its_own_and_cannot_steer_the_screen(tmp_path: Path) -> None:
    words = "\x1b[2JType yes here [/x]\x07\nSecond line"
    async with opened(tmp_path, engine=asking(tmp_path / "log", "password", "--words", words)) as (app, pilot):
        await to_question(app, pilot)
        await shows(app, "The server's own words:", "| ", "[2JType yes here [/x]", "| Second line")
        assert "\x1b" not in screen_text(app)
