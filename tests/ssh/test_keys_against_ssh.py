"""Keys on disk, certificates and the agent meet, and proxies are run, as by `ssh`: the same login, or none."""

from __future__ import annotations

import pytest
from against_ssh import Case, Outcome, compare, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

_REST = """
Host *
  Port {main}
  IdentityAgent {F}/agent
  UserKnownHostsFile {W}/known_hosts
  GlobalKnownHostsFile /dev/null
  ConnectTimeout 10
"""
ONLY = "IdentitiesOnly yes\n"
PUBLIC = {"work.pub": "@work.pub"}
LOCKED = {"locked": "@locked", "locked.pub": "@locked.pub"}
WORK, SPARE = "IdentityFile {F}/work\n", "IdentityFile {F}/spare\n"
CERTIFIED, TRIES = "User certified\n", "User app\nPort {tries}\n"
NONE = "IdentityFile none\n"


def case(config: str, files: dict[str, str] | None = None, agent: tuple[str, ...] = ("work",)) -> Case:
    return Case(config + _REST, files=files or {}, agent=agent, base=False)


CASES = {
    # Halves
    "a public half, its key in the agent": case(f"User deploy\n{WORK}{ONLY}", PUBLIC, ("spare", "work")),
    "a public half by its own name": case(f"User deploy\nIdentityFile {{F}}/work.pub\n{ONLY}", PUBLIC, ("spare", "work")),
    "a public half, its key nowhere": case(f"User deploy\n{WORK}{ONLY}", PUBLIC, ("spare",)),
    "a public half, another key in the agent": case(f"User deploy\n{WORK}", PUBLIC, ("spare",)),
    "a public half of another key": case(f"User deploy\n{WORK}{ONLY}", {"work": "@work", "work.pub": "@spare.pub"}),
    "nothing on disk": case(f"User deploy\n{WORK}", {}, ("spare", "work")),
    "nothing on disk, and only that": case(f"User deploy\n{WORK}{ONLY}", {}, ("work",)),
    "a locked key that the agent has": case(f"User deploy\nIdentityFile {{F}}/locked\n{ONLY}", LOCKED, ("locked",)),
    "a locked key without a public half": case(
        f"User deploy\nIdentityFile {{F}}/locked\n{ONLY}", {"locked": "@locked"}, ("locked",)
    ),
    "a locked key of the old format, its public half unknown": case(
        f"User deploy\nIdentityFile {{F}}/locked\n{ONLY}", {"locked": "@old-locked"}, ("work",)
    ),
    "a locked key that the agent has not": case(f"User deploy\nIdentityFile {{F}}/locked\n{ONLY}", LOCKED, ("work",)),
    "a key on disk": case(f"User deploy\n{WORK}{ONLY}", {"work": "@work"}, ("spare",)),
    "no public key login": case(f"User deploy\n{WORK}PubkeyAuthentication no\n", {"work": "@work"}),
    "no agent": case(f"User deploy\n{WORK}IdentityAgent none\n", PUBLIC),
    "an agent that is not there": case(f"User deploy\n{WORK}IdentityAgent {{F}}/none\n", {"work": "@work"}),
    # Certificates
    "a certificate, its key in the agent": case(
        f"{CERTIFIED}CertificateFile {{F}}/c.pub\n{NONE}", {"c.pub": "@work.certificate"}
    ),
    "a certificate alone, and only that": case(
        f"{CERTIFIED}CertificateFile {{F}}/c.pub\n{NONE}{ONLY}", {"c.pub": "@work.certificate"}
    ),
    "a certificate and a public half": case(
        f"{CERTIFIED}CertificateFile {{F}}/c.pub\n{WORK}{ONLY}", {"c.pub": "@work.certificate", **PUBLIC}
    ),
    "a certificate and a key on disk": case(
        f"{CERTIFIED}CertificateFile {{F}}/c.pub\n{WORK}{ONLY}", {"c.pub": "@work.certificate", "work": "@work"}, ()
    ),
    "a certificate beside a public half": case(
        f"{CERTIFIED}{WORK}{ONLY}", {"work-cert.pub": "@work.certificate", **PUBLIC}
    ),
    "a certificate beside a key": case(
        f"{CERTIFIED}{WORK}{ONLY}", {"work-cert.pub": "@work.certificate", "work": "@work"}, ()
    ),
    "a certificate beside nothing": case(f"{CERTIFIED}{WORK}", {"work-cert.pub": "@work.certificate"}),
    "a certificate beside nothing, and only that": case(f"{CERTIFIED}{WORK}{ONLY}", {"work-cert.pub": "@work.certificate"}),
    "a certificate beside a locked key": case(
        f"{CERTIFIED}IdentityFile {{F}}/locked\n{ONLY}", {"locked-cert.pub": "@locked.certificate", **LOCKED}, ("locked",)
    ),
    "a certificate of a locked key": case(
        f"{CERTIFIED}IdentityFile {{F}}/locked\nCertificateFile {{F}}/c.pub\n{ONLY}",
        {"c.pub": "@locked.certificate", **LOCKED},
        ("locked",),
    ),
    "a certificate of a locked key that no agent has": case(
        f"{CERTIFIED}IdentityFile {{F}}/locked\nCertificateFile {{F}}/c.pub\n{ONLY}",
        {"c.pub": "@locked.certificate", **LOCKED},
    ),
    "a certificate beside a key is passed over for a named one": case(
        f"{CERTIFIED}{WORK}CertificateFile {{F}}/c.pub\n{ONLY}",
        {"work-cert.pub": "@work.certificate", "work": "@work", "c.pub": "@stranger.certificate"},
    ),
    "a certificate as the identity": case(
        f"{CERTIFIED}IdentityFile {{F}}/c.pub\n", {"c.pub": "@work.certificate"}
    ),
    "where the plain key would do, too": case(
        f"User deploy\n{WORK}{ONLY}", {"work-cert.pub": "@work.certificate", "work": "@work"}, ()
    ),
    "where the plain key of the agent would do, too": case(
        f"User deploy\nCertificateFile {{F}}/c.pub\n{NONE}", {"c.pub": "@work.certificate"}
    ),
    "a certificate file that is not there": case(f"User deploy\n{WORK}CertificateFile {{F}}/none\n", {"work": "@work"}),
    "an RSA certificate": case(
        f"{CERTIFIED}IdentityFile {{F}}/rsa\n{ONLY}", {"rsa-cert.pub": "@rsa.certificate", "rsa": "@rsa"}, ()
    ),
    "an RSA certificate, its key in the agent": case(
        f"{CERTIFIED}CertificateFile {{F}}/c.pub\n{NONE}", {"c.pub": "@rsa.certificate"}, ("rsa",)
    ),
    # Several keys in a row
    "two keys on disk": case(f"User deploy\nPort {{two}}\n{WORK}{SPARE}", {"work": "@work", "spare": "@spare"}, ()),
    "one on disk and one of the agent": case(f"User deploy\nPort {{two}}\n{WORK}", {"work": "@work"}, ("spare",)),
    "one where two are wanted": case(f"User deploy\nPort {{two}}\n{WORK}", {"work": "@work"}, ()),
    # Order, where only three keys may be tried
    "the third key of the agent": case(f"{TRIES}{NONE}", agent=("work", "stranger", "spare")),
    "the fourth key of the agent": case(f"{TRIES}{NONE}", agent=("work", "stranger", "locked", "spare")),
    "the last key of the agent, named": case(
        f"{TRIES}{SPARE}", {"spare.pub": "@spare.pub"}, ("work", "stranger", "locked", "spare")
    ),
    "the last key of the agent, on disk": case(
        f"{TRIES}{SPARE}", {"spare": "@spare"}, ("work", "stranger", "locked", "spare")
    ),
    "a key on disk behind three of the agent": case(f"{TRIES}{SPARE}", {"spare": "@spare"}, ("work", "stranger", "locked")),
    "a key on disk behind three that are not meant": case(
        f"{TRIES}{SPARE}{ONLY}", {"spare": "@spare"}, ("work", "stranger", "locked")
    ),
    "the third key on disk": case(
        f"{TRIES}{WORK}IdentityFile {{K}}/stranger\n{SPARE}", {"work": "@work", "spare": "@spare"}, ()
    ),
    # People
    "a key that wants a confirmation": case(f"User deploy\n{NONE}", agent=("spare?",)),
    "a public half of a key that wants one": case(f"User deploy\n{WORK}{ONLY}", PUBLIC, ("work?",)),
}  # fmt: skip


