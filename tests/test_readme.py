"""The README says what is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import readme

from canary_tui.errors import ExitCode
from canary_tui.fleetfile.loader import load_fleet
from canary_tui.tui.rollout.status import SYMBOLS

TEXT = readme.README.read_text()


def test_the_reference_and_the_keys_are_those_of_the_program() -> None:
    assert readme.updated(TEXT) == TEXT, "run: python tests/readme.py --write"


def test_a_table_is_called_by_its_name_and_only_a_step_a_step() -> None:
    steps = {
        line.split("`")[1]
        for line in readme.reference().splitlines()
        if "| a step |" in line or "list of steps" in line
    }
    assert steps == {"steps", "rollback", "finally"}
    assert "| `gate` | gate table |" in readme.reference()


def test_every_exit_code_is_explained() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


@pytest.mark.parametrize(
    "example", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL), ids=lambda text: text.split("\n")[0][:40]
)
def test_every_fleet_file_shown_is_sound(example: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(example)
    if "targets" in tomllib.loads(example):
        assert load_fleet(path).fleet.targets


def test_every_symbol_of_the_list_is_in_the_legend() -> None:
    legend = TEXT[TEXT.index("The list of targets:") :].split("\n\n")[0]
    assert all(f"`{symbol}` " in legend for symbol in SYMBOLS.values())


def test_every_command_shown_exists() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "canary_tui", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in set(
        re.findall(r"canary-tui ([a-z]+)\b(?!\.)", "\n".join(re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)))
    ):
        assert command in helped
