"""What CRLs of every kind say of a certificate (RFC 5280 §6.3.3), now and at a past moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, CrlRefused, PkiError
from pki.path import Material, ValidPath, find_path
from tests.crl_maker import OTHERS, Reason, crl, entry, points, rdn, scope
from tests.pki_maker import DAY, HARD_FAIL, NOW, Authority, Issued, dn, root, usage

ROOT = root()
CA = ROOT.sub("Issuing CA")
CLEAN_ROOT = crl(ROOT)


def marie(*at: x509.DistributionPoint, ca: Authority = CA) -> Issued:
    extra = ((x509.CRLDistributionPoints(at), False),) if at else ()
    return ca.issue("Marie", emails=("marie@a.example",), extra=extra)


def path(
    cert: Issued,
    *crls: bytes,
    more: Sequence[Issued] = (),
    moment: datetime = NOW,
    grace: timedelta = HARD_FAIL,
) -> ValidPath:
    return find_path(
        ParsedCertificate(cert.der),
        Material(
            [ROOT.anchor(grace=grace)],
            [CA.der, *(one.der for one in more)],
            [Crl(one) for one in (CLEAN_ROOT, *crls)],
        ),
        moment=moment,
    )


def spoke(cert: Issued, *crls: bytes, **more: object) -> list[int | None]:
    """Numbers of the CRLs that spoke for the certificate itself."""
    found = path(cert, *crls, **more)  # type: ignore[arg-type]
    return [one.number for one in found.revocation if "Marie" in one.subject]


def doubt(cert: Issued, *crls: bytes, **more: object) -> str:
    with pytest.raises(CannotJudge) as raised:
        path(cert, *crls, **more)  # type: ignore[arg-type]
    return raised.value.problem.code


def revoked(cert: Issued, *crls: bytes, **more: object) -> str:
    with pytest.raises(CertificateRefused) as raised:
        path(cert, *crls, **more)  # type: ignore[arg-type]
    assert raised.value.problem.code == "revocation.revoked"
    return raised.value.problem.text


# -- complete and delta (§5.2.4) -----------------------------------------------------------------


def test_delta_adds_to_the_complete_one() -> None:
    cert = marie()
    assert spoke(cert, crl(CA, number=5), crl(CA, number=7, base=5)) == [5, 7]
    assert "CRL no. 7" in revoked(cert, crl(CA, number=5), crl(CA, entry(cert), number=7, base=5))
    assert "CRL no. 5" in revoked(cert, crl(CA, entry(cert), number=5), crl(CA, number=7, base=5))


def test_delta_lifts_a_hold_while_it_is_current() -> None:
    cert = marie()
    held = crl(CA, entry(cert, "certificateHold"), number=5)
    lifts = entry(cert, "removeFromCRL")
    assert "is on hold since 2026-05-31 12:00 UTC (certificateHold" in revoked(cert, held)
    assert spoke(cert, held, crl(CA, lifts, number=7, base=5)) == [5, 7]
    stale = crl(CA, lifts, number=7, base=5, start=NOW - 9 * DAY, end=NOW - DAY / 2)
    assert "on hold" in revoked(cert, held, stale)  # a new hold may have followed
    later = crl(CA, entry(cert, "certificateHold"), number=8, base=5, start=NOW - DAY / 2)
    assert "CRL no. 8" in revoked(cert, held, crl(CA, lifts, number=7, base=5), later)


def test_verdict_lasts_as_long_as_the_delta() -> None:
    """What the delta has lifted is on hold again, as far as we can tell, when it has run out."""
    cert = marie()
    held = crl(CA, entry(cert, "certificateHold"), number=5)
    ends = NOW + timedelta(hours=1)
    lifts = crl(CA, entry(cert, "removeFromCRL"), number=7, base=5, end=ends)
    found = path(cert, held, lifts)
    assert ends <= found.until < ends + timedelta(seconds=1)
    revoked(cert, held, lifts, moment=ends + timedelta(minutes=1))


def test_delta_that_does_not_belong_to_the_complete_one() -> None:
    cert = marie()
    old = crl(CA, number=5, start=NOW - 9 * DAY, end=NOW - DAY)
    # What happened between no. 5 and no. 6 stands in neither of them.
    assert doubt(cert, old, crl(CA, number=8, base=6)) == "revocation.stale"
    assert spoke(cert, old, crl(CA, number=8, base=5)) == [5, 8]
    assert doubt(cert, crl(CA, number=8, base=6)) == "revocation.no-base"
    # But what it lists is revoked, whatever is missing.
    assert "CRL no. 8" in revoked(cert, crl(CA, entry(cert), number=8, base=6))
    # An older delta is replaced: its hold was lifted before the complete one was made.
    hold = crl(CA, entry(cert, "certificateHold"), number=4, base=3, start=NOW - 2 * DAY)
    assert spoke(cert, crl(CA, number=5), hold) == [5]


def test_delta_of_another_scope_or_key_completes_nothing() -> None:
    cert = marie()
    held = crl(CA, entry(cert, "certificateHold"), number=5)
    users = scope(only_contains_user_certs=True)
    lifts = entry(cert, "removeFromCRL")
    assert "on hold" in revoked(cert, held, crl(CA, lifts, number=7, base=5, point=users))
    other = ROOT.sub("Issuing CA", ca_key=ROOT.sub("Second key").key)
    lifted = crl(other, lifts, number=7, base=5)
    assert "on hold" in revoked(cert, held, lifted, more=[other])


# -- scopes and partitions (§5.2.5) --------------------------------------------------------------


def test_scope_by_kind_of_certificate() -> None:
    cert = marie()
    users = crl(CA, number=3, point=scope(only_contains_user_certs=True))
    cas = crl(CA, number=4, point=scope(only_contains_ca_certs=True))
    assert spoke(cert, users, cas) == [3]
    assert doubt(cert, cas) == "revocation.missing"


def test_partition_by_place() -> None:
    here, there = "http://a.example/1.crl", "http://a.example/2.crl"
    cert = marie(points(uri=here))
    assert spoke(cert, crl(CA, number=1, point=scope(uri=here))) == [1]
    assert doubt(cert, crl(CA, number=2, point=scope(uri=there))) == "revocation.missing"
    assert spoke(cert, crl(CA, number=3)) == [3]
    assert doubt(marie(), crl(CA, number=1, point=scope(uri=here))) == "revocation.missing"


def test_place_named_relative_to_the_issuer() -> None:
    cert = marie(points(relative="Part 1"))
    assert spoke(cert, crl(CA, number=1, point=scope(relative_name=rdn("Part 1")))) == [1]
    full = x509.DirectoryName(x509.Name([*CA.cert.subject.rdns, rdn("Part 1")]))
    assert spoke(cert, crl(CA, number=2, point=scope(full_name=[full]))) == [2]
    other = crl(CA, point=scope(relative_name=rdn("Part 2")))
    assert doubt(cert, other) == "revocation.missing"


def test_all_reasons_together_acquit() -> None:
    keys = crl(CA, number=1, point=scope(only_some_reasons=frozenset({Reason.key_compromise})))
    others = crl(CA, number=2, point=scope(only_some_reasons=OTHERS))
    cert = marie()
    assert spoke(cert, keys, others) == [2, 1]
    assert doubt(cert, keys) == doubt(cert, others) == "revocation.reasons"
    with pytest.raises(CannotJudge, match=r"\(keyCompromise missing\)"):
        path(cert, others)
    listed = crl(CA, entry(cert, "superseded"), number=3, point=scope(only_some_reasons=OTHERS))
    assert "(superseded)" in revoked(cert, listed)  # it condemns without the other one


def test_reasons_of_the_point_limit_what_a_crl_says() -> None:
    """§6.3.3 (d): the intersection of what the certificate and the CRL say."""
    some = frozenset({Reason.key_compromise})
    uri = "http://a.example/k.crl"
    cert = marie(points(uri=uri, reasons=some))
    assert doubt(cert, crl(CA, number=1, point=scope(uri=uri))) == "revocation.reasons"
    assert spoke(cert, crl(CA, number=1, point=scope(uri=uri)), crl(CA, number=2)) == [2]


# -- indirect CRLs and signers with certificates of their own -------------------------------------

SIGNER = ROOT.issue("CRL Signer", key_usage=usage("crl_sign"), extended=None)
INDIRECT = scope(indirect_crl=True)


def test_indirect_crl_counts_where_the_certificate_names_its_issuer() -> None:
    cert = marie(points(crl_issuer="CRL Signer"))
    clean = crl(SIGNER, number=9, point=INDIRECT)
    assert spoke(cert, clean, more=[SIGNER]) == [9]
    assert doubt(marie(), clean, more=[SIGNER]) == "revocation.missing"
    direct = crl(SIGNER, number=9)  # §6.3.3 (b)(1): indirectCRL must be asserted
    assert doubt(cert, direct, more=[SIGNER]) == "revocation.missing"
    assert doubt(cert, clean) == "revocation.signature"  # nobody with that name is known


def test_certificate_issuer_holds_for_the_entries_that_follow() -> None:
    """§5.3.3: the same serial number of another CA is another certificate."""
    cert = marie(points(crl_issuer="CRL Signer"))
    mine, theirs = entry(cert), entry(cert, of=dn("Other CA"))
    named = entry(cert, of=dn("Issuing CA"))

    def said(*listed: object) -> bytes:
        return crl(SIGNER, *listed, number=9, point=INDIRECT)  # type: ignore[arg-type]

    assert spoke(cert, said(mine), more=[SIGNER]) == [9]  # of the signer itself
    assert spoke(cert, said(theirs, mine), more=[SIGNER]) == [9]
    revoked(cert, said(named), more=[SIGNER])
    first = entry(SIGNER, of=dn("Issuing CA"))
    revoked(cert, said(first, mine), more=[SIGNER])
    revoked(cert, said(theirs, named), more=[SIGNER])


def test_certificate_issuer_in_a_direct_crl_is_refused() -> None:
    cert = marie()
    with pytest.raises(CrlRefused, match=r"critical extension 2\.5\.29\.29"):
        Crl(crl(CA, entry(cert, of=dn("Other CA"))))


def test_signer_needs_crl_sign_a_path_and_must_not_be_revoked() -> None:
    cert = marie(points(crl_issuer="CRL Signer"))
    lame = ROOT.issue("CRL Signer", key_usage=usage("digital_signature"), extended=None)
    clean = crl(SIGNER, number=9, point=INDIRECT)
    assert doubt(cert, clean, more=[lame]) == "revocation.signature"
    stranger = root("Stranger").issue("CRL Signer", key_usage=usage("crl_sign"), extended=None)
    assert doubt(cert, clean, more=[stranger]) == "revocation.signature"
    with pytest.raises(PkiError) as refused:
        path(cert, clean, crl(ROOT, entry(SIGNER), number=2, start=NOW), more=[SIGNER])
    assert refused.value.problem.code == "revocation.signature"


def test_signer_must_be_of_the_same_anchor() -> None:
    """§6.3.3 (f): an anchor that is trusted for its own people clears nobody else's."""
    other = root("Other root")
    signer = other.issue("CRL Signer", key_usage=usage("crl_sign"), extended=None)
    cert = marie(points(crl_issuer="CRL Signer"))
    material = Material(
        [ROOT.anchor(), other.anchor()],
        [CA.der, signer.der],
        [Crl(one) for one in (CLEAN_ROOT, crl(other), crl(signer, point=INDIRECT))],
    )
    with pytest.raises(CannotJudge) as raised:
        find_path(ParsedCertificate(cert.der), material, moment=NOW)
    assert raised.value.problem.code == "revocation.signature"


