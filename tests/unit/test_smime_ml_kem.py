"""ML-KEM recipients, and the hybrid that is none: two RecipientInfos for one person."""

from __future__ import annotations

import json
import re
from base64 import encodebytes
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import cms, core
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers, serialization
from cryptography.hazmat.primitives.asymmetric import mlkem, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.mime.transfer import decode_base64
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.choose import DomainCrypto, choose
from gateway.smime.cms import content_info
from gateway.smime.decrypt import DecryptRefused, decrypt
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.hybrid import FalseHybrid
from gateway.smime.key_encapsulation import ML_KEM_512
from pki import der_writing as der
from pki.decrypter import KeyDecrypter
from pki.models import CheckedCertificate
from pki.verdict import unsafe_unchecked
from tests.corpora import corpus
from tests.unit import sealing
from tests.unit.smime_world import MAIL, NOW, openssl_decrypt, world

ENTITY = content_entity(split(MAIL))
ISSUER = rsa.generate_private_key(65537, 3072)
Private = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
KEYS: dict[str, Private] = {
    "2.16.840.1.101.3.4.4.2": mlkem.MLKEM768PrivateKey.generate(),
    "2.16.840.1.101.3.4.4.3": mlkem.MLKEM1024PrivateKey.generate(),
}
KEY = KEYS["2.16.840.1.101.3.4.4.2"]
AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
AES_256_GCM = "2.16.840.1.101.3.4.1.46"


def certificate(key: object, subject: str, *addresses: str) -> CheckedCertificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else [])
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AC")]),
        name,
        key.public_key(),  # type: ignore[attr-defined]
        x509.random_serial_number(),
        NOW,
        NOW + timedelta(days=365),
    )
    if addresses:
        names = x509.SubjectAlternativeName([x509.RFC822Name(one) for one in addresses])
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(ISSUER, SHA256())
    return unsafe_unchecked(made.public_bytes(serialization.Encoding.DER), moment=NOW)


def by_kem(checked: CheckedCertificate) -> Recipient:
    return Recipient(checked, KeyManagement.ML_KEM)


def by_rsa(checked: CheckedCertificate) -> Recipient:
    return Recipient(checked, KeyManagement.RSA_OAEP)


def opened(entity: bytes, key: Private, kem_oid: str) -> bytes:
    """Worked out from RFC 9629 and RFC 9936 with asn1crypto: no tool at hand reads these."""
    whole = cms.ContentInfo.load(decode_base64(bytes(split(entity).body)), strict=True)
    info, authenticated = whole["content"], whole["content_type"].dotted == AUTH_ENVELOPED
    # RFC 5652 §6.1: an OtherRecipientInfo is there; RFC 5083 §2.1 knows one version alone.
    assert info["version"].native == ("v0" if authenticated else "v3")
    (recipient,) = (one for one in info["recipient_infos"] if one.name == "ori")
    assert recipient.chosen["ori_type"].dotted == "1.2.840.113549.1.9.16.13.3"
    parts = list(core.SequenceOf.load(recipient.chosen["ori_value"].dump(), spec=core.Any))
    version, _rid, kem, ciphertext, kdf, length, wrap, encrypted = (one.dump() for one in parts)
    assert core.Integer.load(version).native == 0
    assert (
        kem == core.SequenceOf([core.ObjectIdentifier(kem_oid)], spec=core.ObjectIdentifier).dump()
    )
    assert kdf.hex() == "300d060b2a864886f70d010910031c"
    assert wrap.hex() == "300b060960864801650304012d"
    secret = key.decapsulate(core.OctetString.load(ciphertext).native)
    other_info = core.SequenceOf([core.Any.load(wrap), core.Any.load(length)], spec=core.Any).dump()
    kek = HKDF(SHA256(), core.Integer.load(length).native, None, other_info).derive(secret)
    content_key = aes_key_unwrap(kek, core.OctetString.load(encrypted).native)
    if authenticated:
        return opened_by_gcm(info, content_key)
    sealed = info["encrypted_content_info"]
    iv = sealed["content_encryption_algorithm"]["parameters"].native
    decryptor = ciphers.Cipher(
        ciphers.algorithms.AES(content_key), ciphers.modes.CBC(iv)
    ).decryptor()
    padded = decryptor.update(sealed["encrypted_content"].native) + decryptor.finalize()
    return padded[: -padded[-1]]


