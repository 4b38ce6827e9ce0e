from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from driving import nothing_is_read_yet, press, screen_text, shows, type_text, until
from recorded import BY, Recorded, Stage, Wire, make_plan
from textual import events
from textual.pilot import Pilot

from canary_tui.domain.fleet.tables import Confirm, Gate
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.gate import evidence
from canary_tui.engine.messages import Decide, Refused
from canary_tui.tui.logs.log_view import LogView
from canary_tui.tui.rollout.abort_panel import AbortPanel
from canary_tui.tui.rollout.gate_panel import GatePanel
from canary_tui.tui.rollout.screen import RolloutScreen
from canary_tui.tui.shared.help import help_text, usable_on
from canary_tui.tui.shared.panel import GUARD, Panel, PanelTitle, TypedField


@asynccontextmanager
async def waiting(
    recorded: Recorded, size: tuple[int, int] = (80, 24), *, read_only: bool = False, notifications: bool = False
) -> AsyncIterator[tuple[Stage, Pilot[int], Wire, GatePanel]]:
    """A screen with a live engine on a rollout."""
    wire = Wire()
    screen = RolloutScreen(recorded.directory, None if read_only else wire)
    app = Stage(screen)
    async with app.run_test(size=size, notifications=notifications) as pilot:
        await until(lambda: screen.is_mounted and screen.query(GatePanel))
        beating = app.set_interval(0.5, wire.beat) if not read_only else None
        if beating is not None:
            wire.beat()
        yield app, pilot, wire, screen.query_one(GatePanel)
    recorded.close()


async def readable(panel: Panel) -> None:
    """Until somebody can have read the panel."""
    await until(lambda: panel.display and time.monotonic() > panel._painted_at + GUARD)


def approvals(wire: Wire) -> list[e.GateApproved]:
    return [one for one in wire.decided if isinstance(one, e.GateApproved)]


async def test_the_gate_shows_what_an_approval_is_made_from(tmp_path: Path) -> None:
    gate = Gate(
        instructions="Look at https://graphs/d?release=1.4.2",
        checklist=("Dashboards look right",),
        expires=Duration(7200),
    )
    recorded = Recorded(tmp_path / "r", make_plan(20, 2, gate)).at_gate()
    async with waiting(recorded) as (app, _, _wire, _panel):
        await shows(
            app,
            "GATE canary -> rest: 18 targets next",
            "expires in 1 h 59 m",
            "+ web-1 ok just now",
            "https://graphs/d?release=1.4.2",
            "[ ] 1 Dashboards look right",
            "1.4.1 -> 1.4.2",
            "started by maria@laptop",
            "web-[3-20]",
            "Approve opens when the checklist is done: 1 item left (press its number)",
        )


async def test_the_instructions_are_shown_as_the_plan_holds_them(tmp_path: Path) -> None:
    """The plan's hash covers them as they are: filling in variables again would show what nobody approves."""
    gate = Gate(instructions="It costs $RELEASE in $WAVE")
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, gate)).at_gate()
    async with waiting(recorded) as (app, _, _wire, _panel):
        await shows(app, "It costs $RELEASE in $WAVE")


async def test_only_the_first_wave_s_targets_are_called_canaries(tmp_path: Path) -> None:
    plan = make_plan(6, 2)
    first, rest = plan.waves
    waves = (
        first,
        replace(rest, name="half", targets=rest.targets[:2], gate=first.gate),
        replace(rest, targets=rest.targets[2:]),
    )
    recorded = Recorded(tmp_path / "r", replace(plan, waves=waves)).at_gate()
    async with waiting(recorded) as (app, _, _wire, _panel):
        await shows(app, "GATE canary -> half", "canaries 2: + web-1 ok")
        recorded.approve_gate()
        recorded.add(e.WaveStarted(1))
        recorded.deploy("web-3", "web-4")
        recorded.open_gate()
        await shows(app, "GATE half -> rest", "half 2: + web-3 ok")
        assert "canaries" not in screen_text(app)


