"""OCSP (RFC 6960): forged, replayed and odd responses. None of them may make a certificate good."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.x509 import ocsp as peer
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.anchors import RevocationSources
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.der_writing import octets, sequence
from pki.errors import CannotJudge, CertificateRefused, OcspRefused, PkiError
from pki.ocsp import MAX_OCTETS, OcspResponse
from pki.ocsp_id import SHA1, SHA256, CertId
from pki.ocsp_judge import accept_answer
from pki.ocsp_known import ResponsesGiven
from pki.ocsp_request import request
from pki.path import Material, Revocation, ValidPath, find_path
from tests.ocsp_maker import Answer, error, responder, wrapped
from tests.pace import at_most
from tests.pki_maker import DAY, NOW, Authority, Issued, key, root, usage

HOUR = timedelta(hours=1)


class World(NamedTuple):
    ca: Authority
    sister: Authority
    cert: Issued
    other: Issued
    delegate: Issued


@cache
def world() -> World:
    ca, sister = root("OCSP Root"), root("Sister Root")
    return World(
        ca,
        sister,
        ca.issue("Anna", emails=("anna@b.example",)),
        ca.issue("Bruno", emails=("bruno@b.example",)),
        responder(ca),
    )


def good(**changes: object) -> Answer:
    w = world()
    return Answer(w.cert, w.ca, w.delegate).but(**changes)


def validate(
    *answers: Answer | bytes,
    sources: RevocationSources = RevocationSources.OCSP,
    crls: tuple[bytes, ...] = (),
    moment: datetime = NOW,
    grace: timedelta = timedelta(),
    known: tuple[Issued, ...] = (),
    revocation: Revocation = Revocation.REQUIRE,
) -> ValidPath:
    """A path to Anna's certificate with these responses."""
    w = world()
    anchor = replace(w.ca.anchor(grace=grace), sources=sources)
    given = [OcspResponse(a if isinstance(a, bytes) else a.der(), "test") for a in answers]
    material = Material(
        [anchor], [one.der for one in known], [Crl(crl) for crl in crls], ResponsesGiven(given)
    )
    return find_path(ParsedCertificate(w.cert.der), material, moment=moment, revocation=revocation)


def code(fails: Callable[[], object]) -> str:
    with pytest.raises(PkiError) as refused:
        fails()
    assert isinstance(refused.value, CannotJudge | CertificateRefused | OcspRefused)
    return refused.value.problem.code


# -- what is good --------------------------------------------------------------------------------


def test_a_delegated_responder_and_what_the_record_keeps() -> None:
    answer = good()
    (evidence,) = validate(answer).revocation
    assert evidence.kind == "ocsp"
    assert "Responder" in evidence.responder
    assert evidence.issuer == ParsedCertificate(world().ca.der).subject_text
    assert evidence.produced_at == NOW - HOUR
    assert evidence.next_update == NOW + DAY
    assert evidence.sha256 == OcspResponse(answer.der()).sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"by_key": False},
        {"algorithm": SHA1},
        {"certificates": ()},  # known from elsewhere
        {"nonce": b"x" * 32},
    ],
    ids=["byName", "SHA-1 CertID", "without certificates", "nonce"],
)
def test_good(changes: dict[str, object]) -> None:
    assert validate(good(**changes), known=(world().delegate,)).revocation


def test_the_ca_itself() -> None:
    assert validate(good(by=world().ca, certificates=()))
    assert validate(good(by=world().ca, by_key=False, certificates=()))


def test_an_ec_responder() -> None:
    w = world()
    by = w.ca.issue(
        "EC Responder",
        kind="ec",
        key_usage=usage("digital_signature"),
        extended=(ExtendedKeyUsageOID.OCSP_SIGNING,),
        extra=((x509.OCSPNoCheck(), False),),
    )
    assert validate(good(by=by))


