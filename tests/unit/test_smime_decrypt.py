"""What others encrypt we open: OpenSSL, NSS, the corpora, our own writer, and the RFCs by hand."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mime.entity import content_entity, split
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.cms import content_info
from gateway.smime.decrypt import DecryptRefused, Opened, decrypt
from gateway.smime.encrypt import encrypt
from gateway.smime.opening import OpenLayer, open_mail
from gateway.smime.shared_keys import KnownKey, KnownPassword
from pki import der_writing as der
from pki.anchors import parse_certificates
from pki.decrypter import Decrypter, KeyDecrypter
from pki.errors import PrivateKeyError
from pki.load_decrypter import load_decrypters
from tests.corpora import corpus
from tests.unit import sealing
from tests.unit.sealing import CONTENT, KEY
from tests.unit.smime_world import MAIL, Identity, _issue, world

ENTITY = content_entity(split(MAIL))
MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
SECRET = b"lasting"


def owner(identity: Identity) -> KeyDecrypter:
    return KeyDecrypter(identity.key, identity.der)


def opener(*keys: Decrypter, allow_legacy: bool = False) -> OpenLayer:
    return lambda info: decrypt(info, keys, moment=MOMENT, secret=SECRET, allow_legacy=allow_legacy)


def opened(data: bytes, *keys: Decrypter, allow_legacy: bool = False) -> Opened:
    return decrypt(
        content_info(data), keys, moment=MOMENT, secret=SECRET, allow_legacy=allow_legacy
    )


def code(data: bytes, *keys: Decrypter, allow_legacy: bool = False) -> str:
    with pytest.raises(DecryptRefused) as caught:
        opened(data, *keys, allow_legacy=allow_legacy)
    return caught.value.problem.code


# Our own writer


@pytest.mark.parametrize("cipher", list(Cipher))
def test_every_way_of_our_own_writer(cipher: Cipher) -> None:
    bob, curves = world().bob, world().curves.values()
    cases = [(bob, KeyManagement.RSA_PKCS1), (bob, KeyManagement.RSA_OAEP)]
    for person, transport in cases + [(one, KeyManagement.ECDH) for one in curves]:
        mail = encrypt(ENTITY, [person.recipient(transport)], cipher)

        found = open_mail(mail, opener(owner(person)))

        assert found.content == ENTITY
        (layer,) = found.layers
        assert (layer.cipher, layer.key_management) == (cipher.value, transport.value)
        assert layer.certificate == person.der
        assert layer.authenticated == cipher.authenticated
        remarks = [one.code for one in layer.remarks]
        assert ("decrypt.not-authenticated" in remarks) == (not cipher.authenticated)


@settings(max_examples=60)
@given(
    content=st.binary(max_size=400), cipher=st.sampled_from(list(Cipher)), case=st.integers(0, 2)
)
def test_what_goes_in_comes_out(content: bytes, cipher: Cipher, case: int) -> None:
    person, transport = (
        (world().bob, KeyManagement.RSA_PKCS1),
        (world().bob, KeyManagement.RSA_OAEP),
        (world().curves["secp256r1"], KeyManagement.ECDH),
    )[case]

    mail = encrypt(content, [person.recipient(transport)], cipher)

    assert open_mail(mail, opener(owner(person))).content == content


@pytest.mark.parametrize("cipher", [Cipher.AES_256_CBC, Cipher.AES_256_GCM])
def test_large_entities_cross_the_pieces(cipher: Cipher) -> None:
    for size in ((1 << 18) - 1, 1 << 18, (1 << 21) + 17):
        content = os.urandom(size)
        mail = encrypt(content, [world().bob.recipient(KeyManagement.RSA_PKCS1)], cipher)
        assert open_mail(mail, opener(owner(world().bob))).content == content


# OpenSSL


def _openssl(*arguments: object, content: bytes = CONTENT) -> bytes:
    done = subprocess.run(
        ["openssl", "cms", "-encrypt", "-outform", "DER", "-binary", *map(str, arguments)],
        input=content,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


CIPHERS = ["aes128", "aes192", "aes256", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm"]
DIGESTS = ["sha1", "sha224", "sha256", "sha384", "sha512"]


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("options", [[], ["-keyid"], ["-indef", "-stream"]], ids=str)
def test_openssl_ciphers(tmp_path: Path, cipher: str, options: list[str]) -> None:
    for person in (world().bob, world().curves["secp384r1"]):
        certificate, _ = person.write(tmp_path, "to")
        data = _openssl(f"-{cipher}", *options, "-recip", certificate)
        assert opened(data, owner(person)).content == CONTENT


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("mask", DIGESTS)
@pytest.mark.parametrize("label", ["", "6c6162656c"])
def test_openssl_oaep(tmp_path: Path, digest: str, mask: str, label: str) -> None:
    certificate, _ = world().bob.write(tmp_path, "to")
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
    options += [f"rsa_oaep_label:{label}"] if label else []
    keyopts = [part for one in options for part in ("-keyopt", one)]

    found = opened(_openssl("-aes256", "-recip", certificate, *keyopts), owner(world().bob))

    assert (found.content, found.key_management) == (CONTENT, "rsa-oaep")


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("cofactor", ["0", "1"])
@pytest.mark.parametrize(
    "curve", ["secp256r1", "secp521r1", "brainpoolP256r1"]
)  # fmt: skip
def test_openssl_ecdh(tmp_path: Path, digest: str, cofactor: str, curve: str) -> None:
    person = world().curves.get(curve, world().odd_curve)
    certificate, _ = person.write(tmp_path, "to")
    options = ("-keyopt", f"ecdh_kdf_md:{digest}", "-keyopt", f"ecdh_cofactor_mode:{cofactor}")
    wraps = {"aes128": "aes-128", "aes192": "aes-192", "aes256": "aes-256"}

    for cipher, name in wraps.items():
        data = _openssl(f"-{cipher}", "-recip", certificate, *options)
        found = opened(data, owner(person))
        assert (found.content, found.cipher) == (CONTENT, f"{name}-cbc")


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_openssl_wraps_with_padding(tmp_path: Path, bits: int) -> None:
    """RFC 5649."""
    person = world().curves["secp256r1"]
    certificate, _ = person.write(tmp_path, "to")
    wrap = ("-wrap", f"id-aes{bits}-wrap-pad")

    data = bytearray(_openssl("-aes256", *wrap, certificate))

    assert opened(bytes(data), owner(person)).content == CONTENT
    data[data.index(bytes.fromhex("06092a864886f70d010701")) - 6] ^= 1  # of the wrapped key
    assert code(bytes(data), owner(person)) == "decrypt.failed"


def test_openssl_legacy(tmp_path: Path) -> None:
    for person in (world().bob, world().curves["secp256r1"]):
        certificate, _ = person.write(tmp_path, "to")
        data = _openssl("-des3", "-recip", certificate)  # with ECDH: 3DES wrap, too (RFC 3217)

        assert code(data, owner(person)) == "algorithm.refused"
        found = opened(data, owner(person), allow_legacy=True)
        assert (found.content, found.cipher) == (CONTENT, "3des-cbc")
        assert "algorithm.legacy" in [one.code for one in found.remarks]
    certificate, _ = world().bob.write(tmp_path, "to")
    provider = ("-provider", "legacy", "-provider", "default")
    for cipher, bits in (("rc2-40", 40), ("rc2-64", 64), ("rc2", 128)):
        data = _openssl(f"-{cipher}-cbc", "-recip", certificate, *provider)
        assert code(data, owner(world().bob)) == "algorithm.refused"
        found = opened(data, owner(world().bob), allow_legacy=True)
        assert (found.content, found.cipher) == (CONTENT, f"rc2-{bits}-cbc")
    data = _openssl("-des-cbc", "-recip", certificate, *provider)
    found = opened(data, owner(world().bob), allow_legacy=True)
    assert (found.content, found.cipher) == (CONTENT, "des-cbc")


def test_openssl_several_recipients_and_several_keys_of_one(tmp_path: Path) -> None:
    people = [world().alice, world().bob, *world().curves.values()]
    certificates = [one.write(tmp_path, str(n))[0] for n, one in enumerate(people)]
    data = _openssl("-aes256", *certificates)

    for person in people:
        assert opened(data, owner(person)).content == CONTENT
        # The certificate is not at hand: every RecipientInfo that fits the key is tried.
        assert opened(data, KeyDecrypter(person.key)).content == CONTENT
    keys = [owner(one) for one in (world().erin, world().curves["secp521r1"], world().alice)]
    assert opened(data, *keys).content == CONTENT
    assert code(data, owner(world().erin)) == "decrypt.no-key"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_openssl_shared_keys_and_passwords(size: int) -> None:
    key, identifier = os.urandom(size), os.urandom(6)
    data = _openssl("-aes128", "-secretkey", key.hex(), "-secretkeyid", identifier.hex())
    word = _openssl(f"-aes{8 * size}", "-pwri_password", "pass word")

    def taken(what: bytes, *shared: KnownKey | KnownPassword) -> Opened:
        return decrypt(content_info(what), (), moment=MOMENT, secret=SECRET, shared=shared)

    found = taken(data, KnownKey(b"other", key), KnownKey(identifier, key))
    assert (found.content, found.key_management) == (CONTENT, "kek")
    assert code(data, owner(world().bob)) == "decrypt.no-key"
    found = taken(word, KnownPassword(b"wrong"), KnownPassword(b"pass word"))
    assert (found.content, found.key_management) == (CONTENT, "password")
    for what, wrong in ((data, KnownKey(identifier, bytes(size))), (word, KnownPassword(b"x"))):
        with pytest.raises(DecryptRefused) as caught:
            taken(what, wrong)
        assert caught.value.problem.code == "decrypt.failed"


# NSS


def _run(*arguments: object) -> None:
    done = subprocess.run(list(map(str, arguments)), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_nss(tmp_path: Path) -> None:
    database = f"sql:{tmp_path}"
    certificate, _ = world().bob.write(tmp_path, "bob")
    middle = tmp_path / "middle.pem"
    middle.write_bytes(world().middle.public_bytes(Encoding.PEM))
    _run("certutil", "-N", "-d", database, "--empty-password")
    for nickname, trust, file in (
        ("root", "C,C,C", world().write_cas(tmp_path)),
        ("middle", ",,", middle),
        ("bob", ",,", certificate),
    ):
        _run("certutil", "-A", "-d", database, "-n", nickname, "-t", trust, "-a", "-i", file)
    (tmp_path / "in").write_bytes(CONTENT)
    out = tmp_path / "out"
    _run("cmsutil", "-E", "-d", database, "-r", "bob@example.net",
         "-i", tmp_path / "in", "-o", out)  # fmt: skip

    found = opened(out.read_bytes(), owner(world().bob), allow_legacy=True)

    assert found.content == CONTENT


def test_the_corpus_of_nss() -> None:
    folder = corpus("nss-smime") / "tests/smime/interop-openssl"
    keys = [
        key
        for name in ("Fran.p12", "Fran-ec.p12")
        for key in load_decrypters(folder / name, (), b"nss")
    ]
    files = sorted(folder.glob("*.env"))

    for file in files:
        found = opened(file.read_bytes(), *keys, allow_legacy=True)
        assert found.content == b"This is a test message to Fran.\n", file.name
    legacy = [f.name for f in files if _refused(f.read_bytes(), *keys)]
    assert len(files) == 17
    assert legacy == ["fran-oaep_ossl.env"]  # 3DES


def _refused(data: bytes, *keys: Decrypter) -> bool:
    try:
        opened(data, *keys)
    except DecryptRefused as error:
        return error.problem.code == "algorithm.refused"
    return False


# Other corpora


def test_the_examples_of_rfc_4134() -> None:
    folder = corpus("rfc4134") / "rfc4134"
    content = (folder / "ExContent.bin").read_bytes()
    for name, certificate in (
        ("BobPrivRSAEncrypt.pri", "BobRSASignByCarl.cer"),
        ("DianePrivRSASignEncrypt.pri", "DianeRSASignByCarl.cer"),
    ):
        keys = load_decrypters(folder / name, [(folder / certificate).read_bytes()])
        for file in ("5.1.bin", "5.2.bin"):
            data = (folder / file).read_bytes()
            if name.startswith("Diane"):
                assert code(data, *keys, allow_legacy=True) == "decrypt.no-key"
                continue
            assert code(data, *keys) == "algorithm.refused"
            assert opened(data, *keys, allow_legacy=True).content == content
    keys = load_decrypters(folder / "BobPrivRSAEncrypt.pri")
    mail = (folder / "5.3.eml").read_bytes()
    assert open_mail(mail, opener(*keys, allow_legacy=True)).content == content


def test_the_corpus_of_openssl() -> None:
    folder = corpus("openssl-cms") / "test"

    def keys(name: str) -> tuple[Decrypter, ...]:
        file = folder / "smime-certs" / name
        return load_decrypters(file, parse_certificates(file.read_bytes()))

    mail = (folder / "recipes/80-test_cms_data/ciphertext_from_1_1_1.cms").read_bytes()
    found = open_mail(mail, opener(*keys("smec3.pem"), allow_legacy=True))  # two KARI, 3DES wrap
    assert found.content.startswith(b"Somewhat longer test content for OpenSSL CMS utility")
    for name in ("smrsa1.pem", "smrsa2.pem", "smrsa3.pem", "smec1.pem", "smec3.pem"):
        data = _openssl("-aes256", folder / "smime-certs" / name)
        assert opened(data, *keys(name)).content == CONTENT


def test_the_mails_of_the_header_protection_draft() -> None:
    folder = corpus("header-protection")
    keys = load_decrypters(folder / "bob.p12", (), b"bob")
    names = ["smime-enc+legacy-disp", "smime-sign+enc+legacy-disp", "smime-sign+enc"]

    for name in names:
        mail = (folder / f"{name}.eml").read_bytes()
        found = open_mail(mail, opener(*keys, allow_legacy=True), every=True)
        inner = (folder / f"{name}.inner").read_bytes()  # with the line ends of a Unix file
        assert found.content == inner.replace(b"\n", b"\r\n"), name


def test_the_password_files_of_the_corpora_are_read() -> None:
    """PKCS#12 with RC2-40 and 3DES, in DER and in BER of indefinite length."""
    rc2 = corpus("rustcrypto-cms") / "cms/tests/examples/example.pfx"
    files = [(rc2, b"hunter42")]
    smime = corpus("mimekit") / "UnitTests/TestData/smime"
    files += [(file, b"no.secret") for file in sorted(smime.rglob("*.pfx"))]

    for file, password in files:
        if file.parent.name == "dsa":
            with pytest.raises(PrivateKeyError, match="opens no mail"):
                load_decrypters(file, (), password)
        else:
            (key, *_) = load_decrypters(file, (), password)
            # A curve that is spelled out and not named is nobody's (RFC 5480 §2.1.1): the key opens
            # mail, and no RecipientInfo can name it.
            assert (key.certificate is None) == (file.parent.name == "ec"), file
    assert len(files) == 13


