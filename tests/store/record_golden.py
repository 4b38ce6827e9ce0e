"""Records the golden journals of the format of today, from real rollouts: python tests/store/record_golden.py [NAME ...]

Needs sshd. Run it once when `FORMAT` was raised; what it wrote then is never written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(BASE / "tests")]

from farm import Farm, FarmTarget  # noqa: E402
from fronts import Front, canary_tui, only_rollout, plan_of, started, until  # noqa: E402

from canary_tui.domain.codec import Json, decode, encode  # noqa: E402
from canary_tui.domain.rollout import events as e  # noqa: E402
from canary_tui.domain.rollout.apply import replay  # noqa: E402
from canary_tui.domain.rollout.events import Event, Operator, Record  # noqa: E402
from canary_tui.domain.rollout.state import RolloutState  # noqa: E402
from canary_tui.store.journal import read_journal, verify  # noqa: E402
from canary_tui.store.journal_format import Chain, line_hash, write_line  # noqa: E402

WORK = Path(tempfile.mkdtemp(prefix="golden-"))
OUT = Path(__file__).parent / "golden" / f"format-{e.FORMAT}"
OPERATOR = Operator("operator", "controller", "")
SSH_PORT, HTTP_PORT = 2222, 8080
OLD, NEW = "1.4.1", "1.4.2"
BOOT = "5f0c1d9e-7a43-4b1c-9d52-3e8a6b0f4c21"
BOOT_TAIL = re.compile(r"[0-9a-f-]{36}(.*)")
FREE = 42_000_000_000
SHOP = "/srv/shop"

WAIT = "i=0; until [ -e go ] || [ $i -ge 600 ]; do i=$((i+1)); sleep 0.05; done"
"""Shell text that ends with a file `go`, or after about 40 s."""


# The servers


@contextlib.contextmanager
def web_servers(addresses: list[str]) -> Iterator[None]:
    """What the http steps ask, on each target's address."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"all is ok")

        def log_message(self, *_: object) -> None:
            pass

    servers = [http.server.ThreadingHTTPServer((address, HTTP_PORT), Answers) for address in addresses]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join(10)
            server.server_close()


def fresh(farm: Farm) -> None:
    """Servers that nobody was ever on."""
    ends = time.monotonic() + 15
    while any(target.sessions() for target in farm.targets) and time.monotonic() < ends:
        time.sleep(0.02)
    for target in farm.targets:
        for path in target.home.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        target.log.unlink(missing_ok=True)
        (target.home / "REVISION").write_text(f"{OLD}\n")
    for name in ("go", "noted"):
        (farm.folder / name).unlink(missing_ok=True)


def fleet(farm: Farm, body: str, targets: str = "", *, count: int = 4, ssh: str = "") -> Path:
    """The fleet file `shop.toml`; without `targets`, web-1 ... on the farm's servers."""
    plain = [f'[[targets]]\nname = "{one.name}"\nhost = "{one.address}"' for one in farm.targets[:count]]
    head = f'name = "shop"\n{body}\n[ssh]\nconfig = "{farm.ssh_config}"\n{ssh}\n'
    path = farm.folder / "shop.toml"
    path.write_text(head + (targets or "\n".join(plain)) + "\n")
    return path


def state_of(name: str) -> Path:
    path = WORK / f"state-{name}"
    shutil.rmtree(path, ignore_errors=True)
    return path


def go(*targets: FarmTarget) -> None:
    for target in targets:
        (target.home / "go").touch()


