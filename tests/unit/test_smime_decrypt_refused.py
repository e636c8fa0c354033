"""What must not open does not, and nobody learns why: one outcome, one text, for ever."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.smime import cms
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.cms import ContentInfo, content_info
from gateway.smime.decrypt import DecryptRefused, decrypt
from gateway.smime.encrypt import encrypt
from gateway.smime.enveloped import read_enveloped
from gateway.smime.layers import verify
from gateway.smime.opening import open_mail
from gateway.smime.shared_keys import KnownPassword
from gateway.smime.verdicts import Status
from pki import der_writing as der
from pki.decrypter import Asked, CannotDecrypt, KeyDecrypter, OaepOnly, RsaCiphertext
from pki.errors import StructureRefused
from tests.corpora import corpus
from tests.pace import at_most, within
from tests.unit import sealing
from tests.unit.cms_forger import rules
from tests.unit.sealing import CONTENT, KEY
from tests.unit.smime_world import world
from tests.unit.test_smime_decrypt import ENTITY, MOMENT, SECRET, code, opened, opener, owner

RSA_KEY = world().bob.key
assert isinstance(RSA_KEY, rsa.RSAPrivateKey)
PUBLIC = RSA_KEY.public_key()
SIZE = PUBLIC.key_size // 8  # octets
NAME = sealing.by_name(world().bob.der)
BOB = owner(world().bob)
ONE_TEXT = "it cannot be opened with these keys"


def _good() -> bytes:
    return sealing.transport(PUBLIC, NAME)


def _outcome(data: bytes, *keys: KeyDecrypter) -> tuple[str, str] | bytes:
    try:
        return opened(data, *(keys or (BOB,))).content
    except DecryptRefused as error:
        chained = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return error.problem.code, error.problem.text if chained is None else "chained"


FAILED = ("decrypt.failed", ONE_TEXT)


def bad_transports() -> dict[str, bytes]:
    """Everything that can be wrong with an RSA PKCS#1 v1.5 ciphertext."""
    foreign = rsa.generate_private_key(65537, PUBLIC.key_size)

    def made(message: bytes) -> bytes:
        return sealing.transport(PUBLIC, NAME, message=message)

    return {
        "first octet": made(sealing.padded(PUBLIC, KEY, start=b"\x00\x01")),
        "no padding": made(b"\0" * (SIZE - 56) + b"\x07" * 56),
        "no zero": made(b"\0\x02" + b"\x07" * (SIZE - 2)),
        "short padding": made(b"\0\x02" + b"\x07" * 5 + b"\0" + b"\x07" * (SIZE - 8)),
        "key too short": made(sealing.padded(PUBLIC, KEY[:31])),
        "key too long": made(sealing.padded(PUBLIC, KEY + b"\0")),
        "key of length 0": made(sealing.padded(PUBLIC, b"")),
        "another key": made(sealing.padded(PUBLIC, bytes(32))),
        "to somebody else": sealing.transport(foreign.public_key(), NAME),
        "zero": made(bytes(SIZE)),
        "above the modulus": der.sequence(
            der.integer(0), NAME, der.algorithm("1.2.840.113549.1.1.1", b"\x05\x00"),
            der.octets(b"\xff" * SIZE),
        ),
        "too short": der.sequence(
            der.integer(0), NAME, der.algorithm("1.2.840.113549.1.1.1", b"\x05\x00"),
            der.octets(b"\x07" * (SIZE - 1)),
        ),
    }  # fmt: skip


def test_all_failures_are_one() -> None:
    outcomes = {}
    for name, info in bad_transports().items():
        outcomes[name] = _outcome(sealing.gcm().der(info))
    tag = sealing.gcm()
    outcomes["tag"] = _outcome(replace(tag, tag=bytes(16)).der(_good()))
    outcomes["text"] = _outcome(replace(tag, ciphertext=tag.ciphertext[:-1]).der(_good()))
    oaep = PUBLIC.encrypt(KEY, padding.PKCS1v15())
    outcomes["oaep"] = _outcome(tag.der(_oaep(oaep)))

    assert outcomes == dict.fromkeys(outcomes, FAILED)


def _oaep(encrypted: bytes) -> bytes:
    algorithm = der.algorithm("1.2.840.113549.1.1.7", der.sequence())
    return der.sequence(der.integer(0), NAME, algorithm, der.octets(encrypted))


