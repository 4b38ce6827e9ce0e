"""A sound file becomes a fleet of single targets; the same declarations make decoder and schema."""

import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest

from canary_tui.domain.fleet.steps import Expect, HttpStep, LocalStep, RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Fleet, Gate, Ssh
from canary_tui.domain.fleet.units import Duration, Share, Size
from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan_text import plan_lines
from canary_tui.fleetfile.decode import Faults, decode, keys_of
from canary_tui.fleetfile.loader import LoadedFleet, load_fleet
from canary_tui.fleetfile.schema import fleet_schema, schema_text
from canary_tui.fleetfile.unsupported import UNSUPPORTED

SAMPLES = Path(__file__).parents[2] / "sample_fleets"
DEMO = {f"web-{i}" for i in range(1, 6)} | {"db-1", "db-2", "stage-1"}

WHOLE = """
name = "shop"
[release]
current = "cat R"
[ssh]
user = "deploy"
connect-timeout = "15s"
known-hosts = "/etc/hosts.keys"
sudo = true
[vars]
APP_HOME = "/srv/shop"
[environments.production]
protected = true
vars = { A = "1" }
ssh = { port = 2222, jump = "ops@bastion:22,inner" }
[[targets]]
name = "web-[1-3]"
host = "10.0.0.1[1-3]"
roles = ["web-server"]
environments = ["production"]
tags = { zone = "eu-1" }
vars = { WORKERS = "8" }
[[targets]]
name = "six"
host = "[fe80::1%eth0]"
ssh = { sudo = "app", config = "none", identity = "~/.ssh/id" }
[[steps]]
name = "put"
upload = "dist/$RELEASE.tar.gz"
to = "$APP_HOME/in.tar.gz"
mode = "0600"
[[steps]]
script = "deploy.sh"
timeout = "2m"
retries = 3
[[steps]]
run = "true"
durable = false
[[steps]]
http = "http://$HOST:8080/"
expect = { status = 204, contains = "ok", within = "1m" }
from = "target"
[[steps]]
local = "echo"
roles = ["web-server"]
[[rollback]]
run = "undo"
[[finally]]
run = "tidy"
[[waves]]
name = "canary"
targets = "web-1"
[waves.gate]
expires = "2h"
on-expire = "rollback"
[[waves]]
name = "rest"
parallel = 4
[limits]
failures = "5%"
consecutive = 2
output = "1MiB"
on-failure = "abort"
on-unavailable = "skip"
"""


def load(tmp_path: Path, text: str) -> LoadedFleet:
    (tmp_path / "deploy.sh").write_text("#!/bin/sh\ntrue\n")
    (tmp_path / "fleet.toml").write_text(text)
    return load_fleet(tmp_path / "fleet.toml")


def test_every_key_of_the_format_arrives(tmp_path: Path) -> None:
    loaded = load(tmp_path, WHOLE)
    fleet = loaded.fleet
    assert [(one.name, one.address) for one in fleet.targets] == [
        ("web-1", "10.0.0.11"),
        ("web-2", "10.0.0.12"),
        ("web-3", "10.0.0.13"),
        ("six", "fe80::1%eth0"),
    ]
    assert fleet.targets[3].ssh == Ssh(sudo="app", config="none", identity="~/.ssh/id")
    assert fleet.ssh == Ssh(user="deploy", connect_timeout=Duration(15), known_hosts="/etc/hosts.keys", sudo=True)
    assert fleet.steps == (
        UploadStep(name="put", upload="dist/$RELEASE.tar.gz", to="$APP_HOME/in.tar.gz", mode="0600"),
        ScriptStep(script="deploy.sh", timeout=Duration(120), retries=3),
        RunStep(run="true", durable=False),
        HttpStep(http="http://$HOST:8080/", expect=Expect(204, "ok", Duration(60)), from_="target"),
        LocalStep(local="echo", roles=("web-server",)),
    )
    assert fleet.finally_ == (RunStep(run="tidy"),)
    assert fleet.waves[0].gate == Gate(expires=Duration(7200), on_expire="rollback")
    assert (fleet.limits.failures, fleet.limits.output) == (Share("5%"), Size(2**20))
    assert fleet.environments["production"].ssh.port == 2222
    assert loaded.scripts == {"deploy.sh": "#!/bin/sh\ntrue\n"}
    assert (loaded.directory, loaded.text) == (str(tmp_path), WHOLE)


