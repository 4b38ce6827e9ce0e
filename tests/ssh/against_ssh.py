"""Real `ssh` and our own connection side by side: the same files, the same servers, in a world of their own.

This module is the test's helper and, as a program, what runs inside the world's namespace: it reads cases as JSON,
starts the servers, lets ssh and us do the same for each host, and prints what came of it. Two outcomes are equal only
if the same server was reached, by the same user, with the same keys.

To extend: a row in the table of `test_against_ssh.py`; a key, server or name in the tables of `ssh_world`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from ssh_world import BASE, World, agent

_AT_ONCE = 4
_LIMIT = 20.0
_NEWS = "outcomes: "


@dataclass(frozen=True, slots=True)
class Case:
    """One ssh_config, and the hosts that it is tried for, all with one and the same resolver.

    In `config` and `files` stand for: `{F}` the case's own folder, `{K}` the keys, `{W}` the world, `{main}` ... the
    servers' ports. A file whose text is `@NAME` is a copy of that file of `{K}`. `ssh` are keys of a fleet file's table.
    """

    config: str
    hosts: tuple[str, ...] = ("shop-1",)
    files: dict[str, str] = field(default_factory=dict)
    agent: tuple[str, ...] = ()
    """Keys in the agent at `{F}/agent`; `NAME?` for one that wants a confirmation, which is given after a second."""
    ssh: dict[str, str] = field(default_factory=dict)
    base: bool = True
    logins: int = 1
    """How many of the hosts are logged in to; of the others only the settings are compared."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One host: the settings that ssh and we found for it, and what came of logging in; "" where there was no login."""

    settings: dict[str, str]
    our_settings: dict[str, str]
    login: str
    our_login: str
    why: str
    our_why: str


def why_not() -> str:
    """Why the world cannot be made here, or ""."""
    if os.geteuid() or not shutil.which("unshare"):
        return "a mount namespace needs root"
    return ""


def compare(cases: dict[str, Case]) -> dict[str, dict[str, Outcome]]:
    """The outcomes of each case, by host."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="canary-tui-ssh-"))
    folder.chmod(0o755)  # the servers read it as other users
    try:
        world = World(folder)
        world.lay_out()
        mounts = [("passwd", "/etc/passwd"), ("hosts", "/etc/hosts"), ("ssh_config", "/etc/ssh/ssh_config")]
        lines = [f"mount --bind {folder}/{name} {there}" for name, there in mounts if pathlib.Path(there).exists()]
        program = f"set -e; {'; '.join(lines)}; exec {sys.executable} {__file__} {folder}"
        environment = {key: value for key, value in os.environ.items() if key not in ("SSH_AUTH_SOCK", "DISPLAY")}
        run = subprocess.run(
            ["unshare", "-m", "-p", "-f", "--kill-child", "--propagation", "private", "sh", "-c", program],
            input=json.dumps({name: dataclasses.asdict(case) for name, case in cases.items()}),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**environment, "HOME": str(world.home), "USER": "root", "LOGNAME": "root"},
        )
        assert run.returncode == 0, run.stderr
        answer = json.loads(run.stdout.rpartition(_NEWS)[2])
        return {name: {host: Outcome(**one) for host, one in hosts.items()} for name, hosts in answer.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _try_case(world: World, number: int, case: Case) -> dict[str, dict[str, Any]]:
    """Both sides, for each host of a case."""
    folder = world.folder / "cases" / str(number)
    folder.mkdir()
    words = {"F": folder, "K": world.keys, "W": world.folder, **world.ports}

    def filled(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: str(words.get(match[1], match[0])), text)

    for name, text in case.files.items():
        path = folder / filled(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("@"):
            shutil.copy(world.keys / text[1:], path)
        else:
            path.write_text(filled(text))
            path.chmod(0o600)
    config = folder / "config"
    config.write_bytes(filled(case.config + (BASE if case.base else "")).encode())
    with agent(folder, [world.keys / name for name in case.agent]):
        options = ["-F", str(config), *_options({key: filled(value) for key, value in case.ssh.items()})]
        theirs = [await _theirs(options, host, log_in=at < case.logins) for at, host in enumerate(case.hosts)]
        table = {key: filled(value) for key, value in case.ssh.items()}
        ours = await _ours({"config": str(config), **table}, case)
    return {host: {**a, **b} for host, a, b in zip(case.hosts, theirs, ours, strict=True)}


def _options(table: dict[str, str]) -> list[str]:
    """A fleet file's table as options of ssh."""
    options: list[str] = []
    for key, value in table.items():
        match key:
            case "user":
                options += ["-l", value]
            case "port":
                options += ["-p", value]
            case "jump":
                options += ["-J", value]
            case "identity":
                options += ["-o", f'IdentityFile="{value}"', "-o", "IdentitiesOnly=yes"]
    return options


