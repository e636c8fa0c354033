"""What the rules say happens: seen by the receiving server, the sender, and in the queue."""

from __future__ import annotations

import re
import subprocess
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.judge import NotProvedError, expected_entity
from tests.flows.way_out_scene import (
    AMELIE,
    BASTIEN,
    HUGO,
    JEANNE,
    NOBODY,
    REGISTRY,
    Scene,
    mail,
    until,
)

pytestmark = pytest.mark.flow

EXPIRED = "denis.expire@justice.example"
OUTSIDE = "quelqu.un@dehors.example"
UNREADABLE = "gaelle.illisible@justice.example"


def test_refused_mail_is_told_to_the_sender_without_its_body(ministry: Scene) -> None:
    content = mail("Le mot de passe est hortensia.", to=EXPIRED, extra="X-Dossier: tulipe\r\n")

    archive_id = ministry.accepted(content, EXPIRED)
    delivery, notice = ministry.wait_notice(archive_id)

    assert (delivery.mail_from, delivery.rcpt_to) == ("", (JEANNE,))
    report = message_from_bytes(notice, policy=policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    text, status, header = report.iter_parts()
    assert EXPIRED in text.get_content()
    assert "expired" in text.get_content() or "valid" in text.get_content()
    assert f"Final-Recipient: rfc822; {EXPIRED}" in status.as_string()
    assert "Action: failed" in status.as_string()
    assert header.get_content_type() == "text/rfc822-headers"
    assert b"Ordre du jour" not in notice
    assert b"hortensia" not in notice
    assert b"tulipe" not in notice
    assert not ministry.arrived(archive_id)

    line = ministry.wait_state(archive_id, EXPIRED, "failed")
    assert line["reason"]["code"] == "path.expired"
    assert line["decision"]["rule"] == "strict"
    # The notice is in the archive as a message of its own.

    def about() -> list[list[dict[str, Any]]]:
        every = ministry.json("queue", "list", "--state", "delivered", "--recipient", JEANNE)
        histories = [ministry.history(str(one["id"])) for one in every if not one["sender"]]
        return [h for h in histories if h[0]["fields"].get("about") == archive_id]

    # The receiving server has it before the gateway has noted so.
    until(lambda: bool(about()), 20, ministry.explain(archive_id))
    assert [entry["kind"] for entry in about()[0]] == ["accepted", "sealed", "delivered"]


def test_held_mail_is_seen_and_goes_when_a_certificate_was_imported(
    ministry: Scene, tmp_path: Path
) -> None:
    content = mail(to=UNREADABLE)
    archive_id = ministry.accepted(content, UNREADABLE)
    line = ministry.wait_state(archive_id, UNREADABLE, "held")
    assert line["reason"]["code"] == "structure.certificate"
    assert line["next_attempt"] is None
    # Released too early it is held again, for the same reason.
    ministry.sceau("queue", "release", archive_id)
    ministry.wait_state(archive_id, UNREADABLE, "held")
    assert not ministry.arrived(archive_id)

    certificate, key = _certificate_for(ministry, UNREADABLE, tmp_path)
    ministry.house.run("pki", "cert", "import", str(certificate))
    ministry.sceau("queue", "release", archive_id, "--reason", "certificate by courier")
    ((delivery, file),) = ministry.wait_arrived(archive_id)

    assert delivery.rcpt_to == (UNREADABLE,)
    inner = subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", file, "-recip", certificate, "-inkey", key],
        capture_output=True,
        check=True,
    ).stdout
    assert b"Bonjour" in inner
    ministry.wait_state(archive_id, UNREADABLE, "delivered")
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    # The sender hears once that it is held, not once more when it is held again.
    assert [kind for kind in kinds if kind != "notified"] == [
        "accepted", "held", "released", "held", "released", "sealed", "delivered",
    ]  # fmt: skip
    assert kinds.count("notified") == 1


def _certificate_for(scene: Scene, address: str, folder: Path) -> tuple[Path, Path]:
    """By openssl, from the issuing CA of justice.example."""
    issuing = scene.stage.world.justice.issuing
    request, key, certificate = folder / "r.csr", folder / "k.pem", folder / "c.pem"
    extensions = folder / "extensions"
    extensions.write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        f"extendedKeyUsage=emailProtection\nsubjectAltName=email:{address}\n"
        f"crlDistributionPoints=URI:{issuing.crl_url}\nauthorityKeyIdentifier=keyid\n"
    )
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "rsa:3072", "-nodes", "-keyout", key, "-out", request,
         "-subj", "/C=FR/CN=Gaelle Illisible"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-out", certificate, "-days", "30",
         "-CA", issuing.credential.certificate_file, "-CAkey", issuing.credential.key_file,
         "-set_serial", "4711", "-extfile", extensions],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.mark.parametrize("to", [NOBODY, OUTSIDE])
def test_clear_where_a_rule_says_so_is_signed_and_survives_the_way(
    ministry: Scene, to: str
) -> None:
    content = mail("Lettre ouverte : éèà.", to=to)

    archive_id = ministry.accepted(content, to)
    ((delivery, file),) = ministry.wait_arrived(archive_id)

    raw = file.read_bytes()
    assert raw.isascii(), "a server that knows no 8BITMIME would have to change what is signed"
    assert not any(word.startswith("BODY=8") for word in delivery.parameters)
    opened = ministry.opened(file, None)
    assert opened.signer == ministry.credential(JEANNE).der
    read = message_from_bytes(opened.entity, policy=policy.SMTP)
    assert read.get_content() == "Lettre ouverte : éèà.\r\n"
    assert b"Content-Transfer-Encoding: 8bit" not in opened.entity
    line = ministry.queue(archive_id)[to]
    assert line["decision"]["rule"] == "signed-is-enough"
    assert line["treatment"] == "signed"