def test_a_ca_does_not_clear_itself() -> None:
    """A stolen CA key whose certificate names the CA as its own CRL issuer."""
    point = (x509.CRLDistributionPoints([points(crl_issuer="Own CA")]), False)
    own = ROOT.sub("Own CA", extra=(point,))
    cert = marie(ca=own)
    own_crl = crl(own, number=1, point=INDIRECT)
    only_own = Material([ROOT.anchor()], [own.der], [Crl(own_crl)])
    with pytest.raises(CannotJudge):
        find_path(ParsedCertificate(cert.der), only_own, moment=NOW)


def test_signers_whose_crls_have_other_signers_come_to_an_end() -> None:
    """Forty signers, each to be cleared by the next, in a circle."""
    count = 40
    signers = [
        ROOT.issue(
            f"Signer {number}",
            key_usage=usage("crl_sign"),
            extended=None,
            extra=(
                (
                    x509.CRLDistributionPoints(
                        [points(crl_issuer=f"Signer {(number + 1) % count}")]
                    ),
                    False,
                ),
            ),
        )
        for number in range(count)
    ]
    cert = marie(points(crl_issuer="Signer 0"))
    material = Material(
        [ROOT.anchor()],
        [CA.der, *(one.der for one in signers)],
        [Crl(crl(one, point=INDIRECT)) for one in signers]
        + [Crl(crl(ROOT, point=scope(uri="x:")))],
    )
    with pytest.raises(CannotJudge):
        find_path(ParsedCertificate(cert.der), material, moment=NOW)


