"""Signature schemes and their parameters: what is read, what holds, what is refused."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.smime import algorithms, cms
from gateway.smime.cms import Algorithm
from gateway.smime.digests import DIGESTS, NAMED, digest_of
from gateway.smime.schemes import Pss, Scheme, pss_of, scheme_of
from pki import der_writing as der
from pki.errors import Problem
from tests.unit.cms_forger import (
    ENTITY,
    NULL,
    RSA,
    Party,
    alice,
    clear_signed,
    codes,
    dump,
    issue,
    judged,
    mail,
    rules,
    signer_info,
    status,
)
from tests.unit.smime_world import NOW, world

SHA512 = der.algorithm(algorithms.DIGESTS["sha512"])
USUAL = hashes.SHA256()
CHAIN = (dump(world().middle),)


def later() -> datetime:
    """OpenSSL makes certificates that begin now, which may be long after `NOW`."""
    return datetime.now(UTC) + timedelta(hours=1)


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def own(key: Any, oid: str, digest: bytes = SHA512, hashing: Any = sha512) -> Party:
    """Somebody with a key that signs whole messages."""
    certificate = issue("alice@example.org", key.public_key())
    return Party(certificate, CHAIN, digest, der.algorithm(oid), key.sign, hashing)


WHOLE: dict[str, Callable[[], Party]] = {
    "ed25519": lambda: own(ed25519.Ed25519PrivateKey.generate(), "1.3.101.112"),
    "ed448": lambda: own(
        ed448.Ed448PrivateKey.generate(),
        "1.3.101.113",
        digest=der.algorithm("2.16.840.1.101.3.4.2.18", der.integer(512)),  # RFC 8419 §2.3
        hashing=lambda data: hashlib.shake_256(data).digest(64),
    ),
    "ml-dsa-44": lambda: own(mldsa.MLDSA44PrivateKey.generate(), "2.16.840.1.101.3.4.3.17"),
    "ml-dsa-65": lambda: own(mldsa.MLDSA65PrivateKey.generate(), "2.16.840.1.101.3.4.3.18"),
    "ml-dsa-87": lambda: own(mldsa.MLDSA87PrivateKey.generate(), "2.16.840.1.101.3.4.3.19"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_schemes_that_sign_the_message_itself(name: str) -> None:
    who = WHOLE[name]()
    entity = clear_signed(who)

    found = judged(mail(entity))

    assert found.status.value == "valid", found.problems
    assert found.signers[0].signature == name
    assert status(mail(entity.replace(b"Bonjour", b"Bonsoir"))) == "invalid"
    assert status(mail(clear_signed(who, infos=[signer_info(who, None)]))) == "valid"
    wrong = signer_info(who, signature=bytes(len(who.sign(b""))))
    assert codes(mail(clear_signed(who, infos=[wrong]))) == {"signature.wrong"}


@pytest.mark.parametrize("name", WHOLE)
def test_parameters_that_must_be_absent(name: str) -> None:
    """RFC 8410 §3, RFC 9881 §2."""
    who = WHOLE[name]()
    oid = cms.algorithm(cms.read(who.algorithm)).oid
    info = signer_info(who, algorithm=der.algorithm(oid, NULL))

    assert codes(mail(clear_signed(who, infos=[info]))) == {"algorithm.parameters"}


def test_dsa_is_for_old_evidence() -> None:
    key = dsa.generate_private_key(2048)
    digest = der.algorithm(algorithms.DIGESTS["sha256"])
    who = Party(
        issue("alice@example.org", key.public_key()), CHAIN, digest,
        der.algorithm("2.16.840.1.101.3.4.3.2"), lambda data: key.sign(data, hashes.SHA256()),
    )  # fmt: skip

    assert codes(mail(clear_signed(who))) == {"algorithm.refused", "algorithm.key"}
    assert status(mail(clear_signed(who)), rules(legacy=True)) == "valid"


@pytest.mark.parametrize("bits", ["224", "256", "384", "512"])
def test_sha_3(bits: str) -> None:
    """RFC 9688."""
    digest = NAMED[f"sha3-{bits}"]
    (oid,) = (oid for oid, one in DIGESTS.items() if one is digest)
    number = {"224": 0, "256": 1, "384": 2, "512": 3}[bits]
    curve, modulus = ec.generate_private_key(ec.SECP256R1()), world().alice.key
    assert isinstance(modulus, rsa.RSAPrivateKey)
    for certificate, kind, sign in (
        (
            issue("alice@example.org", curve.public_key()),
            f"2.16.840.1.101.3.4.3.{9 + number}",
            lambda data: curve.sign(data, ec.ECDSA(digest.hashing)),
        ),
        (
            world().alice.der,
            f"2.16.840.1.101.3.4.3.{13 + number}",
            lambda data: modulus.sign(data, padding.PKCS1v15(), digest.hashing),
        ),
    ):
        who = Party(certificate, CHAIN, der.algorithm(oid), der.algorithm(kind), sign, digest.of)

        found = judged(mail(clear_signed(who)))

        assert found.status.value == "valid", found.problems
        assert found.signers[0].digest == f"sha3-{bits}"


@pytest.mark.parametrize("name", NAMED)
def test_digests_against_openssl(name: str) -> None:
    options = ["-shake256", "-xoflen", "64"] if name == "shake256" else [f"-{name}"]
    done = subprocess.run(
        ["openssl", "dgst", "-binary", *options], input=ENTITY, capture_output=True, check=True
    )

    assert NAMED[name].of(ENTITY) == done.stdout
    assert NAMED[name].of(memoryview(ENTITY)) == done.stdout


def test_the_dates_of_the_table_count() -> None:
    """The moment is that of the check, not that of the signature."""
    late = rules(world().alice.der, moment=datetime(2036, 1, 1, tzinfo=UTC))

    assert "algorithm.refused" in codes(mail(clear_signed()), late)


def test_a_key_of_another_kind() -> None:
    ecdsa = der.algorithm("1.2.840.10045.4.3.2")
    for algorithm in (ecdsa, der.algorithm("1.3.101.112"), der.algorithm("1.2.840.10040.4.3")):
        info = signer_info(alice(), algorithm=algorithm)
        assert "signature.key" in codes(mail(clear_signed(infos=[info])))
        assert status(mail(clear_signed(infos=[info]))) == "invalid"


def test_small_rsa_keys_are_for_old_evidence() -> None:
    key = rsa.generate_private_key(65537, 1024)
    who = Party(
        issue("alice@example.org", key.public_key()), CHAIN,
        der.algorithm(algorithms.DIGESTS["sha256"]), RSA,
        lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    )  # fmt: skip

    assert codes(mail(clear_signed(who))) == {"algorithm.key"}
    assert status(mail(clear_signed(who)), rules(legacy=True)) == "valid"


# -- RSASSA-PSS ----------------------------------------------------------------------------


def _hash(name: str, *parameters: bytes) -> bytes:
    (oid,) = (oid for oid, one in DIGESTS.items() if one.name == name and name != "shake256")
    return der.algorithm(oid, *parameters)


def _pss(*fields: bytes) -> bytes:
    return der.sequence(*fields)


def _field(number: int, content: bytes) -> bytes:
    return der.element(0xA0 + number, content)


def _mask(name: str) -> bytes:
    return der.algorithm(algorithms.MGF1, _hash(name, NULL))


SHA256_HASH, SHA256_MASK = _field(0, _hash("sha256", NULL)), _field(1, _mask("sha256"))

GOOD = {
    "all defaults": (_pss(), ("sha1", "sha1", 20)),
    "usual": (_pss(SHA256_HASH, SHA256_MASK, _field(2, der.integer(32))), ("sha256", "sha256", 32)),
    "digest without NULL": (_pss(_field(0, _hash("sha256"))), ("sha256", "sha1", 20)),
    "another mask": (_pss(SHA256_HASH, _field(1, _mask("sha512"))), ("sha256", "sha512", 20)),
    "no salt": (_pss(SHA256_HASH, SHA256_MASK, _field(2, der.integer(0))), ("sha256", "sha256", 0)),
    "trailer said": (_pss(_field(3, der.integer(1))), ("sha1", "sha1", 20)),
    "SHA-3": (_pss(_field(0, _hash("sha3-256"))), ("sha3-256", "sha1", 20)),
}
BAD = {
    "absent": None,
    "NULL": NULL,
    "no sequence": der.octets(b""),
    "unknown digest": _pss(_field(0, der.algorithm("1.2.3"))),
    "digest with parameters": _pss(_field(0, _hash("sha256", der.integer(1)))),
    "unknown mask": _pss(_field(1, der.algorithm("1.2.3", _hash("sha256")))),
    "mask without digest": _pss(_field(1, der.algorithm(algorithms.MGF1))),
    "negative salt": _pss(_field(2, b"\x02\x01\xff")),
    "huge salt": _pss(_field(2, der.integer(1 << 40))),
    "salt no integer": _pss(_field(2, der.octets(b"\x20"))),
    "trailer 2": _pss(_field(3, der.integer(2))),
    "twice": _pss(SHA256_HASH, SHA256_HASH),
    "out of order": _pss(SHA256_MASK, SHA256_HASH),
    "unknown field": _pss(_field(4, der.integer(1))),
    "untagged": _pss(_hash("sha256")),
    "two in a field": _pss(_field(2, der.integer(1) + der.integer(2))),
}


@pytest.mark.parametrize("name", GOOD)
def test_parameters_of_pss_that_are_read(name: str) -> None:
    octets, (digest, mask, salt) = GOOD[name]

    assert pss_of(cms.read(octets)) == Pss(NAMED[digest], NAMED[mask], salt)


@pytest.mark.parametrize("name", BAD)
def test_parameters_of_pss_that_are_refused(name: str) -> None:
    octets = BAD[name]
    found = pss_of(None if octets is None else cms.read(octets))

    assert isinstance(found, Problem)
    assert found.code == "algorithm.parameters"


def _pss_party(parameters: bytes, salt: int, digest: hashes.HashAlgorithm | None = None) -> Party:
    key = world().alice.key
    assert isinstance(key, rsa.RSAPrivateKey)
    hashing = digest or hashes.SHA256()
    return Party(
        world().alice.der, CHAIN, der.algorithm(algorithms.DIGESTS["sha256"]),
        der.algorithm(algorithms.RSASSA_PSS, parameters),
        lambda data: key.sign(data, padding.PSS(padding.MGF1(hashing), salt), hashing),
    )  # fmt: skip


def test_the_salt_has_the_length_that_is_stated() -> None:
    stated = _pss(SHA256_HASH, SHA256_MASK, _field(2, der.integer(32)))

    assert status(mail(clear_signed(_pss_party(stated, 32)))) == "valid"
    assert codes(mail(clear_signed(_pss_party(stated, 20)))) == {"signature.wrong"}


def test_the_digest_of_pss_is_that_of_the_content() -> None:
    """RFC 8933: two digests would let the weaker one decide."""
    stated = _pss(_field(2, der.integer(20)))  # SHA-1 by default
    who = _pss_party(stated, 20, hashes.SHA1())

    assert codes(mail(clear_signed(who))) == {"algorithm.disagreement", "signature.wrong"}


def test_a_key_that_is_for_pss_alone(tmp_path: Path) -> None:
    """RFC 4055 §1.2: an id-RSASSA-PSS key never makes PKCS #1 v1.5 signatures."""
    free = _openssl_pss_key(tmp_path / "free.pem")
    bound = _openssl_pss_key(
        tmp_path / "bound.pem",
        *("-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256"),
        *("-pkeyopt", "rsa_pss_keygen_saltlen:32"),
    )
    stated = _pss(SHA256_HASH, SHA256_MASK, _field(2, der.integer(32)))
    shorter = _pss(SHA256_HASH, SHA256_MASK, _field(2, der.integer(20)))

    for pem, allowed, refused in ((free, (stated, shorter), ()), (bound, (stated,), (shorter,))):
        certificate = _certificate_of(tmp_path, pem)
        key = _as_rsa(pem)
        for parameters in (*allowed, *refused):
            salt = 32 if parameters is stated else 20
            who = _with_rsa(certificate, key, parameters, salt)
            expected = set() if parameters in allowed else {"signature.key"}
            assert codes(mail(clear_signed(who)), rules(certificate, moment=later())) == expected
        v15 = Party(
            certificate, (), der.algorithm(algorithms.DIGESTS["sha256"]), RSA,
            lambda data, key=key: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),  # type: ignore[misc]
        )  # fmt: skip
        given = rules(certificate, moment=later())
        assert codes(mail(clear_signed(v15)), given) == {"signature.key"}


