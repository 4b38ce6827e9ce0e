"""Links to a farm's servers, and a person who answers what connecting asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from farm import Farm, FarmTarget

from canary_tui.domain.codec import decode, encode
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import Asker, Question
from canary_tui.ssh.connection.connect import Access, LinkError, TargetLink
from canary_tui.text.secrets import Redactor


class Person:
    """Answers questions, one after another or by a function; remembers what was asked, and that it was one at a time."""

    def __init__(self, *answers: str | None, act: Callable[[Question], None] = lambda _question: None) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []
        self._act = act
        self._busy = False

    async def ask(self, question: Question) -> str | None:
        assert not self._busy
        self._busy = True
        self.asked.append(question)
        await asyncio.sleep(0)
        self._act(question)
        self._busy = False
        return self.answers.pop(0) if self.answers else None


def write_config(farm: Farm, path: Path, *lines: str) -> Path:
    """The farm's ssh_config with further lines before it and without its ban on questions."""
    usual = farm.ssh_config.read_text().replace(" StrictHostKeyChecking yes\n", "").replace(" BatchMode yes\n", "")
    path.write_text("\n".join((*lines, usual)))
    return path


def planned(target: FarmTarget, config: Path, **ssh: object) -> PlannedTarget:
    """The target as a plan has it; `ssh` are further keys of its connection, as a stored plan has them."""
    return PlannedTarget(target.name, target.address, decode(Ssh, {**encode(Ssh(config=str(config))), **ssh}))


@contextlib.asynccontextmanager
async def linked(*targets: PlannedTarget, asker: Asker | None = None) -> AsyncIterator[list[TargetLink]]:
    """A link to each target, closed at the end."""
    access = Access(asker, Redactor())
    links = [TargetLink(target, access) for target in targets]
    try:
        yield links
    finally:
        await asyncio.gather(*(link.close() for link in links))
        await access.close()


async def refusal(link: TargetLink) -> LinkError:
    """Why there is no connection."""
    try:
        await link.connection()
    except LinkError as error:
        return error
    raise AssertionError("it connected")


async def run(link: TargetLink, command: str) -> str:
    """What a command prints there."""
    connection = await link.connection()
    done = await connection.run(command, encoding=None)
    assert isinstance(done.stdout, bytes)
    return done.stdout.decode()
