"""The gate over real servers: who may open it, with what, and what happens when nobody does."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from farm import Farm
from fronts import ANN, Front, approval, canary_tui, folded, headless, only_rollout, plan_of, told, until
from marks import DEPLOY, ROLLBACK, fleet_file, names, untouched, waves, with_mark

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Operator
from canary_tui.engine.messages import Decide, Heartbeat, Refused

CLEAN = '[[finally]]\nname = "clean"\nrun = "echo x >> cleaned"\n'


def looked_at_only(farm: Farm, *but: str) -> bool:
    return untouched([target for target in farm.targets if target.name not in but])


async def at_the_gate(front: Front, plan: Plan) -> None:
    await front.start(plan)
    await front.event(e.GateOpened)


# Asking


@pytest.mark.criterion("F1")
async def test_the_engine_answers_while_the_gate_stands(any_farm: Farm, state: Path) -> None:
    """A gate is no pause; ticks, refusals and heartbeats go on, and the canary's log can be read."""
    gate = 'checklist = ["dashboards", "support"]\ninstructions = "Look at $CANARIES for $RELEASE."'
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(any_farm, DEPLOY + waves("web-1", gate=gate))))
        gate_of_the_plan = front.plan.waves[0].gate
        assert gate_of_the_plan is not None
        assert gate_of_the_plan.instructions == "Look at web-1 for 2.0."
        for item in (0, 1, 0):
            await front.decide(e.ItemTicked(0, item, item != 0 or not front.gate.ticked, ANN))
            await front.until(lambda _: len(front.events(e.ItemTicked)) > item)
        await front.until(lambda _: front.gate.ticked == {1})
        await front.notice(Heartbeat, 2)
        assert front.gate.decision == "open"
        assert (front.logs / "web-1.log").exists()
    assert looked_at_only(any_farm, "web-1")


async def test_an_open_item_of_the_checklist_blocks_the_approval(farm: Farm, state: Path) -> None:
    gate = 'checklist = ["dashboards", "support"]'
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(farm, DEPLOY + waves("web-1", gate=gate))))
        await front.decide(e.ItemTicked(0, 1, ticked=True, by=ANN))
        await front.event(e.ItemTicked)
        await front.approve()
        assert "1 item of the checklist open" in (await front.notice(Refused)).reason
        await front.decide(e.ItemTicked(0, 0, ticked=True, by=ANN))
        await front.event(e.ItemTicked, 2)
        await front.approve()
        assert (await front.ended()).exit_code == 0
    assert with_mark(farm) == names(farm)


# What does not open it


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        pytest.param("rollout", "2020-01-01T000000Z-shop-0000", "this is", id="another rollout"),
        pytest.param("wave", 1, "not the open one", id="another gate"),
        pytest.param("plan", "0" * 64, "another plan", id="another plan"),
        pytest.param("evidence", "0" * 64, "changed since", id="older evidence"),
    ],
)
async def test_an_approval_that_is_meant_for_something_else_is_refused(
    farm: Farm, state: Path, field: str, value: object, said: str
) -> None:
    """F2, F6"""
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(farm, DEPLOY), canaries=("web-1",)))
        yes: dict[str, Any] = {"rollout": front.state.rollout, "wave": 0, "plan": front.plan.hash}
        yes |= {"evidence": front.gate.evidence, field: value}
        await front.send(Decide(yes.pop("rollout"), e.GateApproved(**yes, by=ANN)))
        assert said in (await front.notice(Refused)).reason
        assert front.gate.decision == "open"
    assert told(state, e.GateApproved) == []
    assert looked_at_only(farm, "web-1")


async def test_an_approval_before_the_gate_opened_is_refused(farm: Farm, state: Path) -> None:
    """F2: what was sent ahead does not count when the gate opens."""
    async with Front(state) as front:
        plan = plan_of(fleet_file(farm, DEPLOY), canaries=("web-1",))
        await front.start(plan)
        assert front.directory is not None
        await front.send(Decide(front.directory.id, e.GateApproved(0, plan.hash, "0" * 64, ANN)))
        await front.send(Decide(front.directory.id, e.GateApproved(-1, plan.hash, "", ANN)))
        await front.notice(Refused, 2)
        await front.event(e.GateOpened)
        await front.notice(Heartbeat, 3)
        assert front.gate.decision == "open"
    assert looked_at_only(farm, "web-1")


@pytest.mark.criterion("F2")
@pytest.mark.parametrize("ending", ["hang up", "quit", "term", "kill"])
async def test_the_end_of_the_terminal_or_the_engine_does_not_approve(any_farm: Farm, state: Path, ending: str) -> None:
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(any_farm, DEPLOY), canaries=("web-1",)))
        match ending:
            case "hang up":
                front.hang_up()
            case "quit":
                await front.quit()
            case "term":
                front.process.send_signal(signal.SIGTERM)
            case "kill":
                front.process.kill()
        code = await front.exited()
    assert code == (-signal.SIGKILL if ending == "kill" else 130)
    after = folded(state)
    assert after.verdict is None
    assert after.gate is not None
    assert after.gate.decision == "open"
    assert after.paused == {"hang up": "detached", "quit": "detached", "term": "terminated", "kill": None}[ending]
    assert looked_at_only(any_farm, "web-1")
    assert canary_tui(state, "resume", "--headless").code == 4, "the gate is demanded again"
    assert looked_at_only(any_farm, "web-1")