def test_the_path_may_be_relative_and_lines_may_end_as_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path, WHOLE)
    (tmp_path / "crlf.toml").write_bytes(WHOLE.replace("\n", "\r\n").encode())
    monkeypatch.chdir(tmp_path)
    assert load_fleet("crlf.toml").fleet == load_fleet("fleet.toml").fleet
    assert load_fleet("fleet.toml").directory == str(tmp_path)


RELATIVE = """
name = "shop"
[ssh]
config = "ssh/config"
identity = "../keys/%h"
known-hosts = "none"
[environments.lab]
ssh = { known-hosts = "./known_hosts", identity = "~/.ssh/id", config = "none" }
[[targets]]
name = "web-[1-2]"
ssh = { identity = "%d/id", config = "/etc/ssh/other", known-hosts = "known hosts" }
[[targets]]
name = "db"
ssh = { identity = "${KEYS}/id" }
[[steps]]
run = "true"
"""


@pytest.mark.found("field 7")
def test_relative_paths_of_ssh_tables_start_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollout that is resumed from another folder has the same keys."""
    repo, elsewhere = tmp_path / "50% of it", tmp_path / "elsewhere"
    repo.mkdir()
    elsewhere.mkdir()
    fleet = load(repo, RELATIVE).fleet
    folder = str(repo)
    assert fleet.ssh == Ssh(
        config=f"{folder}/ssh/config", identity=f"{tmp_path}/50%% of it/../keys/%h", known_hosts="none"
    )
    assert fleet.environments["lab"].ssh == Ssh(
        known_hosts=f"{folder}/known_hosts", identity="~/.ssh/id", config="none"
    )
    assert [one.ssh for one in fleet.targets] == [
        *[Ssh(identity="%d/id", config="/etc/ssh/other", known_hosts=f"{folder}/known hosts")] * 2,
        Ssh(identity="${KEYS}/id"),
    ]
    monkeypatch.chdir(elsewhere)
    assert load_fleet("../50% of it/fleet.toml").fleet == fleet


@pytest.mark.found("field 7")
def test_a_plan_has_one_hash_by_whichever_way_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approvals are bound to the hash: the way from the working folder to the file is no part of the plan."""
    repo = tmp_path / "repo"
    repo.mkdir()
    load(repo, RELATIVE)
    (tmp_path / "link").symlink_to(repo)
    monkeypatch.chdir(repo)
    ways = ["fleet.toml", "./fleet.toml", "../repo/fleet.toml", str(repo / "fleet.toml"), "../link/fleet.toml"]
    loaded = [load_fleet(way) for way in ways]
    plans = [
        build_plan(one.fleet, Choices("2", environment="lab", only="web-1", directory=one.directory), one.scripts)
        for one in loaded
    ]
    assert len({plan.hash for plan in plans}) == 1
    assert {one.path for one in loaded} == {repo / "fleet.toml"}


def test_sound_parts_are_checked_beside_refused_ones() -> None:
    faults = Faults()
    found = decode(Fleet, tomllib.loads(WHOLE.replace('"2h"', '"soon"').replace("2222", '"x"')), faults)
    assert [".".join(map(str, fault.path)) for fault in faults] == [
        "environments.production.ssh.port",
        "waves.0.gate.expires",
    ]
    assert found.waves[0].gate == Gate(on_expire="rollback") and len(found.targets) == 2


def test_keys_are_kebab_case_without_a_trailing_underscore() -> None:
    assert {"finally", "rollback"} <= keys_of(Fleet).keys() and "from" in keys_of(HttpStep)
    assert {"connect-timeout", "known-hosts"} <= keys_of(Ssh).keys()


def test_no_supported_key_is_listed_as_unsupported() -> None:
    for cls, names in UNSUPPORTED.items():
        assert not names & keys_of(cls).keys()


def test_the_schema_beside_the_samples_is_the_one_that_is_generated() -> None:
    assert (SAMPLES / "fleet.schema.json").read_text() == schema_text()


