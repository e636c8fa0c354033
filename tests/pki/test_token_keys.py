"""Keys in a PKCS#11 token (SoftHSM2) sign and open mail; openssl makes, opens and judges.

A PKCS#11 library reads where its token lies when it is loaded: what talks to it runs in a process
of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from tests.corpora import ROOT
from tests.flows.softhsm import MODULE, PIN, SoftHsm
from tests.pki_maker import DAY, root
from tests.unit.cli_pki_house import House

pytestmark = pytest.mark.flow

MAIL = (
    b"From: marie@interior.example\r\nTo: paul@justice.example\r\nSubject: s\r\n"
    b"Content-Type: text/plain\r\n\r\nbonjour\r\n"
)
_PUBLIC = """
    import sys
    from pathlib import Path
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from pki.token_objects import TokenKey
    from pki.token_sessions import Tokens
    from pki.token_uri import parse_token_uri
    tokens = Tokens()
    def key(uri):
        name = parse_token_uri(uri)
        return TokenKey(tokens.at(name.access), name)
"""


def python(hsm: SoftHsm, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_PUBLIC) + textwrap.dedent(code), *arguments],
        env={**os.environ, **hsm.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def sceau(hsm: SoftHsm, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments)],
        env={**os.environ, **hsm.environment, "PYTHONPATH": str(ROOT), "LANG": "C"},
        capture_output=True, timeout=120,
    )  # fmt: skip


class Hsm:
    """A token with one key of each kind, each with a certificate."""

    KINDS: ClassVar = {"rsa": "rsa:3072", "p256": "EC:prime256v1", "p384": "EC:secp384r1"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = SoftHsm(folder / "hsm")
        now = datetime.now(UTC)
        self.ca = root("Token Root", end=now + 900 * DAY)
        (folder / "root.pem").write_bytes(self.ca.pem)
        self.kinds = {**self.KINDS, "ed25519": "EC:edwards25519"}
        for number, (label, kind) in enumerate(self.kinds.items(), 1):
            self.token.make_pair(kind, label, f"{number:02x}")
        publics = python(
            self.token,
            """
            for uri in sys.argv[1:]:
                public = key(uri).public_key()
                print(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex())
            """,
            *(self.token.uri(label) for label in self.kinds),
        ).split()
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        for label, public in zip(self.kinds, publics, strict=True):
            held = type("Held", (), {"public_key": lambda _s, p=public: load_der_public_key(
                bytes.fromhex(p))})()  # fmt: skip
            issued = self.ca.issue(
                label, emails=("marie@interior.example",), subject_key=held, kind=(
                    "rsa" if label == "rsa" else "ec"), start=now - DAY, end=now + 100 * DAY,
            )  # fmt: skip
            (folder / f"{label}.crt").write_bytes(issued.pem)
        (folder / "mail").write_bytes(MAIL)

    def certificate(self, label: str) -> Path:
        return self.folder / f"{label}.crt"


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Hsm:
    return Hsm(tmp_path_factory.mktemp("token"))


@pytest.mark.parametrize(
    ("label", "scheme"),
    [("rsa", "rsa-pkcs1"), ("rsa", "rsa-pss"), ("p256", "ecdsa"), ("p384", "ecdsa")],
)
def test_openssl_verifies_what_the_token_signed(
    hsm: Hsm, tmp_path: Path, label: str, scheme: str
) -> None:
    signed = tmp_path / "signed"
    made = sceau(
        hsm.token, "smime", "sign", "--key", hsm.token.uri(label),
        "--cert", hsm.certificate(label), "--signature", scheme, "--out", signed,
        hsm.folder / "mail",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    judged = subprocess.run(
        ["openssl", "cms", "-verify", "-in", signed, "-CAfile", hsm.folder / "root.pem"],
        capture_output=True,
    )
    assert judged.returncode == 0, judged.stderr
    assert b"bonjour" in judged.stdout


def test_ed25519_signs_and_we_verify(hsm: Hsm, tmp_path: Path) -> None:
    """(openssl cms of 3.0 does not verify Ed25519 with signed attributes.)"""
    signed = tmp_path / "signed"
    made = sceau(
        hsm.token, "smime", "sign", "--key", hsm.token.uri("ed25519"),
        "--cert", hsm.certificate("ed25519"), "--out", signed, hsm.folder / "mail",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    verified = sceau(
        hsm.token, "smime", "verify", "--anchor", hsm.folder / "root.pem", "--revocation", "off",
        "--json", signed,
    )  # fmt: skip
    assert json.loads(verified.stdout)["status"] == "valid", verified.stdout


_OAEP = ("-keyopt", "rsa_padding_mode:oaep")
_WAYS = [
    ("rsa", ()),
    ("rsa", _OAEP),
    ("rsa", (*_OAEP, "-keyopt", "rsa_oaep_md:sha256")),
    ("rsa", (*_OAEP, "-keyopt", "rsa_oaep_md:sha512", "-keyopt", "rsa_oaep_label:6162")),
    ("p256", ("-keyopt", "ecdh_kdf_md:sha256")),
    ("p384", ("-keyopt", "ecdh_kdf_md:sha384")),
]


@pytest.mark.parametrize(("label", "options"), _WAYS)
def test_what_openssl_encrypted_is_opened(
    hsm: Hsm, tmp_path: Path, label: str, options: tuple[str, ...]
) -> None:
    sealed = tmp_path / "sealed"
    subprocess.run(
        ["openssl", "cms", "-encrypt", "-aes256", "-binary", "-in", hsm.folder / "mail",
         "-out", sealed, "-recip", hsm.certificate(label), *options],
        check=True, capture_output=True,
    )  # fmt: skip
    opened = sceau(
        hsm.token, "smime", "decrypt", "--key", hsm.token.uri(label), "--cert",
        hsm.certificate(label), "--out", tmp_path / "opened", "--json", sealed,
    )  # fmt: skip
    assert opened.returncode == 0, opened.stderr + opened.stdout
    assert b"bonjour" in (tmp_path / "opened").read_bytes()
    layer = json.loads(opened.stdout)["layers"][0]
    assert layer["opened"]
    assert layer["certificate_sha256"]


def test_damaged_ciphertext_has_one_outcome(hsm: Hsm, tmp_path: Path) -> None:
    """Bad padding, a conforming key of another length, bad OAEP: one code, one text (S4, F8)."""
    said = python(
        hsm.token,
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        from pki.decrypter import CannotDecrypt, Oaep, OaepOnly, RsaCiphertext
        from pki.token_decrypter import TokenDecrypter
        held = key(sys.argv[1])
        public = held.public_key()
        def fresh():
            return TokenDecrypter(held, public)
        print(fresh().pkcs1, OaepOnly(TokenDecrypter(held, public)).pkcs1)
        numbers, size = public.public_numbers(), public.key_size // 8
        def raw(block):
            return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(size, "big")
        bad = {
            "type 1": b"\\0\\1" + b"x" * (size - 35) + b"\\0" + b"k" * 32,
            "no zero": b"\\0\\2" + b"x" * (size - 2),
            "short padding": b"\\0\\2" + b"x" * 7 + b"\\0" + b"k" * (size - 10),
            "length 17": b"\\0\\2" + b"x" * (size - 20) + b"\\0" + b"k" * 17,
            "length 0": b"\\0\\2" + b"x" * (size - 3) + b"\\0",
        }
        for name, block in bad.items():
            asked = RsaCiphertext(raw(block), None)
            answers = {fresh().secret(asked) for _ in range(2)}
            print(name, len(answers), len(answers.pop()))
        good = RsaCiphertext(raw(b"\\0\\2" + b"x" * (size - 35) + b"\\0" + b"k" * 32), None)
        print(fresh().secret(good))
        for digest in ("sha1", "sha256"):
            for octets in (
                raw(b"\\1" * size), raw(b"\\0" + b"\\1" * (size - 1)), b"", b"\\xff" * size
            ):
                try:
                    fresh().secret(RsaCiphertext(octets, Oaep(digest, digest)))
                except CannotDecrypt as error:
                    print(error)
        """,
        hsm.token.uri("rsa"),
    ).splitlines()
    assert said[0] == "True False"
    assert said[1:6] == [
        f"{name} 1 32" for name in ("type 1", "no zero", "short padding", "length 17", "length 0")
    ]
    assert said[6] == f"{b'k' * 32}"
    assert said[7:] == ["the key does not open this"] * 8


