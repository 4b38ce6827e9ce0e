"""Steps as another user: by real sudo without a password, and with one that never is on a command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from direct_line import Bytes
from farm import Farm, available
from links import Person, linked, planned, refusal, write_config

from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import ExecuteReport, ExecuteRequest, ProbeRequest, Question
from canary_tui.ssh.connection.connect import LinkError, TargetLink
from canary_tui.ssh.connection.sudo import SudoPrefix, user_of
from canary_tui.ssh.network import SshNetwork, SshRemote

pytestmark = pytest.mark.skipif(bool(available()), reason=available())
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("sudo") or not shutil.which("unshare"), reason="needs root, sudo and unshare"
)
LOGIN = 2001
PASSWORDS = {
    "open sesame": "$6$canary$Habm7HrCR3V.yxDGGy.TJLeFH3cHA8VQBLXGc1jdCZQRDDjdl16SUgcG39lidktnJRLlYc9vlsdtr0jxk47FG1",
    "another": "$6$canary$Kfcnwk5GarcxbM63nT3GakiBWPwQoK9ZnbK4CCHHqHd2/LqpPJHXInYH39F.3CZ6BQq7PebMDSEuAVcktnmr01",
}
"""Passwords and their lines in /etc/shadow."""
PAM = "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n"


def shadow(password: str) -> str:
    return f"app:{PASSWORDS[password]}:19000:0:99999:7:::\nroot:*:19000:0:99999:7:::\n"


class Machines:
    """Servers whose login `app` has a password, which sudo asks for; what their sudo notes is in `log`."""

    def __init__(self, folder: Path, count: int, password: str, rule: str = "app ALL=(ALL) ALL") -> None:
        folder.mkdir()
        self.log = folder / "sudo.log"
        users = Path("/etc/passwd").read_text() + f"app:x:{LOGIN}:{LOGIN}::{folder}:/bin/sh\n"
        machine = {"/etc/shadow": shadow(password), "/etc/sudoers": self._rules(rule)}
        machine |= {"/etc/passwd": users, "/etc/pam.d/sudo": PAM}
        self._farm = Farm(folder / "farm", count, net=45 + count, own_sshd=False, prefix=folder.name, machine=machine)

    def __enter__(self) -> Machines:
        self._farm.__enter__()
        for target in self._farm.targets:
            target.log.touch()
            for path in (target.home, target.log):
                os.chown(path, LOGIN, LOGIN)
        self.config = write_config(self._farm, self._farm.folder / "config", "Host *", " User app")
        self.targets = self._farm.targets
        return self

    def __exit__(self, *_: object) -> None:
        self._farm.stop()

    def planned(self) -> list[PlannedTarget]:
        return [planned(target, self.config, sudo=True) for target in self.targets]

    def change_password(self, password: str) -> None:
        (self._farm.folder / "machine_0").write_text(shadow(password))

    def change_rule(self, rule: str) -> None:
        (self._farm.folder / "machine_1").write_text(self._rules(rule))

    def _rules(self, rule: str) -> str:
        return f"Defaults env_reset, lecture=always, logfile={self.log}\nroot ALL=(ALL) ALL\n{rule}\n"

    @property
    def refused(self) -> int:
        """The number of passwords that sudo did not take."""
        text = self.log.read_text() if self.log.exists() else ""
        words = " ".join(text.split())
        return sum(int(part.rsplit(" ", 1)[1]) for part in words.split(" incorrect password attempt")[:-1])


Start = Callable[..., Machines]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts machines, in a folder that their login may look into."""
    folder = Path(tempfile.mkdtemp(prefix="canary-tui-sudo-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield lambda name, *words: stack.enter_context(Machines(folder / name, *words))


class Slow:
    """A person who answers the first question, and each further one only when nobody else waits any more."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[Question] = []
        self.is_asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def ask(self, question: Question) -> str | None:
        self.asked.append(question)
        self.is_asked.set()
        if len(self.asked) > 1:
            await self.go_on.wait()
        return self._answers.pop(0) if self._answers else None


async def fed(link: TargetLink, words: str, data: bytes = b"") -> str:
    connection = await link.connection()
    wrapped = link.wrap(words, "")
    done = await connection.run(wrapped.command, input=wrapped.password + data, encoding=None)
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


@needs_root
async def test_a_password_is_asked_for_once_and_is_on_no_command_line(start: Start) -> None:
    machines, person = start("web", 3, "open sesame"), Person("wrong", "open sesame")
    async with linked(*machines.planned(), asker=person) as links:
        assert await asyncio.gather(*(fed(link, "/bin/cat", b"data") for link in links)) == ["data"] * 3
    assert [question.kind for question in person.asked] == ["sudo-password"] * 2
    assert machines.refused == 2, "one target may have a password of its own; of two it is wrong"
    assert not [line for target in machines.targets for line in target.commands() if "sesame" in line]


@needs_root
@pytest.mark.found("fault sudo")
@pytest.mark.parametrize("last", ["another", "open sesame"], ids=["its own", "none"])
async def test_a_target_with_a_password_of_its_own_holds_up_nobody(start: Start, last: str) -> None:
    """What it refuses is tried on another before it is called wrong, and nowhere twice."""
    odd, others = start("odd", 1, "another"), start("web", 3, "open sesame")
    person = Slow("open sesame", "open sesame", last)
    async with linked(*odd.planned(), *others.planned(), asker=person) as [strange, *links]:
        first = asyncio.create_task(strange.connection())
        await person.is_asked.wait()
        assert await asyncio.gather(*(fed(link, "id -un") for link in links)) == ["root\n"] * 3
        person.go_on.set()
        await asyncio.wait([first])
    if last == "open sesame":
        assert isinstance(error := first.exception(), LinkError)
        assert error.final
        assert "1 incorrect password attempt" in error.detail
    else:
        assert first.exception() is None
    assert [question.target for question in person.asked] == ["odd1"] * 3
    assert person.asked[1].words == "It was not accepted."
    assert person.asked[2].words == "The password of the others was not accepted here."
    assert odd.refused == 1
    assert others.refused == 0


@needs_root
@pytest.mark.found("fault sudo")
async def test_a_user_whom_sudo_does_not_let_is_told_so_in_its_words_and_asked_once(start: Start) -> None:
    machines, person = start("web", 1, "open sesame", ""), Person("open sesame", "open sesame")
    async with linked(*machines.planned(), asker=person) as [link]:
        error = await refusal(link)
    assert error.final
    assert "app is not in the sudoers file" in error.detail
    assert len(person.asked) == 1


@needs_root
async def test_without_a_person_sudo_with_a_password_is_refused(start: Start) -> None:
    async with linked(*start("web", 1, "open sesame").planned()) as [link]:
        error = await refusal(link)
    assert error.final
    assert "password is needed" in error.detail
    assert "a password is required" in error.detail
    assert "write `sudo -n COMMAND` in `run`" in error.detail


class Told:
    """Remembers why a connection was lost."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def connection_lost(self, detail: str) -> None:
        self.lost.append(detail)

    def connection_restored(self) -> None:
        pass

    def upload_progress(self, sent: int, total: int) -> None:
        pass


@contextlib.asynccontextmanager
async def reached(target: PlannedTarget, person: Person) -> AsyncIterator[SshRemote]:
    network = SshNetwork(person)
    try:
        yield network.remote(target)
    finally:
        await network.close()


async def step(remote: SshRemote, boot: str, script: bytes) -> tuple[ExecuteReport, str, list[str]]:
    """The report of a step, its output, and what was told of the connection."""
    sink, told = Bytes(), Told()
    request = ExecuteRequest(uuid.uuid4().hex, script, {"LINES": "another\n" * 3}, 20, 1 << 20, boot)
    async with asyncio.timeout(20):
        report = await remote.execute(request, sink, told)
    return report, bytes(sink.out).decode(), told.lost


@needs_root
@pytest.mark.found("fault sudo")
async def test_a_password_that_changed_is_asked_for_again_and_the_step_starts_once(
    start: Start, tmp_path: Path
) -> None:
    machines, person = start("web", 1, "open sesame"), Person("open sesame", "another")
    mark = tmp_path / "mark"
    async with reached(machines.planned()[0], person) as remote:
        boot = (await remote.probe(ProbeRequest())).boot
        assert (await step(remote, boot, b"id -un"))[:2] == (ExecuteReport("ok", 0, 5), "root\n")
        machines.change_password("another")
        report, said, lost = await step(remote, boot, f"echo started >>{mark}; id -un".encode())
    assert (report.outcome, said) == ("ok", "root\n")
    assert [question.kind for question in person.asked] == ["sudo-password"] * 2
    assert "sudo refused: " in lost[0]
    assert mark.read_text() == "started\n"
    assert machines.refused == 1, "nothing but the password is read as one"


@needs_root
@pytest.mark.found("fault sudo")
async def test_a_step_whose_password_nobody_knows_any_more_was_not_started(start: Start) -> None:
    machines, person = start("web", 1, "open sesame"), Person("open sesame")
    async with reached(machines.planned()[0], person) as remote:
        boot = (await remote.probe(ProbeRequest())).boot
        machines.change_password("another")
        report, said, _ = await step(remote, boot, b"id -un")
    assert (report.outcome, said) == ("unreachable", "")
    assert "sudo -u root: a password is needed" in report.detail
    assert machines.refused == 1


@needs_root
@pytest.mark.found("fault sudo")
async def test_a_step_that_sudo_lets_in_no_more_was_not_started(start: Start) -> None:
    machines = start("web", 1, "open sesame", "app ALL=(ALL) NOPASSWD: ALL")
    async with reached(machines.planned()[0], Person()) as remote:
        boot = (await remote.probe(ProbeRequest())).boot
        assert (await step(remote, boot, b"id -un"))[:2] == (ExecuteReport("ok", 0, 5), "root\n")
        machines.change_rule("app ALL=(nobody) NOPASSWD: ALL")
        report, said, lost = await step(remote, boot, b"id -un")
    assert (report.outcome, said) == ("unreachable", "")
    assert "sudo refused: sudo: a password is required" in lost[0]
    assert "a password is needed" in report.detail


def test_which_user_a_fleet_file_means() -> None:
    assert [user_of(setting) for setting in (None, False, "", True, "deploy")] == [None, None, None, "root", "deploy"]


def test_the_password_is_on_no_command_line() -> None:
    without = SudoPrefix("root").wrap("id")
    assert without.command.startswith("sudo -n -H -u root -- ")
    assert without.password == b""
    wrapped = SudoPrefix("root", "s3cret").wrap("id")
    assert "s3cret" not in wrapped.command
    assert wrapped.password == b"s3cret\n"


def test_words_under_sudo_are_guarded_by_a_line_that_tells_that_sudo_is_done() -> None:
    wrapped = SudoPrefix("root", "s3cret").wrap("sh 'a b'", "abc")
    assert wrapped.guarded
    assert "echo CTUI1 abc SUDO >&2; cd " in wrapped.command
    assert f"-p '{wrapped.prompt.decode()}'" in wrapped.command
