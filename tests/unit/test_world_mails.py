"""Sample mails and the harness's own splitter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.judge import NotProvedError, expected_entity, signed_part
from gateway.demo.mails import SAMPLES, ham, large, samples, sendable
from tests.corpora import ROOT, corpus


@pytest.mark.parametrize("mail", samples(), ids=lambda mail: mail.name)
def test_samples_have_wire_line_ends_and_one_sender(mail) -> None:
    assert mail.content.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", mail.content)
    header = mail.content.partition(b"\r\n\r\n")[0]
    assert re.findall(rb"(?m)^From: .*<(.*)>", header) == [b"jeanne.moreau@interieur.example"]


def test_there_is_a_sample_of_each_kind() -> None:
    contents = {mail.name: mail.content for mail in samples()}
    assert b"r\xe9union" in contents["latin1-8bit"]
    assert "Subject: Réunion".encode() in contents["utf8-headers"]
    assert b"\x1b$B" in contents["iso-2022-jp"]
    assert b"JVBERi0" in contents["html-pdf"]
    assert b"quoted-printable" in contents["accents"]
    assert contents["odd-lines"].count(b"\r\n.\r\n") == 1


def test_samples_are_what_their_maker_makes(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "signed.eml", tmp_path)
    subprocess.run([sys.executable, ROOT / "samples" / "make.py", tmp_path], check=True)
    for mail in samples():
        assert (tmp_path / f"{mail.name}.eml").read_bytes() == mail.content, mail.name
    assert len(list(tmp_path.iterdir())) == len(samples())


def test_the_signed_sample_verifies_and_a_changed_one_does_not(tmp_path: Path) -> None:
    good = SAMPLES / "signed.eml"
    bad = tmp_path / "bad.eml"
    bad.write_bytes(good.read_bytes().replace(b"Signed before", b"Signed after "))
    for file, expected in ((good, 0), (bad, 4)):
        entity = tmp_path / "entity"
        entity.write_bytes(signed_part(file.read_bytes()) or b"")
        done = subprocess.run(
            ["openssl", "cms", "-verify", "-noverify", "-binary", "-in", file]
            + ["-content", entity, "-out", "/dev/null"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == expected


def test_the_large_mail_is_large_and_the_same_again() -> None:
    mail = large("a@interieur.example", "b@justice.example")
    assert 9_999_900 < len(mail.content) <= 10_000_000
    assert mail == large("a@interieur.example", "b@justice.example")
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998


def test_a_corpus_mail_changes_in_from_and_line_ends_only() -> None:
    raw = (
        b"From list@example Thu Aug 22 12:36:23 2002\nReceived: by x\nFrom: A\n <a@b.example>\n"
        b"Subject: s\n\nFrom: not a field\nbody\n"
    )
    assert sendable(raw, "c@interieur.example") == (
        b"Received: by x\r\nFrom: <c@interieur.example>\r\nSubject: s\r\n\r\n"
        b"From: not a field\r\nbody\r\n"
    )


def test_two_from_fields_become_one() -> None:
    assert sendable(b"From: a\nX: y\nFROM: b\n\n", "c@d.example") == (
        b"From: <c@d.example>\r\nX: y\r\n\r\n"
    )


def test_ham_is_read_in_order_and_sendable() -> None:
    mails = ham(corpus("ham/easy-ham-1.tar.xz"), 200, sender="jeanne.moreau@interieur.example")
    assert len(mails) == 200
    assert [mail.name for mail in mails] == sorted(mail.name for mail in mails)
    for mail in mails:
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", mail.content)
        header = mail.content.partition(b"\r\n\r\n")[0]
        assert len(re.findall(rb"(?im)^from:", header)) == 1


def test_the_expected_entity_keeps_content_fields_and_body_only() -> None:
    mail = (
        b"From: a\r\nContent-Type: text/plain;\r\n\tcharset=x\r\nSubject: b\r\n c\r\n"
        b"content-transfer-ENCODING:8bit\r\n\r\n\r\nbody\r\n"
    )
    assert expected_entity(mail) == (
        b"Content-Type: text/plain;\r\n\tcharset=x\r\ncontent-transfer-ENCODING:8bit\r\n"
        b"\r\n\r\nbody\r\n"
    )
    assert expected_entity(b"From: a\r\n\r\nb\r\n") == b"\r\nb\r\n"


def test_the_signed_part_ends_before_the_line_end_of_its_boundary() -> None:
    head = b'Content-Type: multipart/signed;\r\n boundary="q r"; micalg=x\r\n\r\n'
    assert signed_part(head + b"pre\r\n--q r\r\nA: b\r\n\r\nc\r\n\r\n--q r\r\n") == (
        b"A: b\r\n\r\nc\r\n"
    )
    assert signed_part(b"Content-Type: text/plain\r\n\r\n") is None
    with pytest.raises(NotProvedError):
        signed_part(head + b"--q r\r\nA: b\r\n")