def test_cbc_failures_are_the_same_one() -> None:
    """A wrong key opens CBC by chance, once in 256 times: whichever it is, it stays."""
    for info in bad_transports().values():
        for _ in range(4):
            data = sealing.cbc().der(info)
            first = _outcome(data)
            assert first == FAILED or isinstance(first, bytes)
            assert _outcome(data) == first
    for wrong in (
        bytes(16),
        b"\x11" * 16,
        b"\x02\x01" * 8,
        b"\x10" * 15 + b"\x0f",
        b"\x03" * 2 * 8,
    ):
        content = b"x" * 16 + wrong
        good = bool(wrong[-1]) and wrong[-1] <= 16 and wrong.endswith(wrong[-1:] * wrong[-1])
        found = _outcome(sealing.cbc(content, pad=False).der(_good()))
        assert found == (content[: -wrong[-1]] if good else FAILED)


def test_the_same_bad_ciphertext_has_the_same_outcome_a_thousand_times() -> None:
    """Threat F8: a fresh random key each time opens CBC once in 256 times."""
    for name, info in bad_transports().items():
        times = 1_000 if name in ("first octet", "key too short", "another key") else 50
        data = content_info(sealing.cbc(b"").der(info))  # one block: the likeliest to open

        def once(data: cms.ContentInfo = data) -> str:
            try:
                found = decrypt(data, [BOB], moment=MOMENT, secret=SECRET)
            except DecryptRefused as error:
                return error.problem.code
            return found.content.hex()

        assert len({once() for _ in range(times)}) == 1


