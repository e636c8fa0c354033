"""What is asked once more where it is CRLs that we and a peer disagree about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.judges.paths import mends
from tests.judges.paths.compare import Comparison
from tests.judges.paths.crl_facts import certificates, crls, same_name
from tests.judges.paths.facts_revocation import (
    Rivalry,
    another_key,
    another_scope,
    another_time,
    condemned,
    listing,
    of_two_keys,
    rivals,
    signers_apart,
)
from tests.judges.paths.questions import (
    Again,
    certificate_alone,
    each_below_its_issuer,
    mended,
    without,
    without_any,
)


def without_rivals(one: Comparison, rivalry: Rivalry) -> Iterator[Comparison]:
    """Without them the peer, too, says revoked: nothing at all if it refuses for another reason.

    Of several paths that failed it may tell about another one, so it is asked about who is revoked
    alone as well.
    """
    again = without(one, rivals(one, rivalry))
    if not again.says_revoked and not again.theirs.valid:
        again = without(_condemned_alone(one), rivals(one, rivalry))
    if again.theirs.valid or again.says_revoked:
        yield again


def without_other_scopes(one: Comparison) -> Iterator[Comparison]:
    """The same of CRLs of another scope. Where a certificate names who else signs CRLs, Bouncy
    Castle insists on his, so it is also asked about one that names nobody, there without what any
    of the CRLs left may say otherwise; and who signs CRLs may need the one that was taken away, so
    openssl is also asked for no CRL but that of who is revoked.
    """

    def naming_nobody() -> Comparison:
        (again,) = mended(mends.no_crl_issuers)(one)
        return again if again.says_revoked else without(again, rivals(again, another_time))

    asked = [
        lambda: without(one, rivals(one, another_scope)),
        naming_nobody,
        lambda: without(_condemned_alone(one), rivals(one, another_scope)),
    ]
    for ask in asked:
        again = ask()
        if again.says_revoked:
            yield again
            return


def without_critical_issuers(one: Comparison) -> Iterator[Comparison]:
    """The same entries with certificateIssuer not critical: the peer, too, says revoked."""
    (again,) = mended(mends.certificate_issuers_not_critical)(one)
    if again.says_revoked:
        yield again


def without_bad_signers(one: Comparison) -> Iterator[Comparison]:
    """Without the CRLs of somebody whose own certificate the peer refuses as we do."""
    for cert, crl in signers_apart(one):
        himself = certificate_alone(one, cert.public_bytes(Encoding.DER))
        if not himself.theirs.valid and not himself.ours.valid:
            yield without(one, [crl])
            return


def without_refused_signers(one: Comparison) -> Iterator[Comparison]:
    """Without those who may sign CRLs alone and whose certificates we refuse, too, and their CRLs.

    If we believed one of these, we would know less now, and that proves nothing.
    """
    gone, signed = set[bytes](), set[bytes]()
    for cert, crl in signers_apart(one):
        himself = certificate_alone(one, cert.public_bytes(Encoding.DER))
        if not _is_ca(cert) and not himself.theirs.valid and not himself.ours.valid:
            gone.add(cert.public_bytes(Encoding.DER))
            signed.add(crl.der)
    if gone:
        others = tuple(der for der in one.case.others if der not in gone)
        left = tuple(der for der in one.case.crls if der not in signed)
        yield one.again(replace(one.case, others=others, crls=left))


def or_signed_by_the_cas(ask: Callable[[Comparison], Iterable[Comparison]]) -> Again:
    """What `ask` asks, if all agree then; else the chain once more, its CAs signing all CRLs."""

    def asked(one: Comparison) -> list[Comparison]:
        found = list(ask(one))
        if found and all(again.agree for again in found):
            return found
        return mended(mends.no_signers_apart)(one)

    return asked


def without_self_clearing(one: Comparison) -> Iterator[Comparison]:
    """A CA's certificate that the peer takes by itself, without the CRLs of that very key."""
    for cert, _ in signers_apart(one):
        if not _is_ca(cert) or same_name(cert.subject) != same_name(cert.issuer):
            continue
        himself = certificate_alone(one, cert.public_bytes(Encoding.DER))
        if himself.theirs.valid and himself.ours.why.startswith("revocation."):
            own = [crl for crl in crls(one.case) if crl.signed_by(cert)]
            yield without(himself, own)
            return


def without_other_keys(one: Comparison) -> Iterator[Comparison]:
    """Without CRLs by other keys the peer says revoked; or it never believes the CRL that lists
    him, which his issuer's other key did sign, and without that one nobody says revoked.
    """
    asked = list(without_rivals(one, another_key))
    known = certificates(one.case)
    if any(again.says_revoked for again in asked):
        yield from asked
    elif all(any(map(crl.signed_by, known)) for crl in listing(one)):
        yield without(one, listing(one))


def with_one_key(one: Comparison) -> Iterator[Comparison]:
    """Without a CRL or those of one key the peer agrees, perhaps only if the anchor stands among
    the certificates, too, where it looks for who signed a CRL; or it agrees of each certificate,
    offered the CRLs of the key that issued it.
    """
    asked = list(without_any(one, of_two_keys(one)))
    if not asked:
        known = one.again(replace(one.case, others=(*one.case.others, *one.case.anchors)))
        asked = [known] if known.agree else list(without_any(known, of_two_keys(known)))
    yield from asked or each_below_its_issuer(one)


def _condemned_alone(one: Comparison) -> Comparison:
    cert = condemned(one)
    assert cert is not None
    return certificate_alone(one, cert.public_bytes(Encoding.DER))


def _is_ca(cert: x509.Certificate) -> bool:
    return any(
        isinstance(one.value, x509.BasicConstraints) and one.value.ca for one in cert.extensions
    )
