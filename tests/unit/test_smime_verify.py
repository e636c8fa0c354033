"""What our own signatures and those of OpenSSL are worth, and how little it takes to lose that."""

from __future__ import annotations

import random
import subprocess
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.mime.entity import content_entity, split
from gateway.mime.parts import find_parts
from gateway.mime.transfer import decode_base64, encode_base64
from gateway.smime import algorithms
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.cms import content_info
from gateway.smime.encrypt import encrypt
from gateway.smime.layers import verify
from gateway.smime.sign import Signed, sign, sign_opaque
from gateway.smime.verdicts import Match, Role, Status, worst
from gateway.smime.wrapping import multipart_signed, pkcs7_mime
from pki import der_writing as der
from pki.crl import read_crl
from pki.models import SignatureScheme
from pki.path import Material, Revocation
from tests.pki_maker import NOW as THEN
from tests.pki_maker import root as make_root
from tests.unit.cms_forger import (
    ENTITY,
    alice,
    anchor,
    attribute,
    attributes_for,
    clear_signed,
    codes,
    dump,
    issue,
    judged,
    mail,
    mallory_key,
    opaque,
    party,
    rules,
    signed_data,
    signer_info,
    status,
    with_key,
)
from tests.unit.smime_world import NOW, world

SCHEMES = [
    ("alice", SignatureScheme.RSA_PKCS1),
    ("alice", SignatureScheme.RSA_PSS),
    ("erin", SignatureScheme.ECDSA),
]


@pytest.mark.parametrize("make", [sign, sign_opaque])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(("who", "scheme"), SCHEMES)
def test_what_we_write_is_valid(
    who: str, scheme: SignatureScheme, digest: str, make: Callable[..., Signed]
) -> None:
    signed = make(
        ENTITY, getattr(world(), who).signer, digest=digest, scheme=scheme, signing_time=NOW
    )

    found = judged(mail(signed.entity))

    assert found.status is Status.VALID
    assert found.problems == ()
    (signer,) = found.signers
    assert (signer.digest, signer.signature) == (digest, scheme.value)
    assert (signer.role, signer.from_matches) == (Role.PERSON, Match.EXACT)
    assert signer.signing_time == NOW
    assert found.payload == ENTITY


@pytest.mark.parametrize("who", ["alice", "erin"])
def test_one_bit_is_enough(who: str) -> None:
    """In the content, the attributes, the signature: everywhere but in what nobody signed."""
    signed = sign(ENTITY, getattr(world(), who).signer).entity
    body = bytes(split(signed).body)
    boundary = signed.partition(b'boundary="')[2].partition(b'"')[0]
    (start, end), (second, last) = find_parts(body, 0, len(body), boundary).spans
    part = split(body[second:last])
    cms = decode_base64(bytes(part.body))
    info = content_info(cms).content.children[-1][0]
    first = info.children[3].expect(0xA0).start
    assert info.end == len(cms)
    chance = random.Random(5652)
    given = rules()

    def with_cms(changed: bytes) -> bytes:
        return signed.replace(bytes(part.body), encode_base64(changed).rstrip(b"\r\n"))

    assert status(mail(with_cms(cms)), given) == "valid"
    for at in range(first, len(cms)):
        changed = bytearray(cms)
        changed[at] ^= 1 << chance.randrange(8)
        assert status(mail(with_cms(bytes(changed))), given) != "valid", at
    for at in range(start, end):
        changed = bytearray(body)
        changed[at] ^= 1 << chance.randrange(8)
        assert status(mail(signed.replace(body, bytes(changed))), given) != "valid", at


def test_without_an_anchor_nobody_can_tell() -> None:
    given = rules()
    nobody = type(given)(Material([]), NOW, Revocation.OFF)

    found = judged(mail(clear_signed()), nobody)

    assert found.status is Status.INDETERMINATE
    assert [one.code for one in found.problems] == ["path.anchor-missing"]


def test_without_a_crl_nobody_can_tell_where_one_is_required() -> None:
    given = rules()
    strict = type(given)(given.material, NOW, Revocation.REQUIRE)

    assert codes(mail(clear_signed()), strict) == {"revocation.missing"}
    assert status(mail(clear_signed()), strict) == "indeterminate"