def violations(schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """What draft-07 says against a value, for the words that our schema uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    unknown = schema.keys() - {"$schema", "title", "description", "default", "type", "properties", "required"}
    assert unknown <= {"additionalProperties", "propertyNames", "items", "enum", "oneOf", "anyOf", "pattern"} | {
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
    }
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not in {schema['enum']}"
    for word, allowed in (("oneOf", {1}), ("anyOf", {1, 2, 3})):
        if word in schema and sum(not list(violations(one, value, path)) for one in schema[word]) not in allowed:
            yield f"{path}: {word}"
    if "type" in schema and type(value) is not kinds[schema["type"]]:
        yield f"{path}: no {schema['type']}"
        return
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: pattern {schema['pattern']}"
    if not schema.get("minimum", 0) <= (value if type(value) is int else 0) <= schema.get("maximum", 10**9):
        if "minimum" in schema:
            yield f"{path}: range"
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9):
        yield f"{path}: length"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(schema.get("items", {}), item, f"{path}[{index}]")
    if isinstance(value, dict):
        yield from (f"{path}: missing {key}" for key in schema.get("required", ()) if key not in value)
        for key, item in value.items():
            yield from violations(schema.get("propertyNames", {}), key, f"{path}.{key}")
            rest = schema.get("additionalProperties", {})
            inside = schema.get("properties", {}).get(key, rest)
            if inside is False:
                yield f"{path}: unknown {key}"
            else:
                yield from violations(inside, item, f"{path}.{key}")


def test_the_schema_accepts_what_the_decoder_accepts() -> None:
    assert list(violations(fleet_schema(), tomllib.loads(WHOLE))) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param('"0600"', '"rw"', id="mode"),
        pytest.param("2222", "65536", id="port"),
        pytest.param('"2h"', '"soon"', id="duration"),
        pytest.param('"rollback"', '"proceed"', id="choice"),
        pytest.param("parallel = 4", "paralel = 4", id="unknown key"),
        pytest.param('run = "undo"', 'rnu = "undo"', id="no kind of step"),
        pytest.param('run = "undo"', 'run = "undo"\nlocal = "x"', id="two kinds of step"),
        pytest.param('WORKERS = "8"', "WORKERS = 8", id="number for text"),
        pytest.param('A = "1"', '"A B" = "1"', id="variable name"),
        pytest.param('"5%"', '"105%"', id="share"),
        pytest.param('user = "deploy"', 'user = "-deploy"', id="user"),
        pytest.param("sudo = true", "sudo = 1", id="neither of two types"),
    ],
)
def test_schema_and_decoder_refuse_the_same(before: str, after: str) -> None:
    assert before in WHOLE
    table = tomllib.loads(WHOLE.replace(before, after, 1))
    faults = Faults()
    decode(Fleet, table, faults)
    assert faults and list(violations(fleet_schema(), table))


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, inside in schema.get("properties", {}).items():
        yield f"{path}.{key}", inside.get("description", "")
        for one in (inside, inside.get("items", {}), *inside.get("items", {}).get("oneOf", ())):
            yield from described(one, f"{path}.{key}")


def test_every_key_of_the_schema_has_a_sentence() -> None:
    found = dict(described(fleet_schema()))
    assert len(found) > 60
    assert [key for key, text in found.items() if not text] == []


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_sample_is_sound_and_names_exactly_the_demos_targets(path: Path) -> None:
    loaded = load_fleet(path)
    assert {target.name for target in loaded.fleet.targets} == DEMO
    assert all(target.host is None for target in loaded.fleet.targets)
    assert loaded.text.startswith("#:schema ./fleet.schema.json\n")
    assert list(violations(json.loads(schema_text()), tomllib.loads(loaded.text))) == []
    assert f"[`{path.name}`]({path.name})" in (SAMPLES / "README.md").read_text()


class Chosen(TypedDict, total=False):
    """What an operator chose for a sample."""

    environment: str
    canary_selection: str
    only: str


@pytest.mark.parametrize(
    ("name", "choices", "waves"),
    [
        ("quickstart", {"canary_selection": "web-1"}, ["web-1", "web-[2-5] db-[1-2] stage-1"]),
        ("roles-and-environments", {"environment": "production"}, ["web-1", "web-[2-5] db-[1-2]"]),
        ("roles-and-environments", {"environment": "staging"}, ["stage-1"]),
        ("two-step-subset", {}, ["web-[1-2]", "web-[3-5] db-1", "db-2 stage-1"]),
        ("two-step-subset", {"only": "web-1"}, ["web-1"]),
    ],
)
def test_a_sample_makes_the_plan_that_its_words_promise(name: str, choices: Chosen, waves: list[str]) -> None:
    loaded = load_fleet(SAMPLES / f"{name}.toml")
    plan = build_plan(loaded.fleet, Choices("1.4.2", directory=loaded.directory, **choices), loaded.scripts)
    lines = plan_lines(plan)
    starts = [index for index, line in enumerate(lines) if re.match(r"  \d .*: \d+ targets?[ ,]", line)]
    assert [lines[index + 1].strip() for index in starts] == waves
    assert [bool(wave.gate) for wave in plan.waves] == [True] * (len(waves) - 1) + [False]


def test_the_samples_steps_run_in_a_plain_shell(tmp_path: Path) -> None:
    for path in SAMPLES.glob("*.toml"):
        fleet = load_fleet(path).fleet
        environment = "production" if fleet.environments else None
        canaries = None if fleet.waves else "web-1"
        plan = build_plan(fleet, Choices("1.4.2", environment, canary_selection=canaries), {})
        for target in plan.targets.values():
            home = tmp_path / path.stem / target.name
            home.mkdir(parents=True)
            variables = {**target.variables, "HOME": str(home), "PATH": "/usr/bin:/bin"}
            steps = [*(plan.steps[i] for i in target.steps), *(plan.finally_[i] for i in target.finally_)]
            for step in steps:
                assert isinstance(step, RunStep)
                subprocess.run(["sh", "-euc", step.run], env=variables, cwd=home, check=True, capture_output=True)
            assert (home / "current" / "REVISION").read_text() == "1.4.2\n"


def big_fleet(tables: int, expanded: int) -> str:
    head = 'name = "big"\n[environments.production]\n[[steps]]\nrun = "true"\n[[steps]]\nupload = "a"\nto = "$W"\n'
    many = f'[[targets]]\nname = "x-[1-{expanded}]"\nvars = {{ W = "1" }}\n' if expanded else ""
    table = (
        '[[targets]]\nname = "web-{0}"\nhost = "10.{1}.{2}"\nroles = ["web-server"]\nenvironments = ["production"]\n'
        'tags = {{ zone = "z{1}" }}\nvars = {{ W = "{0}" }}\nssh = {{ user = "deploy" }}\n'
    )
    return head + many + "".join(table.format(i, i // 250, i % 250) for i in range(tables))


@pytest.mark.parametrize(("tables", "expanded"), [(10_000, 0), (0, 10_000)], ids=["tables", "expanded"])
def test_ten_thousand_targets_are_loaded_checked_and_planned(tables: int, expanded: int, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(big_fleet(tables, expanded))
    started = time.process_time()
    loaded = load_fleet(path)
    first = tuple(target.name for target in loaded.fleet.targets[:20])
    plan = build_plan(loaded.fleet, Choices("1", canaries=first), loaded.scripts)
    print(f"\n10,000 targets loaded, checked and planned in {time.process_time() - started:.2f} s of CPU time")
    assert len(plan.targets) == 10_000 and [len(wave.targets) for wave in plan.waves] == [20, 9_980]


HEAVY = {"asyncio", "textual", "rich", "asyncssh", "subprocess", "socket", "difflib", "tomli_w", "logging", "random"}


def test_loading_and_planning_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from canary_tui.fleetfile.loader import load_fleet\n"
        "from canary_tui.domain.planning.build import Choices, build_plan\n"
        "from canary_tui.domain.planning.plan_text import plan_lines\n"
        f"loaded = load_fleet({str(SAMPLES / 'two-step-subset.toml')!r})\n"
        "plan_lines(build_plan(loaded.fleet, Choices('1'), {}))\n"
        "print(*sorted(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(result.stdout.split())
