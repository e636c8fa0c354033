"""`sceau pki cert` and `anchor`: what is found, kept, refused, and why."""

from __future__ import annotations

import json
import socket
import subprocess
import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.installation import Installation
from gateway.queue.jobs import NewMessage
from gateway.queue.models import recipients
from gateway.queue.states import State
from gateway.queue.store.enqueue import enqueue
from tests.pki_maker import DAY, root
from tests.unit.cli_pki_house import House, sceau
from tests.unit.cms_forger import issue, mallory_key

PAUL = "paul@justice.example"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def ready(house: House) -> House:
    """With CRLs stored."""
    done = house.run("crl", "refresh")
    assert done.code == 0, done.err
    return house


def _held(archive_id: str, address: str) -> NewMessage:
    return NewMessage(
        archive_id=archive_id,
        org="interior",
        kind="mail",
        sender="anna@interior.example",
        author="anna@interior.example",
        parameters={},
        sha256="00" * 32,
        size=1,
        accepted_at=0,
        expires_at=1,
        recipients=(address,),
    )


# -- import, list, remove ------------------------------------------------------------------------


def test_a_certificate_for_any_use_is_one_for_mail_unless_the_house_says_otherwise(
    house: House,
) -> None:
    ready(house)
    paul = house.issue("Paul", PAUL, extended=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))
    assert house.run("cert", "import", house.write("paul.pem", paul.pem)).code == 0
    assert house.run("cert", "find", PAUL, "--json").json[0]["status"] == "found"

    text = house.config.read_text("utf-8")
    assert "any_extended_key_usage = true" in text  # as `sceau init` writes it
    house.config.write_text(text.replace("usage = true", "usage = false"), "utf-8")

    (found,) = house.run("cert", "find", PAUL, "--json").json
    assert found["status"] != "found"
    assert "path.extended-key-usage" in json.dumps(found)


def test_a_pem_file_goes_into_the_store_and_is_used(house: House) -> None:
    ready(house)
    paul = house.issue("Paul", PAUL)
    file = house.write("paul.pem", paul.pem)

    done = house.run("cert", "import", file, "--source", "handed over at the desk")

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{file}: stored: {PAUL}, valid until ")
    assert done.out.endswith(f"{paul.sha256}\n")
    (kept,) = house.run("cert", "list", PAUL, "--json").json
    assert (kept["sha256"], kept["source"]) == (paul.sha256, "handed over at the desk")
    (found,) = house.run("cert", "find", PAUL, "--json").json
    assert found["status"] == "found"
    assert found["certificate"]["sha256"] == paul.sha256


def test_held_mail_that_lacked_a_certificate_is_named_at_the_import(house: House) -> None:
    ready(house)
    database = Installation.from_file(house.config).database
    with database.write() as conn:
        enqueue(conn, [_held("aa" * 16, PAUL), _held("bb" * 16, "other@justice.example")])
        conn.execute(sa.update(recipients).values(state=str(State.HELD)))
    database.close()
    paul = house.issue("Paul", PAUL)

    done = house.run("cert", "import", house.write("paul.pem", paul.pem))

    assert done.code == 0
    assert done.err.endswith(f"sceau queue release {'aa' * 16}\n")


def test_a_second_import_changes_nothing(house: House) -> None:
    file = house.write("paul.pem", house.issue("Paul", PAUL).pem)
    house.run("cert", "import", file)

    again = house.run("cert", "import", file)

    assert again.code == 0
    assert ": known already: " in again.out
    assert len(house.run("cert", "list", "--json").json) == 1


def test_a_pkcs7_bundle_of_openssl_brings_people_not_their_authorities(house: House) -> None:
    paul, anne = house.issue("Paul", PAUL), house.issue("Anne", "anne@justice.example")
    pem = house.write("all.pem", paul.pem + house.ca.pem + anne.pem)
    for form in ("DER", "PEM"):
        bundle = house.folder / f"all.{form}.p7b"
        subprocess.run(
            ["openssl", "crl2pkcs7", "-nocrl", "-certfile", pem, "-outform", form, "-out", bundle],
            check=True,
        )
        (report,) = house.run("cert", "import", bundle, "--json").json
        assert {one["sha256"] for one in report["imported"]} == {paul.sha256, anne.sha256}
        assert [one["sha256"] for one in report["passed_over"]] == [house.ca.sha256]
        assert report["problems"] == []