# By the RFCs, where no peer here can


def test_x25519_and_x448() -> None:
    name = der.sequence(der.sequence(), der.integer(1))
    hkdf = "1.2.840.113549.1.9.16.3."
    schemes = [("1.3.132.1.11.1", ""), (hkdf + "19", "sha256")]
    schemes += [(hkdf + "20", "sha384"), (hkdf + "21", "sha512")]
    for kind, oid in (
        (x25519.X25519PrivateKey, "1.3.101.110"),
        (x448.X448PrivateKey, "1.3.101.111"),
    ):
        ours, ephemeral = kind.generate(), kind.generate()
        public = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        secret = ephemeral.exchange(ours.public_key())  # type: ignore[arg-type]
        for scheme, digest in schemes:
            for ukm in (None, b"user keying material"):
                info = sealing.agreement(name, secret, public, oid, scheme, hkdf=digest, ukm=ukm)
                found = opened(sealing.gcm().der(info), KeyDecrypter(ours))
                assert found.content == CONTENT
                assert found.key_management == KeyDecrypter(ours).kind[0]
        zeros = sealing.agreement(name, bytes(len(secret)), bytes(len(public)), oid, schemes[0][0])
        assert code(sealing.gcm().der(zeros), KeyDecrypter(ours)) == "decrypt.failed"