def opened_by_gcm(info: cms.AuthEnvelopedData, content_key: bytes) -> bytes:
    """RFC 5083, with the parameters of RFC 5084 §3.2; `cryptography` judges the tag."""
    sealed = info["auth_encrypted_content_info"]
    algorithm = sealed["content_encryption_algorithm"]
    assert algorithm["algorithm"].dotted == AES_256_GCM
    assert len(content_key) == 32
    parameters = core.SequenceOf.load(algorithm["parameters"].dump(), spec=core.Any, strict=True)
    nonce, length = parameters
    nonce = core.OctetString.load(nonce.dump(), strict=True).native
    tag = info["mac"].native
    assert core.Integer.load(length.dump(), strict=True).native == len(tag) == 16
    assert len(nonce) == 12  # §3.2: recommended
    # No attributes: the additional data is then empty (RFC 5083 §2.2).
    assert info["auth_attrs"].native is None
    assert sealed["content_type"].native == "data"
    return AESGCM(content_key).decrypt(nonce, sealed["encrypted_content"].native + tag, None)


@pytest.mark.parametrize("kem", KEYS)
@pytest.mark.parametrize("size", [0, 3 << 20])
@pytest.mark.parametrize("cipher", [Cipher.AES_256_CBC, Cipher.AES_256_GCM])
def test_the_key_reaches_its_owner_as_rfc_9936_says(kem: str, size: int, cipher: Cipher) -> None:
    """Small and large: the version of EnvelopedData is written at two places."""
    entity = ENTITY + b"x" * size
    to = by_kem(certificate(KEYS[kem], "Kim", "kim@example.net"))

    assert opened(encrypt(entity, [to], cipher), KEYS[kem], kem) == entity


def test_one_bit_changed_in_an_authenticated_envelope_opens_nothing() -> None:
    """What opens it here judges, and does not only decrypt."""
    to = by_kem(certificate(KEY, "Kim", "kim@example.net"))
    sealed = encrypt(ENTITY, [to], Cipher.AES_256_GCM)
    head, body = sealed.split(b"\r\n\r\n", 1)
    octets = bytearray(decode_base64(body))
    octets[-1] ^= 1  # the tag stands last
    with pytest.raises(InvalidTag):
        opened(head + b"\r\n\r\n" + encodebytes(octets), KEY, "2.16.840.1.101.3.4.4.2")


