"""Approving and aborting an open rollout from another terminal of this machine, by the engine's spool."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from pathlib import Path

from farm import Farm
from fronts import ANN, Front, canary_tui, headless, only_rollout, plan_of, told
from marks import DEPLOY, fleet_file, let_go, times, waves, with_mark
from on_screen import ENTER, Terminal

from canary_tui.domain.rollout import events as e
from canary_tui.service.spool import Answer, Request, ask
from canary_tui.store.lock import held_by

LOOK = DEPLOY + waves("web-1", gate='checklist = ["the page shows it"]\ninstructions = "Look at the page."')
HOLDS = """
[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed; until [ -e go ]; do sleep 0.1; done"
timeout = "60s"
"""


async def test_an_approval_from_another_terminal_opens_the_gate_under_the_same_conditions(
    farm: Farm, state: Path
) -> None:
    """The gate's own list says what is missing, the same confirmation is asked for, and the person is recorded."""
    fleet = fleet_file(farm, LOOK)
    async with Front(state) as front:
        await front.start(plan_of(fleet))
        await front.event(e.GateOpened)
        rollout = only_rollout(state).id
        wrong = await asyncio.to_thread(canary_tui, state, "approve", rollout, "--tick", "1", "--confirm", "4")
        assert (wrong.code, "'4' is not it" in wrong.err) == (2, True)
        mute = await asyncio.to_thread(canary_tui, state, "approve", rollout, "--tick", "1")
        assert (mute.code, "--confirm" in mute.err) == (2, True)
        early = await asyncio.to_thread(canary_tui, state, "approve", rollout, "--confirm", "3", "--json")
        assert early.code == 1
        assert json.loads(early.out) == {
            "rollout": rollout,
            "outcome": "refused",
            "reason": "1 item of the checklist open",
        }
        assert "GATE canary -> rest: 3 targets next: web-[2-4]" in early.err
        assert all(text in early.err for text in ("web-1: ok", "[ ] 1 the page shows it", "Look at the page."))
        assert with_mark(farm) == {"web-1"}
        yes = ("--tick", "1", "--confirm", "3", "--note", "looks right")
        ran = await asyncio.to_thread(canary_tui, state, "approve", rollout, *yes)
        assert (ran.code, ran.out) == (0, f"{rollout}: approved\n"), ran.err
        await front.until(lambda state: state.verdict == "succeeded")
        [approved] = front.events(e.GateApproved)
        assert (approved.by.user, approved.note) == (getpass.getuser(), "looks right")
    assert list(only_rollout(state).spool.iterdir()) == [], "nothing is left for another engine"


async def test_an_approval_of_what_is_no_longer_so_is_refused_in_the_spool(farm: Farm, state: Path) -> None:
    """An approval by the spool is bound to the plan and to what was seen, and meant for one engine."""
    fleet = fleet_file(farm, DEPLOY)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.GateOpened)
        directory, gate = only_rollout(state), front.gate
        stale = e.GateApproved(gate.wave, front.plan.hash, "0" * 64, ANN)
        other = e.GateApproved(gate.wave, "0" * 64, gate.evidence, ANN)
        refused = await asyncio.to_thread(ask, directory, stale)
        assert refused == Answer(taken=False, reason="something changed since the approval was asked for")
        assert (await asyncio.to_thread(ask, directory, other)).reason == "the approval is for another plan"
        assert not told(state, e.GateApproved)
        engine = held_by(directory.lock)
        assert engine is not None
        assert Request(engine.pid, engine.since) != Request(engine.pid, engine.since - 1)


async def test_an_abort_from_another_terminal_is_seen_to_its_end(farm: Farm, state: Path) -> None:
    """`abort` needs a reason and the release, and returns when what ran was seen to have stopped."""
    fleet = fleet_file(farm, HOLDS)
    async with Front(state) as front:
        await front.start(plan_of(fleet, canaries=("web-1",)))
        await front.event(e.StepStarted)
        rollout = only_rollout(state).id
        for missing in (("--confirm", "2.0"), ("--note", "bad"), ("--note", "bad", "--confirm", "2.1")):
            ran = await asyncio.to_thread(canary_tui, state, "abort", rollout, "--keep", *missing)
            assert ran.code == 2, ran.text
        assert not told(state, e.Aborted)
        yes = ("--keep", "--note", "bad", "--confirm", "2.0")
        ran = await asyncio.to_thread(canary_tui, state, "abort", rollout, *yes)
        assert ran.code == 0, ran.text
        assert f"{rollout}: aborted: aborted by {getpass.getuser()} (bad)" in ran.out
        assert "web-1: stopped" in ran.err
        assert [event.confirmed for event in told(state, e.CancelFinished)] == [True]
        again = await asyncio.to_thread(canary_tui, state, "abort", rollout, *yes)
        assert (again.code, "has ended" in again.err) == (2, True)
    let_go(farm)


def test_where_no_engine_works_a_decision_says_so_or_goes_on_by_itself(farm: Farm, state: Path) -> None:
    """Without an engine nothing is decided; --resume decides and goes on here, for a machine that has no screens."""
    fleet = fleet_file(farm, LOOK)
    assert headless(state, fleet).code == 4
    rollout = only_rollout(state).id
    ran = canary_tui(state, "approve", rollout, "--tick", "1", "--confirm", "3")
    assert (ran.code, "no engine works on it" in ran.err, "--resume" in ran.err) == (4, True, True)
    assert f"resume {rollout}" in ran.err
    ran = canary_tui(state, "approve", rollout, "--confirm", "3", "--resume")
    assert (ran.code, "1 item of the checklist open" in ran.err) == (4, True)
    ran = canary_tui(state, "approve", rollout, "--tick", "1", "--confirm", "3", "--resume")
    assert ran.code == 0, ran.text
    assert times(farm) == {"web-1": 1, "web-2": 1, "web-3": 1, "web-4": 1}


async def test_a_person_at_a_terminal_is_asked_for_what_the_screens_ask_for(farm: Farm, state: Path) -> None:
    """At a terminal each open item and the confirmation are typed; anything else approves nothing."""
    fleet = fleet_file(farm, LOOK)
    async with Front(state) as front:
        await front.start(plan_of(fleet))
        await front.event(e.GateOpened)
        rollout = only_rollout(state).id
        with Terminal(state, "approve", rollout) as screen:
            await asyncio.to_thread(screen.shows, "[ ] 1 the page shows it: its number ticks it:")
            await asyncio.to_thread(screen.press, "1", ENTER)
            await asyncio.to_thread(screen.shows, "type the number of targets that come next:")
            assert not told(state, e.ItemTicked)
            await asyncio.to_thread(screen.press, "3", ENTER)
            await asyncio.to_thread(screen.shows, f"{rollout}: approved")
        await front.until(lambda state: state.verdict == "succeeded")
        [tick] = front.events(e.ItemTicked)
        assert os.path.basename(tick.by.terminal) != ""