def test_the_outcome_is_the_same_in_another_process(tmp_path: Path) -> None:
    """What the library answers to bad padding follows from the key, not from the process."""
    _, path = world().bob.write(tmp_path, "bob")
    texts = [os.urandom(SIZE) for _ in range(30)]
    texts = [b"\0" + text[1:] for text in texts]
    here = [BOB.secret(RsaCiphertext(text, None)).hex() for text in texts]
    script = (
        "import sys; from pathlib import Path\n"
        "from pki.decrypter import RsaCiphertext\n"
        "from pki.load_decrypter import load_decrypters\n"
        "(key,) = load_decrypters(Path(sys.argv[1]))\n"
        "for text in sys.argv[2:]:\n"
        "    print(key.secret(RsaCiphertext(bytes.fromhex(text), None)).hex())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), *(text.hex() for text in texts)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.splitlines() == here
    assert len({len(one) for one in here}) > 10  # of any length


def test_the_fallback_follows_from_secret_and_ciphertext() -> None:
    """The key that stands in for a bad one is no secret of the message alone."""
    # Of the wrong length for sure: in place of bad padding OpenSSL gives octets of any length
    # (implicit rejection), one time in 250 that of the key, and then no other stands in.
    data = content_info(sealing.cbc(b"").der(bad_transports()["key too short"]))

    def outcome(secret: bytes) -> bytes | None:
        try:
            return decrypt(data, [BOB], moment=MOMENT, secret=secret).content
        except DecryptRefused:
            return None

    found = [outcome(bytes((n >> 8, n & 0xFF))) for n in range(5_000)]
    opened_ones = sum(one is not None for one in found)
    # 20 are expected; none, or more than 65, once in 300,000,000 runs.
    assert 1 <= opened_ones <= 65
    assert found[:300] == [outcome(bytes((n >> 8, n & 0xFF))) for n in range(300)]


@pytest.mark.parametrize("size", [4, 8, 12, 13, 14, 15])
def test_short_tags_of_gcm(size: int) -> None:
    """The tag is right as far as it goes: nothing but its length is wrong (S6)."""
    assert _outcome(sealing.with_tag(sealing.gcm(), size).der(_good())) == FAILED


def test_tags_that_are_not_as_announced() -> None:
    sealed = sealing.gcm()
    for tag in (b"", sealed.tag[:12], sealed.tag + b"\0"):  # type: ignore[index, operator]
        assert _outcome(replace(sealed, tag=tag).der(_good())) == FAILED
    nonce = cms.read(sealed.parameters)[0].raw
    default = replace(sealed, parameters=der.sequence(nonce))  # 12, says RFC 5084 §3.2
    assert _outcome(default.der(_good())) == FAILED
    for size in (4, 6, 8, 10):
        assert _outcome(sealing.ccm(tag=size).der(_good())) == FAILED


@pytest.mark.parametrize("size", [0, 1, 8, 11, 13, 16, 4096])
def test_nonces_of_other_lengths(size: int) -> None:
    sealed = sealing.gcm()
    parameters = der.sequence(der.octets(os.urandom(size)), der.integer(16))
    assert _outcome(replace(sealed, parameters=parameters).der(_good())) == FAILED
    assert _outcome(replace(sealing.cbc(), parameters=der.octets(bytes(size or 2))).der(_good()))
    if size not in (0, 16):
        found = _outcome(replace(sealing.cbc(), parameters=der.octets(bytes(size))).der(_good()))
        assert found == FAILED


def test_the_algorithm_of_one_mode_in_the_structure_of_the_other() -> None:
    """S6: GCM without its tag is a stream cipher, and any block can be exchanged."""
    gcm, cbc, ccm, chacha = sealing.gcm(), sealing.cbc(), sealing.ccm(), sealing.chacha()
    for sealed in (gcm, ccm, chacha):
        assert _outcome(sealed.der(_good(), structure="enveloped")) == FAILED
    assert _outcome(cbc.der(_good(), structure="auth")) == FAILED
    tagged = replace(cbc, tag=bytes(16))
    assert _outcome(tagged.der(_good())) == FAILED
    # GCM sold as CBC under the same key: what comes out may be no content.
    for content in (CONTENT, b"x" * 16, b"x" * 64):
        sealed = sealing.gcm(content)
        whole = sealed.ciphertext[: len(sealed.ciphertext) // 16 * 16]
        swapped = replace(cbc, parameters=der.octets(os.urandom(16)), ciphertext=whole)
        found = _outcome(swapped.der(_good()))
        assert found == FAILED or content[:8] not in found  # type: ignore[operator]


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_lengths_that_are_no_blocks(size: int) -> None:
    assert _outcome(replace(sealing.cbc(), ciphertext=os.urandom(size)).der(_good())) == FAILED


def test_spliced_blocks_are_opened_and_said_to_be_unprotected() -> None:
    """Efail (S1): nothing but a signature inside can notice, so it is said each time."""
    sealed = sealing.cbc(CONTENT * 5)
    blocks = [sealed.ciphertext[at : at + 16] for at in range(0, len(sealed.ciphertext), 16)]
    spliced = replace(sealed, ciphertext=b"".join((*blocks[:3], *blocks[1:3], *blocks[3:])))

    found = opened(spliced.der(_good()), BOB)

    assert found.content != CONTENT * 5
    assert "decrypt.not-authenticated" in [one.code for one in found.remarks]


def test_every_change_of_an_authenticated_message_is_noticed() -> None:
    mail = sealing.gcm().der(_good())
    start = mail.index(sealing.AES[:0].encode() + der.oid(sealing.AES + "46"))
    for at in range(start, len(mail)):
        changed = bytearray(mail)
        changed[at] ^= 1
        try:
            found = opened(bytes(changed), BOB)
        except (DecryptRefused, StructureRefused):
            continue
        raise AssertionError((at, found.content))


def test_a_key_for_oaep_only_never_does_the_older_padding() -> None:
    only = OaepOnly(KeyDecrypter(RSA_KEY, world().bob.der))
    pkcs1 = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC)
    oaep = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_OAEP)], Cipher.AES_256_CBC)

    assert open_mail(oaep, opener(only)).content == ENTITY
    with pytest.raises(DecryptRefused) as caught:
        open_mail(pkcs1, opener(only))
    assert caught.value.problem.code == "algorithm.unsupported"
    with pytest.raises(CannotDecrypt):
        only.secret(RsaCiphertext(PUBLIC.encrypt(KEY, padding.PKCS1v15()), None))


def test_a_library_that_tells_bad_padding_apart_is_not_used_for_it() -> None:
    class Telling:
        """RSA as OpenSSL 3.0 does it: bad padding raises."""

        def __getattr__(self, name: str) -> object:
            return getattr(RSA_KEY, name)

        def decrypt(self, octets: bytes, pad: object) -> bytes:
            numbers = RSA_KEY.private_numbers()
            message = pow(int.from_bytes(octets, "big"), numbers.d, numbers.public_numbers.n)
            if message >> (RSA_KEY.key_size - 16) != 2:  # begins 00 02 (RFC 8017 §7.2.2)
                raise ValueError("Decryption failed")
            return RSA_KEY.decrypt(octets, padding.PKCS1v15())

    class Forgetful(Telling):
        """As CVE-2026-69247 was mended: another random answer each time."""

        def decrypt(self, octets: bytes, pad: object) -> bytes:
            return os.urandom(32)

    for kind in (Telling, Forgetful):
        key = KeyDecrypter(RSA_KEY)
        rsa.RSAPrivateKey.register(kind)
        key._key = kind()  # type: ignore[assignment]
        assert not key.pkcs1
        assert code(sealing.gcm().der(_good()), key) == "algorithm.unsupported"
    assert BOB.pkcs1


