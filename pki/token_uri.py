"""PKCS#11 URIs (RFC 7512): which key in which token, and where its PIN is.

    pkcs11:token=sceau;object=seal-2026?module-path=/usr/lib/….so&pin-source=file:/etc/sceau/pin

What would choose another key if it were passed over is refused by name; so is `pin-value`, which
every user of the machine could read in the list of processes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from pki.errors import PrivateKeyError, problem
from pki.token_access import TokenAccess

SCHEME = "pkcs11:"

_PATH = ("token", "serial", "object", "id", "type")
_QUERY = ("module-path", "pin-source")
_PERCENT = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class TokenKeyName:
    """A key in a token. label: CKA_LABEL, "" for any; id: CKA_ID, empty for any."""

    access: TokenAccess
    label: str = ""
    id: bytes = b""

    def __str__(self) -> str:
        parts = [f"token {self.access.token}"]
        if self.label:
            parts.append(f"key {self.label}")
        if self.id:
            parts.append(f"id {self.id.hex()}")
        return ", ".join(parts)


def is_token_uri(text: str) -> bool:
    """Whether this is meant as a PKCS#11 URI, not as the name of a file."""
    return text[: len(SCHEME)].lower() == SCHEME


def parse_token_uri(text: str) -> TokenKeyName:
    """The key that a URI names. Raises PrivateKeyError."""
    if not is_token_uri(text):
        raise _refuse("it does not begin with {name}", name=SCHEME)
    path, _, query = text[len(SCHEME) :].partition("?")
    found = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if found.get("type", b"private") != b"private":
        raise _refuse("it names no private key (type)")
    texts = {}
    for name in ("token", "serial", "object", "module-path", "pin-source"):
        try:
            texts[name] = found.get(name, b"").decode("utf-8")
        except UnicodeDecodeError:
            raise _refuse("{name} is not UTF-8", name=name) from None
    for name in ("token", "module-path", "pin-source"):
        if not texts[name]:
            raise _refuse("{names} is missing", names=name)
    source = texts["pin-source"]
    if source.startswith("file:"):
        source = source.removeprefix("file:")
        source = source.removeprefix("//") if source.startswith("///") else source
    if source.startswith("|") or not source:
        raise _refuse("{name} has to name a file", name="pin-source")  # RFC 7512 §6: no commands
    access = TokenAccess(Path(texts["module-path"]), texts["token"], Path(source), texts["serial"])
    return TokenKeyName(access, texts["object"], found.get("id", b""))


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise _refuse(
                "a PIN on the command line can be read by everybody here; put it into a file and "
                "write pin-source=file:…"
            )
        if not equals or name not in known:
            raise _refuse("{name} is not known here", name=name[:60])
        if name in found:  # RFC 7512 §2.3
            raise _refuse("{name} stands in it twice", name=name)
        if not _PERCENT.fullmatch(value):
            raise _refuse("{name} is not percent-encoded", name=name)
        found[name] = unquote_to_bytes(value)
    return found


def _refuse(why: str, /, **facts: str) -> PrivateKeyError:
    return PrivateKeyError(
        problem("structure.key-uri", "the PKCS#11 URI cannot be used: " + why, **facts)
    )
