"""The plan before the start: what it says, what preflight adds, and how deliberate starting is."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from driving import SHOP, opened, press, screen_text, shows, until
from textual.pilot import Pilot

from canary_tui.domain.rollout.events import Operator
from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp


async def to_plan(app: CanaryApp, pilot: Pilot[ExitCode]) -> None:
    await shows(app, "18 after the gate")
    await press(pilot, "enter")
    await shows(app, "PLAN", "Nothing was connected to yet")


def commands(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


async def test_the_plan_names_every_wave_step_and_gate_and_the_hash(tmp_path: Path) -> None:
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await to_plan(app, pilot)
        await shows(
            app,
            "shop · production · release 1.4.2",
            "1  canary      2 targets, 2 at once  from selection 'web-13 | web-2'",
            "web-[2,13]",
            "gate: a person approves by typing how many targets come next (18)",
            "[ ] Dashboards look right",
            "2  rest        18 targets, 8 at once",
            "web-[1,3-12,14-20]",
            "1  switch  echo switch",
            "none: a changed target cannot be rolled back",
        )
        assert len(screen_text(app).splitlines()[0].split("plan ")[-1].strip()) == 12


async def test_warnings_come_first_and_hidden_marks_are_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash", *"zone=a", "enter", "enter")
        await shows(app, "! 1 marked target is hidden by the filter")
        text = screen_text(app)
        assert text.index("hidden by the filter") < text.index("Waves")


async def test_all_names_are_a_key_away(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "n")
        await shows(app, "web-2 web-13", "web-1 web-3 web-4 web-5")


async def test_a_step_says_on_which_targets_it_is_not_run(tmp_path: Path) -> None:
    fleet = SHOP.replace(
        'run = "echo switch"', 'run = "echo switch"\n[[steps]]\nname = "warm"\nrun = "x"\nroles = ["canary"]'
    )
    async with opened(tmp_path, fleet, size=(100, 40)) as (app, pilot):
        await to_plan(app, pilot)
        await shows(app, "not on 12 targets without role canary:", "web-[1-12]")


async def test_preflight_shows_failures_first_with_symbol_word_and_reason(tmp_path: Path) -> None:
    fleet = SHOP.replace('name = "web-[13-20]"', 'name = "dead-[13-20]"').replace("web-13", "dead-13")
    async with opened(tmp_path, fleet, size=(100, 40)) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "P")
        await shows(app, "Preflight  20/20", "~ dead-13", "unreachable  connection refused", "+ web-1 ", "runs 1.4.1")
        text = screen_text(app)
        assert text.index("dead-20") < text.index("+ web-1 ")
        await shows(app, "Preflight: 8 targets of 20 not ok")


async def test_starting_takes_a_capital_and_then_enter_on_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "commands"
    async with opened(tmp_path, engine=("--log", str(log), "--refuse", "another rollout is live")) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "enter", "s", "escape", "s")
        await press(pilot, "S")
        await shows(app, "Start shop 1.4.2 in production: 2 canaries of 20 targets?  enter Start")
        assert commands(log) == []
        await press(pilot, "escape")
        await shows(app, "Not started.")
        await press(pilot, "enter")
        await shows(app, "STEP 1 of 1")
        assert commands(log) == []
        await press(pilot, "escape", "S", "enter")
        await shows(app, "Refused: another rollout is live")
        (start,) = commands(log)
        assert start["type"] == "start"
        assert start["plan"]["waves"][0]["targets"] == ["web-2", "web-13"]
        assert Operator(**{key: start["by"][key] for key in start["by"] if key != "type"}).user


async def test_escape_goes_back_to_the_picker_with_its_marks(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "escape")
        await shows(app, "18 after the gate", "space Mark")


async def test_text_that_looks_like_markup_or_a_command_stands_there_as_it_is(tmp_path: Path) -> None:
    evil = "[/x][@click=app.quit]Z[/]"
    fleet = SHOP.replace("Dashboards look right", evil).replace("echo switch", f"echo {evil}")
    async with opened(tmp_path, fleet, size=(100, 40)) as (app, pilot):
        await to_plan(app, pilot)
        await shows(app, f"[ ] {evil}", f"echo {evil}")


async def test_an_engine_that_dies_is_told_in_full_width_with_the_way_on(tmp_path: Path) -> None:
    async with opened(tmp_path, engine=("--die", "--directory", str(tmp_path / "a-rollout"))) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "S", "enter")
        await until(lambda: app.link.gone)
        assert isinstance(app, CanaryApp)
        assert "exit status 1: MemoryError" in app.link.gone
        assert "MemoryError" in app.link.last_words
        await shows(app, "the engine is gone: exit status 1: MemoryError", "canary-tui resume a-rollout")


# One step in full


SCRIPTED = '''
[[steps]]
name = "unpack"
script = "unpack.sh"
timeout = "2m"
retries = 2
[[steps]]
name = "send"
upload = "shop-$RELEASE.tgz"
to = "/srv/shop.tgz"
[[steps]]
name = "answers"
http = "http://$TARGET/health"
expect = { contains = "ok" }
[[rollback]]
name = "back"
run = """
echo one
echo [/x] two
"""
'''


def with_files(folder: Path, script: str = "#!/bin/sh\necho first\x1b[2J\n\techo last\n") -> str:
    (folder / "unpack.sh").write_text(script, encoding="utf-8")
    (folder / "shop-1.4.2.tgz").write_bytes(b"x" * 12345)
    return SHOP.replace("[[waves]]", SCRIPTED + "[[waves]]", 1)


@pytest.mark.found("M16")
@pytest.mark.parametrize(
    ("downs", "told"),
    [
        pytest.param(0, ["STEP 1 of 4  switch", "| echo switch", "the login user of your ssh"], id="run"),
        pytest.param(
            1, ["STEP 2 of 4  unpack", "script unpack.sh", "| #!/bin/sh", "| echo first [2J", "|         echo last", "at most 2 times"],
            id="script",
        ),
        pytest.param(
            2,
            ["STEP 3 of 4  send", "to      /srv/shop.tgz, mode 0644", "12 kB (12,345 bytes)",
             f"sha256  {sha256(b'x' * 12345).hexdigest()}"],
            id="upload",
        ),
        pytest.param(3, ["STEP 4 of 4  answers", "| http://$TARGET/health", "contains 'ok'", "this machine"], id="http"),
        pytest.param(4, ["ROLLBACK STEP 1 of 1  back", "| echo one", "| echo [/x] two"], id="rollback"),
    ],
)  # fmt: skip
async def test_enter_opens_the_whole_text_of_the_selected_step(tmp_path: Path, downs: int, told: list[str]) -> None:
    """Everything that a step runs, sends or asks can be read before the start, at 80x24."""
    async with opened(tmp_path, with_files(tmp_path)) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "G", *["k"] * 8)
        await shows(app, "> 1  switch")
        await press(pilot, *["j"] * downs, "enter")
        await shows(app, *told)
        await shows(app, "RELEASE")
        await press(pilot, "escape")
        await shows(app, "PLAN  shop", "enter Open step")


@pytest.mark.found("M16")
async def test_a_step_of_any_length_is_read_to_its_end_with_its_long_lines(tmp_path: Path) -> None:
    script = "".join(f"echo {number}\n" for number in range(3000)) + "echo " + "long " * 60 + "end\n"
    async with opened(tmp_path, with_files(tmp_path, script)) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "G", *["k"] * 8, "j", "enter")
        await shows(app, "| echo 0")
        await press(pilot, "G")
        await shows(app, "echo 2999", "long end")
        await press(pilot, "g")
        await shows(app, "script unpack.sh")


@pytest.mark.found("M16")
async def test_the_selected_step_is_always_one_in_sight(tmp_path: Path) -> None:
    async with opened(tmp_path, with_files(tmp_path), size=(60, 18)) as (app, pilot):
        await to_plan(app, pilot)
        for key in ("G", "g", *["j"] * 25, *["k"] * 25, "pagedown", "pageup"):
            await press(pilot, key)
            steps = re.findall(r"^ ([> ]) \d  (?:switch|unpack|send|answers|back) ", screen_text(app), re.MULTILINE)
            assert not steps or steps.count(">") == 1, (key, screen_text(app))


@pytest.mark.found("M16")
async def test_the_hash_of_the_plan_is_copied_and_shown_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await to_plan(app, pilot)
        await press(pilot, "y")
        await shows(app, "Copied: ")
        [line] = [line for line in screen_text(app).splitlines() if "Copied: " in line]
        assert re.fullmatch(r" ?Copied: [0-9a-f]{64}", line)
        assert app.clipboard in line
