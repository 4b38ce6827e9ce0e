"""What targets say on the way to the journal, the screens and the operator's files."""

from __future__ import annotations

import pytest
from farm import Farm, available
from in_process import Listener, opened, plan_for, yes

from canary_tui.domain import events as e

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture
def farm(tmp_path):
    with Farm(tmp_path / "farm", 2, net=62) as running:
        yield running


def go_on(record, rollout):
    if isinstance(record.event, e.GateOpened):
        yes(record, rollout)


def told_of_releases(farm, current):
    for target in farm.targets:
        (target.home / "REVISION").write_bytes(current)
    return """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "true"
"""


async def test_a_release_that_is_read_back_cannot_act_on_a_terminal_nor_flood_the_journal(farm, tmp_path):
    hostile = b"2.0\x1b]52;c;ZXZpbA==\x07\x1b[2J\xc2\x9b5m" + b"A" * 3000
    session = opened(tmp_path / "state", plan_for(farm, told_of_releases(farm, hostile)))
    listener = Listener(go_on)
    await session.run(listener, None, listener.begin)
    releases = [event.release for event in listener.events(e.ReleaseRead)]
    assert len(releases) == 2
    for release in releases:
        assert release.startswith("2.0AAA")
        assert release.isprintable()
        assert len(release) <= 300


async def test_a_release_is_read_in_the_same_way_before_and_after(farm, tmp_path):
    session = opened(tmp_path / "state", plan_for(farm, told_of_releases(farm, b"1.0\nbuilt by ann\n")))
    listener = Listener(go_on)
    await session.run(listener, None, listener.begin)
    probed = {event.target: event.release for event in listener.events(e.TargetProbed)}
    assert {event.target: event.release for event in listener.events(e.ReleaseRead)} == probed
