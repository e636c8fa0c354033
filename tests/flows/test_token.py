"""A key-encryption key in a PKCS#11 token, from import to signature, and all that can go wrong.

The token is SoftHSM2. Its library reads where it lies when it is loaded, so each test that talks
to it directly does so in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pki.kek import create_kek
from tests.corpora import ROOT
from tests.flows.softhsm import MODULE, PIN, SoftHsm
from tests.unit.cli_pki_house import House
from tests.unit.p12_folder import P12Folder

pytestmark = pytest.mark.flow


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    made = SoftHsm(tmp_path / "hsm")
    made.make_key("kek-2026")
    return made


def python(hsm: SoftHsm, code: str) -> str:
    """Run this with `kek`, a TokenKek of the token; what it prints."""
    start = f"""
        import os, sys, time
        from pathlib import Path
        from cryptography.exceptions import InvalidTag
        from pki.errors import KekTrouble
        from pki.kek import KekRing, KeyEncryptionKey, prove
        from pki.token import TokenKek
        from pki.token_library import library_of
        from pki.token_access import TokenAccess
        from pki.token_sessions import TokenSessions

        pin_file, module = Path("{hsm.pin_file}"), Path("{MODULE}")

        def make(token="{hsm.label}", key="kek-2026", module="{MODULE}"):
            return TokenKek(TokenSessions(TokenAccess(Path(module), token, pin_file)), key)

        def fault(act):
            try:
                act()
            except (KekTrouble, InvalidTag) as error:
                return f"{{type(error).__name__}}: {{error}}"
            return "no fault"

        kek = make()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)],
        env={**os.environ, **hsm.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def sceau(hsm: SoftHsm, house: House, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments), "--config", str(house.config)],
        env={**os.environ, **hsm.environment, "PYTHONPATH": str(ROOT), "LANG": "C"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def use_token(house: House, table: str, former: str = "") -> None:
    """The token's key in force. former: a line for [pki]."""
    text = house.config.read_text("utf-8").replace('key_encryption_key = "keys/kek"\n', former)
    house.config.write_text(text + "\n" + table, "utf-8")


def test_it_wraps_binds_and_never_shows(hsm: SoftHsm) -> None:
    said = python(
        hsm,
        f"""
        prove(kek)
        nonce, wrapped = kek.wrap(b"secret key", b"marie")
        print(len(nonce), len(wrapped), kek.unwrap(nonce, wrapped, b"marie").decode())
        print(fault(lambda: kek.unwrap(nonce, wrapped, b"paul")))
        print(fault(lambda: kek.unwrap(nonce, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"marie")))
        print(fault(lambda: kek.unwrap(nonce, wrapped[:7], b"marie")))
        again = [kek.wrap(b"secret key", b"marie")[0] for _ in range(50)]
        print(len(set(again)))
        print("{PIN}" in repr(kek) + repr(vars(kek)))
        """,
    )
    assert said.splitlines() == [
        "12 26 secret key",
        "InvalidTag: ",
        "InvalidTag: ",
        "InvalidTag: ",
        "50",
        "False",
    ]


def test_openssl_opens_what_a_token_with_a_known_key_wrapped(hsm: SoftHsm) -> None:
    """The wrap is plain AES-256-GCM (NIST SP 800-38D): another implementation unwraps it."""
    said = python(
        hsm,
        """
        import pkcs11
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from pki.kek import CONTEXT
        octets = bytes(range(32))
        session = pkcs11.lib(str(module)).get_token(token_label="sceau").open(
            rw=True, user_pin=pin_file.read_text().strip())
        session.create_object({
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
            pkcs11.Attribute.VALUE: octets, pkcs11.Attribute.LABEL: "known",
            pkcs11.Attribute.TOKEN: True, pkcs11.Attribute.ENCRYPT: True,
            pkcs11.Attribute.DECRYPT: True})
        known = make(key="known")
        nonce, wrapped = known.wrap(b"secret key", b"marie")
        print(AESGCM(octets).decrypt(nonce, wrapped, CONTEXT + b"marie").decode())
        """,
    )
    assert said == "secret key\n"


def test_sessions_are_opened_again(hsm: SoftHsm) -> None:
    said = python(
        hsm,
        """
        nonce, wrapped = kek.wrap(b"k", b"")
        def works():
            print(kek.unwrap(nonce, wrapped, b"").decode(), flush=True)
        for state in kek._sessions._states.values():
            state.free[0].raw.close()              # the token ended the session
        works()
        library_of(module)._module.finalize()      # the whole library was stopped
        works()
        child = os.fork()                          # a child has to begin anew
        if child == 0:
            works()
            os._exit(0)
        os.waitpid(child, 0)
        works()
        second = make()                 # logged in already, by the first
        print(second.unwrap(nonce, wrapped, b"").decode())
        second.close()                             # which logs the first out
        works()
        """,
    )
    assert said.splitlines() == ["k"] * 6


def test_several_threads(hsm: SoftHsm) -> None:
    said = python(
        hsm,
        """
        from concurrent.futures import ThreadPoolExecutor
        wraps = [(n, *kek.wrap(b"%d" % n, b"%d" % n)) for n in range(200)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda w: kek.unwrap(w[1], w[2], b"%d" % w[0]), wraps))
        print(found == [b"%d" % n for n in range(200)])
        """,
    )
    assert said == "True\n"


def test_faults_in_plain_words(hsm: SoftHsm) -> None:
    hsm.make_key("short", 128)
    hsm.make_key("twin")
    hsm.make_key("twin")
    said = python(
        hsm,
        """
        for changed in ({"token": "elsewhere"}, {"key": "none"}, {"key": "short"},
                        {"key": "twin"}, {"module": "/etc/hostname"}):
            print(fault(lambda: make(**changed).wrap(b"", b"")))
        pin_file.chmod(0o640)
        print(fault(lambda: make().wrap(b"", b"")))
        pin_file.unlink()
        print(fault(lambda: make().wrap(b"", b"")))
        """,
    )
    lines = said.splitlines()
    assert lines[:4] == [
        f"KekTrouble: there is no token elsewhere: is it connected, and known to {MODULE}?",
        "KekTrouble: the token sceau holds no AES key with the label none",
        "KekTrouble: the key short in the token sceau is not one of 256 bits",
        "KekTrouble: the token sceau holds several AES keys labelled twin",
    ]
    assert "(/etc/hostname) cannot be used" in lines[4]
    assert lines[5].endswith("pin can be read by others; make it chmod 600")
    assert lines[6].endswith("pin cannot be read: No such file or directory")


def test_a_wrong_pin_is_sent_once(hsm: SoftHsm) -> None:
    """Many tokens lock themselves for good after three."""
    said = python(
        hsm,
        """
        nonce, wrapped = kek.wrap(b"k", b"")
        good = pin_file.read_text()
        pin_file.write_text("000000")
        kek.close()
        tries = []
        token = kek._sessions._token
        kek._sessions._token = lambda library: (tries.append(1), token(library))[1]
        for _ in range(5):
            last = fault(lambda: kek.unwrap(nonce, wrapped, b""))
        print(len(tries), last)
        pin_file.write_text(good)
        print(kek.unwrap(nonce, wrapped, b"").decode())
        """,
    )
    assert said.splitlines() == [
        (
            f"1 KekTrouble: the token sceau refuses the PIN in {hsm.pin_file}; "
            "it is not sent again until that file changes"
        ),
        "k",
    ]


def test_a_token_that_is_pulled_out_and_put_back(hsm: SoftHsm) -> None:
    said = python(
        hsm,
        f"""
        tokens, away = Path("{hsm.tokens}"), Path("{hsm.folder}") / "away"
        nonce, wrapped = kek.wrap(b"k", b"")
        tokens.rename(away); tokens.mkdir()
        library_of(module).restart(0)
        print(fault(lambda: kek.unwrap(nonce, wrapped, b"")))
        looks = []
        token = kek._sessions._token
        kek._sessions._token = lambda library: (looks.append(1), token(library))[1]
        started = time.monotonic()
        for _ in range(1000):
            fault(lambda: kek.unwrap(nonce, wrapped, b""))
        # It is not looked for a thousand times: once in two seconds, and anew with its module.
        print(len(looks) <= 2 * ((time.monotonic() - started + 1) // 2))
        tokens.rmdir(); away.rename(tokens)
        time.sleep(2.1)
        print(kek.unwrap(nonce, wrapped, b"").decode())
        """,
    )
    missing = f"KekTrouble: there is no token sceau: is it connected, and known to {MODULE}?"
    assert said.splitlines() == [missing, "True", "k"]


def test_a_token_that_chooses_its_own_nonce(hsm: SoftHsm) -> None:
    """As in FIPS mode: 16 octets of its own stand behind the tag, and have to be used."""
    said = python(
        hsm,
        """
        from types import SimpleNamespace
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        cipher = AESGCM(bytes(32))
        def encrypt(plain, *, mechanism, mechanism_param, buffer_size):
            own = os.urandom(16)
            return cipher.encrypt(own, plain, mechanism_param.aad) + own
        def decrypt(wrapped, *, mechanism, mechanism_param, buffer_size):
            return cipher.decrypt(mechanism_param.nonce, wrapped, mechanism_param.aad)
        kek._key = lambda session: SimpleNamespace(encrypt=encrypt, decrypt=decrypt)
        nonce, wrapped = kek.wrap(b"secret key", b"marie")
        print(len(nonce), kek.unwrap(nonce, wrapped, b"marie").decode())
        """,
    )
    assert said == "16 secret key\n"


def test_from_import_to_signature_and_back_to_a_file(hsm: SoftHsm, tmp_path: Path) -> None:
    """Keys under a file move into the token and out again; a person signs all the time."""
    house = House(tmp_path / "house")
    assert house.run("crl", "refresh").code == 0
    folder = P12Folder(house)
    for number in range(30):
        folder.add(f"p{number:02}", row={"consent_of": f"Person {number}"})
    folder.write_list()
    first = ("pki", "key", "import", "--from", folder.path, "--passwords", folder.list)
    assert sceau(hsm, house, *first).returncode == 0

    use_token(house, hsm.table("kek-2026"), 'former_key_encryption_key = "keys/kek"\n')
    assert signs(hsm, house) == "person"
    shown = [
        json.loads(line)
        for line in sceau(hsm, house, "pki", "kek", "show", "--json").stdout.splitlines()
    ]
    assert [(one["use"], one["keys"]) for one in shown] == [("current", 0), ("former", 30)]

    moved = sceau(hsm, house, "pki", "kek", "rotate", "--json")
    assert moved.returncode == 0, moved.stderr
    assert json.loads(moved.stdout)["rewrapped"] == 30
    old = house.base / "keys" / "kek"
    old.rename(old.with_suffix(".away"))
    text = house.config.read_text("utf-8").replace('former_key_encryption_key = "keys/kek"\n', "")
    house.config.write_text(text, "utf-8")
    assert signs(hsm, house) == "person"

    folder.add("new", row={"consent_of": "New"})  # several processes, each with its own session
    folder.add("newer", row={"consent_of": "Newer"})
    folder.write_list()
    more = sceau(hsm, house, *first, "--processes", "2")
    assert more.stdout.startswith("2 imported, 30 stored already, 0 refused"), more.stderr
    check = sceau(hsm, house, "check").stdout
    assert f"✓ key-encryption key: {MODULE}, sceau, kek-2026 wraps and opens" in check

    hsm.write_pin("999999")
    refused = sceau(hsm, house, *first)
    assert refused.returncode == 3
    assert "the token sceau refuses the PIN in" in refused.stderr
    assert (
        "✗ key-encryption key: the token sceau refuses the PIN" in sceau(hsm, house, "check").stdout
    )
    served = sceau(hsm, house, "serve")
    assert served.returncode != 0
    assert "the token sceau refuses the PIN in" in served.stderr
    hsm.write_pin(PIN)

    back = house.base / "keys" / "kek-2027"
    create_kek(back)
    text = house.config.read_text("utf-8").replace(
        "[pki.key_encryption_key]", "[pki.former_key_encryption_key]"
    ).replace("[pki]\n", '[pki]\nkey_encryption_key = "keys/kek-2027"\n', 1)  # fmt: skip
    house.config.write_text(text, "utf-8")
    assert sceau(hsm, house, "pki", "kek", "rotate").stdout.startswith("32 keys are wrapped by ")
    assert signs(hsm, house) == "person"
    verified = sceau(hsm, house, "archive", "verify", "--json")
    assert json.loads(verified.stdout)["status"] == "valid"


def signs(hsm: SoftHsm, house: House) -> str:
    """The role in which a mail of p00's would be signed; the signature is made, too."""
    code = """
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from gateway.policy import Sign
        from gateway.wiring import Wiring
        from pki.models import SignatureScheme
        wiring = Wiring.from_file(Path(sys.argv[1]))
        wiring.try_out()
        found = wiring.signers.choose("p00@interior.example", Sign.PERSON, datetime.now(UTC))
        found.signer.sign(b"x", SignatureScheme.ECDSA, "sha256")
        print(found.role)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), house.config],
        env={**os.environ, **hsm.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
