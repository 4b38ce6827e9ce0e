"""Where a name leads is what `ssh NAME` would do; what cannot be honoured is refused."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
from typing import Protocol, Unpack

import pytest
from ssh_table import SshTable

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.ssh.connection.command import ResolveError, parse_hop
from canary_tui.ssh.connection.resolve import Endpoint, Resolver, split_files

pytestmark = pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed")


class Resolve(Protocol):
    """Where a name leads by this ssh_config and these settings of a fleet file."""

    async def __call__(self, config: str, host: str = "web", **ssh: Unpack[SshTable]) -> Endpoint: ...


@pytest.fixture
def resolve(tmp_path: pathlib.Path) -> Resolve:
    async def resolve(config: str, host: str = "web", **ssh: Unpack[SshTable]) -> Endpoint:
        (tmp_path / "config").write_text(config)
        return await Resolver().resolve(PlannedTarget("web", host, Ssh(config=str(tmp_path / "config"), **ssh)))

    return resolve


async def test_ssh_config_says_where_and_as_whom(resolve: Resolve) -> None:
    endpoint = await resolve(
        "Host web\n HostName 10.1.2.3\n Port 2222\n User deploy\n ConnectTimeout 7\n HostKeyAlias shop\n"
        " UserKnownHostsFile /a /b\n GlobalKnownHostsFile /c\n HashKnownHosts yes\n"
    )
    assert (endpoint.host, endpoint.port, endpoint.user, endpoint.connect_timeout) == ("10.1.2.3", 2222, "deploy", 7)
    assert endpoint.rules.user_files == ("/a", "/b")
    assert endpoint.rules.global_files == ("/c",)
    assert endpoint.rules.hash_names
    assert endpoint.names.look_up() == ("shop",)
    assert endpoint.address == "deploy@10.1.2.3:2222"


async def test_the_fleet_file_has_the_last_word(resolve: Resolve, tmp_path: pathlib.Path) -> None:
    endpoint = await resolve(
        "Match user root\n IdentityAgent none\nHost *\n Port 1\n User a\n IdentityFile /x\n UserKnownHostsFile /y\n",
        user="root", port=99, identity="/id", known_hosts="/kh", connect_timeout=Duration(3),
    )  # fmt: skip
    assert (endpoint.port, endpoint.user, endpoint.identities, endpoint.connect_timeout) == (99, "root", ("/id",), 3)
    assert (endpoint.rules.user_files, endpoint.rules.global_files) == (("/kh",), ())
    assert endpoint.identities_only
    assert endpoint.agent == ""


async def test_tokens_and_variables_are_filled_in(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    endpoint = await resolve(
        "Host *\n User u\n IdentityFile ${KEYS}/%r@%h\n IdentityFile ~/.ssh/%n\n UserKnownHostsFile /kh/%k-%%\n"
    )
    home = pathlib.Path.home()
    assert endpoint.identities == ("/keys/u@web", f"{home}/.ssh/web")
    assert endpoint.rules.user_files == ("/kh/web-%",)


async def test_a_proxy_command_is_the_users_own_line_for_the_users_shell(
    resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/zsh")
    endpoint = await resolve("Host *\n Port 7\n ProxyCommand nc %h %p\n")
    assert endpoint.proxy_command == ("/bin/zsh", "-c", "exec nc web 7")


async def test_jump_hosts_are_found_the_same_way(resolve: Resolve) -> None:
    endpoint = await resolve(
        "Host inner\n HostName 10.0.0.2\n User i\nHost outer\n HostName 10.0.0.1\n Port 22022\n"
        "Host web\n ProxyJump outer,me@inner:2022\n"
    )
    assert [(hop.user, hop.host, hop.port) for hop in endpoint.jumps][1:] == [("me", "10.0.0.2", 2022)]
    assert [(hop.host, hop.port) for hop in endpoint.jumps] == [("10.0.0.1", 22022), ("10.0.0.2", 2022)]


@pytest.mark.parametrize("host", ["web", "bastion"])
async def test_a_jump_host_that_is_its_own_is_refused_as_ssh_does(resolve: Resolve, host: str) -> None:
    with pytest.raises(ResolveError, match="jumphost loop via bastion"):
        await resolve("Host *\n ProxyJump bastion\n", host=host)


async def test_jump_hosts_in_a_circle_are_refused(resolve: Resolve) -> None:
    with pytest.raises(ResolveError, match="circle"):
        await resolve("Host a\n ProxyJump b\nHost b\n ProxyJump a\nHost web\n ProxyJump a\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("KnownHostsCommand /bin/echo %H", "KnownHostsCommand"),
        ("KnownHostsCommand /bin/echo %H", "known-hosts"),
        ("ProxyUseFdpass yes", "ProxyUseFdpass"),
        ("IdentityFile /x/%C", "%C"),
        ("IdentityFile ${NOT_SET_ANYWHERE}/x", "NOT_SET_ANYWHERE"),
        ("Nonsense yes", "ssh_config"),
        ("ProxyJump ssh://[::1", "rox"),
    ],
)
async def test_what_matters_and_cannot_be_honoured_is_refused_by_name(resolve: Resolve, line: str, named: str) -> None:
    with pytest.raises(ResolveError, match=r"^web: ") as refusal:
        await resolve(f"Host *\n {line}\n")
    assert named in str(refusal.value)


@pytest.mark.found("field 9")
@pytest.mark.parametrize("line", ["HostbasedAuthentication yes", "VerifyHostKeyDNS ask", "VerifyHostKeyDNS yes"])
async def test_what_would_only_trust_or_offer_more_is_ignored(resolve: Resolve, line: str) -> None:
    """Without it the check is stricter, and a known host and a key are enough."""
    assert await resolve(f"Host *\n {line}\n") == await resolve("")


@pytest.mark.found("field 8")
@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("ConnectTimeout 0", 15),
        ("ConnectTimeout none", 15),
        ("", 15),
        ("ConnectTimeout 1m30s", 90),
        ("ConnectTimeout 1", 1),
    ],
)
async def test_no_limit_of_connecting_is_our_own_limit(resolve: Resolve, line: str, seconds: float) -> None:
    """To ssh 0 and none mean the same: it sets no limit."""
    assert (await resolve(f"Host *\n {line}\n")).connect_timeout == seconds


@pytest.mark.found("field 8")
async def test_none_is_no_file_and_no_program(resolve: Resolve) -> None:
    """Each option that may be none."""
    endpoint = await resolve(
        "Host *\n IdentityFile none\n CertificateFile none\n IdentityAgent none\n ProxyCommand none\n ProxyJump none\n"
        " RevokedHostKeys none\n KnownHostsCommand none\n UserKnownHostsFile none\n GlobalKnownHostsFile none\n"
    )
    assert (endpoint.identities, endpoint.certificates, endpoint.agent) == ((), (), "")
    assert (endpoint.proxy_command, endpoint.via) == ((), None)
    assert (endpoint.rules.user_files, endpoint.rules.global_files, endpoint.rules.revoked_file) == ((), (), "")


@pytest.mark.found("field 8")
@pytest.mark.parametrize(
    ("value", "there", "expected"),
    [
        pytest.param("/a /b", (), ("/a", "/b"), id="two"),
        pytest.param("{F}/my hosts", (), ("{F}/my hosts",), id="a blank"),
        pytest.param("{F}/my  hosts {F}/b", (), ("{F}/my  hosts", "{F}/b"), id="two blanks, and another file"),
        pytest.param("{F}/a {F}/b", ("a", "b"), ("{F}/a", "{F}/b"), id="two that are there"),
        pytest.param("{F}/a b c/d", ("a b c/d",), ("{F}/a b c/d",), id="a folder with blanks"),
        pytest.param("{F}/a b", ("b",), ("{F}/a", "b"), id="another in the working folder"),
        pytest.param("~/.ssh/x ~/.ssh/y", (), ("~/.ssh/x", "~/.ssh/y"), id="in the home"),
    ],
)
def test_paths_with_blanks_are_told_from_several_paths(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    there: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    """`ssh -G` prints the files of known hosts on one line, without the quotes."""
    monkeypatch.chdir(tmp_path)
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert split_files(value.format(F=tmp_path)) == tuple(one.format(F=tmp_path) for one in expected)


def test_paths_that_can_be_read_in_two_ways_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of revoked keys must not be passed over."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "a b"):
        (tmp_path / name).write_text("")
    with pytest.raises(ResolveError, match="rename one"):
        split_files(f"{tmp_path}/a b")


async def test_a_relative_path_of_an_older_plan_starts_at_the_working_folder(
    resolve: Resolve, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    endpoint = await resolve("", identity="keys/id", known_hosts="known")
    assert endpoint.identities == (f"{tmp_path}/keys/id",)
    assert endpoint.rules.user_files == (f"{tmp_path}/known",)


@pytest.mark.parametrize(
    ("host", "ssh"),
    [
        ("-oProxyCommand=id", {}),
        ("web 1", {}),
        ("web\n", {}),
        ("$(id)", {}),
        ("wеb", {}),
        ("w" * 300, {}),
        ("web", {"user": "-l"}),
        ("web", {"user": "a b"}),
        ("web", {"user": "$(id)"}),
        ("web", {"port": 0}),
        ("web", {"port": 70000}),
        ("web", {"jump": "-oProxyCommand=id"}),
        ("web", {"jump": "a b"}),
    ],
)
async def test_a_name_that_is_none_never_reaches_a_command_line(resolve: Resolve, host: str, ssh: SshTable) -> None:
    with pytest.raises(ResolveError):
        await resolve("", host=host, **ssh)


async def test_forwarding_and_remote_commands_of_ssh_config_have_no_effect(resolve: Resolve) -> None:
    config = "Host *\n ForwardAgent yes\n ForwardX11 yes\n RemoteCommand id\n SendEnv *\n LocalForward 1 a:2\n"
    assert await resolve(config) == await resolve("")


@pytest.mark.parametrize(
    ("line", "host_keys", "secrets"),
    [("", True, True), ("StrictHostKeyChecking yes", False, True), ("BatchMode yes", False, False)],
)
async def test_ssh_config_may_forbid_questions(resolve: Resolve, line: str, host_keys: bool, secrets: bool) -> None:
    endpoint = await resolve(f"Host *\n {line}\n")
    assert (endpoint.asks_about_host_keys, endpoint.asks_for_secrets) == (host_keys, secrets)


async def test_algorithms_are_ours_unless_ssh_config_chooses(resolve: Resolve) -> None:
    assert (await resolve("")).algorithms.ciphers == ()
    assert (await resolve("Ciphers aes256-ctr")).algorithms.ciphers == ("aes256-ctr",)


async def test_config_none_reads_no_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = await Resolver().resolve(PlannedTarget("web", "Web.Example", Ssh(config="none", jump="u@hop:2022")))
    assert (endpoint.host, endpoint.port) == ("web.example", 22)
    assert [(hop.user, hop.host, hop.port) for hop in endpoint.jumps] == [("u", "hop", 2022)]


async def counted(tmp_path: pathlib.Path, config: str, hosts: list[str]) -> int:
    """How often ssh was run for these hosts, and what came of it."""
    (tmp_path / "config").write_text(config)
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho x >> {tmp_path}/runs\nexec {shutil.which("ssh")} "$@"\n')
    ssh.chmod(0o755)
    resolver = Resolver(str(ssh))
    targets = [PlannedTarget(host, host, Ssh(config=str(tmp_path / "config"))) for host in hosts]
    endpoints = await asyncio.gather(*map(resolver.resolve, targets))
    alone = await asyncio.gather(*(Resolver().resolve(target) for target in targets))
    assert endpoints == alone
    return len((tmp_path / "runs").read_text().split())


@pytest.mark.parametrize(
    ("config", "runs"),
    [
        pytest.param("Host *\n User u\n IdentityFile /x\n", 2, id="all alike"),
        pytest.param("Host web-*\n User w\nHost *\n User u\n", 3, id="two kinds"),
        pytest.param("Host unix/* .host\n ProxyCommand x %h\nHost *\n User u\n", 2, id="what some systems come with"),
        pytest.param('Host * # all\n IdentityFile "/x y"\n', 6, id="a comment behind a Host line"),
        pytest.param('Host *\n IdentityFile "/x y" # mine\n', 2, id="quotes and comments behind others"),
        pytest.param('"Host" *\n User u\n', 6, id="a quoted keyword"),
        pytest.param("Host !web-1 *\n User w\n", 3, id="all but one"),
        pytest.param("Host Web-*\n User w\n", 3, id="upper case is another name"),
        pytest.param("Host *\n IdentityFile /x/%h\n", 2, id="a path made from the name"),
        pytest.param("Host *\n UserKnownHostsFile /x/%h\n", 6, id="a file of host keys for each name"),
        pytest.param("Host web-*\n HostName %h.example\n", 6, id="names of their own"),
        pytest.param('Match host web-1 exec "true"\n User m\n', 6, id="Match is asked for each"),
    ],
)
async def test_ssh_is_asked_once_for_all_targets_that_its_config_treats_alike(
    tmp_path: pathlib.Path, config: str, runs: int
) -> None:
    """One more run is for ssh's own defaults."""
    assert await counted(tmp_path, config, ["web-1", "web-2", "web-3", "Web-4", "db"]) == runs


