"""A message opened layer by layer from the outside in, and what it is worth (RFC 8551). Pure.

Only the MIME root is followed: what stands inside other parts is an attachment, whoever signed or
encrypted it (threats S2, S7, S9). The worst status of all layers and signers counts, so that no
outer signature hides a bad inner one (S16).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from gateway.mime.dates import read_date
from gateway.mime.entity import Message, split, with_crlf
from gateway.mime.parameters import ContentType, content_type
from gateway.mime.protection import Protection
from gateway.smime import algorithms, cms
from gateway.smime.cms import ContentInfo, content_info
from gateway.smime.compressed import read_compressed
from gateway.smime.coverage import has_signed_part, outside_problem
from gateway.smime.decrypt import Opened
from gateway.smime.identity import Author, author_of, inner_problem
from gateway.smime.protected_header import protected_header
from gateway.smime.root import Broken, ClearSigned, Opaque, Root, bare_cms, root_of
from gateway.smime.signed import SignedData, read_signed
from gateway.smime.verdicts import (
    Findings,
    LayerReport,
    SignerReport,
    Status,
    Verification,
    worst,
)
from gateway.smime.verify import Rules, verify_signed
from pki.errors import Problem, StructureRefused, minute, problem

LAYER_LIMIT = 10  # as deep as RFC 2634 triple wrapping in a gateway's wrapping, and some
COMPRESSED_LIMIT = 3  # each may be a hundred times as large as the one around it (L10)

DIGESTED_DATA = "1.2.840.113549.1.7.5"
RECEIPT = "1.2.840.113549.1.9.16.1.1"  # RFC 2634 §2.8: signed, and no mail
ENCRYPTED = {
    algorithms.ENVELOPED_DATA: "encrypted",
    algorithms.AUTH_ENVELOPED_DATA: "auth-encrypted",
}
_NESTED = (algorithms.SIGNED_DATA, algorithms.COMPRESSED_DATA, *ENCRYPTED)
# A claimed time so far from Date is worth a remark (S11); nothing is ever checked at either.
_CLAIM = timedelta(hours=24)

OpenLayer = Callable[[ContentInfo], bytes | Opened | Problem]
"""Gives what is inside an EnvelopedData or AuthEnvelopedData, or why it cannot be opened.