def test_a_point_that_is_not_on_the_curve_never_reaches_the_token(hsm: Hsm) -> None:
    said = python(
        hsm.token,
        """
        from pki.decrypter import CannotDecrypt, PeerKey
        from pki.token_decrypter import TokenDecrypter
        held = key(sys.argv[1])
        decrypter = TokenDecrypter(held, held.public_key())
        held.run = lambda act: print("asked")
        try:
            decrypter.secret(PeerKey(b"\\4" + b"\\1" * 64))
        except CannotDecrypt as error:
            print(error)
        """,
        hsm.token.uri("p256"),
    )
    assert said == "the key does not open this\n"


def test_threads_forks_and_lost_sessions(hsm: Hsm) -> None:
    said = python(
        hsm.token,
        """
        import os
        from concurrent.futures import ThreadPoolExecutor
        from pki.models import SignatureScheme
        from pki.token_library import library_of
        from pki.token_signer import TokenSignature
        held = key(sys.argv[1])
        signature = TokenSignature(held, held.public_key())
        def sign(number):  # checks each signature itself
            if number % 40 == 20:
                library_of(held.name.access.module).restart(number // 40)
            return len(signature.sign(b"%d" % number, SignatureScheme.ECDSA, "sha256")) > 60
        with ThreadPoolExecutor(8) as pool:
            print(all(pool.map(sign, range(200))), flush=True)
        state = held.sessions._state()
        print(1 <= len(state.free) <= 8, flush=True)
        for session in state.free:
            session.raw.close()
        print(sign(1), flush=True)
        child = os.fork()
        if child == 0:
            print("child", sign(1), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(sign(1))
        """,
        hsm.token.uri("p256"),
    )
    assert said.splitlines() == ["True", "True", "True", "child True", "True"]