def test_without_next_update_it_holds_for_an_hour() -> None:
    answer = good(next_update=None, this_update=NOW, produced_at=NOW)
    assert validate(answer, moment=NOW + HOUR).until == NOW + HOUR
    late = NOW + HOUR + timedelta(seconds=1)
    assert code(lambda: validate(answer, moment=late)) == "revocation.ocsp-stale"


def test_several_single_responses_one_of_them_about_it() -> None:
    w = world()
    others = (good(cert=w.other, status="revoked"),)
    assert validate(good(more=others))
    assert validate(good(cert=w.other, status="revoked", more=(good(),)))


# -- what is forged: none is accepted ------------------------------------------------------------


def _forgeries() -> dict[str, Answer]:
    w = world()
    cert, ca = ParsedCertificate(w.cert.der), ParsedCertificate(w.ca.der)
    right = CertId.naming(cert, ca)
    sister = CertId.naming(ParsedCertificate(w.cert.der), ParsedCertificate(w.sister.der))
    no_eku = w.ca.issue("Plain", subject_key=key("plain"))
    any_eku = responder(w.ca, "Any", extended=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))
    below = w.ca.sub("Below")
    expired = responder(w.ca, "Expired", start=NOW - 30 * DAY, end=NOW - DAY)
    future = responder(w.ca, "Future", start=NOW + DAY)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    critical = responder(w.ca, "Critical", extra=((unknown, True),))
    no_sign = responder(w.ca, "No sign", key_usage=usage("key_agreement"))
    forged = key("forger")
    return {
        "another serial": good(cert_id=CertId(right.algorithm, right.name_hash, right.key_hash, 7)),
        "another issuer's key": good(
            cert_id=CertId(right.algorithm, right.name_hash, sister.key_hash, right.serial)
        ),
        "another issuer's name": good(
            cert_id=CertId(right.algorithm, bytes(32), right.key_hash, right.serial)
        ),
        "about another certificate": good(cert=w.other),
        "sister CA's responder": good(by=responder(w.sister, "Sister Responder")),
        "sister CA itself": good(by=w.sister),
        "responder of a CA below": good(by=responder(below, "Below Responder")),
        "not a responder": good(by=no_eku),
        "anyExtendedKeyUsage only": good(by=any_eku),
        "the certificate itself": good(by=w.cert),
        "expired delegate": good(by=expired),
        "delegate of the future": good(by=future),
        "delegate with an unknown critical extension": good(by=critical),
        "delegate whose key may not sign": good(by=no_sign),
        "signed by another key": good(signing_key=forged),
        "signed by another key as the CA": good(by=w.ca, signing_key=forged, certificates=()),
        "responder named that is not the signer": good(
            by_key=False, name=w.other.cert.subject
        ),
        "old": good(next_update=NOW - HOUR, this_update=NOW - DAY, produced_at=NOW - DAY),
        "of the future": good(this_update=NOW + HOUR, produced_at=NOW + HOUR),
        "produced in the future": good(produced_at=NOW + HOUR),
        "status unknown": good(status="unknown"),
        "without nextUpdate, of yesterday": good(
            next_update=None, this_update=NOW - DAY, produced_at=NOW - DAY
        ),
    }  # fmt: skip


