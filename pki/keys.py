"""Private keys of ours that sign, from PEM, DER and PKCS#12 files.

The bytes of a key never stand in an error, a repr or a log; messages of the crypto library are
not passed on.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pki.anchors import parse_certificates
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.key_files import bad_key_file, read_file, read_key_file
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
    found, certificates = read_key_file(key_path, password)
    key = usable_key(name, found)
    paths = (certificate_path,) if isinstance(certificate_path, Path) else certificate_path or ()
    for path in paths:
        extra = read_file(path)
        try:
            certificates = (*parse_certificates(extra), *certificates)
        except ValueError as error:
            raise bad_key_file(str(path), "it is not a certificate in PEM or DER") from error
    return make_signer(name, key, certificates)


def make_signer(name: str, key: PrivateKey, certificates: tuple[bytes, ...]) -> Signer:
    """A signer of a key and the certificate among `certificates` that belongs to it.

    name: what to call the file in errors. Raises PrivateKeyError.
    """
    return KeySigner(key, *certificate_of(name, key.public_key(), certificates))


def certificate_of(
    name: str, public: object, certificates: tuple[bytes, ...]
) -> tuple[bytes, tuple[bytes, ...]]:
    """The certificate of a public key, and its issuers among the others, DER.

    name: what to call the file of the key in errors. Raises PrivateKeyError.
    """
    if not certificates:
        raise bad_key_file(name, "there is no certificate for the key; name the file that holds it")
    try:
        parsed = [ParsedCertificate(der) for der in dict.fromkeys(certificates)]
    except CertificateRefused as error:
        raise PrivateKeyError(error.problem) from error
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
    return own.der, chain_to(own, parsed)


def chain_to(own: ParsedCertificate, certs: list[ParsedCertificate]) -> tuple[bytes, ...]:
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


def usable_key(name: str, key: object) -> PrivateKey:
    """`key`, if it is of a kind that can sign here. Raises PrivateKeyError."""
    if isinstance(key, PrivateKey):
        return key
    raise bad_key_file(name, "only RSA, elliptic curve and Ed25519 keys can sign here")
