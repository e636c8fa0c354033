"""Nobody outside is told of a copy that a rule makes, whatever the sender has asked for."""

from __future__ import annotations

import smtplib

import pytest

from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail

pytestmark = pytest.mark.flow

# In the rules of the house, mail to Amélie with this mark is copied to Bastien.
SUBJECT = "[recommandé] Dossier"
ASKED = ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{AMELIE}"]


def submit(scene: Scene, *, to: str = AMELIE) -> str:
    """One mail to Amélie, about which her sender wants to hear everything."""
    with smtplib.SMTP("127.0.0.1", scene.house.listen_port, timeout=60) as client:
        client.ehlo("client.example")
        client.mail(JEANNE, ["RET=FULL", "ENVID=dossier", "BODY=8BITMIME"])
        assert client.rcpt(AMELIE, ASKED)[0] == 250
        code, reply = client.data(mail("Pour elle.", to=to, subject=SUBJECT))
    assert code == 250
    return reply.decode().split()[1]


def test_a_sender_who_asked_for_everything_hears_of_his_recipient_alone(ministry: Scene) -> None:
    archive_id = submit(ministry)

    ministry.wait_arrived(archive_id, 2)
    for reader in (AMELIE, BASTIEN):
        ministry.wait_state(archive_id, reader, "delivered")

    _, notice = ministry.wait_notice(archive_id, "relayed")
    told = [
        entry["fields"] for entry in ministry.history(archive_id) if entry["kind"] == "notified"
    ]
    assert [fields["recipient.000000"] for fields in told] == [AMELIE]
    assert BASTIEN.encode() not in notice


def test_what_the_next_hop_reports_of_a_copy_comes_to_the_house(ministry: Scene) -> None:
    """It sends reports to MAIL FROM: the sender must not read there who failed to get a copy."""
    archive_id = submit(ministry)
    found = ministry.wait_arrived(archive_id, 2)
    assert {(delivery.rcpt_to, delivery.mail_from) for delivery, _ in found} == {
        ((AMELIE,), JEANNE),
        ((BASTIEN,), "postmaster@interieur.example"),
    }