def test_faults_in_plain_words(hsm: Hsm, tmp_path: Path) -> None:
    good = hsm.token.uri("rsa")
    wrong_pin = tmp_path / "pin"
    wrong_pin.write_text("000000\n")
    wrong_pin.chmod(0o600)
    for uri, words, code in (
        (good.replace("object=rsa", "object=gone"), b"there is no such private key: token", 3),
        (good.replace("token=sceau", "token=gone"), b"there is no token gone", 3),
        (good.replace(str(hsm.token.pin_file), str(wrong_pin)), b"refuses the PIN", 3),
        (good + "&pin-value=1", b"a PIN on the command line can be read by everybody", 2),
        (good.replace("object=", "slot-id="), b"slot-id is not known here", 2),
        (good.partition("?")[0], b"module-path is missing", 2),
    ):
        ran = sceau(
            hsm.token, "smime", "sign", "--key", uri, "--cert", hsm.certificate("rsa"),
            hsm.folder / "mail",
        )  # fmt: skip
        assert (ran.returncode, words in ran.stderr) == (code, True), ran.stderr
        assert PIN.encode() not in ran.stderr
    # The right PIN once, so that the token forgets the wrong one.
    assert sceau(
        hsm.token, "smime", "sign", "--key", good, "--cert", hsm.certificate("rsa"),
        "--out", tmp_path / "out", hsm.folder / "mail",
    ).returncode == 0  # fmt: skip
    # A certificate of another key.
    ran = sceau(
        hsm.token, "smime", "sign", "--key", good, "--cert", hsm.certificate("p256"),
        hsm.folder / "mail",
    )  # fmt: skip
    assert ran.returncode == 2
    assert b"does not belong to the certificate" in ran.stderr
    # Opening: the process that holds the keys says what is wrong, too.
    ran = sceau(
        hsm.token, "smime", "decrypt", "--key", good.replace("token=sceau", "token=gone"),
        hsm.folder / "mail",
    )  # fmt: skip
    assert (ran.returncode, b"there is no token gone" in ran.stderr) == (3, True), ran.stderr


