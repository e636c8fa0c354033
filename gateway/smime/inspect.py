"""What a message is made of, as far as it shows without keys. Nothing is verified here."""

from __future__ import annotations

from typing import Any


class Inspection:
    """Layers from the outside in, and problems. `as_dict()` is the JSON of `smime inspect`."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        raise NotImplementedError


def inspect(data: bytes) -> Inspection:
    """Look into a mail, a MIME entity, or bare CMS (DER, BER, PEM)."""
    raise NotImplementedError
