"""What a person should know of a header that is protected with the content (RFC 9788). Pure.

The signature covers the inner fields; the outer ones are whatever the last server wrote. Who
forwards a signed mail to somebody else as if it were meant for him (threat S14), or adds himself to
those who get the answer, must change them. That makes no signature wrong, so it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.mime.entity import Message
from gateway.mime.parameters import ContentType
from gateway.mime.protection import SHOWN, Difference, Intent, Kind, Protection, protection_of
from gateway.mime.words import decode_words
from gateway.smime.verdicts import LayerReport
from pki.errors import Problem, problem

_LONGEST = 200  # characters of a value in a sentence


def protected_header(
    payload: Message, kind: ContentType, outer: Message, layers: Sequence[LayerReport]
) -> tuple[Protection, tuple[Problem, ...]]:
    """What the content inside all layers protects of the header, and what to say of it.

    Nothing is protected where nothing was signed or encrypted. A whole mail inside that nobody
    marked as header protection may be a forwarded one: no difference is remarked on.
    kind: the media type of the payload.
    """
    if all(layer.kind == "compressed" for layer in layers):
        return Protection(), ()
    found = protection_of(payload, outer.fields, kind)
    return found, (*found.problems, *_remarks(found, layers))


def hidden_fields(found: Protection) -> list[tuple[str, str]]:
    """Name and value, for people, of the fields that stand inside only and that programs show."""
    hidden = {one.name: one.inner for one in found.differences if one.kind is Kind.HIDDEN}
    return [(name, _said(values)) for name, values in hidden.items() if name in SHOWN]


def _remarks(found: Protection, layers: Sequence[LayerReport]) -> Iterator[Problem]:
    if found.intent is Intent.CIPHER and not any("encrypted" in layer.kind for layer in layers):
        yield problem(
            "coverage.not-encrypted",
            "it is not encrypted here, and its author says that he encrypted it",
        )
    if found.stated:
        for one in found.differences:
            if one.name in SHOWN and one.kind is not Kind.HIDDEN:
                yield _difference(one)


def _difference(one: Difference) -> Problem:
    name, inner, outer = one.name, _said(one.inner), _said(one.outer)
    if one.kind is Kind.DIFFERS:
        return problem(
            "coverage.header", "{field} is “{inner}” inside and “{outer}” outside",
            field=name, inner=inner, outer=outer,
        )  # fmt: skip
    if not one.inner:
        return problem(
            "coverage.header", "{field} was added outside, not by the author: “{outer}”",
            field=name, outer=outer,
        )  # fmt: skip
    if not one.outer:
        return problem(
            "coverage.header", "{field} was taken away outside; the author wrote “{inner}”",
            field=name, inner=inner,
        )  # fmt: skip
    return problem(
        "coverage.header", "{field} was changed outside; the author wrote “{inner}”, not “{outer}”",
        field=name, inner=inner, outer=outer,
    )  # fmt: skip


def _said(values: Sequence[bytes]) -> str:
    """Decoded, on one line: encoded words may hold line ends, and a line could look like ours."""
    text = ", ".join(decode_words(value) for value in values)
    return " ".join(text.split())[:_LONGEST]
