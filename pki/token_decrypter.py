"""Opening mail with a key in a PKCS#11 token (HSM): the key never leaves it.

RSAES-OAEP and ECDH are computed by the token (OAEP with parameters that it does not know is decoded
here, `pki.oaep_decoding`). RSA PKCS#1 v1.5 is not: a token says when the padding
is bad, so only the number is asked of it (CKM_RSA_X_509), and `pki.implicit_rejection` decodes. A
token that does not do that is not asked for v1.5 at all, and the mail is refused in words.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism
from pkcs11 import exceptions as errors

from pki.algorithms import describe_key
from pki.decrypter import Asked, CannotDecrypt, Oaep, PeerKey, RsaCiphertext
from pki.errors import TokenTrouble
from pki.implicit_rejection import ImplicitRejection
from pki.oaep_decoding import oaep_message
from pki.token_objects import TokenKey, TokenPublicKey

_HASHES: dict[str, tuple[Mechanism, MGF]] = {
    "sha1": (Mechanism.SHA_1, MGF.SHA1),
    "sha224": (Mechanism.SHA224, MGF.SHA224),
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512),
}
# The token does not do this at all, whatever the ciphertext.
_CANNOT = (
    errors.MechanismInvalid,
    errors.MechanismParamInvalid,
    errors.ArgumentsBad,
    errors.FunctionNotSupported,
    errors.KeyTypeInconsistent,
)


class TokenDecrypter:
    """`pki.decrypter.Decrypter` with the key in a token. Thread-safe.

    Raises TokenTrouble where the token cannot be reached or does not do what is asked at all.
    """

    def __init__(
        self,
        key: TokenKey,
        public: TokenPublicKey,
        certificate: bytes | None = None,
    ) -> None:
        self._key = key
        self._public = public
        self._certificate = certificate
        self._kind = describe_key(public)

    def __repr__(self) -> str:
        return f"<TokenDecrypter {self._key.name}>"

    def __reduce__(self) -> str:
        raise TypeError("a decrypter with its key is not pickled")

    @property
    def certificate(self) -> bytes | None:
        """DER of its certificate."""
        return self._certificate

    @property
    def kind(self) -> tuple[str, int]:
        """Name and size as in `pki.algorithms`."""
        return self._kind

    @property
    def pkcs1(self) -> bool:
        """Whether RSA PKCS#1 v1.5 may be tried with it. Raises TokenTrouble."""
        return self._kind[0] == "rsa" and self._rejection is not None

    def secret(self, asked: Asked) -> bytes:
        """See `Decrypter.secret`. Raises TokenTrouble, too."""
        match asked, self._public:
            case RsaCiphertext(), rsa.RSAPublicKey():
                if asked.oaep is not None:
                    return self._oaep(asked.octets, asked.oaep)
                return self._pkcs1(asked.octets)
            case PeerKey(), ec.EllipticCurvePublicKey():
                return self._agree(asked.octets, self._public.curve)
        raise ValueError(f"a key of kind {self._kind[0]} is not for this")

    # -- RSA -----------------------------------------------------------------------------------

    def _oaep(self, octets: bytes, oaep: Oaep) -> bytes:
        param = (_HASHES[oaep.digest][0], _HASHES[oaep.mask][1], oaep.label or None)
        try:
            return self._ask(
                lambda key: bytes(
                    key.decrypt(octets, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=param)
                )
            )
        except _CannotError:
            if self._rejection is None:
                raise
        # These parameters the token does not know (SoftHSM: SHA-1 alone), but the number it gives.
        return oaep_message(self._number(octets, self._checked_size(octets)), oaep)

    def _pkcs1(self, octets: bytes) -> bytes:
        if not self.pkcs1 or self._rejection is None:
            raise CannotDecrypt
        size = self._checked_size(octets)
        return self._rejection.message(self._number(octets, size), octets)

    def _checked_size(self, octets: bytes) -> int:
        """Octets of the modulus. Raises CannotDecrypt for what can be seen without the key: another
        length, a number that is not below the modulus (RFC 8017 §7.2.2 step 1, §5.1.2 step 1).
        """
        assert isinstance(self._public, rsa.RSAPublicKey)
        modulus = self._public.public_numbers().n
        size = (modulus.bit_length() + 7) // 8
        if len(octets) != size or int.from_bytes(octets, "big") >= modulus:
            raise CannotDecrypt
        return size

    def _number(self, octets: bytes, size: int) -> bytes:
        return self._ask(
            lambda key: bytes(key.decrypt(octets, mechanism=Mechanism.RSA_X_509)).rjust(size, b"\0")
        )

    @cached_property
    def _rejection(self) -> ImplicitRejection | None:
        """Decodes v1.5; None where the token does not give the bare number.

        The secret is what the key makes of a number that follows from its own public key: the
        owner of the key alone can compute it, and gets the same in every process and in every copy
        of the token, without a file to keep. Raises TokenTrouble.
        """
        assert isinstance(self._public, rsa.RSAPublicKey)
        numbers = self._public.public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        spki = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        start = hashlib.shake_256(b"sceau/implicit-rejection-secret/1\0" + spki).digest(size)
        fixed = (int.from_bytes(start, "big") % numbers.n).to_bytes(size, "big")
        probe = pow(2, numbers.e, numbers.n).to_bytes(size, "big")
        try:
            if self._number(probe, size) != (2).to_bytes(size, "big"):
                return None
            secret = hashlib.sha256(self._number(fixed, size)).digest()
        except (CannotDecrypt, _CannotError):
            return None
        return ImplicitRejection(size, secret)

    # -- key agreement -------------------------------------------------------------------------

    def _agree(self, octets: bytes, curve: ec.EllipticCurve) -> bytes:
        try:
            # Looked at here: a point that is not on the curve would give the key away (K4), and
            # not every token looks.
            peer = ec.EllipticCurvePublicKey.from_encoded_point(curve, octets)
        except ValueError:
            raise CannotDecrypt from None
        point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        size = (curve.key_size + 7) // 8
        template = {
            Attribute.TOKEN: False,
            Attribute.SENSITIVE: False,
            Attribute.EXTRACTABLE: True,
        }

        def derive(key: Any) -> bytes:
            shared = key.derive_key(
                KeyType.GENERIC_SECRET,
                size * 8,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template=template,
            )
            try:
                return bytes(shared[Attribute.VALUE])
            finally:
                shared.destroy()

        return self._ask(derive)

    def _ask(self, act: Any) -> bytes:
        """Raises CannotDecrypt, whatever the token has against the octets; TokenTrouble."""
        try:
            return bytes(self._key.run(act))
        except _CANNOT as error:
            raise _CannotError(self._key.trouble(error).problem) from None
        except errors.PKCS11Error:
            raise CannotDecrypt from None


class _CannotError(TokenTrouble):
    """The token answers, and does not do this with the key."""