def test_a_revoked_signer_stays_revoked_whatever_time_he_claims() -> None:
    """Threat S11: the time to check at is never the signer's."""
    root = make_root("Root S11")
    issued = root.issue("alice", emails=("alice@example.org",), kind="ec")
    root.revoke(issued, when=THEN - timedelta(days=3))
    who = with_key(issued.der, issued.key)  # type: ignore[arg-type]
    claimed = der.element(der.UTC_TIME, f"{THEN - timedelta(days=9):%y%m%d%H%M%SZ}".encode())
    stated = attributes_for(who, ENTITY, attribute(algorithms.SIGNING_TIME, claimed))
    entity = clear_signed(who, infos=[signer_info(who, stated)])
    given = type(rules())(
        Material([root.anchor()], (), [read_crl(root.crl())]), THEN, Revocation.REQUIRE
    )

    found = judged(mail(entity), given)

    assert found.status is Status.INVALID
    assert [one.code for one in found.problems] == ["revocation.revoked"]
    assert found.signers[0].signing_time == THEN - timedelta(days=9)


def test_a_claimed_time_far_from_the_date_is_a_remark() -> None:
    signed = sign(ENTITY, world().alice.signer, signing_time=NOW - timedelta(days=2)).entity
    date = b"Date: " + NOW.strftime("%a, %d %b %Y %H:%M:%S +0000").encode()

    found = judged(mail(signed, date))

    assert found.status is Status.VALID
    assert [one.code for one in found.remarks] == ["identity.signing-time"]


@pytest.mark.parametrize(
    "date", [b"Mon, 1 Jan 0001 00:00:00 +2359", b"Fri, 31 Dec 9999 23:59:59 -0001"]
)
def test_a_date_outside_of_the_calendar_in_utc_is_none(date: bytes) -> None:
    """To say it in UTC was an internal fault, and the mail one that nobody could judge."""
    signed = sign(ENTITY, world().alice.signer, signing_time=NOW).entity

    found = judged(mail(signed, b"Date: " + date))

    assert (found.status, found.remarks) == (Status.VALID, ())


def test_a_signer_s_own_certificate_as_anchor_is_enough() -> None:
    assert status(mail(clear_signed()), rules(world().alice.der)) == "valid"
    late = rules(world().alice.der, moment=NOW + timedelta(days=1000))
    assert codes(mail(clear_signed()), late) == {"path.expired"}
    assert "identity.from-mismatch" in codes(
        mail(clear_signed(), sender=b"bob@example.net"), rules(world().alice.der)
    )


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "path.extended-key-usage"),
        ({"digital_signature": False}, "path.key-usage"),
        ({"end": timedelta(hours=-1)}, "path.expired"),
        ({"start": timedelta(hours=1)}, "path.not-yet-valid"),
    ],
)
def test_a_certificate_that_is_not_for_this(odd: dict[str, object], code: str) -> None:
    who = with_key(issue("alice@example.org", mallory_key().public_key(), **odd))  # type: ignore[arg-type]

    assert codes(mail(clear_signed(who)), rules()) == {code}
    assert status(mail(clear_signed(who)), rules()) == "invalid"


def test_an_anchor_vouches_for_its_domains_only() -> None:
    given = rules()
    narrow = Material([anchor(dump(world().root), ("elsewhere.example",))])

    assert codes(
        mail(clear_signed()), type(given)(narrow, NOW, Revocation.OFF)
    ) == {"path.anchor-domain"}  # fmt: skip


def test_the_signer_s_certificate_may_come_from_elsewhere() -> None:
    who = alice()
    bare = pkcs7_mime("signed-data", signed_data([signer_info(who)], (), content=ENTITY))

    assert status(mail(bare)) == "indeterminate"
    assert codes(mail(bare)) == {"signature.certificate-missing"}
    assert status(mail(bare), rules(known=[who.certificate, *who.chain])) == "valid"


def test_a_signer_named_by_key_identifier() -> None:
    who = alice()
    identifier = x509.SubjectKeyIdentifier.from_public_key(world().alice.key.public_key()).digest
    info = signer_info(who, identifier=b"\x80" + bytes((len(identifier),)) + identifier)

    assert status(mail(clear_signed(who, infos=[info]))) == "valid"


def test_somebody_else_s_certificate_with_the_same_key_identifier_changes_nothing() -> None:
    who = alice()
    identifier = x509.SubjectKeyIdentifier.from_public_key(world().alice.key.public_key()).digest
    info = signer_info(who, identifier=b"\x80" + bytes((len(identifier),)) + identifier)
    decoy = issue(
        "alice@example.org", mallory_key().public_key(), key_identifier=identifier,
        by=(world().alice.certificate, mallory_key()),
    )  # fmt: skip
    cms = signed_data([info], [decoy, who.certificate, *who.chain])
    entity = multipart_signed(ENTITY, cms, micalg="sha-256", boundary="b")

    found = judged(mail(entity))
    assert found.status is Status.VALID
    assert found.signers[0].certificate_sha256 == rules(known=[who.certificate]).known[0].sha256


