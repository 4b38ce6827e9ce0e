"""A sound file becomes a fleet of single targets; the same declarations make decoder and schema."""

import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from canary_tui.domain.fleet.steps import Expect, HttpStep, LocalStep, RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Fleet, Gate, Ssh
from canary_tui.domain.fleet.units import Duration, Share, Size
from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan_text import plan_lines
from canary_tui.fleetfile.decode import Faults, decode, keys_of
from canary_tui.fleetfile.loader import load_fleet
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


def load(tmp_path, text):
    (tmp_path / "deploy.sh").write_text("#!/bin/sh\ntrue\n")
    (tmp_path / "fleet.toml").write_text(text)
    return load_fleet(tmp_path / "fleet.toml")


def test_every_key_of_the_format_arrives(tmp_path):
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


def test_the_path_may_be_relative_and_lines_may_end_as_on_windows(tmp_path, monkeypatch):
    load(tmp_path, WHOLE)
    (tmp_path / "crlf.toml").write_bytes(WHOLE.replace("\n", "\r\n").encode())
    monkeypatch.chdir(tmp_path)
    assert load_fleet("crlf.toml").fleet == load_fleet("fleet.toml").fleet
    assert load_fleet("fleet.toml").directory == str(tmp_path)


def test_sound_parts_are_checked_beside_refused_ones():
    faults = Faults()
    found = decode(Fleet, tomllib.loads(WHOLE.replace('"2h"', '"soon"').replace("2222", '"x"')), faults)
    assert [".".join(map(str, fault.path)) for fault in faults] == [
        "environments.production.ssh.port",
        "waves.0.gate.expires",
    ]
    assert found.waves[0].gate == Gate(on_expire="rollback") and len(found.targets) == 2


def test_keys_are_kebab_case_without_a_trailing_underscore():
    assert {"finally", "rollback"} <= keys_of(Fleet).keys() and "from" in keys_of(HttpStep)
    assert {"connect-timeout", "known-hosts"} <= keys_of(Ssh).keys()


def test_no_supported_key_is_listed_as_unsupported():
    for cls, names in UNSUPPORTED.items():
        assert not names & keys_of(cls).keys()


def test_the_schema_beside_the_samples_is_the_one_that_is_generated():
    assert (SAMPLES / "fleet.schema.json").read_text() == schema_text()


def violations(schema, value, path=""):
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


def test_the_schema_accepts_what_the_decoder_accepts():
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
def test_schema_and_decoder_refuse_the_same(before, after):
    assert before in WHOLE
    table = tomllib.loads(WHOLE.replace(before, after, 1))
    faults = Faults()
    decode(Fleet, table, faults)
    assert faults and list(violations(fleet_schema(), table))


def described(schema, path=""):
    for key, inside in schema.get("properties", {}).items():
        yield f"{path}.{key}", inside.get("description", "")
        for one in (inside, inside.get("items", {}), *inside.get("items", {}).get("oneOf", ())):
            yield from described(one, f"{path}.{key}")


def test_every_key_of_the_schema_has_a_sentence():
    found = dict(described(fleet_schema()))
    assert len(found) > 60
    assert [key for key, text in found.items() if not text] == []


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_sample_is_sound_and_names_exactly_the_demos_targets(path):
    loaded = load_fleet(path)
    assert {target.name for target in loaded.fleet.targets} == DEMO
    assert all(target.host is None for target in loaded.fleet.targets)
    assert loaded.text.startswith("#:schema ./fleet.schema.json\n")
    assert list(violations(json.loads(schema_text()), tomllib.loads(loaded.text))) == []
    assert f"[`{path.name}`]({path.name})" in (SAMPLES / "README.md").read_text()


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
def test_a_sample_makes_the_plan_that_its_words_promise(name, choices, waves):
    loaded = load_fleet(SAMPLES / f"{name}.toml")
    plan = build_plan(loaded.fleet, Choices("1.4.2", directory=loaded.directory, **choices), loaded.scripts)
    lines = plan_lines(plan)
    starts = [index for index, line in enumerate(lines) if re.match(r"  \d .*: \d+ targets?[ ,]", line)]
    assert [lines[index + 1].strip() for index in starts] == waves
    assert [bool(wave.gate) for wave in plan.waves] == [True] * (len(waves) - 1) + [False]


def test_the_samples_steps_run_in_a_plain_shell(tmp_path):
    for path in SAMPLES.glob("*.toml"):
        fleet = load_fleet(path).fleet
        environment = {"environment": "production"} if fleet.environments else {}
        canaries = {} if fleet.waves else {"canary_selection": "web-1"}
        plan = build_plan(fleet, Choices("1.4.2", **environment, **canaries), {})
        for target in plan.targets.values():
            home = tmp_path / path.stem / target.name
            home.mkdir(parents=True)
            variables = {**target.variables, "HOME": str(home), "PATH": "/usr/bin:/bin"}
            steps = [*(plan.steps[i] for i in target.steps), *(plan.finally_[i] for i in target.finally_)]
            for step in steps:
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
def test_ten_thousand_targets_are_loaded_checked_and_planned(tables, expanded, tmp_path):
    path = tmp_path / "fleet.toml"
    path.write_text(big_fleet(tables, expanded))
    started = time.process_time()
    loaded = load_fleet(path)
    first = tuple(target.name for target in loaded.fleet.targets[:20])
    plan = build_plan(loaded.fleet, Choices("1", canaries=first), loaded.scripts)
    print(f"\n10,000 targets loaded, checked and planned in {time.process_time() - started:.2f} s of CPU time")
    assert len(plan.targets) == 10_000 and [len(wave.targets) for wave in plan.waves] == [20, 9_980]


HEAVY = {"asyncio", "textual", "rich", "asyncssh", "subprocess", "socket", "difflib", "tomli_w", "logging", "random"}


def test_loading_and_planning_imports_nothing_heavy(tmp_path):
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