def test_each_recipient_of_one_mail_is_treated_by_his_own_rule(ministry: Scene) -> None:
    to = (AMELIE, BASTIEN, NOBODY, EXPIRED, "carole.revoquee@justice.example")
    content = mail("Une seule lettre, cinq sorts.", to=">, <".join(to))

    archive_id = ministry.accepted(content, *to)
    arrived = ministry.wait_arrived(archive_id, 2)
    _, notice = ministry.wait_notice(archive_id)

    by_recipients = {delivery.rcpt_to: file for delivery, file in arrived}
    assert set(by_recipients) == {(AMELIE, BASTIEN), (NOBODY,)}
    together = by_recipients[AMELIE, BASTIEN]
    for reader in (AMELIE, BASTIEN):
        assert ministry.opened(together, reader).entity == expected_entity(content)
    assert b"cinq sorts" not in together.read_bytes()
    assert b"cinq sorts" in by_recipients[NOBODY,].read_bytes()
    assert EXPIRED.encode() in notice
    assert b"carole" not in notice.partition(b"text/rfc822-headers")[0]
    ministry.wait_state(archive_id, NOBODY, "delivered")
    ministry.wait_state(archive_id, AMELIE, "delivered")
    states = {address: line["state"] for address, line in ministry.queue(archive_id).items()}
    assert states == {
        AMELIE: "delivered",
        BASTIEN: "delivered",
        NOBODY: "delivered",
        EXPIRED: "failed",
        "carole.revoquee@justice.example": "held",
    }


def test_nobody_learns_of_a_blind_recipient(ministry: Scene) -> None:
    content = mail("Copie cachée.", to=AMELIE)

    archive_id = ministry.accepted(content, AMELIE, BASTIEN)
    arrived = ministry.wait_arrived(archive_id, 2)

    by_recipient = {delivery.rcpt_to: file for delivery, file in arrived}
    assert set(by_recipient) == {(AMELIE,), (BASTIEN,)}
    for reader, other in ((AMELIE, BASTIEN), (BASTIEN, AMELIE)):
        file = by_recipient[reader,]
        assert ministry.opened(file, reader).entity == expected_entity(content)
        with pytest.raises(NotProvedError):
            ministry.opened(file, other)
        assert _recipient_infos(file) == 1
    assert b"bastien" not in by_recipient[AMELIE,].read_bytes().lower()


def test_a_modern_partner_gets_gcm_and_oaep(ministry: Scene) -> None:
    """openssl says what is in it; GCM with its tag is opened by openssl too."""
    content = mail("Entre passerelles.", sender=HUGO, to=JEANNE)
    archive_id = ministry.accepted(content, JEANNE, sender=HUGO)
    ((_, rsa),) = ministry.wait_arrived(archive_id)
    printed = _printed(rsa)
    assert "id-smime-ct-authEnvelopedData" in printed
    assert "aes-256-gcm" in printed
    assert "rsaesOaep" in printed
    assert ministry.opened(rsa, JEANNE).entity == expected_entity(content)

    content = mail("Entre passerelles.", to=HUGO)
    ((_, elliptic),) = ministry.wait_arrived(ministry.accepted(content, HUGO))
    printed = _printed(elliptic)
    assert "aes-256-gcm" in printed
    assert re.search(r"dhSinglePass-stdDH-sha\d+kdf-scheme", printed)
    assert ministry.opened(elliptic, HUGO).entity == expected_entity(content)


def test_others_get_what_every_client_reads(ministry: Scene) -> None:
    archive_id = ministry.accepted(mail(), AMELIE)
    ((_, file),) = ministry.wait_arrived(archive_id)

    printed = _printed(file)
    assert "pkcs7-envelopedData" in printed
    assert "aes-256-cbc" in printed
    assert "algorithm: rsaEncryption" in printed


def test_who_signs(ministry: Scene) -> None:
    """The person where the rule says so and the key is here, else the seal; recorded so."""
    seal = ministry.stage.world.interieur.seal
    assert seal is not None
    for sender, to, signer, role in (
        (JEANNE, AMELIE, ministry.credential(JEANNE).der, "person"),
        (HUGO, AMELIE, ministry.credential(HUGO).der, "person"),
        (HUGO, BASTIEN, seal.der, "domain"),  # rule by-seal, although there is consent
        (REGISTRY, AMELIE, seal.der, "domain"),  # rule person, but there is no consent
    ):
        content = mail(sender=sender, to=to)
        archive_id = ministry.accepted(content, to, sender=sender)
        ((_, file),) = ministry.wait_arrived(archive_id)
        assert ministry.opened(file, to).signer == signer, (sender, to)
        assert ministry.queue(archive_id)[to]["decision"]["signer"]["role"] == role


def test_a_sender_whose_name_is_only_in_the_envelope_decides_nothing(ministry: Scene) -> None:
    """Hugo hands in a mail From Jeanne: rule and signature go by From."""
    archive_id = ministry.accepted(mail(sender=JEANNE, to=BASTIEN), BASTIEN, sender=HUGO)
    ((delivery, file),) = ministry.wait_arrived(archive_id)

    assert delivery.mail_from == HUGO
    assert ministry.opened(file, BASTIEN).signer == ministry.credential(JEANNE).der
    assert ministry.queue(archive_id)[BASTIEN]["decision"]["rule"] == "partners"


def _printed(file: Path) -> str:
    return subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-noout", "-in", file],
        capture_output=True,
        check=True,
        text=True,
    ).stdout


def _recipient_infos(file: Path) -> int:
    """How many RecipientInfos openssl counts."""
    return len(re.findall(r"^\s+d\.(?:ktri|kari): *$", _printed(file), re.MULTILINE))
