"""Host keys: what real `ssh` with StrictHostKeyChecking=yes accepts on the same files is what we accept."""

from __future__ import annotations

import base64
import hmac
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from _pytest.mark import ParameterSet
from farm import Farm, available

from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.ssh.connection.connect import Access, LinkError, TargetLink
from canary_tui.ssh.connection.hostkeys import HostKeyError, HostKeyRules, HostNames, fingerprint
from canary_tui.ssh.connection.known_hosts import KnownHosts, matches, remember
from canary_tui.text.secrets import Redactor

pytestmark = pytest.mark.skipif(bool(available()), reason=available())
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHvSzQH9Yfk8yU8QWuUgZtq8PzZzqI3gWyPOKrLhg8bQ"


def keygen(*words: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], check=True)


def public(path: Path) -> str:
    return " ".join(path.read_text().split()[:2])


def hashed(name: str, version: str = "1") -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|{version}|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


class Servers:
    """Real sshd on 127.0.0.1: one with a plain key, and one each for every kind of certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.farms = {"plain": Farm(folder / "plain", 1, net=0)}
        keygen("-t", "ed25519", "-N", "", "-f", folder / "ca")
        keygen("-t", "rsa", "-b", "2048", "-N", "", "-f", folder / "rsa")
        for name, *words in (
            ("cert", "-n", "127.0.0.1,localhost,web.example"),
            ("expired", "-n", "127.0.0.1", "-V", "20200101:20200102"),
            ("future", "-n", "127.0.0.1", "-V", "20400101:20400102"),
            ("misnamed", "-n", "elsewhere"),
            ("anyone",),
            ("userkind", "-n", "127.0.0.1"),
        ):
            home = folder / name
            home.mkdir()
            keygen("-t", "ed25519", "-N", "", "-C", "", "-f", home / "host_key_0")
            kind = [] if name == "userkind" else ["-h"]
            keygen("-s", folder / "ca", "-I", "id", *kind, *words, home / "host_key_0.pub")
            extra = (f"HostCertificate {home}/host_key_0-cert.pub",)
            self.farms[name] = Farm(home, 1, net=0, extra=extra)

    def __enter__(self) -> Self:
        for farm in self.farms.values():
            farm.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for farm in self.farms.values():
            farm.stop()

    def words(self, farm: Farm) -> dict[str, str]:
        host, port = "127.0.0.1", farm.port
        return {
            "H": host, "P": str(port), "HP": f"[{host}]:{port}", "K": farm.host_key(farm.targets[0]), "X": OTHER,
            "R": public(self.folder / "rsa.pub"), "CA": public(self.folder / "ca.pub"),
            "hash_HP": hashed(f"[{host}]:{port}"), "hash_H": hashed(host), "hash_2": hashed(f"[{host}]:{port}", "2"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


def case(
    known: str | None,
    *,
    accepted: bool,
    ident: str,
    server: str = "plain",
    host: str = "127.0.0.1",
    options: str = "",
    files: dict[str, str] | None = None,
    stricter: bool = False,
) -> ParameterSet:
    """`stricter`: OpenSSH accepts it and we do not, for the reason that the id gives."""
    return pytest.param(known, accepted, server, host, options, files or {}, stricter, id=ident)


CASES = [
    case("{HP} {K}", accepted=True, ident="port-qualified"),
    case("{H} {K}", accepted=True, ident="plain name at another port"),
    case("", accepted=False, ident="empty file"),
    case(None, accepted=False, ident="missing file"),
    case("{HP} {X}", accepted=False, ident="changed"),
    case("{HP} {X}\n{H} {K}", accepted=False, ident="changed at the port, right at the plain name"),
    case("{HP} {R}\n{H} {K}", accepted=False, ident="another type at the port, right at the plain name"),
    case("{HP} {R}", accepted=False, ident="only another type"),
    case("{HP} {X}\n{HP} {K}", accepted=True, ident="two keys, one is right"),
    case("{HP} {K}\n@revoked {HP} {K}", accepted=False, ident="revoked beside its own line"),
    case("{H} {K}\n@revoked {HP} {K}", accepted=False, ident="revoked at the port beside a plain line"),
    case("@revoked * {K}\n{HP} {K}", accepted=False, ident="revoked for all"),
    case("{HP} {K}\n@revoked {H} {K}", accepted=False, ident="revoked at the plain name only: ours looks", stricter=True),
    case("{HP} {K}\n@revoked {HP} {X}", accepted=True, ident="another key is revoked"),
    case("@revoked {hash_HP} {K}\n{HP} {K}", accepted=False, ident="revoked under a hashed name"),
    case("{hash_HP} {K}", accepted=True, ident="hashed"),
    case("{hash_H} {K}", accepted=True, ident="hashed plain name"),
    case("{hash_2} {K}", accepted=False, ident="unknown hash version"),
    case("{hash_2} {X}\n{HP} {K}", accepted=True, ident="unknown hash version beside a good line"),
    case("{hash_HP},{HP} {K}", accepted=False, ident="a hash in a list of names"),

    case("!{H},!{HP},* {K}", accepted=False, ident="negated"),
    case("!10.*,127.* {K}", accepted=True, ident="negated for others"),
    case("127.0.?.1 {K}", accepted=True, ident="wildcards"),
    case("[127.*]:* {K}", accepted=True, ident="wildcards with a port"),
    case("127.0.0.0/8 {K}", accepted=False, ident="a network is no pattern"),
    case("LocalHost {K}", accepted=True, host="localhost", ident="upper case in the file"),
    case("localhost {K}", accepted=True, host="LOCALHOST", ident="upper case in the name"),
    case("garbage\n@huh * x y\n\x00\xff\n{HP} {K}", accepted=True, ident="garbage lines around a good one"),
    case("@huh {HP} {K}", accepted=False, ident="unknown marker"),
    case("{HP} ssh-rsa AAAA\n{HP}\n{HP} {K} comment", accepted=True, ident="broken lines of the same host"),
    case("# {HP} {K}", accepted=False, ident="commented out"),
    case("  {HP}\t{K}", accepted=True, ident="indented, with a tab"),
    case("{HP}\xa0{K}", accepted=False, ident="a no-break space is no space"),
    case("x y z \x0c{HP} {K}", accepted=False, ident="a form feed begins no line"),
    case("{HP} {K}", accepted=True, options="StrictHostKeyChecking no", ident="checking off, key known"),
    case("{HP} {X}", accepted=False, options="StrictHostKeyChecking no", ident="checking off, key changed"),
    case("", accepted=False, options="StrictHostKeyChecking accept-new", ident="accept-new"),
    case("{HP} {K}", accepted=False, options="UserKnownHostsFile none", ident="no file at all"),
    case("{HP} {K}", accepted=True, options="HostKeyAlgorithms ssh-ed25519", ident="algorithm chosen"),
    case("other {K}", accepted=True, options="HostKeyAlias other", ident="alias"),
    case("{HP} {K}", accepted=False, options="HostKeyAlias other", ident="alias instead of the name"),
    case("[other]:{P} {K}", accepted=False, options="HostKeyAlias other", ident="alias has no port"),
    case("other {K}", accepted=True, options="HostKeyAlias OTHER", ident="alias in upper case"),
    case("", accepted=True, files={"second": "{HP} {K}"}, options="UserKnownHostsFile {F}/known {F}/second", ident="second file"),
    case("{HP} {K}", accepted=False, files={"second": "@revoked {HP} {K}"}, options="UserKnownHostsFile {F}/known {F}/second", ident="revoked in the second file"),
    case("", accepted=True, files={"all": "{HP} {K}"}, options="GlobalKnownHostsFile {F}/all", ident="global file"),
    case("{HP} {K}", accepted=False, files={"all": "@revoked * {K}"}, options="GlobalKnownHostsFile {F}/all", ident="revoked in the global file"),
    case("{HP} {K}", accepted=False, files={"r": "{K}"}, options="RevokedHostKeys {F}/r", ident="file of revoked keys"),
    case("{HP} {K}", accepted=True, files={"r": "# none\n{X}"}, options="RevokedHostKeys {F}/r", ident="file of other revoked keys"),
    case("{HP} {K}", accepted=False, options="RevokedHostKeys {F}/missing", ident="file of revoked keys is missing"),
    case("{HP} {X}", accepted=False, options="NoHostAuthenticationForLocalhost yes", ident="changed on loopback: ours looks", stricter=True),
    case("@cert-authority {HP} {CA}", accepted=True, server="cert", ident="authority"),
    case("@cert-authority {H} {CA}", accepted=True, server="cert", ident="authority at the plain name"),
    case("@cert-authority * {CA}", accepted=True, server="anyone", ident="certificate for any host"),
    case("@cert-authority * {X}", accepted=False, server="cert", ident="another authority"),
    case("@cert-authority * {X}\n{HP} {K}", accepted=True, server="cert", ident="another authority, key known"),
    case("@cert-authority other {CA}", accepted=False, server="cert", ident="authority for other hosts"),
    case("* {CA}", accepted=False, server="cert", ident="an authority's key is no host key"),
    case("@cert-authority * {CA}", accepted=False, server="expired", ident="expired certificate"),
    case("@cert-authority * {CA}\n{HP} {K}", accepted=True, server="expired", ident="expired certificate, key known"),
    case("@cert-authority * {CA}", accepted=False, server="future", ident="certificate of the future"),
    case("@cert-authority * {CA}", accepted=False, server="misnamed", ident="certificate for another name"),
    case("@cert-authority * {CA}", accepted=False, server="plain", ident="authority known, no certificate shown"),
    case("@cert-authority * {CA}\n@revoked * {CA}", accepted=False, server="cert", ident="revoked authority"),
    case("@cert-authority * {CA}\n@revoked * {K}", accepted=False, server="cert", ident="revoked key in a certificate"),
    case("{HP} {K}\n@revoked * {CA}", accepted=False, server="cert", ident="key known, its certificate's authority revoked"),
    case("@cert-authority * {CA}", accepted=True, server="cert", options="HostKeyAlias web.example", ident="certificate for the alias"),
    case("@cert-authority * {CA}", accepted=False, server="cert", options="HostKeyAlias web.other", ident="certificate not for the alias"),
    case("@cert-authority * {CA}", accepted=False, server="cert", options="CASignatureAlgorithms rsa-sha2-512", ident="signature not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("known", "accepted", "server", "host", "options", "files", "stricter"), CASES)
async def test_we_accept_a_host_key_exactly_where_openssh_does(
    servers: Servers,
    tmp_path: Path,
    known: str | None,
    accepted: bool,
    server: str,
    host: str,
    options: str,
    files: dict[str, str],
    stricter: bool,
) -> None:
    farm = servers.farms[server]
    words = {**servers.words(farm), "F": str(tmp_path)}
    for name, text in {"known": known, **files}.items():
        if text is not None:
            (tmp_path / name).write_bytes((text.format(**words) + "\n").encode("latin-1"))
    config = tmp_path / "config"
    usual = f"UserKnownHostsFile {tmp_path}/known\nGlobalKnownHostsFile none\n"
    config.write_text(f"Host *\n{options.format(**words)}\n{usual}{farm.ssh_config.read_text()}")
    command = ["ssh", "-F", str(config), "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", host, "true"]
    ssh = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ssh.returncode == 0) == (accepted or stricter), ssh.stderr
    assert await connects(host, config) == accepted


async def connects(host: str, config: Path) -> bool:
    access = Access(None, Redactor())
    link = TargetLink(PlannedTarget("web", host, Ssh(config=str(config))), access)
    try:
        await link.connection()
    except LinkError as error:
        assert error.final
        assert "host key" in error.detail or "RevokedHostKeys" in error.detail
        return False
    finally:
        await link.close()
    return True


def known(tmp_path: Path, text: str) -> tuple[KnownHosts, HostKeyRules]:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts(), HostKeyRules(user_files=(str(path),))


def blob(text: str) -> bytes:
    return base64.b64decode(text.split()[1])


def test_a_changed_key_is_told_with_file_and_line(tmp_path: Path) -> None:
    store, rules = known(tmp_path, f"\n# mine\nweb {OTHER}\n")
    answer = store.look_up(HostNames("web"), rules).judge(blob(OTHER)[:-1] + b"!")
    assert answer.trust == "changed"
    assert f"{tmp_path}/known_hosts:3" in answer.reason


def test_a_host_that_is_known_by_another_key_is_never_new(tmp_path: Path) -> None:
    store, rules = known(tmp_path, f"@cert-authority web {OTHER}\n")
    assert store.look_up(HostNames("web", 2222), rules).judge(blob(OTHER)).trust == "changed"
    assert store.look_up(HostNames("db", 2222), rules).judge(blob(OTHER)).trust == "new"


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    store, rules = known(tmp_path, "")
    assert store.look_up(HostNames("web"), rules).judge(blob(OTHER)).trust == "new"
    (tmp_path / "known_hosts").write_text(f"web {OTHER}\n")
    assert store.look_up(HostNames("web"), rules).judge(blob(OTHER)).trust == "trusted"


@pytest.mark.parametrize("hash_names", [False, True])
def test_an_accepted_key_is_kept_under_the_name_that_is_looked_up_first(tmp_path: Path, hash_names: bool) -> None:
    path = tmp_path / "deep" / "known_hosts"
    remember(str(path), HostNames("Web.Example", 2222), blob(OTHER), hashed=hash_names)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ("web.example" in path.read_text()) != hash_names
    found = subprocess.run(
        ["ssh-keygen", "-F", "[web.example]:2222", "-f", path], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    rules = HostKeyRules(user_files=(str(path),))
    assert KnownHosts().look_up(HostNames("web.example", 2222), rules).judge(blob(OTHER)).trust == "trusted"


def test_a_key_is_appended_behind_a_last_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("a b c")
    remember(str(path), HostNames("web"), blob(OTHER), hashed=False)
    assert path.read_text() == f"a b c\nweb {OTHER}\n"


def test_a_key_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostKeyError, match="cannot be kept"):
        remember(str(tmp_path / "file" / "known_hosts"), HostNames("web"), blob(OTHER), hashed=False)


def test_a_file_of_revoked_keys_that_is_not_understood_trusts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    for text in (b"SSHKRL\n\0rest", b"not a key"):
        path.write_bytes(text)
        with pytest.raises(HostKeyError, match="RevokedHostKeys"):
            KnownHosts().look_up(HostNames("web"), HostKeyRules(revoked_file=str(path)))


def test_lines_that_count_for_nothing_are_noted(tmp_path: Path) -> None:
    store, rules = known(tmp_path, f"web {OTHER}\n@huh web {OTHER}\nweb\n")
    assert [note.rpartition("/")[2] for note in store.notes(rules.user_files)] == [
        "known_hosts:2: unknown marker @huh",
        "known_hosts:3: not a line of known_hosts",
    ]


def test_the_algorithms_of_known_keys_are_asked_for_first(tmp_path: Path, servers: Servers) -> None:
    store, rules = known(tmp_path, f"web {public(servers.folder / 'rsa.pub')}\n@cert-authority ca {OTHER}\n")
    offered = ["ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com", "ssh-ed25519", "rsa-sha2-512"]
    assert store.look_up(HostNames("web"), rules).order(offered) == tuple(offered[index] for index in (1, 3, 0, 2))
    assert store.look_up(HostNames("ca"), rules).order(offered) == tuple(offered)


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(OTHER + "\n")
    printed = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert fingerprint(blob(OTHER)) in printed.stdout


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("web-1", "web-?", True),
        ("web-10", "web-?", False),
        ("web-10", "web-*,!web-1*", False),
        ("web-1", "!db-*", False),
        ("a[b", "a[b", True),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
    ],
)
def test_patterns_mean_what_they_mean_to_openssh(name: str, patterns: str, expected: bool) -> None:
    assert matches(name, patterns) == expected


@pytest.mark.found("fault 6")
def test_a_line_of_known_hosts_costs_little_memory(tmp_path: Path) -> None:
    """Files of 200,000 lines exist; a line with two names took 800 bytes of memory once."""
    lines, path = 4_000, tmp_path / "known"
    blobs = (b"\0\0\0\x0bssh-ed25519\0\0\0 %032d" % number for number in range(lines))
    text = (
        f"host-{i}.example,10.0.{i >> 8}.{i & 255} ssh-ed25519 {base64.b64encode(one).decode()}"
        for i, one in enumerate(blobs)
    )
    path.write_text("\n".join(text))
    store = KnownHosts()
    tracemalloc.start()
    try:
        store.load(HostKeyRules(user_files=(str(path),)))
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept / lines < 600
