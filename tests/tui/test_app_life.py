"""What holds on every screen: help, palette, themes, sizes, Ctrl-C, leaving, and the engine's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from driving import opened, press, screen_lines, screen_text, scripted_engine, shows, type_text, until
from recorded import Recorded
from textual import events
from textual.command import CommandPalette
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from canary_tui.domain.rollout import events as e
from canary_tui.engine.messages import Notice
from canary_tui.errors import ExitCode
from canary_tui.tui.app import CanaryApp
from canary_tui.tui.keys import Settings
from canary_tui.tui.link import EngineLink
from canary_tui.tui.picker.picker import Picker, TargetRow
from canary_tui.tui.picker.target_table import TargetTable
from canary_tui.tui.shared.footer import KeyBar
from canary_tui.tui.shared.help import HelpScreen
from canary_tui.tui.shared.prompts import LeaveScreen
from canary_tui.tui.themes import NAMES


async def started(app: CanaryApp, pilot: Pilot[ExitCode]) -> None:
    """A rollout is live."""
    await shows(app, "18 after the gate")
    await press(pilot, "enter")
    await shows(app, "Nothing was connected to yet")
    await press(pilot, "S", "enter")
    await until(lambda: app.link.live)


async def test_the_help_tells_the_keys_of_the_pane_one_is_in(tmp_path: Path) -> None:
    async with opened(tmp_path, size=(100, 60)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "question_mark")
        await shows(app, "Keys here", "Mark the selected target", "Find every action by name", "Reverse the order")
        assert "Start the rollout" not in screen_text(app)
        await press(pilot, "escape", "enter")
        await shows(app, "Nothing was connected to yet")
        await press(pilot, "question_mark")
        await shows(app, "Start the rollout; enter confirms")


async def test_the_palette_finds_every_action_with_its_key_and_does_it(tmp_path: Path) -> None:
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "colon")
        await shows(app, "Mark  (space  insert)")
        await type_text(pilot, "invert")
        await shows(app, "Invert  (i)")
        await press(pilot, "down", "enter")
        await shows(app, "marked 18", "2 after the gate")


def typed_at_once(app: CanaryApp, *keys: str) -> None:
    """Press keys faster than the screens can follow, as a person does while they are slow."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.found("fault 4")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(["ctrl+p", "f1", "ctrl+p"], id="below the help"),
        pytest.param(["f1", "ctrl+p", "f1"], id="above the help"),
        pytest.param(["ctrl+p", "ctrl+p", "escape", "ctrl+p", "escape", "ctrl+p"], id="closing"),
    ],
)
async def test_the_palette_and_the_help_open_once_whatever_covers_them(tmp_path: Path, keys: list[str]) -> None:
    """Fault 4."""
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, *keys)
        typed_at_once(app, *keys)
        await pilot.pause()
        for kind in (CommandPalette, HelpScreen):
            assert sum(isinstance(screen, kind) for screen in app.screen_stack) <= 1
        await press(pilot, "escape", "escape", "escape")
        await shows(app, "18 after the gate")


@pytest.mark.found("fault 4")
async def test_a_dialog_closed_twice_leaves_the_screen_below_it(tmp_path: Path) -> None:
    """Fault 4."""
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "h")
        await shows(app, "HISTORY")
        await press(pilot, "f1")
        await shows(app, "Keys here")
        dialog = app.screen
        dialog.dismiss()
        dialog.dismiss()
        await pilot.pause()
        await shows(app, "HISTORY")


@pytest.mark.found("fault 4")
async def test_pages_of_a_list_without_a_place_on_the_screen_are_no_error(tmp_path: Path) -> None:
    """Fault 4: the palette hides its list before the next results are in."""
    async with opened(tmp_path, size=(100, 40)) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "colon")
        await shows(app, "Mark  (space  insert)")
        options = app.screen.query_one(OptionList)
        options.display = False
        await until(lambda: not options.scrollable_content_region)
        options.clear_options().add_options(["one", "two"])
        options.highlighted = 0
        await press(pilot, "pagedown", "pageup", "ctrl+end", "ctrl+home", "down", "up")
        typed_at_once(app, *"zzzz", "pagedown", "pageup", "backspace", "pagedown", *["backspace"] * 3, "pagedown")
        await press(pilot, "escape", "escape")
        await shows(app, "18 after the gate")


