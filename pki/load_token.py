"""Signers and decrypters for keys in PKCS#11 tokens, with the certificates that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

from pki.certificate import ParsedCertificate
from pki.decrypter import Decrypter
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.keys import chain_to
from pki.load_decrypter import public_key_of
from pki.token_decrypter import TokenDecrypter
from pki.token_objects import TokenKey
from pki.token_sessions import Tokens
from pki.token_signer import TokenSigner
from pki.token_uri import TokenKeyName


def load_token_signer(
    tokens: Tokens, name: TokenKeyName, certificates: Sequence[bytes] = ()
) -> TokenSigner:
    """A signer for a key in a token.

    certificates: DER; that of the key, and intermediates. Where it is not among them it is looked
    for in the token, under the id of the key. Whether it is the key's is tried out by a signature.
    Raises PrivateKeyError, TokenTrouble.
    """
    key = TokenKey(tokens.at(name.access), name)
    public = key.public_key()
    parsed = [_parsed(der) for der in dict.fromkeys((*certificates, *key.certificates()))]
    own = next((one for one in parsed if one.public_key == public), None)
    if own is None:
        raise PrivateKeyError(
            problem(
                "structure.key-mismatch",
                "the key in {file} does not belong to the certificate of {subject}",
                file=str(name),
                subject=parsed[0].subject_text,
            )
            if parsed
            else problem(
                "structure.key",
                "there is no certificate for the key {file}; name the file that holds it",
                file=str(name),
            )
        )
    signer = TokenSigner(key, own.der, chain_to(own, parsed))
    signer.prove()
    return signer


def load_token_decrypters(
    tokens: Tokens, name: TokenKeyName, certificates: Sequence[bytes] = ()
) -> tuple[Decrypter, ...]:
    """The key in a token, once for each of its certificates, or once without any.

    Raises PrivateKeyError (a kind of key that opens nothing), TokenTrouble.
    """
    key = TokenKey(tokens.at(name.access), name)
    public = key.public_key()
    own = [
        der
        for der in dict.fromkeys((*certificates, *key.certificates()))
        if public_key_of(der) == public
    ]
    return tuple(TokenDecrypter(key, public, der) for der in own) or (TokenDecrypter(key, public),)


def _parsed(der: bytes) -> ParsedCertificate:
    try:
        return ParsedCertificate(der)
    except CertificateRefused as error:
        raise PrivateKeyError(error.problem) from error
