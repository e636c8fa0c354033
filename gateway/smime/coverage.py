"""What of a mail is under the signature, and what a reader might show beside it. Pure.

Only the MIME root is signed for a reader: anything else that he may see (a footer of a mailing
list, text beside or around the signed part, another reading of the header) makes the mail partly
signed at best (threats S7, S9).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.mime.entity import Field, Message
from gateway.mime.lines import all_crlf
from gateway.mime.parameters import ContentType, content_type, text_parameter, transfer_encoding
from gateway.mime.parts import Parts, Span, find_parts, head
from pki.errors import Problem, problem

# What programs put before the first part for readers without MIME. No MIME reader shows it, and
# these sentences would do no harm if one did; any other text there is somebody's message.
_GREETING = re.compile(
    rb"This is an? (?:cryptographically signed|digitally signed|S/MIME signed|multi-?part) message"
    rb"(?: in MIME format)?\.?|This is an S/MIME signed message",
    re.IGNORECASE,
)
_SINGLE = ("content-type", "content-transfer-encoding")
_IDENTITY = (b"", b"7bit", b"8bit", b"binary")
_OUTSIDE = (("message", "external-body"), ("message", "partial"))
# What all readers of a multipart read alike: the type and parameters with nothing between and
# behind them, no comment, no backslash (for some an escape, for others a backslash).
_TOKEN = rb"[^][()<>@,;:\\\"/?=\s\0-\x1f]++"
_VALUE = rb"(?:\"[^\"\\\0-\x08\x0a-\x1f]*+\"|[^()\\\";\s\0-\x1f]++)"
_PLAIN_TYPE = re.compile(
    rb"%b/%b(?:[ \t]*+;(?:[ \t]*+%b[ \t]*+=[ \t]*+%b)?+)*+[ \t]*+"
    % (_TOKEN, _TOKEN, _TOKEN, _VALUE)
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*+={0,2}\s*+")
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK_LINE = re.compile(rb"\r\n[ \t]++(?:\r\n|\Z)")
_QUOTED = re.compile(rb'"[^"]*+"')
_BOUNDARY_NAME = re.compile(rb";[ \t]*+boundary(\*[^=]*+)?[ \t]*+=", re.IGNORECASE)
# RFC 2046 §5.1.1: at most 70 octets. Some readers take white space at its ends away, and some
# (Python's) angle brackets around it.
_BOUNDARY = re.compile(rb"[!-;=?-~](?:[ -;=?-~]{0,68}[!-;=?-~])?+")

_PARTS_LIMIT, _DEPTH_LIMIT = 1000, 20
_SIGNED_TYPES = ("pkcs7-mime", "x-pkcs7-mime", "pkcs7-signature", "x-pkcs7-signature")
# What smime-type (RFC 8551 §3.2.2) says is no signature. Whoever lies so makes less of his mail.
_NOT_SIGNED = ("enveloped-data", "authenveloped-data", "certs-only")


def header_problem(message: Message, kind: ContentType) -> Problem | None:
    """Why readers may take the entity for something else than its `content_type`, or None.

    Two fields of which one counts, comments and encoded or repeated boundaries are read in
    different ways: what we found signed might not be what they show.
    """
    names = [field.name for field in message.fields]
    repeated = _repeated(names)
    if repeated is not None:
        return repeated
    if not all(names) or not _same_end(b"".join([field.raw for field in message.fields])):
        return problem(
            "coverage.ambiguous-header",
            "the header around the signed part has lines where readers differ on its end",
        )
    for field in message.all("content-type"):
        if field.raw[len("content-type") :][:1] != b":":
            return _ambiguous_type()  # for some, white space there makes it no field at all
        if kind.main == "multipart":
            if not _same_boundary(field.value, kind.parameters.get("boundary", b"")):
                return _ambiguous_type()
            if any(b"\r\n" in quoted for quoted in _QUOTED.findall(field.raw)):
                return _ambiguous_type()  # the blank behind the fold is part of it, or is not
        elif b"(" in _QUOTED.sub(b"", field.value).partition(b";")[0]:
            return _ambiguous_type()  # the type alone decides; file names are written in many ways
    if kind.main == "multipart":
        for field in message.all("content-transfer-encoding"):
            if field.value.strip().lower() not in _IDENTITY:  # RFC 2045 §6.4 forbids all others
                return _ambiguous_type()
        if not all(_is_text(field.raw) for field in message.fields if _describes(field)):
            return _ambiguous_type()
    return None


def _describes(field: Field) -> bool:
    return field.name.startswith("content-")


def _is_text(octets: bytes) -> bool:
    """Whether a header can be read as one: UTF-8 (RFC 6532) without control characters.

    What a moved block of CBC becomes (S1) is neither; in a file name, which decides nothing, no
    other check would notice it.
    """
    if _CONTROL.search(octets) is not None:
        return False
    if octets.isascii():
        return True
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _same_end(fields: bytes) -> bool:
    """Whether no reader ends a field, or the whole header, earlier than we do.

    At a bare CR or LF, at a NUL (programs in C), or at a line of nothing but white space, which
    RFC 5322 §3.2.2 forbids to write, and which is the empty line for who strips lines first.
    """
    return all_crlf(fields) and b"\0" not in fields and _BLANK_LINE.search(fields) is None


def _repeated(names: list[str]) -> Problem | None:
    for name in _SINGLE:
        if names.count(name) > 1:
            return problem(
                "coverage.ambiguous-header",
                "the signed part has two fields {field}, and readers differ on which counts",
                field=name,
            )
    return None


def _same_boundary(value: bytes, boundary: bytes) -> bool:
    """Whether all readers find one boundary in the field, and the same.

    Two that readers choose from differently make two mails of one: what stands between the
    delimiters of the other one is shown by some, and signed by nobody.
    """
    names = _BOUNDARY_NAME.findall(_QUOTED.sub(b'""', value))
    return (
        _PLAIN_TYPE.fullmatch(value) is not None
        and len(names) == 1
        and not any(names)
        and _BOUNDARY.fullmatch(boundary) is not None
    )


def _ambiguous_type() -> Problem:
    return problem(
        "coverage.ambiguous-header",
        "the type of the signed part is written so that readers may take it for another one",
    )


def around_problem(body: bytes, parts: Parts) -> Problem | None:
    """Why a multipart/signed holds more than its two parts: text before or behind them, or no end.

    Readers of MIME show neither (RFC 2046 §5.1.1), others show both.
    """
    (start, end), (after, last) = parts.outside
    before = b" ".join(body[start:end].split())
    if before and not _GREETING.fullmatch(before):
        return problem("coverage.preamble", "there is text before the signed part")
    if body[after:last].strip():
        return problem("coverage.epilogue", "there is text behind the signature")
    if not parts.closed:
        return problem("coverage.unclosed", "the mail ends before its signed part is closed")
    return None


def signature_problem(part: Message, kind: ContentType, boundary: bytes) -> Problem | None:
    """Why readers may find a third part in the second one, or show it, or None.

    Nobody signed the part with the signature. Readers that end lines at LF alone, or that take
    every line which begins like a delimiter for one (RFC 2046 §5.1.1), would show what is there;
    so would those that take the part for a text.
    """
    if (
        b"--" + boundary in part.raw
        or _has_more_than_base64(part)
        or not all(_is_text(field.raw) for field in part.fields)
    ):
        return problem(
            "coverage.signature-part", "there is something beside the signature in its part"
        )
    return header_problem(part, kind)


def _has_more_than_base64(part: Message) -> bool:
    """Whether octets stand in a base64 body that decoders pass over (RFC 2045 §6.8).

    There is the room for a text that nobody signed; and for what a moved block of CBC becomes (S1),
    which the signature inside would not notice.
    """
    return (
        transfer_encoding(part.fields) == "base64"
        and _BASE64.fullmatch(part.body.tobytes()) is None
    )


def content_problem(body: bytes, span: Span, boundary: bytes) -> Problem | None:
    """Why readers may find the end of the signed part inside of it, or None.

    RFC 2046 §5.1.1 has them take every line that begins like a delimiter for one, whatever follows
    (so do OpenSSL and others; we want the whole line), and some end lines at LF or CR alone. Who
    puts a stranger's signed octets into a multipart of his own chooses the boundary: one with
    which a line in the middle begins cuts off the rest for them.
    """
    start, end = span
    delimiter = b"--" + boundary
    if not body.startswith(delimiter, start, end) and all(
        body.find(line_end + delimiter, start, end) < 0 for line_end in (b"\n", b"\r")
    ):
        return None
    return problem(
        "coverage.boundary",
        "a line of the signed part begins like its end: some readers show the part up to there",
    )


def outside_problem(payload: Message, kind: ContentType | None = None) -> Problem | None:
    """Why what a reader shows is not in the signed entity at all, or None (RFC 2046 §5.2.2, 3).

    Or why it may not be: two types, of which one says so to some readers.
    kind: its media type, where it was read before.
    """
    repeated = _repeated([field.name for field in payload.fields])
    if repeated is not None:
        return repeated
    kind = kind or content_type(payload.fields)
    if (kind.main, kind.sub) not in _OUTSIDE:
        return None
    return problem(
        "coverage.elsewhere",
        "what is signed is only a reference: readers fetch the content ({type}) from elsewhere",
        type=f"{kind.main}/{kind.sub}",
    )


def has_signed_part(message: Message) -> bool:
    """Whether somewhere below a root that is not signed there is a signed part.

    It is not opened or checked: what stands around it is nobody's, and looks as if it were
    signed. Mails that are attached (message/rfc822) are attachments.
    """
    return any(map(_is_signed, _leaves(message)))


def _is_signed(kind: ContentType) -> bool:
    if kind.main == "multipart":
        return kind.sub == "signed" and b"pkcs7" in kind.parameters.get("protocol", b"").lower()
    if text_parameter(kind.parameters, "smime-type").lower() in _NOT_SIGNED:
        return False
    return kind.main == "application" and (
        kind.sub in _SIGNED_TYPES
        or (
            kind.sub == "octet-stream"
            and text_parameter(kind.parameters, "name").lower().endswith((".p7m", ".p7s"))
        )
    )


def _leaves(message: Message) -> Iterator[ContentType]:
    """The types of all parts below a multipart, as many as are looked at."""
    body = message.raw
    begin = len(body) - len(message.body)
    root = content_type(message.fields)
    waiting: list[tuple[int, int, ContentType, int]] = [(begin, len(body), root, 0)]
    count = 0
    while waiting:
        start, end, kind, depth = waiting.pop()
        boundary = kind.parameters.get("boundary", b"")
        if kind.main != "multipart" or not boundary or depth == _DEPTH_LIMIT:
            continue
        for part_start, part_end in find_parts(body, start, end, boundary).spans:
            count += 1
            if count > _PARTS_LIMIT:
                return
            fields, at = head(body, part_start, part_end)
            inner = content_type(fields)
            yield inner
            waiting.append((at, part_end, inner, depth + 1))