async def test_the_typed_number_and_enter_approve_for_exactly_this_gate(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await shows(app, "type the number of targets that come next")
        await press(pilot, "3", "enter")
        await until(lambda: approvals(wire))
        [approval] = approvals(wire)
        gate = recorded.state.gate
        assert gate is not None
        assert isinstance(wire.sent[0], Decide)
        assert (wire.sent[0].rollout, approval.wave) == (recorded.state.rollout, 0)
        assert (approval.plan, approval.evidence) == (recorded.plan.hash, gate.evidence)
        await shows(app, "approval sent; waiting for the engine")
        recorded.add(e.GateApproved(0, approval.plan, approval.evidence, approval.by))
        recorded.add(e.WaveStarted(1))
        await until(lambda: not panel.display)
        await shows(app, "wave 2 of 2 rest")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(["enter"], id="enter"),
        pytest.param(["y"], id="y"),
        pytest.param(["space"], id="space"),
        pytest.param(["3", "enter"], id="the number without A"),
        pytest.param(["y", "e", "s", "enter"], id="yes"),
        pytest.param(["A", "enter"], id="A and enter"),
        pytest.param(["A", "escape", "3", "enter"], id="a field that was left"),
        pytest.param(["A", "2", "enter"], id="another number"),
        pytest.param(["A", "3"], id="the number without enter"),
        pytest.param(["a", "3", "enter"], id="a lower-case a"),
    ],
)
async def test_nothing_else_approves(tmp_path: Path, keys: list[str]) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (_, pilot, wire, panel):
        await readable(panel)
        await press(pilot, *keys)
        await pilot.pause()
        assert approvals(wire) == []


async def test_a_wrong_number_is_said_and_forgotten(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "4", "enter")
        await shows(app, "'4' is not it")
        assert panel.field.value == ""
        await press(pilot, "3", "enter")
        await until(lambda: approvals(wire))


async def test_keys_typed_before_the_panel_could_be_read_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).start()
    async with waiting(recorded) as (app, pilot, wire, panel):
        recorded.deploy("web-1")
        await press(pilot, "A", "3", "enter")
        with nothing_is_read_yet(monkeypatch):
            recorded.open_gate()
            await until(lambda: panel.display)
            await press(pilot, "A", "3", "enter")
            assert not panel.asking
        await readable(panel)
        assert approvals(wire) == []
        await shows(app, "GATE canary")
        assert panel.field.value == ""


async def test_a_held_key_does_not_arm_the_field(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, _wire, panel):
        await until(lambda: panel.display)
        end = time.monotonic() + GUARD + 0.3
        while time.monotonic() < end:
            app.post_message(events.Key("A", "A"))
            await pilot.pause(0.03)
            assert not panel.asking


async def test_a_paste_is_not_typing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await until(lambda: panel.asking and isinstance(app.focused, TypedField))
        app.post_message(events.Paste("3\n"))
        await pilot.pause()
        assert panel.field.value == ""
        await press(pilot, "enter")
        assert approvals(wire) == []


async def test_a_change_while_deciding_empties_the_field_and_is_named(tmp_path: Path) -> None:
    gate = Gate(checklist=("Look",))
    recorded = Recorded(tmp_path / "r", make_plan(5, 2, gate)).at_gate()
    recorded.add(e.ItemTicked(0, 0, True, BY))
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "3")
        await until(lambda: panel.field.value == "3")
        recorded.add(e.ItemTicked(0, 0, False, BY))
        await shows(app, "changed while you were deciding: item 1 was unticked")
        assert panel.field.value == ""
        assert not panel.asking
        await press(pilot, "enter")
        assert approvals(wire) == []