# -- moments -------------------------------------------------------------------------------------


def test_later_crl_condemns_what_was_revoked_by_the_moment_and_acquits_nobody() -> None:
    cert = marie()
    then = crl(CA, number=1, start=NOW - DAY, end=NOW + DAY)
    before, after = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    out_later = {"number": 2, "start": NOW + DAY, "end": NOW + 9 * DAY}
    assert "CRL no. 2" in revoked(cert, then, crl(CA, entry(cert, when=before), **out_later))  # type: ignore[arg-type]
    assert spoke(cert, then, crl(CA, entry(cert, when=after), **out_later)) == [1]  # type: ignore[arg-type]
    stolen = entry(cert, when=after, invalid_from=before)
    text = revoked(cert, then, crl(CA, stolen, **out_later))  # type: ignore[arg-type]
    assert "invalid from 2026-06-01 11:00 UTC" in text
    assert doubt(cert, crl(CA, **out_later)) == "revocation.missing"  # type: ignore[arg-type]


def test_crl_of_the_moment_condemns_whatever_date_it_writes() -> None:
    """A CA with a wrong clock that says "revoked from tomorrow" has said that it is revoked."""
    cert = marie()
    revoked(cert, crl(CA, entry(cert, when=NOW + DAY)))


def test_stale_revocation_stays_and_stale_hold_gives_way_to_fresh_crls() -> None:
    cert = marie()
    second = ROOT.sub("Issuing CA", ca_key=ROOT.sub("Second key").key)
    fresh = crl(second, number=8)
    old = {"start": NOW - 30 * DAY, "end": NOW - 20 * DAY}
    stale = crl(CA, entry(cert), **old)  # type: ignore[arg-type]
    revoked(cert, stale, fresh, more=[second])
    held = crl(CA, entry(cert, "certificateHold"), **old)  # type: ignore[arg-type]
    assert spoke(cert, held, fresh, more=[second]) == [8]
    revoked(cert, held, more=[second])