def test_a_folder_is_reported_file_by_file_and_a_bad_file_stops_nothing(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    paul = house.issue("Paul", PAUL)
    (folder / "1.der").write_bytes(paul.der)
    (folder / "2.txt").write_bytes(b"not a certificate")
    (folder / "3.pem").write_bytes(house.issue("Server").pem)
    anne = house.issue("Anne", "anne@justice.example")
    broken = b"-----BEGIN CERTIFICATE-----\nMAAw\n-----END CERTIFICATE-----\n"
    (folder / "4.pem").write_bytes(broken + anne.pem)

    done = house.run("cert", "import", folder, "--json")

    assert done.code == 2
    good, garbage, nobody, mixed = done.json
    assert [one["sha256"] for one in good["imported"]] == [paul.sha256]
    assert garbage["problems"] == [
        {"code": "structure.certificate", "text": "there is no certificate in it"}
    ]
    assert nobody["problems"][0]["code"] == "identity.no-address"
    assert [one["sha256"] for one in mixed["imported"]] == [anne.sha256]
    assert mixed["problems"][0]["text"].startswith("no. 1 in it: this is not a usable certificate")


def test_the_address_asked_for_must_be_in_the_certificate(house: House) -> None:
    paul = house.issue("Paul", PAUL, "p.dupont@justice.example")
    file = house.write("paul.pem", paul.pem)

    wrong = house.run("cert", "import", file, "--address", "anne@justice.example")
    assert wrong.code == 1
    assert f"is for {PAUL}, p.dupont@justice.example, not for anne@justice.example" in wrong.err
    assert house.run("cert", "list").out == ""

    right = house.run("cert", "import", file, "--address", "P.Dupont@Justice.Example", "--json")
    assert right.json[0]["imported"][0]["addresses"] == ["p.dupont@justice.example"]
    assert [one["address"] for one in house.run("cert", "list", "--json").json] == [
        "p.dupont@justice.example"
    ]


def test_an_authority_alone_is_refused_with_what_to_do(house: House) -> None:
    done = house.run("cert", "import", house.root_file)

    assert done.code == 1
    assert "authorities are named in pki.anchors or pki.intermediates" in done.err


def test_a_list_without_certificates_was_not_imported(house: House) -> None:
    """A wrong attribute name must not look like 200,000 people who were stored."""
    entry = "dn: uid=anna\nmail: anna@interior.example\n"
    wrong = house.write("wrong.ldif", f"version: 1\n\n{entry}usercert:: AAAA\n".encode())
    broken = house.write("broken.ldif", f"{entry}userCertificate;binary:: AAAA\n".encode())

    done = house.run("cert", "import", wrong)

    assert done.code == 1
    assert "no entry has a certificate (userCertificate, userSMIMECertificate)" in done.err
    told = house.run("cert", "import", broken).err
    assert "entry 1 of broken.ldif: this is not a usable certificate: it is not the DER" in told
    assert "ParseError" not in told


def test_an_empty_folder_and_a_missing_file(house: House, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    empty = house.run("cert", "import", tmp_path / "empty")
    missing = house.run("cert", "import", tmp_path / "none.pem")

    assert (empty.code, empty.err) == (2, f"sceau pki: there is no file in {tmp_path}/empty\n")
    assert missing.code == 2
    assert missing.err == f"{tmp_path}/none.pem: cannot be read: No such file or directory\n"


def test_removed_means_not_used_any_more_but_on_record(house: House) -> None:
    ready(house)
    paul = house.issue("Paul", PAUL)
    house.run("cert", "import", house.write("paul.pem", paul.pem))

    done = house.run("cert", "remove", paul.sha256.upper())

    assert (done.code, done.out) == (0, f"It is out of use for {PAUL}.\n")
    assert house.run("cert", "find", PAUL).code == 1
    assert house.run("cert", "list").out == ""
    shown = house.run("cert", "show", paul.sha256)
    assert "Out of use since" in shown.out
    again = house.run("cert", "remove", paul.sha256)
    assert (again.code, again.err) == (
        1, f"sceau pki: no certificate {paul.sha256} is in use in the local store\n"
    )  # fmt: skip


# -- find ----------------------------------------------------------------------------------------


def test_find_tells_path_crls_algorithms_and_what_was_passed_over(house: House) -> None:
    ready(house)
    old = house.issue("Paul", PAUL, start=house.now - 30 * DAY)
    new = house.issue("Paul", PAUL)
    gone = house.issue("Paul", PAUL, start=house.now - 9 * DAY, end=house.now - DAY)
    house.run("cert", "import", house.write("paul.pem", old.pem + new.pem + gone.pem))

    done = house.run("cert", "find", PAUL, "--json")

    assert done.code == 0
    (found,) = done.json
    assert found["looked_in"] == ["store"]
    assert found["certificate"]["sha256"] == new.sha256
    assert found["certificate"]["path"] == [
        "CN=House Root,O=Sceau Tests", "CN=House CA,O=Sceau Tests", "CN=Paul,O=Sceau Tests",
    ]  # fmt: skip
    assert [one["issuer"] for one in found["certificate"]["revocation"]] == [
        "CN=House Root,O=Sceau Tests", "CN=House CA,O=Sceau Tests",
    ]  # fmt: skip
    assert found["encryption"]["cipher"] == "aes-256-cbc"
    assert found["encryption"]["key_management"] == "rsa-pkcs1"
    reasons = {one["sha256"]: one["problems"][0]["code"] for one in found["refused"]}
    assert reasons == {old.sha256: "identity.passed-over", gone.sha256: "path.expired"}

    text = house.run("cert", "find", PAUL).out
    assert text.startswith(f"{PAUL}: there is a certificate\n  looked in: store\n")
    assert "would encrypt with aes-256-cbc, rsa-pkcs1" in text


def test_find_says_what_was_agreed_with_the_domain(house: House) -> None:
    house.configure('\n[[policy.partners]]\ndomains = ["justice.example"]\ncrypto = "modern"\n')
    ready(house)
    house.run("cert", "import", house.write("paul.pem", house.issue("Paul", PAUL).pem))

    (found,) = house.run("cert", "find", PAUL, "--json").json

    assert found["encryption"]["cipher"] == "aes-256-gcm"
    assert found["encryption"]["reason"]["code"] == "crypto.domain-modern"


def test_find_where_there_is_none(house: House) -> None:
    done = house.run("cert", "find", PAUL)

    assert done.code == 1
    assert done.out == (
        f"{PAUL}: there is no usable certificate\n"
        "  looked in: store\n"
        f"  because: no certificate for {PAUL} was found (looked in: store)\n"
    )


def test_find_a_revoked_one(house: House) -> None:
    paul = house.issue("Paul", PAUL)
    house.ca.revoke(paul, when=house.now - DAY)
    house.publish(2)
    ready(house)
    house.run("cert", "import", house.write("paul.pem", paul.pem))

    (found,) = house.run("cert", "find", PAUL, "--json").json

    assert found["status"] == "none"
    assert found["problems"][0]["code"] == "revocation.revoked"
    assert found["refused"][0]["sha256"] == paul.sha256


def test_find_without_crls_cannot_tell(house: House) -> None:
    house.run("cert", "import", house.write("paul.pem", house.issue("Paul", PAUL).pem))

    done = house.run("cert", "find", PAUL, "nobody@elsewhere.example", "--json")

    assert done.code == 1  # 1 before 3: for the second address the answer is no
    assert [one["status"] for one in done.json] == ["indeterminate", "none"]
    assert house.run("cert", "find", PAUL).code == 3


def test_find_with_a_dead_directory_cannot_tell(house: House) -> None:
    with socket.socket() as taken:  # bound, not listening: nothing answers there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        house.configure(
            f"""
[[pki.directories]]
name = "justice"
url = "ldap://127.0.0.1:{port}"
base = "dc=example"
domains = ["justice.example"]
"""
        )
        done = house.run("cert", "find", PAUL, "--json")

    assert done.code == 3
    (found,) = done.json
    assert found["status"] == "indeterminate"
    assert found["looked_in"] == ["store", "justice"]
    assert found["problems"][0]["code"].startswith("directory.")


def test_find_what_is_no_address(house: House) -> None:
    done = house.run("cert", "find", PAUL, "nobody")

    assert done.code == 2
    assert done.out == ""
    assert "nobody cannot be used as a mail address" in done.err


# -- show ----------------------------------------------------------------------------------------


def test_show_needs_no_configuration_and_agrees_with_openssl(tmp_path: Path) -> None:
    house = House(tmp_path)
    paul = house.issue("Paul", PAUL, extended=(ExtendedKeyUsageOID.EMAIL_PROTECTION,))
    file = house.write("paul.der", paul.der)

    done = sceau("pki", "cert", "show", file, "--json")

    assert done.code == 0
    (cert,) = done.json[0]["certificates"]
    said = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", file, "-noout", "-serial", "-email",
         "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert int(said.partition("serial=")[2].split()[0], 16) == int(cert["serial"], 16)
    assert PAUL in said
    assert cert["emails"] == [PAUL]
    assert cert["sha256"] in said.replace(":", "").lower()
    assert cert["key_usage"] == ["digitalSignature", "keyEncipherment"]
    assert cert["extended_key_usage"] == ["emailProtection"]
    assert cert["key"] == "rsa 3072"


def test_show_a_name_that_would_steer_the_terminal(tmp_path: Path) -> None:
    house = House(tmp_path)
    file = house.write("evil.pem", house.issue("Paul\x1b[2J\u202e", PAUL).pem)

    done = sceau("pki", "cert", "show", file)

    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert "\\x1b" in done.out


def test_show_says_nothing_in_the_name_of_a_library(tmp_path: Path) -> None:
    """A name of more than 64 characters: its warning stood between our lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 90, _validate=False)])
    file = tmp_path / "long.der"
    file.write_bytes(issue(None, mallory_key().public_key(), subject=name))

    ran = sceau("pki", "cert", "show", str(file))

    assert "x" * 90 in ran.out
    assert ran.err == ""


def test_show_by_fingerprint_finds_every_place(house: House) -> None:
    paul = house.issue("Paul", PAUL)
    house.run("cert", "import", house.write("paul.pem", paul.pem))
    colons = ":".join(paul.sha256[i : i + 2] for i in range(0, 64, 2))

    for what, place in (
        (colons, "store"),
        (house.root.sha256, "anchor"),
        (house.ca.sha256, "intermediate"),
    ):
        done = house.run("cert", "show", what, "--json")
        assert done.code == 0
        (cert,) = done.json[0]["certificates"]
        assert [one["place"] for one in cert["kept"]] == [place]

    unknown = house.run("cert", "show", "0" * 64)
    assert unknown.code == 1
    assert "is known here" in unknown.err


def test_show_what_is_neither_file_nor_fingerprint(house: House) -> None:
    done = house.run("cert", "show", "paul.pem")

    assert (done.code, done.err) == (
        2,
        "sceau pki: paul.pem is neither a file nor a fingerprint (64 hex digits of a SHA-256)\n",
    )


def test_french(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    file = house.write(
        "paul.p7b", pkcs7.serialize_certificates([house.issue("Paul", PAUL).cert], Encoding.DER)
    )

    assert "adresses de messagerie" in house.run("cert", "show", file).out
    assert ": enregistré : " in house.run("cert", "import", file).out.replace("\u00a0", " ")


# -- anchors -------------------------------------------------------------------------------------


def test_anchors_are_listed_with_the_limits_of_the_trust(house: House) -> None:
    (record,) = house.run("anchor", "list", "--json").json
    assert record["name"] == "house"
    assert record["purposes"] == ["encrypt", "sign"]
    assert record["domains"] == ["justice.example", "interior.example"]
    assert record["sha256"] == house.root.sha256
    assert record["grace_seconds"] == 0

    _, line = house.run("anchor", "list").out.splitlines()
    assert line.startswith("house  in the configuration  -   encrypt, sign  ")
    assert "hard fail" in line

    shown = house.run("anchor", "show", "house").out
    assert "compared by phone" in shown
    assert house.root.sha256 in shown
    assert house.run("anchor", "show", house.root.sha256).out == shown


def test_an_anchor_that_is_not_there(house: House) -> None:
    done = house.run("anchor", "show", "horse")

    assert (done.code, done.err) == (
        1, "sceau pki: there is no trust anchor horse; there are: house\n"
    )  # fmt: skip


def test_an_anchor_whose_fingerprint_is_another_one_is_not_shown_as_trusted(house: House) -> None:
    house.root_file.write_bytes(root("Somebody Else").pem)

    done = house.run("anchor", "list")

    assert (done.code, done.out) == (2, "")
    assert "is not the certificate of the trust anchor house" in done.err
    # Both, as openssl prints them: which of the two is right is for a person to find out.
    typed, found = house.root.sha256, root("Somebody Else").sha256
    for each in (typed, found):
        assert ":".join(each[i : i + 2] for i in range(0, 64, 2)).upper() in done.err
