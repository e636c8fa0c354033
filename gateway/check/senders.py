"""By what senders prove who they are: users file, servers that check passwords, client CAs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.expiry import validity
from gateway.check.finding import Finding, error, good, unknown, warning
from gateway.senders.users import read as read_users
from gateway.wiring import Wiring
from pki.anchors import load_certificates
from pki.certificate import ParsedCertificate
from pki.errors import DirectoryTrouble


def users(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """The users file: its rights, each line, and whether its addresses are ours."""
    path = wiring.config.auth.users
    if path is None:
        return
    found = read_users(path)  # raises for a mode or a line that is not right
    yield good("users", "{file}: {count} logins", file=str(path), count=str(len(found)))
    ours = wiring.config.gateway.domains
    for user in found.values():
        foreign = [one for one in user.addresses if one.rpartition("@")[2] not in ours]
        if foreign:
            yield warning(
                "users",
                "users.foreign",
                "{login} has {addresses}, in no domain of ours: nobody may send as that",
                login=user.login,
                addresses=", ".join(foreign),
            )


def login_directories(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """LDAP servers that check passwords: connected to."""
    for client in wiring.login_directories:
        subject = f"login directory {client.directory.name}"
        for url in client.directory.urls:
            try:
                client.probe(url)
            except DirectoryTrouble as trouble:
                facts = {**trouble.problem.facts, "url": url}
                yield unknown(
                    subject,
                    trouble.problem.code,
                    trouble.problem.template,
                    meaning="logins that only it can check are answered 454, to be tried again",
                    **facts,
                )
                continue
            yield good(subject, "{url} answers", url=url)


def clients(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """CAs of client certificates: valid, and with a CRL where names of theirs are trusted."""
    for each in wiring.config.clients:
        crls = wiring.trust.current().material.crls
        known = False
        for der in load_certificates(each.ca):
            yield validity(f"client {each.name}", der, moment)
            # Not by the name alone: two CAs may have one, and a CA with a new key has it still.
            ca = ParsedCertificate(der)
            known = known or any(crl.signed_by(ca) for crl in crls.get(ca.subject, ()))
        if each.names and not each.unsafe_no_revocation and not known:
            yield error(
                f"client {each.name}",
                "clients.no-crl",
                "no CRL of its CA is known: whether its certificates are revoked cannot be told, "
                "and they prove nothing",
                advice="name the CA under pki.intermediates and its CRL under [[pki.crls]], then "
                "sceau pki crl refresh",
            )