def test_grace_holds_for_complete_and_delta() -> None:
    cert = marie()
    old = crl(CA, number=5, start=NOW - 9 * DAY, end=NOW - 4 * DAY)
    delta = crl(CA, number=7, base=5, start=NOW - 3 * DAY, end=NOW - DAY)
    assert doubt(cert, old, delta) == "revocation.stale"
    assert spoke(cert, old, delta, grace=2 * DAY) == [5, 7]
    assert doubt(cert, old, grace=2 * DAY) == "revocation.stale"


def test_what_was_found_out_about_a_ca_holds_for_its_moment_and_anchor_alone() -> None:
    """It is remembered: an import asks it of the same CA 200,000 times."""
    leaf = ParsedCertificate(marie().der)
    late = ROOT.crl(1, end=NOW + DAY), crl(CA)
    lenient = Material([ROOT.anchor(grace=10 * DAY)], [CA.der], [Crl(one) for one in late])
    strict = lenient.with_anchors([ROOT.anchor()])

    for moment in (NOW, NOW + 2 * DAY, NOW):
        find_path(leaf, lenient, moment=moment)
    find_path(leaf, strict, moment=NOW)

    with pytest.raises(CannotJudge) as raised:
        find_path(leaf, strict, moment=NOW + 2 * DAY)
    assert raised.value.problem.code == "revocation.stale"


def test_a_crl_without_end_has_no_end_with_grace_either() -> None:
    """RFC 5280 §4.1.2.5 writes "no end" as the last second of the calendar."""
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    cert = marie()
    complete = crl(CA, number=5, end=never)
    assert spoke(cert, complete, grace=2 * DAY) == [5]
    assert spoke(cert, complete, crl(CA, number=7, base=5, end=never), grace=2 * DAY) == [5, 7]


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        ("2.5.29.21", b"\x0a\x01\x07"),  # reasonCode 7 is not used (§5.3.1)
        ("2.5.29.21", b"\x0a\x01\x2a"),
        ("2.5.29.21", b"\xff\xff"),
        ("2.5.29.24", b"\x17\x0d260101000000Z"),  # invalidityDate is a GeneralizedTime
        ("2.5.29.29", b"\x30\x02\xa3\x00"),
    ],
)
def test_an_entry_with_an_unreadable_extension_revokes_all_the_same(oid: str, value: bytes) -> None:
    cert, other = marie(), CA.issue("Paul", emails=("paul@a.example",))

    def odd(point: x509.IssuingDistributionPoint | None = None) -> bytes:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        entry_ = x509.RevokedCertificateBuilder().serial_number(cert.cert.serial_number)
        entry_ = entry_.revocation_date(NOW - DAY).add_extension(extension, critical=False)
        builder = x509.CertificateRevocationListBuilder().issuer_name(CA.cert.subject)
        builder = builder.last_update(NOW - DAY).next_update(NOW + DAY)
        if point is not None:
            builder = builder.add_extension(point, critical=True)
        signed = builder.add_revoked_certificate(entry_.build()).sign(CA.key, hashes.SHA256())
        return signed.public_bytes(Encoding.DER)

    assert "unspecified" in revoked(cert, odd())
    assert path(other, odd()).revocation
    # In an indirect one nobody could tell whose entries those are that follow.
    with pytest.raises(CrlRefused):
        Crl(odd(scope(indirect_crl=True)))
