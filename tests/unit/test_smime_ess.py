"""What the ESS attributes of others say: RFC 4134's, OpenSSL's and our own."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime import transfer
from gateway.smime import cms, ess
from gateway.smime.receipt_request import RECEIPT_REQUEST, ReceiptRequest
from gateway.smime.sign import CAPABILITIES, sign_opaque
from gateway.smime.signed import read_signed
from gateway.smime.signing_certificate import (
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    binds,
)
from pki import ber
from pki import der_writing as der
from pki.ber import Element
from pki.names import name_text, name_text_of
from tests.corpora import corpus
from tests.unit.smime_world import world


def attributes(signed: bytes) -> dict[str, tuple[Element, ...]]:
    (signer,) = read_signed(cms.content_info(signed).content).signers
    assert signer.signed is not None
    return {one.oid: one.values for one in signer.signed.attributes}


def all_facts(signed: bytes) -> dict[str, dict[str, Any]]:
    """By name, through JSON."""
    found = [ess.facts(oid, values) for oid, values in attributes(signed).items()]
    return {one["attribute"]: json.loads(json.dumps(one)) for one in found if one is not None}


def facts(oid: str, *values: bytes) -> dict[str, Any]:
    found = ess.facts(oid, [ber.read(value) for value in values])
    assert found is not None
    return found


def test_all_attributes_of_rfc_4134() -> None:
    """Section 4.10; what is expected here is read off the RFC's own dump."""
    found = all_facts((corpus("rfc4134/rfc4134") / "4.10.bin").read_bytes())

    daisy = "CN=Daisy RSA,OU=VDA,OU=VDA Site,O=US Government,C=US"
    bugs, elmer = (
        {"directory": f"CN={name} DSA,OU=VDA,OU=VDA Site,O=US Government,C=US"}
        for name in ("Bugs Bunny", "Elmer Fudd")
    )

    def category(text: str) -> dict[str, Any]:
        octets = der.element(0x13, text.encode()).hex()
        return {"type": "1.2.3.4.5.6.7.888", "value": octets, "text": text}

    assert found == {
        "contentHint": {
            "attribute": "contentHint",
            "description": "Content Hints Description Buffer",
            "content_type": "1.2.840.113549.1.7.1",
        },
        "SMIMECapabilities": {
            "attribute": "SMIMECapabilities",
            "capabilities": [
                {"oid": "1.2.3.4.5.6", "name": None, "bits": None},
                {"oid": "1.2.3.4.5.6.77", "name": None, "bits": None},
            ],
        },
        "securityLabel": {
            "attribute": "securityLabel",
            "policy": "1.2.3.4.5.6.7.8",
            "classification": 1,
            "classification_name": "unclassified",
            "privacy_mark": "THIS IS A PRIVACY MARK TEST",
            "categories": [category("THIS IS A TEST SECURITY-CATEGORY.")],
        },
        "contentReference": {
            "attribute": "contentReference",
            "content_type": "1.2.3.4.5.6",
            "content_identifier": b"Content Reference Content Identifier Buffer".hex(),
            "signature": b"Content Reference Signature Value Buffer".hex(),
        },
        "encryptionKeyPreference": {
            "attribute": "encryptionKeyPreference",
            "certificate": {"issuer": daisy, "serial": "a554433"},
        },
        "mlExpansionHistory": {
            "attribute": "mlExpansionHistory",
            "lists": [
                {
                    "list": {"key_identifier": b"5738299".hex()},
                    "time": "1999-03-11T10:44:33Z",
                    "receipts": "instead-of",
                    "receipts_to": [[bugs, elmer]],
                }
            ],
        },
        "equivalentLabels": {
            "attribute": "equivalentLabels",
            "labels": [
                {
                    "policy": policy,
                    "classification": 1,
                    "classification_name": "unclassified",
                    "privacy_mark": mark,
                    "categories": [category("EQUIVALENT THIS IS A TEST SECURITY-CATEGORY.")],
                }
                for policy, mark in (
                    ("1.2.3.4.5.6.7.9", "EQUIVALENT THIS IS A PRIVACY MARK TEST"),
                    ("1.2.3.4.5.6.7.10", "EQUIVALENT THIS IS A SECOND PRIVACY MARK TEST"),
                )
            ],
        },
    }


