"""Whatever becomes of what is printed, and in whatever encoding: no command ends by it, and each exit code is true."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from fronts import Ran, environment, folded, headless, words
from marks import DEPLOY, fleet_file

pytestmark = pytest.mark.skipif(available() != "", reason=available() or "sshd is there")
WAVE = '\n[[waves]]\nname = "Canary \u2713"\n'
GATE = 'targets = "web-1"\n[waves.gate]\n[[waves]]\nname = "rest"\n'
NARROW = (
    {"PYTHONIOENCODING": "iso-8859-1:strict"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("streams"), 2, net=63) as farm:
        yield farm


@pytest.fixture(scope="module")
def fleet(farm: Farm) -> Path:
    return fleet_file(farm, DEPLOY + WAVE)


@pytest.fixture(scope="module")
def told(farm: Farm, fleet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a rollout that can be told again."""
    state = tmp_path_factory.mktemp("told") / "state"
    assert headless(state, fleet).code == 0
    return state


def in_shell(state: Path, command: str, **more: str) -> Ran:
    """Run a command line of the shell, in which $TUI is ours."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"],
        env={**environment(state), "TUI": " ".join(words()), **more}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.mark.found("field 17")
@pytest.mark.parametrize(
    "where", ["2>&1 | head -n 1", "2>/dev/full >/dev/full", "--json | head -n 1", "2>&- >&-"], ids=str
)
def test_a_reader_that_goes_away_costs_lines_and_no_rollout(
    farm: Farm, fleet: Path, tmp_path: Path, where: str
) -> None:
    """The exit code is that of the rollout, which went on to its end and let go of its locks."""
    state = tmp_path / "state"
    ran = in_shell(state, f"$TUI run {fleet} --release 3.0 --redeploy --headless {where}")
    assert ran.code == 0, ran.text
    assert "Traceback" not in ran.text
    assert folded(state).verdict == "succeeded"
    assert not [one for one in farm.targets if (one.home / ".local/state/canary-tui/lock").exists()], "no lock is left"


COMMANDS = (
    "plan {fleet} --release 2.0", "plan {fleet} --release 2.0 --json",
    "check {fleet}", "ping {fleet}", "history", "history --json", "replay --headless", "verify",
    "keys", "schema", "--help",
)  # fmt: skip


@pytest.mark.found("field 17")
def test_a_command_whose_reader_went_away_ends_without_a_traceback(told: Path, fleet: Path) -> None:
    """Who closes a pipe has read enough: the command says nothing about it, and its exit code is its own."""
    for command in COMMANDS:
        ran = in_shell(told, f"$TUI {command.format(fleet=fleet)} | true")
        assert (ran.code, ran.err) == (0, ""), f"{command}: {ran}"


@pytest.mark.found("field 17")
@pytest.mark.parametrize("command", ["plan {fleet} --release 2.0 --json", "history"])
def test_output_that_is_lost_on_a_full_disk_is_no_success(told: Path, fleet: Path, command: str) -> None:
    ran = in_shell(told, f"$TUI {command.format(fleet=fleet)} > /dev/full")
    assert (ran.code, ran.err) == (
        1,
        "canary-tui: standard output: No space left on device; what was printed there is not whole\n",
    )


@pytest.mark.found("field 18")
@pytest.mark.parametrize("narrow", NARROW, ids=["latin-1", "C"])
def test_no_encoding_of_a_terminal_ends_a_command(told: Path, fleet: Path, narrow: dict[str, str]) -> None:
    """What an encoding lacks is written as an escape; the exit code is as it is everywhere."""
    for command in ("plan {fleet} --release 2.0 --full", "replay --headless"):
        ran = in_shell(told, f"$TUI {command.format(fleet=fleet)}", **narrow)
        assert "Traceback" not in ran.text, f"{command}: {ran.text}"
        assert ran.code == 0, f"{command}: {ran.text}"
        assert r"\u2713" in ran.text, f"{command}: {ran.text}"


@pytest.mark.found("field 18")
def test_a_gate_with_a_name_that_cannot_be_printed_is_waited_at(farm: Farm, tmp_path: Path) -> None:
    waits = fleet_file(farm, DEPLOY + WAVE + GATE, name="waits")
    ran = in_shell(tmp_path / "state", f"$TUI run {waits} --release 4.0 --headless", **NARROW[0])
    assert ran.code == 4, ran.text
    assert r"the gate after Canary \u2713" in ran.text