def test_certificates_of_others_are_taken() -> None:
    pem = corpus("bc-tsp-ers/pkix/cert/mlkem/ML-KEM-768.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    checked = unsafe_unchecked(der, moment=NOW)

    encrypt(ENTITY, [by_kem(checked)], Cipher.AES_256_CBC)
    for wrong in (KeyManagement.RSA_OAEP, KeyManagement.RSA_PKCS1, KeyManagement.ECDH):
        with pytest.raises(ValueError, match="does not fit"):
            encrypt(ENTITY, [Recipient(checked, wrong)], Cipher.AES_256_CBC)


def test_no_other_key_gets_it() -> None:
    for owner in (world().bob, world().xavier, world().curves["secp256r1"]):
        with pytest.raises(ValueError, match="does not fit"):
            encrypt(ENTITY, [owner.recipient(KeyManagement.ML_KEM)], Cipher.AES_256_CBC)


@pytest.mark.parametrize("domain", list(DomainCrypto))
def test_the_gateway_never_chooses_it(domain: DomainCrypto) -> None:
    with pytest.raises(ValueError, match="of this kind"):
        choose(certificate(KEY, "Kim", "kim@example.net"), domain)


def test_two_people_may_be_of_two_kinds(tmp_path: Path) -> None:
    kim, bob = certificate(KEY, "Kim", "kim@example.net"), world().bob
    sealed = encrypt(ENTITY, [by_kem(kim), by_rsa(bob.checked())], Cipher.AES_256_CBC)

    assert opened(sealed, KEY, "2.16.840.1.101.3.4.4.2") == ENTITY
    assert openssl_decrypt(tmp_path, b"MIME-Version: 1.0\r\n" + sealed, bob) == ENTITY


@pytest.mark.parametrize(
    ("one", "other", "who"),
    [
        (("Kim", "kim@example.net"), ("K", "kim@example.net"), "kim@example.net"),
        (("Kim", "KIM@EXAMPLE.net"), ("K", "x@a.example", "KIM@example.NET"), "KIM@example.net"),
        (("Kim", "kim@xn--bcher-kva.example"), ("K", "kim@XN--BCHER-KVA.example"),
         "kim@xn--bcher-kva.example"),
        (("Kim",), ("Kim", "kim@example.net"), "CN=Kim"),
        (("Kim",), ("Kim",), "CN=Kim"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_one_person_is_not(
    one: tuple[str, ...], other: tuple[str, ...], who: str, turned: bool
) -> None:
    both = [by_kem(certificate(KEY, *one)), by_rsa(certificate(ISSUER, *other))]
    stranger = by_rsa(world().bob.checked())

    with pytest.raises(FalseHybrid, match="nest two envelopes") as raised:
        encrypt(ENTITY, [stranger, *(reversed(both) if turned else both)], Cipher.AES_256_GCM)
    assert raised.value.who.lower() == who.lower()


def test_nor_by_the_address_a_certificate_was_checked_for() -> None:
    """The directory said whose it is; the certificate need not."""
    kem = replace(certificate(KEY, "Kim"), address="kim@example.net")
    classical = replace(certificate(ISSUER, "Post"), address="kim@example.net")

    with pytest.raises(FalseHybrid):
        encrypt(ENTITY, [by_kem(kem), by_rsa(classical)], Cipher.AES_256_CBC)


def test_a_common_name_alone_makes_nobody_the_same() -> None:
    kem = certificate(KEY, "Kim", "kim@a.example")
    for classical in (certificate(ISSUER, "Kim", "kim@b.example"), certificate(ISSUER, "")):
        encrypt(ENTITY, [by_kem(kem), by_rsa(classical)], Cipher.AES_256_CBC)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "kem.crt").write_bytes(certificate(KEY, "Kim", "kim@example.net").der)
    (tmp_path / "rsa.crt").write_bytes(certificate(ISSUER, "Kim", "kim@example.net").der)
    (tmp_path / "mail.eml").write_bytes(MAIL)
    return tmp_path


ENCRYPT = ["smime", "encrypt", "--to", "kem.crt"]


def test_on_the_command_line_it_must_be_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ENCRYPT, "--out", "e", "mail.eml"]) == 2
    assert "CN=Kim has an ML-KEM key" in capsys.readouterr().err
    assert main([*ENCRYPT, "--experimental-ml-kem", "--out", "e", "--json", "mail.eml"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["recipients"][0]["key_management"] == "ml-kem"
    mail = (here / "e").read_bytes()
    entity = content_entity(split(mail))
    assert opened(entity, KEY, "2.16.840.1.101.3.4.4.2") == ENTITY


def test_a_false_hybrid_is_refused_and_a_nested_one_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [*ENCRYPT, "--experimental-ml-kem", "--to", "rsa.crt", "--out", "e", "mail.eml"]
    assert main(both) == 2
    assert "the weaker one opens the mail" in capsys.readouterr().err
    assert not (here / "e").exists()

    assert main(["smime", "encrypt", "--to", "rsa.crt", "--out", "inner", "mail.eml"]) == 0
    assert main([*ENCRYPT, "--experimental-ml-kem", "--out", "e", "inner"]) == 0
    inner = opened(content_entity(split((here / "e").read_bytes())), KEY, "2.16.840.1.101.3.4.4.2")
    assert inner == content_entity(split((here / "inner").read_bytes()))


def test_the_transport_must_be_one_for_the_key(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--experimental-ml-kem", "--key-management", "ecdh", "--out", "e", "mail.eml"]
    assert main([*ENCRYPT, *arguments]) == 2
    assert "with ecdh: its key is of another kind" in capsys.readouterr().err


def test_ml_kem_512_is_refused_in_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The library has none: certificates and keys with it cannot be used, and say so."""
    pem = corpus("bc-tsp-ers/pkix/cert/mlkem/ML-KEM-512.pem")
    oid = bytes.fromhex("0609608648016503040401")
    (here / "k512.key").write_bytes(
        der.sequence(der.integer(0), der.sequence(oid), der.octets(b"\x80\x40" + bytes(64)))
    )
    for command in (
        ["encrypt", "--experimental-ml-kem", "--to", str(pem)],
        ["decrypt", "--key", "k512.key"],
    ):
        assert main(["smime", *command, "--out", "o", "mail.eml"]) == 2
        assert re.search("cannot be (used|read)|unknown kind", capsys.readouterr().err)


@pytest.mark.parametrize("beside", [False, True])
def test_mail_for_ml_kem_512_is_refused_where_no_other_way_is(beside: bool) -> None:
    name = sealing.by_name(world().bob.der)
    kem = sealing.encapsulated(name, bytes(32), bytes(768), ML_KEM_512)
    ways = [kem, sealing.transport(world().bob.key.public_key(), name)] if beside else [kem]
    info = content_info(sealing.gcm().der(*ways))
    keys = [KeyDecrypter(KEY), KeyDecrypter(world().bob.key, world().bob.der)]

    if beside:
        decrypt(info, keys, moment=NOW, secret=b"s")
        return
    with pytest.raises(DecryptRefused) as refused:
        decrypt(info, keys, moment=NOW, secret=b"s")
    assert refused.value.problem.code == "algorithm.unsupported"
    assert "ml-kem-512" in refused.value.problem.text