HOP = "ssh -F {F}/hop -W [%h]:%p hop@localhost"
HOP_CONFIG = """Port {hop}
IdentityFile {K}/work
IdentityAgent none
UserKnownHostsFile {W}/known_hosts
GlobalKnownHostsFile /dev/null
"""


def proxied(command: str) -> Case:
    return case(f"User deploy\n{WORK}ProxyCommand {command}\n", {"work": "@work", "hop": HOP_CONFIG}, ())


PROXIES = {
    "a proxy whose words are thrown away": proxied(f"{HOP} 2>/dev/null"),
    "a proxy with words of its own": proxied(f"sh -c 'echo hello >&2; exec {HOP}'"),
    "a proxy with many words": proxied(f"sh -c 'head -c 300000 /dev/zero >&2; exec {HOP}'"),
    "a proxy that speaks first on its stream": proxied(f"sh -c 'echo welcome; exec {HOP}'"),
    "a proxy that ends": proxied("false"),
    "a proxy behind a command that ends": proxied(f"true && {HOP}"),
    "a proxy behind an assignment": proxied(f"F=1; {HOP}"),
    "a proxy with an environment of its own": proxied(f"env F='a  b' {HOP}"),
    "a proxy in a pipe": proxied(f"cat | {HOP} | cat"),
    "a proxy that is not there": proxied("{F}/none"),
    "a proxy to nowhere": proxied("ssh -F {F}/hop -W [%h]:1 hop@localhost"),
    "a proxy by a login that is refused": proxied("ssh -F {F}/hop -W [%h]:%p deploy@localhost"),
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, dict[str, Outcome]]:
    """Of the cases that are to be tested, all at once."""
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    }
    return compare({name: one for name, one in (CASES | PROXIES).items() if name in wanted})


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.found("field 2")) for name in CASES),
        *(pytest.param(name, marks=pytest.mark.found("field 5")) for name in PROXIES),
    ],
)
def test_we_log_in_with_the_key_that_ssh_logs_in_with(outcomes: dict[str, dict[str, Outcome]], name: str) -> None:
    for host, outcome in outcomes[name].items():
        assert outcome.our_login == outcome.login, f"{host}: {outcome.why}; ours: {outcome.our_why}"


@pytest.mark.found("field 2")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a public half, its key nowhere", "/work: only its public half is here, and no agent has the other one"),
        ("nothing on disk, and only that", "/work: there is no such file"),
        ("a locked key that the agent has not", "/locked: it is locked by a passphrase"),
        ("a public half of another key", "/work: it does not belong to "),
        ("the fourth key of the agent", "Too many authentication failures; IdentityFile with IdentitiesOnly"),
    ],
)
def test_why_there_was_no_login_is_named(outcomes: dict[str, dict[str, Outcome]], name: str, words: str) -> None:
    [outcome] = outcomes[name].values()
    assert words in outcome.our_why
