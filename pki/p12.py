"""PKCS#12 files (RFC 7292) of people: what is looked at before a password is tried, and opening.

Whoever can drop a file into the import folder must not be able to keep the machine busy: size and
iteration counts are bounded. Errors never carry what the crypto library says: only what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asn1crypto import algos, cms, pkcs12

from pki.decrypter import DecryptionKey
from pki.errors import PrivateKeyError, problem
from pki.key_files import bad_key_file, load_p12
from pki.keys import PrivateKey

MAX_OCTETS = 1_000_000
# A few seconds of one core; OpenSSL writes 2048, careful people some 100,000.
MAX_ITERATIONS = 5_000_000
_MAX_DEPTH = 8


@dataclass(slots=True)
class _Seen:
    """What stands in the file in clear: how many keys, and the iteration counts of all its parts
    together: there is room for thousands, and each is opened with the same password.
    """

    keys: int = 0
    iterations: int = 0


def open_p12(
    data: bytes, password: bytes | None, name: str
) -> tuple[PrivateKey | DecryptionKey, tuple[bytes, ...]]:
    """The one key of a PKCS#12, which signs or opens mail, and its certificates (DER).

    name: what to call the file in errors.
    Raises PrivateKeyError: too large, not a PKCS#12 or damaged, wrong password, no key, two keys.
    """
    if len(data) > MAX_OCTETS:
        raise _unusable(
            problem(
                "limits.size",
                "{file} is larger than {limit} octets: it is no PKCS#12 file of one person",
                file=name,
                limit=str(MAX_OCTETS),
            )
        )
    seen = _look(data, name)
    if seen.iterations > MAX_ITERATIONS:
        raise _unusable(
            problem(
                "limits.iterations",
                "{file} wants the password hashed {count} times; {limit} are allowed",
                file=name,
                count=str(seen.iterations),
                limit=str(MAX_ITERATIONS),
            )
        )
    if seen.keys > 1:
        # Which of them is meant nobody can tell; the library would take one of them silently.
        raise _unusable(
            problem(
                "structure.several-keys",
                "{file} holds {count} private keys; write one file for each",
                file=name,
                count=str(seen.keys),
            )
        )
    key, certificates = load_p12(data, password, name)
    if not isinstance(key, PrivateKey | DecryptionKey):
        raise bad_key_file(name, "its key is of a kind that neither signs nor opens mail here")
    return key, certificates


def _look(data: bytes, name: str) -> _Seen:
    seen = _Seen()
    try:
        file = pkcs12.Pfx.load(data, strict=True)
        if file["version"].native != "v3" or file["auth_safe"]["content_type"].native != "data":
            raise ValueError
        if file["mac_data"].native is not None:
            seen.iterations = int(file["mac_data"]["iterations"].native)
        for part in file.authenticated_safe:
            _look_into(part, seen)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _unusable(
            problem("structure.key", "{file} cannot be used: it is not a PKCS#12 file", file=name)
        ) from None
    return seen


def _look_into(part: cms.ContentInfo, seen: _Seen) -> None:
    kind = part["content_type"].native
    if kind == "data":
        for bag in _bags(pkcs12.SafeContents.load(part["content"].native), 0):
            if bag["bag_id"].native == "pkcs8_shrouded_key_bag":
                _note(bag["bag_value"]["encryption_algorithm"], seen)
            seen.keys += bag["bag_id"].native in ("key_bag", "pkcs8_shrouded_key_bag")
    elif kind == "encrypted_data":
        inner = part["content"]["encrypted_content_info"]
        _note(inner["content_encryption_algorithm"], seen)


def _bags(contents: pkcs12.SafeContents, depth: int) -> Iterator[Any]:
    if depth > _MAX_DEPTH:
        raise ValueError
    for bag in contents:
        if bag["bag_id"].native == "safe_contents":
            yield from _bags(bag["bag_value"], depth + 1)
        else:
            yield bag


def _note(algorithm: algos.EncryptionAlgorithm, seen: _Seen) -> None:
    """PBES2 with PBKDF2, or one of the older ones (RFC 8018 §6, RFC 7292 appendix C)."""
    if algorithm["algorithm"].native == "pbes2":
        if algorithm.kdf != "pbkdf2":
            return  # the library knows no other and says so
        count = algorithm.kdf_iterations
    else:
        parameters = algorithm["parameters"].native
        count = parameters["iterations"] if isinstance(parameters, dict) else 0
    seen.iterations += int(count)


def _unusable(reason: Any) -> PrivateKeyError:
    return PrivateKeyError(reason)
