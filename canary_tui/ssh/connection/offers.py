"""Puts the keys of the agent and of files in the order in which ssh offers them, each certificate with its signer.

As `pubkey_prepare` and `sign_and_send_pubkey` of OpenSSH do it:

1. certificates of CertificateFile
2. keys of the agent that an identity file names by its public half or certificate
3. the agent's other keys, unless IdentitiesOnly
4. identity files, each with its `-cert.pub` behind it, unless there is a CertificateFile

A certificate is signed for by whoever has its key, the agent before the file. A server hangs up after MaxAuthTries
keys, so that the order decides who gets in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from asyncssh import SSHCertificate, SSHKeyPair

from canary_tui.ssh.connection.keyring import Identity
from canary_tui.ssh.connection.private_parts import certified, public_data


@dataclass(slots=True)
class _Offer:
    """Something to be offered. `public` is its wire form; `signer` can sign for it, None where nobody is known to."""

    public: bytes
    signer: SSHKeyPair | None = None
    certificate: SSHCertificate | None = None


def in_order(
    identities: Iterable[Identity], certificates: Sequence[SSHCertificate], agent: Iterable[SSHKeyPair], *, only: bool
) -> list[SSHKeyPair]:
    """The keys to offer; those that nobody here can sign for are left out. `only`: IdentitiesOnly."""
    files = list(_of_files(identities, beside=not certificates))
    named, others = [], []
    for pair in agent:
        public = public_data(pair)
        offer = next((one for one in files if one.public == public), None)
        if offer is not None:
            files.remove(offer)
            named.append(_Offer(public, pair))
        elif not only:
            others.append(_Offer(public, pair))
    offers = [*(_Offer(public_data(one), None, one) for one in certificates), *named, *others, *files]
    return [usable for offer in offers if (usable := _pair(offer, offers)) is not None]


def _of_files(identities: Iterable[Identity], *, beside: bool) -> Iterator[_Offer]:
    for identity in identities:
        if identity.public:
            yield _Offer(identity.public, identity.pair, identity.in_its_place)
        if identity.certificate is not None and beside:
            yield _Offer(public_data(identity.certificate), None, identity.certificate)


def _pair(offer: _Offer, offers: list[_Offer]) -> SSHKeyPair | None:
    if offer.certificate is None:
        return offer.signer
    key = public_data(offer.certificate.key)
    signer = next((one.signer for one in offers if one.public == key and one.signer is not None), offer.signer)
    return None if signer is None else certified(signer, offer.certificate)
