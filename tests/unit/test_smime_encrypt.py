"""What we encrypt, OpenSSL opens, octet for octet; NSS and gpgsm open the readable default."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import ciphers as aes
from cryptography.hazmat.primitives.asymmetric import padding, x448, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from gateway.mime.entity import content_entity, split
from gateway.mime.parameters import content_type
from gateway.mime.transfer import decode_base64
from gateway.smime.algorithms import RSAES_OAEP, Cipher, KeyManagement
from gateway.smime.choose import DomainCrypto, Hold, Treatment, choose
from gateway.smime.encrypt import Recipient, encrypt
from pki.models import Purpose
from tests.gpgsm import import_p12
from tests.unit.smime_world import MAIL, Identity, openssl_decrypt, world

ENTITY = content_entity(split(MAIL))


def _mail(entity: bytes) -> bytes:
    return b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + entity


def _cms(entity: bytes) -> cms.ContentInfo:
    return cms.ContentInfo.load(decode_base64(bytes(split(entity).body)), strict=True)


def _people() -> list[tuple[Identity, KeyManagement]]:
    pairs = [(world().bob, KeyManagement.RSA_PKCS1), (world().bob, KeyManagement.RSA_OAEP)]
    return pairs + [(one, KeyManagement.ECDH) for one in world().curves.values()]


@pytest.mark.parametrize("cipher", list(Cipher))
@pytest.mark.parametrize(
    "case", range(8), ids=["v1.5", "oaep", "p256", "p384", "p521", "b256", "b384", "b512"]
)
def test_openssl_opens_every_combination(tmp_path: Path, cipher: Cipher, case: int) -> None:
    owner, transport = _people()[case]

    sealed = encrypt(ENTITY, [owner.recipient(transport)], cipher)

    assert openssl_decrypt(tmp_path, _mail(sealed), owner) == ENTITY
    parameters = content_type(split(sealed).fields).parameters
    kind = b"authEnveloped-data" if cipher.authenticated else b"enveloped-data"
    assert (parameters["smime-type"], parameters["name"]) == (kind, b"smime.p7m")


@pytest.mark.parametrize("cipher", [Cipher.AES_256_CBC, Cipher.AES_256_GCM])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 1000, 100_000])
def test_sizes_around_the_block(tmp_path: Path, cipher: Cipher, size: int) -> None:
    entity = (b"\r\n" + bytes(range(256)) * 400)[:size]

    sealed = encrypt(entity, [world().bob.recipient(KeyManagement.RSA_PKCS1)], cipher)

    assert openssl_decrypt(tmp_path, _mail(sealed), world().bob) == entity


def test_every_recipient_of_a_mixed_group_opens_it(tmp_path: Path) -> None:
    recipients = [owner.recipient(transport) for owner, transport in _people()[1:]]

    for cipher in (Cipher.AES_256_CBC, Cipher.AES_256_GCM):
        sealed = _mail(encrypt(ENTITY, recipients, cipher))

        for owner, _ in _people()[1:]:
            assert openssl_decrypt(tmp_path, sealed, owner) == ENTITY


@pytest.mark.parametrize("who", ["xavier", "xenia"])
def test_x25519_and_x448_recipients_get_the_key_as_rfc_8418_says(who: str) -> None:
    """No tool at hand reads these: worked out here from the standard, with the library's parts."""
    owner: Identity = getattr(world(), who)
    content = _cms(encrypt(ENTITY, [owner.recipient(KeyManagement.ECDH)], Cipher.AES_256_CBC))
    info = content["content"]["recipient_infos"][0].chosen
    originator = info["originator"].chosen
    point = originator["public_key"].native
    small = who == "xavier"

    assert originator["algorithm"]["algorithm"].dotted == (
        "1.3.101.110" if small else "1.3.101.111"
    )
    scheme = info["key_encryption_algorithm"]
    assert scheme["algorithm"].dotted == f"1.2.840.113549.1.9.16.3.{19 if small else 21}"
    wrap_algorithm = bytes.fromhex("300b060960864801650304012d")
    assert scheme["parameters"].dump() == wrap_algorithm
    shared_info = b"\x30\x15" + wrap_algorithm + bytes.fromhex("a2060404") + b"\0\0\1\0"
    if isinstance(owner.key, x25519.X25519PrivateKey):
        secret = owner.key.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    else:
        assert isinstance(owner.key, x448.X448PrivateKey)
        secret = owner.key.exchange(x448.X448PublicKey.from_public_bytes(point))
    kek = HKDF(SHA256() if small else SHA512(), 32, None, shared_info).derive(secret)
    (one,) = info["recipient_encrypted_keys"]
    key = aes_key_unwrap(kek, one["encrypted_key"].native)
    sealed = content["content"]["encrypted_content_info"]
    iv = sealed["content_encryption_algorithm"]["parameters"].native
    decryptor = aes.Cipher(aes.algorithms.AES(key), aes.modes.CBC(iv)).decryptor()
    opened = decryptor.update(sealed["encrypted_content"].native) + decryptor.finalize()
    assert opened[: -opened[-1]] == ENTITY


