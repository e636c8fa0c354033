"""What one message may make us calculate (L11): keys, signers and lists of any size cost little.

Times are of the processor, far below what the guard of the commands would stop at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from gateway.smime import algorithms
from gateway.smime.layers import verify
from gateway.smime.signed import MAX_CRLS, MAX_SIGNERS
from gateway.smime.verdicts import Status, Verification
from gateway.smime.verify import _CHECKS
from gateway.smime.wrapping import pkcs7_mime
from pki import der_writing as der
from pki.algorithms import MAX_BITS, MAX_EXPONENT, too_large
from pki.certificate import ParsedCertificate, signature_holds
from tests.pace import at_most
from tests.unit.cms_forger import (
    ENTITY,
    NULL,
    RSA,
    SHA256,
    Party,
    alice,
    attributes_for,
    codes,
    dump,
    issue,
    mail,
    rules,
    signed_data,
    signer_info,
)
from tests.unit.smime_world import NOW, world

GARBAGE = b"\0" * 8 + os.urandom(56)


def rsa_key(bits: int, exponent_bits: int = 17) -> rsa.RSAPublicKey:
    """As an attacker makes one, without the work of finding primes."""
    modulus = int.from_bytes(os.urandom(bits // 8), "big") | 1 << bits - 1 | 1
    return rsa.RSAPublicNumbers(1 << exponent_bits - 1 | 1, modulus).public_key()


def judged(data: bytes) -> Verification:
    return verify(mail(pkcs7_mime("signed-data", data)), rules())


def with_signature(certificate: bytes, signature: bytes, algorithm: bytes = RSA) -> Party:
    return Party(certificate, (), SHA256, algorithm, lambda _octets: signature)


@pytest.mark.parametrize(
    ("key", "large"),
    [
        (rsa_key(MAX_BITS["rsa"]), False),
        (rsa_key(MAX_BITS["rsa"] + 8), True),
        (rsa_key(16_384, 60), True),
        (rsa_key(2048, MAX_EXPONENT), False),
        (rsa_key(2048, MAX_EXPONENT + 1), True),
        (rsa_key(3072, 3071), True),
        (dsa.generate_parameters, True),
    ],
)
def test_keys_are_bounded(key: object, large: bool) -> None:
    if key is dsa.generate_parameters:  # of a size that nobody has, without making a prime of it
        numbers = dsa.DSAParameterNumbers((1 << 4095) | 1, (1 << 255) | 1, 2)
        key = dsa.DSAPublicNumbers(3, numbers).public_key()

    assert (too_large(key) is not None) == large


@pytest.mark.parametrize("key", [rsa_key(16_384, 60), rsa_key(3072, 3071)])
def test_a_signer_with_a_key_that_costs_seconds(key: rsa.RSAPublicKey) -> None:
    signature = GARBAGE.rjust(key.key_size // 8, b"\0")
    party = with_signature(issue("alice@example.org", key), signature)
    data = signed_data([signer_info(party)] * MAX_SIGNERS, [party.certificate], content=ENTITY)

    with at_most(1.0):
        found = judged(data)
    assert found.status is Status.INVALID
    assert "limits.key" in {one.code for one in found.problems}


@pytest.mark.parametrize("key", [rsa_key(16_384, 60), rsa_key(3072, 3071)])
def test_an_issuer_with_such_a_key_signed_nothing(key: rsa.RSAPublicKey) -> None:
    cert = ParsedCertificate(world().alice.der)
    with at_most(0.1):
        for _ in range(50):
            assert not signature_holds(cert.der, cert.x509, key)


@pytest.mark.parametrize("curve", [ec.BrainpoolP512R1(), ec.SECP521R1()])
def test_many_signers_that_mean_many_certificates(curve: ec.EllipticCurve) -> None:
    """Each SignerInfo fits eight certificates of a slow curve, and no signature is right."""
    key = ec.generate_private_key(curve)
    certificates = [
        issue("alice@example.org", key.public_key(), key_identifier=b"same") for _ in range(8)
    ]
    algorithm = der.algorithm("1.2.840.10045.4.3.4")
    sha512 = der.algorithm(algorithms.DIGESTS["sha512"])
    wrong = key.sign(b"something else", ec.ECDSA(hashes.SHA512()))
    party = Party(certificates[0], (), sha512, algorithm, lambda _octets: wrong)
    info = signer_info(party, identifier=der.element(0x80, b"same"))

    with at_most(1.0):
        found = judged(signed_data([info] * MAX_SIGNERS, certificates, content=ENTITY))
    assert found.status is Status.INVALID
    assert "limits.signatures" in {one.code for one in found.problems}


def test_all_signers_that_are_right_are_checked() -> None:
    assert _CHECKS >= 2 * MAX_SIGNERS
    one = alice()
    data = signed_data(
        [signer_info(one)] * MAX_SIGNERS, [one.certificate, *one.chain], content=ENTITY
    )
    assert judged(data).status is Status.VALID


def test_schemes_that_hash_the_content_themselves() -> None:
    """Ed25519 without signed attributes goes over the content anew for each signer."""
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = issue("alice@example.org", key.public_key())
    wrong = key.sign(b"something else")
    sha512 = der.algorithm(algorithms.DIGESTS["sha512"])
    party = Party(certificate, (), sha512, der.algorithm("1.3.101.112"), lambda _octets: wrong)
    content = ENTITY + b"x" * 4_000_000
    info = signer_info(party, None)
    data = signed_data([info] * MAX_SIGNERS, [certificate], content=content)

    with at_most(1.0):
        found = judged(data)
    assert "limits.signatures" in {one.code for one in found.problems}


def test_cross_certificates_in_all_directions() -> None:
    """Twelve CAs of one name on a slow curve, each certified by none: every pair is tried once."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "All the same")])
    keys = [ec.generate_private_key(ec.BrainpoolP512R1()) for _ in range(12)]
    stranger = ec.generate_private_key(ec.BrainpoolP512R1())
    cas = [_ca(name, key.public_key(), stranger) for key in keys]
    issuer = x509.load_der_x509_certificate(cas[0])
    signers = [
        issue("alice@example.org", world().alice.key.public_key(), by=(issuer, keys[-1]))
        for _ in range(16)
    ]
    infos = [signer_info(Party(one, (), SHA256, RSA, alice().sign)) for one in signers]

    with at_most(2.0):
        found = judged(signed_data(infos, [*cas, *signers], content=ENTITY))
    assert found.status in (Status.INVALID, Status.INDETERMINATE)