FORGERIES = [
    "another serial", "another issuer's key", "another issuer's name",
    "about another certificate", "sister CA's responder", "sister CA itself",
    "responder of a CA below", "not a responder", "anyExtendedKeyUsage only",
    "the certificate itself", "expired delegate", "delegate of the future",
    "delegate with an unknown critical extension", "delegate whose key may not sign",
    "signed by another key", "signed by another key as the CA",
    "responder named that is not the signer", "old", "of the future", "produced in the future",
    "status unknown", "without nextUpdate, of yesterday",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_forged(name: str) -> None:
    forgeries = _forgeries()
    assert set(forgeries) == set(FORGERIES)
    with pytest.raises(CannotJudge) as refused:
        validate(forgeries[name])
    assert refused.value.problem.code.startswith("revocation.ocsp-")
    # Beside a true one it takes nothing away.
    if name not in ("status unknown",):
        assert validate(forgeries[name], good(this_update=NOW - 2 * HOUR))


def test_a_changed_octet_anywhere_makes_nothing_good_that_was_revoked() -> None:
    der = good(status="revoked").der()
    for at in range(0, len(der), 7):
        changed = der[:at] + bytes((der[at] ^ 0x01,)) + der[at + 1 :]
        with pytest.raises(PkiError):
            validate(changed)


def test_replayed_older_response_does_not_hide_a_newer_revocation() -> None:
    older = good(this_update=NOW - DAY, produced_at=NOW - DAY)
    newer = good(status="revoked")
    assert code(lambda: validate(older, newer)) == "revocation.revoked"
    assert code(lambda: validate(newer, older)) == "revocation.revoked"


def test_a_revocation_does_not_go_stale_but_a_hold_may_be_lifted() -> None:
    old = {"this_update": NOW - 9 * DAY, "next_update": NOW - 8 * DAY, "status": "revoked"}
    assert code(lambda: validate(good(**old))) == "revocation.revoked"
    assert code(lambda: validate(good(**old), good())) == "revocation.revoked"
    assert validate(good(**old, reason=6), good())
    assert code(lambda: validate(good(**old, reason=6))) == "revocation.ocsp-stale"
    assert code(lambda: validate(good(status="revoked", reason=6))) == "revocation.revoked"


def test_revoked_says_when_why_and_who() -> None:
    with pytest.raises(CertificateRefused) as refused:
        validate(good(status="revoked"))
    for word in ("2026-05-31", "keyCompromise", "Responder", "Anna"):
        assert word in refused.value.problem.text


def test_extended_revoked_is_told_as_never_issued() -> None:
    definition = sequence(bytes.fromhex("06092b0601050507300109"), octets(b"\x05\0"))
    answer = good(
        status="revoked", reason=6, revoked_at=datetime(1970, 1, 1, tzinfo=UTC),
        extensions=(definition,),
    )  # fmt: skip
    with pytest.raises(CertificateRefused, match="was never issued"):
        validate(answer)


# -- the responder's own certificate (RFC 6960 §4.2.2.2.1) ---------------------------------------


def test_a_responder_without_nocheck_needs_a_word_about_itself() -> None:
    w = world()
    by = responder(w.ca, "Checked", nocheck=False)
    answer = good(by=by)
    assert code(lambda: validate(answer)) == "revocation.ocsp-responder"
    about = Answer(by, w.ca, w.ca, certificates=())
    assert validate(answer, about)
    assert code(lambda: validate(answer, about.but(status="revoked"))) == (
        "revocation.ocsp-responder"
    )
    # Its own word about itself is none.
    assert code(lambda: validate(answer, about.but(by=by))) == "revocation.ocsp-responder"
    crl = w.ca.crl()
    both = RevocationSources.OCSP_THEN_CRL
    assert validate(answer, sources=both, crls=(crl,)).revocation[0].kind == "ocsp"


def test_two_responders_that_vouch_for_each_other_are_not_believed() -> None:
    w = world()
    one = responder(w.ca, "One", nocheck=False)
    two = responder(w.ca, "Two", nocheck=False)
    answers = (good(by=one), Answer(one, w.ca, two), Answer(two, w.ca, one))
    assert code(lambda: validate(*answers)) == "revocation.ocsp-responder"


# -- CRL and OCSP (per anchor) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "crl", "answer", "outcome"),
    [
        ("crl", "good", "good", "crl"),
        ("crl", "none", "good", "revocation.missing"),
        ("crl", "good", "revoked", "crl"),
        ("ocsp", "good", "good", "ocsp"),
        ("ocsp", "good", "none", "revocation.ocsp-missing"),
        ("ocsp", "good", "old", "revocation.ocsp-stale"),
        ("crl-then-ocsp", "good", "good", "crl"),
        ("crl-then-ocsp", "none", "good", "ocsp"),
        ("crl-then-ocsp", "old", "good", "ocsp"),
        ("crl-then-ocsp", "good", "none", "crl"),
        ("crl-then-ocsp", "good", "unknown", "crl"),
        ("crl-then-ocsp", "good", "revoked", "revocation.revoked"),
        ("crl-then-ocsp", "revoked", "good", "revocation.revoked"),
        ("crl-then-ocsp", "old", "none", "revocation.stale"),
        ("crl-then-ocsp", "none", "none", "revocation.missing"),
        ("crl-then-ocsp", "none", "old", "revocation.ocsp-stale"),
        ("ocsp-then-crl", "good", "good", "ocsp"),
        ("ocsp-then-crl", "good", "none", "crl"),
        ("ocsp-then-crl", "good", "unknown", "crl"),
        ("ocsp-then-crl", "none", "unknown", "revocation.ocsp-unknown"),
        ("ocsp-then-crl", "revoked", "good", "revocation.revoked"),
        ("ocsp-then-crl", "old", "old", "revocation.ocsp-stale"),
    ],
)
def test_order_of_sources(sources: str, crl: str, answer: str, outcome: str) -> None:
    w = world()
    ca = Authority(w.ca.cert, w.ca.key)
    if crl == "revoked":
        ca.revoke(w.cert)
    dates = {"start": NOW - 9 * DAY, "end": NOW - DAY} if crl == "old" else {}
    crls = () if crl == "none" else (ca.crl(**dates),)
    old = {"this_update": NOW - 2 * DAY, "next_update": NOW - DAY} if answer == "old" else {}
    status = answer if answer in ("revoked", "unknown") else "good"
    answers = () if answer == "none" else (good(status=status, **old),)

    def run() -> ValidPath:
        return validate(*answers, crls=crls, sources=RevocationSources(sources))

    if "." in outcome:
        assert code(run) == outcome
    else:
        assert run().revocation[0].kind == outcome


