"""Whose an entry is, by our rule and not by the server's; what its values hold."""

from __future__ import annotations

import pytest

from pki.directory import Directory
from pki.errors import DirectoryTrouble
from pki.ldap.entries import DirectoryAnswer, addresses_of, answers
from pki.ldap.wire import Entry
from tests.pki_maker import key, root
from tests.unit.smime_values import AES_256_GCM, announced, degenerate

ROOT = root()
CA = ROOT.sub("Issuing CA")
MARIE = CA.issue("Marie", emails=("marie@a.example",))
OTHER = CA.issue("Marie", emails=("marie@a.example",), subject_key=key("other"))
ADDRESS = "marie@a.example"
NAMES = ("mail", "mailAlternateAddress", "proxyAddresses", "rfc822Mailbox")
DIRECTORY = Directory("ministry", ("ldaps://one",), "dc=a", ("a.example",), mail_attributes=NAMES)


def entry(dn: str = "uid=marie", /, **values: list[bytes]) -> Entry:
    return Entry(dn, tuple((name.replace("_", ";"), tuple(each)) for name, each in values.items()))


def answer(*entries: Entry) -> DirectoryAnswer:
    found = answers(DIRECTORY, "ldaps://one", entries, [ADDRESS])[ADDRESS]
    if isinstance(found, DirectoryTrouble):
        raise found
    return found


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("mail", "marie@a.example", True),
        ("mail", "Marie@A.EXAMPLE", True),
        ("MAIL", "marie@a.example", True),
        ("mail_lang-fr", "marie@a.example", True),
        ("mail", '"marie"@a.example', True),
        ("rfc822Mailbox", "marie@a.example", True),
        ("mailAlternateAddress", "marie@a.example", True),
        ("proxyAddresses", "smtp:marie@a.example", True),
        ("proxyAddresses", "SMTP:Marie@a.example", True),
        ("proxyAddresses", "sMtP:marie@a.example", True),
        ("proxyAddresses", "marie@a.example", False),
        ("proxyAddresses", "sip:marie@a.example", False),
        ("proxyAddresses", "smtp: marie@a.example", False),
        ("mail", "smtp:marie@a.example", False),
        ("mail", "marie@a.example ", False),
        ("mail", "marie@a.example\0", False),
        ("mail", "marie@a.example\r\n", False),
        ("mail", "marie@a.example.", False),
        ("mail", "*@a.example", False),
        ("mail", "*", False),
        ("mail", "mariе@a.example", False),  # a Cyrillic е
        ("mail", "marie@ａ.example", False),  # a wide a
        ("mail", "marie\u200b@a.example", False),
        ("mail", "ma\u0301rie@a.example", False),
    ],
)
def test_the_address_must_really_be_there(name: str, value: str, same: bool) -> None:
    found = addresses_of(entry(**{name: [value.encode()]}), NAMES)
    assert (ADDRESS in found) is same
    assert len(answer(entry(**{name: [value.encode()]})).refused) == (0 if same else 1)


def test_an_entry_that_shows_no_address_cannot_be_told_from_hers() -> None:
    with pytest.raises(DirectoryTrouble, match="does not let us read whose"):
        answer(entry(uid=[b"marie@a.example"], userCertificate=[MARIE.der]))


def test_octets_that_are_no_text_are_no_address() -> None:
    assert addresses_of(entry(mail=[b"marie\xff@a.example", b"\xff"]), NAMES) == frozenset()


def test_certificates_of_all_entries_each_once() -> None:
    found = answer(
        entry(mail=[b"marie@a.example"], userCertificate_binary=[MARIE.der, b"garbage"]),
        entry("uid=2", mail=[b"marie@a.example"], userCertificate=[MARIE.der, OTHER.der]),
    )
    assert [one.der for one in found.candidates] == [MARIE.der, OTHER.der]
    assert found.candidates[0].source == "ministry (ldaps://one): uid=marie"
    assert [one.problem.code for one in found.refused] == ["structure.certificate"]


def test_a_value_with_a_chain_and_capabilities_adds_to_the_plain_one() -> None:
    found = answer(
        entry(
            mail=[b"marie@a.example"],
            userCertificate_binary=[MARIE.der],
            userSMIMECertificate_binary=[announced(MARIE, OTHER, CA), b"\x30\x80\x30\x80"],
        )
    )
    marie, other = found.candidates
    assert (marie.der, other.der) == (MARIE.der, OTHER.der)
    assert marie.chain == other.chain == (CA.der,)
    assert [claim.oids for claim in marie.capabilities] == [(AES_256_GCM,)]
    assert len(found.refused) == 1


def test_limits() -> None:
    crowd = [entry(f"uid={n}", mail=[b"marie@a.example"]) for n in range(21)]
    assert answer(*crowd[:20]).candidates == ()
    with pytest.raises(DirectoryTrouble, match="more than 20 entries"):
        answer(*crowd)
    with pytest.raises(DirectoryTrouble, match="has 51 certificates"):
        answer(entry(mail=[b"marie@a.example"], userCertificate=[bytes(n) for n in range(51)]))
    full = degenerate(*(CA.issue(f"{n}", emails=(ADDRESS,)) for n in range(16)))
    many = [full] + [
        degenerate(*(CA.issue(f"{m}-{n}", emails=(ADDRESS,)) for n in range(16))) for m in range(6)
    ]
    with pytest.raises(DirectoryTrouble, match="has 112 certificates"):
        answer(entry(mail=[b"marie@a.example"], userSMIMECertificate=many))
