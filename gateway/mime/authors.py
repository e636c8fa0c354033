"""Who a mail says it is from: every address that a reader may take for its author (RFC 5322 §3.6).

The gateway signs for the one address in From. What readers disagree about is refused: they might
see another author than the one that was allowed and signed for (threats S8). All of this is one
rule for intake, archive, policy and signing: whoever wants to know the author of a mail asks here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.mime.entity import Field, Message, split
from gateway.mime.headers import HeaderAmbiguous, addresses, from_addresses
from gateway.mime.normal import each_normal
from gateway.mime.transfer import decode_base64
from gateway.mime.words import decode_words
from pki.addresses import canonical
from pki.errors import AddressError

# A mail inside a mail inside a mail: nobody needs more as the outermost thing he sends.
_SHELLS = 4

# Whoever writes a header chooses how often these are looked at: nobody may keep the gateway busy.
_AUTHORS = 100

# RFC 2046 §5.2.2, §5.2.3: a reader puts these together himself, with a header that is not ours.
_PUT_TOGETHER = ("message/partial", "message/external-body")
_WHOLE_MAILS = ("message/rfc822", "message/global", "message/news")

# Octets of all these together, and of types with comments or mails in them: a few addresses, and
# their names. To read 50 MB as strictly as this takes half a minute and 4 GB, in which an intake
# answers nobody.
_LONGEST = 200_000
_AUTHORS_FIELDS = frozenset({"from", "sender", "resent-from", "resent-sender"})

_FIRST_WORD = re.compile(rb"[^\s;,]++")
_AROUND_SLASH = re.compile(rb"\s*+/\s*+")
_COMMENT_MARK = re.compile(rb"\\.|[()]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Claim:
    """A field that names an author, and the canonical address in it.

    field: in lower case; with "inner-" before it, of a mail that is the outermost entity itself.
    written: the addr-spec as it stands.
    """

    field: str
    address: str
    written: str


@dataclass(frozen=True, slots=True)
class Authorship:
    """author: canonical address of From. others: Sender, Resent-From, Resent-Sender, in order.

    written: the addr-spec of From as it stands.
    """

    author: str
    others: tuple[Claim, ...]
    written: str


def authorship(message: Message) -> Authorship:
    """Read the author and all who stand for him. Raises HeaderAmbiguous.

    From, exactly one address; Sender, at most one field with one address; each Resent-From (one or
    more) and Resent-Sender (one). No groups: a name without an address is what RFC 6854 made them
    for, and that is nobody one can sign for. A mail whose outermost entity is another mail
    (RFC 8551 §3.1: readers show the inner header as the signed one) is held to both headers.
    """
    own, *more = _claims(message, "")
    inner = message
    for _ in range(_SHELLS):
        kind = _outermost(inner)
        if kind in _PUT_TOGETHER:
            raise HeaderAmbiguous("content-type", "a mail may not be sent as {text}", kind)
        if kind not in _WHOLE_MAILS:
            return Authorship(own.address, tuple(more), own.written)
        inner = split(_inside(inner))
        more += _claims(inner, "inner-")
    raise HeaderAmbiguous("content-type", "mails are nested too deeply at the root of this one")


def _claims(message: Message, prefix: str) -> list[Claim]:
    """From first, then the others in the order they stand."""
    room = _LONGEST
    for field in message.fields:
        if field.name in _AUTHORS_FIELDS or (field.name == "content-type" and _is_odd(field.value)):
            room -= len(field.raw)
            if room < 0:
                raise HeaderAmbiguous(field.name, "the header field {field} is too long")
    found = from_addresses(message, groups=False)
    if len(found) != 1:
        raise HeaderAmbiguous(
            "from", "exactly one From address is required, found {text}", str(len(found))
        )
    claims: list[Claim] = []
    names = [field.name for field in message.fields]
    if names.count("sender") > 1:
        raise HeaderAmbiguous("sender", "there is more than one header field {field}")
    for field in message.fields:
        if field.name == "from":
            claims.append(_claim(field, found[0], prefix))
            _no_other_address(field, found)
        elif field.name in ("sender", "resent-from", "resent-sender"):
            claims += _claims_of(field, prefix)
            if len(claims) > _AUTHORS + 1:  # and From
                raise _too_many(field.name)
    claims.sort(key=lambda claim: claim.field != f"{prefix}from")  # stable
    return claims


def _claims_of(field: Field, prefix: str) -> Iterator[Claim]:
    named = addresses(Message(b"", (field,), memoryview(b"")), field.name, groups=False)
    if not named or (len(named) > 1 and field.name != "resent-from"):
        raise HeaderAmbiguous(
            field.name, "the header field {field} must have one address, found {text}",
            str(len(named)),
        )  # fmt: skip
    if len(named) > _AUTHORS:
        raise _too_many(field.name)
    _no_other_address(field, named)
    for address in named:
        yield _claim(field, address, prefix)


def _too_many(name: str) -> HeaderAmbiguous:
    return HeaderAmbiguous(
        name, "the header names more than {text} authors and senders", str(_AUTHORS)
    )


def _claim(field: Field, address: str, prefix: str) -> Claim:
    try:
        return Claim(prefix + field.name, canonical(address), address)
    except AddressError:
        raise HeaderAmbiguous(
            field.name, "the header field {field} has an address that has no one form"
        ) from None


def _no_other_address(field: Field, named: list[str]) -> None:
    """Many readers show the display name alone: an address of somebody else there is a mask.

    Counted in what a reader sees, encoded words decoded and look-alikes of @ taken for it.
    """
    shown = each_normal("NFKC", decode_words(field.value)).casefold()
    if "=?" in shown:
        # None for us: it has a tab or no end, or names no charset. Some readers decode it.
        raise HeaderAmbiguous(
            field.name, "the header field {field} has an encoded word that not all readers read"
        )
    if shown.count("@") == len(named):
        return
    if any(address.count("@") != 1 for address in named):
        raise HeaderAmbiguous(
            field.name, "the header field {field} has an @ inside quotes, which readers see apart"
        )
    for address in named:
        shown = shown.replace(each_normal("NFKC", address).casefold(), "")
    if "@" in shown:
        raise HeaderAmbiguous(
            field.name, "the header field {field} shows another address beside the real one"
        )


def _outermost(message: Message) -> str:
    """The media type of the mail as the most generous reader takes it; "" for an ordinary one."""
    for field in message.fields:
        if field.name == "content-type":
            for read in _media_types(field.value):
                kind = read.lower().decode("ascii", "replace")
                if kind in _PUT_TOGETHER or kind in _WHOLE_MAILS:
                    return kind
    return ""


def _media_types(value: bytes) -> Iterator[bytes]:
    """Every way in which we know a reader to find the media type in a Content-Type field."""
    if not _is_odd(value):
        return  # as nearly always
    # By the grammar (RFC 2045 §5.1), white space and comments where they may stand.
    bare = _without_comments(value)
    yield b"".join(bare.partition(b";")[0].split())
    # What follows it left out, whatever it is.
    yield from _FIRST_WORD.findall(_AROUND_SLASH.sub(b"/", bare))[:1]
    # Thunderbird: up to the first blank, comma or semicolon, and comments are nothing to it.
    yield from _FIRST_WORD.findall(value)[:1]


def _is_odd(value: bytes) -> bool:
    """Whether a Content-Type may be of a mail inside this one, for some reader."""
    return b"(" in value or b"message" in b"".join(value.split()).lower()


def _without_comments(value: bytes) -> bytes:
    """Without all that stands between matching parentheses. In one pass: 50,000 nested comments
    taken out one by one would hold up the port for minutes.
    """
    opened: list[int] = []
    spans: list[tuple[int, int]] = []
    for mark in _COMMENT_MARK.finditer(value):
        octets = mark[0]
        if octets == b"(" or (not opened and octets == b"\\("):  # outside, \ means nothing
            opened.append(mark.end() - 1)
        elif octets == b")" and opened:
            start = opened.pop()
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, mark.end()))
    kept, at = [], 0
    for start, end in spans:
        kept.append(value[at:start])
        at = end
    return b"".join((*kept, value[at:]))


def _inside(message: Message) -> bytes:
    """The mail that is the body. RFC 2046 §5.2.1 forbids to encode it; some readers decode it."""
    for field in message.fields:
        if field.name == "content-transfer-encoding":
            encoding = field.value.strip().lower()
            if encoding == b"base64":
                return decode_base64(bytes(message.body))
            if encoding not in (b"7bit", b"8bit", b"binary"):
                raise HeaderAmbiguous(
                    "content-transfer-encoding", "a mail at the root of another may not be encoded"
                )
    return bytes(message.body)
