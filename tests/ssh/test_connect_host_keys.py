"""A new host key is a question to a person; a changed one is not; and what was accepted is what is connected to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, run, write_config

from canary_tui.engine.target import Question
from canary_tui.ssh.connection import private_parts

pytestmark = pytest.mark.skipif(bool(available()), reason=available())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), 3, net=34, own_sshd=False) as running:
        yield running


@pytest.fixture
def config(farm: Farm, tmp_path: Path) -> Path:
    lines = ("Host *", f" UserKnownHostsFile {tmp_path}/known_hosts", " HashKnownHosts no")
    return write_config(farm, tmp_path / "config", *lines)


def printed_fingerprint(farm: Farm) -> str:
    words = ["ssh-keygen", "-lf", str(farm.folder / "host_key_0.pub")]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1]


async def test_a_new_key_is_asked_about_and_kept(farm: Farm, config: Path, tmp_path: Path) -> None:
    person = Person("yes")
    target = farm.targets[0]
    async with linked(planned(target, config), asker=person) as [link]:
        assert await run(link, "echo in") == "in\n"
    [question] = person.asked
    assert (question.kind, question.target, question.key_type) == ("host-key", target.name, "ssh-ed25519")
    assert question.address.endswith(f"@{target.address}:{farm.port}")
    assert question.fingerprint == printed_fingerprint(farm)
    assert (tmp_path / "known_hosts").read_text() == f"[{target.address}]:{farm.port} {farm.host_key(target)}\n"
    async with linked(planned(target, config), asker=person) as [link]:
        assert await run(link, "echo again") == "again\n"
    assert len(person.asked) == 1


@pytest.mark.found("field 9")
@pytest.mark.parametrize("file", ["none", "/dev/null"])
async def test_nobody_is_told_to_add_a_line_to_a_file_that_keeps_nothing(farm: Farm, tmp_path: Path, file: str) -> None:
    """The way out names a file that can hold the line."""
    config = write_config(farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {file}")
    async with linked(planned(farm.targets[0], config)) as [link]:
        error = await refusal(link)
    assert "ssh.known-hosts" in error.detail
    assert file not in error.detail


@pytest.mark.parametrize("answer", ["no", "y", "YES", "", None])
async def test_anything_but_yes_refuses(farm: Farm, config: Path, tmp_path: Path, answer: str | None) -> None:
    async with linked(planned(farm.targets[0], config), asker=Person(answer)) as [link]:
        error = await refusal(link)
    assert error.final
    assert "not accepted" in error.detail
    assert not (tmp_path / "known_hosts").exists()


async def test_new_keys_are_asked_about_one_at_a_time(farm: Farm, config: Path) -> None:
    person = Person("yes", "yes", "yes")
    async with linked(*(planned(target, config) for target in farm.targets), asker=person) as links:
        for link in links:
            await run(link, "true")
    assert sorted(question.target for question in person.asked) == ["web-1", "web-2", "web-3"]


async def test_a_key_is_asked_about_once_for_two_targets_at_one_address(farm: Farm, config: Path) -> None:
    person = Person("yes")
    target = planned(farm.targets[0], config)
    async with linked(target, target, asker=person) as [one, two]:
        await run(one, "true")
        await run(two, "true")
    assert len(person.asked) == 1


async def test_without_a_person_a_new_key_is_refused_and_the_way_out_is_named(
    farm: Farm, config: Path, tmp_path: Path
) -> None:
    async with linked(planned(farm.targets[0], config)) as [link]:
        error = await refusal(link)
    assert error.final
    for named in (
        printed_fingerprint(farm),
        f"ssh -p {farm.port} 127.0.34.1",
        "ssh-keyscan",
        f"{tmp_path}/known_hosts",
    ):
        assert named in error.detail


async def test_a_line_that_counts_for_nothing_is_named_where_a_key_is_missing(
    farm: Farm, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "known_hosts").write_text("127.0.34.1 ssh-ed25519 AAAA\n")
    async with linked(planned(farm.targets[0], config)) as [link]:
        assert f"{tmp_path}/known_hosts:1: not a line of known_hosts" in (await refusal(link)).detail


@pytest.mark.parametrize("line", ["StrictHostKeyChecking yes", "BatchMode yes"])
async def test_where_ssh_config_forbids_the_question_it_is_not_asked(farm: Farm, config: Path, line: str) -> None:
    config.write_text(f"Host *\n {line}\n{config.read_text()}")
    person = Person("yes")
    async with linked(planned(farm.targets[0], config), asker=person) as [link]:
        assert "is not known" in (await refusal(link)).detail
    assert not person.asked


@pytest.mark.parametrize("line", ["StrictHostKeyChecking no", "StrictHostKeyChecking accept-new"])
async def test_nothing_is_accepted_unasked_whatever_ssh_config_says(farm: Farm, config: Path, line: str) -> None:
    config.write_text(f"Host *\n {line}\n{config.read_text()}")
    async with linked(planned(farm.targets[0], config)) as [link]:
        assert "is not known" in (await refusal(link)).detail


@pytest.mark.parametrize("marker", ["", "@revoked "])
async def test_a_changed_or_revoked_key_is_never_a_question(
    farm: Farm, config: Path, tmp_path: Path, marker: str
) -> None:
    key = farm.host_key(farm.targets[0]) if marker else (farm.folder / "id_ed25519.pub").read_text().strip()
    (tmp_path / "known_hosts").write_text(f"# mine\n{marker}127.0.34.1 {key}\n")
    person = Person("yes")
    async with linked(planned(farm.targets[0], config), asker=person) as [link]:
        error = await refusal(link)
    assert error.final
    assert f"{tmp_path}/known_hosts:2" in error.detail
    assert ("is revoked" if marker else "is not the known one") in error.detail
    assert not person.asked


async def test_a_key_that_is_swapped_after_the_question_is_refused(tmp_path: Path) -> None:
    with Farm(tmp_path / "farm", 1, net=35) as farm:
        target = farm.targets[0]
        asked_about = farm.host_key(target)

        def swap(_question: Question) -> None:
            key = farm.folder / "host_key_0"
            for path in (key, key.with_suffix(".pub")):
                path.unlink()
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            os.kill(target.listener, signal.SIGHUP)
            scan = ["ssh-keyscan", "-t", "ed25519", "-p", str(farm.port), target.address]
            deadline = time.monotonic() + 10
            while asked_about in (shown := subprocess.run(scan, capture_output=True, text=True).stdout) or not shown:
                assert time.monotonic() < deadline

        config = write_config(farm, tmp_path / "config", "Host *", f" UserKnownHostsFile {tmp_path}/known_hosts")
        async with linked(planned(target, config), asker=Person("yes", act=swap)) as [link]:
            error = await refusal(link)
        assert error.final
        assert "is not the known one" in error.detail


async def test_were_our_decision_skipped_nothing_would_connect(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is told that no key is trusted: a later release that asks differently refuses all, not none."""
    monkeypatch.setattr(private_parts, "judge_host_key_by", lambda _connection, _judge: None)
    async with linked(planned(farm.targets[0], farm.ssh_config)) as [link]:
        assert (await refusal(link)).final


async def test_a_key_that_cannot_be_kept_is_not_trusted(farm: Farm, config: Path) -> None:
    config.write_text(f"Host *\n UserKnownHostsFile none\n{config.read_text()}")
    async with linked(planned(farm.targets[0], config), asker=Person("yes")) as [link]:
        assert "no known_hosts file" in (await refusal(link)).detail
