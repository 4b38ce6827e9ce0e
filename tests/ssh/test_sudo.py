"""Steps as another user: by real sudo without a password, and with one that never is on a command line."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, write_config

from canary_tui.ssh.connection.connect import TargetLink
from canary_tui.ssh.connection.sudo import SudoPrefix, user_of

pytestmark = pytest.mark.skipif(bool(available()), reason=available())
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("sudo"), reason="needs root and sudo")

STUB = """#!/bin/sh
# Asks for a password as sudo does without a terminal, and keeps what it was given.
echo "$*" >> {folder}/argv
case " $* " in *" -n "*) echo "sudo: a password is required" >&2; exit 1;; esac
IFS= read -r password
echo "$password" >> {folder}/passwords
[ "$password" = "open sesame" ] || {{ echo "Sorry, try again." >&2; exit 1; }}
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""


async def fed(link: TargetLink, words: str, data: bytes = b"") -> str:
    connection = await link.connection()
    command, first = link.wrap(words)
    done = await connection.run(command, input=first + data, encoding=None)
    assert isinstance(done.stdout, bytes)
    return done.stdout.decode()


@needs_root
async def test_real_sudo_without_a_password_runs_it_as_the_user(tmp_path: Path) -> None:
    with Farm(tmp_path, 1, net=39) as farm:
        async with linked(planned(farm.targets[0], farm.ssh_config, sudo="nobody")) as [link]:
            assert await fed(link, "id -un") == "nobody\n"
            assert await fed(link, "/bin/cat", b"data") == "data"


@needs_root
@pytest.mark.found("field 12")
async def test_what_runs_under_sudo_begins_in_that_users_home(tmp_path: Path) -> None:
    """The login's own home may be closed to that user; a user without a home begins at the root."""
    with Farm(tmp_path, 1, net=39) as farm:
        farm.targets[0].home.chmod(0o700)
        async with linked(planned(farm.targets[0], farm.ssh_config, sudo="daemon")) as [link]:
            assert await fed(link, "pwd") == pwd.getpwnam("daemon").pw_dir + "\n"
            assert await fed(link, "find . -maxdepth 0") == ".\n"
        async with linked(planned(farm.targets[0], farm.ssh_config, sudo="nobody")) as [link]:
            assert await fed(link, "pwd") == "/\n"


@needs_root
async def test_a_user_that_sudo_does_not_know_is_final(tmp_path: Path) -> None:
    with Farm(tmp_path, 1, net=39) as farm:
        async with linked(planned(farm.targets[0], farm.ssh_config, sudo="no-such-user")) as [link]:
            error = await refusal(link)
    assert error.final
    assert "no-such-user" in error.detail


async def test_a_user_that_is_no_name_never_reaches_a_command_line(tmp_path: Path) -> None:
    with Farm(tmp_path, 1, net=39) as farm:
        async with linked(planned(farm.targets[0], farm.ssh_config, sudo="a; id")) as [link]:
            assert "is not a login name" in (await refusal(link)).detail
        assert farm.targets[0].commands() == []


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Farm]:
    """Three targets whose sudo is the stub."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    (stubs / "sudo").write_text(STUB.format(folder=tmp_path))
    (stubs / "sh").write_text(f'#!/bin/sh\nPATH={stubs}:$PATH exec /bin/sh "$@"\n')
    for stub in stubs.iterdir():
        stub.chmod(0o755)
    with Farm(tmp_path / "farm", 3, net=39, shell=str(stubs / "sh"), own_sshd=False) as farm:
        yield farm


async def test_a_password_is_asked_for_once_and_is_on_no_command_line(asking: Farm, tmp_path: Path) -> None:
    config = write_config(asking, tmp_path / "config")
    person = Person("wrong", "open sesame")
    targets = [planned(target, config, sudo=True) for target in asking.targets]
    async with linked(*targets, asker=person) as links:
        assert await asyncio.gather(*(fed(link, "/bin/cat", b"data") for link in links)) == ["data"] * 3
    assert [question.kind for question in person.asked] == ["sudo-password"] * 2
    assert (tmp_path / "passwords").read_text().split("\n").count("wrong") == 1
    assert "sesame" not in (tmp_path / "argv").read_text()
    assert not [line for target in asking.targets for line in target.commands() if "sesame" in line]


async def test_without_a_person_sudo_with_a_password_is_refused(asking: Farm, tmp_path: Path) -> None:
    async with linked(planned(asking.targets[0], asking.ssh_config, sudo="deploy")) as [link]:
        error = await refusal(link)
    assert error.final
    assert "password is needed" in error.detail
    assert "write `sudo -n COMMAND` in `run`" in error.detail


def test_which_user_a_fleet_file_means() -> None:
    assert [user_of(setting) for setting in (None, False, "", True, "deploy")] == [None, None, None, "root", "deploy"]


def test_the_password_is_the_first_line_of_standard_input() -> None:
    command, first = SudoPrefix("root").wrap("id")
    assert (command.startswith("sudo -n -H -u root -- "), command.endswith(" id"), first) == (True, True, b"")
    command, first = SudoPrefix("root", "s3cret").wrap("id")
    assert "s3cret" not in command
    assert first == b"s3cret\n"
