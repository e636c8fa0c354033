"""LDIF of RFC 2849, and lists: what is read, and how a bad entry is named."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from gateway.i18n import catalogue
from pki import ldif
from pki.csvlist import CsvFault, CsvRow, looks_like_csv, read_csv
from pki.ldif import LdifEntry, LdifFault, looks_like_ldif, read_ldif


def read(text: str | bytes) -> list[LdifEntry | LdifFault]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_ldif(io.BytesIO(data)))


def entry(text: str) -> LdifEntry:
    (found,) = read(text)
    assert isinstance(found, LdifEntry)
    return found


def fault(text: str) -> str:
    (found,) = read(text)
    assert isinstance(found, LdifFault)
    return found.problem.text


def test_folded_lines_base64_options_and_comments() -> None:
    text = (
        "version: 1\r\n# a comment that is\r\n  folded\r\n"
        "dn:: " + base64.b64encode("cn=Amélie".encode()).decode() + "\r\n"
        "objectClass: person\r\n# in between\r\n"
        "mail: amelie@\r\n a.example\r\n"
        "userCertificate;binary:: MIIB\r\n AAEC\r\n"
        "description;lang-fr:  two blanks\r\n"
    )
    found = entry(text)
    assert (found.number, found.dn) == (1, "cn=Amélie")
    assert found.values("mail") == [b"amelie@a.example"]
    assert found.values("usercertificate") == [base64.b64decode("MIIBAAEC")]
    assert found.values("Description") == [b"two blanks"]


def test_a_folded_comment_alone_is_no_entry() -> None:
    found = read("# c\n folded\n\ndn: cn=a\nmail: a@x\n\n# c\n folded\n\n# c\n folded\ndn: cn=b\n")
    assert [(one.number, one.line) for one in found] == [(1, 4), (2, 12)]


def test_entries_are_counted_and_lines_are_named() -> None:
    found = read("version: 1\n\ndn: cn=a\nmail: a@x\n\n\n# c\n\ndn: cn=b\nbad line\n\ndn: cn=c\n")
    assert [(one.number, type(one).__name__) for one in found] == [
        (1, "LdifEntry"), (2, "LdifFault"), (3, "LdifEntry"),
    ]  # fmt: skip
    assert [one.line for one in found] == [3, 9, 12]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dn: cn=a\nmail:: %%%\n", "the base64 of mail is damaged"),
        ("dn: cn=a\njpegPhoto:< file:///etc/shadow\n", "jpegphoto is in another file"),
        ("dn: cn=a\nchangetype: delete\n", "it is a change, and not an entry"),
        ("mail: a@x\ndn: cn=a\n", "it does not begin with dn"),
    ],
)
def test_what_cannot_be_read(text: str, why: str) -> None:
    assert fault(text) == f"it cannot be read: {why}"
    (found,) = read(text)
    assert isinstance(found, LdifFault)
    assert found.problem.template in catalogue("fr")
    assert "{reason}" not in found.problem.template  # what stood there stayed English


def test_an_entry_of_a_changes_file_that_adds() -> None:
    assert entry("dn: cn=a\nchangetype: add\nmail: a@x\n").values("mail") == [b"a@x"]


def test_a_giant_entry_costs_no_memory_and_the_next_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ldif, "MAX_ENTRY", 1000)
    giant = "dn: cn=a\n" + "x: " + "y" * 5000 + "\n z" * 500 + "\n\ndn: cn=b\nmail: b@x\n"
    first, second = read(giant)
    assert isinstance(first, LdifFault)
    assert first.problem.code == "limits.ldif"
    assert isinstance(second, LdifEntry)
    assert second.dn == "cn=b"


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "version: 1\n"])
def test_empty_files(text: str) -> None:
    assert read(text) == []


def test_what_looks_like_which() -> None:
    assert looks_like_ldif(b"\xef\xbb\xbf# from slapcat\nversion: 1\n")
    assert looks_like_ldif(b"dn: cn=a\n")
    assert not looks_like_ldif(b"-----BEGIN CERTIFICATE-----\n")
    assert looks_like_csv(b'"Mail";"Certificat"\n')
    assert not looks_like_csv(b"name,phone\n")


def rows(text: str, folder: Path) -> list[CsvRow | CsvFault]:
    return list(read_csv(io.BytesIO(text.encode()), folder))


def test_rows_of_base64_pem_and_files(tmp_path: Path) -> None:
    der = b"\x30\x03\x02\x01\x01"
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der) + b"\n-----END CERTIFICATE-----"
    (tmp_path / "b.crt").write_bytes(der)
    text = (
        "\ufeffname;address;certificate\n"
        f"A;a@x;{base64.b64encode(der).decode()}\n\n"
        "B;b@x, c@x;b.crt\n"
        f'C;d@x;"{pem.decode()}"\n'
    )
    found = rows(text, tmp_path)
    assert found == [
        CsvRow(1, ("a@x",), (der,)), CsvRow(2, ("b@x", "c@x"), (der,)), CsvRow(3, ("d@x",), (der,))
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    ["a@x,../../etc/shadow.pem", "a@x,.hidden.crt", "a@x,gone.crt", "a@x,%%%", "a@x", ",AAAA"],
)
def test_rows_that_cannot_be_used(row: str, tmp_path: Path) -> None:
    (tmp_path / ".hidden.crt").write_bytes(b"\x30\x03\x02\x01\x01")
    good = "b@x,MAMCAQE="
    bad, fine = rows(f"address,certificate\n{row}\n{good}\n", tmp_path)
    assert isinstance(bad, CsvFault)
    assert bad.number == 1
    assert isinstance(fine, CsvRow)
    assert fine.number == 2


def test_a_header_that_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not name the columns"):
        rows("who,what\n", tmp_path)
