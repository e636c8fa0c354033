"""Private keys of ours that sign, from PEM, DER and PKCS#12 files.

The bytes of a key never stand in an error, a repr or a log; messages of the crypto library are
not passed on.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from pki.anchors import parse_certificates
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.models import SignatureScheme, Signer

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class KeySigner:
    """`pki.models.Signer` with the key in memory."""

    def __init__(self, key: PrivateKey, certificate: bytes, chain: tuple[bytes, ...] = ()) -> None:
        self._key = key
        self._certificate = certificate
        self._chain = chain
        self._kind = _kind(key)

    def __repr__(self) -> str:
        return f"<KeySigner {self._kind}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer with its key is not pickled")

    @property
    def certificate(self) -> bytes:
        """DER of the signer's certificate."""
        return self._certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the intermediates, issuer of the signer first."""
        return self._chain

    @property
    def kind(self) -> str:
        """ "rsa", "ec" or "ed25519"."""
        return self._kind

    def sign(self, data: bytes, scheme: SignatureScheme, digest: str) -> bytes:
        """Signature over `data`. Raises ValueError if the key cannot do the scheme."""
        algorithm = _DIGESTS.get(digest)
        if algorithm is None:
            raise ValueError(f"unknown digest {digest!r}")
        key = self._key
        if isinstance(key, rsa.RSAPrivateKey):
            if scheme is SignatureScheme.RSA_PKCS1:
                return key.sign(data, padding.PKCS1v15(), algorithm)
            if scheme is SignatureScheme.RSA_PSS:
                salted = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
                return key.sign(data, salted, algorithm)
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            if scheme is SignatureScheme.ED25519:
                return key.sign(data)
        elif scheme is SignatureScheme.ECDSA:
            return key.sign(data, ec.ECDSA(algorithm))
        raise ValueError(f"a key of kind {self._kind} cannot make {scheme.value} signatures")


def _kind(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa"
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "ec"


def load_signer(
    key_path: Path,
    certificate_path: Path | tuple[Path, ...] | None = None,
    password: bytes | None = None,
) -> Signer:
    """A signer from a key file, with its certificate.

    key_path: PEM (may hold certificates too), DER (PKCS#8 or traditional) or PKCS#12.
    certificate_path: PEM or DER, one file or several, in any order; not needed when key_path
        holds the certificate.
    Raises PrivateKeyError.
    """
    name = str(key_path)
    data = _read(key_path)
    if b"-----BEGIN " in data:
        key = _pem_key(name, data, password)
        certificates = _certificates_beside(data)
    else:
        key, certificates = _der_key(name, data, password)
    paths = (certificate_path,) if isinstance(certificate_path, Path) else certificate_path or ()
    for path in paths:
        extra = _read(path)
        try:
            certificates = (*parse_certificates(extra), *certificates)
        except ValueError as error:
            raise _bad(str(path), "it is not a certificate in PEM or DER") from error
    return make_signer(name, key, certificates)


def load_p12(
    data: bytes, password: bytes | None, name: str
) -> tuple[PrivateKey, tuple[bytes, ...]]:
    """Key and certificates of a PKCS#12. Raises PrivateKeyError."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower() or "mac" in str(error).lower():
            raise _wrong_password(name, password) from None
        raise _bad(name, "it is neither a private key nor a PKCS#12 file") from None
    certificates = [certificate, *others]
    ders = tuple(cert.public_bytes(Encoding.DER) for cert in certificates if cert is not None)
    if key is None:
        raise _bad(name, "the PKCS#12 file holds no private key")
    return usable_key(name, key), ders


def make_signer(name: str, key: PrivateKey, certificates: tuple[bytes, ...]) -> Signer:
    """A signer of a key and the certificate among `certificates` that belongs to it.

    name: what to call the file in errors. Raises PrivateKeyError.
    """
    if not certificates:
        raise _bad(name, "there is no certificate for the key; name the file that holds it")
    try:
        parsed = [ParsedCertificate(der) for der in dict.fromkeys(certificates)]
    except CertificateRefused as error:
        raise PrivateKeyError(error.problem) from error
    public = key.public_key()
    own = next((cert for cert in parsed if cert.public_key == public), None)
    if own is None:
        raise PrivateKeyError(
            problem(
                "structure.key-mismatch",
                "the key in {file} does not belong to the certificate of {subject}",
                file=name,
                subject=parsed[0].subject_text,
            )
        )
    return KeySigner(key, own.der, _chain(own, parsed))


def _chain(own: ParsedCertificate, certs: list[ParsedCertificate]) -> tuple[bytes, ...]:
    """Issuers among `certs`, issuer of `own` first; self-signed roots are not sent along."""
    chain: list[ParsedCertificate] = []
    current = own
    while True:
        following = next(
            (
                cert
                for cert in certs
                if cert.subject == current.issuer
                and not cert.self_issued
                and cert not in chain
                and cert is not own
                and current.signed_by(cert)
            ),
            None,
        )
        if following is None:
            return tuple(cert.der for cert in chain)
        chain.append(following)
        current = following


def _pem_key(name: str, data: bytes, password: bytes | None) -> PrivateKey:
    if b"PRIVATE KEY-----" not in data:
        raise _bad(name, "it holds no private key")
    start = data.index(b"-----BEGIN ", _before_key(data))
    try:
        return usable_key(name, load_pem_private_key(data[start:], password))
    except TypeError:
        if password is None:
            raise _bad(name, "the key is encrypted; give its password") from None
        # A password for a key that has none: it was meant for nothing, and the key is readable.
        try:
            return usable_key(name, load_pem_private_key(data[start:], None))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _bad(name, "the private key cannot be read") from None
    except ValueError:
        if password is not None and b"ENCRYPTED" in data:
            raise _wrong_password(name, password) from None
        raise _bad(name, "the private key cannot be read") from None
    except UnsupportedAlgorithm:
        raise _bad(name, "the private key is of an unknown kind") from None


def _before_key(data: bytes) -> int:
    """Where the line that begins the key starts; certificates may stand before it."""
    return data.rindex(b"-----BEGIN ", 0, data.index(b"PRIVATE KEY-----"))


def _certificates_beside(data: bytes) -> tuple[bytes, ...]:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return ()
    return tuple(cert.public_bytes(Encoding.DER) for cert in x509.load_pem_x509_certificates(data))


def _der_key(
    name: str, data: bytes, password: bytes | None
) -> tuple[PrivateKey, tuple[bytes, ...]]:
    try:
        return usable_key(name, load_der_private_key(data, None)), ()
    except TypeError:
        if password is None:
            raise _bad(name, "the key is encrypted; give its password") from None
    except (ValueError, UnsupportedAlgorithm):
        return load_p12(data, password, name)
    try:
        return usable_key(name, load_der_private_key(data, password)), ()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong_password(name, password) from None


def usable_key(name: str, key: object) -> PrivateKey:
    """`key`, if it is of a kind that can sign here. Raises PrivateKeyError."""
    if isinstance(key, PrivateKey):
        return key
    raise _bad(name, "only RSA, elliptic curve and Ed25519 keys can sign here")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PrivateKeyError(
            problem(
                "structure.file",
                "{file} cannot be read: {why}",
                file=str(path),
                why=error.strerror or type(error).__name__,
            )
        ) from error


def _wrong_password(name: str, password: bytes | None) -> PrivateKeyError:
    if password is None:
        return _bad(name, "it is protected by a password, and none is given")
    return PrivateKeyError(
        problem("decrypt.password", "the password for {file} is wrong", file=name)
    )


def _bad(name: str, why: str) -> PrivateKeyError:
    return PrivateKeyError(problem("structure.key", "{file} cannot be used: " + why, file=name))
