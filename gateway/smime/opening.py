"""A mail opened with keys, layer by layer, from the MIME root only (RFC 8551 §3.3). Pure.

Nothing is verified. An encrypted part inside other parts stays what it is: to open it is what the
sender of the parts around it waits for (threats S2, S3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.mime.entity import split, with_crlf
from gateway.smime import algorithms, cms
from gateway.smime.cms import ContentInfo, content_info
from gateway.smime.compressed import read_compressed
from gateway.smime.decrypt import DecryptRefused, Opened
from gateway.smime.layers import COMPRESSED_LIMIT, ENCRYPTED, LAYER_LIMIT, too_often_compressed
from gateway.smime.root import ClearSigned, Opaque, bare_cms, root_of
from gateway.smime.signed import read_signed
from pki.errors import StructureRefused, problem

_LOOK = 1 << 16  # octets in which a first header field can be seen

OpenLayer = Callable[[ContentInfo], Opened]


@dataclass(frozen=True, slots=True)
class OpenedMail:
    """content: what was inside the last layer opened, octet for octet. layers: outermost first."""

    content: bytes
    layers: tuple[Opened, ...]


def open_mail(data: bytes, open_layer: OpenLayer, *, every: bool = False) -> OpenedMail:
    """Open the outermost layer of a mail, a MIME entity or bare CMS; or all encrypted ones.

    every: on through what was opened, and through signatures between encrypted layers, which are
    not checked, until nothing encrypted is left. What was compressed comes out as it was before; a
    signature inside all encryption stays, with what is inside it.
    Raises StructureRefused; DecryptRefused: as `open_layer`, and `decrypt.not-encrypted`.
    """
    cms_only = bare_cms(data)
    if cms_only is None:
        _check_header(data)
    inside: bytes | ContentInfo | None = data if cms_only is None else content_info(cms_only)
    del data, cms_only  # a mail of 100 MB is not kept beside what is inside it
    opened: list[Opened] = []
    content = b""
    compressed, bare = 0, False  # bare: no signature since the last encryption
    for _ in range(LAYER_LIMIT):
        # One name for all of it: a layer of 100 MB is not kept beside what was in it.
        if isinstance(inside, bytes):
            inside = _root(inside)
        if isinstance(inside, bytes) and every:
            bare = False  # clear-signed
        elif inside is None or isinstance(inside, bytes):
            break
        elif inside.type == algorithms.SIGNED_DATA and every:
            bare = False
            inside = _signed(inside)
        elif inside.type == algorithms.COMPRESSED_DATA and every:
            if compressed == COMPRESSED_LIMIT:
                raise too_often_compressed()
            compressed += 1
            inflated = read_compressed(inside.content)
            inside = _of_type(inflated.type, inflated.content)
            if bare:
                content = inflated.content
        elif inside.type in ENCRYPTED:
            opened.append(open_layer(inside))
            content, bare = opened[-1].content, True
            if not every:
                break
            inside = _of_type(opened[-1].content_type, content)
        else:
            break
    else:
        raise StructureRefused("limits.layers", "more than {limit} layers", limit=LAYER_LIMIT)
    if not opened:
        raise DecryptRefused(problem("decrypt.not-encrypted", "it is not encrypted"))
    return OpenedMail(content, tuple(opened))


def _check_header(data: bytes) -> None:
    """That a file begins like a mail. Raises StructureRefused."""
    fields = split(with_crlf(data[:_LOOK])).fields
    if not fields or not fields[0].name:
        raise StructureRefused("structure.header", "neither a mail nor a CMS structure")


def _root(entity: bytes) -> bytes | ContentInfo | None:
    """The layer that an entity is; the entity inside it where it is clear-signed."""
    root = root_of(split(with_crlf(entity)))
    if isinstance(root, Opaque):
        return content_info(root.cms)
    return root.content if isinstance(root, ClearSigned) else None


def _signed(info: ContentInfo) -> bytes | ContentInfo | None:
    data = read_signed(info.content)
    return None if data.content is None else _of_type(data.content_type, data.content)


def _of_type(content_type: str, content: bytes) -> bytes | ContentInfo | None:
    """What content is: an entity, or CMS without MIME around it."""
    if content_type == algorithms.DATA:
        return content
    if content_type in (algorithms.SIGNED_DATA, algorithms.COMPRESSED_DATA, *ENCRYPTED):
        return ContentInfo(content_type, cms.read(content))
    return None
