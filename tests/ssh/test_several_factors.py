"""A server may want a key and a password: each is given when it is asked for, in any order."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from links import Person, linked, planned, refusal, run, write_config

PASSWORD = "open sesame"
SHADOW = "$6$canary$Habm7HrCR3V.yxDGGy.TJLeFH3cHA8VQBLXGc1jdCZQRDDjdl16SUgcG39lidktnJRLlYc9vlsdtr0jxk47FG1"
"""Of that password."""
PAM = "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n"

pytestmark = [
    pytest.mark.skipif(bool(available()), reason=available()),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount namespace needs root"),
    pytest.mark.found("field 4"),
]
Start = Callable[[str], Farm]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts two servers with these AuthenticationMethods, at which root has a password."""
    farms: list[Farm] = []

    def started(methods: str) -> Farm:
        lines = ["UsePAM yes", "PasswordAuthentication yes", "KbdInteractiveAuthentication yes", "PermitRootLogin yes"]
        lines += ["HostbasedAuthentication yes"]
        shadow = f"root:{SHADOW}:19000:0:99999:7:::\n"
        farm = Farm(
            tmp_path / "farm",
            2,
            net=42,
            own_sshd=False,
            extra=(*lines, f"AuthenticationMethods {methods}"),
            machine={"/etc/shadow": shadow, "/etc/pam.d/sshd": PAM},
        )
        farms.append(farm)
        return farm.__enter__()

    yield started
    for farm in farms:
        farm.stop()


ORDERS = (
    "publickey,password",
    "password,publickey",
    "publickey,keyboard-interactive",
    "keyboard-interactive,publickey",
)


@pytest.mark.parametrize("methods", ORDERS)
async def test_a_key_and_a_password_are_given_in_the_order_of_the_server(
    start: Start, tmp_path: Path, methods: str
) -> None:
    farm, person = start(methods), Person("wrong", PASSWORD)
    config = write_config(farm, tmp_path / "config")
    async with linked(*(planned(target, config) for target in farm.targets), asker=person) as links:
        assert await asyncio.gather(*(run(link, "echo in") for link in links)) == ["in\n"] * 2
    assert [question.kind for question in person.asked] == ["password", "password"]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        pytest.param(ORDERS[0], "the key was accepted, and the server wants password as well", id="password"),
        pytest.param(ORDERS[2], "the key was accepted, and the server wants keyboard-interactive as well", id="kbdint"),
        pytest.param("publickey,hostbased", "the key was accepted, and the server wants more as well", id="other"),
        pytest.param(ORDERS[1], "the server also accepts password", id="password first"),
    ],
)
async def test_without_a_person_it_is_said_that_the_key_was_accepted_and_what_is_wanted_more(
    start: Start, tmp_path: Path, methods: str, words: str
) -> None:
    farm = start(methods)
    async with linked(planned(farm.targets[0], write_config(farm, tmp_path / "config"))) as [link]:
        error = await refusal(link)
    assert error.final
    assert words in error.detail


async def test_a_wrong_password_behind_a_key_is_refused(start: Start, tmp_path: Path) -> None:
    farm, person = start(ORDERS[0]), Person("wrong", "wrong", "wrong")
    async with linked(planned(farm.targets[0], write_config(farm, tmp_path / "config")), asker=person) as [link]:
        error = await refusal(link)
    assert len(person.asked) == 3
    assert "the key was accepted, and the server wants password as well" in error.detail


async def test_a_right_password_before_a_key_that_is_not_there_is_asked_for_once(start: Start, tmp_path: Path) -> None:
    farm, person = start(ORDERS[1]), Person(PASSWORD, PASSWORD)
    target = planned(farm.targets[0], write_config(farm, tmp_path / "config"), identity=str(tmp_path / "none"))
    async with linked(target, asker=person) as [link]:
        error = await refusal(link)
    assert len(person.asked) == 1
    assert "the password was accepted, and the server wants publickey as well" in error.detail


async def test_a_locked_key_behind_a_right_password_is_unlocked(start: Start, tmp_path: Path) -> None:
    farm, person = start(ORDERS[1]), Person(PASSWORD, "correct horse")
    key = tmp_path / "locked"
    shutil.copy(farm.identity, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "correct horse", "-f", key], check=True)
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    config = write_config(farm, tmp_path / "config", "Host *", f" IdentityFile {other}")
    config.write_text(config.read_text().replace(f"IdentityFile {farm.identity}", f"IdentityFile {key}"))
    async with linked(planned(farm.targets[0], config), asker=person) as [link]:
        assert await run(link, "echo in") == "in\n"
    assert [question.kind for question in person.asked] == ["passphrase", "password"] or person.asked[
        0
    ].kind == "password"
