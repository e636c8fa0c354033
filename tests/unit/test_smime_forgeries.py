"""Signed mails as attackers make them, with our own keys: none is valid (threats S7, S9, S10).

The classes are those of "Johnny, you are fired!" (USENIX Security 2019), of CVEs of mail programs,
and of the drafts about signed attributes. Mallory has a certificate of the same trusted CA.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import pytest

from gateway.mime.entity import FIELD_LIMIT
from gateway.mime.transfer import encode_base64
from gateway.smime import algorithms
from gateway.smime.layers import RECEIPT
from gateway.smime.sign import sign
from gateway.smime.wrapping import multipart_signed, pkcs7_mime
from pki import der_writing as der
from tests.unit.cms_forger import (
    ECDSA_SHA256,
    ENTITY,
    RSA,
    SHA256,
    alice,
    attribute,
    attributes_for,
    bob,
    clear_signed,
    codes,
    issue,
    mail,
    mallory_key,
    opaque,
    party,
    rules,
    signed_data,
    signer_info,
    status,
    with_key,
)
from tests.unit.smime_world import world

EVIL = b"Content-Type: text/plain\r\n\r\nPay Mallory at once.\r\n"


def mallory() -> object:
    return with_key(issue("mallory@evil.example", mallory_key().public_key()))


def _signature_of(entity: bytes) -> bytes:
    """The second part of a multipart/signed, with its delimiter and the last one."""
    return entity[entity.rindex(b"--limit\r\nContent-Type: application/pkcs7-signature") :]


def _mixed(*parts: bytes, subtype: bytes = b"mixed") -> bytes:
    body = b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: multipart/"
        + subtype
        + b"; boundary=outer\r\n\r\n"
        + body
        + b"--outer--\r\n"
    )


TEXT = b"Content-Type: text/plain\r\n\r\nPay Mallory.\r\n"
HTML = b'Content-Type: text/html\r\n\r\n<p>Pay Mallory</p><div style="display:none">\r\n'


def _padded(boundary: str = "limit") -> bytes:
    """Signed so that the base64 of the signature ends with "=", behind which readers look for no
    more of it: signatures of ECDSA differ in length, so a few tries are enough.
    """
    end = f"=\r\n\r\n--{boundary}--".encode()
    tries = (clear_signed(party(world().erin), boundary=boundary) for _ in range(1000))
    return next(made for made in tries if end in made)


def _third(parameter: bytes, theirs: bytes, ours: bytes = b"limit") -> bytes:
    """A part behind the signature, in its part for us, for readers of another boundary."""
    entity = _padded(ours.decode()).replace(b'boundary="%b"' % ours, parameter)
    part = b"\r\n--%b\r\n%b\r\n--%b--\r\n" % (theirs, TEXT, theirs)
    return entity.removesuffix(b"\r\n--%b--\r\n" % ours) + part + b"--%b--\r\n" % ours


def _cut(line: bytes) -> bytes:
    """What Alice signed, with a line that a stranger takes for his boundary."""
    return b"Content-Type: text/plain\r\n\r\nPay Mallory" + line + b"nothing at all.\r\n"


def _compressed(head: bytes) -> bytes:
    """The signed part with more header, where nothing but itself is signed."""
    inflated = zlib.compress(head + clear_signed())
    inner = der.sequence(
        der.integer(0),
        der.algorithm("1.2.840.113549.1.9.16.3.8"),
        der.sequence(der.oid(algorithms.DATA), der.element(0xA0, der.octets(inflated))),
    )
    cms = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.element(0xA0, inner))
    return pkcs7_mime("compressed-data", cms)


# -- MIME: what stands around the signed part --------------------------------------------

AROUND: dict[str, tuple[Callable[[], bytes], str]] = {
    "text before": (lambda: _mixed(TEXT, clear_signed()), "coverage.part"),
    "footer of a mailing list": (lambda: _mixed(clear_signed(), TEXT), "coverage.part"),
    "hidden by a style": (lambda: _mixed(HTML, clear_signed()), "coverage.part"),
    "related": (lambda: _mixed(HTML, clear_signed(), subtype=b"related"), "coverage.part"),
    "alternative": (lambda: _mixed(clear_signed(), TEXT, subtype=b"alternative"), "coverage.part"),
    "opaque in mixed": (lambda: _mixed(TEXT, opaque()), "coverage.part"),
    "opaque alone in mixed": (lambda: _mixed(opaque()), "coverage.part"),
    "two levels down": (lambda: _mixed(TEXT, _mixed(clear_signed())), "coverage.part"),
    "preamble": (
        lambda: clear_signed().replace(b"\r\n\r\n--limit", b"\r\n\r\nPay Mallory.\r\n--limit", 1),
        "coverage.preamble",
    ),
    "epilogue": (lambda: clear_signed() + b"Pay Mallory.\r\n", "coverage.epilogue"),
    "not closed": (lambda: clear_signed().replace(b"--limit--\r\n", b""), "coverage.unclosed"),
    "two types": (
        lambda: b"Content-Type: text/plain\r\n" + clear_signed(),
        "",  # the first one counts for us: no signed mail
    ),
    "two types, ours first": (
        lambda: clear_signed().replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\n", 1),
        "coverage.ambiguous-header",
    ),
    "two boundaries": (
        lambda: clear_signed().replace(b'boundary="limit"', b'boundary="limit"; boundary="x"'),
        "coverage.ambiguous-header",
    ),
    "a boundary in RFC 2231": (
        lambda: clear_signed().replace(b'boundary="limit"', b"boundary=limit; boundary*=x''y"),
        "coverage.ambiguous-header",
    ),
    "a comment": (
        lambda: clear_signed().replace(b"multipart/signed;", b"multipart/signed (text/plain);"),
        "coverage.ambiguous-header",
    ),
    "white space before the colon": (
        lambda: clear_signed().replace(b"Content-Type:", b"Content-Type :", 1),
        "coverage.ambiguous-header",
    ),
    "a third part for readers of LF": (
        lambda: _padded().replace(
            b"\r\n--limit--", b"\n--limit\nContent-Type: text/plain\n\nPay Mallory\r\n--limit--"
        ),
        "coverage.signature-part",
    ),
    "a third part in the head of the signature": (
        lambda: clear_signed().replace(
            b'filename="smime.p7s"', b'filename="smime.p7s"\n--limit\n\nPay Mallory', 1
        ),
        "coverage.signature-part",
    ),
    "a text between the lines of the signature": (
        lambda: re.sub(rb"(\r\n\r\nMI[^\r]+\r\n)", "\\1— éèà —\r\n".encode(), clear_signed()),
        "coverage.signature-part",
    ),
    "a text behind the padding of the signature": (
        lambda: re.sub(rb"=*\r\n--limit--", b"==\r\nMallory\r\n--limit--", _padded()),
        "coverage.signature-part",
    ),
    "a boundary that ends with a blank": (
        lambda: _third(b'boundary="limit "', b"limit", b"limit "),
        "coverage.ambiguous-header",
    ),
    "a boundary that begins with a blank": (
        lambda: _third(b'boundary=" limit"', b"limit", b" limit"),
        "coverage.ambiguous-header",
    ),
    "a boundary in angle brackets": (
        lambda: _third(b'boundary="<limit>"', b"limit", b"<limit>"),
        "coverage.ambiguous-header",
    ),
    "a backslash in the boundary": (
        lambda: _third(rb'boundary="li\mit"', rb"li\mit"),
        "coverage.ambiguous-header",
    ),
    "a boundary behind an escaped quote": (
        lambda: _third(rb'name="a\"; boundary=evil; x="; boundary="limit"', b"evil"),
        "coverage.ambiguous-header",
    ),
    "a boundary without its semicolon": (
        lambda: _third(b'x=y boundary=evil; boundary="limit"', b"evil"),
        "coverage.ambiguous-header",
    ),
    "a NUL in the type": (
        lambda: clear_signed().replace(b"multipart/signed;", b"multipart/signed\0;"),
        "coverage.ambiguous-header",
    ),
    "another type behind the type": (
        lambda: clear_signed().replace(b"multipart/signed;", b"multipart/signed text/plain;"),
        "coverage.ambiguous-header",
    ),
    "the signature is a text for some": (
        lambda: clear_signed().replace(
            b"Content-Type: application/pkcs7-signature",
            b"Content-Type: application/pkcs7-signature\r\nContent-Type: text/html",
        ),
        "coverage.ambiguous-header",
    ),
    "a header that ends at LF, in a layer": (
        lambda: _compressed(b"A: b\r\nC: d\nContent-Type: text/plain\n\nPay Mallory.\r\n"),
        "coverage.ambiguous-header",
    ),
    "a header that ends at CR, in a layer": (
        lambda: _compressed(b"A: b\r\nC: d\rContent-Type: text/plain\r\rPay Mallory.\r\n"),
        "coverage.ambiguous-header",
    ),
    "a line of blanks in the header": (
        lambda: b"X-One: a\r\n \r\nPay: Mallory\r\n" + clear_signed(),
        "coverage.ambiguous-header",
    ),
    "a line of blanks in the type": (
        lambda: clear_signed().replace(b"signed;", b"signed;\r\n\t\r\n", 1),
        "coverage.ambiguous-header",
    ),
    "a NUL in the header": (
        lambda: b"X-One: a\0\r\n" + clear_signed(),
        "coverage.ambiguous-header",
    ),
    "a line that is no field, in a layer": (
        lambda: _compressed(b"A: b\r\nPay Mallory.\r\n"),
        "coverage.ambiguous-header",
    ),
    "an encoding at the root": (
        lambda: b"Content-Transfer-Encoding: base64\r\n" + clear_signed(),
        "coverage.ambiguous-header",
    ),
    "a boundary that some readers unfold in another way": (
        lambda: clear_signed(boundary="li mit").replace(b'"li mit"', b'"li\r\n mit"'),
        "coverage.ambiguous-header",
    ),
    "a line like its end, for who takes the beginning for the whole": (
        lambda: clear_signed(content=_cut(b"\r\n--limit2\r\n")),
        "coverage.boundary",
    ),
    "its end with words behind it": (
        lambda: clear_signed(content=_cut(b"\r\n--limit-- is what they said\r\n")),
        "coverage.boundary",
    ),
    "its end for readers of LF": (
        lambda: clear_signed(content=_cut(b"\n--limit--\n")),
        "coverage.boundary",
    ),
    "its end for readers of CR": (
        lambda: clear_signed(content=_cut(b"\r--limit--\r")),
        "coverage.boundary",
    ),
    "its end in its first line": (
        lambda: clear_signed(content=b"--limit: x\r\n" + TEXT),
        "coverage.boundary",
    ),
    "content from elsewhere": (
        lambda: clear_signed(
            content=b"Content-Type: message/external-body; access-type=URL; URL=x\r\n\r\n\r\n"
        ),
        "coverage.elsewhere",
    ),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_a_signed_part_is_not_signed(name: str) -> None:
    make, code = AROUND[name]

    assert status(mail(make())) in ("partly-signed", "unsigned")
    assert codes(mail(make())) == ({code} if code else set())


@pytest.mark.parametrize(
    "greeting",
    [
        b"This is a cryptographically signed message in MIME format.",
        b"This is an S/MIME signed message",
        b"This is a multi-part message in MIME format.\r\n",
    ],
)
def test_the_usual_greeting_before_the_first_part_does_no_harm(greeting: bytes) -> None:
    greeted = clear_signed().replace(b"\r\n\r\n--limit", b"\r\n\r\n" + greeting + b"\r\n--limit", 1)

    assert status(mail(greeted)) == "valid"


PARTS: dict[str, Callable[[], bytes]] = {
    "no signature": lambda: clear_signed().replace(_signature_of(clear_signed()), b"--limit--\r\n"),
    "a third part": lambda: clear_signed().replace(
        b"--limit--", b"--limit\r\n" + TEXT + b"\r\n--limit--"
    ),
    "a part before": lambda: clear_signed().replace(
        b"--limit\r\n", b"--limit\r\n" + TEXT + b"\r\n--limit\r\n", 1
    ),
    "no boundary": lambda: clear_signed().replace(b'; boundary="limit"', b""),
    "the signature is a text": lambda: clear_signed().replace(
        b"Content-Type: application/pkcs7-signature", b"Content-Type: text/plain"
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_signed_mail_has_exactly_two_parts(name: str) -> None:
    assert codes(mail(PARTS[name]())) == {"coverage.parts"}
    assert status(mail(PARTS[name]())) == "invalid"


BOSS = b"From: boss@bank.example\r\n"
RFC822 = b"Content-Type: message/rfc822\r\n"
INSIDE: dict[str, tuple[bytes, str]] = {
    "behind a LF of the payload": (
        b'Content-Type: text/plain; hp="clear"\r\nX: y\n' + BOSS + b"\r\nx\r\n",
        "identity.inner-from",
    ),
    "behind a LF of a mail": (
        RFC822 + b"\r\nSubject: x\r\nX: y\n" + BOSS + b"\r\nx\r\n",
        "identity.inner-from",
    ),
    "behind more fields than anybody counts": (
        b"X: y\r\n" * FIELD_LIMIT + BOSS + b"\r\nx\r\n",
        "identity.inner-from",
    ),
    "a mail with lines of LF": (
        RFC822
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + encode_base64(b"Subject: x\nFrom: boss@bank.example\n\nx\n"),
        "identity.inner-from",
    ),
    "a mail for readers of the last type": (
        b"Content-Type: text/plain\r\n" + RFC822 + b"\r\n" + BOSS + b"\r\n",
        "coverage.ambiguous-header",
    ),
    "elsewhere for readers of the last type": (
        b"Content-Type: text/plain\r\nContent-Type: message/external-body; access-type=URL\r\n\r\n",
        "coverage.ambiguous-header",
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_signer_does_not_show_another_author_inside(name: str) -> None:
    content, code = INSIDE[name]

    assert codes(mail(opaque(content=content))) == {code}
    assert status(mail(opaque(content=content))) != "valid"


def test_a_signed_receipt_is_not_shown_as_a_mail() -> None:
    """Whoever asks for a receipt writes its identifier; detached it would be the mail that is shown
    (RFC 2634 §2.8).
    """
    text = der.octets(b"\r\nContent-Type: text/plain\r\n\r\nPay Mallory.\r\n")
    receipt = der.sequence(der.integer(1), text)
    usual = attributes_for(alice(), receipt)
    kind = attribute(algorithms.CONTENT_TYPE, der.oid(RECEIPT))
    attributes = [kind, *(one for one in usual if der.oid(algorithms.CONTENT_TYPE) not in one)]
    info = signer_info(alice(), attributes, content=receipt)
    given = [alice().certificate, *alice().chain]
    detached = signed_data([info], given, content_type=RECEIPT)
    whole = signed_data([info], given, content=receipt, content_type=RECEIPT)

    shown = mail(multipart_signed(receipt, detached, micalg="sha-256", boundary="b"))
    assert codes(shown) == {"coverage.content-type"}
    assert status(shown) == "invalid"
    assert status(mail(pkcs7_mime("signed-receipt", whole))) == "valid"


# -- CMS: content, signers, certificates -------------------------------------------------


def test_a_content_inside_a_detached_signature() -> None:
    """CVE-2018-18509, CVE-2019-7284: the content inside is verified, the one outside is shown."""
    entity = clear_signed(content=ENTITY, inside=ENTITY)
    shown = entity.replace(ENTITY, EVIL)

    assert codes(mail(entity)) == {"coverage.two-contents"}
    assert "coverage.two-contents" in codes(mail(shown))
    assert {status(mail(entity)), status(mail(shown))} == {"invalid"}


@pytest.mark.parametrize("make", [clear_signed, opaque])
def test_no_signer_at_all(make: Callable[..., bytes]) -> None:
    assert codes(mail(make(infos=[]))) == {"signature.no-signer"}
    assert status(mail(make(infos=[]))) == "invalid"


@pytest.mark.parametrize("reverse", [False, True])
def test_a_second_signer_who_is_not_from(reverse: bool) -> None:
    other = bob()
    infos = [signer_info(alice()), signer_info(other)][:: -1 if reverse else 1]
    cms = signed_data(infos, [alice().certificate, other.certificate, *other.chain])
    entity = multipart_signed(ENTITY, cms, micalg="sha-256", boundary="b")

    assert codes(mail(entity)) == {"identity.from-mismatch"}
    assert status(mail(entity)) == "invalid"


def test_a_second_signer_over_something_else() -> None:
    infos = [signer_info(alice()), signer_info(alice(), content=EVIL)]
    cms = signed_data(infos, [alice().certificate, *alice().chain])

    entity = multipart_signed(ENTITY, cms, micalg="sha-256", boundary="b")

    assert codes(mail(entity)) == {"signature.digest"}
    assert status(mail(entity)) == "invalid"


def test_somebody_s_own_certificate_with_the_victim_s_address() -> None:
    key = mallory_key()
    own = issue("alice@example.org", key.public_key(), by=(world().alice.certificate, key))
    who = with_key(own)

    assert status(mail(clear_signed(who))) == "invalid"
    # … issued by Alice herself, who is no CA
    leaf = issue(
        "alice@example.org", key.public_key(), by=(world().alice.certificate, world().alice.key)
    )
    entity = opaque(with_key(leaf), infos=[signer_info(with_key(leaf))])
    assert status(mail(entity), rules(known=[world().alice.der])) == "invalid"


def test_the_victim_s_certificate_beside_somebody_s_signature() -> None:
    """The SignerInfo names Alice, the signature is Mallory's."""
    forged = signer_info(mallory(), identifier=_identifier(alice()))  # type: ignore[arg-type]
    entity = clear_signed(alice(), infos=[forged])

    assert "signature.key" in codes(mail(entity)) or "signature.wrong" in codes(mail(entity))
    assert status(mail(entity)) == "invalid"


