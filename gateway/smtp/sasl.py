"""SASL mechanisms of SMTP AUTH (RFC 4954), as data: PLAIN (RFC 4616) and LOGIN. Pure.

A mechanism is a generator: it yields challenges, is sent responses, and returns Credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

Exchange = Generator[bytes, bytes, "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client says it is and knows. Nothing of it is proved."""

    login: str
    password: str = field(repr=False)


class SaslFault(ValueError):
    """A response that the mechanism does not allow."""


def _plain() -> Exchange:
    message = yield b""
    # RFC 4616 §2: [authzid] NUL authcid NUL passwd
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise SaslFault("PLAIN takes authzid NUL authcid NUL password")
    authzid, login, password = (_text(part) for part in parts)
    if authzid and authzid != login:
        # To act as somebody else is what no rule here gives.
        raise SaslFault("acting as somebody else is not possible")
    return Credentials(login, password)


def _login() -> Exchange:
    # draft-murchison-sasl-login-00: never a standard, and what Outlook speaks. An initial
    # response is the user name.
    login = yield b"Username:"
    password = yield b"Password:"
    return Credentials(_text(login), _text(password))


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslFault("names and passwords are UTF-8") from None


# Both show the password to us, so both are for TLS only.
MECHANISMS: Mapping[str, Callable[[], Exchange]] = {"PLAIN": _plain, "LOGIN": _login}
