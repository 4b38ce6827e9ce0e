"""The engine's requests against real servers, through the network that it is given."""

from __future__ import annotations

import asyncio
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from farm import Farm, FarmTarget, available
from links import Person, planned, write_config

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import Claim, Collected, CommandRequest, ExecuteRequest, Network, ProbeRequest
from canary_tui.ssh import network as ssh_network
from canary_tui.ssh.connection.connect import IDLE_INTERVAL
from canary_tui.ssh.execution.install import UNLOCKING, rollout_word
from canary_tui.ssh.network import SshNetwork, SshRemote
from canary_tui.text.secrets import Redactor

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


class Watched:
    def connection_lost(self, detail: str) -> None:
        raise AssertionError(detail)

    def connection_restored(self) -> None:
        raise AssertionError("restored")

    def upload_progress(self, sent: int, total: int) -> None:
        pass


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 3, net=40) as running:
        yield running


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    one: Network = SshNetwork(redactor=Redactor(["s3cret-value"]))
    yield one
    await one.close()


async def test_a_probe_learns_boot_clock_disk_and_release(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[0], farm.ssh_config))
    report = await remote.probe(ProbeRequest('echo "$NAME-1.2"; echo more >&2', {"NAME": "shop"}))
    assert (report.outcome, report.release) == ("ok", "shop-1.2")
    assert report.boot.partition(".")[0] in pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    assert abs(report.clock_offset) < 5
    assert report.free_bytes > 0
    assert len(farm.targets[0].commands()) == 2


async def test_a_release_that_cannot_be_told_is_unknown_and_the_target_fine(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[0], farm.ssh_config))
    report = await remote.probe(ProbeRequest("echo 9; exit 3"))
    assert (report.outcome, report.release, report.detail) == ("ok", "", "release.current: exit 3")


async def test_a_target_that_cannot_be_reached_is_said_to_be(farm: Farm, network: Network) -> None:
    nowhere = PlannedTarget("gone", "127.0.40.99", Ssh(config=str(farm.ssh_config)))
    assert (await network.remote(nowhere).probe(ProbeRequest())).outcome == "unreachable"
    nonsense = PlannedTarget("web", "-oProxyCommand=id", Ssh(config=str(farm.ssh_config)))
    report = await network.remote(nonsense).command(CommandRequest(b"true", {}, 5), Collected())
    assert report.outcome == "unreachable"


async def test_a_person_may_take_longer_over_a_host_key_than_a_probe_may(farm: Farm, tmp_path: pathlib.Path) -> None:
    config = write_config(farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {tmp_path}/known_hosts")
    network = SshNetwork(Person("yes", act=lambda _question: time.sleep(3.2)))
    report = await network.remote(planned(farm.targets[0], config)).probe(ProbeRequest(timeout=3))
    await network.close()
    assert report.outcome == "ok"


async def test_no_reports_text_holds_a_secret_or_acts(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[0], farm.ssh_config))
    report = await remote.probe(ProbeRequest(r"printf 's3cret-value \033[2J\007 1.0'"))
    assert report.release == ""
    assert "release '[secret] ␇ 1.0' is not" in report.detail


async def test_a_step_is_executed_and_believed(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[1], farm.ssh_config))
    probe = await remote.probe(ProbeRequest())
    output = Collected()
    request = ExecuteRequest(
        uuid.uuid4().hex, b'echo "$WORD"; echo ran >> ran', {"WORD": "$(id) 'x"}, 30, 1 << 20, probe.boot
    )
    report = await remote.execute(request, output, Watched())
    assert (report.outcome, report.exit_code, output.data) == ("ok", 0, b"$(id) 'x\n")
    assert farm.targets[1].read("ran") == "ran\n"
    assert not [line for line in farm.targets[1].commands() if "WORD" in line or "$(id)" in line]