def _ca(name: x509.Name, key: ec.EllipticCurvePublicKey, by: ec.EllipticCurvePrivateKey) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return dump(builder.sign(by, hashes.SHA512()))


def test_lists_in_a_message() -> None:
    crl = der.sequence(der.sequence(), der.sequence(), b"\x03\x02\x00\x00")
    infos = [signer_info(alice())]
    people = [alice().certificate, *alice().chain]

    assert judged(_with_crls(infos, people, [crl] * MAX_CRLS)).status is Status.VALID
    many = mail(pkcs7_mime("signed-data", _with_crls(infos, people, [crl] * (MAX_CRLS + 1))))
    assert codes(many) == {"limits.crls"}


def test_a_crl_of_any_length_may_come_along() -> None:
    """It is not looked into, and its entries are not elements of the message."""
    entries = der.sequence(*[der.sequence(der.integer(1), NULL)] * 150_000)
    with at_most(1.0):
        found = judged(
            _with_crls(
                [signer_info(alice())],
                [alice().certificate, *alice().chain],
                [der.sequence(entries, der.sequence(), b"\x03\x02\x00\x00")],
            )
        )
    assert found.status is Status.VALID


def _with_crls(infos: list[bytes], certificates: list[bytes], crls: list[bytes]) -> bytes:
    content = der.element(0xA0, der.octets(ENTITY))
    return der.sequence(
        der.oid(algorithms.SIGNED_DATA),
        der.element(
            0xA0,
            der.sequence(
                der.integer(1),
                der.element(der.SET, SHA256),
                der.sequence(der.oid(algorithms.DATA), content),
                der.set_of(certificates, 0xA0),
                der.set_of(crls, 0xA1),
                der.element(der.SET, *infos),
            ),
        ),
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda: der.sequence(der.element(0xA2, der.integer(1025))),  # salt
        lambda: der.sequence(der.element(0xA2, b"\x02\x81\x80\x7f" + b"\xff" * 127)),
        lambda: der.sequence(der.element(0xA2, b"\x02\x01\xff")),
        lambda: der.sequence(der.element(0xA3, der.integer(2))),  # trailer field
        lambda: der.sequence(der.element(0xA1, der.algorithm("1.2.840.113549.1.1.9", NULL))),
        lambda: der.sequence(*[der.element(0xA0, SHA256)] * 2),
        lambda: der.sequence(*[der.element(0xA4, SHA256)]),
        lambda: der.octets(b"x" * 100_000),
        lambda: b"",
    ],
)
def test_parameters_of_pss_in_any_shape(change: Callable[[], bytes]) -> None:
    algorithm = der.algorithm(algorithms.RSASSA_PSS, change())
    party = with_signature(alice().certificate, os.urandom(384), algorithm)
    data = signed_data(
        [signer_info(party, attributes_for(party, ENTITY))], [party.certificate], content=ENTITY
    )
    with at_most(0.5):
        found = judged(data)
    assert "algorithm.parameters" in {one.code for one in found.problems}
