"""The algorithms of the matrix: who signs or receives, and how each side is asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.unit.smime_world import Identity, World


@dataclass(frozen=True, slots=True)
class Signature:
    """One kind of signature. ours: for `--signature`, None if we do not write it.

    digest: asked of the peer, and of us where the key's own is another one.
    """

    name: str
    who: str
    scheme: str
    digest: str
    ours: str | None

    def owner(self, world: World) -> Identity:
        """Who signs."""
        return _owner(world, self.who)


@dataclass(frozen=True, slots=True)
class Encryption:
    """One cipher and one way of the key. ours: whether we write it. legacy: read by switch only."""

    name: str
    who: str
    cipher: str
    management: str
    ours: bool = True
    legacy: bool = False

    def owner(self, world: World) -> Identity:
        """Who can open it."""
        return _owner(world, self.who)


def _owner(world: World, who: str) -> Identity:
    found = world.curves.get(who) or getattr(world, who)
    assert isinstance(found, Identity)
    return found


SIGNATURES = (
    Signature("RSA v1.5, SHA-256", "alice", "rsa-pkcs1", "sha256", "rsa-pkcs1"),
    Signature("RSA v1.5, SHA-384", "alice", "rsa-pkcs1", "sha384", "rsa-pkcs1"),
    Signature("RSA v1.5, SHA-512", "alice", "rsa-pkcs1", "sha512", "rsa-pkcs1"),
    Signature("RSA-PSS, SHA-256", "alice", "rsa-pss", "sha256", "rsa-pss"),
    Signature("RSA-PSS, SHA-512", "alice", "rsa-pss", "sha512", "rsa-pss"),
    Signature("ECDSA P-256, SHA-256", "secp256r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA P-384, SHA-256", "secp384r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA P-384, SHA-384", "secp384r1", "ecdsa", "sha384", "ecdsa"),
    Signature("ECDSA P-521, SHA-256", "secp521r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA P-521, SHA-512", "secp521r1", "ecdsa", "sha512", "ecdsa"),
    Signature("ECDSA brainpoolP256r1, SHA-256", "brainpoolP256r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA brainpoolP384r1, SHA-256", "brainpoolP384r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA brainpoolP384r1, SHA-384", "brainpoolP384r1", "ecdsa", "sha384", "ecdsa"),
    Signature("ECDSA brainpoolP512r1, SHA-256", "brainpoolP512r1", "ecdsa", "sha256", "ecdsa"),
    Signature("ECDSA brainpoolP512r1, SHA-512", "brainpoolP512r1", "ecdsa", "sha512", "ecdsa"),
    Signature("Ed25519", "yves", "ed25519", "sha512", "ed25519"),
)

ENCRYPTIONS = (
    Encryption("AES-128-CBC, RSA v1.5", "bob", "aes-128-cbc", "rsa-pkcs1"),
    Encryption("AES-256-CBC, RSA v1.5", "bob", "aes-256-cbc", "rsa-pkcs1"),
    Encryption("AES-128-GCM, RSA v1.5", "bob", "aes-128-gcm", "rsa-pkcs1"),
    Encryption("AES-256-GCM, RSA v1.5", "bob", "aes-256-gcm", "rsa-pkcs1"),
    Encryption("AES-256-CBC, RSA-OAEP", "bob", "aes-256-cbc", "rsa-oaep"),
    Encryption("AES-256-GCM, RSA-OAEP", "bob", "aes-256-gcm", "rsa-oaep"),
    Encryption("AES-256-CBC, ECDH P-256", "secp256r1", "aes-256-cbc", "ecdh"),
    Encryption("AES-256-GCM, ECDH P-256", "secp256r1", "aes-256-gcm", "ecdh"),
    Encryption("AES-256-CBC, ECDH P-384", "secp384r1", "aes-256-cbc", "ecdh"),
    Encryption("AES-256-CBC, ECDH P-521", "secp521r1", "aes-256-cbc", "ecdh"),
    Encryption("AES-256-CBC, ECDH brainpoolP256r1", "brainpoolP256r1", "aes-256-cbc", "ecdh"),
    Encryption("AES-256-CBC, X25519", "xavier", "aes-256-cbc", "ecdh"),
    Encryption("3DES, RSA v1.5 (with --allow-legacy)", "bob", "3des-cbc", "rsa-pkcs1",
               ours=False, legacy=True),
)  # fmt: skip
