"""`sceau pki crl`: fetched, brought by hand, refused with the reason, all versions kept."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.demo.crlserver import CrlServer
from tests.pki_maker import DAY, key, root
from tests.unit.cli_pki_house import House, sceau


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_refresh_stores_and_list_shows_the_newest(house: House) -> None:
    first = house.run("crl", "refresh", "--json")
    assert first.code == 0
    assert [(one["state"], one["number"]) for one in first.json] == [("stored", 1), ("stored", 1)]

    house.publish(2)
    assert house.run("crl", "refresh").out.count(": new: CRL no. 2 of CN=House ") == 2
    assert house.run("crl", "refresh").out.count(": unchanged: CRL no. 2 of CN=House ") == 2

    assert [one["number"] for one in house.run("crl", "list", "--json").json] == [2, 2]
    everything = house.run("crl", "list", "--all", "--json").json
    assert sorted((one["number"], one["newest"]) for one in everything) == [
        (1, False), (1, False), (2, True), (2, True),
    ]  # fmt: skip
    assert "(replaced)" in house.run("crl", "list", "--all").out


def test_refresh_of_an_older_one_is_refused_and_says_what_still_holds(house: House) -> None:
    house.publish(5)
    house.run("crl", "refresh")
    house.publish(4)

    done = house.run("crl", "refresh", "--json")

    assert done.code == 1
    for one in done.json:
        assert one["state"] == "failed"
        assert one["problems"][0]["code"] == "revocation.crl-number"
        assert one["next_update"] is not None
    assert [one["number"] for one in house.run("crl", "list", "--json").json] == [5, 5]


def test_a_source_that_is_not_there_is_code_3(house: House) -> None:
    with socket.socket() as taken:  # bound, not listening: nothing answers there
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        house.allow(place)
        house.configure(f'\n[[pki.crls]]\nurl = "http://{place}/other.crl"\n')
        done = house.run("crl", "refresh")

    assert done.code == 3
    assert done.out.count(": new: ") == 2  # the other sources were fetched all the same
    assert f"http://{place}/other.crl was not fetched: " in done.err


def test_a_source_that_gives_something_else_is_code_1(house: House) -> None:
    house.write("ca.crl", b"<html>maintenance</html>")

    done = house.run("crl", "refresh", "--json")

    assert done.code == 1
    assert done.json[1]["problems"][0]["code"] == "structure.crl"


@pytest.mark.flow
def test_over_http(house: House, tmp_path: Path) -> None:
    with CrlServer(tmp_path / "www") as server:
        (tmp_path / "www" / "ca.crl").write_bytes(
            house.ca.crl(7, start=house.now - DAY, end=house.now + DAY)
        )
        house.allow(f"127.0.0.1:{server.port}")
        for name in ("ca", "gone"):
            house.configure(f'\n[[pki.crls]]\nurl = "{server.base_url}/{name}.crl"\n')

        done = house.run("crl", "refresh", "--json")

    assert done.code == 3
    *_, fetched, missing = done.json
    assert (fetched["state"], fetched["number"]) == ("stored", 7)
    assert (missing["state"], missing["problems"][0]["code"]) == ("failed", "limits.fetch")
    assert "404" in missing["problems"][0]["text"]


def test_no_source_at_all(house: House) -> None:
    text = house.config.read_text("utf-8")
    house.config.write_text(text[: text.rindex("[[pki.crls]]\nfile")], "utf-8")
    text = house.config.read_text("utf-8")
    house.config.write_text(text[: text.rindex("[[pki.crls]]\nfile")], "utf-8")

    done = house.run("crl", "refresh")

    assert (done.code, done.out) == (0, "")
    assert done.err == "No CRL source is configured ([[pki.crls]]).\n"


# -- brought by hand -----------------------------------------------------------------------------


def test_two_crls_in_one_pem_file_are_both_stored(house: House) -> None:
    ders = [(house.folder / name).read_bytes() for name in ("root.crl", "ca.crl")]
    pem = b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in ders)

    done = house.run("crl", "import", house.write("both.pem", pem), "--json")

    assert done.code == 0
    assert [one["new"] for one in done.json[0]["imported"]] == [True, True]
    stored = house.run("crl", "list", "--json").json
    assert len(stored) == 2
    assert stored[0]["source"].startswith("both.pem, by hand (")


def test_what_may_not_be_stored_is_refused_file_by_file(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "crls"
    folder.mkdir()
    end = {"start": house.now - DAY, "end": house.now + DAY}
    (folder / "1-good.crl").write_bytes(house.ca.crl(1, **end))
    (folder / "2-stranger.crl").write_bytes(root("Stranger").crl(1, **end))
    (folder / "3-forged.crl").write_bytes(house.root.crl(1, crl_key=key("forger"), **end))
    (folder / "4-stale.crl").write_bytes(
        house.root.crl(1, start=house.now - 9 * DAY, end=house.now - DAY)
    )
    point = x509.IssuingDistributionPoint(None, None, False, False, None, False, True)
    (folder / "5-attributes.crl").write_bytes(house.root.crl(2, extra=((point, True),), **end))
    (folder / "6-mail.eml").write_bytes(b"Subject: the CRL\n")

    done = house.run("crl", "import", folder, "--json")

    assert done.code == 2
    assert [[one["code"] for one in report["problems"]] for report in done.json] == [
        [],
        ["revocation.crl-issuer"],
        ["revocation.signature"],
        ["revocation.stale"],
        ["revocation.crl"],
        ["structure.crl"],
    ]
    assert len(house.run("crl", "list", "--json").json) == 1
    assert house.run("crl", "import", folder / "3-forged.crl").code == 1


# -- show ----------------------------------------------------------------------------------------


def test_show_needs_no_configuration_and_agrees_with_openssl(house: House) -> None:
    house.ca.revoke(house.issue("Paul", "paul@justice.example"))
    house.publish(12)
    file = house.folder / "ca.crl"

    done = sceau("pki", "crl", "show", file, "--json")

    (crl,) = done.json[0]["crls"]
    said = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", file, "-noout", "-text", "-fingerprint",
         "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert (crl["number"], crl["revoked"]) == (12, said.count("Serial Number:"))
    assert "X509v3 CRL Number: \n                12" in said
    assert crl["sha256"] in said.replace(":", "").lower()


def test_show_a_stored_one(house: House) -> None:
    house.run("crl", "refresh")
    (first, _) = house.run("crl", "list", "--json").json

    done = house.run("crl", "show", first["sha256"])

    assert done.code == 0
    assert first["issuer"] in done.out
    assert f"from {first['source']}, known since" in done.out
    assert house.run("crl", "show", "f" * 64).code == 1


@pytest.mark.parametrize(("content", "code"), [(b"", 2), (b"0\x03\x02\x01\x00", 2)])
def test_show_what_is_no_crl(house: House, content: bytes, code: int) -> None:
    done = sceau("pki", "crl", "show", house.write("odd", content), "--json")

    assert done.code == code
    assert done.json[0]["problems"][0]["code"] == "structure.crl"


def test_a_large_crl_is_indexed_and_revokes(house: House, tmp_path: Path) -> None:
    marie = house.issue("Marie", "marie@justice.example")
    paul = house.issue("Paul", "paul@justice.example")
    for person in (marie, paul):
        file = house.write("person.pem", person.pem)
        assert house.run("cert", "import", file).code == 0
    house.ca.revoked = dict.fromkeys(range(10_000, 13_000), (house.now - DAY, "superseded"))
    house.ca.revoke(marie, when=house.now - DAY)
    house.publish(2)

    assert house.run("crl", "refresh").out.count(": new: CRL no. 2 of CN=House ") == 2

    (index,) = house.base.glob("**/crls/*.crlindex")
    (listed,) = [one for one in house.run("crl", "list", "--json").json if "CA" in one["issuer"]]
    assert index.name.startswith(listed["sha256"])
    (shown,) = house.run("crl", "show", listed["sha256"], "--json").json
    assert shown["crls"][0]["revoked"] == 3001
    assert house.run("cert", "find", "paul@justice.example").code == 0
    for damage in (None, b"", b"x" * 1000):  # and whatever becomes of the file
        if damage is not None:
            index.write_bytes(damage)
        found = house.run("cert", "find", "marie@justice.example", "--json")
        assert "revocation.revoked" in found.out
        assert index.stat().st_size > 100_000

    whole = (tmp_path / "ca.crl").read_bytes()
    brought = house.run("crl", "import", house.write("cut.crl", whole[:-1]))
    assert brought.code == 2
    house.publish(3)
    brought = house.run("crl", "import", tmp_path / "ca.crl")
    assert brought.code == 0
    assert ": new: CRL no. 3 of CN=House CA" in brought.out