def test_grace_is_for_responses_too_and_ends() -> None:
    answer = good(next_update=NOW)
    assert validate(answer, grace=DAY, moment=NOW + DAY).until == NOW + DAY
    late = NOW + DAY + HOUR
    assert code(lambda: validate(answer, grace=DAY, moment=late)) == "revocation.ocsp-stale"


def test_an_answer_without_end_has_no_end_with_grace_either() -> None:
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert validate(good(next_update=never), grace=DAY).revocation[0].next_update == never


# -- answers to our questions --------------------------------------------------------------------


def _accept(answer: Answer, nonce: bytes | None) -> str:
    w = world()
    said = accept_answer(
        OcspResponse(answer.der()),
        ParsedCertificate(w.cert.der),
        ParsedCertificate(w.ca.der),
        moment=NOW,
        nonce=nonce,
        signers=(),
        vouched=lambda _: True,
    )
    return said.single.status


def test_nonce() -> None:
    mine = b"n" * 32
    assert _accept(good(nonce=mine), mine) == "good"
    assert _accept(good(), mine) == "good"  # signed ahead: its dates limit a replay
    assert code(lambda: _accept(good(nonce=b"m" * 32), mine)) == "revocation.ocsp-nonce"
    assert code(lambda: _accept(good(nonce=b""), mine)) == "revocation.ocsp-nonce"
    assert code(lambda: _accept(good(cert=world().other), None)) == "revocation.ocsp-other"
    old = good(this_update=NOW - 2 * DAY, next_update=NOW - DAY)
    assert code(lambda: _accept(old, None)) == "revocation.ocsp-stale"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status": "revoked"}, "revoked"),
        # No reason: permanently (§2.2), or a hold of a responder that gives no reasons.
        ({"status": "revoked", "reason": None}, "revocation.ocsp-stale"),
        ({"status": "revoked", "reason": 0}, "revoked"),  # unspecified
        ({"status": "revoked", "reason": 8}, "revoked"),  # removeFromCRL lifts nothing in OCSP
        ({"status": "revoked", "next_update": None}, "revoked"),
        ({"status": "revoked", "reason": 6}, "revocation.ocsp-stale"),  # a hold may be lifted
        ({"status": "good"}, "revocation.ocsp-stale"),
        ({"status": "unknown"}, "revocation.ocsp-stale"),
    ],
)
def test_an_old_answer_is_taken_if_it_revokes_for_good(
    changes: dict[str, object], outcome: str
) -> None:
    old = good(this_update=NOW - 9 * DAY, produced_at=NOW - 9 * DAY, next_update=NOW - 8 * DAY)
    answer = old.but(**changes)
    if outcome == "revoked":
        assert _accept(answer, None) == outcome
    else:
        assert code(lambda: _accept(answer, None)) == outcome


