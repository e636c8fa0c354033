"""What is fuzzed, and what must hold for every input whatever.

Each target takes the octets of a stranger, lets through only the errors that are documented, and
returns a word for how far it came: a test holds by it that the seeds lead all the way.
"""

from __future__ import annotations

import email
import json
from collections.abc import Callable
from email.utils import getaddresses
from functools import cache

from gateway.mime.authors import authorship
from gateway.mime.canonical import CannotConvert, to_7bit
from gateway.mime.dates import read_date
from gateway.mime.entity import split, with_crlf
from gateway.mime.headers import HeaderAmbiguous, from_addresses, visible_recipients
from gateway.mime.parameters import content_type
from gateway.mime.protection import read_protection
from gateway.mime.text import extract
from gateway.smime import layers
from gateway.smime.cms import ContentInfo, content_info
from gateway.smime.compressed import read_compressed
from gateway.smime.coverage import has_signed_part, header_problem, outside_problem
from gateway.smime.decrypt import DecryptRefused, Opened, decrypt
from gateway.smime.enveloped import read_enveloped
from gateway.smime.ess import facts
from gateway.smime.identity import author_of, inner_problem
from gateway.smime.inspect import inspect
from gateway.smime.opening import open_mail
from gateway.smime.root import ClearSigned, root_of
from gateway.smime.shared_keys import KnownKey
from gateway.smime.signed import parses_as_attributes, read_signed
from gateway.smime.verdicts import Status, Verification
from gateway.smime.verify import Rules
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.decrypter import KeyDecrypter
from pki.errors import StructureRefused
from pki.models import Purpose
from pki.path import Material, Revocation
from tests.fuzz import keys, revocation

# What the author of the seeds signed. Nobody else has her key: whatever is found valid is this.
SIGNED = b"Content-Type: text/plain; charset=utf-8\r\n\r\nFrom here on, 10 EUR.\r\n"
SHARED = KnownKey(b"agreed", bytes(range(32)))
_INFLATED = 1 << 20  # octets

Target = Callable[[bytes], str]


def cms(data: bytes) -> str:
    """Every reader of CMS structures, whatever type is named. Only StructureRefused comes out."""
    try:
        info = content_info(data)
    except StructureRefused:
        return "refused"
    found = []
    for reader in (_signed, _enveloped, _compressed):
        try:
            found.append(reader(info))
        except StructureRefused:
            continue
    return " ".join(found) or "unknown"


def _signed(info: ContentInfo) -> str:
    data = read_signed(info.content)
    for signer in data.signers:
        if signer.signed is None:
            continue
        # Octets that anybody could move into the content are known again there (threat S10).
        empty = not signer.signed.attributes
        for octets in signer.signed.encodings():
            assert parses_as_attributes(octets) or empty
        json.dumps([facts(one.oid, one.values) for one in signer.signed.attributes])
    return "signed"


def _enveloped(info: ContentInfo) -> str:
    read_enveloped(info)
    return "enveloped"


def _compressed(info: ContentInfo) -> str:
    content = read_compressed(info.content, _INFLATED).content
    assert len(content) <= _INFLATED, "it inflated beyond its limit"
    return "compressed"


def verify(data: bytes) -> str:
    """Without an anchor nothing is valid; nothing raises, and every verdict can be written down."""
    return _judged(data, Rules(Material([]), keys.MOMENT, Revocation.OFF, allow_legacy=True))


def forge(data: bytes) -> str:
    """With an anchor, valid is only what the author signed, in a mail from her."""
    verification = layers.verify(data, _rules())
    if verification.status is Status.VALID:
        assert verification.payload == SIGNED, "valid, and the author never signed it"
        assert verification.authors == (keys.AUTHOR,), "valid, and from somebody else"
        _another_reader_agrees(data)
    return verification.status.value


def _another_reader_agrees(data: bytes) -> None:
    """Python's own parser, which ends lines at CR and LF, too, shows no text that is not signed,
    and no author but the signer. (What name stands before his address nobody signed.)
    """
    mail = email.message_from_bytes(data)
    (author,) = mail.get_all("From", [])
    assert [address for _, address in getaddresses([author])] == [keys.AUTHOR]
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            text = part.get_payload(decode=True)
            assert isinstance(text, bytes)
            assert text.split() == SIGNED.partition(b"\r\n\r\n")[2].split(), "unsigned and shown"