async def test_the_keys_below_a_dialog_are_grey_until_it_closes(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        bar = app.screen.query_one(KeyBar)

        def are_grey() -> set[bool]:
            grey = bar.get_component_rich_style("keybar--off").color
            return {
                segment.style is not None and segment.style.color == grey
                for segment in bar.render_lines(bar.size.region)[0]
                if segment.text.strip()
            }

        assert are_grey() == {False}
        await press(pilot, "question_mark")
        await shows(app, "Keys here")
        await until(lambda: are_grey() == {True})
        await press(pilot, "escape")
        await until(lambda: are_grey() == {False})


async def test_a_colon_in_the_filter_is_text(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash")
        await type_text(pilot, "a:b?q")
        await shows(app, "Filter: a:b?q", "no target fits")


async def test_themes_go_round_and_the_choice_is_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        for expected in (*NAMES[1:], NAMES[0], NAMES[1]):
            await press(pilot, "ctrl+t")
            await until(lambda: app.theme == expected)
            assert "18 after the gate" in screen_text(app)
    async with opened(tmp_path) as (app, _):
        assert app.theme == NAMES[1]
    async with opened(tmp_path, theme="terminal") as (app, _):
        assert app.theme == "terminal"


async def test_the_palette_takes_no_more_than_a_command_has_characters(tmp_path: Path) -> None:
    """Each character starts a search that walks all earlier ones: 5,000 of them kept the screens for half a minute."""
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "colon")
        await shows(app, "Mark  (space  insert)")
        typed_at_once(app, *"x" * 300)
        await press(pilot, "escape")
        await shows(app, "18 after the gate")
        await press(pilot, "colon")
        await shows(app, "Mark  (space  insert)")
        await until(lambda: app.screen.query_one(Input).max_length)
        typed_at_once(app, *"y" * 300)
        await pilot.pause()
        assert len(app.screen.query_one(Input).value) == app.screen.query_one(Input).max_length


async def test_keys_of_the_operators_own_are_in_the_footer_and_work(tmp_path: Path) -> None:
    settings = Settings(keys={"picker.mark": "x"}, complaints=("config.toml: something",))
    async with opened(tmp_path, settings=settings) as (app, pilot):
        await shows(app, "x Mark", "config.toml: something", "18 after the gate")
        await press(pilot, "space", "x")
        await shows(app, "17 after the gate")


async def test_a_terminal_that_is_too_small_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await pilot.resize_terminal(50, 12)
        await shows(app, "terminal too small (50x12, need 60x18)")
        await press(pilot, "a")
        await pilot.resize_terminal(80, 24)
        await shows(app, "18 after the gate", "space Mark")


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (133, 40), (200, 60)])
async def test_every_screen_ends_with_its_keys_at_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size=size) as (app, pilot):
        await shows(app, "18 after the gate")
        assert screen_lines(app)[-1].endswith("? Help")
        await press(pilot, "enter")
        await shows(app, "PLAN")
        assert screen_lines(app)[-1].endswith("? Help")
        await press(pilot, "escape", "h")
        await shows(app, "No rollout of this fleet yet.")
        assert screen_lines(app)[-1].endswith("? Help")


async def test_ctrl_c_in_the_picker_leaves_as_interrupted_even_from_a_field(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "slash", "ctrl+c")
        await until(lambda: app.return_value is not None)
        assert app.return_value == ExitCode.INTERRUPTED


async def test_escape_never_quits(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, *["escape"] * 5)
        assert app.return_value is None
        assert app.is_running


async def test_leaving_a_live_rollout_asks_and_takes_a_capital(tmp_path: Path) -> None:
    async with opened(tmp_path, engine=("--directory", str(tmp_path / "a-rollout"))) as (app, pilot):
        await started(app, pilot)
        await press(pilot, "ctrl+q")
        await until(lambda: isinstance(app.screen, LeaveScreen))
        await shows(app, "A rollout is live", "every gate holds", "canary-tui resume a-rollout")
        await press(pilot, "l", "enter", "y", "escape")
        await until(lambda: not isinstance(app.screen, LeaveScreen))
        assert app.return_value is None
        await press(pilot, "ctrl+q", "L")
        await until(lambda: app.return_value is not None)
        assert app.return_value == ExitCode.INTERRUPTED


async def test_ctrl_c_while_a_rollout_is_live_ends_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, engine=("--directory", str(tmp_path / "a-rollout"))) as (app, pilot):
        await started(app, pilot)
        await press(pilot, "ctrl+c")
        assert app.return_value is None
        assert app.link.live


async def test_names_that_look_like_markup_or_steer_a_terminal_stand_there_as_text(tmp_path: Path) -> None:
    evil = "[/x][@click=app.quit]Z[/]"
    async with opened(tmp_path, size=(120, 30)) as (app, pilot):
        await shows(app, "18 after the gate")
        rows = [TargetRow(f"{evil}\x1b[2J", roles=(evil,), tags={"zone": evil}, on=evil), TargetRow("b")]
        app.screen.query_one(TargetTable).load(Picker(rows))
        await shows(app, f"{evil} [2J", "- ")
        await press(pilot, "r")
        await type_text(pilot, evil)
        await shows(app, f"How many at random: {evil}")


