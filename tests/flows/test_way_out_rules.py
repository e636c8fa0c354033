"""Rules that look at the mail, and what they do: seen from outside, and in the log."""

from __future__ import annotations

import hashlib
import json
import subprocess
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from gateway.policylog import policy_log_id
from tests.flows.explained import ask_about_all
from tests.flows.way_out_scene import (
    AMELIE,
    BASTIEN,
    HUGO,
    JEANNE,
    NOBODY,
    Scene,
    mail,
    until,
)

pytestmark = pytest.mark.flow


def test_a_rule_holds_mail_until_a_person_releases_it(ministry: Scene) -> None:
    archive_id = ministry.accepted(
        mail("À lire.", to=HUGO, subject="=?utf-8?q?Discours_=5B=C0_relire=5D?="), HUGO
    )
    assert not ministry.arrived(archive_id)
    line = ministry.wait_state(archive_id, HUGO, "held")  # \xc0 is no UTF-8: read as Windows-1252
    assert line["reason"]["code"] == "policy.held-by-rule"
    assert line["reason"]["text"].endswith("relecture par le cabinet")

    ministry.sceau("queue", "release", archive_id, "--reason", "relu")

    ((_, file),) = ministry.wait_arrived(archive_id)
    assert "À lire.".encode() in ministry.opened(file, HUGO).entity
    ministry.wait_state(archive_id, HUGO, "delivered")
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    assert kinds == ["accepted", "held", "notified", "released", "sealed", "delivered"]


def test_a_rule_refuses_mail_and_the_sender_reads_why(ministry: Scene) -> None:
    content = mail(to=HUGO, extra="X-Statut: BROUILLON n° 2\r\n")
    archive_id = ministry.accepted(content, HUGO)
    _, notice = ministry.wait_notice(archive_id)
    report = message_from_bytes(notice, policy=policy.default)
    text = next(report.iter_parts()).get_content()
    assert "rule no-drafts refuses this mail: un brouillon ne part pas" in text
    assert not ministry.arrived(archive_id)


