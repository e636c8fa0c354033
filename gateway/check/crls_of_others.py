"""Authorities whose CRLs somebody else publishes (indirect CRLs, RFC 5280 §4.2.1.13, §5.2.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from gateway.check.finding import Finding, error, good, warning
from gateway.wiring import Wiring
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, PkiError
from pki.path import Material, find_path
from pki.store import newest_certificates

_LOOKED_AT = 2000  # certificates, newest first
_EACH = 5  # of one authority


def published_by_others(
    wiring: Wiring, names: Sequence[str], moment: datetime
) -> dict[str, Finding]:
    """What is to be said of authorities that have no CRL of their own, where an indirect one is
    known; of the others nothing.

    That somebody else publishes it stands in what the authority issued, not in its own
    certificate: some of its certificates that are known here are judged as mail would be.
    """
    material = wiring.trust.current().material
    publishers = [
        crl.issuer_text for crls in material.crls.values() for crl in crls if crl.scope.indirect
    ]
    if not names or not publishers:
        return {}
    samples: dict[str, list[ParsedCertificate]] = {name: [] for name in names}
    for cert in _known(wiring, material):
        wanted = samples.get(cert.issuer_text)
        if wanted is not None and len(wanted) < _EACH and cert.subject != cert.issuer:
            if cert.not_before <= moment <= cert.not_after:
                wanted.append(cert)
            if all(len(each) == _EACH for each in samples.values()):
                break
    found = {name: _judged(name, certs, material, moment) for name, certs in samples.items()}
    for name, certs in samples.items():
        if not certs:
            found[name] = warning(
                "crls",
                "crl.indirect-unknown",
                "no CRL of {issuer} is known, and no certificate of it that would say whether "
                "that of {publisher} speaks for it",
                meaning="if it does not, mail to people whom it certified waits",
                advice="ask the CA who publishes its CRL: if it does, name the source under "
                "[[pki.crls]]",
                issuer=name,
                publisher=", ".join(dict.fromkeys(publishers)),
            )
    return {name: finding for name, finding in found.items() if finding is not None}


def _known(wiring: Wiring, material: Material) -> Iterator[ParsedCertificate]:
    for certs in material.intermediates.values():
        yield from certs
    ders = [each.der for each in wiring.certificates if each.kind == "seal"]
    with wiring.database.read() as conn:
        ders += newest_certificates(conn, _LOOKED_AT)
    for der in ders:
        try:
            yield ParsedCertificate(der)
        except CertificateRefused:
            continue


def _judged(
    name: str, certs: Sequence[ParsedCertificate], material: Material, moment: datetime
) -> Finding | None:
    """None: no indirect CRL has anything to say of these certificates."""
    spoke: dict[str, None] = {}
    told = False
    for cert in certs:
        try:
            path = find_path(cert, material, moment=moment)
        except CannotJudge as doubt:
            why = doubt.problem
            if why.code == "revocation.missing" and why.facts.get("issuer") == name:
                return None
            return error(
                "crls",
                "crl.cannot-tell",
                why.template,
                meaning="mail waits: its CRL is published by somebody else, if at all",
                advice="name the sources of all CRLs of its CA under [[pki.crls]], then sceau pki "
                "crl refresh",
                **why.facts,
            )
        except PkiError as refusal:
            told = told or refusal.problem.code == "revocation.revoked"
            continue
        said = [
            one.issuer
            for one in path.revocation
            if one.kind == "crl" and one.subject == cert.subject_text
        ]
        spoke |= dict.fromkeys(said)
        told = told or bool(said)
    if not told:
        return None
    return good(
        "crls",
        "the CRL of {issuer} is published by {publisher}",
        issuer=name,
        publisher=", ".join(spoke) or "-",
    )