async def test_a_silent_engine_locks_the_gate(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    screen = RolloutScreen(recorded.directory, wire := Wire())
    app = Stage(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: screen.query(GatePanel))
        wire.beat()
        await shows(app, "engine ok")
        await shows(app, "engine silent 3 s", "Approve is locked: the engine is silent")
        await press(pilot, "A")
        assert not screen.query_one(GatePanel).asking
        wire.beat()
        await shows(app, "engine ok")
        await until(lambda: "item left" not in screen_text(app))
    recorded.close()


async def test_digits_tick_the_checklist_and_all_ticked_unlocks(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(checklist=("One", "Two")))).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A")
        assert not panel.asking, "an open item locks the gate"
        panel._explained_at = float("-inf")
        await press(pilot, "2")
        await until(lambda: wire.sent)
        [tick] = wire.decided
        assert isinstance(tick, e.ItemTicked)
        assert (tick.wave, tick.item, tick.ticked) == (0, 1, True)
        recorded.add(e.ItemTicked(0, 1, True, BY))
        await shows(app, "[x] 2 Two", "1 item left")
        recorded.add(e.ItemTicked(0, 0, True, BY))
        await until(lambda: "item left" not in screen_text(app))
        await press(pilot, "1")
        await until(lambda: len(wire.sent) == 2)
        again = wire.decided[1]
        assert isinstance(again, e.ItemTicked)
        assert not again.ticked, "a ticked item is opened again"


@pytest.mark.parametrize(
    ("confirm", "typed"),
    [pytest.param("release", "1.4.2", id="release"), pytest.param("fleet", "shop", id="fleet")],
)
async def test_the_fleet_file_says_what_must_be_typed(tmp_path: Path, confirm: Confirm, typed: str) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(confirm=confirm))).at_gate()
    async with waiting(recorded) as (_, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "3", "enter")
        assert approvals(wire) == []
        await type_text(pilot, typed)
        await press(pilot, "enter")
        await until(lambda: approvals(wire))


async def test_confirm_by_key_takes_two_deliberate_presses(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(confirm="key"))).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await shows(app, "press A once more")
        assert approvals(wire) == []
        pressed = time.monotonic()
        await until(lambda: time.monotonic() > pressed + 1.0)
        await press(pilot, "A")
        await until(lambda: approvals(wire))


