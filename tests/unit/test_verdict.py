"""A certificate is used only if everything about it holds; the first fault is named."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.addresses import SMTP_UTF8_MAILBOX
from pki.anchors import load_anchor, parse_certificates
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, PkiError
from pki.models import CheckedCertificate, Purpose
from pki.path import Material, Revocation, find_path
from pki.verdict import check, unsafe_unchecked
from tests.corpora import corpus
from tests.pki_maker import DAY, NOW, Authority, Issued, dn, key, root, usage

MARIE = "marie@a.example"


class World:
    """A root, an issuing CA, their CRLs."""

    def __init__(self, **constraints: Any) -> None:
        self.root = root()
        self.ca = self.root.sub("Issuing CA", **constraints)
        self.crls: list[bytes] | None = None
        self.anchor_options: dict[str, Any] = {}

    def check(
        self,
        issued: Issued,
        *,
        address: str = MARIE,
        purpose: Purpose = Purpose.ENCRYPT,
        moment: datetime = NOW,
        more: tuple[Issued, ...] = (),
    ) -> CheckedCertificate:
        crls = [self.root.crl(), self.ca.crl(7)] if self.crls is None else self.crls
        return check(
            issued.der,
            address=address,
            purpose=purpose,
            moment=moment,
            anchors=[self.root.anchor(**self.anchor_options)],
            intermediates=[self.ca.der, *(one.der for one in more)],
            crls=crls,
            source="test",
        )

    def refusal(self, issued: Issued, **options: Any) -> str:
        with pytest.raises(CertificateRefused) as refused:
            self.check(issued, **options)
        return refused.value.problem.code

    def doubt(self, issued: Issued, **options: Any) -> str:
        with pytest.raises(CannotJudge) as doubt:
            self.check(issued, **options)
        return doubt.value.problem.code


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_good(kind: str) -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,), kind=kind)
    checked = world.check(marie, address="MARIE@A.example")
    assert checked.address == MARIE
    assert checked.path == (world.root.der, world.ca.der, marie.der)
    assert checked.anchor == "test root"
    assert [one.number for one in checked.revocation] == [1, 7]
    assert checked.revocation[1].subject == "CN=Marie,O=Sceau Tests"
    assert not checked.unchecked
    assert world.check(marie, purpose=Purpose.SIGN).purpose is Purpose.SIGN


def test_revoked_says_when_why_and_where() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.ca.revoke(marie)
    with pytest.raises(CertificateRefused) as refused:
        world.check(marie)
    text = str(refused.value)
    assert refused.value.problem.code == "revocation.revoked"
    for part in ("CN=Marie", "2026-05-31", "keyCompromise", "CRL no. 7", "CN=Issuing CA"):
        assert part in text


def test_revoked_ca() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.root.revoke(world.ca)
    assert world.refusal(marie) == "revocation.revoked"


def test_hold_is_revoked_too() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.ca.revoke(marie, why="certificateHold")
    assert world.refusal(marie) == "revocation.revoked"


def test_missing_and_stale_crls_are_doubt() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.crls = [world.ca.crl()]
    assert world.doubt(marie) == "revocation.missing"
    world.crls = [world.root.crl()]
    assert world.doubt(marie) == "revocation.missing"
    stale = world.ca.crl(start=NOW - 9 * DAY, end=NOW - 2 * DAY)
    world.crls = [world.root.crl(), stale]
    assert world.doubt(marie) == "revocation.stale"
    world.crls = [world.root.crl(), world.ca.crl(start=NOW + DAY)]
    assert world.doubt(marie) == "revocation.missing"


def test_grace_is_per_anchor_and_ends() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    end = NOW - 2 * DAY
    world.crls = [world.root.crl(), world.ca.crl(start=NOW - 9 * DAY, end=end)]
    world.anchor_options = {"grace": 3 * DAY}
    assert world.check(marie).revocation[1].next_update == end
    assert world.doubt(marie, moment=NOW + DAY + timedelta(seconds=1)) == "revocation.stale"


def test_a_stale_crl_still_condemns() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.ca.revoke(marie, when=NOW - 20 * DAY)
    world.crls = [world.root.crl(), world.ca.crl(start=NOW - 9 * DAY, end=NOW - 2 * DAY)]
    assert world.refusal(marie) == "revocation.revoked"


def test_newest_crl_decides() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    old = world.ca.crl(1, start=NOW - 3 * DAY)
    world.ca.revoke(marie)
    world.crls = [world.root.crl(), old, world.ca.crl(2)]
    assert world.refusal(marie) == "revocation.revoked"


def test_crl_of_another_key_or_ca_does_not_count() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.crls = [world.root.crl(), world.ca.crl(crl_key=key("stranger"))]
    assert world.doubt(marie) == "revocation.signature"
    world.crls = [world.root.crl(), world.root.crl(issuer=world.ca.cert.subject)]
    assert world.doubt(marie) == "revocation.signature"


def test_dates() -> None:
    world = World()
    old = world.ca.issue("Marie", emails=(MARIE,), end=NOW - DAY)
    assert world.refusal(old) == "path.expired"
    new = world.ca.issue("Marie", emails=(MARIE,), start=NOW + DAY)
    assert world.refusal(new) == "path.not-yet-valid"
    old_ca = World(end=NOW - DAY)
    assert old_ca.refusal(old_ca.ca.issue("Marie", emails=(MARIE,))) == "path.expired"


@pytest.mark.parametrize(
    ("emails", "code"),
    [
        (("paul@a.example",), "identity.address"),
        ((), "identity.no-address"),
        (("marie@a.example ",), "identity.malformed-address"),
        (("marie@a.example.",), "identity.malformed-address"),
        (("marie@a.example\x00.evil.example",), "identity.malformed-address"),
        (("mariе@a.example",), "identity.malformed-address"),  # Cyrillic in an IA5String
        (("paul@a.example", " marie@a.example"), "identity.address"),
    ],
)
def test_address_must_match(emails: tuple[str, ...], code: str) -> None:
    world = World()
    assert world.refusal(world.ca.issue("Marie", emails=emails)) == code


def test_usage() -> None:
    world = World()
    sign_only = world.ca.issue("M", emails=(MARIE,), key_usage=usage("digital_signature"))
    assert world.refusal(sign_only) == "path.key-usage"
    assert world.check(sign_only, purpose=Purpose.SIGN)
    seal_only = world.ca.issue("M", emails=(MARIE,), key_usage=usage("key_encipherment"))
    assert world.check(seal_only)
    assert world.refusal(seal_only, purpose=Purpose.SIGN) == "path.key-usage"
    repudiation = world.ca.issue("M", emails=(MARIE,), key_usage=usage("content_commitment"))
    assert world.check(repudiation, purpose=Purpose.SIGN)
    ec_rsa_usage = world.ca.issue(
        "M", emails=(MARIE,), kind="ec", key_usage=usage("key_encipherment")
    )
    assert world.refusal(ec_rsa_usage) == "path.key-usage"
    free = world.ca.issue("M", emails=(MARIE,), default_usage=False, extended=None)
    assert world.check(free)
    web = world.ca.issue("M", emails=(MARIE,), extended=(ExtendedKeyUsageOID.SERVER_AUTH,))
    assert world.refusal(web) == "path.extended-key-usage"
    anything = world.ca.issue(
        "M", emails=(MARIE,), extended=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)
    )
    assert world.check(anything)


def test_weak_keys_and_digests() -> None:
    world = World()
    small = world.ca.issue("M", emails=(MARIE,), kind="rsa1024")
    assert world.refusal(small) == "algorithm.key"
    three = rsa.generate_private_key(public_exponent=3, key_size=2048)
    assert (
        world.refusal(world.ca.issue("M", emails=(MARIE,), subject_key=three))
        == "algorithm.weak-key"
    )
    curve = ec.generate_private_key(ec.SECP256K1())
    odd = world.ca.issue("M", emails=(MARIE,), subject_key=curve, key_usage=usage("key_agreement"))
    assert world.refusal(odd) == "algorithm.key"
    # RSA 2048 ends for sealing, not for old signatures
    marie = world.ca.issue("M", emails=(MARIE,), end=NOW + 900 * DAY)
    later = datetime(2028, 1, 1, tzinfo=NOW.tzinfo)
    world.crls = [one.crl(start=later - DAY, end=later + DAY) for one in (world.root, world.ca)]
    assert world.refusal(marie, moment=later) == "algorithm.key"
    assert world.check(marie, purpose=Purpose.SIGN, moment=later)


@pytest.mark.parametrize("name", ["ee-cert-md5", "ee-pss-sha1-cert", "ee-pss-sha256-cert"])
def test_old_digests_are_refused(name: str) -> None:
    folder = corpus("openssl-cms") / "test" / "certs"
    cert = parse_certificates((folder / f"{name}.pem").read_bytes())[0]
    ca = x509.load_pem_x509_certificate((folder / "ca-cert.pem").read_bytes())
    material = Material([Authority(ca, key("unused")).anchor()])
    parsed = ParsedCertificate(cert)
    if name == "ee-pss-sha256-cert":
        path = find_path(parsed, material, moment=NOW, revocation=Revocation.OFF)
        assert len(path.certificates) == 2
        return
    with pytest.raises(CertificateRefused) as refused:
        find_path(parsed, material, moment=NOW, revocation=Revocation.OFF)
    assert refused.value.problem.code == "algorithm.signature"


def test_anchor_limits() -> None:
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    world.anchor_options = {"domains": ("b.example", ".c.example")}
    assert world.refusal(marie) == "path.anchor-domain"
    world.anchor_options = {"domains": ("A.example",)}
    assert world.check(marie)
    world.anchor_options = {"purposes": frozenset({Purpose.SIGN})}
    assert world.refusal(marie) == "path.anchor-purpose"


def test_unknown_ca() -> None:
    world = World()
    stranger = root("Stranger").issue("Marie", emails=(MARIE,))
    assert world.refusal(stranger) == "path.no-anchor"
    # the right name, the wrong key
    forged = root("Issuing CA").issue("Marie", emails=(MARIE,), subject_key=key("leaf-rsa"))
    twin = Authority(world.ca.cert, key("stranger")).issue("Marie", emails=(MARIE,))
    assert forged.cert.issuer == twin.cert.issuer
    assert world.refusal(twin) == "path.signature"
    self_signed = root("Marie", extra=())
    assert world.refusal(self_signed) == "identity.no-address"


@pytest.mark.parametrize("turn", [1, -1])
def test_right_path_among_several(turn: int) -> None:
    """The CA has two certificates with one key; openssl 3.0 takes the first and gives up."""
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,))
    cross = root("Other Root").sub("Issuing CA")
    expired = world.root.sub("Issuing CA", end=NOW - DAY)
    more = (cross, expired)[::turn]
    checked = check(
        marie.der,
        address=MARIE,
        purpose=Purpose.ENCRYPT,
        moment=NOW,
        anchors=[world.root.anchor()],
        intermediates=[one.der for one in (*more, world.ca)],
        crls=[world.root.crl(), world.ca.crl()],
        source="test",
    )
    assert checked.path[1] == world.ca.der


def test_ca_must_be_a_ca() -> None:
    world = World(ca=False)
    assert world.refusal(world.ca.issue("Marie", emails=(MARIE,))) == "path.not-a-ca"
    world = World(key_usage=usage("digital_signature", "crl_sign"))
    assert world.refusal(world.ca.issue("Marie", emails=(MARIE,))) == "path.key-usage"
    world = World(path_length=0)
    deeper = world.ca.sub("Deeper CA")
    marie = deeper.issue("Marie", emails=(MARIE,))
    world.crls = [world.root.crl(), world.ca.crl(), deeper.crl()]
    assert world.refusal(marie, more=(deeper,)) == "path.length"


def test_unknown_critical_extension() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    world = World()
    marie = world.ca.issue("Marie", emails=(MARIE,), extra=((odd, True),))
    assert world.refusal(marie) == "path.critical-extension"
    assert world.check(world.ca.issue("Marie", emails=(MARIE,), extra=((odd, False),)))


def constrained(*permitted: str, excluded: tuple[str, ...] = ()) -> World:
    names = x509.NameConstraints(
        [x509.RFC822Name(name) for name in permitted] or None,
        [x509.RFC822Name(name) for name in excluded] or None,
    )
    return World(extra=((names, True),))


@pytest.mark.parametrize(
    ("permitted", "address", "fits"),
    [
        ("a.example", MARIE, True),
        ("a.example", "marie@b.example", False),
        ("a.example", "marie@sub.a.example", False),
        (".a.example", "marie@sub.a.example", True),
        (".a.example", MARIE, False),
        ("Marie@A.example", MARIE, True),
        ("paul@a.example", MARIE, False),
    ],
)
def test_name_constraints_for_mail(permitted: str, address: str, fits: bool) -> None:
    world = constrained(permitted)
    issued = world.ca.issue("Marie", emails=(address,))
    if fits:
        assert world.check(issued, address=address)
    else:
        assert world.refusal(issued, address=address) == "path.name-constraints"


def test_name_constraints_hold_wherever_an_address_stands() -> None:
    """The holes of other validators: SmtpUTF8Mailbox, and the subject beside a SAN."""
    world = constrained("a.example")
    utf8 = x509.OtherName(SMTP_UTF8_MAILBOX, core.UTF8String("élodie@b.example").dump())
    sneaky = world.ca.issue("Marie", emails=(MARIE,), other_names=(utf8,))
    assert world.refusal(sneaky, address="élodie@b.example") == "path.name-constraints"
    subject = world.ca.issue(dn("Marie", email="paul@b.example"), emails=(MARIE,))
    assert world.refusal(subject, address="paul@b.example") == "path.name-constraints"
    excluded = constrained(excluded=("b.example",))
    broken = excluded.ca.issue("Marie", emails=(MARIE, "paul@b.example."))
    assert excluded.refusal(broken) == "path.name-constraints"


def test_search_is_bounded() -> None:
    """Two keys that certify each other's names many times over: no path, found soon."""
    names = [f"Cross {index}" for index in range(12)]
    cross = []
    for issuer_name in names:
        issuer = root(issuer_name)
        shared = Authority(issuer.cert, key("cross"))
        cross += [shared.sub(name, ca_key=key("cross")) for name in names if name != issuer_name]
    leaf = Authority(root("Cross 0").cert, key("cross")).issue("Marie", emails=(MARIE,))
    world = World()
    with pytest.raises(CertificateRefused) as refused:
        world.check(leaf, more=tuple(cross))
    assert refused.value.problem.code == "limits.path"