Of `Opened` it is said, too, what was opened as old evidence only.
"""


def verify(data: bytes, rules: Rules, *, open_layer: OpenLayer | None = None) -> Verification:
    """Verify a mail, a MIME entity, or bare CMS (DER, BER, PEM). Never raises for its content.

    open_layer: opens encrypted layers; without it they end the walk, and nobody can tell what is
    inside.
    """
    bare = bare_cms(data)
    message = split(b"" if bare is not None else with_crlf(data))
    author = author_of(message)
    walk = _Walk(rules, author, open_layer)
    if bare is None and (not message.fields or not message.fields[0].name):
        walk.whole.add(
            problem("structure.header", "neither a mail nor a CMS structure"),
            status=Status.MALFORMED,
        )
    else:
        try:
            walk.run(message if bare is None else Opaque(bare))
        except StructureRefused as error:
            walk.whole.add(error.problem, status=Status.MALFORMED)
    walk.finish()
    return walk.verification(message)


@dataclass(slots=True)
class _Walk:
    rules: Rules
    author: Author
    open_layer: OpenLayer | None
    whole: Findings = field(default_factory=Findings)
    layers: list[LayerReport] = field(default_factory=list)
    signers: list[SignerReport] = field(default_factory=list)
    payload: Message | None = None
    kind: ContentType = field(default_factory=ContentType)  # of the payload
    legacy: list[Problem] = field(default_factory=list)  # of what was opened
    _ended: bool = False  # at something that nobody can look into

    def run(self, outermost: Message | Opaque) -> None:
        """Open one layer after the other. Raises StructureRefused."""
        inside: Message | Root | ContentInfo | bytes | None = outermost
        while inside is not None:
            # One name for all of it: a layer of 100 MB is not kept beside what was in it.
            if isinstance(inside, bytes):
                inside = split(with_crlf(inside))
            if isinstance(inside, Message):
                inside = self._root(inside)
                continue
            if len(self.layers) == LAYER_LIMIT:
                raise StructureRefused(
                    "limits.layers", "more than {limit} layers", limit=LAYER_LIMIT
                )
            inside = self._layer(inside)

    def _root(self, message: Message) -> Root | None:
        """The layer that an entity is; None for the payload, which is none."""
        kind = content_type(message.fields)
        root = root_of(message, kind)
        if root is None:
            self.payload, self.kind = message, kind
            if not self._signed() and has_signed_part(message):
                self.whole.add(
                    problem(
                        "coverage.part", "only a part of the mail is signed; it was not looked at"
                    ),
                    status=Status.PARTLY_SIGNED,
                )
        return root

    def _layer(self, layer: Root | ContentInfo) -> bytes | ContentInfo | None:
        """Judge one layer; what is inside it, or None where that is the end."""
        if isinstance(layer, Broken):
            self._report("signed", Findings(Status.INVALID, [layer.problem]), opened=False)
            return None
        own = Findings()
        info = layer if isinstance(layer, ContentInfo) else content_info(layer.cms)
        if not isinstance(layer, ContentInfo):
            own.add(layer.coverage, status=Status.PARTLY_SIGNED)
        detached = layer.content if isinstance(layer, ClearSigned) else None
        if info.type == algorithms.SIGNED_DATA:
            return self._signed_layer(read_signed(info.content), detached, own)
        if detached is not None:
            raise StructureRefused(
                "structure.content-type", "the part with the signature holds none ({type})",
                type=info.type,
            )  # fmt: skip
        if info.type in ENCRYPTED:
            return self._encrypted_layer(info, own)
        if info.type == algorithms.COMPRESSED_DATA:
            return self._compressed_layer(info, own)
        # Data and DigestedData say nothing of anybody; what is in others cannot be told.
        nobody = info.type in (algorithms.DATA, DIGESTED_DATA) and not self._signed()
        self.whole.add(
            problem(
                "structure.content-type",
                "a CMS structure of the type {type} is not opened here",
                type=info.type,
            ),
            status=Status.UNSIGNED if nobody else Status.INDETERMINATE,
        )
        return None

    def _signed_layer(
        self, data: SignedData, detached: bytes | None, own: Findings
    ) -> bytes | ContentInfo | None:
        content = data.content if detached is None else detached
        if content is None:
            if not data.signers:  # certificates only (RFC 8551 §3.8)
                self.whole.add(
                    problem("signature.no-signer", "there are certificates and no signature"),
                    status=Status.UNSIGNED,
                )
            else:
                own.add(
                    problem("signature.no-content", "what was signed is not here"),
                    status=Status.INDETERMINATE,
                )
            self._report("signed", own, opened=False)
            return None
        if detached is not None and data.content is not None:
            # Readers differ on which of the two they show (CVE-2018-18509).
            own.add(
                problem("coverage.two-contents", "the signature has a content of its own inside")
            )
        if not data.signers:
            own.add(problem("signature.no-signer", "nobody signed: there is no SignerInfo"))
        if detached is not None and data.content_type != algorithms.DATA:
            # RFC 8551 §3.5.3 has Data there. A receipt repeats what was in its request: somebody
            # could have the text of his choice signed, and show it as a mail.
            own.add(_no_mail(data.content_type))
        self.signers += verify_signed(data, content, self.author, self.rules)
        inside = self._inside(data.content_type, content, own)
        self._report("signed", own, opened=True)
        return inside

    def _inside(
        self, content_type: str, content: bytes, own: Findings
    ) -> bytes | ContentInfo | None:
        """What a content is: a MIME entity, or CMS without MIME around it."""
        if content_type == algorithms.DATA:
            return content
        if content_type in _NESTED:
            return ContentInfo(content_type, cms.read(content))
        if content_type != RECEIPT:
            own.add(_no_mail(content_type))
        return None

    def _compressed_layer(self, info: ContentInfo, own: Findings) -> bytes | ContentInfo | None:
        if sum(layer.kind == "compressed" for layer in self.layers) == COMPRESSED_LIMIT:
            raise too_often_compressed()
        inflated = read_compressed(info.content)
        inside = self._inside(inflated.type, inflated.content, own)
        self._report("compressed", own, opened=True)
        return inside

    def _encrypted_layer(self, info: ContentInfo, own: Findings) -> bytes | None:
        if self.open_layer is None:
            opened: bytes | Opened | Problem = problem(
                "decrypt.no-key", "it is encrypted, and no key was given to open it"
            )
        else:
            opened = self.open_layer(info)
        if isinstance(opened, Problem):
            own.add(opened, status=Status.INDETERMINATE)
            opened_octets = None
        elif isinstance(opened, Opened):
            self.legacy += [one for one in opened.remarks if one.code == "algorithm.legacy"]
            opened_octets = opened.content
        else:
            opened_octets = opened
        self._report(ENCRYPTED[info.type], own, opened=opened_octets is not None)
        return opened_octets

    def _report(self, kind: str, own: Findings, *, opened: bool) -> None:
        self.layers.append(LayerReport(kind, opened, own.status, tuple(own.problems)))
        self._ended = not opened

    def _signed(self) -> bool:
        return any(layer.kind == "signed" for layer in self.layers)

    def finish(self) -> None:
        """What counts for the message as a whole."""
        if not self._signed():
            # Nor in part, whatever readers may take the header around it for.
            self.layers = [
                replace(one, status=Status.UNSIGNED) if one.status is Status.PARTLY_SIGNED else one
                for one in self.layers
            ]
            if not self._ended:
                self.whole.status = worst((self.whole.status, Status.UNSIGNED))
        if self._signed() and self.payload is not None:
            self.whole.add(inner_problem(self.author, self.payload, self.kind))
            self.whole.add(outside_problem(self.payload, self.kind), status=Status.PARTLY_SIGNED)

    def verification(self, message: Message) -> Verification:
        """The verdict: the worst of the message, its layers and its signers."""
        status = worst(
            (
                self.whole.status,
                *(layer.status for layer in self.layers),
                *(signer.status for signer in self.signers),
            )
        )
        problems = [
            *self.whole.problems,
            *(one for layer in self.layers for one in layer.problems),
            *(one for signer in self.signers for one in signer.problems),
        ]
        protection, said = Protection(), tuple[Problem, ...]()
        if self.payload is not None:
            protection, said = protected_header(self.payload, self.kind, message, self.layers)
        return Verification(
            status=status,
            authors=self.author.shown,
            signers=tuple(self.signers),
            layers=tuple(self.layers),
            problems=tuple(_once(problems)),
            remarks=(
                *_claims(message, self.signers),
                *_legacy(self.signers),
                *_once(self.legacy),
                *said,
            ),
            payload=None if self.payload is None else self.payload.raw,
            protection=protection,
        )


def too_often_compressed() -> StructureRefused:
    """That a message has more than COMPRESSED_LIMIT compressed layers."""
    return StructureRefused(
        "limits.compressed", "compressed more than {limit} times", limit=COMPRESSED_LIMIT
    )


def _no_mail(content_type: str) -> Problem:
    return problem(
        "coverage.content-type",
        "what is inside is no mail but of the type {type}",
        type=content_type,
    )


def _once(problems: list[Problem]) -> list[Problem]:
    return list({(one.code, one.text): one for one in problems}.values())


def _claims(message: Message, signers: list[SignerReport]) -> list[Problem]:
    """Claimed times far from that of the mail."""
    if all(signer.signing_time is None for signer in signers):  # as most senders leave it
        return []
    dates = message.all("date")
    date = read_date(dates[0].value) if dates else None
    return [
        problem(
            "identity.signing-time",
            "the signer claims to have signed at {claimed}, and the mail is dated {date}",
            claimed=minute(signer.signing_time),
            date=minute(date),
        )
        for signer in signers
        if date is not None
        and signer.signing_time is not None
        and abs(date - signer.signing_time) > _CLAIM
    ]


def _legacy(signers: list[SignerReport]) -> list[Problem]:
    used = dict.fromkeys(name for signer in signers for name in signer.legacy)
    return [
        problem(
            "algorithm.legacy",
            "{algorithms} are accepted for old evidence only, and prove nothing of today",
            algorithms=", ".join(used),
        )
    ] * bool(used)
