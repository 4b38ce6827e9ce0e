"""The demo's fleet file is one that the program takes, and its targets are ones that the program can deploy to."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator

import pytest

from canary_tui.demo.launch import Demo, start_demo
from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.engine.target import CommandRequest, ExecuteReport, ExecuteRequest, ProbeRequest
from canary_tui.fleetfile.loader import load_fleet
from canary_tui.ssh.network import SshNetwork


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with start_demo(None, ["web-5:drop", "db-1:noisy"]) as running:
        yield running


class Told:
    """What a step printed, and what became of its connection meanwhile."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.lost = self.restored = 0

    def write(self, data: bytes, stream: str = "out") -> None:
        self.output += data

    def connection_lost(self, detail: str) -> None:
        self.lost += 1

    def connection_restored(self) -> None:
        self.restored += 1

    def upload_progress(self, sent: int, total: int) -> None:
        raise AssertionError("nothing is uploaded")


def plan(demo: Demo, environment: str = "production", release: str = "1.4.2") -> Plan:
    loaded = load_fleet(demo.fleet_path)
    return build_plan(loaded.fleet, Choices(release, environment), loaded.scripts)


async def run_step(demo: Demo, target: str, script: bytes, told: Told, **variables: str) -> ExecuteReport:
    """One durable step of the demo by the program's own client."""
    planned = plan(demo).targets[target]
    network = SshNetwork()
    try:
        async with asyncio.timeout(60):
            remote = network.remote(planned)
            probe = await remote.probe(ProbeRequest("cat ~/current/REVISION"))
            assert probe.outcome == "ok", probe.detail
            environment = planned.variables | {"RELEASE": "1.4.2", "TARGET": target} | variables
            request = ExecuteRequest(secrets.token_hex(16), script, environment, 50, 1 << 28, probe.boot)
            return await remote.execute(request, told, told)
    finally:
        await network.close()


def test_production_goes_canary_first_and_staging_at_once(demo: Demo) -> None:
    production, staging = plan(demo), plan(demo, "staging")
    assert [(wave.name, wave.targets) for wave in production.waves] == [
        ("canary", ("web-1", "db-2")),
        ("rest", ("web-2", "web-3", "web-4", "web-5", "db-1")),
    ]
    assert production.waves[0].gate is not None
    assert production.warnings == ()
    assert [wave.targets for wave in staging.waves] == [("stage-1",)]
    assert all(wave.gate is None for wave in staging.waves)


def test_only_the_databases_migrate(demo: Demo) -> None:
    steps = {
        name: [production.steps[index].name for index in target.steps]
        for production in [plan(demo)]
        for name, target in production.targets.items()
    }
    assert steps["web-2"] == ["unpack", "switch", "answers"]
    assert steps["db-1"] == ["unpack", "migrate", "switch", "answers"]


async def test_every_step_of_the_plan_goes_through_on_a_target(demo: Demo) -> None:
    for step in plan(demo).steps[:3]:
        assert isinstance(step, RunStep)
        told = Told()
        report = await run_step(demo, "db-2", step.run.encode(), told, PACE="0")
        assert (report.outcome, report.exit_code) == ("ok", 0), (step.name, report, bytes(told.output))
    assert (demo.folder / "db-2/current/REVISION").read_text() == "1.4.2\n"


async def test_a_connection_that_is_dropped_in_mid_step_costs_neither_the_step_nor_a_byte(demo: Demo) -> None:
    told = Told()
    report = await run_step(demo, "web-5", b"unpack-shop $RELEASE\n", told)
    assert (report.outcome, report.exit_code) == ("ok", 0), report
    assert (told.lost, told.restored) == (1, 1)
    numbers = re.findall(rb"^ ?(\d+)/16 ", told.output, re.MULTILINE)
    assert numbers == [str(number).encode() for number in range(1, 17)]
    assert told.output.count(b"fetching") == 1


async def test_noise_arrives_whole(demo: Demo) -> None:
    told = Told()
    report = await run_step(demo, "db-1", b"unpack-shop $RELEASE\n", told, PACE="0")
    assert report.outcome == "ok", report
    assert len(re.findall(rb"^\d{5}  debug: ", told.output, re.MULTILINE)) == 20_000


async def test_all_targets_answer_a_plain_command_at_once(demo: Demo) -> None:
    network = SshNetwork()

    async def ask(planned: PlannedTarget) -> bytes:
        told = Told()
        report = await network.remote(planned).command(CommandRequest(b"cat ~/current/REVISION", {}, 30), told)
        assert report.outcome == "ok", report
        return bytes(told.output)

    try:
        targets = [*plan(demo).targets.values(), *plan(demo, "staging").targets.values()]
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(ask(planned) for planned in targets))
    finally:
        await network.close()
    assert len(answers) == 8
    assert set(answers) <= {b"1.4.1\n", b"1.4.2\n"}