def test_an_old_revocation_must_hold_in_all_else() -> None:
    """Only its age is passed over: nobody else may say it, and no other certificate is meant."""
    old = {"status": "revoked", "this_update": NOW - 9 * DAY, "next_update": NOW - 8 * DAY}
    stranger = good(**old, by=world().sister, certificates=())
    assert code(lambda: _accept(stranger, None)) == "revocation.ocsp-signature"
    assert code(lambda: _accept(good(**old, cert=world().other), None)) == "revocation.ocsp-other"
    other_question = good(**old, nonce=b"m" * 32)
    assert code(lambda: _accept(other_question, b"n" * 32)) == "revocation.ocsp-nonce"


def test_a_stale_good_does_not_hide_an_older_revocation_beside_it() -> None:
    times = {"produced_at": NOW - 2 * DAY, "next_update": NOW - DAY}
    revoked = good(status="revoked", this_update=NOW - 9 * DAY, **times)
    assert _accept(good(this_update=NOW - 2 * DAY, **times, more=(revoked,)), None) == "revoked"


@pytest.mark.parametrize("nonce", [None, b"\x01", b"n" * 32, b"n" * 128])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_our_request_as_openssl_and_cryptography_read_it(
    tmp_path: Path, nonce: bytes | None, algorithm: str
) -> None:
    w = world()
    cert, ca = ParsedCertificate(w.cert.der), ParsedCertificate(w.ca.der)
    der = request(cert, ca, nonce=nonce, algorithm={"sha1": SHA1, "sha256": SHA256}[algorithm])
    read = peer.load_der_ocsp_request(der)
    assert read.serial_number == cert.serial
    assert read.hash_algorithm.name == algorithm
    assert [e.value for e in read.extensions] == ([] if nonce is None else [x509.OCSPNonce(nonce)])

    (tmp_path / "req").write_bytes(der)
    (tmp_path / "ca.pem").write_bytes(w.ca.pem)
    (tmp_path / "cert.pem").write_bytes(w.cert.pem)
    run = [
        "openssl",
        "ocsp",
        f"-{algorithm}",
        "-issuer",
        "ca.pem",
        "-cert",
        "cert.pem",
        "-no_nonce",
    ]
    subprocess.run([*run, "-reqout", "theirs"], cwd=tmp_path, check=True, timeout=20)
    if nonce is None:
        # Octet for octet, but for the NULL behind SHA-256, which newer ones leave out.
        assert der == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("size", [0, 129])
def test_a_nonce_of_another_size_is_not_sent(size: int) -> None:
    w = world()
    with pytest.raises(ValueError, match="128"):
        request(ParsedCertificate(w.cert.der), ParsedCertificate(w.ca.der), nonce=bytes(size))


# -- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"),
    [(1, "malformedRequest"), (2, "internalError"), (3, "tryLater"), (5, "sigRequired"),
     (6, "unauthorized"), (4, "4")],
)  # fmt: skip
def test_error_statuses_say_nothing_about_a_certificate(status: int, name: str) -> None:
    with pytest.raises(OcspRefused, match=name) as refused:
        OcspResponse(error(status))
    assert refused.value.problem.code == "revocation.ocsp-status"