def test_a_certificate_in_the_token_needs_no_file(hsm: Hsm, tmp_path: Path) -> None:
    der = tmp_path / "rsa.der"
    subprocess.run(
        ["openssl", "x509", "-in", hsm.certificate("rsa"), "-outform", "DER", "-out", der],
        check=True,
    )
    hsm.token._run(
        "pkcs11-tool", "--module", MODULE, "--token-label", "sceau", "--login", "--pin", PIN,
        "--write-object", der, "--type", "cert", "--id", "01", "--label", "rsa",
    )  # fmt: skip
    ran = sceau(
        hsm.token, "smime", "sign", "--key", hsm.token.uri("rsa"), "--out", tmp_path / "signed",
        hsm.folder / "mail",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_the_seal_of_a_gateway_in_a_token(hsm: Hsm, tmp_path: Path) -> None:
    """Configured, checked, and a mail signed by it; openssl judges. Then the token is away."""
    house = House(tmp_path / "house")
    text = house.config.read_text("utf-8")
    text = text.replace('key = "keys/seal.key"\n', "").replace(
        '"keys/seal.crt"\n',
        f'"{hsm.certificate("rsa")}"\n[seals.key]\nmodule = "{MODULE}"\ntoken = "sceau"\n'
        f'key = "rsa"\npin_file = "{hsm.token.pin_file}"\n',
    )
    house.config.write_text(text, "utf-8")
    done = python(
        hsm.token,
        """
        import sys
        from datetime import UTC, datetime
        from gateway.policy import Sign
        from gateway.smime.sign import sign
        from gateway.wiring import Wiring
        wiring = Wiring.from_file(Path(sys.argv[1]))
        wiring.try_out()
        now = datetime.now(UTC)
        found = wiring.signers.choose("marie@interior.example", Sign.SEAL, now)
        made = sign(b"Content-Type: text/plain\\r\\n\\r\\nbonjour\\r\\n", found.signer)
        Path(sys.argv[2]).write_bytes(b"MIME-Version: 1.0\\r\\n" + made.entity)
        print(found.role)
        """,
        str(house.config), str(tmp_path / "signed"),
    )  # fmt: skip
    assert done == "domain\n"
    judged = subprocess.run(
        ["openssl", "cms", "-verify", "-in", tmp_path / "signed", "-CAfile",
         hsm.folder / "root.pem"],
        capture_output=True,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    checked = sceau(hsm.token, "check", "--config", house.config, "--json").stdout
    levels = {
        record["subject"]: record["level"] for record in map(json.loads, checked.splitlines())
    }
    assert levels["seal interior.example"] != "error", checked
    hsm.token.remove()
    try:
        served = sceau(hsm.token, "serve", "--config", house.config)
        assert served.returncode == 3, served.stderr
        assert b"there is no token sceau" in served.stderr
    finally:
        hsm.token.put_back()


@pytest.mark.parametrize("kind", ["rsa-3072", "p-384", "ed25519"])
def test_a_key_is_created_in_the_token_asked_for_and_used(
    hsm: Hsm, tmp_path: Path, kind: str
) -> None:
    uri = hsm.token.uri(f"new-{kind}")
    made = sceau(hsm.token, "pki", "key", "create", uri, "--kind", kind, "--use", "sign")
    assert made.returncode == 0, made.stderr
    again = sceau(hsm.token, "pki", "key", "create", uri, "--kind", kind)
    assert (again.returncode, b"has this key already" in again.stderr) == (2, True)
    request = tmp_path / "csr"
    asked = sceau(
        hsm.token, "pki", "key", "csr", uri, "--email", "marie@interior.example", "--out", request
    )
    assert asked.returncode == 0, asked.stderr
    # The CA's answer, by openssl; then the key signs with it.
    (tmp_path / "ca.key").write_bytes(hsm.ca.key_pem)
    (tmp_path / "ext").write_text(
        "subjectAltName=email:marie@interior.example\nextendedKeyUsage=emailProtection\n"
    )
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-CA", hsm.folder / "root.pem", "-CAkey",
         tmp_path / "ca.key", "-days", "30", "-extfile", tmp_path / "ext", "-out",
         tmp_path / "crt", "-set_serial", "77"],
        check=True, capture_output=True,
    )  # fmt: skip
    signed = sceau(
        hsm.token, "smime", "sign", "--key", uri, "--cert", tmp_path / "crt", "--out",
        tmp_path / "signed", hsm.folder / "mail",
    )  # fmt: skip
    assert signed.returncode == 0, signed.stderr
    said = python(
        hsm.token,
        """
        from pkcs11 import Attribute
        wanted = (Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.SIGN, Attribute.DECRYPT)
        print(*key(sys.argv[1]).run(lambda held: [held[one] for one in wanted]))
        """,
        uri,
    )
    assert said == "True False True False\n"
