"""A rollout that an older version began is gone on with to its end, by its own journal, on real servers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from farm import Farm
from fronts import approval, canary_tui, headless, only_rollout, plan_in, started, told
from marks import DEPLOY, HOLD, fleet_file

from canary_tui.domain.rollout import events as e
from canary_tui.store.format_1 import KINDS

_KINDS = {tag: (name, defaults) for name, (tag, defaults) in KINDS.items()}
_NAMES = {"finally": "finally_", "from": "from_"}


def as_format_1(data: Any) -> Any:
    """What 0.1.0 would have written: classes by their names of then, and nothing that stands at its default."""
    if isinstance(data, list):
        return [as_format_1(item) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("type") not in _KINDS:
        return {key: as_format_1(item) for key, item in data.items()}
    name, defaults = _KINDS[data["type"]]
    fields = {
        _NAMES.get(key, key): as_format_1(item)
        for key, item in data.items()
        if key not in ("type", "format", "version") or (key == "version" and name == "RolloutStarted")
    }
    return {"type": name} | {key: item for key, item in fields.items() if key not in defaults or defaults[key] != item}


def rewrite(journal: Path) -> str:
    """Put a journal into format 1, with its chain; the plan's hash in it."""
    previous, lines, digest = "0" * 32, [], ""
    for line in map(json.loads, journal.read_bytes().splitlines()):
        event = as_format_1(line["event"])
        if event["type"] == "RolloutStarted":
            text = json.dumps(event["plan"], sort_keys=True, separators=(",", ":"))
            digest = hashlib.sha256(text.encode()).hexdigest()
        if event["type"] == "GateApproved":
            event["plan"] = digest
        body = (
            json.dumps({**line, "event": event, "prev": previous}, separators=(",", ":")).split(',"crc":')[0].encode()
        )
        lines.append(b'%s,"crc":"%08x"}\n' % (body, crc32(body)))
        previous = hashlib.sha256(lines[-1]).hexdigest()[:32]
    journal.write_bytes(b"".join(lines))
    return digest


def test_a_rollout_of_format_1_waits_and_is_resumed_to_its_end(farm: Farm, state: Path, tmp_path: Path) -> None:
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1").code == 4
    journal = only_rollout(state).journal
    assert rewrite(journal) != plan_in(state).hash
    assert b'"type":"RolloutStarted"' in journal.read_bytes()
    assert canary_tui(state, "verify").code == 0
    waiting = canary_tui(state, "resume", "--headless")
    assert waiting.code == 4
    yes = approval(tmp_path, plan_in(state).hash)
    ran = canary_tui(state, "resume", "--headless", "--approve-with", yes)
    assert ran.code == 0, ran.text
    assert [target.read("deployed").split() for target in farm.targets] == [["2.0"]] * 4
    assert [one.format for one in told(state, e.EngineResumed)] == [2, 2]
    assert canary_tui(state, "verify").code == 0


def test_an_approval_that_format_1_recorded_counts(farm: Farm, state: Path, tmp_path: Path) -> None:
    """Killed in the wave that was approved: its steps are found again, and nobody is asked a second time."""
    (farm.targets[0].home / "go").touch()
    assert headless(state, fleet_file(farm, HOLD), "--canary", "web-1").code == 4
    yes = approval(tmp_path, plan_in(state).hash)
    engine = started(state, "resume", "--headless", "--approve-with", yes)
    wait_for(lambda: len([one for one in told(state, e.StepStarted) if one.target != "web-1"]) == 3)
    engine.kill()
    engine.communicate()
    rewrite(only_rollout(state).journal)
    for target in farm.targets:
        (target.home / "go").touch()
    ran = canary_tui(state, "resume", "--headless")
    assert ran.code == 0, ran.text
    assert [target.read("deployed").split() for target in farm.targets] == [["2.0"]] * 4
    assert len(told(state, e.GateApproved)) == 1
    assert canary_tui(state, "verify").code == 0


def wait_for(condition: Callable[[], object], limit: float = 30.0) -> None:
    """Return when it holds."""
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