def test_without_signed_attributes() -> None:
    who = alice()

    assert status(mail(clear_signed(who, infos=[signer_info(who, None)]))) == "valid"
    assert status(mail(opaque(who, infos=[signer_info(who, None)]))) == "valid"


def test_opaque_and_detached_layers_in_each_other() -> None:
    inner = clear_signed(party(world().erin))
    outer = opaque(alice(), content=inner)

    found = judged(mail(outer))

    assert found.status is Status.VALID
    assert [layer.kind for layer in found.layers] == ["signed", "signed"]
    assert [signer.signature for signer in found.signers] == ["rsa-pkcs1", "ecdsa"]


def test_a_file_with_bare_lf_is_read_as_its_mail() -> None:
    message = mail(clear_signed(content=b"Content-Type: text/plain\r\n\r\nhello\r\n"))

    assert status(message.replace(b"\r\n", b"\n")) == "valid"


def test_bare_cms_has_no_author() -> None:
    cms = signed_data([signer_info(alice())], [alice().certificate], content=ENTITY)

    found = judged(cms)

    assert found.status is Status.INVALID
    assert {one.code for one in found.problems} == {"identity.from-missing", "path.no-anchor"}


def test_too_many_layers_are_not_followed() -> None:
    entity = ENTITY
    for _ in range(11):
        entity = opaque(content=entity)

    found = judged(mail(entity))

    assert found.status is Status.MALFORMED
    assert [one.code for one in found.problems] == ["limits.layers"]


def test_encrypted_layers_are_opened_by_whom_the_caller_names() -> None:
    sealed = encrypt(
        clear_signed(), [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC
    )

    closed = judged(mail(sealed))
    assert closed.status is Status.INDETERMINATE
    assert [(layer.kind, layer.opened) for layer in closed.layers] == [("encrypted", False)]

    opened = verify(mail(sealed), rules(), open_layer=lambda info: clear_signed())
    assert opened.status is Status.VALID
    assert [(layer.kind, layer.opened) for layer in opened.layers] == [
        ("encrypted", True),
        ("signed", True),
    ]
    unsigned = verify(mail(sealed), rules(), open_layer=lambda info: ENTITY)
    assert unsigned.status is Status.UNSIGNED

    # Two types: nobody can say which counts. It was called signed in part, and nobody had signed.
    ambiguous = mail(sealed, b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data")
    unsigned = verify(ambiguous, rules(), open_layer=lambda info: ENTITY)
    assert unsigned.status is Status.UNSIGNED
    partly = verify(ambiguous, rules(), open_layer=lambda info: clear_signed())
    assert partly.status is Status.PARTLY_SIGNED


def test_an_encrypted_attachment_is_no_signed_part() -> None:
    """It is not opened (S2), and nothing says that anybody signed anything."""
    part = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC)
    head = b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n--outer\r\n'

    found = judged(mail(head + part + b"\r\n--outer--\r\n"))

    assert found.status is Status.UNSIGNED
    assert not found.problems


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\nhello", b"\x30", b"\x30\x80", b"0" * 100, b"hello"]
)
def test_what_nobody_can_read_is_malformed(data: bytes) -> None:
    assert status(data) == "malformed"


def test_a_mail_without_signature() -> None:
    assert status(mail(ENTITY)) == "unsigned"


def test_the_worst_status_counts() -> None:
    order = ["malformed", "invalid", "indeterminate", "partly-signed", "unsigned", "valid"]

    assert [one.value for one in Status] == order
    assert worst([Status.VALID, Status.UNSIGNED, Status.INVALID]) is Status.INVALID
    assert worst([]) is Status.VALID


# -- OpenSSL writes, we read -------------------------------------------------------------


