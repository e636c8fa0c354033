"""What a message is made of, as far as it shows without keys. Nothing is verified here.

Like every reader of ours it follows the MIME root only: an S/MIME part inside other parts is
somebody's attachment, and to look into it invites messages that are wrapped in others' text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.mime.entity import Message, split, with_crlf
from gateway.mime.parameters import content_type
from gateway.smime.reading import Layer, describe
from gateway.smime.root import Broken, ClearSigned, Opaque, bare_cms, root_of
from pki.errors import Problem, StructureRefused

LAYER_LIMIT = 10  # as deep as RFC 2634 triple wrapping in a gateway's wrapping, and some


@dataclass(frozen=True, slots=True)
class Inspection:
    """Layers from the outside in, and what could not be read.

    inner: media type inside the last layer that could be opened ("text/plain"), or "".
    """

    size: int
    layers: tuple[Layer, ...]
    inner: str
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: `layers` (`kind` and facts), `inner`, `verified` (always false)."""
        return {
            "size": self.size,
            "verified": False,
            "layers": [{"kind": layer.kind, **layer.facts} for layer in self.layers],
            "inner": self.inner,
            "problems": [{"code": one.code, "text": one.text} for one in self.problems],
        }


def inspect(data: bytes) -> Inspection:
    """Look into a mail, a MIME entity, or bare CMS (DER, BER, PEM). Never raises for its content.

    Ends at the first layer that needs a key, at content that is no S/MIME, or at a problem
    (codes structure.…, limits.…).
    """
    layers: list[Layer] = []
    problems: list[Problem] = []
    inner = ""
    bare = bare_cms(data)
    content: bytes | None = data if bare is None else None
    try:
        if bare is not None:
            layers.append(describe(bare))
            content = layers[-1].content
        while content is not None:
            if len(layers) >= LAYER_LIMIT:
                raise StructureRefused(
                    "limits.layers", "more than {limit} layers", limit=LAYER_LIMIT
                )
            message = split(with_crlf(content))
            if not layers and (not message.fields or not message.fields[0].name):
                raise StructureRefused("structure.header", "neither a mail nor a CMS structure")
            kind = content_type(message.fields)
            inner = f"{kind.main}/{kind.sub}"
            found = _layer(message)
            if found is None:
                break
            layer, content = found
            layers.append(layer)
            inner = ""
    except StructureRefused as error:
        problems.append(error.problem)
    return Inspection(len(data), tuple(layers), inner, tuple(problems))


def _layer(message: Message) -> tuple[Layer, bytes | None] | None:
    """The S/MIME layer that a MIME entity is, and the entity inside; None if it is none.

    As verification takes it: what is said here to be no S/MIME must not be verified there.
    """
    root = root_of(message)
    parameters = content_type(message.fields).parameters
    match root:
        case Opaque():
            layer = describe(root.cms)
            return _labelled(layer, parameters, "smime-type"), layer.content
        case ClearSigned():
            return _labelled(describe(root.cms), parameters, "micalg"), root.content
        case Broken(found):
            raise StructureRefused(found.code, found.template, **found.facts)
    return None


def _labelled(layer: Layer, parameters: Mapping[str, bytes], name: str) -> Layer:
    """With what the Content-Type says of it."""
    said = parameters.get(name, b"").decode("ascii", "replace")
    return Layer(layer.kind, {name.replace("-", "_"): said, **layer.facts}, layer.content)
