"""What `--fault` makes go wrong on a target, seen by the real `ssh`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_client import alive, arguments, output_of, ssh, wait_until

from canary_tui.demo import shop
from canary_tui.demo.faults import FAULTS, parse_faults
from canary_tui.demo.fleet import TARGETS
from canary_tui.demo.launch import Demo, start_demo
from canary_tui.errors import UsageError

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")

UNPACK = "unpack-shop 1.4.2"
SWITCH = "ln -sfn releases/1.4.2 ~/current && restart-shop"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    faults = ["web-2:fail", "web-3:flaky", "web-4:hang", "web-5:drop", "db-1:noisy", "db-2:slow"]
    with start_demo(None, faults) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("web-9:slow", "no target 'web-9'; did you mean web-5?", id="unknown target"),
        pytest.param("web-3:slwo", "no fault 'slwo'; did you mean slow?", id="unknown fault"),
        pytest.param("web-3:slow2", "no fault 'slow2'; did you mean slow20?", id="unknown fault of a release"),
        pytest.param("web-3", "no fault ''; there are slow, fail, flaky, hang, drop, noisy", id="no fault"),
        pytest.param(":slow", "no target ''; there are web-1, web-2", id="no target"),
        pytest.param("", "no target ''", id="nothing"),
    ],
)
def test_what_there_is_is_said_when_something_else_is_asked_for(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as refusal:
        parse_faults([text])
    assert all(name in str(refusal.value) for name in (FAULTS if "fault ''" in words else ()))


def test_a_target_has_one_fault() -> None:
    assert parse_faults(["web-3:slow", "web-3:slow", "db-1:drop"]) == {"web-3": "slow", "db-1": "drop"}
    with pytest.raises(UsageError, match="web-3 already has the fault slow"):
        parse_faults(["web-3:slow", "web-3:fail"])


@needs_ssh
def test_without_a_fault_a_release_is_unpacked_and_runs(demo: Demo) -> None:
    unpacked = ssh(demo, "web-1", UNPACK)
    assert unpacked.returncode == 0
    assert len(unpacked.stdout.splitlines()) == 19
    switched = ssh(demo, "web-1", SWITCH)
    assert (switched.returncode, switched.stderr) == (0, b"")
    assert (demo.folder / "web-1/current/REVISION").read_text() == "1.4.2\n"


@needs_ssh
def test_output_comes_line_by_line_at_the_pace_that_is_asked_for(demo: Demo) -> None:
    command = "PACE=60 unpack-shop 1.4.2"
    with subprocess.Popen(
        arguments(demo, "web-1", command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        assert output_of(client).readline() == b"fetching shop-1.4.2.tar.gz\n"
        client.kill()


@needs_ssh
def test_fail_does_not_start_the_new_release_and_does_start_the_old_one(demo: Demo) -> None:
    assert ssh(demo, "web-2", UNPACK).returncode == 0
    for _ in range(2):
        failed = ssh(demo, "web-2", SWITCH)
        assert failed.returncode == 1
        assert b"restart-shop: shop 1.4.2 did not start" in failed.stderr
    assert ssh(demo, "web-2", "ln -sfn releases/1.4.1 ~/current && restart-shop").returncode == 0


@needs_ssh
def test_flaky_fails_the_first_time_only(demo: Demo) -> None:
    ssh(demo, "web-3", UNPACK)
    assert [ssh(demo, "web-3", SWITCH).returncode for _ in range(3)] == [1, 0, 0]


@needs_ssh
def test_hang_never_ends_by_itself(demo: Demo) -> None:
    with subprocess.Popen(
        arguments(demo, "web-4", f"echo $$; {UNPACK}; echo ended"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        pid = int(output_of(client).readline())
        lines = [output_of(client).readline() for _ in range(9)]
        assert lines[-1].startswith(b"waiting for the lock")
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(0.5)
        assert alive(pid)
        client.kill()


@needs_ssh
def test_drop_cuts_the_connection_once_and_the_step_s_own_session_goes_on(demo: Demo) -> None:
    home = demo.folder / "web-5"
    cut = ssh(demo, "web-5", f"setsid sh -c 'PACE=0.1 {UNPACK} > log 2>&1' < /dev/null")
    assert cut.returncode == 255
    wait_until(lambda: (home / "releases/1.4.2/REVISION").exists())
    wait_until(lambda: len((home / "log").read_text().splitlines()) == 19)
    assert ssh(demo, "web-5", f"PACE=0.01 {UNPACK}").returncode == 0


@needs_ssh
def test_noisy_prints_much_and_what_is_not_text(demo: Demo) -> None:
    noise = ssh(demo, "db-1", UNPACK).stdout
    assert noise.count(b"\n") > 20_000
    for bytes_of_it in (b"\033]52;", b"\033[2J", b"\xc2\x9b", b"caf\xe9", b"\0", "\u202e".encode(), b"%\rprogress"):
        assert bytes_of_it in noise


@needs_ssh
def test_slow_naps_eight_times_as_often(demo: Demo, tmp_path: Path) -> None:
    naps = tmp_path / "naps"
    naps.mkdir()
    counting = naps / "sleep"
    counting.write_text(f"#!/bin/sh\necho nap >> {naps}/$USER_OF_NAPS\n")
    counting.chmod(0o755)
    for target in ("web-1", "db-2"):
        ssh(demo, target, f"PATH={naps}:$PATH PACE=1 USER_OF_NAPS={target} {UNPACK}")
    counts = {name: len((naps / name).read_text().splitlines()) for name in ("web-1", "db-2")}
    assert counts["db-2"] == 8 * counts["web-1"] > 8


@needs_ssh
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_programs_run_in_every_shell_that_is_here(shell: str, demo: Demo) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    sh = "busybox sh" if shell == "busybox" else shell
    done = ssh(
        demo, "web-1", f"{sh} ~/bin/unpack-shop 1.4.3 && ln -sfn releases/1.4.3 current && {sh} ~/bin/restart-shop"
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_fault_is_known_to_the_programs_or_the_shop(demo: Demo) -> None:
    known = "".join((demo.folder / "web-1/bin" / name).read_text() for name in ("unpack-shop", "restart-shop"))
    known += "".join(Path(shop.__file__).read_text().split('"')[1::2])
    assert [fault for fault in FAULTS if fault not in known] == []


def test_the_help_of_the_demo_explains_every_fault() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "canary_tui", "demo", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(f"  {name:<8} {sentence}\n" in helped for name, sentence in FAULTS.items())


def test_the_fleet_file_says_what_the_demo_is(demo: Demo) -> None:
    fleet = tomllib.loads(demo.fleet_path.read_text())
    assert fleet["name"] == "demo"
    assert [target["name"] for target in fleet["targets"]] == list(TARGETS)
    assert [step["name"] for step in fleet["steps"]] == ["unpack", "migrate", "switch", "answers"]
    assert fleet["environments"] == {"production": {"protected": True}, "staging": {}}
    assert fleet["targets"][0]["roles"] == ["web-server", "canary"]
    assert fleet["waves"][0]["gate"]["checklist"] == ["web-1's page shows the new release"]
    assert demo.fleet_path.read_text().startswith("# The fleet of `canary-tui demo`")
