"""The keys of the organisation's seals: in files, or in PKCS#11 tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.config.pki_sections import Seal, TokenKey
from gateway.passwords import secret
from pki.anchors import load_certificates
from pki.keys import load_signer
from pki.models import Signer
from pki.token_access import TokenAccess
from pki.token_uri import TokenKeyName

if TYPE_CHECKING:
    from pki.token_sessions import Tokens


def open_seal(section: Seal, tokens: Callable[[], Tokens]) -> Signer:
    """The signer of a seal; a token is asked for a signature, so that it is known to give one.

    tokens: those that this process uses. Raises PrivateKeyError, TokenTrouble.
    """
    if not isinstance(section.key, TokenKey):
        password = secret(section.password_file) if section.password_file else None
        return load_signer(section.key, section.certificate, password)
    from pki.load_token import load_token_signer  # loads PKCS#11, which files never need

    key = section.key
    name = TokenKeyName(TokenAccess(key.module, key.token, key.pin_file), key.key)
    certificates = load_certificates(section.certificate) if section.certificate else ()
    return load_token_signer(tokens(), name, certificates)
