"""Where `ssh` gets in, we get in: as the same user, at the same address, with the same key; and where it does not, not."""

from __future__ import annotations

import pytest
from against_ssh import Case, Outcome, compare, why_not
from ssh_world import BASE

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SHOPS = ("shop-1", "shop-2", "shop-3")

ADMIN = " User admin\nHost *\n User deploy\n"
"""For what a Host line before it names: admin. For all others: deploy."""

CONFIGS = {
    "all alike": Case("User deploy\n", SHOPS),
    "a pattern": Case(f"Host shop-?\n{ADMIN}", (*SHOPS, "db.example")),
    "a pattern that is a list to known_hosts": Case(f"Host shop-1,shop-2\n{ADMIN}", SHOPS),
    "a comma and a blank": Case(f"Host shop-1, shop-2\n{ADMIN}", SHOPS),
    "a comment behind a Host line": Case(f"Host shop-1 # the primary; shop-2 takes over\n{ADMIN}", SHOPS),
    "a comment without a blank": Case(f"Host shop-1 #shop-2\n{ADMIN}", SHOPS),
    "a hash inside a name": Case(f"Host shop-1#shop-2 shop-3\n{ADMIN}", SHOPS),
    "a comment between": Case(f"Host shop-1\n# Host shop-2\n\t # Host *\n{ADMIN}", SHOPS),
    "quoted names": Case(f'Host "shop-1" "shop-2"\n{ADMIN}', SHOPS),
    "two names in one pair of quotes": Case(f'Host "shop-1 shop-2"\n{ADMIN}', SHOPS),
    "single quotes": Case(f"Host 'shop-1' shop-2\n{ADMIN}", SHOPS),
    "quotes inside a name": Case(f'Host sho"p-1"\n{ADMIN}', SHOPS),
    "a quoted comment": Case(f'Host "shop-1" "# x" shop-2\n{ADMIN}', SHOPS),
    "an open quote": Case(f'Host "shop-1 shop-2\n{ADMIN}', SHOPS),
    "a backslash": Case(f"Host shop\\-1 shop-2\n{ADMIN}", SHOPS),
    "a quoted keyword": Case(f'"Host" shop-1\n{ADMIN}', SHOPS),
    "all but one": Case(f"Host * !shop-2\n{ADMIN}", SHOPS),
    "only a negation": Case(f"Host !shop-2\n{ADMIN}", SHOPS),
    "negated twice": Case(f"Host !!shop-2 shop-1\n{ADMIN}", SHOPS),
    "a negation that comes first": Case(f"Host !shop-1 shop-*\n{ADMIN}", SHOPS),
    "an equals sign": Case(f"Host=shop-1\n{ADMIN}", SHOPS),
    "an equals sign between blanks": Case("Host = shop-1\nUser = admin\nHost=*\n User=deploy\n", SHOPS),
    "two equals signs": Case(f"Host == shop-1\n{ADMIN}", SHOPS),
    "upper case in the file": Case(f"HOST Shop-1\n{ADMIN}", ("shop-1", "Shop-1", "SHOP-2")),
    "upper case in a keyword": Case("hOsT shop-1\n uSER admin\nhost *\n USER deploy\n", SHOPS),
    "tabs": Case("Host\tshop-1\tshop-3\n\t\tUser\tadmin\t\nHost\t*\n\tUser deploy\n", SHOPS),
    "line ends of Windows": Case("Host shop-1\r\n User admin\r\nHost *\r\n User deploy\r\n", SHOPS),
    "a lone carriage return": Case(f"Host shop-1\rshop-2\n{ADMIN}", SHOPS),
    "a carriage return in a comment": Case(f"# x\rHost shop-2\nHost shop-1\n{ADMIN}", SHOPS),
    "a form feed": Case(f"Host shop-1\f\n{ADMIN}", SHOPS),
    "a form feed before a keyword": Case(f"\fHost shop-1\n{ADMIN}", SHOPS),
    "a line does not go on": Case("Host shop-1 \\\n shop-2\n User admin\nHost *\n User deploy\n", SHOPS),
    "nothing behind Host": Case(f"Host\n{ADMIN}", SHOPS),
    "no last line end": Case("Host shop-1\n User admin\nHost *\n User deploy", SHOPS),
    "letters beyond ASCII": Case(f"Host shöp-1 shop-2 # grün\n{ADMIN}", SHOPS),
    "a NUL": Case(f"Host shop-1 \0shop-2\n{ADMIN}", SHOPS),
    "an unknown keyword": Case(f"Frob yes\nHost shop-1\n{ADMIN}", SHOPS),
    "an unknown keyword that may be": Case(f"IgnoreUnknown Frob\nFrob yes\nHost shop-1\n{ADMIN}", SHOPS),
    # Match
    "Match host": Case("Match host shop-1,shop-3\n User admin\nMatch all\n User deploy\n", SHOPS),
    "Match host with a comment": Case("Match host shop-1 # ,shop-2\n User admin\nMatch all\n User deploy\n", SHOPS),
    "Match originalhost": Case("Match originalhost shop-2\n User admin\nHost *\n User deploy\n", SHOPS),
    "Match not originalhost": Case("Match !originalhost shop-2\n User admin\nHost *\n User deploy\n", SHOPS),
    "Match user": Case("Host shop-1\n User admin\nMatch user admin\n Port {tries}\nHost *\n User deploy\n", SHOPS),
    "Match user of the fleet file": Case("Match user admin\n Port {tries}\n", SHOPS, ssh={"user": "admin"}),
    "Match exec": Case('Match exec "test %n = shop-2"\n User admin\nMatch all\n User deploy\n', SHOPS),
    "Match exec of a path with blanks": Case(
        "Match exec \"'{F}/a b/yes' %h\"\n User admin\nHost *\n User deploy\n",
        SHOPS,
        files={"a b/yes": "#!/bin/false\n"},
    ),
    "Match final": Case("Match final host 127.0.94.2\n User admin\nHost shop-2\n HostName 127.0.94.2\n", SHOPS),
    "Match canonical": Case("Match canonical\n User admin\nMatch all\n User deploy\n", SHOPS),
    "Match localuser": Case("Match localuser root\n User admin\n", SHOPS),
    "Match tagged with an equals sign": Case("Match host=shop-1\n User admin\nHost *\n User deploy\n", SHOPS),
    # Include
    "Include": Case("Include {F}/more\nUser deploy\n", SHOPS, files={"more": "Host shop-1\n User admin\n"}),
    "Include of several": Case(
        "Include {F}/*.conf {F}/none\nHost *\n User deploy\n",
        SHOPS,
        files={"1.conf": "Host shop-1\n User admin\n", "2.conf": "Host shop-2\n User app\n IdentityFile {K}/spare\n"},
    ),
    "Include in a Host block": Case(
        "Host shop-1\n Include {F}/more\nHost *\n User deploy\n", SHOPS, files={"more": "Host *\n User admin\n"}
    ),
    "Include in quotes": Case(
        'Include "{F}/mo re"\nHost *\n User deploy\n', SHOPS, files={"mo re": "Host shop-1\n User admin\n"}
    ),
    "Include with a comment": Case(
        "Include {F}/more # {F}/other\nHost *\n User deploy\n",
        SHOPS,
        files={"more": "Host shop-1\n User admin\n", "other": "Host shop-2\n User app\n"},
    ),
    "Include in the usual folder": Case("Include more\nHost *\n User deploy\n", SHOPS),
    "Include of itself": Case("Include {F}/config\n", SHOPS),
    "Include of a folder": Case("Include {F}\nHost shop-1\n User admin\n", SHOPS),
    # Tokens, and what else a value may be
    "a name made from the name": Case("HostName %h\nUser deploy\n", SHOPS),
    "a name made from a part": Case("Host db\n HostName %h.example\n User admin\n", ("db", "shop-1")),
    "keys by tokens": Case(
        "IdentityFile {F}/%h.%p.%r.%n.%%.%k\nUser deploy\n",
        SHOPS,
        files={"shop-1.{main}.deploy.shop-1.%.shop-1": "@work", "shop-2.{main}.deploy.shop-2.%.shop-2": "@spare"},
    ),
    "keys by the local user and home": Case("IdentityFile %d/.ssh/%u-%i\nUser app\n", SHOPS),
    "a key in the home folder": Case("IdentityFile ~/.ssh/root-0\nUser app\n", SHOPS),
    "a key of the user's home": Case("IdentityFile ~root/.ssh/root-0\nUser app\n", SHOPS),
    "blanks in paths": Case(
        'IdentityFile "{F}/my key"\nUserKnownHostsFile "{F}/my hosts"\nUser app\n',
        SHOPS,
        files={"my key": "@spare", "my hosts": "@known_hosts"},
    ),
    "known hosts by tokens": Case(
        "UserKnownHostsFile {F}/none {F}/%h\nUser deploy\n", SHOPS, files={"shop-1": "@known_hosts"}
    ),
    "a known_hosts file for each": Case(
        "UserKnownHostsFile {F}/%k\nHostKeyAlias %h\nUser deploy\n", SHOPS, files={"shop-1": "@known_hosts"}
    ),
    "no known_hosts file": Case("UserKnownHostsFile none\nGlobalKnownHostsFile none\nUser deploy\n"),
    "the global file alone": Case("UserKnownHostsFile none\nGlobalKnownHostsFile {W}/known_hosts\nUser deploy\n"),
    "no limit of connecting": Case("ConnectTimeout 0\nUser deploy\n"),
    "no limit by name": Case("ConnectTimeout none\nUser deploy\n"),
    "a limit with a unit": Case("ConnectTimeout 1m\nUser deploy\n"),
    "no address to come from": Case("BindAddress 127.0.94.7\nUser deploy\n", SHOPS),
    "an address family": Case("AddressFamily inet\nUser deploy\n", ("both", "shop-1")),
    "the other address family": Case("AddressFamily inet6\nUser deploy\n", ("both", "shop-1")),
    "a revocation list": Case("RevokedHostKeys {F}/none\nUser deploy\n"),
    "no revocation list": Case("RevokedHostKeys none\nUser deploy\n"),
    "no key": Case("IdentityFile none\nIdentitiesOnly yes\nUser deploy\n", base=False),
    "no certificate": Case("CertificateFile none\nUser deploy\n"),
    "no alias": Case("HostKeyAlias none\nUser deploy\n", files={}),
    "an alias": Case("HostKeyAlias shop\nUser deploy\nUserKnownHostsFile {F}/shops\n", files={"shops": "@shops"}),
    "hostbased authentication": Case("HostbasedAuthentication yes\nEnableSSHKeysign yes\nUser deploy\n"),
    "host keys by DNS": Case("VerifyHostKeyDNS ask\nUser deploy\n"),
    "no public keys": Case("PubkeyAuthentication no\nUser deploy\n"),
    "another method": Case("PreferredAuthentications password\nUser deploy\n"),
    "no agent": Case("IdentityAgent none\nUser deploy\n"),
    "no proxy": Case("ProxyCommand none\nUser deploy\n"),
    "no jump host": Case("ProxyJump none\nUser deploy\n"),
    # Addresses
    "the second address of a name": Case("User deploy\n", ("second",)),
    "a first address that does not answer": Case("ConnectTimeout 2\nUser deploy\n", ("deaf",)),
    "addresses of both families": Case("User deploy\n", ("both",)),
    "an address": Case("Host 127.0.94.*\n User deploy\n", ("127.0.94.1", "127.0.94.2", "shop-1")),
    "an address of version 6": Case("Host ::1\n User deploy\n", ("::1", "0:0:0:0:0:0:0:1", "127.0.94.1")),
    "addresses written otherwise": Case("User deploy\n", ("127.0.94.1", "127.94.1", "0177.0.94.1", "0x7f.0.94.1")),
    "known under the address as ssh writes it": Case(
        "UserKnownHostsFile {F}/six\nUser deploy\n", ("0:0:0:0:0:0:0:1", "::1"), files={"six": "@six"}
    ),
    "known under the address in full": Case(
        "UserKnownHostsFile {F}/six\nUser deploy\n", ("0:0:0:0:0:0:0:1", "::1"), files={"six": "@six-in-full"}
    ),
    "an address by HostName": Case("Host six\n HostName 0:0:0:0:0:0:0:1\n User deploy\n", ("six", "::1")),
    # Ways there
    "a jump host": Case("Host shop-*\n ProxyJump hop@localhost:{hop}\n User deploy\n", SHOPS),
    "a jump host with a name of its own": Case(
        "Host shop-*\n ProxyJump bastion\n User deploy\nHost bastion\n HostName localhost\n Port {hop}\n User hop\n",
        SHOPS,
    ),
    "a jump host that refuses": Case("Host shop-*\n ProxyJump deploy@localhost:{hop}\n User deploy\n"),
    "a jump host as the login": Case("Host shop-*\n User hop\n ProxyJump %r@localhost:{hop}\n"),
    "a jump host by a URL": Case("Host shop-*\n ProxyJump ssh://hop@localhost:{hop}\n User deploy\n"),
    "two jump hosts": Case("Host shop-*\n ProxyJump hop@localhost:{hop},deploy@[::1]:{main}\n User deploy\n"),
    "a jump host in the fleet file": Case("User deploy\n", SHOPS, ssh={"jump": "hop@localhost:{hop}"}),
    "a command as proxy": Case(
        "ProxyCommand ssh -F {F}/hop -W [%h]:%p %r@localhost\nUser hop\n", SHOPS, files={"hop": "Port {hop}\n" + BASE}
    ),
    # The fleet file
    "the fleet file's login": Case("User deploy\n", SHOPS, ssh={"user": "admin", "port": "{tries}"}),
    "a login of a domain": Case("User CORP\\deploy\n"),
    "a login of a domain in the fleet file": Case("User deploy\n", ssh={"user": "CORP\\deploy"}),
    "the fleet file's key": Case("IdentityFile {K}/stranger\nUser app\n", SHOPS, ssh={"identity": "{K}/spare"}),
}
"""Host and Match lines, and what else ssh_config may say of where a name leads."""
REFUSED = {
    "an open quote", "a form feed before a keyword", "a line does not go on", "nothing behind Host", "an unknown keyword",
    "Include of itself", "a known_hosts file for each", "no known_hosts file", "a revocation list", "no key",
    "no public keys", "another method", "known under the address in full", "a jump host that refuses",
}  # fmt: skip
"""The cases in which ssh does not get in: in all others the two are equal for having reached the same."""


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, dict[str, Outcome]]:
    """Of the cases that are to be tested, all at once."""
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    }
    return compare({name: case for name, case in CONFIGS.items() if name in wanted})


@pytest.mark.found("field 1", "field 8")
@pytest.mark.parametrize("name", CONFIGS)
def test_we_reach_a_target_exactly_as_ssh_does(outcomes: dict[str, dict[str, Outcome]], name: str) -> None:
    first = next(iter(outcomes[name].values()))
    assert bool(first.login) == (name not in REFUSED), first.why
    for host, outcome in outcomes[name].items():
        assert outcome.our_why != "no end"
        assert outcome.our_settings == outcome.settings, f"{host}: {outcome.why}; ours: {outcome.our_why}"
        assert outcome.our_login == outcome.login, f"{host}: {outcome.why}; ours: {outcome.our_why}"
