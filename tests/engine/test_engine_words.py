"""What targets say on the way to the journal, the screens and the operator's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from in_process import Listener, go_on, opened, plan_for

from canary_tui.domain.rollout import events as e
from canary_tui.engine.loop import Listener as NoListener
from canary_tui.engine.loop import Rollout
from canary_tui.store.journal import read_journal

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Farm(tmp_path / "farm", 2, net=62) as running:
        yield running


def told_of_releases(farm: Farm, current: bytes) -> str:
    for target in farm.targets:
        (target.home / "REVISION").write_bytes(current)
    return """
[release]
current = "cat REVISION"
[[steps]]
name = "deploy"
run = "true"
"""


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"2.0\x1b]52;c;ZXZpbA==\x07\x1b[2J\xc2\x9b5m\xe2\x80\xaeoops", id="acts on terminals"),
        pytest.param(b"A" * 3000, id="flood"),
        pytest.param(b"../../../root/.ssh/id_ed25519", id="a way out of a folder"),
        pytest.param(b"/etc/shadow", id="an absolute path"),
        pytest.param(b"-oProxyCommand=id", id="an option"),
        pytest.param(b"1.0 --rsh=id", id="several words"),
        pytest.param(b"$(id)", id="shell"),
    ],
)
async def test_what_is_no_name_of_a_release_is_not_taken_for_one_however_a_target_says_it(
    farm: Farm, tmp_path: Path, said: bytes
) -> None:
    """It would become PREVIOUS: a word in shell text here, and a part of the path of what a rollback sends."""
    session = opened(tmp_path / "state", plan_for(farm, told_of_releases(farm, said)))
    listener = Listener(go_on)
    await session.run([listener], None, listener.begin)
    told: list[e.TargetProbed | e.ReleaseRead] = [*listener.events(e.TargetProbed), *listener.events(e.ReleaseRead)]
    assert len(told) == 4
    for event in told:
        assert event.release == ""
        assert "is not 1 to 128 letters" in event.detail
        assert event.detail.isprintable()
        assert len(event.detail) < 400
    assert not any(target.previous for target in session.state.targets.values())


async def test_a_release_is_read_in_the_same_way_before_and_after(farm: Farm, tmp_path: Path) -> None:
    session = opened(tmp_path / "state", plan_for(farm, told_of_releases(farm, b"\n 1.0-rc2+7 \n")))
    listener = Listener(go_on)
    await session.run([listener], None, listener.begin)
    told: list[e.TargetProbed | e.ReleaseRead] = [*listener.events(e.TargetProbed), *listener.events(e.ReleaseRead)]
    assert [event.release for event in told] == ["1.0-rc2+7"] * 4


async def test_every_listener_hears_of_every_record_in_the_order_of_the_journal(farm: Farm, tmp_path: Path) -> None:
    session = opened(tmp_path / "state", plan_for(farm, told_of_releases(farm, b"1.0")))
    deciding, other = Listener(go_on), Listener()

    def begin(rollout: Rollout) -> None:
        deciding.begin(rollout)
        other.begin(rollout)

    await session.run([deciding, other, NoListener()], None, begin)
    assert deciding.told == other.told == read_journal(session.directory.journal)