def _identifier(who: object) -> bytes:
    from gateway.smime.names import issuer_and_serial

    return issuer_and_serial(who.certificate)  # type: ignore[attr-defined]


def test_a_signature_moved_to_another_content() -> None:
    good, evil = clear_signed(), clear_signed(content=EVIL)
    moved = evil.replace(_signature_of(evil), _signature_of(good))

    assert codes(mail(moved)) == {"signature.digest"}
    assert status(mail(moved)) == "invalid"


def test_a_stripped_signature_is_no_signature() -> None:
    assert status(mail(ENTITY)) == "unsigned"


def test_a_signature_wrapped_in_another_one() -> None:
    """S16: the gateway's own outer signature does not make a bad inner one good."""
    bad = clear_signed().replace(b"Bonjour", b"Bonsoir")

    assert status(mail(opaque(content=bad))) == "invalid"
    assert status(mail(clear_signed(content=bad, boundary="around"))) == "invalid"
    by_mallory = clear_signed(mallory(), content=EVIL)  # type: ignore[arg-type]
    assert codes(mail(opaque(content=by_mallory))) == {"identity.from-mismatch"}
    by_bob = opaque(bob(), content=clear_signed())
    assert codes(mail(by_bob)) == {"identity.from-mismatch"}


def test_another_author_inside() -> None:
    """Readers of RFC 9788 and RFC 8551 §3.1 show the inner From in place of the outer one."""
    inside = (
        b'Content-Type: text/plain; hp="clear"\r\nFrom: ceo@example.org\r\n\r\nPay Mallory.\r\n'
    )
    whole = b"Content-Type: message/rfc822\r\n\r\nFrom: ceo@example.org\r\n\r\nPay Mallory.\r\n"
    same = b'Content-Type: text/plain; hp="clear"\r\nFrom: ALICE@example.org\r\n\r\nHello.\r\n'

    encoded = whole.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)
    encoded = (
        encoded.partition(b"\r\n\r\n")[0]
        + b"\r\n\r\n"
        + encode_base64(whole.partition(b"\r\n\r\n")[2])
    )
    forwarded = whole.replace(b"rfc822", b"rfc822; forwarded=yes", 1)

    assert codes(mail(clear_signed(content=inside))) == {"identity.inner-from"}
    assert codes(mail(clear_signed(content=encoded))) == {"identity.inner-from"}
    assert status(mail(clear_signed(content=forwarded))) == "valid"
    assert codes(mail(clear_signed(content=whole))) == {"identity.inner-from"}
    assert status(mail(clear_signed(content=same))) == "valid"