def test_nobody_else_opens_it(tmp_path: Path) -> None:
    sealed = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_OAEP)], Cipher.AES_256_GCM)

    with pytest.raises(AssertionError):
        openssl_decrypt(tmp_path, _mail(sealed), world().alice)


def test_one_recipient_info_for_each_certificate_and_none_besides() -> None:
    bob = world().bob.recipient(KeyManagement.RSA_PKCS1)
    curve = world().curves["secp256r1"].recipient(KeyManagement.ECDH)

    content = _cms(encrypt(ENTITY, [bob, curve, bob], Cipher.AES_256_CBC))["content"]

    serials = []
    for info in content["recipient_infos"]:
        rid = (
            info.chosen["rid"]
            if info.name == "ktri"
            else info.chosen["recipient_encrypted_keys"][0]["rid"]
        )
        serials.append(rid.chosen["serial_number"].native)
    assert serials == [
        world().bob.certificate.serial_number,
        world().curves["secp256r1"].certificate.serial_number,
    ]


def test_cms_versions_are_those_of_the_standard() -> None:
    """RFC 5652 §6.1: 0 with key transport alone, 2 with key agreement; RFC 5083 §2.1: 0."""
    bob = world().bob.recipient(KeyManagement.RSA_PKCS1)
    curve = world().curves["secp256r1"].recipient(KeyManagement.ECDH)

    def version(*recipients: Recipient, cipher: Cipher) -> str:
        return str(_cms(encrypt(ENTITY, recipients, cipher))["content"]["version"].native)

    assert version(bob, cipher=Cipher.AES_256_CBC) == "v0"
    assert version(bob, curve, cipher=Cipher.AES_256_CBC) == "v2"
    assert version(bob, curve, cipher=Cipher.AES_256_GCM) == "v0"


def test_gcm_has_a_full_tag_and_notices_any_change() -> None:
    info = _cms(
        encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_GCM)
    )
    content = info["content"]
    inner = content["auth_encrypted_content_info"]
    nonce = inner["content_encryption_algorithm"]["parameters"].native
    tag, text = content["mac"].native, inner["encrypted_content"].native
    wrapped = content["recipient_infos"][0].chosen["encrypted_key"].native
    key = world().bob.key.decrypt(wrapped, padding.PKCS1v15())  # type: ignore[union-attr]
    nonce_octets = next(iter(nonce.values())) if isinstance(nonce, dict) else nonce

    assert len(tag) == 16
    assert len(nonce_octets) == 12
    assert AESGCM(key).decrypt(nonce_octets, text + tag, None) == ENTITY


def test_two_mails_share_no_key_no_nonce_and_no_ciphertext() -> None:
    recipient = world().bob.recipient(KeyManagement.RSA_PKCS1)

    for cipher in Cipher:
        one, two = (_cms(encrypt(ENTITY, [recipient], cipher)) for _ in range(2))
        assert one["content"]["recipient_infos"].dump() != two["content"]["recipient_infos"].dump()
        assert one.dump()[-64:] != two.dump()[-64:]


def test_lines_are_short_ascii_and_end_in_crlf() -> None:
    sealed = encrypt(
        ENTITY * 50, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC
    )

    lines = sealed.split(b"\r\n")
    assert lines[-1] == b""
    assert b"\n" not in b"".join(lines)
    assert max(map(len, lines)) <= 78
    assert sealed.isascii()


def test_what_must_not_happen_is_refused() -> None:
    bob = world().bob
    with pytest.raises(ValueError, match="nobody"):
        encrypt(ENTITY, [], Cipher.AES_256_CBC)
    with pytest.raises(ValueError, match="not checked for encryption"):
        encrypt(
            ENTITY,
            [Recipient(bob.checked(purpose=Purpose.SIGN), KeyManagement.RSA_PKCS1)],
            Cipher.AES_256_CBC,
        )
    with pytest.raises(ValueError, match="does not fit"):
        encrypt(ENTITY, [bob.recipient(KeyManagement.ECDH)], Cipher.AES_256_CBC)
    with pytest.raises(ValueError, match="does not fit"):
        encrypt(
            ENTITY,
            [world().curves["secp256r1"].recipient(KeyManagement.RSA_OAEP)],
            Cipher.AES_256_CBC,
        )
    with pytest.raises(ValueError, match="curve"):
        encrypt(ENTITY, [world().odd_curve.recipient(KeyManagement.ECDH)], Cipher.AES_256_CBC)


