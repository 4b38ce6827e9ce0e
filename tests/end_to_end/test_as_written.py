"""A fleet file means on a target what its author sees in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from farm import Farm
from fronts import headless, only_rollout
from marks import fleet_file

UPLOADS = """
[[steps]]
upload = "here"
to = "~/incoming/there"
"""
WRONG = """
[[steps]]
run = '''
true
true
no-such-command-there || true
'''
"""


@pytest.mark.found("field 13", "field 14")
def test_a_home_is_a_home_and_the_third_line_is_the_third(farm: Farm, state: Path) -> None:
    """An upload to `~/` goes to the home; an error of sh names the line that it has in the file."""
    (farm.folder / "here").write_text("bytes\n")
    ran = headless(state, fleet_file(farm, f"{UPLOADS}{WRONG}{WRONG}durable = false\n"), "--only", "web-1")
    home = farm.targets[0].home
    assert (home / "incoming/there").read_text() == "bytes\n"
    assert not (home / "~").exists()
    assert ran.code == 0, ran.text
    log = (only_rollout(state).logs / "web-1.log").read_text()
    assert len(re.findall(r"(?:line |: )3: no-such-command-there", log)) == 2, log