def test_a_type_of_content_that_is_no_mail() -> None:
    stated = attributes_for(alice(), ENTITY, content_type="1.2.3.4")
    cms = signed_data(
        [signer_info(alice(), stated)], [alice().certificate, *alice().chain],
        content=ENTITY, content_type="1.2.3.4",
    )  # fmt: skip

    assert codes(mail(pkcs7_mime("signed-data", cms))) == {"coverage.content-type"}
    assert status(mail(pkcs7_mime("signed-data", cms))) == "invalid"


# -- signed attributes -------------------------------------------------------------------

_CONTENT_TYPE = attribute(algorithms.CONTENT_TYPE, der.oid(algorithms.DATA))


def _digest(content: bytes = ENTITY) -> bytes:
    return attribute(algorithms.MESSAGE_DIGEST, der.octets(alice().hash(content)))


def _protection(digest: bytes, signature: bytes) -> bytes:
    return attribute(algorithms.ALGORITHM_PROTECTION, der.sequence(digest, b"\xa1" + signature[1:]))


SHA512 = der.algorithm(algorithms.DIGESTS["sha512"])
TIME = der.element(der.UTC_TIME, b"260101000000Z")

ATTRIBUTES: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "no contentType": (lambda: [_digest()], "attributes.missing"),
    "no messageDigest": (lambda: [_CONTENT_TYPE], "attributes.missing"),
    "none of them": (lambda: [attribute(algorithms.SIGNING_TIME, TIME)], "attributes.missing"),
    "contentType twice": (
        lambda: [_CONTENT_TYPE, _CONTENT_TYPE, _digest()],
        "attributes.repeated",
    ),
    "contentType with two values": (
        lambda: [
            attribute(algorithms.CONTENT_TYPE, der.oid(algorithms.DATA), der.oid("1.2.3")),
            _digest(),
        ],
        "attributes.repeated",
    ),
    "contentType of another type": (
        lambda: [attribute(algorithms.CONTENT_TYPE, der.oid("1.2.3")), _digest()],
        "attributes.content-type",
    ),
    "two digests, one right": (
        lambda: [_CONTENT_TYPE, _digest(), _digest(EVIL)],
        "attributes.repeated",
    ),
    "a digest with two values": (
        lambda: [
            _CONTENT_TYPE,
            attribute(
                algorithms.MESSAGE_DIGEST,
                der.octets(alice().hash(ENTITY)),
                der.octets(alice().hash(EVIL)),
            ),
        ],
        "attributes.repeated",
    ),
    "no value at all": (
        lambda: [_CONTENT_TYPE, attribute(algorithms.MESSAGE_DIGEST)],
        "attributes.missing",
    ),
    "a digest that is a text": (
        lambda: [_CONTENT_TYPE, attribute(algorithms.MESSAGE_DIGEST, der.element(0x0C, b"x"))],
        "attributes.unreadable",
    ),
    "the digest cut short": (
        lambda: [
            _CONTENT_TYPE,
            attribute(algorithms.MESSAGE_DIGEST, der.octets(alice().hash(ENTITY)[:16])),
        ],
        "signature.digest",
    ),
    "another digest protected": (
        lambda: [_CONTENT_TYPE, _digest(), _protection(SHA512, RSA)],
        "attributes.algorithm-protection",
    ),
    "another signature protected": (
        lambda: [_CONTENT_TYPE, _digest(), _protection(SHA256, ECDSA_SHA256)],
        "attributes.algorithm-protection",
    ),
    "a MAC protected": (
        lambda: [
            _CONTENT_TYPE,
            _digest(),
            attribute(algorithms.ALGORITHM_PROTECTION, der.sequence(SHA256, b"\xa2" + RSA[1:])),
        ],
        "attributes.unreadable",
    ),
    "signingTime twice": (
        lambda: [_CONTENT_TYPE, _digest(), attribute(algorithms.SIGNING_TIME, TIME, TIME)],
        "attributes.unreadable",
    ),
    "signingTime is a text": (
        lambda: [
            _CONTENT_TYPE, _digest(), attribute(algorithms.SIGNING_TIME, der.element(0x0C, b"now")),
        ],
        "attributes.unreadable",
    ),
    "another certificate named": (
        lambda: [
            _CONTENT_TYPE,
            _digest(),
            attribute(
                algorithms.SIGNING_CERTIFICATE_V2,
                der.sequence(der.sequence(der.sequence(der.octets(b"\0" * 32)))),
            ),
        ],
        "attributes.signing-certificate",
    ),
    "another certificate named by SHA-1": (
        lambda: [
            _CONTENT_TYPE,
            _digest(),
            attribute(
                "1.2.840.113549.1.9.16.2.12",
                der.sequence(der.sequence(der.sequence(der.octets(b"\0" * 20)))),
            ),
        ],
        "attributes.signing-certificate",
    ),
    "a named certificate that nobody can read": (
        lambda: [
            _CONTENT_TYPE, _digest(), attribute(algorithms.SIGNING_CERTIFICATE_V2, der.octets(b"")),
        ],
        "attributes.unreadable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_signed_attributes_bind_or_are_refused(name: str) -> None:
    make, code = ATTRIBUTES[name]
    entity = clear_signed(infos=[signer_info(alice(), make())])

    assert code in codes(mail(entity))
    assert status(mail(entity)) == "invalid"
    assert "signature.wrong" not in codes(mail(entity))  # the mathematics hold: Alice signed it


@pytest.mark.parametrize(
    "kind", [algorithms.SIGNING_TIME, algorithms.CONTENT_TYPE, algorithms.MESSAGE_DIGEST]
)
def test_what_must_be_signed_is_not_believed_unsigned(kind: str) -> None:
    entity = clear_signed(infos=[signer_info(alice(), unsigned=[attribute(kind, TIME)])])

    assert codes(mail(entity)) == {"attributes.unsigned"}
    assert status(mail(entity)) == "invalid"


def test_algorithms_rightly_protected_are_fine() -> None:
    right = [_CONTENT_TYPE, _digest(), _protection(SHA256, RSA)]
    with_null = [
        _CONTENT_TYPE,
        _digest(),
        _protection(
            der.algorithm(algorithms.DIGESTS["sha256"], b"\x05\x00"),
            der.algorithm(algorithms.RSA_ENCRYPTION),
        ),
    ]

    for stated in (right, with_null):
        assert status(mail(clear_signed(infos=[signer_info(alice(), stated)]))) == "valid"


def test_attributes_of_another_message_as_content() -> None:
    """S10: what Alice signed for her attributes, with her signature, as a mail's content."""
    attributes = der.set_of(attributes_for(alice(), ENTITY))
    stolen = signer_info(alice(), None, content=attributes)
    entity = opaque(content=attributes, infos=[stolen])

    assert "attributes.ambiguous" in codes(mail(entity))
    assert status(mail(entity)) == "invalid"
    detached = clear_signed(content=attributes, infos=[stolen])
    assert "attributes.ambiguous" in codes(mail(detached))


def test_another_type_without_signed_attributes() -> None:
    """Nothing vouches for the type of a content then: enveloped or signed, it is one octet away."""
    cms = signed_data(
        [signer_info(alice(), None, content=b"0\x00")], [alice().certificate, *alice().chain],
        content=b"0\x00", content_type=algorithms.ENVELOPED_DATA,
    )  # fmt: skip

    assert status(mail(pkcs7_mime("signed-data", cms))) in ("invalid", "malformed")


@pytest.mark.parametrize(
    ("digest", "signature"),
    [
        (SHA512, der.algorithm("1.2.840.113549.1.1.11", b"\x05\x00")),  # sha256WithRSA
        (SHA256, der.algorithm("1.2.840.113549.1.1.13", b"\x05\x00")),  # sha512WithRSA
    ],
)
def test_two_digests_in_one_signature(digest: bytes, signature: bytes) -> None:
    entity = clear_signed(infos=[signer_info(alice(), digest=digest, algorithm=signature)])

    assert "algorithm.disagreement" in codes(mail(entity))
    assert status(mail(entity)) == "invalid"


def test_unknown_algorithms_beside_a_known_signer() -> None:
    """K3: never a crash, never valid."""
    odd = der.algorithm("1.3.6.1.4.1.99999.1")
    for info in (
        signer_info(alice(), algorithm=odd),
        signer_info(alice(), digest=odd),
        signer_info(alice(), algorithm=odd, digest=odd),
    ):
        entity = clear_signed(infos=[signer_info(alice()), info])
        assert codes(mail(entity)) == {"algorithm.unsupported"}
        assert status(mail(entity)) == "invalid"


def test_our_own_signature_with_its_attributes_in_another_order_is_the_same() -> None:
    """What is signed is a SET: senders that do not sort sign what they send."""
    unsorted = [_digest(), _CONTENT_TYPE, attribute(algorithms.SIGNING_TIME, TIME)]
    entity = clear_signed(infos=[signer_info(alice(), unsorted, sort=False)])

    assert status(mail(entity)) == "valid"


def test_the_tests_can_fail() -> None:
    """All of the above start from what is valid."""
    assert status(mail(clear_signed())) == "valid"
    assert status(mail(opaque())) == "valid"
    assert status(mail(sign(ENTITY, world().alice.signer).entity)) == "valid"
    assert status(mail(clear_signed(mallory()), sender=b"mallory@evil.example")) == "valid"  # type: ignore[arg-type]
