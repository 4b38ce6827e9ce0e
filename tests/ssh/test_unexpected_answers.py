"""A login that answers what nobody expected: its words are shown, and not taken for something else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from farm import Farm, available
from links import linked, planned

from canary_tui.ssh.execution.install import RunnerError, ensure_runner

pytestmark = pytest.mark.skipif(bool(available()), reason=available())
MERGING = 'exec script -qefc "$2" /dev/null'
"""A recorder of sessions: the command runs in a terminal of its own, whose one stream is standard output."""


@pytest.mark.found("field 15")
@pytest.mark.parametrize(
    ("login", "words"),
    [
        pytest.param(
            MERGING,
            ["puts standard error into standard output", "script -c"],
            id="streams in one",
            marks=pytest.mark.skipif(not shutil.which("script"), reason="script is not installed"),
        ),
        pytest.param(
            'echo "This account is \x1b[2Jclosed until Monday."; exit 3',
            ["ended with status 3 before the runner was heard", "it printed: This account is closed until Monday."],
            id="closed",
        ),
        pytest.param('echo "Only backups here." >&2; exit 0', ["status 0", "it printed: Only backups here."], id="0"),
    ],
)
async def test_an_unexpected_answer_is_shown(tmp_path: Path, login: str, words: list[str]) -> None:
    shell = tmp_path / "login"
    shell.write_text(f"#!/bin/sh\n{login}\n")
    shell.chmod(0o755)
    with Farm(tmp_path / "farm", 1, net=47, shell=str(shell)) as farm:
        async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
            with pytest.raises(RunnerError) as caught:
                await ensure_runner(link)
    assert all(one in caught.value.detail for one in words), caught.value.detail