def test_keys_do_not_show() -> None:
    octets = RSA_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert repr(BOB) == "<KeyDecrypter rsa>"
    with pytest.raises(TypeError):
        pickle.dumps(BOB)
    found = opened(sealing.gcm().der(_good()), BOB)
    assert b"The content".decode() not in repr(found)
    assert octets.hex()[60:100] not in repr(vars(found) if hasattr(found, "__dict__") else found)


def test_what_can_be_seen_without_a_key_is_said() -> None:
    unknown = replace(sealing.cbc(), oid="1.2.3.4")
    assert code(unknown.der(_good()), BOB) == "algorithm.unsupported"
    assert code(sealing.cbc().der(), BOB) == "decrypt.no-key"
    assert code(sealing.cbc().der(sealing.unknown_info()), BOB) == "decrypt.no-key"
    assert code(sealing.cbc().der(_good()), owner(world().alice)) == "decrypt.no-key"
    strange = der.sequence(der.integer(0), NAME, der.algorithm("1.2.3.4"), der.octets(b"x" * SIZE))
    assert code(sealing.cbc().der(strange), BOB) == "algorithm.unsupported"
    # The same beside ways that can be gone does no harm.
    infos = (sealing.unknown_info(), strange, der.element(0xA7, der.integer(1)), _good())
    assert opened(sealing.cbc().der(*infos), BOB).content == CONTENT
    with pytest.raises(StructureRefused):
        opened(sealing.cbc().der(der.sequence(der.integer(0))), BOB)


def test_who_names_one_key_often_does_not_make_us_calculate() -> None:
    class Counting:
        certificate = world().bob.der
        kind = BOB.kind
        pkcs1 = True
        asked = 0

        def secret(self, asked: Asked) -> bytes:
            self.asked += 1
            return BOB.secret(asked)

    infos = [sealing.transport(PUBLIC, NAME) for _ in range(200)]
    key = Counting()

    with pytest.raises(DecryptRefused) as caught:
        opened(sealing.gcm().der(*infos), key)

    assert caught.value.problem.code == "limits.recipients"
    assert key.asked == 0


def test_thousands_of_recipients_cost_little() -> None:
    """L11: 2 s each; no name is compared in full where the serial is another one."""
    foreign = der.sequence(
        der.integer(0), sealing.by_name(world().alice.der),
        der.algorithm("1.2.840.113549.1.1.1", b"\x05\x00"), der.octets(b"x" * SIZE),
    )  # fmt: skip
    data = sealing.gcm().der(*[foreign] * 10_000, _good())
    fewer = sealing.gcm().der(*[foreign] * 5_000, _good())
    with at_most(2 * 2):
        with pytest.raises(StructureRefused, match="elements"):  # 200,000 of them
            opened(data, BOB)
        assert opened(fewer, BOB).content == CONTENT


def test_the_iterations_of_a_password_are_bounded() -> None:
    with pytest.raises(DecryptRefused) as caught:
        decrypt(sealing.gcm().to(sealing.by_password(1 << 40)), (), moment=MOMENT, secret=SECRET,
                shared=[KnownPassword(b"x")])  # fmt: skip
    assert caught.value.problem.code == "algorithm.unsupported"


def test_the_iterations_are_bounded_for_all_passwords_of_a_message_together() -> None:
    """16 ways of a million each were 10 s. What is too much is left out; a key opens it still."""
    infos = [sealing.by_password(900_000)] * 16
    sealed = sealing.gcm().to(*infos, _good())

    with at_most(3):
        found = decrypt(sealed, [BOB], moment=MOMENT, secret=SECRET, shared=[KnownPassword(b"x")])

    assert found.content == CONTENT


# Only the root


def _never(info: ContentInfo) -> bytes:
    raise AssertionError("who verifies opened what is not the root")