def _with_rsa(certificate: bytes, key: rsa.RSAPrivateKey, parameters: bytes, salt: int) -> Party:
    return Party(
        certificate, (), der.algorithm(algorithms.DIGESTS["sha256"]),
        der.algorithm(algorithms.RSASSA_PSS, parameters),
        lambda data: key.sign(data, padding.PSS(padding.MGF1(USUAL), salt), USUAL),
    )  # fmt: skip


def _openssl_pss_key(path: Path, *options: str) -> Path:
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-out", path, *options],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def _certificate_of(folder: Path, key: Path) -> bytes:
    target = folder / f"{key.stem}.der"
    subprocess.run(
        ["openssl", "req", "-x509", "-key", key, "-subj", "/CN=Alice", "-outform", "DER",
         "-out", target, "-days", "30", "-sha256", "-sigopt", "rsa_pss_saltlen:32",
         "-addext", "subjectAltName=email:alice@example.org"],
        check=True, capture_output=True,
    )  # fmt: skip
    return target.read_bytes()


def _as_rsa(path: Path) -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


# -- AlgorithmIdentifiers --------------------------------------------------------------------


def test_names_with_their_digests() -> None:
    found = scheme_of(Algorithm("1.2.840.113549.1.1.12", None))
    assert found == Scheme("rsa-pkcs1", NAMED["sha384"])
    assert isinstance(scheme_of(Algorithm("1.2.840.113549.1.1.7", None)), Problem)  # OAEP


