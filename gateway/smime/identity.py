"""Is the signer the one whom the mail says it is from? One canonical rule (threat S8). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.mime import transfer
from gateway.mime.authors import authorship
from gateway.mime.entity import FIELD_LIMIT, Message, split, with_crlf
from gateway.mime.headers import HeaderAmbiguous, from_addresses
from gateway.mime.lines import all_crlf
from gateway.mime.parameters import ContentType, content_type, transfer_encoding
from gateway.smime.verdicts import Match, Role
from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem

DOMAIN_SIGNER = "domain-signing-authority"  # RFC 3183 §2.1.1, before the "@"


@dataclass(frozen=True, slots=True)
class Author:
    """Who the mail says it is from.

    shown: addr-specs of From as they stand. canonical: the one address, where there is exactly
    one; else None, and `problem` says why.
    """

    shown: tuple[str, ...]
    canonical: str | None
    problem: Problem | None


def author_of(message: Message) -> Author:
    """Read From of the outermost header. Sender, Reply-To, Resent-… are not From.

    What readers may understand in several ways (two From fields, addresses in display names,
    groups, lines that are no field…) is nobody, and never a guess. Never raises.
    """
    if not any(field.name == "from" for field in message.fields):
        return Author((), None, problem("identity.from-missing", "there is no From address"))
    if not all_crlf(b"".join([field.raw for field in message.fields])):
        # Readers that end lines at LF alone see more fields than we do, and perhaps another From.
        reason = "the header has a CR or LF that is not part of a CRLF"
        return Author((), None, problem("identity.from-ambiguous", reason))
    try:
        claimed = authorship(_own_fields(message))
    except HeaderAmbiguous as error:
        return _nobody(message, error)
    return Author((claimed.written,), claimed.author, None)


def _nobody(message: Message, why: HeaderAmbiguous) -> Author:
    """What stands in From, where there is no author in it. why: of `authorship`."""
    try:
        shown = tuple(from_addresses(message))
    except HeaderAmbiguous as error:
        return Author((), None, _ambiguous(error))
    if len(shown) != 1:
        return Author(
            shown,
            None,
            problem(
                "identity.from-count",
                "there must be one From address for a signer to be it, not {count}",
                count=str(len(shown)),
            ),
        )
    return Author(shown, None, _ambiguous(why))


def inner_problem(
    author: Author, payload: Message, kind: ContentType | None = None
) -> Problem | None:
    """Why what is inside all layers names another author than From, or None.

    Readers that know header protection (RFC 9788) or RFC 8551 §3.1 show the From of the payload in
    place of the outer one: the signer answers for both, so both must be the same.
    kind: the media type of the payload, where it was read before.
    """
    inner = payload
    kind = kind or content_type(inner.fields)
    if (kind.main, kind.sub) in (("message", "rfc822"), ("message", "global")):
        if kind.parameters.get("forwarded", b"").lower() == b"yes":
            return None  # RFC 8551 §3.1: somebody else's mail, shown as such
        # It may not be encoded (RFC 2046 §5.2.1); some readers decode it all the same.
        inner = split(with_crlf(transfer.decode(inner.body, transfer_encoding(inner.fields))))
    # Behind a bare CR or LF, or too many fields, readers may find a From that is none here.
    whole = len(inner.fields) <= FIELD_LIMIT and all_crlf(
        b"".join(field.raw for field in inner.fields)
    )
    if whole and not any(field.name == "from" for field in inner.fields):
        return None
    within = author_of(inner)
    if within.canonical is not None and within.canonical == author.canonical:
        return None
    return problem(
        "identity.inner-from",
        "the From address inside ({inner}) is not the one outside",
        inner=", ".join(within.shown[:5]) or "?",
    )


def _own_fields(message: Message) -> Message:
    """The header without a body: what is inside of the mail is looked at by `inner_problem`."""
    fields = [field for field in message.fields if not field.name.startswith("content-")]
    return Message(b"", tuple(fields), memoryview(b""))


def _ambiguous(error: HeaderAmbiguous) -> Problem:
    return Problem("identity.from-ambiguous", error.template, dict(error.facts))


@dataclass(frozen=True, slots=True)
class Binding:
    """Of a signer's certificate to the author. problem: why it is none."""

    role: Role
    match: Match
    problem: Problem | None


def bind(
    author: Author, cert: ParsedCertificate, domain_certificates: Iterable[str] = ()
) -> Binding:
    """Compare the author with the addresses in the certificate.

    domain_certificates: SHA-256 of certificates that a person pinned as those of their domains
    (RFC 3183); each counts for the domain in its own name alone.
    """
    emails = cert.addresses.usable
    domains = [
        domain
        for local, _, domain in (address.rpartition("@") for address in emails)
        if local == DOMAIN_SIGNER
    ]
    role = Role.DOMAIN if domains else Role.PERSON if emails else Role.UNKNOWN
    if author.canonical is None:
        return Binding(role, Match.NO, author.problem)
    if author.canonical in emails:
        return Binding(role, Match.EXACT, None)
    if author.canonical.rpartition("@")[2] in domains:
        if cert.sha256 in domain_certificates:
            return Binding(Role.DOMAIN, Match.DOMAIN, None)
        return Binding(
            role,
            Match.NO,
            problem(
                "identity.domain-not-pinned",
                "it is signed by the domain, and its certificate is not pinned for the domain",
            ),
        )
    if not emails:
        return Binding(
            role,
            Match.NO,
            problem(
                "identity.no-address",
                "the certificate of {subject} contains no mail address",
                subject=cert.subject_text,
            ),
        )
    return Binding(
        role,
        Match.NO,
        problem(
            "identity.from-mismatch",
            "the mail is from {author}, and the signer is {signer}",
            author=author.canonical,
            signer=", ".join(emails[:5]),
        ),
    )
