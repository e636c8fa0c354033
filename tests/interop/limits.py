"""What the peers are known to lack: a cell that fails for another reason is wrong."""

from __future__ import annotations

from fnmatch import fnmatchcase

# Peer, direction, algorithms with wildcards. Measured with the versions in docs/interop.md; a newer
# peer that can do more is no fault.
_LIMITS = (
    # OpenSSL 3.0 has both for TLS, and neither in CMS (openssl-cms(1)).
    ("OpenSSL", "→", "Ed25519"),
    ("OpenSSL", "←", "Ed25519"),
    ("OpenSSL", "→", "*X25519"),
    ("OpenSSL", "←", "*X25519"),
    # NSS 3.87: no Brainpool, no Edwards curves, no OAEP, ECDH or GCM in its S/MIME.
    ("NSS", "→", "*brainpool*"),
    ("NSS", "←", "*brainpool*"),
    ("NSS", "→", "Ed25519"),
    ("NSS", "←", "Ed25519"),
    ("NSS", "→", "*-GCM, *"),
    ("NSS", "→", "*RSA-OAEP"),
    ("NSS", "→", "*ECDH*"),
    # gpgsm 2.2 crashes over PKCS#12 with a key on a curve, and there is no other way to bring one
    # in; it encrypts to no certificate for keyAgreement.
    ("gpgsm", "←", "ECDSA*"),
    ("gpgsm", "→", "*ECDH*"),
    ("gpgsm", "←", "*ECDH*"),
    ("gpgsm", "←", "*X25519"),
    ("gpgsm", "→", "Ed25519"),
    ("gpgsm", "←", "Ed25519"),
    # It wants a digest as long as the order of the curve (of 521 bits none is), which neither
    # FIPS 186-5 §6.4 nor RFC 5753 does.
    ("gpgsm", "→", "ECDSA P-384, SHA-256"),
    ("gpgsm", "→", "ECDSA P-521*"),
    ("gpgsm", "→", "ECDSA brainpoolP384r1, SHA-256"),
    ("gpgsm", "→", "ECDSA brainpoolP512r1, SHA-256"),
    ("gpgsm", "→", "*-GCM, *"),
    ("gpgsm", "→", "*RSA-OAEP"),
    # Bouncy Castle 1.72: AuthEnvelopedData by key agreement is written and not opened; no X25519
    # in CMS (RFC 8418).
    ("Bouncy Castle", "→", "*-GCM, ECDH*"),
    ("Bouncy Castle", "→", "*X25519"),
    ("Bouncy Castle", "←", "*X25519"),
    # Thunderbird before 154 (AES-GCM); its NSS has neither Brainpool nor Ed25519 in S/MIME.
    ("Thunderbird", "→", "*-GCM, *"),
    ("Thunderbird", "→", "*brainpool*"),
    ("Thunderbird", "→", "Ed25519"),
)


def expected(peer: str, direction: str, algorithms: str) -> bool:
    """Whether the peer is known not to do this."""
    return any(
        (peer, direction) == (one, way) and fnmatchcase(algorithms, pattern)
        for one, way, pattern in _LIMITS
    )