def test_only_the_root_is_opened() -> None:
    """S2, S3: ciphertext among other people's parts stays what it is."""
    sealed = encrypt(ENTITY, [world().bob.recipient(KeyManagement.RSA_PKCS1)], Cipher.AES_256_CBC)
    around = [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nA\r\n--b\r\n%b\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%b\r\n--b--\r\n",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n%b\r\n--b--\r\n",
        b"Content-Type: message/rfc822\r\n\r\n%b",
        b"Content-Type: text/plain\r\n\r\n%b",
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n"
            b"\r\n<img src='https://evil.example/\r\n--b\r\n%b\r\n--b\r\n"
            b"Content-Type: text/html\r\n\r\n'>\r\n--b--\r\n"
        ),
    ]
    for text in around:
        for every in (False, True):
            with pytest.raises(DecryptRefused) as caught:
                open_mail(b"From: a@b.example\r\n" + text % sealed, opener(BOB), every=every)
            assert caught.value.problem.code == "decrypt.not-encrypted"
        found = verify(b"From: a@b.example\r\n" + text % sealed, rules(), open_layer=_never)
        assert found.status is not Status.VALID
        assert found.layers == ()


# Strangers


def test_the_fuzz_corpus_of_openssl() -> None:
    """No crash, none over a second; whatever can be read is tried with keys that fit anything."""
    keys = [KeyDecrypter(RSA_KEY), KeyDecrypter(world().curves["secp256r1"].key)]  # type: ignore[arg-type]
    count = read = 0
    with tarfile.open(corpus("openssl-fuzz-cms") / "cms.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            count += 1
            data = file.read()
            begun = time.process_time()
            try:
                info = content_info(data)
                read_enveloped(info)
                read += 1
                decrypt(info, keys, moment=MOMENT, secret=SECRET, allow_legacy=True)
            except (StructureRefused, DecryptRefused):
                pass
            assert within(time.process_time() - begun, 1), member.name
    assert count == 1_389
    assert read >= 4


def test_changed_messages_open_or_are_refused_and_nothing_else_happens() -> None:
    """What the corpus has too little of: structures that are nearly right."""
    chance = random.Random(8551)
    ec_name = sealing.by_name(world().curves["secp256r1"].der)
    agreed = sealing.agreement(ec_name, bytes(32), b"\x04" + bytes(64), "1.2.840.10045.2.1",
                               "1.3.132.1.11.1", ukm=b"ukm")  # fmt: skip
    kem = sealing.encapsulated(NAME, bytes(32), bytes(1088), "2.16.840.1.101.3.4.4.2", ukm=b"u")
    seeds = [
        sealing.gcm().der(agreed, kem),
        sealing.cbc().der(sealing.unknown_info(), _oaep(bytes(SIZE)), pieces=5),
        sealing.ccm().der(_good()),
    ]
    keys = [KeyDecrypter(mlkem.MLKEM768PrivateKey.generate()), BOB]
    keys.append(owner(world().curves["secp256r1"]))

    for seed in seeds:
        for _ in range(1_500):
            data = bytearray(seed)
            for _ in range(chance.choice((1, 1, 2, 5))):
                at = chance.randrange(len(data))
                match chance.randrange(3):
                    case 0:
                        data[at] = chance.choice(
                            (data[at] ^ 1, 0, 0x80, 0xFF, chance.randrange(256))
                        )
                    case 1:
                        del data[at : at + chance.randrange(1, 9)]
                    case _:
                        data[at:at] = data[at : at + chance.randrange(1, 9)]
            _outcome_or_structure(bytes(data), *keys)


def _outcome_or_structure(data: bytes, *keys: KeyDecrypter) -> None:
    try:
        _outcome(data, *keys)
    except StructureRefused as error:
        assert error.problem.code.startswith(("structure.", "limits."))  # noqa: PT017


def test_the_structures_of_rustcrypto() -> None:
    folder = corpus("rustcrypto-cms") / "cms/tests/examples"
    kinds = {
        file.name: [
            type(one).__name__
            for one in read_enveloped(content_info(file.read_bytes())).recipients
        ]
        for pattern in ("enveloped*", "kms*", "*kemri*")
        for file in sorted(folder.glob(pattern))
    }  # fmt: skip
    assert kinds["enveloped_data_multi.bin"] == [
        "KeyTransport", "KeyAgreement", "SharedKey", "Password",
    ]  # fmt: skip
    assert kinds["enveloped_data_kekri.bin"] == ["SharedKey"]
    assert kinds["enveloped_data_pwri.bin"] == ["Password"]
    assert kinds["enveloped_data_kari.bin"] == ["KeyAgreement"]
    assert [one for name, one in kinds.items() if "kemri" in name] == [["Encapsulated"]] * 3
    assert [one for name, one in kinds.items() if "kms" in name] == [["KeyTransport"]] * 4