# What opens it


@pytest.mark.criterion("F3")
async def test_an_approval_names_who_when_and_what_for(any_farm: Farm, state: Path) -> None:
    bob = Operator("bob", "laptop", "/dev/pts/3")
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(any_farm, DEPLOY), canaries=("web-1",)))
        shown = front.gate.evidence
        await front.approve("looks fine", by=bob)
        assert (await front.ended()).exit_code == 0
        [given] = front.events(e.GateApproved)
        assert given == e.GateApproved(0, front.plan.hash, shown, bob, "looks fine")
        at = {type(record.event): record.at for record in front.records}
        assert at[e.GateOpened] <= at[e.GateApproved] <= at[e.RolloutFinished]
    assert "bob approved (looks fine)" in canary_tui(state, "replay", "--headless").out


@pytest.mark.criterion("F9")
def test_without_a_terminal_the_gate_holds(any_farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(any_farm, DEPLOY), "--canary", "web-1")
    assert ran.code == 4
    assert "paused: it waits at the gate after canary" in ran.out
    assert f"canary-tui --state-dir {state} resume {folded(state).rollout}\n" in ran.out
    again = canary_tui(state, "resume", "--headless")
    assert again.code == 4, "asking again does not help"
    assert looked_at_only(any_farm, "web-1")


@pytest.mark.criterion("F9")
def test_a_prepared_approval_lets_a_rollout_go_through(any_farm: Farm, state: Path, tmp_path: Path) -> None:
    """The plan's hash is known before the start, from `plan`."""
    fleet = fleet_file(any_farm, DEPLOY)
    shown = canary_tui(state, "plan", fleet, "--release", "2.0", "--canary", "web-1").out
    digits = shown.partition("plan ")[2].split()[0]
    assert all(target.commands() == [] for target in any_farm.targets), "planning connects to nothing"
    ran = headless(state, fleet, "--canary", "web-1", "--approve-with", approval(tmp_path, digits, note="by change 7"))
    assert ran.code == 0, ran.text
    assert with_mark(any_farm) == names(any_farm)
    assert told(state, e.GateApproved)[0].note == "by change 7"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"plan": "0" * 64}, "the prepared approval is for plan 000000000000", id="another plan"),
        pytest.param({"gate": "half"}, "", id="another gate"),
        pytest.param(
            {"checklist": ["support"]},
            "the gate is locked: 1 item of the checklist open; to open it: look, and tick each item",
            id="an open item",
        ),
    ],
)
def test_a_prepared_approval_for_something_else_lets_nothing_through(
    farm: Farm, state: Path, tmp_path: Path, given: dict[str, object], said: str
) -> None:
    """F9"""
    fleet = fleet_file(farm, DEPLOY + waves("web-1", gate='checklist = ["dashboards", "support"]'))
    yes: dict[str, Any] = {"plan": plan_of(fleet, attended=False).hash, "checklist": ["dashboards", "support"], **given}
    ran = headless(state, fleet, "--approve-with", approval(tmp_path, **yes))
    assert ran.code == 4
    assert said in ran.err
    assert looked_at_only(farm, "web-1")


def test_a_prepared_approval_ticks_what_it_says(farm: Farm, state: Path, tmp_path: Path) -> None:
    fleet = fleet_file(farm, DEPLOY + waves("web-1", gate='checklist = ["dashboards", "support"]'))
    yes = approval(tmp_path, plan_of(fleet, attended=False).hash, checklist=["support", "dashboards"], gate="canary")
    assert headless(state, fleet, "--approve-with", yes).code == 0
    assert with_mark(farm) == names(farm)


@pytest.mark.parametrize("text", ["", "plan = 3", 'plan = "short"', 'plan = "0"\nyes = true', "not toml"])
def test_a_file_that_is_no_approval_is_refused_before_anything(
    farm: Farm, state: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "yes.toml").write_text(text)
    ran = headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1", "--approve-with", tmp_path / "yes.toml")
    assert ran.code == 2
    assert "yes.toml" in ran.err
    assert "Traceback" not in ran.err
    assert all(target.commands() == [] for target in farm.targets)


def test_there_is_no_yes_option(farm: Farm, state: Path) -> None:
    """F9, L1"""
    for option in ("--yes", "-y", "--auto", "--force"):
        assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1", option).code == 2
    assert all(target.commands() == [] for target in farm.targets)


# Aborting


