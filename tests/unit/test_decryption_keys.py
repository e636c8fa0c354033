"""Keys that open mail to our people: brought in, found by RecipientInfo, kept, put into escrow."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from gateway import clock
from gateway.config import load
from gateway.expiry_watch import ExpiryWatch
from gateway.smime.cms import content_info
from gateway.smime.decrypt import Opened, decrypt
from gateway.stored_decrypters import decrypters_for
from gateway.wiring import Wiring
from tests.pki_maker import DAY, Issued, usage
from tests.unit.cli_pki_house import House, sceau
from tests.unit.p12_folder import P12Folder

MARIE = "marie@interior.example"
MAIL = b"Content-Type: text/plain\r\n\r\nbonjour\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> P12Folder:
    house = House(tmp_path)
    assert house.run("crl", "refresh").code == 0
    return P12Folder(house)


def bring(folder: P12Folder, name: str, *options: str, **more: Any) -> Issued:
    issued = folder.add(name, MARIE, **more)
    (folder.house.folder / "secret").write_text("secret\n")
    ran = folder.house.run(
        "key", "import", folder.path / f"{name}.p12", "--address", MARIE,
        "--password-file", folder.house.folder / "secret", *options,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return issued


def sealed(folder: P12Folder, issued: Issued, *options: str) -> bytes:
    """The mail, encrypted to that certificate by openssl."""
    certificate = folder.house.write("to.crt", issued.pem)
    done = subprocess.run(
        ["openssl", "cms", "-encrypt", "-aes256", "-outform", "DER", "-binary",
         "-recip", certificate, *options],
        input=MAIL, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


def opened(house: House, octets: bytes) -> Opened | None:
    wiring = Wiring.from_file(house.config)
    content = content_info(octets)
    try:
        with wiring.database.read() as conn:
            keys = decrypters_for(conn, wiring.keks, content)
    finally:
        wiring.close()
    if not keys:
        return None
    return decrypt(content, keys, moment=clock.now(), secret=b"test")


def test_every_generation_opens_its_mail(folder: P12Folder) -> None:
    house = folder.house
    old = bring(
        folder, "old", "--use", "decrypt", start=house.now - 900 * DAY, end=house.now - 100 * DAY
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    new = bring(
        folder, "new", "--use", "both", subject_key=key,
        key_usage=usage("digital_signature", "key_encipherment"),
        extra=((x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),),
    )  # fmt: skip
    for issued in (old, new):
        for options in ((), ("-keyid",)):
            if options and issued is old:
                continue  # its certificate has no key identifier for openssl to write
            found = opened(house, sealed(folder, issued, *options))
            assert found is not None
            assert found.content == MAIL
            assert found.certificate == issued.der
    shown = house.run("key", "show", MARIE, "--json").json
    assert [(one["use"], one["certificate_sha256"]) for one in shown] == [
        ("sign", new.sha256),
        ("decrypt", old.sha256),
        ("decrypt", new.sha256),
    ]
    assert "opens mail" in house.run("key", "show", MARIE).out
    stranger = house.issue("x", "x@justice.example", kind="ec")
    assert opened(house, sealed(folder, stranger)) is None


def test_an_old_key_opens_and_never_signs(folder: P12Folder) -> None:
    house = folder.house
    folder.add("old", MARIE, start=house.now - 900 * DAY, end=house.now - 100 * DAY)
    (house.folder / "secret").write_text("secret")
    ran = house.run(
        "key", "import", folder.path / "old.p12", "--address", MARIE, "--use", "both",
        "--password-file", house.folder / "secret",
    )  # fmt: skip
    assert ran.code == 1
    assert "is valid from" in ran.err


def test_x25519_keys_are_stored(folder: P12Folder) -> None:
    """(Few write such files; they are for people who got one from a modern PKI.)"""
    key = x25519.X25519PrivateKey.generate()
    issued = folder.house.issue("x25519", MARIE, kind="ec", subject_key=key)
    pem = folder.house.write("x25519.pem", issued.key_pem + issued.pem)
    made = subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", pem, "-passout", "pass:secret"],
        capture_output=True, check=True,
    )  # fmt: skip
    data = made.stdout
    folder.put("x.p12", data)
    folder.write_list()
    ran = folder.house.run(
        "key", "import", "--from", folder.path, "--passwords", folder.list, "--use", "decrypt",
        "--json",
    )  # fmt: skip
    assert ran.json[0]["status"] == "imported", ran.out


def test_a_folder_twice_and_a_new_key_encryption_key(folder: P12Folder) -> None:
    house = folder.house
    issued = [folder.add(f"p{number}") for number in range(5)]
    folder.write_list()
    command = ("key", "import", "--from", folder.path, "--passwords", folder.list, "--use", "both")
    assert house.run(*command).out.startswith("5 imported, 0 stored already, 0 refused")
    assert house.run(*command).out.startswith("0 imported, 5 stored already, 0 refused")

    assert house.run("kek", "show", "--json").json[0]["keys"] == 10
    new = house.base / "keys" / "kek-2027"
    assert sceau("pki", "kek", "create", new).code == 0
    text = house.config.read_text("utf-8").replace(
        'key_encryption_key = "keys/kek"',
        f'key_encryption_key = "{new}"\nformer_key_encryption_key = "keys/kek"', 1,
    )  # fmt: skip
    house.config.write_text(text, "utf-8")
    assert house.run("kek", "rotate", "--json").json == [
        {"kek": house.run("kek", "show", "--json").json[0]["kek"], "rewrapped": 10, "failed": 0}
    ]
    text = text.replace('\nformer_key_encryption_key = "keys/kek"', "")
    house.config.write_text(text, "utf-8")
    found = opened(house, sealed(folder, issued[3]))
    assert found is not None
    assert found.content == MAIL


def test_a_last_certificate_that_ends_is_told(folder: P12Folder) -> None:
    house = folder.house

    def told() -> bool:
        checked = sceau("check", "--config", house.config, "--json")
        return "persons.opening-ends" in checked.out

    def watched(days: int) -> tuple[int, int]:
        """What the keeper sees for its alarm: how many people, and how many of them named."""
        wiring = Wiring(load(house.config))
        watch = ExpiryWatch(
            wiring.database.read, wiring.trust.current, recipients=None, persons=days * DAY
        )
        watch.once(house.now)
        wiring.database.close()
        number, names = watch.ends.opening
        return number, len(names)

    bring(folder, "old", "--use", "decrypt", end=house.now + 10 * DAY)
    assert told()
    assert (watched(9), watched(11)) == ((0, 0), (1, 1))
    bring(folder, "new", "--use", "decrypt", end=house.now + 300 * DAY)
    assert not told()
    assert watched(11) == (0, 0)


def test_a_row_that_was_moved_does_not_open(folder: P12Folder) -> None:
    """Not to another person, and not from the keys that open to those that sign."""
    house = folder.house
    issued = bring(folder, "both", "--use", "both")
    database = house.base / "data" / "sceau.db"
    import sqlite3

    with sqlite3.connect(database) as conn:
        conn.execute(
            "UPDATE decryption_keys SET (nonce, wrapped) = (SELECT nonce, wrapped FROM person_keys)"
        )
    with pytest.raises(Exception, match="cannot be opened: it was wrapped by another"):
        opened(house, sealed(folder, issued))


def test_departure(folder: P12Folder, tmp_path: Path) -> None:
    house = folder.house
    both = bring(folder, "both", "--use", "both", "--consent-of", "Marie")
    signing = bring(folder, "signing", "--consent-of", "Marie",
                    subject_key=ec.generate_private_key(ec.SECP256R1()))  # fmt: skip
    mail = sealed(folder, both)
    plan = house.run("key", "depart", MARIE, "--json")
    assert (plan.code, plan.json[0]["done"]) == (1, False)
    assert opened(house, mail) is not None
    listed = house.run("key", "list", "--json").json
    assert [(one["use"], one["certificate_sha256"]) for one in listed] == [
        ("sign", both.sha256),
        ("sign", signing.sha256),
        ("decrypt", both.sha256),
    ]
    assert "opens mail" in house.run("key", "list").out

    done = house.run("key", "depart", MARIE, "--yes", "--basis", "left on 1 June", "--json")
    assert done.code == 0, done.err
    record = done.json[0]
    # A key that signs and may open mail by its certificate is kept for the authority, too.
    assert set(record["escrowed"]) == {both.sha256, signing.sha256}
    assert set(record["removed"]) == {both.sha256, signing.sha256}
    assert record["consents_ended"] == 2
    assert opened(house, mail) is None
    assert house.run("key", "list", "--json").json == []
    history = sceau("archive", "history", record["id"], "--config", house.config, "--json")
    assert "departed" in history.out

    # Nobody brings the same key back by importing the file again.
    again = house.run(
        "key", "import", folder.path / "both.p12", "--address", MARIE, "--use", "decrypt",
        "--password-file", house.folder / "secret",
    )  # fmt: skip
    assert (again.code, "has left" in again.err) == (2, True), again.err

    listed = house.run("key", "escrow", "list", "--json").json
    assert {one["certificate_sha256"] for one in listed} == {both.sha256, signing.sha256}
    authority = next((house.base / "authority").glob("*.key"))
    out = tmp_path / "out.pem"
    taking = ("key", "escrow", "open", MARIE, "--archive-key", authority, "--out", out)
    assert house.run(*taking, "--certificate", both.sha256).code == 2  # no reason
    assert house.run(*taking, "--basis", "court").code == 2  # which of the two
    assert not out.exists()
    taken = house.run(*taking, "--basis", "court", "--certificate", both.sha256)
    assert taken.code == 0, taken.err
    assert out.stat().st_mode & 0o777 == 0o600
    (tmp_path / "mail").write_bytes(mail)
    decrypted = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "mail", "-inkey", out,
         "-recip", out],
        capture_output=True,
    )  # fmt: skip
    assert b"bonjour" in decrypted.stdout, decrypted.stderr
    history = sceau("archive", "history", record["id"], "--config", house.config, "--json")
    assert "escrow-opened" in history.out


def test_nobody_of_that_address_departs(folder: P12Folder) -> None:
    """A mistyped address is told: whoever leaves would go on signing."""
    for more in ([], ["--yes", "--basis", "left on 1 June"]):
        done = folder.house.run("key", "depart", "mraie@interior.example", *more)
        assert done.code == 1
        assert "no key of mraie@interior.example is stored" in done.err
        assert done.out == ""


def test_a_departure_is_all_or_nothing(folder: P12Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    house = folder.house
    both = bring(folder, "both", "--use", "both")

    def fails(*_arguments: object) -> tuple[bytes, str]:
        raise OSError(5, "no", "x")

    monkeypatch.setattr("gateway.departure.sealer", lambda _recipients: fails)
    assert house.run("key", "depart", MARIE, "--yes").code == 2
    assert opened(house, sealed(folder, both)) is not None
    assert [one["use"] for one in house.run("key", "list", "--json").json] == ["sign", "decrypt"]


def test_escrow_opens_for_nobody_else(folder: P12Folder, tmp_path: Path) -> None:
    house = folder.house
    bring(folder, "both", "--use", "both")
    assert house.run("key", "depart", MARIE, "--yes").code == 0
    from archive.recipients import generate_recipient

    generate_recipient("stranger", tmp_path / "s.pub", tmp_path / "s.key")
    text = house.config.read_text("utf-8")
    four = text.replace("four_eyes = false", "four_eyes = true").partition("[[pki.anchors]]\nname")
    house.config.write_text(four[0], "utf-8")
    first, second = sorted((house.base / "authority").glob("*.key"))
    taking = ("key", "escrow", "open", MARIE, "--basis", "b", "--out", tmp_path / "out")
    for keys in ((first,), (first, first)):
        named = [part for file in keys for part in ("--archive-key", file)]
        alone = house.run(*taking, *named)
        assert (alone.code, "the private keys of two" in alone.err) == (2, True), alone.err
    mixed = house.run(*taking, "--archive-key", first, "--archive-key", tmp_path / "s.key")
    assert "was not sealed to this key" in mixed.err
    assert not (tmp_path / "out").exists()
    both = ("--archive-key", first, "--archive-key", second)
    assert house.run(*taking[:-1], tmp_path / "both", *both).code == 0
    house.config.write_text(text, "utf-8")
    ran = house.run(
        "key", "escrow", "open", MARIE, "--archive-key", tmp_path / "s.key", "--basis", "b",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.code != 0
    assert "was not sealed to this key" in ran.err
    assert not (tmp_path / "out").exists()