def test_a_digest_with_parameters_is_refused() -> None:
    odd = cms.algorithm(cms.read(_hash("sha256", der.integer(5))))
    long = cms.algorithm(cms.read(der.algorithm("2.16.840.1.101.3.4.2.18", der.integer(256))))

    for algorithm in (odd, long):
        found = digest_of(algorithm)
        assert isinstance(found, Problem)
        assert found.code == "algorithm.parameters"


def test_the_key_of_a_certificate_is_what_we_think_it_is() -> None:
    """Guards the tests of PSS keys: `cryptography` gives both kinds out as RSA keys."""
    spki = (
        world().alice.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    assert der.oid(algorithms.RSA_ENCRYPTION) in spki


def test_a_path_of_ml_dsa() -> None:
    """RFC 9881: root, signer and mail, all of them."""
    root_key, key = mldsa.MLDSA65PrivateKey.generate(), mldsa.MLDSA44PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Racine ML-DSA")])
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, None)
    )
    certificate = issue("alice@example.org", key.public_key(), by=(root, root_key), hashing=None)
    who = Party(
        certificate, (), SHA512, der.algorithm("2.16.840.1.101.3.4.3.17"), key.sign, sha512
    )  # fmt: skip

    assert status(mail(clear_signed(who)), rules(dump(root))) == "valid"
    other = bytearray(certificate)
    other[-1] ^= 1
    forged = Party(bytes(other), (), SHA512, who.algorithm, key.sign, sha512)
    assert codes(mail(clear_signed(forged)), rules(dump(root))) == {"path.signature"}