@pytest.mark.parametrize(
    "make",
    [
        lambda der: b"",
        lambda der: der[:-1],
        lambda der: der + b"\0",
        lambda der: der.replace(b"\x30\x82", b"\x30\x80", 1),
        lambda der: wrapped(b"\x30\0"),
        lambda der: wrapped(b"\x30\x80\0\0"),
        lambda der: sequence(b"\x0a\x01\x00"),
        lambda der: b"\x30\x82\x10\0" * 1000,
        lambda der: error(3) + error(3),
    ],
)
def test_malformed(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(OcspRefused) as refused:
        OcspResponse(make(good().der()))
    assert refused.value.problem.code == "structure.ocsp"


def test_size_and_extensions_are_limited() -> None:
    with pytest.raises(OcspRefused) as refused:
        OcspResponse(bytes(MAX_OCTETS + 1))
    assert refused.value.problem.code == "limits.ocsp"
    unknown = sequence(b"\x06\x03\x2a\x03\x04", b"\x01\x01\xff", octets(b"\x05\0"))
    with pytest.raises(OcspRefused, match=r"critical extension 1\.2\.3\.4"):
        OcspResponse(good(extensions=(unknown,)).der())
    harmless = sequence(b"\x06\x03\x2a\x03\x04", octets(b"\x05\0"))
    assert validate(good(extensions=(harmless,)))
    with pytest.raises(OcspRefused, match="twice"):
        OcspResponse(good(extensions=(harmless, harmless)).der())


def test_what_we_make_here_is_what_cryptography_reads() -> None:
    read = peer.load_der_ocsp_response(good(status="revoked", nonce=b"n" * 32).der())
    assert read.certificate_status is peer.OCSPCertStatus.REVOKED
    assert read.revocation_reason is x509.ReasonFlags.key_compromise
    assert read.next_update_utc == NOW + DAY


def test_made_after_the_moment_it_condemns_what_was_revoked_by_then_and_acquits_nobody() -> None:
    later = {"this_update": NOW + DAY, "produced_at": NOW + DAY, "next_update": NOW + 2 * DAY}
    assert code(lambda: validate(good(**later, status="revoked"))) == "revocation.revoked"
    after = good(**later, status="revoked", revoked_at=NOW + HOUR)
    assert code(lambda: validate(after)) == "revocation.ocsp-future"
    assert validate(after, good())  # revoked since, good at the moment
    assert code(lambda: validate(good(**later))) == "revocation.ocsp-future"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_whatever_the_octets_are_they_are_read_or_refused() -> None:
    chance = random.Random(6960)
    seeds = [good().der(), good(status="revoked", nonce=b"n" * 32, by_key=False).der()]
    read = 0
    for _ in range(1500):
        octets = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(octets))
            if chance.random() < 0.6:
                octets[at] = chance.randrange(256)
            else:
                octets[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        try:
            read += bool(OcspResponse(bytes(octets)).certificates)
        except OcspRefused:
            continue
    assert read, "some leave the structure whole: the rest of the reader was reached"


# -- made to cost much (the CA and its responder work together) -----------------------------------


def test_one_response_that_says_the_same_500_times_is_verified_once() -> None:
    w = world()
    by = responder(w.ca, "Talkative", nocheck=False)
    said, about = good(by=by, algorithm=SHA1), Answer(by, w.ca, by, algorithm=SHA1)
    many = said.but(more=(said,) * 449).der()
    again = about.but(more=(about,) * 449).der()
    with at_most(0.3):
        assert code(lambda: validate(many, again)) == "revocation.ocsp-responder"


def test_responders_who_need_responders_are_bounded() -> None:
    w = world()
    crowds = [
        tuple(responder(w.ca, f"Crowd {level}", nocheck=False) for _ in range(10))
        for level in range(3)
    ]
    answers = [good(by=crowds[0][0], certificates=crowds[0])]
    for crowd, above in pairwise(crowds):
        answers += [Answer(one, w.ca, above[0], certificates=above) for one in crowd]
    given = [one.der() for one in answers]
    with at_most(0.3):
        assert code(lambda: validate(*given)) == "revocation.ocsp-responder"
