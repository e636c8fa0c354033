"""What is asked of us and of a peer once more, with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from cryptography import x509

from tests.judges.paths.compare import Comparison, compare, openssl_peer
from tests.judges.paths.crl_facts import ReadCrl, crls, same_name, signers
from tests.judges.paths.facts import in_subject, may_lead_astray, san
from tests.judges.paths.generate import case
from tests.judges.paths.model import Case, Mend

_DEMANDS = (
    "acceptable",
    "require_explicit",
    "inhibit_mapping",
    "inhibit_any",
    "purpose",
    "address",
)
_NO_POLICY = 43  # X509_V_ERR_NO_EXPLICIT_POLICY

Again = Callable[[Comparison], list[Comparison]]


def mended(*mends: Mend) -> Again:
    """The same chain, made and signed once more with these things put right, beside those that
    have been. What was asked without revocation, with the path alone or of the leaf alone is
    asked so again, of what the caller demands stays what was put right, and CRLs that were
    taken away stay away.
    """

    def ask(one: Comparison) -> list[Comparison]:
        made = case(one.case.seed, one.case.number, (*one.case.mends, *mends))
        before = case(one.case.seed, one.case.number, one.case.mends)
        for demand in _DEMANDS:
            if getattr(one.case, demand) != getattr(before, demand):
                made = replace(made, **{demand: getattr(one.case, demand)})
        left = tuple(crl.der for crl in crls(made) if crl.mark not in one.case.taken)
        made = replace(made, crls=left, taken=one.case.taken)
        if not one.case.revocation:
            made = replace(made, revocation=False)
        again = one.again(made)
        if one.case.leaf_only:
            (asked,) = [
                der
                for der in (made.leaf, *made.others)
                if x509.load_der_x509_certificate(der).serial_number == one.leaf.serial_number
            ]
            return [certificate_alone(alone, asked) for alone in path_alone(again)]
        return path_alone(again) if one.case.path_alone else [again]

    return ask


def without(one: Comparison, taken: Iterable[ReadCrl]) -> Comparison:
    """These CRLs are taken away."""
    gone = {crl.der: crl.mark for crl in taken}
    left = tuple(der for der in one.case.crls if der not in gone)
    marks = one.case.taken | frozenset(gone.values())
    return one.again(replace(one.case, crls=left, taken=marks))


def without_any(one: Comparison, taken: Sequence[ReadCrl]) -> Iterator[Comparison]:
    """One of these CRLs is taken away, those of one key, or all but those: that is enough, or there
    is nothing.
    """
    keys = {crl.key for crl in taken}
    sets = [[crl] for crl in taken]
    sets += [[crl for crl in taken if crl.key == key] for key in keys]
    sets += [[crl for crl in taken if crl.key != key] for key in keys]
    for some in sets:
        again = without(one, some)
        if again.agree and again.ours.valid == one.ours.valid:
            yield again
            return


def path_alone(one: Comparison) -> list[Comparison]:
    """The peer is offered our path and nothing beside it.

    Who issues CRLs and no certificates stays, and so do all CRLs.
    """
    if not one.ours.path:
        return []  # we have none that could be offered alone
    anchor, *path = one.ours.path
    kept = tuple(der for der in one.case.others if der in path or not may_lead_astray(der))
    return [one.again(replace(one.case, anchors=(anchor,), others=kept, path_alone=True))]


def each_by_itself(one: Comparison) -> Iterator[Comparison]:
    """Our path without its CRLs; then of each certificate in it whether CRLs revoke that one.

    Who signed a CRL needs a path then, but openssl asks for no CRL of his: if one lists him there
    is nothing to ask.
    """
    listed = frozenset[tuple[int, str]]().union(*(crl.listed for crl in crls(one.case)))
    for cert, _ in signers(one.case, {*one.case.anchors, *one.ours.path}):
        if (cert.serial_number, same_name(cert.issuer)) in listed:
            return
    for alone in path_alone(one):
        yield alone.again(replace(alone.case, revocation=False))
        for cert in alone.ours.path[1:]:
            yield certificate_alone(alone, cert)


def each_below_its_issuer(one: Comparison) -> Iterator[Comparison]:
    """Our path without its CRLs; then of each certificate whether CRLs revoke it, its issuer being
    the anchor, without the CRLs of other keys of that issuer.
    """
    for alone in path_alone(one):
        yield alone.again(replace(alone.case, revocation=False))
        apart = tuple(der for der in alone.case.others if der not in alone.ours.path)
        for issuer, cert in pairwise(alone.ours.path):
            asked = replace(
                _free(alone.case), leaf=cert, anchors=(issuer,), others=apart,
                crls=_of_one_key(alone, issuer),
            )  # fmt: skip
            yield alone.again(asked)


def _of_one_key(one: Comparison, issuer: bytes) -> tuple[bytes, ...]:
    """All CRLs but those that other CAs in our path, of the name of this one, have signed."""
    this = x509.load_der_x509_certificate(issuer)
    path = [x509.load_der_x509_certificate(der) for der in one.ours.path if der != issuer]
    return tuple(
        crl.der
        for crl in crls(one.case)
        if crl.signed_by(this) or not any(crl.signed_by(other) for other in path)
        or crl.issuer != same_name(this.subject)
    )  # fmt: skip


def openssl_on_policies(one: Comparison) -> Iterator[Comparison]:
    """The same of openssl, where we have no path: it, too, finds that no policy is valid."""
    again = compare(replace(one.case, purpose=None), openssl_peer(), one.folder)
    if again.error[0] == _NO_POLICY:
        yield again


def openssl_of_the_path(one: Comparison) -> Iterator[Comparison]:
    """What openssl says of our path alone, where the words of a peer cannot be mended."""
    for alone in path_alone(one):
        yield compare(alone.case, openssl_peer(), alone.folder)


def certificate_alone(one: Comparison, cert: bytes) -> Comparison:
    """Whether one of our path is good, whatever it is for, as if there were nothing below it."""
    path = one.ours.path
    below = path[path.index(cert) :] if cert in path else (cert,)
    others = tuple(der for der in one.case.others if der not in below)
    return one.again(replace(_free(one.case), leaf=cert, others=others, leaf_only=True))


def _free(case: Case) -> Case:
    """Nobody demands policies, a purpose or an address."""
    return replace(
        case, acceptable=frozenset(), require_explicit=False, inhibit_mapping=False,
        inhibit_any=False, purpose=None,
    )  # fmt: skip


def as_written(one: Comparison) -> list[Comparison]:
    """The caller writes the address as the certificate does."""
    return [
        one.again(replace(one.case, address=text))
        for text in [*san(one), *in_subject(one)]
        if text.casefold() == one.case.address.casefold()
    ][:1]


def without_policies(one: Comparison) -> list[Comparison]:
    """The caller demands no policy; and demands them, but asks for no CRL."""
    free = replace(one.case, acceptable=frozenset(), require_explicit=False)
    return [one.again(free), one.again(replace(one.case, revocation=False))]