def _openssl(folder: Path, *options: object) -> bytes:
    """Signed by OpenSSL as Alice; DER."""
    alice = world().alice
    alice.write(folder, "alice")
    (folder / "mail").write_bytes(b"Content-Type: text/plain\r\n\r\nhello\r\n")
    subprocess.run(
        ["openssl", "cms", "-sign", "-binary", "-in", "mail", "-signer", "alice.pem", "-inkey",
         "alice.key", "-outform", "DER", "-out", "signed", *map(str, options)],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return (folder / "signed").read_bytes()


def _ours() -> bytes:
    """Signed by us as Alice; DER."""
    entity = sign_opaque(b"x\r\n", world().alice.signer).entity
    return transfer.decode_base64(entity.partition(b"\r\n\r\n")[2])


def test_receipt_requests_of_openssl(tmp_path: Path) -> None:
    to = ("-receipt_request_to", "alice@example.org")
    everybody = all_facts(_openssl(tmp_path, "-receipt_request_all", *to))["receiptRequest"]
    first = all_facts(_openssl(tmp_path, "-receipt_request_first", *to))["receiptRequest"]
    some = all_facts(
        _openssl(
            tmp_path,
            *("-receipt_request_from", "bob@example.net"),
            *("-receipt_request_from", "eve@example.net"),
            *to,
            *("-receipt_request_to", "office@example.org"),
        )
    )["receiptRequest"]

    assert len(bytes.fromhex(everybody["content_identifier"])) >= 16
    assert everybody["receipts_from"] == "all"
    assert everybody["receipts_to"] == [[{"email": "alice@example.org"}]]
    assert first["receipts_from"] == "first-tier"
    assert some["receipts_from"] == [[{"email": "bob@example.net"}], [{"email": "eve@example.net"}]]
    assert some["receipts_to"] == [
        [{"email": "alice@example.org"}],
        [{"email": "office@example.org"}],
    ]


def test_our_own_receipt_requests() -> None:
    request = ReceiptRequest(b"id-1", ("a@example.org", "søren@example.org"))

    assert facts(RECEIPT_REQUEST, request.value()) == {
        "attribute": "receiptRequest",
        "content_identifier": b"id-1".hex(),
        "receipts_from": "all",
        "receipts_to": [[{"email": "a@example.org"}], [{"email": "søren@example.org"}]],
    }


def test_capabilities_of_openssl_and_ours(tmp_path: Path) -> None:
    theirs = all_facts(_openssl(tmp_path))["SMIMECapabilities"]["capabilities"]
    named = {one["name"]: one["bits"] for one in theirs}
    assert {"aes-256-cbc", "aes-128-cbc", "3des-cbc"} <= named.keys()
    assert None not in {one["name"] for one in theirs if one["oid"].startswith("2.16.840.1.101.3")}

    ours = all_facts(_ours())
    assert [one["name"] for one in ours["SMIMECapabilities"]["capabilities"]] == [
        cipher.value for cipher in CAPABILITIES
    ]


def test_rc2_is_said_with_its_size() -> None:
    rc2 = der.sequence(der.oid("1.2.840.113549.3.2"), der.integer(40))

    (one,) = facts("1.2.840.113549.1.9.15", der.sequence(rc2))["capabilities"]

    assert one == {"oid": "1.2.840.113549.3.2", "name": "rc2-cbc", "bits": 40}


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384"])
def test_signing_certificates_of_openssl(tmp_path: Path, digest: str) -> None:
    signed = _openssl(tmp_path, "-cades", "-md", digest)
    oid = SIGNING_CERTIFICATE if digest == "sha1" else SIGNING_CERTIFICATE_V2
    values = attributes(signed)[oid]
    found = ess.facts(oid, values)

    assert found is not None
    (one,) = found["certificates"]
    assert one["hash"] == hashlib.new(digest, world().alice.der).hexdigest()
    assert one["digest"] == digest
    assert one["serial"] in (None, f"{world().alice.certificate.serial_number:x}")
    assert binds(oid, values, world().alice.der) is True
    assert binds(oid, values, world().bob.der) is False


def test_our_own_signing_certificate() -> None:
    alice = world().alice
    values = attributes(_ours())[SIGNING_CERTIFICATE_V2]
    (one,) = (ess.facts(SIGNING_CERTIFICATE_V2, values) or {})["certificates"]

    assert binds(SIGNING_CERTIFICATE_V2, values, alice.der) is True
    assert binds(SIGNING_CERTIFICATE_V2, values, world().bob.der) is False
    assert one == {
        "digest": "sha256",
        "hash": hashlib.sha256(alice.der).hexdigest(),
        "issuer": name_text(alice.certificate.issuer),
        "serial": f"{alice.certificate.serial_number:x}",
    }


def test_only_the_first_certificate_is_the_signer() -> None:
    ids = [der.sequence(der.octets(hashlib.sha256(one.der).digest()))
           for one in (world().alice, world().bob)]  # fmt: skip
    values = [ber.read(der.sequence(der.sequence(*ids)))]

    assert binds(SIGNING_CERTIFICATE_V2, values, world().alice.der) is True
    assert binds(SIGNING_CERTIFICATE_V2, values, world().bob.der) is False


@pytest.mark.parametrize(
    "value",
    [
        der.sequence(der.sequence()),
        der.sequence(der.sequence(der.sequence())),
        der.sequence(der.sequence(der.sequence(der.algorithm("1.2.3"), der.octets(b"x")))),
        der.octets(b"x"),
    ],
)
def test_what_names_no_certificate_binds_none(value: bytes) -> None:
    assert binds(SIGNING_CERTIFICATE_V2, [ber.read(value)], world().alice.der) is None
    assert binds(ess.SECURITY_LABEL, [ber.read(value)], world().alice.der) is None
    assert binds(SIGNING_CERTIFICATE_V2, [], world().alice.der) is None


POLICY = der.oid("1.2.3")


@pytest.mark.parametrize(
    ("parts", "level", "name"),
    [
        ((POLICY,), None, None),
        ((der.integer(5), POLICY), 5, "top-secret"),
        ((POLICY, der.integer(0)), 0, "unmarked"),
        ((POLICY, der.integer(200)), 200, None),
    ],
)
def test_labels(parts: Sequence[bytes], level: int | None, name: str | None) -> None:
    found = facts(ess.SECURITY_LABEL, der.element(der.SET, *parts))

    assert (found["policy"], found["privacy_mark"], found["categories"]) == ("1.2.3", None, [])
    assert (found["classification"], found["classification_name"]) == (level, name)


def test_a_mark_in_french() -> None:
    mark = der.element(0x0C, "DIFFUSION RESTREINTE — été".encode())

    found = facts(ess.SECURITY_LABEL, der.element(der.SET, POLICY, mark))

    assert found["privacy_mark"] == "DIFFUSION RESTREINTE — été"


def test_key_preferences() -> None:
    oid = ess.ENCRYPTION_KEY_PREFERENCE

    assert facts(oid, der.element(0x82, b"\1\2"))["certificate"] == {"key_identifier": "0102"}
    assert facts(oid, der.element(0xA1, der.octets(b"\3")))["certificate"] == {
        "key_identifier": "03"
    }


LABEL = der.element(der.SET, POLICY)
NAMES = der.sequence(der.element(0x81, b"a@x.example"))
WHO = der.octets(b"list")
WHEN = der.element(0x18, b"20261122083000Z")
HISTORY = der.sequence(WHO, WHEN)


@pytest.mark.parametrize(
    ("receipts", "kind"),
    [(b"", None), (b"\x80\x00", "none"), (der.element(0xA2, NAMES), "in-addition-to")],
)
def test_lists_and_receipts(receipts: bytes, kind: str | None) -> None:
    data = der.sequence(WHO, WHEN, *([receipts] * bool(receipts)))

    (one,) = facts(ess.ML_EXPANSION_HISTORY, der.sequence(data))["lists"]

    assert (one["receipts"], one["time"]) == (kind, "2026-11-22T08:30:00Z")


@pytest.mark.parametrize(
    ("oid", "values"),
    [
        (ess.SECURITY_LABEL, []),
        (ess.SECURITY_LABEL, [LABEL, LABEL]),
        (ess.SECURITY_LABEL, [der.sequence(POLICY)]),
        (ess.SECURITY_LABEL, [der.element(der.SET)]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, POLICY)]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, der.integer(257))]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, der.element(0x02, b"\xff"))]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, der.octets(b"x"))]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, der.element(0x13, b"\xff"))]),
        (ess.SECURITY_LABEL, [der.element(der.SET, POLICY, der.element(0x13, b"x" * 257))]),
        # both kinds of privacy mark: readers could show either one
        (
            ess.SECURITY_LABEL,
            [der.element(der.SET, POLICY, der.element(0x13, b"A"), der.element(0x0C, b"B"))],
        ),
        (ess.EQUIVALENT_LABELS, [der.sequence()]),
        (ess.EQUIVALENT_LABELS, [der.sequence(*[LABEL] * 65)]),
        (ess.CONTENT_HINTS, [der.sequence()]),
        (ess.CONTENT_HINTS, [der.sequence(der.element(0x0C, b"\xff"), POLICY)]),
        (ess.CONTENT_IDENTIFIER, [der.integer(1)]),
        (ess.CONTENT_IDENTIFIER, [der.octets(bytes(9000))]),
        (ess.CONTENT_REFERENCE, [der.sequence(POLICY, WHO)]),
        (ess.ML_EXPANSION_HISTORY, [der.sequence(*[HISTORY] * 65)]),
        (ess.ML_EXPANSION_HISTORY, [der.sequence(der.sequence(WHO))]),
        (ess.ML_EXPANSION_HISTORY, [der.sequence(der.sequence(WHO, der.octets(b"x")))]),
        (ess.ML_EXPANSION_HISTORY, [der.sequence(der.sequence(WHO, WHEN, der.integer(1)))]),
        (RECEIPT_REQUEST, [der.sequence(WHO, b"\x80\x01\x02", der.sequence(NAMES))]),
        (RECEIPT_REQUEST, [der.sequence(WHO, b"\x80\x00", der.sequence(NAMES))]),
        (RECEIPT_REQUEST, [der.sequence(WHO, b"\x80\x01\x00", der.sequence())]),
        (RECEIPT_REQUEST, [der.sequence(WHO, b"\x80\x01\x00", der.sequence(*[NAMES] * 17))]),
        (RECEIPT_REQUEST, [der.sequence(WHO, der.element(0xA1), der.sequence(NAMES))]),
        (ess.ENCRYPTION_KEY_PREFERENCE, [der.element(0x83, b"x")]),
        (ess.ENCRYPTION_KEY_PREFERENCE, [der.element(0xA0, POLICY)]),
        (SIGNING_CERTIFICATE, [der.sequence(der.sequence())]),
        ("1.2.840.113549.1.9.15", [der.sequence(*[der.sequence(POLICY)] * 201)]),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_else(oid: str, values: list[bytes]) -> None:
    found = facts(oid, *values)

    assert found.keys() == {"attribute", "problems"}
    assert [one["code"] for one in found["problems"]] == ["attributes.unreadable"]


