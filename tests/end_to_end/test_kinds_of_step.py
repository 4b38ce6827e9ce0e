"""What each kind of step does on a real server, in the canary wave and in the rest."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm
from fronts import Front, approval, canary_tui, headless, only_rollout, plan_in, plan_of, told, until
from marks import DEPLOY, fleet_file, gone, names, operations, times, untouched, with_mark

from canary_tui.domain.rollout import events as e

ALL = '[[waves]]\nname = "all"\nparallel = 4\n'
UPLOAD = '[[steps]]\nname = "send"\nupload = "artifact-$RELEASE"\nto = "incoming/$TARGET"\nmode = "0640"\n'
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("sudo"), reason="needs root and sudo")


@pytest.fixture
def artifact(farm: Farm) -> Path:
    path = farm.folder / "artifact-2.0"
    path.write_bytes(os.urandom(300_000))
    for target in farm.targets:
        (target.home / "incoming").mkdir()
    return path


def test_an_upload_arrives_whole_everywhere_and_is_skipped_where_it_is(
    farm: Farm, state: Path, artifact: Path, tmp_path: Path
) -> None:
    data = artifact.read_bytes()
    (farm.targets[2].home / "incoming/web-3").write_bytes(data)
    (farm.targets[1].home / "incoming/web-2").write_bytes(data[:-1] + b"x")
    fleet = fleet_file(farm, UPLOAD)
    assert headless(state, fleet, "--canary", "web-1").code == 4
    yes = approval(tmp_path, plan_in(state).hash)
    assert canary_tui(state, "resume", "--headless", "--approve-with", yes).code == 0
    for target in farm.targets:
        [there] = (target.home / "incoming").iterdir()
        assert there.name == target.name
        assert there.read_bytes() == data
    assert (farm.targets[0].home / "incoming/web-1").stat().st_mode & 0o777 == 0o640
    logs = {name: (only_rollout(state).logs / f"{name}.log").read_text() for name in names(farm)}
    assert {name for name, text in logs.items() if "already there, skipped" in text} == {"web-3"}
    assert told(state, e.ArtifactRead)[0].sha256 == hashlib.sha256(data).hexdigest()


def test_a_file_that_changed_since_the_canaries_is_not_sent(farm: Farm, state: Path, tmp_path: Path) -> None:
    """A7: what was tested is what goes out, or nothing."""
    artifact = farm.folder / "artifact-2.0"
    artifact.write_bytes(b"tested")
    for target in farm.targets:
        (target.home / "incoming").mkdir()
    assert headless(state, fleet_file(farm, UPLOAD), "--canary", "web-1").code == 4
    artifact.write_bytes(b"edited")
    yes = approval(tmp_path, plan_in(state).hash)
    ran = canary_tui(state, "resume", "--headless", "--approve-with", yes)
    assert ran.code == 1, ran.text
    assert farm.targets[0].read("incoming/web-1") == "tested"
    assert [path for target in farm.targets[1:] for path in (target.home / "incoming").iterdir()] == []


def test_a_file_that_is_not_there_is_refused_before_anything(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, UPLOAD.replace("artifact-", "no-such-")), "--canary", "web-1")
    assert ran.code == 2
    assert "no-such-2.0" in ran.err
    assert all(target.commands() == [] for target in farm.targets)


def test_a_script_runs_by_its_own_interpreter_with_the_variables(farm: Farm, state: Path) -> None:
    (farm.folder / "tool.py").write_text(
        "#!/usr/bin/env python3\nimport os\nopen('made', 'w').write(os.environ['RELEASE'])\n"
    )
    assert headless(state, fleet_file(farm, '[[steps]]\nscript = "tool.py"\n' + ALL)).code == 0
    assert {target.read("made") for target in farm.targets} == {"2.0"}


def test_a_tool_that_a_target_lacks_is_missed_before_the_first_change(farm: Farm, state: Path) -> None:
    (farm.folder / "tool.sh").write_text("#!/no/such/interpreter\n")
    body = f'{DEPLOY}tools = ["sh", "no-such-tool"]\n[[steps]]\nscript = "tool.sh"\n'
    ran = headless(state, fleet_file(farm, body), "--canary", "web-1")
    assert ran.code == 1
    assert "web-1: failed, tools missing: no-such-tool, /no/such/interpreter" in ran.text
    assert untouched(farm.targets)


def test_a_script_is_frozen_with_the_plan(farm: Farm, state: Path, tmp_path: Path) -> None:
    """A7: editing the file between the canaries and the rest changes nothing."""
    script = farm.folder / "mark.sh"
    script.write_text("echo tested > made\n")
    assert headless(state, fleet_file(farm, '[[steps]]\nscript = "mark.sh"\n'), "--canary", "web-1").code == 4
    script.write_text("echo edited > made\n")
    yes = approval(tmp_path, plan_in(state).hash)
    assert canary_tui(state, "resume", "--headless", "--approve-with", yes).code == 0
    assert {target.read("made") for target in farm.targets} == {"tested\n"}


def test_a_local_step_runs_here_once_for_each_target(farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "note"\nlocal = "echo $TARGET $RELEASE >> noted"\n' + ALL
    (farm.folder / "noted").unlink(missing_ok=True)
    assert headless(state, fleet_file(farm, body)).code == 0
    assert sorted((farm.folder / "noted").read_text().splitlines()) == [f"web-{i} 2.0" for i in range(1, 5)]
    assert all("run" not in operations(target) for target in farm.targets)


def test_variables_are_data_and_the_targets_own_win(farm: Farm, state: Path) -> None:
    body = '[vars]\nA = \'$(touch hacked); `id` "\'\nB = "fleet"\n[[steps]]\nrun = \'echo "$A|$B|$C" > said\'\n' + ALL
    fleet = fleet_file(farm, body, {"web-2": 'vars = { B = "own" }'})
    assert headless(state, fleet, "--var", "C=x;y").code == 0
    assert farm.targets[0].read("said") == '$(touch hacked); `id` "|fleet|x;y\n'
    assert farm.targets[1].read("said") == '$(touch hacked); `id` "|own|x;y\n'
    assert with_mark(farm, "hacked") == set()


@needs_root
def test_sudo_runs_the_steps_as_that_user(tmp_path: Path, state: Path, four_servers: Farm) -> None:
    with Farm(tmp_path / "farm", 1, net=66) as farm:  # two would be one server: that user has one home here
        fleet = fleet_file(farm, '[[steps]]\nname = "who"\nrun = "id -un"\n' + ALL, ssh='sudo = "nobody"')
        ran = headless(state, fleet)
        assert ran.code == 0, ran.text
        for target in farm.targets:
            assert "out| nobody\n" in (only_rollout(state).logs / f"{target.name}.log").read_text()


# HTTP


class _Web(http.server.ThreadingHTTPServer):
    """Remembers the paths that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[str] = []


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Web)
        self.server.asked.append(self.path)
        good = self.path != "/bad" and (self.path != "/slow" or len(self.server.asked) > 2)
        self.send_response(200 if good else 503)
        self.end_headers()
        self.wfile.write(b"all is ok" if good else b"no")

    def log_message(self, *_: object) -> None:
        """Not on the tests' terminal."""


