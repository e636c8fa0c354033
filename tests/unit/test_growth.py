"""Room for what a mail becomes: as much as is made of it, in two envelopes too."""

from __future__ import annotations

import os
from base64 import encodebytes
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.errors import Refusal
from gateway.growth import room_for
from gateway.mail import Peer
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import encrypt
from gateway.smime.nested import encrypt_hybrid
from gateway.wiring import Wiring
from tests.unit.cli_pki_house import House
from tests.unit.smime_world import world
from tests.unit.test_smime_hybrid import kem_of
from tests.unit.test_smime_ml_kem import by_kem

AGREED = """
[[policy.partners]]
domains = ["justice.example"]
crypto = "experimental-hybrid"
"""
RULE = """
[[policy.rules]]
name = "two"
sender = "*"
recipient = "@b.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"
crypto = "experimental-hybrid"
"""


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_what_is_made_of_a_mail_has_room(size: int) -> None:
    body = encodebytes(os.urandom(size * 57 // 78)).replace(b"\n", b"\r\n")
    entity = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    bob = world().bob
    inner, outer = bob.recipient(KeyManagement.RSA_OAEP), by_kem(kem_of(bob.address))
    one = encrypt(entity, [inner], Cipher.AES_256_GCM)
    two = encrypt_hybrid(entity, [inner], [outer], Cipher.AES_256_GCM)

    assert 1.87 < len(two) / len(entity) < 1.89
    assert len(one) < room_for(len(entity), two_envelopes=False) < len(two)
    assert len(two) < room_for(len(entity), two_envelopes=True)


@pytest.mark.parametrize(
    ("added", "times"),
    [
        ("", 1.5),
        (AGREED.replace("experimental-hybrid", "modern"), 1.5),
        (AGREED, 2),
        (
            RULE,
            2,
        ),
    ],
    ids=["nothing", "modern", "partner", "rule"],
)
def test_mail_is_taken_where_there_is_room_for_it(
    added: str, times: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    house.configure(added)
    wiring = Wiring.from_file(house.config)
    need = int(wiring.config.listen.max_size * times)
    peer = Peer("192.0.2.1", 4711, "h", relay="r")
    answers = []
    for free in (need - 1, need):
        found = SimpleNamespace(f_bavail=free, f_frsize=1)
        monkeypatch.setattr("gateway.accept.os", SimpleNamespace(statvfs=lambda _, it=found: it))
        try:
            wiring.intake.sender(peer, "", None)
        except Refusal as refused:  # 530: there is room, and who this is nobody knows
            answers.append(refused.code)
    wiring.close()
    assert answers == [452, 530]