def spin(condition: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"did not come true: {what}"
        time.sleep(0.02)


def kill_when(process: subprocess.Popen[bytes], condition: Callable[[], object], what: str) -> None:
    """kill -9 of an engine of ours once something is true."""
    try:
        spin(lambda: condition() or process.poll() is not None, what=what)
        assert process.poll() is None, process.communicate()
        time.sleep(0.3)  # what it is about to write is written
    finally:
        process.kill()
        process.communicate(timeout=10)


# The rollouts

DEPLOY = f"""
[release]
current = "cat REVISION"

[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed; echo deploying $RELEASE on $TARGET; {WAIT}; echo $RELEASE > REVISION"
timeout = "45s"
"""


async def succeeded(farm: Farm, state: Path) -> None:
    """Three waves, two gates, every kind of step, most settings; one target has the release already."""
    one, two, three, four, _ = farm.targets
    (farm.folder / "dist").mkdir(exist_ok=True)
    (farm.folder / "dist" / f"shop-{NEW}.tar").write_bytes(b"".join(bytes([i % 251]) * 97 for i in range(600)))
    (farm.folder / "install.sh").write_text(
        "#!/bin/sh\n# Puts the release in its place: „ganz oder gar nicht“.\nset -eu\n"
        'mkdir -p "releases/$RELEASE"\ncp "incoming/shop-$RELEASE.tar" "releases/$RELEASE/"\n'
        'printf \'%s\\n\' "$MOTTO" > "releases/$RELEASE/MOTTO"\n'
    )
    (four.home / "REVISION").write_text(f"{NEW}\n")
    body = f"""
[release]
current = "cat REVISION"

[vars]
APP = "shop"
MOTTO = '''it's "100 % ready"; $(no shell) `here` – ä ☂ \\'''
HEALTH = "health?app=shop&full=1"

[environments.production]
protected = true
[environments.production.vars]
WORKERS = "8"
[environments.production.ssh]
connect-timeout = "20s"

[environments.staging.vars]
WORKERS = "1"

[[steps]]
name = "answers before"
http = "http://$HOST:{HTTP_PORT}/$HEALTH"
roles = ["web-server"]
retries = 1
timeout = "2500ms"

[[steps]]
name = "send"
upload = "dist/shop-$RELEASE.tar"
to = "incoming/shop-$RELEASE.tar"
mode = "0640"
timeout = "5m"
retries = 3

[[steps]]
script = "install.sh"
tools = ["cp"]
timeout = "1m"

[[steps]]
name = "migrate"
roles = ["db-server"]
run = '''
echo "schema of $RELEASE, try $(( $(cat tries 2>/dev/null || echo 0) + 1 ))"
[ -e tries ] || {{ echo 1 > tries; echo "the database is busy" >&2; exit 75; }}
'''
retries = 2

[[steps]]
name = "switch"
run = 'ln -sfn "releases/$RELEASE" current; echo "$RELEASE" > REVISION; echo "$APP with $WORKERS workers"'
tools = ["ln", "readlink"]
timeout = "90s"

[[steps]]
local = "echo $TARGET has $RELEASE >> noted"
timeout = "30s"

[[steps]]
name = "answers"
http = "http://$HOST:{HTTP_PORT}/"
expect = {{ status = 200, contains = "ok", within = "5s" }}
from = "target"
roles = ["web-server", "db-server"]

[[steps]]
name = "glance"
run = 'test "$(cat current/MOTTO)" = "$MOTTO"'
durable = false
retries = 1

[[rollback]]
name = "switch back"
run = 'ln -sfn "releases/$RELEASE" current; echo "$RELEASE" > REVISION'
timeout = "90s"

[[finally]]
name = "tidy"
run = 'rm -f incoming/*'

[[finally]]
name = "tell"
local = "echo $TARGET tidied >> noted"
roles = ["canary"]

[[waves]]
name = "canary"
targets = "@canary"
parallel = 1
environments = ["production"]
[waves.gate]
instructions = \"\"\"
Look at the dashboards of $RELEASE on $CANARIES:
  – latency of ${{APP}}, – errors in $ENVIRONMENT.\"\"\"
checklist = ["Dashboards look right", "Support has nothing new", "„Kasse“ answers"]
expires = "2h"
on-expire = "rollback"
confirm = "release"

[[waves]]
name = "half"
share = "40%"
environments = ["production"]
gate = {{ confirm = "fleet" }}

[[waves]]
name = "rest"
parallel = 4

[limits]
failures = "25%"
consecutive = 2
output = "1MiB"
on-failure = "rollback"
on-unavailable = "skip"
"""
    targets = f"""
[[targets]]
name = "web-1"
host = "{one.address}"
roles = ["web-server", "canary"]
environments = ["production"]
tags = {{ zone = "a", rack = "r1" }}

[[targets]]
name = "web-2"
host = "{two.address}"
roles = ["web-server"]
environments = ["production"]
tags = {{ zone = "b" }}
vars = {{ WORKERS = "16", LANG = "de_DE.UTF-8" }}
ssh = {{ user = "{os.environ.get("USER") or "root"}", port = {SSH_PORT}, connect-timeout = "15s" }}

[[targets]]
name = "db-1"
host = "{three.address}"
roles = ["db-server"]
environments = ["production"]
tags = {{ zone = "a" }}
ssh = {{ jump = "{one.address}:{SSH_PORT}" }}

[[targets]]
name = "web-[3-4]"
host = "127.0.71.[4-5]"
roles = ["web-server"]
environments = ["production"]
tags = {{ zone = "b" }}

[[targets]]
name = "stage-1"
roles = ["web-server"]
environments = ["staging"]
"""
    ssh = f'identity = "{farm.identity}"\nknown-hosts = "{farm.known_hosts}"'
    plan = plan_of(fleet(farm, body, targets, ssh=ssh), NEW, environment="production", variables={"TICKET": "OPS-7"})
    async with Front(state) as front:
        await front.start(plan, OPERATOR)
        await front.event(e.GateOpened)
        for number, (item, ticked) in enumerate([(0, True), (2, True), (0, False), (1, True), (0, True)], 1):
            await front.decide(e.ItemTicked(0, item, ticked, OPERATOR))
            await front.event(e.ItemTicked, number)
        await front.decide(e.StopRequested("asking", OPERATOR))
        await front.event(e.StopRequested)
        await front.decide(e.StopWithdrawn(OPERATOR))
        await front.event(e.StopWithdrawn)
        await front.approve("latency is as before, „Kasse“ too", by=OPERATOR)
        await front.event(e.GateOpened, 2)
        await front.approve(by=OPERATOR)
        assert (await front.ended()).exit_code == 0, front.story


async def aborted(farm: Farm, state: Path) -> None:
    """A target held by another rollout is excluded, a connection lost, a stop, another engine, a retry; then no."""
    one, two, _, four = farm.targets[:4]
    stock = state_of("stock")
    path = fleet(farm, DEPLOY.replace("shop", "stock"), f'[[targets]]\nname = "web-4"\nhost = "{four.address}"')
    path.write_text(path.read_text().replace('name = "shop"', 'name = "stock"'))
    other = started(stock, "run", path, "--release", "7", "--headless", "--only", "web-4")
    kill_when(other, lambda: four.read("deployed"), "the other rollout is at work on web-4")
    go(four)

    gate = '[[waves]]\nname = "canary"\ntargets = "web-1 | web-2"\n[waves.gate]\n[[waves]]\nname = "rest"\n'
    plan = plan_of(fleet(farm, DEPLOY + gate), NEW)
    async with Front(state) as front:
        await front.start(plan, OPERATOR)
        await front.until(lambda state: state.targets["web-4"].failing)
        await front.decide(e.FailureTreated(("web-4",), "exclude", OPERATOR, "stock goes out there"))
        await until(lambda: one.read("deployed") and two.read("deployed"), why=lambda: front.story)
        await asyncio.sleep(0.3)
        one.kill_sessions()
        await front.event(e.ConnectionLost)
        await front.event(e.ConnectionRestored)
        go(one)
        await front.until(lambda state: state.targets["web-1"].steps.outcome == "ok")
        await front.decide(e.StopRequested("asking", OPERATOR))
        await front.event(e.StopRequested)
        await front.decide(e.StopRequested("starting", OPERATOR))
        await front.event(e.StopRequested, 2)
        await front.decide(e.StopRequested("running", OPERATOR))
        assert (await front.ended()).exit_code == 130, front.story
    async with Front(state) as front:
        await front.resume(only_rollout(state), OPERATOR)
        await front.until(lambda state: state.targets["web-2"].failing)
        go(two)
        await front.decide(e.FailureTreated(("web-2",), "retry", OPERATOR))
        await front.event(e.GateOpened)
        await front.decide(e.Aborted(OPERATOR, 'latency is up: "p99" > 2 s', rollback=False))
        assert (await front.ended()).exit_code == 3, front.story


async def waiting(farm: Farm, state: Path) -> None:
    """The least that a fleet file says, and what a command line can add."""
    body = '[[steps]]\nrun = "echo $RELEASE for $WHO > REVISION"\n'
    ran = canary_tui(
        state, "run", fleet(farm, body), "--release", NEW, "--headless", "--canary", "web-1", "--exclude", "web-4",
        "--var", "WHO=x;y z", "--redeploy",
    )  # fmt: skip
    assert ran.code == 4, ran.text


async def unknown(farm: Farm, state: Path) -> None:
    """kill -9 while a local step runs for one canary and a durable one on the other."""
    one, two = farm.targets[:2]
    local = f'echo $TARGET >> noted; [ "$TARGET" != web-1 ] || {{ {WAIT}; }}'
    body = (
        f"[[steps]]\nname = \"balance\"\nlocal = '''{local}'''\ntimeout = \"1m\"\n{DEPLOY}"
        '[[finally]]\nrun = "echo tidy"\n[[waves]]\nname = "canary"\ntargets = "web-[1-2]"\n[waves.gate]\n'
        'instructions = "Is $RELEASE on $CANARIES well?"\n[[waves]]\nname = "rest"\n'
        "[limits]\nfailures = 1\nconsecutive = 1\n"
    )
    path = fleet(farm, body.replace('[release]\ncurrent = "cat REVISION"\n', "", 1), count=3)
    engine = started(state, "run", path, "--release", NEW, "--headless")
    try:
        kill_when(engine, lambda: two.read("deployed"), "web-2 is at its durable step")
    finally:
        (farm.folder / "go").touch()  # the local step ends, and nobody is told how
        go(one, two)
    ran = canary_tui(state, "resume", "--headless")
    assert ran.code == 8, ran.text


async def rolled_back(farm: Farm, state: Path) -> None:
    """An unknown outcome that a person settles, a gate, the next wave, then back at the second gate."""
    two = farm.targets[1]
    body = """
[release]
current = "cat REVISION"

[[steps]]
name = "deploy"
run = "echo $RELEASE > REVISION"

[[steps]]
name = "warm up"
run = 'echo $$ > warming; [ "$TARGET" != web-2 ] || sleep 30'
durable = false
timeout = "40s"

[[rollback]]
name = "back"
run = "echo $RELEASE > REVISION; echo from $PREVIOUS back to $RELEASE"

[[rollback]]
name = "tell"
local = "echo $TARGET is back on $RELEASE >> noted"

[[finally]]
name = "clean"
run = "rm -f warming"
timeout = "1m"

[[waves]]
name = "canary"
targets = "web-1 | web-2"
parallel = 2
[waves.gate]
checklist = ["Dashboards look right"]

[[waves]]
name = "more"
share = 1
[waves.gate]
confirm = "key"
expires = "7d"
on-expire = "hold"

[[waves]]
name = "rest"
"""
    (two.home / "REVISION").write_text("1.3.9\n")
    async with Front(state) as front:
        await front.start(plan_of(fleet(farm, body), NEW), OPERATOR)
        await until(lambda: two.read("warming"), why=lambda: front.story)
        await asyncio.sleep(0.3)
        two.kill_sessions()
        await front.until(lambda state: state.targets["web-2"].steps.outcome == "unknown")
        await front.decide(e.UnknownSettled("web-2", "ok", OPERATOR, "its page answers"))
        await front.event(e.GateOpened)
        await front.decide(e.ItemTicked(0, 0, True, OPERATOR))
        await front.event(e.ItemTicked)
        await front.approve(by=OPERATOR)
        await front.event(e.GateOpened, 2)
        await front.decide(e.Aborted(OPERATOR, "orders are lost", rollback=True))
        assert (await front.ended()).exit_code == 3, front.story


async def running(farm: Farm, state: Path) -> None:
    """kill -9 while one canary is through and the other in the middle of a durable step."""
    one, two = farm.targets[:2]
    go(one)
    gate = '[[waves]]\nname = "canary"\ntargets = "web-[1-2]"\n[waves.gate]\n[[waves]]\nname = "rest"\nparallel = 2\n'
    engine = started(state, "run", fleet(farm, DEPLOY + gate), "--release", NEW, "--headless")

    def there() -> bool:
        with contextlib.suppress(Exception):
            seen = replay(read_journal(only_rollout(state).journal)).targets
            return (
                seen["web-1"].steps.outcome == "ok" and seen["web-2"].running is not None and bool(two.read("deployed"))
            )
        return False

    try:
        kill_when(engine, there, "web-1 is through, web-2 at work")
    finally:
        go(two)


async def failed(farm: Farm, state: Path) -> None:
    """The locks of `running` broken; one canary fails twice, one runs out of time, one target was never reached."""
    before = only_rollout(WORK / "state-running").id
    body = """
[release]
current = "cat REVISION"

[[steps]]
name = "deploy"
run = '''
echo $RELEASE > REVISION
case $TARGET in
  web-1) echo "no such database" >&2; exit 3 ;;
  web-2) sleep 20 ;;
esac
'''
timeout = "1500ms"
retries = 1

[[finally]]
name = "clean"
run = '[ "$TARGET" != web-2 ]'

[[waves]]
name = "canary"
targets = "web-1 | web-2"
[waves.gate]
expires = "30m"

[[waves]]
name = "rest"
parallel = 1

[limits]
failures = 0
on-failure = "abort"
on-unavailable = "skip"
"""
    targets = "\n".join(f'[[targets]]\nname = "{one.name}"\nhost = "{one.address}"' for one in farm.targets[:3])
    targets += '\n[[targets]]\nname = "web-9"\nhost = "127.0.71.99"\nssh = { connect-timeout = "5s" }\n'
    ran = canary_tui(
        state, "run", fleet(farm, body, targets), "--release", "1.4.3", "--headless", "--break-lock", before, within=90
    )
    assert ran.code == 1, ran.text


async def expired(farm: Farm, state: Path) -> None:
    """The screen is lost while the canary is at work; the next engine sees the gate's time run out."""
    one = farm.targets[0]
    gate = '[[waves]]\nname = "canary"\ntargets = "web-1"\n[waves.gate]\nchecklist = ["Dashboards"]\nexpires = "1s"\n'
    tail = '[[waves]]\nname = "rest"\n[[finally]]\nrun = "rm -f go"\n'
    async with Front(state) as front:
        await front.start(plan_of(fleet(farm, DEPLOY + gate + tail, count=3), NEW), OPERATOR)
        await until(lambda: one.read("deployed"), why=lambda: front.story)
        await asyncio.sleep(0.3)
        front.hang_up()
        await front.event(e.FrontLost)
        go(one)
        await front.exited()
    async with Front(state) as front:
        await front.resume(only_rollout(state), OPERATOR)
        await front.event(e.GateOpened)
        assert (await front.ended()).exit_code == 6, front.story


ROLLOUTS = {
    "succeeded": succeeded,
    "aborted": aborted,
    "waiting": waiting,
    "unknown": unknown,
    "rolled-back": rolled_back,
    "running": running,
    "failed": failed,
    "expired": expired,
}
ENDS = {
    "succeeded": ("succeeded", None, 0),
    "aborted": ("aborted", None, 3),
    "waiting": (None, "waiting", None),
    "unknown": (None, "unknown", None),
    "rolled-back": ("rolled-back", None, 3),
    "running": (None, None, None),
    "failed": ("failed", None, 1),
    "expired": ("expired", None, 6),
}
CONTINUES = {"failed"}
"""Those that begin with what the rollout before them left on the servers."""


# What is kept of them


def impersonal(event: Event, folder: str, here: str) -> Event:
    """The same event, as if it had happened elsewhere."""

    def text(value: str) -> str:
        value = value.replace(folder, SHOP)
        value = value.replace(f"{user}@{here}", f"{OPERATOR.user}@{OPERATOR.host}")
        return value.replace(f"{user}@127.", "deploy@127.")

    user = os.environ.get("USER") or "root"

    def walk(data: Json) -> Json:
        if isinstance(data, list):
            return [walk(item) for item in data]
        if not isinstance(data, dict):
            return text(data) if isinstance(data, str) else data
        kind = data.get("type")
        if kind == "operator":
            return encode(OPERATOR)
        made = {text(key): walk(value) for key, value in data.items()}
        if kind == "ssh" and made["user"] is not None:
            made["user"] = "deploy"
        if kind == "target-probed":
            if made["boot"]:
                tail = BOOT_TAIL.match(made["boot"])
                assert tail is not None
                made["boot"] = BOOT + tail[1]
            made |= {"free_bytes": FREE} if made["free_bytes"] else {}
        return made

    same: Event = decode(Event, walk(encode(event)))
    return same


def rewritten(records: list[Record], folder: str, here: str) -> list[Record]:
    done, hashes = [], {}
    for record in records:
        event = impersonal(record.event, folder, here)
        if isinstance(event, e.RolloutStarted):
            assert isinstance(record.event, e.RolloutStarted)
            hashes[record.event.plan.hash] = event.plan.hash
        if isinstance(event, e.GateApproved):
            event = replace(event, plan=hashes[event.plan])
        done.append(Record(record.seq, record.at, event))
    return done


def chained(records: list[Record]) -> bytes:
    """The journal's bytes."""
    lines, previous = [], Chain("").previous
    for record in records:
        lines.append(write_line(record, previous))
        previous = line_hash(lines[-1])
    return b"".join(lines)


def expectation(state: RolloutState) -> dict[str, object]:
    assert state.plan is not None
    return {
        "verdict": state.verdict,
        "paused": state.paused,
        "exit_code": state.exit_code,
        "plan_hash": state.plan.hash,
        "wave": state.wave,
        "records": state.seq + 1,
        "targets": {name: target.steps.outcome for name, target in state.targets.items()},
    }


def keep(name: str, journal: Path, farm: Farm) -> None:
    original = journal.read_bytes()
    records = read_journal(journal)
    assert verify(journal).intact
    assert verify(journal).torn == 0
    assert chained(records) == original, "the codec gives back every byte"
    before = replay(records)
    assert (before.verdict, before.paused, before.exit_code) == ENDS[name], (
        before.verdict,
        before.paused,
        before.reason,
    )

    data = chained(rewritten(records, str(farm.folder), socket.gethostname()))
    path = OUT / f"{name}.jsonl"
    path.write_bytes(data)
    report = verify(path)
    assert report.intact and report.torn == 0 and report.records == len(records), report
    after = replay(read_journal(path))
    told, tells = expectation(before), expectation(after)
    assert told | {"plan_hash": ""} == tells | {"plan_hash": ""}
    path.with_suffix(".json").write_text(json.dumps(tells, indent=2) + "\n")
    assert len(data) < 60_000, len(data)
    text = data.decode()
    telling = (r"/tmp", r"/root", r"/home", r"\broot\b", rf"\b{re.escape(socket.gethostname())}\b", r"pts/",
               Path("/proc/sys/kernel/random/boot_id").read_text().strip(), r"golden-", r"state-")  # fmt: skip
    found = [text[max(0, at.start() - 40) : at.end() + 40] for one in telling for at in re.finditer(one, text)]
    assert not found, found
    kinds = sorted({type(record.event).__name__ for record in records})
    print(f"{name}: {len(records)} records, {len(data)} bytes: {' '.join(kinds)}", flush=True)


def main() -> None:
    os.environ["CANARY_TUI_STATE"] = str(WORK / "no-such")
    os.chdir(BASE)
    signal.alarm(540)
    OUT.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[1:] or list(ROLLOUTS)
    with Farm(WORK / "farm", 5, net=71, port=SSH_PORT) as farm, web_servers([one.address for one in farm.targets]):
        for name in chosen:
            if name not in CONTINUES:
                fresh(farm)
            state = state_of(name)
            asyncio.run(ROLLOUTS[name](farm, state))
            keep(name, only_rollout(state).journal, farm)
    shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