def test_other_attributes_are_not_read_here() -> None:
    assert ess.facts("1.2.5555", [ber.read(der.octets(b"x"))]) is None


OIDS = [RECEIPT_REQUEST, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2, "1.2.840.113549.1.9.15"]
OIDS += [value for name, value in vars(ess).items() if name.isupper() and isinstance(value, str)]

TREES = st.recursive(
    st.builds(
        der.element,
        st.sampled_from([0x02, 0x04, 0x06, 0x0C, 0x13, 0x18, 0x80, 0x81, 0x82, 0x86]),
        st.binary(max_size=12),
    ),
    lambda inner: st.builds(
        lambda tag, parts: der.element(tag, *parts),
        st.sampled_from([0x30, 0x31, 0x24, 0xA0, 0xA1, 0xA2, 0xA4]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@given(value=TREES)
def test_no_structure_makes_it_raise(value: bytes) -> None:
    element = ber.read(value)

    for oid in OIDS:
        json.dumps(ess.facts(oid, [element]))
        binds(oid, [element], b"")


@given(at=st.integers(0, 1200), octet=st.integers(0, 255))
def test_no_octet_of_rfc_4134_changed_makes_it_raise(at: int, octet: int) -> None:
    data = bytearray((corpus("rfc4134/rfc4134") / "4.10.bin").read_bytes())
    data[868 + at % (len(data) - 868)] = octet
    try:
        values = attributes(bytes(data))
    except ValueError:
        return
    for oid, elements in values.items():
        json.dumps(ess.facts(oid, elements))


def test_names_as_cryptography_writes_them() -> None:
    texts = [
        "plain",
        "a,b",
        'q"uote',
        "back\\slash",
        " lead",
        "trail ",
        "#hash",
        "p+l<u>s;",
        "é",
        " ",
    ]
    oids = ["2.5.4.3", "2.5.4.10", "0.9.2342.19200300.100.1.25", "2.5.4.5"]
    for text in texts:
        name = x509.Name(
            [x509.RelativeDistinguishedName(
                [x509.NameAttribute(x509.ObjectIdentifier(oid), text)]) for oid in oids]
        )  # fmt: skip
        assert name_text_of(ber.read(name.public_bytes())) == name_text(name)