def _judged(data: bytes, rules: Rules) -> str:
    verification = layers.verify(data, rules, open_layer=_open_layer)
    assert verification.status is not Status.VALID, "valid without a trust anchor"
    return _written(verification)


def _written(verification: Verification) -> str:
    json.dumps(verification.as_dict()).encode("utf-8")
    return verification.status.value


@cache
def _rules() -> Rules:
    root = ParsedCertificate(keys.der(keys.certificate(keys.root_key().public_key())))
    anchor = Anchor(root.subject_text, root.der, root.sha256, frozenset(Purpose), ())
    return Rules(Material([anchor]), keys.MOMENT, Revocation.OFF)


def _open(info: ContentInfo) -> Opened:
    return decrypt(
        info,
        _keys(),
        moment=keys.MOMENT,
        secret=b"lasting",
        allow_legacy=True,
        shared=[SHARED],
    )


def _open_layer(info: ContentInfo) -> bytes:
    """Stands for one who opens everything: the octets that were encrypted, as if they were not."""
    pieces = read_enveloped(info).ciphertext
    return b"".join(pieces)


@cache
def _keys() -> list[KeyDecrypter]:
    """Each with its certificate, which a RecipientInfo may name, and without one: tried always."""
    own = (keys.rsa_key(), keys.curve_key(), keys.montgomery_key())
    return [
        *(
            KeyDecrypter(key, keys.der(keys.certificate(key.public_key(), keys.RECIPIENT)))
            for key in own
        ),
        *(KeyDecrypter(key) for key in own),
    ]


def opening(data: bytes) -> str:
    """All layers with keys of ours; a failure is the same whatever failed, and lasts."""
    try:
        mail = open_mail(data, _open, every=True)
    except StructureRefused:
        return "refused"
    except DecryptRefused as error:
        return _without_reason(error)
    assert mail.layers, "nothing was opened, and no error says so"
    return mail.layers[0].key_management


def _without_reason(error: DecryptRefused) -> str:
    """Where a key was needed, nothing says what was wrong (RFC 3218)."""
    if error.problem.code == "decrypt.failed":
        assert not error.problem.facts
        assert error.__cause__ is None
    return error.problem.code


def mime(data: bytes) -> str:
    """Every reader of mails and header fields."""
    message = split(with_crlf(data))
    assert b"".join(field.raw for field in message.fields) == message.raw[: _header(message.raw)]
    root = root_of(message)
    if isinstance(root, ClearSigned):
        assert root.content in message.raw
    has_signed_part(message)
    header_problem(message, content_type(message.fields))
    outside_problem(message)
    inner_problem(author_of(message), split(bytes(message.body)))
    json.dumps(read_protection(bytes(message.body), message.fields).as_dict())
    json.dumps(read_protection(message.raw, message.fields).as_dict())
    for field in message.fields:
        read_date(field.value)
    extract(data)
    for reader in (from_addresses, visible_recipients, authorship):
        try:
            reader(message)
        except HeaderAmbiguous:
            continue
    try:
        canonical = to_7bit(message.raw)[0]
    except CannotConvert:
        return "as it is"
    assert to_7bit(canonical)[0] == canonical, "canonical form is not final"
    kind = content_type(message.fields)
    return f"{kind.main}/{kind.sub}" if root is None else type(root).__name__


def _header(raw: bytes) -> int:
    if raw.startswith(b"\r\n"):
        return 0
    end = raw.find(b"\r\n\r\n")
    return len(raw) if end < 0 else end + 2


def inspection(data: bytes) -> str:
    """What is shown without keys: never an error, always to be written down."""
    found = inspect(data)
    json.dumps(found.as_dict()).encode("utf-8")
    return " ".join(layer.kind for layer in found.layers) or found.inner


TARGETS: dict[str, Target] = {
    "cms": cms,
    "verify": verify,
    "forge": forge,
    "decrypt": opening,
    "mime": mime,
    "inspect": inspection,
    "crl": revocation.crl,
    "ocsp": revocation.ocsp,
}