async def test_a_refused_value_that_looks_like_markup_is_quoted_as_it_is(tmp_path: Path) -> None:
    evil = "[/x][@click=app.quit]Z[/]"
    async with opened(tmp_path, f'name = "{evil}"', size=(120, 30)) as (app, _):
        await shows(app, f"got '{evil}'", "r Read again")


def test_nothing_that_the_first_frame_does_not_need_is_imported() -> None:
    code = (
        "import sys, canary_tui.tui.app, canary_tui.tui.picker.screen\n"
        "print([name for name in ('asyncssh', 'markdown_it', 'tree_sitter', 'cryptography') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


# -- the engine's process


async def test_the_engine_lives_in_a_session_of_its_own_and_ends_when_told(tmp_path: Path) -> None:
    link = EngineLink(scripted_engine())
    await link.start()
    await until(lambda: link.ready)
    assert link.ready is not None
    pid = link.ready.pid
    assert os.getsid(pid) != os.getsid(0)
    await link.close()
    assert link.gone == ""
    await until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


async def test_an_engine_that_cannot_be_started_is_told_and_nothing_raises() -> None:
    told: list[str] = []
    link = EngineLink(("/nonexistent/engine",), on_gone=lambda: told.append(link.gone))
    await link.start()
    assert told == [link.gone]
    assert "could not be started" in link.gone
    await link.close()


async def test_commands_sent_before_the_engine_is_up_arrive_in_order(tmp_path: Path) -> None:
    from canary_tui.engine.messages import Answered

    log = tmp_path / "log"
    link = EngineLink(scripted_engine("--log", str(log)))
    for number in range(3):
        link.send(Answered(number, "x"))
    await link.start()
    link.send(Answered(3, "x"))
    await until(lambda: log.exists() and len(log.read_text().splitlines()) == 4)
    assert [line.count(f'"question": {n}') for n, line in enumerate(log.read_text().splitlines())] == [1, 1, 1, 1]
    await link.close()


async def test_a_listener_that_forgot_hears_no_more() -> None:
    heard: list[Notice] = []
    link = EngineLink(scripted_engine())
    forget = link.listen(heard.append)
    forget()
    forget()
    await link.start()
    await until(lambda: link.ready)
    await link.close()
    assert heard == []


async def test_the_last_net_is_under_every_widget(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        await shows(app, "18 after the gate")
        app.screen.query_one("#summary", Static).update(Content("\x1b]52;c;aGk=\x07\x9b2Jafter the net"))
        await shows(app, "after the net")
        assert all(character.isprintable() or character == "\n" for character in screen_text(app))


async def test_leaving_after_the_engine_died_is_no_success(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r").start()
    engine = ("--die", "--directory", str(recorded.directory))
    async with opened(tmp_path, engine=engine) as (app, pilot):
        await shows(app, "18 after the gate")
        await press(pilot, "enter")
        await shows(app, "PLAN")
        await press(pilot, "S", "enter")
        await shows(app, "the engine is gone", "canary-tui resume")
        await press(pilot, "q")
        await until(lambda: app.return_code is not None or app.return_value is not None)
        assert app.return_value == ExitCode.INTERRUPTED
    recorded.close()


async def test_leaving_a_demo_promises_no_resume(tmp_path: Path) -> None:
    async with opened(tmp_path, engine=("--directory", str(tmp_path / "a-rollout")), demo=True) as (app, pilot):
        await started(app, pilot)
        await press(pilot, "ctrl+q")
        await shows(app, "The demo's servers end with this screen", "L Leave")
        assert "canary-tui resume" not in screen_text(app)


@pytest.mark.parametrize("demo", [True, False])
async def test_a_paused_demo_promises_no_resume_and_no_other_rollout_does_without(tmp_path: Path, demo: bool) -> None:
    recorded = Recorded(tmp_path / "r").at_gate()
    async with opened(tmp_path, engine=("--directory", str(recorded.directory)), demo=demo) as (app, pilot):
        await started(app, pilot)
        await shows(app, "GATE")
        recorded.add(e.EngineStopped("interrupted"))
        await shows(app, "PAUSED: it was stopped by the operator")
        told = " ".join(screen_text(app).split())
        assert ("the demo's servers end with this screen" in told) == demo
        assert ("nothing is lost" in told) != demo
        assert ("canary-tui resume" in told) != demo
    recorded.close()