@pytest.fixture
def web() -> Iterator[_Web]:
    server = _Web()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _http(web: _Web, path: str, expect: str, **more: str) -> str:
    lines = [f'{key} = "{value}"' for key, value in more.items()]
    url = f"http://127.0.0.1:{web.server_port}{path}"
    return "\n".join([f'[[steps]]\nname = "ask"\nhttp = "{url}"\nexpect = {{ {expect} }}', *lines, ALL])


@pytest.mark.parametrize("who", ["controller", "target"])
def test_an_http_step_asks_from_here_or_from_the_target(farm: Farm, state: Path, web: _Web, who: str) -> None:
    if who == "target" and not (shutil.which("curl") or shutil.which("wget")):
        pytest.skip("neither curl nor wget is installed")
    body = _http(web, "/$TARGET", 'contains = "ok", within = "5s"', **{"from": who})
    assert headless(state, fleet_file(farm, body)).code == 0
    assert sorted(set(web.asked)) == ["/web-1", "/web-2", "/web-3", "/web-4"]
    from_targets = ["plain" in operations(target) for target in farm.targets]
    assert all(from_targets) if who == "target" else not any(from_targets)


def test_an_http_step_asks_again_until_the_answer_is_right(farm: Farm, state: Path, web: _Web) -> None:
    ran = headless(state, fleet_file(farm, _http(web, "/slow", 'within = "20s"')), "--only", "web-1")
    assert ran.code == 0
    assert len(web.asked) == 3


@pytest.mark.parametrize(
    ("path", "expect", "said"),
    [
        pytest.param("/bad", 'within = "1s"', "status 503, expected 200", id="status"),
        pytest.param("/", 'contains = "never", within = "1s"', "does not contain 'never'", id="body"),
    ],
)
def test_a_wrong_answer_is_a_failure_with_what_came(
    farm: Farm, state: Path, web: _Web, path: str, expect: str, said: str
) -> None:
    ran = headless(state, fleet_file(farm, _http(web, path, expect)), "--only", "web-1")
    assert ran.code == 1
    assert said in ran.out


# Not durable


async def test_a_plain_command_ends_with_its_connection_and_is_unknown(farm: Farm, state: Path) -> None:
    body = '[[steps]]\nname = "look"\nrun = "echo $$ > pid; echo x >> ran; sleep 60"\ndurable = false\n'
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
        await until(lambda: farm.targets[0].read("ran"))
        farm.targets[0].kill_sessions()
        await front.until(lambda state: state.targets["web-1"].steps.outcome == "unknown")
        await until(lambda: gone(farm.targets[0].read("pid")))
    assert times(farm, "ran")["web-1"] == 1


async def test_a_durable_step_outlives_its_connection_and_is_followed_again(farm: Farm, state: Path) -> None:
    """P5"""
    body = (
        '[[steps]]\nname = "deploy"\nrun = "echo one; echo x >> ran; until [ -e go ]; do sleep 0.1; done; echo two"\n'
    )
    async with Front(state) as front:
        await front.start(plan_of(fleet_file(farm, body), canaries=("web-1",)))
        await until(lambda: farm.targets[0].read("ran"))
        farm.targets[0].kill_sessions()
        await front.event(e.ConnectionLost)
        await front.event(e.ConnectionRestored)
        (farm.targets[0].home / "go").touch()
        await front.event(e.GateOpened)
        log = (front.logs / "web-1.log").read_text()
    assert times(farm, "ran")["web-1"] == 1
    assert [line.partition("out| ")[2] for line in log.splitlines() if "out|" in line] == ["one", "two"]