def test_gpgsm_and_nss_open_the_readable_default(tmp_path: Path) -> None:
    sealed = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC)
    message = tmp_path / "message.p7m"
    message.write_bytes(decode_base64(bytes(split(sealed).body)))
    p12 = world().bob.write_p12(tmp_path / "bob.p12", b"test", world().root)

    database = tmp_path / "nss"
    database.mkdir()
    name = f"sql:{database}"
    _run("certutil", "-N", "-d", name, "--empty-password")
    _run("pk12util", "-i", p12, "-d", name, "-K", "", "-W", "test")
    assert _run("cmsutil", "-D", "-d", name, "-i", message) == ENTITY

    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    gpgsm = ("gpgsm", "--homedir", home, "--batch", "--pinentry-mode", "loopback",
             "--passphrase-fd", "0")  # fmt: skip
    try:
        again = tmp_path / "again.p12"
        import_p12(gpgsm, lambda: world().bob.write_p12(again, b"test", world().root), b"test\n")
        assert _run(*gpgsm, "--decrypt", message, stdin=b"test\n") == ENTITY
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def _run(*arguments: object, stdin: bytes = b"") -> bytes:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, input=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


GCM, CBC = Cipher.AES_256_GCM, Cipher.AES_256_CBC
RC2, TRIPLE_DES = "1.2.840.113549.3.2", "1.2.840.113549.3.7"


@pytest.mark.parametrize(
    ("capabilities", "domain", "elliptic", "expected"),
    [
        ((), DomainCrypto.READABLE, False, (CBC, KeyManagement.RSA_PKCS1)),
        ((), DomainCrypto.READABLE, True, (CBC, KeyManagement.ECDH)),
        ((), DomainCrypto.MODERN, False, (GCM, KeyManagement.RSA_OAEP)),
        ((), DomainCrypto.MODERN, True, (GCM, KeyManagement.ECDH)),
        ((), DomainCrypto.STRICT, False, None),
        ((CBC.oid, GCM.oid), DomainCrypto.READABLE, False, (GCM, KeyManagement.RSA_PKCS1)),
        ((GCM.oid, RSAES_OAEP), DomainCrypto.STRICT, False, (GCM, KeyManagement.RSA_OAEP)),
        ((GCM.oid,), DomainCrypto.STRICT, True, (GCM, KeyManagement.ECDH)),
        ((CBC.oid,), DomainCrypto.MODERN, False, (CBC, KeyManagement.RSA_PKCS1)),
        (
            (Cipher.AES_128_CBC.oid, TRIPLE_DES),
            DomainCrypto.READABLE,
            False,
            (Cipher.AES_128_CBC, KeyManagement.RSA_PKCS1),
        ),
        # Nobody talks us down below AES-128 (threats S21).
        ((RC2, TRIPLE_DES), DomainCrypto.READABLE, False, (CBC, KeyManagement.RSA_PKCS1)),
        ((RC2, TRIPLE_DES), DomainCrypto.STRICT, False, None),
    ],
)
def test_the_choice_for_a_recipient(
    capabilities: tuple[str, ...],
    domain: DomainCrypto,
    elliptic: bool,
    expected: tuple[Cipher, KeyManagement] | None,
) -> None:
    owner = world().curves["secp256r1"] if elliptic else world().bob

    chosen = choose(owner.checked(capabilities), domain)

    assert owner.address in chosen.reason.text
    if expected is None:
        assert isinstance(chosen, Hold)
    else:
        assert isinstance(chosen, Treatment)
        assert (chosen.cipher, chosen.transport) == expected


def test_a_chosen_treatment_can_be_done(tmp_path: Path) -> None:
    for owner in (world().bob, world().curves["secp384r1"]):
        for domain in (DomainCrypto.READABLE, DomainCrypto.MODERN):
            chosen = choose(owner.checked(), domain)
            assert isinstance(chosen, Treatment)
            sealed = encrypt(ENTITY, [owner.recipient(chosen.transport)], chosen.cipher)
            assert openssl_decrypt(tmp_path, _mail(sealed), owner) == ENTITY