def test_a_point_that_is_not_on_the_curve_gives_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = der.sequence(der.sequence(), der.integer(1))
    info = sealing.agreement(name, bytes(32), b"\x04" + bytes(63) + b"\x01", "1.2.840.10045.2.1",
                             "1.3.132.1.11.1")  # fmt: skip

    assert code(sealing.gcm().der(info), KeyDecrypter(key)) == "decrypt.failed"


@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_ml_kem(ukm: bytes | None) -> None:
    kinds = (
        (mlkem.MLKEM768PrivateKey, "2.16.840.1.101.3.4.4.2"),
        (mlkem.MLKEM1024PrivateKey, "2.16.840.1.101.3.4.4.3"),
    )
    for kind, oid in kinds:
        key = kind.generate()
        secret, ciphertext = key.public_key().encapsulate()
        identifier = der.element(0x80, b"key identifier")
        info = sealing.encapsulated(identifier, secret, ciphertext, oid, ukm=ukm)

        found = opened(sealing.gcm().der(sealing.unknown_info(), info), KeyDecrypter(key))

        assert found.content == CONTENT
        assert found.key_management == KeyDecrypter(key).kind[0]
        other = kind.generate()
        assert code(sealing.gcm().der(info), KeyDecrypter(other)) == "decrypt.failed"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_other_aead_ciphers(size: int) -> None:
    key = KEY[:size]
    info = _info(key)
    sealed = [sealing.gcm(key=key), *(sealing.ccm(key=key, tag=tag) for tag in (12, 14, 16))]
    if size == 32:
        sealed.append(sealing.chacha())

    for one in sealed:
        assert opened(one.der(info), owner(world().bob)).content == CONTENT


