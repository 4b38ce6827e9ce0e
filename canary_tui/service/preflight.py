"""One look at many targets: the loop behind `ping` and the plan screen. Changes nothing but the runner's own folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.planning.tools import tools_of
from canary_tui.domain.rollout.policy import PROBES
from canary_tui.engine.target import Network, ProbeReport, ProbeRequest
from canary_tui.engine.twins import Servers

Found = Callable[[str, ProbeReport], None]
"""Called with a target's name and its report, as soon as it is known."""


async def look_at_all(plan: Plan, network: Network, found: Found) -> None:
    """Connect to every target of a plan, as many at once as at the start of a rollout; takes no lock.

    Where two targets are one server, the report of the second says so.

    The network is closed at the end.
    """
    places, servers = asyncio.Semaphore(PROBES), Servers()

    def warned(name: str, report: ProbeReport) -> None:
        notes = (report.detail, servers.objection(name, report.server))
        found(name, replace(report, detail="; ".join(filter(None, notes))))

    try:
        async with asyncio.TaskGroup() as tasks:
            for name in plan.targets:
                tasks.create_task(_look(plan, name, network, places, warned))
    finally:
        await network.close()


async def _look(plan: Plan, name: str, network: Network, places: asyncio.Semaphore, found: Found) -> None:
    async with places:
        target = plan.targets[name]
        remote = network.remote(target)
        report = await remote.probe(ProbeRequest(plan.current, target.variables, tools=tools_of(plan, name)))
        remote.let_go()
    found(name, report)