@pytest.mark.criterion("F4", "F3")
async def test_after_an_abort_nothing_reaches_the_rest_and_the_canaries_stay(any_farm: Farm, state: Path) -> None:
    """`finally` runs where something was touched, and only there."""
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(any_farm, DEPLOY + ROLLBACK + CLEAN), canaries=("web-1",)))
        await front.abort("latency is up", rollback=False)
        ended = await front.ended()
        assert ended.exit_code == 3
        assert "latency is up" in ended.message
        assert front.state.verdict == "aborted"
        assert front.events(e.Aborted) == [e.Aborted(ANN, "latency is up", rollback=False)]
        assert front.events(e.FinallyStarted)[0].targets == ("web-1",)
    assert looked_at_only(any_farm, "web-1")
    assert with_mark(any_farm, "cleaned") == {"web-1"}
    assert with_mark(any_farm, "back") == set()
    assert any_farm.targets[0].read("REVISION") == "2.0\n"


@pytest.mark.criterion("F4")
async def test_an_abort_can_roll_the_canaries_back(any_farm: Farm, state: Path) -> None:
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(any_farm, DEPLOY + ROLLBACK + CLEAN), canaries=("web-1", "web-2")))
        await front.abort("no", rollback=True)
        assert (await front.ended()).exit_code == 3
        assert front.state.verdict == "rolled-back"
    assert looked_at_only(any_farm, "web-1", "web-2")
    assert with_mark(any_farm, "back") == with_mark(any_farm, "cleaned") == {"web-1", "web-2"}
    assert {target.read("REVISION") for target in any_farm.targets} == {"1.0\n"}


async def test_after_an_abort_no_approval_and_no_resume_goes_on(farm: Farm, state: Path) -> None:
    """F4, L13"""
    async with Front(state) as front:
        await at_the_gate(front, plan_of(fleet_file(farm, DEPLOY), canaries=("web-1",)))
        await front.abort("no", rollback=False)
        await front.approve()
        await front.ended()
    assert told(state, e.GateApproved) == []
    assert canary_tui(state, "resume", folded(state).rollout, "--headless").code == 2
    assert looked_at_only(farm, "web-1")


# Waiting too long


def _expiring(farm: Farm, on_expire: str, seconds: str = "1s") -> Plan:
    gate = f'expires = "{seconds}"\non-expire = "{on_expire}"'
    return plan_of(fleet_file(farm, DEPLOY + ROLLBACK + waves("web-1", gate=gate)))


@pytest.mark.criterion("F7")
@pytest.mark.parametrize(
    ("on_expire", "verdict", "release"), [("abort", "expired", "2.0\n"), ("rollback", "rolled-back", "1.0\n")]
)
async def test_a_gate_that_nobody_answers_ends_the_rollout(
    any_farm: Farm, state: Path, on_expire: str, verdict: str, release: str
) -> None:
    async with Front(state) as front:
        await at_the_gate(front, _expiring(any_farm, on_expire))
        assert (await front.ended()).exit_code == 6
        assert front.state.verdict == verdict
        [expired] = [record.at for record in front.records if isinstance(record.event, e.GateExpired)]
        assert expired - front.state.gates[0].opened_at >= 1
    assert looked_at_only(any_farm, "web-1")
    assert any_farm.targets[0].read("REVISION") == release


async def test_a_gate_that_holds_goes_on_waiting(farm: Farm, state: Path) -> None:
    """F7"""
    async with Front(state) as front:
        await at_the_gate(front, _expiring(farm, "hold"))
        await front.event(e.GateExpired)
        await front.notice(Heartbeat, 3)
        assert front.gate.decision == "open"
        assert looked_at_only(farm, "web-1")
        await front.approve()
        assert (await front.ended()).exit_code == 0


@pytest.mark.parametrize("resumed", ["by a person", "headless", "with an approval"])
async def test_a_gate_expires_while_no_engine_is_there(farm: Farm, state: Path, tmp_path: Path, resumed: str) -> None:
    """F7: the time is the gate's, not the engine's; and an approval that comes too late is no approval."""
    plan = _expiring(farm, "abort", "2s")
    async with Front(state) as front:
        await at_the_gate(front, plan)
        front.process.kill()
        await front.exited()
    opened = folded(state).gates[0].opened_at
    await until(lambda: time.time() > opened + 2)
    match resumed:
        case "by a person":
            async with Front(state) as front:
                await front.resume(only_rollout(state))
                code = (await front.ended()).exit_code
        case "headless":
            code = canary_tui(state, "resume", "--headless").code
        case "with an approval":
            yes = approval(tmp_path, plan.hash)
            code = canary_tui(state, "resume", "--headless", "--approve-with", yes).code
    assert code == 6
    assert told(state, e.GateApproved) == []
    assert looked_at_only(farm, "web-1")


@pytest.mark.criterion("F7")
async def test_a_gate_keeps_its_time_over_a_restart(any_farm: Farm, state: Path) -> None:
    """An engine that takes over does not give the gate its time again."""
    async with Front(state) as front:
        await at_the_gate(front, _expiring(any_farm, "abort", "3s"))
        front.process.kill()
        await front.exited()
    async with Front(state) as front:
        await front.resume(only_rollout(state))
        assert (await front.ended()).exit_code == 6
        [expired] = [record.at for record in front.records if isinstance(record.event, e.GateExpired)]
        assert 3 <= expired - front.state.gates[0].opened_at < 6
    assert looked_at_only(any_farm, "web-1")