class Told(Watched):
    """Keeps why the connection was lost, and notes when it is there again."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.restored = asyncio.Event()

    def connection_lost(self, detail: str) -> None:
        self.lost.append(detail)

    def connection_restored(self) -> None:
        self.restored.set()


async def test_why_a_connection_was_lost_holds_no_secret(farm: Farm) -> None:
    """A password may be any word, also one of those that say it."""
    network, watch = SshNetwork(redactor=Redactor(["channel", "connection", "closed"])), Told()
    remote = network.remote(planned(farm.targets[1], farm.ssh_config))
    script = b"echo x > begun; until [ -e go ]; do sleep 0.05; done"
    request = ExecuteRequest(uuid.uuid4().hex, script, {}, 30, 1 << 20, (await remote.probe(ProbeRequest())).boot)
    running = asyncio.create_task(remote.execute(request, Collected(), watch))
    async with asyncio.timeout(30):
        while not farm.targets[1].read("begun"):
            await asyncio.to_thread(time.sleep, 0.02)
        farm.targets[1].kill_sessions()
        await watch.restored.wait()
        (farm.targets[1].home / "go").touch()
        assert (await running).outcome == "ok"
    await network.close()
    assert len(watch.lost) == 1
    assert "[secret]" in watch.lost[0]
    assert not [word for word in ("channel", "connection", "closed") if word in watch.lost[0]]


async def test_a_plain_command_answers(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[1], farm.ssh_config))
    output = Collected()
    report = await remote.command(CommandRequest(b'printf %s "$A"; exit 4', {"A": "b c"}, 20), output)
    assert (report.outcome, report.exit_code, output.data) == ("failed", 4, b"b c")


async def test_a_closed_network_leaves_no_connection(farm: Farm) -> None:
    network = SshNetwork()
    remotes = [network.remote(planned(target, farm.ssh_config)) for target in farm.targets]
    await asyncio.gather(*(remote.probe(ProbeRequest()) for remote in remotes))
    assert all(target.sessions() for target in farm.targets)
    await network.close()
    async with asyncio.timeout(10):
        while any(target.sessions() for target in farm.targets):
            await asyncio.to_thread(time.sleep, 0.02)


def step(boot: str, script: bytes = b"echo ran") -> ExecuteRequest:
    return ExecuteRequest(uuid.uuid4().hex, script, {}, 60, 1 << 20, boot)


async def test_of_the_connections_that_rest_only_so_many_are_kept(
    farm: Farm, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_network, "MOST_IDLE", 1)
    remotes = [network.remote(planned(target, farm.ssh_config)) for target in farm.targets]
    boots = [(await remote.probe(ProbeRequest())).boot for remote in remotes]
    async with asyncio.timeout(10):
        while [len(target.sessions()) > 0 for target in farm.targets] != [False, False, True]:
            await asyncio.to_thread(time.sleep, 0.02)
    report = await remotes[0].execute(step(boots[0]), Collected(), Watched())
    assert report.outcome == "ok"


async def test_what_is_let_go_of_is_connected_again_when_it_is_needed(farm: Farm, network: Network) -> None:
    target = farm.targets[0]
    remote = network.remote(planned(target, farm.ssh_config))
    boot = (await remote.probe(ProbeRequest())).boot
    remote.let_go()
    async with asyncio.timeout(10):
        while target.sessions():
            await asyncio.to_thread(time.sleep, 0.02)
    work = asyncio.create_task(
        remote.execute(
            step(boot, b"echo x > at-work; until [ -e let-go ]; do sleep 0.05; done"), Collected(), Watched()
        )
    )
    async with asyncio.timeout(10):
        while not target.read("at-work"):
            await asyncio.to_thread(time.sleep, 0.02)
    held = target.sessions()
    remote.let_go()
    (target.home / "let-go").touch()
    assert (await work).outcome == "ok"
    assert target.sessions() == held, "a step was under way there"


async def test_a_login_that_nobody_waits_for_any_more_leaves_no_connection(farm: Farm, network: Network) -> None:
    target = farm.targets[0]
    os.kill(target.listener, signal.SIGSTOP)
    asked = asyncio.create_task(network.remote(planned(target, farm.ssh_config)).probe(ProbeRequest()))
    await asyncio.sleep(0.3)
    asked.cancel()
    os.kill(target.listener, signal.SIGCONT)
    async with asyncio.timeout(10):
        while not target.sessions():
            await asyncio.sleep(0.002)
        while target.sessions():
            await asyncio.sleep(0.02)


async def test_no_connection_is_closed_under_a_step(
    farm: Farm, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_network, "MOST_IDLE", 0)

    async def work(target: FarmTarget) -> None:
        remote = network.remote(planned(target, farm.ssh_config))
        boot = (await remote.probe(ProbeRequest())).boot
        for _ in range(8):
            report = await remote.execute(step(boot), Collected(), Watched())
            assert (report.outcome, report.detail) == ("ok", "")

    async with asyncio.TaskGroup() as tasks:
        for target in farm.targets:
            tasks.create_task(work(target))


async def test_a_connection_that_died_while_it_rested_is_noticed_within_20_s_of_the_next_step(
    farm: Farm, network: Network
) -> None:
    remote, watch = network.remote(planned(farm.targets[2], farm.ssh_config)), Told()
    boot = (await remote.probe(ProbeRequest())).boot
    assert isinstance(remote, SshRemote)
    connection = remote.link._kept.alive
    assert connection is not None
    assert connection._keepalive_interval == IDLE_INTERVAL
    farm.targets[2].kill_sessions(signal.SIGSTOP)
    started = time.monotonic()
    try:
        report = await remote.execute(step(boot), Collected(), watch)
    finally:
        farm.targets[2].kill_sessions(signal.SIGKILL)
    assert report.outcome == "ok"
    assert len(watch.lost) == 1
    assert time.monotonic() - started < 25


async def test_as_many_files_may_be_open_as_the_machine_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        SshNetwork()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_missing_tools_are_named_by_the_probe_in_the_command_that_asks_for_the_release(
    farm: Farm, network: Network
) -> None:
    target = farm.targets[1]
    remote = network.remote(planned(target, farm.ssh_config))
    before = len(target.commands())
    report = await remote.probe(ProbeRequest("echo 1.2; exit 0", tools=("sh", "no-such-tool", "/bin/sh", "nor-this")))
    assert (report.outcome, report.detail) == ("failed", "tools missing: no-such-tool, nor-this")
    report = await remote.probe(ProbeRequest('echo "$l-$t"', {"l": "1", "t": "2"}, tools=("sh", "printf")))
    assert (report.outcome, report.release) == ("ok", "1-2")
    assert len(target.commands()) - before == 3


async def test_tools_are_looked_for_where_the_steps_environment_says(farm: Farm, network: Network) -> None:
    own = farm.targets[0].home / "own-tools"
    own.mkdir()
    (own / "deploy-it").write_text("#!/bin/sh\n")
    (own / "deploy-it").chmod(0o755)
    remote = network.remote(planned(farm.targets[0], farm.ssh_config))
    request = ProbeRequest(tools=("deploy-it",), environment={"PATH": f"{own}:/usr/bin:/bin"})
    assert (await remote.probe(request)).outcome == "ok"
    assert (await remote.probe(ProbeRequest(tools=("deploy-it",)))).detail == "tools missing: deploy-it"


async def test_tools_that_could_not_be_looked_for_are_not_taken_for_there(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[0], farm.ssh_config))
    report = await remote.probe(ProbeRequest(tools=("sh",), environment={"NOT-A-NAME": "1"}))
    assert report.outcome == "failed"
    assert "the search for its tools failed" in report.detail


async def test_who_only_looks_is_told_who_holds_the_lock_and_takes_nothing(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[2], farm.ssh_config))
    claim = Claim("2026-11-23T101500Z-shop-7f3a7f3a", "ann smith@desk", 1_000_000_000)
    assert (await remote.probe(ProbeRequest(claim=claim))).locked
    looker = network.remote(planned(farm.targets[2], farm.ssh_config))
    report = await looker.probe(ProbeRequest())
    said = "locked by 2026-11-23T101500Z-shop-7f3a7f3a (ann_smith@desk since 2001-09-09 01:46Z)"
    assert (report.outcome, report.note, report.locked) == ("ok", said, False)
    other = await looker.probe(ProbeRequest(claim=Claim("other", "bob@desk", 1)))
    assert (other.outcome, other.locked) == ("failed", False)
    assert other.holder is not None
    assert other.detail == f"{said}; wait for it to end, or break it with --break-lock {other.holder.rollout}"
    assert (await looker.probe(ProbeRequest("echo 2.1"))).release == "2.1", "who was refused may still look"
    assert (await looker.unlock("other")).released
    assert (await looker.probe(ProbeRequest())).holder is not None
    assert (await remote.unlock(claim.rollout)).released
    fresh = network.remote(planned(farm.targets[2], farm.ssh_config))
    assert (await fresh.probe(ProbeRequest())).note == ""


async def test_a_lock_that_no_rollout_has_written_is_said_to_be_that_and_where(farm: Farm, network: Network) -> None:
    remote = network.remote(planned(farm.targets[1], farm.ssh_config))
    await remote.probe(ProbeRequest())
    lock = farm.targets[1].home / ".local/state/canary-tui/lock"
    lock.mkdir()
    try:
        report = await remote.probe(ProbeRequest(claim=Claim("a-rollout", "ann@desk", 0)))
    finally:
        lock.rmdir()
    assert (report.outcome, report.locked) == ("failed", False)
    assert report.holder is not None, "who skips what is not there does not skip this"
    assert (
        report.detail == f"its lock file was not written by canary-tui; if no rollout is running there, delete {lock}"
    )


async def test_a_home_that_became_read_only_with_a_lock_in_it_has_no_second_one_elsewhere(
    farm: Farm, network: Network
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    local = farm.targets[1].home / ".local"
    shutil.rmtree(local, ignore_errors=True)
    local.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", local], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        claim = Claim("a-rollout", "ann@desk", 0)
        assert (await network.remote(planned(farm.targets[1], farm.ssh_config)).probe(ProbeRequest(claim=claim))).locked
        subprocess.run(["mount", "-o", "remount,ro", local], check=True)
        remote = network.remote(planned(farm.targets[1], farm.ssh_config))
        report = await remote.probe(ProbeRequest(claim=replace(claim, rollout="another")))
        assert report.outcome == "failed"
        assert f"{local}/state/canary-tui cannot be written to, and has a lock in it" in report.detail
    finally:
        subprocess.run(["umount", "-l", local], check=True)


async def test_a_lock_at_a_target_that_cannot_be_reached_is_left_after_a_bounded_time(
    farm: Farm, network: Network
) -> None:
    nowhere = PlannedTarget("gone", "127.0.40.99", Ssh(config=str(farm.ssh_config)))
    async with asyncio.timeout(UNLOCKING + 10):
        report = await network.remote(nowhere).unlock("a")
    assert not report.released
    assert report.detail


@pytest.mark.parametrize("word", ["a b", "a;b", "$(a)", "-a", "", "a" * 200, "a\nb", "a'b"])
async def test_what_no_shell_should_read_is_no_rollouts_id(word: str) -> None:
    with pytest.raises(ValueError, match=r"id, got|longer"):
        rollout_word(word)