def test_garbage() -> None:
    good = World().ca.issue("Marie", emails=(MARIE,)).der
    for bad in (b"", b"garbage", good[:-1], good + b"\0", b"\x30\x80" + good[4:], b"0" * 200_000):
        with pytest.raises(CertificateRefused) as refused:
            unsafe_unchecked(bad, moment=NOW)
        assert refused.value.problem.code == "structure.certificate"


def test_unchecked_says_so() -> None:
    marie = World().ca.issue("Marie", emails=(MARIE,))
    taken = unsafe_unchecked(marie.der, MARIE, moment=NOW)
    assert taken.unchecked
    assert taken.path == ()


def test_anchor_fingerprint_is_compared(tmp_path: Path) -> None:
    ca = root()
    file = tmp_path / "root.pem"
    file.write_bytes(ca.pem)
    typed = ":".join(ca.sha256.upper()[i : i + 2] for i in range(0, 64, 2))
    assert load_anchor(file, name="r", fingerprint=typed).certificate == ca.der
    with pytest.raises(PkiError, match="is not the certificate of the trust anchor r"):
        load_anchor(file, name="r", fingerprint="0" * 64)
    with pytest.raises(PkiError, match="64 digits"):
        load_anchor(file, name="r", fingerprint=typed[:40])
    file.write_bytes(ca.pem * 2)
    with pytest.raises(PkiError, match="holds 2 certificates"):
        load_anchor(file, name="r", fingerprint=typed)
    file.write_text("nothing")
    with pytest.raises(PkiError, match=r"root\.pem is not a certificate"):
        load_anchor(file, name="r", fingerprint=typed)
    with pytest.raises(PkiError, match=r"absent\.pem cannot be read"):
        load_anchor(tmp_path / "absent.pem", name="r", fingerprint=typed)


def test_only_verdict_makes_checked_certificates() -> None:
    """I3: whoever could construct one elsewhere could skip the checks."""
    repository = Path(__file__).resolve().parents[2]
    makers = {
        str(file.relative_to(repository))
        for package in ("pki", "gateway", "archive")
        for file in (repository / package).rglob("*.py")
        if "CheckedCertificate(" in file.read_text()
    }
    assert makers == {"pki/verdict.py"}
