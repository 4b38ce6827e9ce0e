"""The controller's disk is full: the rollout stops in words, steps go on where they run, and `resume` loses nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import Controller, all_ok
from farm import Farm, available
from oracle import numbered_step

from canary_tui.domain.rollout import events as e

pytestmark = [
    pytest.mark.skipif(available() != "", reason=available() or "sshd is there"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]
LINES = 40_000
LOUD = (
    numbered_step("loud", LINES, 10_000, 0.1)
    + numbered_step("after", 10, 10, 0)
    + '\n[[waves]]\nname = "all"\nparallel = 2\n'
)
"""Some 1.2 MB for each of four targets, two at a time; in a log twice as much, for which the disk has no room twice."""
COUNTS = {"loud": LINES, "after": 10}
Disk = tuple[Path, Callable[[int], None]]


@pytest.fixture
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("full"), 4, net=54) as farm:
        yield farm


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of our own, and how to give it another size."""
    place = tmp_path / "disk"
    place.mkdir(mode=0o700)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m,mode=0700", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")

    def resize(megabytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", place], check=True)

    yield place, resize
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_the_rollout_and_no_byte_is_lost(farm: Farm, disk: Disk, tmp_path: Path) -> None:
    place, resize = disk
    with Controller(farm, tmp_path / "here", LOUD, COUNTS, state_dir=place / "state") as controller:
        engine = controller.run()
        code = engine.wait(60)
        assert "Traceback" not in engine.said(), engine.said()
        assert code == 130, engine.said()
        assert "No space left on device" in engine.said()
        assert f"canary-tui --state-dir {place / 'state'} resume" in engine.said()
        assert controller.rollout().verdict is None
        begun = {r.event.target for r in controller.records if isinstance(r.event, e.StepStarted)}
        assert len(begun) < 4, "more was started on a full disk"
        controller.judge()

        resize(200)
        engine = controller.resume()
        assert engine.wait() == 0, engine.said()
        state = controller.judge()
        assert state.verdict == "succeeded"
        assert all_ok(state) == []


def test_a_disk_that_is_full_from_the_start_refuses_to_begin(farm: Farm, disk: Disk, tmp_path: Path) -> None:
    place, resize = disk
    resize(1)
    (place / "ballast").write_bytes(b"")
    with (place / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    with Controller(farm, tmp_path / "here", LOUD, COUNTS, state_dir=place / "state") as controller:
        engine = controller.run()
        assert engine.wait(30) == 1
        assert "Traceback" not in engine.said(), engine.said()
        assert "No space left on device" in engine.said()
        assert not any(target.read("marks") for target in farm.targets)