@pytest.mark.found("fault 3")
@pytest.mark.parametrize("first_repeat", [0.2, 0.5, 0.9])
async def test_confirm_by_key_is_not_approved_by_a_key_that_is_held_down(tmp_path: Path, first_repeat: float) -> None:
    """Fault 3: a terminal repeats a held key after 0.2 to 0.5 s, then 10 to 50 times a second."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(confirm="key"))).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        at = time.monotonic()
        for after in (0.0, *(first_repeat + repeat / 30 for repeat in range(9))):
            key = events.Key("A", "A")
            key.time = at + after
            app.post_message(key)
            await pilot.pause(0.03)
        await shows(app, "A counts again after a second without a key")
        assert approvals(wire) == []
        await until(lambda: time.monotonic() > at + first_repeat + 0.5)
        await press(pilot, "f", "A")
        await until(lambda: approvals(wire))


async def test_hold_forgets_what_was_typed_and_sends_nothing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "3", "escape", "H")
        await shows(app, "kept waiting: nothing goes on")
        await press(pilot, "enter")
        assert wire.sent == []


async def test_a_refusal_is_shown_and_the_gate_can_be_answered_again(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A", "3", "enter")
        await until(lambda: approvals(wire))
        wire.say(Refused("GateApproved", "the canaries changed"))
        await shows(app, "refused: the canaries changed")
        await press(pilot, "A", "3", "enter")
        await until(lambda: len(approvals(wire)) == 2)


async def test_logs_stay_live_and_searchable_while_the_gate_stands(tmp_path: Path) -> None:
    gate = Gate(instructions="one\ntwo\nthree\nfour\nfive\nsix", checklist=("a", "b", "c", "d"))
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, gate)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await shows(app, "GATE")
        await until(lambda: app.screen.query_one(LogView).size.height >= 8)
        recorded.print("web-1", "still talking")
        await shows(app, "still talking")
        await press(pilot, "slash")
        await type_text(pilot, "A3")
        await press(pilot, "enter")
        await shows(app, "/ A3")
        assert not panel.asking, "what is typed into the search is no decision"
        assert wire.sent == []


async def test_a_read_only_screen_shows_the_gate_and_cannot_answer(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(checklist=("Look",)))).at_gate()
    async with waiting(recorded, read_only=True) as (app, pilot, wire, panel):
        await shows(app, "GATE canary", "read only")
        await readable(panel)
        await press(pilot, "A", "1", "X", "H")
        await pilot.pause()
        assert not panel.asking
        assert "ABORT" not in screen_text(app)
        assert wire.sent == []


async def test_abort_asks_for_a_note_names_what_will_run_and_then_offers_both_ways(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, _panel):
        await press(pilot, "X")
        await shows(
            app,
            "ABORT shop 1.4.2",
            "Reason for the abort (recorded):",
            "finally (tidy) on 1 target: web-1",
            "web-[2-4]",
        )
        await press(pilot, "enter")
        await shows(app, "Please give a reason")
        await type_text(pilot, "500s on web-1")
        await press(pilot, "enter")
        await shows(app, "B Roll back: 1 target goes back: web-1 to 1.4.1", "K Keep: 1 target keeps 1.4.2: web-1")
        assert wire.sent == []
        await until(lambda: app.screen.query_one("#abort", AbortPanel)._painted_at + GUARD < time.monotonic())
        await press(pilot, "B")
        await until(lambda: wire.sent)
        [command] = wire.sent
        assert isinstance(command, Decide) and isinstance(command.decision, e.Aborted)
        assert (command.rollout, command.decision.note) == (recorded.state.rollout, "500s on web-1")
        assert command.decision.rollback


async def test_leaving_the_abort_aborts_nothing_and_shows_the_gate_again(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, _panel):
        await press(pilot, "X")
        await shows(app, "ABORT")
        await type_text(pilot, "hm")
        await press(pilot, "enter")
        await shows(app, "K Keep")
        await press(pilot, "escape")
        await shows(app, "GATE canary -> rest")
        assert wire.sent == []


async def test_a_changed_target_without_a_former_release_is_named_not_guessed(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 2))
    recorded.add(e.RolloutStarted("r1", recorded.plan, BY, True, "0.1"))
    for name in recorded.plan.targets:
        recorded.add(e.ProbeStarted(name))
        recorded.add(e.TargetProbed(name, "ok", release="" if name == "web-2" else "1.4.1"))
    recorded.add(e.WaveStarted(0))
    recorded.deploy("web-1", "web-2")
    recorded.open_gate()
    async with waiting(recorded) as (app, pilot, _, _panel):
        await press(pilot, "X")
        await shows(app, "previous release unknown, cannot be rolled back: web-2")
        await type_text(pilot, "bad")
        await press(pilot, "enter")
        await shows(app, "1 target goes back: web-1 to 1.4.1")


async def test_a_pasted_number_does_not_approve_where_the_terminal_marks_no_paste(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, notifications=True) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await until(lambda: panel.field.has_focus)
        for key, character in (("3", "3"), ("enter", "\r")):
            app.post_message(events.Key(key, character))
        await shows(app, "all at once")
        assert panel.field.value == ""
        assert approvals(wire) == []
        await press(pilot, "3", "enter")
        await until(lambda: approvals(wire))


async def test_a_locked_approval_answers_its_key_with_what_is_missing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(checklist=("Looked",)))).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await shows(app, "1 item left (press its number)")
        await press(pilot, "A")
        await shows(app, "A does nothing yet. What is missing:")
        assert not panel.asking
        assert approvals(wire) == []
        recorded.add(e.ItemTicked(0, 0, True, BY))
        await until(lambda: "does nothing yet" not in screen_text(app))


async def test_what_an_open_field_does_with_enter_and_esc_stands_in_the_footer(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, _wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await shows(app, "enter Done  esc Leave")


async def test_esc_in_the_note_of_an_abort_leaves_nothing_of_the_question(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, wire, panel):
        await readable(panel)
        await press(pilot, "X")
        await shows(app, "ABORT shop 1.4.2", "Reason for the abort (recorded):")
        await press(pilot, "escape")
        await shows(app, "GATE canary")
        assert "ABORT" not in screen_text(app)
        assert wire.sent == []


async def test_in_a_small_terminal_the_gate_says_that_it_scrolls(tmp_path: Path) -> None:
    gate = Gate(instructions="\n".join(f"line {number}" for number in range(9)), checklist=("Looked",))
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, gate)).at_gate()
    async with waiting(recorded, (60, 18)) as (app, pilot, _wire, panel):
        await readable(panel)
        await shows(app, "[ and ] scroll", "line 0")
        await press(pilot, *["]"] * 9)
        await shows(app, "1 Looked")


async def test_the_help_of_an_open_field_lists_no_key_that_would_be_typed_into_it(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded) as (app, pilot, _wire, panel):
        await readable(panel)
        await press(pilot, "A")
        await until(lambda: panel.field.has_focus)
        listed = {one.action.id for one in usable_on(app.screen)}
        assert {"field.leave", "field.done"} <= listed
        assert not {one for one in listed if one.startswith(("log.", "gate."))}


@pytest.mark.found("M13")
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    ("left", "urgent"), [pytest.param(30, False, id="some time left"), pytest.param(3.5, True, id="last tenth")]
)
async def test_a_long_gate_says_when_it_expires_and_in_red_when_that_is_soon(
    tmp_path: Path, width: int, left: float, urgent: bool
) -> None:
    """M13."""
    gate = Gate(checklist=tuple(f"Item {number}" for number in range(7)), expires=Duration(40))
    recorded = Recorded(tmp_path / "r", make_plan(20, 2, gate)).start()
    recorded.deploy(*recorded.plan.waves[0].targets)
    recorded.add(e.GateOpened(0, evidence(recorded.plan, recorded.state)), time.time() - 40 + left)
    async with waiting(recorded, (width, 24)) as (app, _, _wire, panel):
        await shows(app, "expires in ", "GATE canary")
        title = panel.query_one(PanelTitle)
        tones = {segment.text: segment.style for segment in title.render_line(0)}
        [expiry] = [style for text, style in tones.items() if text.startswith("expires in ")]
        assert expiry is not None
        assert (expiry.color == title.tone("failed").color) == urgent
        assert ("waiting 0" in screen_text(app)) == (width == 120)


async def test_an_approval_takes_a_note_that_a_person_may_write_before(tmp_path: Path) -> None:
    """Minor 26: the note is optional, is shown at the gate, approves nothing itself, and goes with the approval."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1)).at_gate()
    async with waiting(recorded, (100, 30)) as (app, pilot, wire, gate):
        await readable(gate)
        await press(pilot, "N")
        await shows(app, "N: note for the journal", "enter keeps the note")
        await type_text(pilot, "3 looks right")
        await press(pilot, "enter")
        await shows(app, "note  3 looks right", "A Approve: then")
        assert approvals(wire) == []
        await press(pilot, "A")
        await shows(app, "enter approves")
        await press(pilot, "3", "enter")
        await until(lambda: approvals(wire))
        assert approvals(wire)[0].note == "3 looks right"


@pytest.mark.found("M7")
async def test_a_canary_with_a_skipped_step_is_told_once_and_the_help_begins_with_the_gate(tmp_path: Path) -> None:
    """Who skipped what is one sentence; the help of an open question begins with the keys that answer it."""
    recorded = Recorded(tmp_path / "r", make_plan(4, 1, Gate(checklist=("Dashboards",)))).start()
    recorded.fail("web-1")
    recorded.add(e.FailureTreated(("web-1",), "skip", BY, "known bug"))
    recorded.deploy("web-1")
    recorded.open_gate()
    async with waiting(recorded, (100, 40)) as (app, _pilot, _wire, _gate):
        await shows(app, "* web-1 ok: unpack skipped by maria@laptop: known bug")
        told = help_text(usable_on(app.screen), 80).plain.splitlines()
        assert [line for line in told if line in ("Gate", "Rollout", "Log", "Moving")] == [
            "Gate",
            "Rollout",
            "Log",
            "Moving",
        ]
        assert any(line.startswith("  1 ... 9 ") for line in told)
