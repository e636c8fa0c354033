"""Creating a key pair in a PKCS#11 token: the private half never is anywhere else."""

from __future__ import annotations

import os
from typing import Any

from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11 import exceptions as errors

from pki.errors import PrivateKeyError, problem
from pki.token_objects import TokenKey
from pki.token_sessions import OpenSession, Tokens
from pki.token_uri import TokenKeyName

# CKA_EC_PARAMS: an object identifier; for Ed25519 some tokens want the name (PKCS#11 v3.0 §2.3.3).
_CURVES = {
    "p-256": (bytes.fromhex("06082a8648ce3d030107"),),
    "p-384": (bytes.fromhex("06052b81040022"),),
    "ed25519": (bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519"),
}
_RSA = {"rsa-3072": 3072, "rsa-4096": 4096}
TOKEN_KINDS = (*_RSA, *_CURVES)


def create_in_token(
    tokens: Tokens, name: TokenKeyName, kind: str, *, signs: bool, opens: bool
) -> TokenKey:
    """A new key pair of this name; it can be used for what is said here and nothing else.

    kind: one of TOKEN_KINDS. Raises PrivateKeyError (no label, a key of this label exists), and
    TokenTrouble.
    """
    if not name.label:
        raise PrivateKeyError(
            problem("structure.key-uri", "the new key needs a name: write object=… in the URI")
        )
    sessions = tokens.at(name.access)
    key = TokenKey(sessions, name)
    identifier = name.id or os.urandom(16)

    def create(session: OpenSession) -> None:
        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: name.label}
        if any(True for _ in session.raw.get_objects(wanted)):
            raise PrivateKeyError(
                problem("structure.key-known", "the token has this key already: {key}",
                        key=str(name))
            )  # fmt: skip
        writing = session.raw.token.open(rw=True)
        try:
            _generate(writing, kind, name.label, identifier, signs=signs, opens=opens)
        finally:
            writing.close()

    try:
        sessions.run(create)
    except errors.PKCS11Error as error:
        raise key.trouble(error) from None
    return key


def _generate(
    session: Any, kind: str, label: str, identifier: bytes, *, signs: bool, opens: bool
) -> None:
    opening = MechanismFlag.DECRYPT if kind in _RSA else MechanismFlag.DERIVE
    public = MechanismFlag.ENCRYPT if kind in _RSA else MechanismFlag(0)
    capabilities = (MechanismFlag.SIGN | MechanismFlag.VERIFY if signs else MechanismFlag(0)) | (
        opening | public if opens else MechanismFlag(0)
    )
    about: dict[str, Any] = {
        "id": identifier,
        "label": label,
        "store": True,
        "capabilities": capabilities,
        "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    }
    if kind in _RSA:
        session.generate_keypair(KeyType.RSA, _RSA[kind], **about)
        return
    family = KeyType.EC_EDWARDS if kind == "ed25519" else KeyType.EC
    *others, last = _CURVES[kind]
    for named in others:
        try:
            _on_curve(session, family, named, about)
        except errors.PKCS11Error:
            continue
        return
    _on_curve(session, family, last, about)


def _on_curve(session: Any, family: KeyType, named: bytes, about: dict[str, Any]) -> None:
    curve = session.create_domain_parameters(family, {Attribute.EC_PARAMS: named}, local=True)
    curve.generate_keypair(**about)