async def _theirs(options: list[str], host: str, *, log_in: bool) -> dict[str, Any]:
    said, _ = await _run("ssh", *options, "-G", "--", host)
    found = dict(line.partition(" ")[::2] for line in reversed(said.splitlines()))
    always = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"]
    login, why = await _run("ssh", *options, *always, "--", host, "say") if log_in else ("", "")
    settings = {key: found[key] for key in ("user", "hostname", "port") if key in found}
    return {"settings": settings, "login": _line(login), "why": why[-400:]}


async def _ours(table: dict[str, Any], case: Case) -> list[dict[str, Any]]:
    from canary_tui.domain.codec import decode, encode
    from canary_tui.domain.fleet.tables import Ssh
    from canary_tui.domain.planning.plan import PlannedTarget
    from canary_tui.ssh.connection.command import ResolveError
    from canary_tui.ssh.connection.connect import Access, LinkError, TargetLink
    from canary_tui.text.secrets import Redactor

    if "port" in table:
        table["port"] = int(table["port"])
    access = Access(None, Redactor())
    targets = [PlannedTarget(host, host, decode(Ssh, {**encode(Ssh()), **table})) for host in case.hosts]
    links: list[TargetLink | None] = [TargetLink(target, access) for target in targets[: case.logins]]
    links += [None] * (len(targets) - len(links))

    async def look(target: PlannedTarget, link: TargetLink | None) -> dict[str, Any]:
        settings: dict[str, str] = {}
        login = why = ""
        try:
            endpoint = await access.resolver.resolve(target)
            settings = {"user": endpoint.user, "hostname": endpoint.host, "port": str(endpoint.port)}
            if link is not None:
                async with asyncio.timeout(_LIMIT):
                    done = await (await link.connection()).run("say", encoding=None)
                assert isinstance(done.stdout, bytes)
                login = _line(done.stdout.decode())
        except (ResolveError, LinkError, TimeoutError) as error:
            why = str(error) or "no end"
        return {"our_settings": settings, "our_login": login, "our_why": why}

    try:
        return list(await asyncio.gather(*map(look, targets, links)))
    finally:
        await asyncio.gather(*(link.close() for link in links if link))
        await access.close()


def _line(said: str) -> str:
    return next((line for line in said.splitlines() if line.count("|") == 2), "")


async def _run(*command: str) -> tuple[str, str]:
    from canary_tui.processes import ERR, OUT, Program, within

    said, program = {OUT: bytearray(), ERR: bytearray()}, Program(command)
    await program.start({output: text.extend for output, text in said.items()})
    try:
        if not await within(program.ended, _LIMIT):
            return "", "no end"
        await within(program.silent, 1)  # what a proxy left behind may hold its outputs
    finally:
        await program.end()
    return said[OUT].decode(errors="replace"), said[ERR].decode(errors="replace")


async def _all(folder: pathlib.Path, cases: dict[str, Case]) -> dict[str, Any]:
    world, places = World(folder), asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, case: Case) -> dict[str, dict[str, Any]]:
        async with places:
            return await _try_case(world, number, case)

    with world.running():
        outcomes = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases.values())))
    return dict(zip(cases, outcomes, strict=True))


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
    sent = {name: Case(**{**case, "hosts": tuple(case["hosts"])}) for name, case in json.load(sys.stdin).items()}
    print(_NEWS + json.dumps(asyncio.run(_all(pathlib.Path(sys.argv[1]), sent))))