def _info(key: bytes = KEY) -> bytes:
    public = world().bob.key.public_key()
    assert not isinstance(public, ec.EllipticCurvePublicKey)
    return sealing.transport(public, sealing.by_name(world().bob.der), key)


def test_authenticated_attributes_are_authenticated() -> None:
    attributes = der.set_of(
        [
            der.sequence(der.oid("1.2.840.113549.1.9.3"), der.set_of([der.oid(sealing.DATA)])),
            der.sequence(der.oid("1.2.3.4"), der.set_of([der.integer(1)])),
        ]
    )[2:]
    sealed = sealing.gcm(attributes=attributes)

    assert opened(sealed.der(_info()), owner(world().bob)).content == CONTENT
    changed = sealed.der(_info()).replace(der.oid("1.2.3.4"), der.oid("1.2.3.5"))
    assert code(changed, owner(world().bob)) == "decrypt.failed"


@pytest.mark.parametrize("pieces", [1, 7, 16, 1000])
def test_ciphertext_in_pieces_of_indefinite_length(pieces: int) -> None:
    for sealed in (sealing.cbc(), sealing.gcm(), sealing.ccm()):
        assert opened(sealed.der(_info(), pieces=pieces), owner(world().bob)).content == CONTENT


def test_a_renamed_issuer_is_the_same_issuer() -> None:
    """RFC 5280 §7.1: case and blanks do not count, nor does the kind of string."""
    name = sealing.by_name(world().bob.der)
    other = name.replace("Ministère".encode(), "MINISTÈRE".encode())
    assert other != name
    public = world().bob.key.public_key()
    info = sealing.transport(public, other)  # type: ignore[arg-type]

    assert opened(sealing.gcm().der(info), owner(world().bob)).content == CONTENT


def test_a_key_that_was_certified_twice_has_two_names(tmp_path: Path) -> None:
    again = world().bob.key
    second = _issue("Titulaire", again, "AC d’essai", world()._middle_key, "bob@example.net")
    _, key = world().bob.write(tmp_path, "bob")
    ders = [world().bob.der, second.public_bytes(Encoding.DER), world().alice.der]

    keys = load_decrypters(key, ders)

    assert [one.certificate for one in keys] == ders[:2]
    for one in ders[:2]:
        info = sealing.transport(again.public_key(), sealing.by_name(one))  # type: ignore[arg-type]
        assert opened(sealing.gcm().der(info), *keys).certificate == one


def test_certificates_are_matched_by_identifiers_only(tmp_path: Path) -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(world().bob.key.public_key()).digest
    public = world().bob.key.public_key()
    info = sealing.transport(public, der.element(0x80, identifier))  # type: ignore[arg-type]
    other = sealing.transport(public, der.element(0x80, b"other"))  # type: ignore[arg-type]

    assert opened(sealing.gcm().der(other, info), owner(world().bob)).content == CONTENT
    assert code(sealing.gcm().der(other), owner(world().bob)) == "decrypt.no-key"