def openssl_sign(folder: Path, *options: str, who: str = "alice") -> bytes:
    cert, key = getattr(world(), who).write(folder, who)
    source, target = folder / "plain", folder / "signed.eml"
    source.write_bytes(ENTITY)
    ca = world().write_cas(folder)
    done = subprocess.run(
        ["openssl", "cms", "-sign", "-binary", "-crlfeol", "-in", source, "-out", target,
         "-signer", cert, "-inkey", key, "-certfile", ca, *options],
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return b"From: alice@example.org\r\n" + target.read_bytes().replace(b"\r\n", b"\n").replace(
        b"\n", b"\r\n"
    )


@pytest.mark.parametrize("who", ["alice", "erin"])
@pytest.mark.parametrize(
    "options",
    [
        *([f"-md={digest}"] for digest in ("sha224", "sha256", "sha384", "sha512")),
        *([f"-md={digest}"] for digest in ("sha3-224", "sha3-256", "sha3-384", "sha3-512")),
        ["-noattr"],
        ["-nodetach"],
        ["-nodetach", "-noattr"],
        ["-keyid"],
        ["-nosmimecap"],
        ["-cades"],
    ],
    ids=lambda options: "".join(options),
)
def test_openssl_s_signatures_are_valid(tmp_path: Path, who: str, options: list[str]) -> None:
    options = [part for option in options for part in option.split("=")]
    if who == "erin" and "sha3-" in options[-1]:
        pytest.skip("OpenSSL 3.0 has no ECDSA with SHA-3 in CMS")
    message = openssl_sign(tmp_path, *options, who=who)

    found = judged(message)

    assert found.status is Status.VALID, found.problems


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-keyopt", "rsa_pss_saltlen:0"],
        ["-keyopt", "rsa_pss_saltlen:max"],
        ["-keyopt", "rsa_mgf1_md:sha512"],
        ["-md", "sha384", "-keyopt", "rsa_mgf1_md:sha256", "-keyopt", "rsa_pss_saltlen:20"],
        ["-keyopt", "rsa_mgf1_md:sha1"],
    ],
    ids=str,
)
def test_openssl_s_pss_in_all_shapes(tmp_path: Path, options: list[str]) -> None:
    message = openssl_sign(tmp_path, "-keyopt", "rsa_padding_mode:pss", *options)

    found = judged(message)

    assert found.status is Status.VALID, found.problems
    assert found.signers[0].signature == "rsa-pss"


def test_two_signers_of_openssl_and_the_worst_of_them_counts(tmp_path: Path) -> None:
    erin, erin_key = world().erin.write(tmp_path, "erin")
    bob, bob_key = world().bob.write(tmp_path, "bob")

    both = openssl_sign(tmp_path, "-signer", str(erin), "-inkey", str(erin_key))
    found = judged(both)
    assert found.status is Status.VALID
    assert sorted(one.signature for one in found.signers) == ["ecdsa", "rsa-pkcs1"]

    with_bob = openssl_sign(tmp_path, "-signer", str(bob), "-inkey", str(bob_key))
    assert codes(with_bob) == {"identity.from-mismatch"}


def test_sha1_and_md5_are_for_old_evidence(tmp_path: Path) -> None:
    for digest in ("sha1", "md5"):
        message = openssl_sign(tmp_path, "-md", digest)

        assert codes(message) == {"algorithm.refused"}
        assert status(message) == "invalid"
        assert status(message, rules(legacy=True)) == "valid"


def test_openssl_s_stream_in_ber(tmp_path: Path) -> None:
    message = openssl_sign(tmp_path, "-nodetach", "-stream")

    assert judged(message).status is Status.VALID
    assert content_entity(split(message)) != b""


def test_the_curves(tmp_path: Path) -> None:
    for curve in (ec.SECP384R1(), ec.SECP521R1(), ec.BrainpoolP256R1(), ec.BrainpoolP384R1()):
        key = ec.generate_private_key(curve)
        who = with_key(issue("alice@example.org", key.public_key()), key)

        assert status(mail(clear_signed(who))) == "valid", curve.name
    key = ec.generate_private_key(ec.SECP256K1())
    who = with_key(issue("alice@example.org", key.public_key()), key)
    assert codes(mail(clear_signed(who))) == {"algorithm.key"}


# -- compressed (RFC 3274) -----------------------------------------------------------------


def compressed(entity: bytes) -> bytes:
    inner = der.sequence(
        der.integer(0),
        der.algorithm("1.2.840.113549.1.9.16.3.8"),
        der.sequence(
            der.oid(algorithms.DATA), der.element(0xA0, der.octets(zlib.compress(entity)))
        ),
    )
    cms = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.element(0xA0, inner))
    return pkcs7_mime("compressed-data", cms)


def test_compressed_inside_and_outside_of_a_signature() -> None:
    inside = judged(mail(clear_signed(content=compressed(ENTITY))))
    outside = judged(mail(compressed(clear_signed())))

    assert inside.status is outside.status is Status.VALID
    assert [layer.kind for layer in inside.layers] == ["signed", "compressed"]
    assert [layer.kind for layer in outside.layers] == ["compressed", "signed"]
    assert inside.payload == outside.payload == ENTITY
    assert status(mail(compressed(ENTITY))) == "unsigned"


def test_a_bomb_in_a_bomb_is_not_opened() -> None:
    entity = compressed(compressed(compressed(compressed(ENTITY))))

    assert codes(mail(entity)) == {"limits.compressed"}
    assert status(mail(entity)) == "malformed"
