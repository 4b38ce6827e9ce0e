"""Keys on disk, certificates and the agent meet as they do for `ssh`: the same login with the same key, or none."""

from __future__ import annotations

import pytest
from against_ssh import Case, Outcome, compare, why_not

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not()), pytest.mark.found("field 2")]

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


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, dict[str, Outcome]]:
    """Of the cases that are to be tested, all at once."""
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    }
    return compare({name: one for name, one in CASES.items() if name in wanted})


@pytest.mark.parametrize("name", CASES)
def test_we_log_in_with_the_key_that_ssh_logs_in_with(outcomes: dict[str, dict[str, Outcome]], name: str) -> None:
    for host, outcome in outcomes[name].items():
        assert outcome.our_login == outcome.login, f"{host}: {outcome.why}; ours: {outcome.our_why}"