async def test_included_files_count(tmp_path: pathlib.Path) -> None:
    (tmp_path / "more").write_text("Host web-1\n User one\n")
    config = f"Include {tmp_path}/mo*\nHost *\n User u\n"
    assert await counted(tmp_path, config, ["web-1", "web-2", "db"]) == 3


async def test_without_an_ssh_program_a_config_is_not_passed_over(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "config").write_text("Host *\n Port 7\n")
    with pytest.raises(ResolveError, match="needs the ssh program"):
        await Resolver().resolve(PlannedTarget("web", "web", Ssh(config=str(tmp_path / "config"))))
    endpoint = await Resolver().resolve(PlannedTarget("web", "web", Ssh(config="none", user="u")))
    assert (endpoint.host, endpoint.port, endpoint.user) == ("web", 22, "u")
    assert endpoint.rules.user_files[0].endswith("/.ssh/known_hosts")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hop", (None, "hop", None)),
        ("u@hop:22", ("u", "hop", 22)),
        ("[fe80::1%eth0]:2", (None, "fe80::1%eth0", 2)),
        ("ssh://u@hop:2/", ("u", "hop", 2)),
    ],
)
def test_a_jump_host_is_written_as_proxyjump_writes_it(text: str, expected: tuple[str | None, str, int | None]) -> None:
    assert parse_hop(text) == expected