def test_a_registered_mail_asks_for_a_receipt_and_is_copied(
    ministry: Scene, tmp_path: Path
) -> None:
    archive_id = ministry.accepted(
        mail("Mise en demeure.", to=AMELIE, subject="Re: [RECOMMANDÉ] n° 4"), AMELIE
    )
    arrived = {d.rcpt_to: file for d, file in ministry.wait_arrived(archive_id, 2)}

    assert set(arrived) == {(AMELIE,), (BASTIEN,)}
    for (reader,), file in arrived.items():
        assert b"Mise en demeure." in ministry.opened(file, reader).entity
    assert b"bastien" not in arrived[AMELIE,].read_bytes().lower()
    person = ministry.credential(AMELIE)
    inner = tmp_path / "inner.eml"
    subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", arrived[AMELIE,], "-recip", person.certificate_file,
         "-inkey", person.key_file, "-out", inner],
        check=True,
    )  # fmt: skip
    said = subprocess.run(
        ["openssl", "cms", "-verify", "-noverify", "-receipt_request_print", "-in", inner,
         "-out", "/dev/null"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert f"email:{JEANNE}" in said.stderr + said.stdout
    until(
        lambda: [e["kind"] for e in ministry.history(archive_id)].count("delivered") == 2,
        20, ministry.explain(archive_id),
    )  # fmt: skip
    copied = [e for e in ministry.history(archive_id) if e["kind"] == "copied"]
    assert [e["fields"]["recipient.000000"] for e in copied] == [BASTIEN]
    assert ministry.queue(archive_id)[BASTIEN]["decision"]["copied-by"] == "registered"


def test_the_log_has_the_policy_that_decisions_name(ministry: Scene) -> None:
    (checked,) = ministry.json("policy", "check")
    (entry,) = ministry.history(policy_log_id(_org(ministry)))
    assert entry["kind"] == "policy"
    assert entry["fields"]["policy.sha256"] == checked["sha256"]
    text = entry["fields"]["policy"]
    assert hashlib.sha256(text.encode()).hexdigest() == checked["sha256"]
    names = [rule["name"] for rule in json.loads(text)["organisation"]]
    assert names[:2] == ["look", "no-drafts"]
    archive_id = ministry.accepted(mail(), AMELIE)
    line = ministry.wait_state(archive_id, AMELIE, "delivered")
    assert checked["sha256"].startswith(line["decision"]["policy"])


def _org(ministry: Scene) -> str:
    (first, *_) = ministry.json("queue", "list", "--state", "delivered", "--limit", "1")
    return str(ministry.history(first["id"])[0]["org"])


NEW = """
[[policy.rules]]
name = "marked"
recipient = "@justice.example"
subject_mark = "[essai]"
encryption = "required"
copy = "hugo.blanc@interieur.example"

[[policy.rules]]
name = "open"
recipient = "@justice.example"
encryption = "never"
"""


def test_other_rules_are_tried_on_mail_of_the_past(ministry: Scene, tmp_path: Path) -> None:
    marked = ministry.accepted(mail(subject="un [Essai]"), AMELIE)
    ministry.wait_state(marked, AMELIE, "delivered")
    other = ministry.accepted(mail(), AMELIE)
    ministry.wait_state(other, AMELIE, "delivered")
    new = tmp_path / "new.toml"
    new.write_text(NEW)

    *lines, summary = ministry.json("policy", "try", str(new), "--last", "2", "--all")
    assert [line["change"] for line in lines] == ["cannot-tell", "cannot-tell"]
    assert {line["problem"]["code"] for line in lines} == {"policy.unknown-header"}
    assert summary["mails"] == 2
    assert "read" not in [entry["kind"] for entry in ministry.history(marked)]

    *lines, summary = ministry.json(
        "policy", "try", str(new), "--last", "2",
        "--key", str(ministry.house.authority_key), "--case", "2026/1",
    )  # fmt: skip
    by_id = {line["id"]: line for line in lines}
    assert by_id[other]["old"] == {"rule": "partners", "outcome": "encrypted", "copy": []}
    assert by_id[other]["new"] == {"rule": "open", "outcome": "signed", "copy": []}
    assert by_id[marked]["new"] == {
        "rule": "marked", "outcome": "encrypted", "copy": ["hugo.blanc@interieur.example"]
    }  # fmt: skip
    assert summary["counts"] == {"same": 0, "rule": 0, "outcome": 2, "cannot-tell": 0}
    (read,) = [entry for entry in ministry.history(marked) if entry["kind"] == "read"]
    assert read["fields"]["what"] == "fields"  # the subject is enough: the content stays shut
    done = ministry.sceau("policy", "try", str(new), "--last", "2")
    assert b"policy.unknown-header" not in done.stdout
    assert marked.encode() in done.stdout


def test_explain_finds_the_certificate_as_the_gateway_would(ministry: Scene) -> None:
    found, none = ministry.json(
        "policy", "explain", "--find", "--from", JEANNE, "--to", BASTIEN, "--to", NOBODY
    )
    assert (found["rule"], found["certificate"]["status"]) == ("partners", "found")
    der = ministry.credential(BASTIEN).der
    assert found["certificate"]["sha256"] == hashlib.sha256(der).hexdigest()
    assert (none["rule"], none["certificate"]["status"]) == ("signed-is-enough", "none")
    done = ministry.sceau(
        "policy", "explain", "--find", "--from", JEANNE, "--to", BASTIEN, "--to", NOBODY
    )
    assert b"It would be encrypted: aes-256-cbc, ecdh." in done.stdout
    assert b"It would leave in clear text, signed." in done.stdout


def test_explain_says_of_every_mail_so_far_what_was_done(ministry: Scene, tmp_path: Path) -> None:
    """At the end of the run it is asked again, about all of them (`tests/flows/stages.py`)."""
    archive_id = ministry.accepted(mail(to=f"{AMELIE}>, <{BASTIEN}"), AMELIE, BASTIEN)
    for one in (AMELIE, BASTIEN):
        ministry.wait_state(archive_id, one, "delivered")
    tally = ask_about_all(ministry.house.config, tmp_path)
    assert tally.asked >= 2
    assert tally.otherwise == []
