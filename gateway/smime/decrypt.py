"""Opening what is encrypted, and giving nothing away (RFC 5652 §6, RFC 5083, RFC 3218). Pure.

An attacker sends the same message again and again with one thing changed, and listens: what is
said, how long it takes, whether it opens this time. So what can be seen without a key is told in
words, and everything else is one failure: one code, one text, no cause. Whatever was wrong with
the key of the content, some key is tried on the content, the same one each time.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from gateway.smime.ciphers import (
    ContentCipher,
    UnknownCipher,
    content_cipher,
    unseal,
    well_formed,
)
from gateway.smime.cms import ContentInfo, unreadable
from gateway.smime.enveloped import Enveloped, read_enveloped
from gateway.smime.match import owner_of, ways
from gateway.smime.shared_keys import MAX_ITERATIONS, KnownKey, KnownPassword
from gateway.smime.ways import Unsupported, Use, Way
from pki.algorithms import Operation, Standing, judge
from pki.decrypter import CannotDecrypt, Decrypter
from pki.errors import Problem, StructureRefused, problem

# Ways that are tried for one message. A person has some keys, a message names each once; who
# names one a thousand times wants to see us calculate (L11).
MAX_WAYS = 16

_LABEL = b"sceau/fallback-key/1\0"


class DecryptRefused(Exception):
    """It was not opened. problem: why, as far as anybody could see it without the key."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside.

    content_type: dotted; 1.2.840.113549.1.7.1 for a MIME entity. cipher: "aes-256-gcm"… .
    key_management: "rsa-oaep"… . certificate: DER of ours that it was opened with, None for shared
    keys and where it is not at hand. authenticated: whether the cipher notices changes. remarks:
    what the dated table says, and that nothing protects the content from changes.
    """

    content: bytes = field(repr=False)
    content_type: str
    cipher: str
    key_management: str
    certificate: bytes | None
    authenticated: bool
    remarks: tuple[Problem, ...]


def decrypt(
    content: ContentInfo,
    keys: Sequence[Decrypter],
    *,
    moment: datetime,
    secret: bytes,
    allow_legacy: bool = False,
    shared: Sequence[KnownKey | KnownPassword] = (),
) -> Opened:
    """Open one EnvelopedData or AuthEnvelopedData with whichever of the keys it was made for.

    1. The structure is read; nothing in it depends on a key.
    2. The cipher is known, the dated table allows it at the moment, and it is of one kind with the
       structure (S6).
    3. The ways: each RecipientInfo that means one of our keys, by its certificate; a key without
       one is tried wherever it may fit. Ways that cannot be tried do no harm beside one that can.
    4. Each way gives a key of the right length, right or wrong.
    5. The first key that opens the content opens it.

    secret: of this installation, lasting; who knows it and has a ciphertext can tell bad padding
    from good. Raises StructureRefused; DecryptRefused with `decrypt.no-key`,
    `algorithm.unsupported`, `algorithm.refused`, `limits.recipients`, `limits.iterations`, and
    `decrypt.failed` for everything that a key was needed for.
    """
    sealed = read_enveloped(content)  # 1
    cipher = _cipher(sealed)  # 2
    standing = _Table(moment, allow_legacy)
    standing.check((Operation.DECRYPT, cipher.name, cipher.bits))
    if not well_formed(cipher, sealed):
        raise _failed()
    found = _ways(sealed, keys, shared, standing)  # 3
    opened = _open(cipher, sealed, found, secret)  # 4, 5
    if opened is None:
        raise _failed()
    octets, way = opened
    remarks = [*standing.remarks((Operation.DECRYPT, cipher.name, cipher.bits), *way.uses)]
    if not cipher.authenticated:
        remarks.append(
            problem(
                "decrypt.not-authenticated",
                "the cipher does not notice changes: only a signature inside can tell that "
                "this is what was sent",
            )
        )
    return Opened(
        content=octets,
        content_type=sealed.content_type,
        cipher=cipher.text,
        key_management=way.transport,
        certificate=None if way.owner is None else way.owner.certificate,
        authenticated=cipher.authenticated,
        remarks=tuple(remarks),
    )


def _cipher(sealed: Enveloped) -> ContentCipher:
    try:
        return content_cipher(sealed.algorithm)
    except UnknownCipher as error:
        raise DecryptRefused(_unsupported(error.oid)) from None
    except StructureRefused:
        raise
    except ValueError as error:
        raise unreadable(error) from None


def _ways(
    sealed: Enveloped,
    keys: Sequence[Decrypter],
    shared: Sequence[KnownKey | KnownPassword],
    standing: _Table,
) -> list[Way]:
    """The ways that may be tried, in the order of the message. Raises DecryptRefused for none."""
    owners = [owner_of(key) for key in keys]
    found: list[Way] = []
    obstacles: list[Problem] = []
    iterations = 0
    for info in sealed.recipients:
        try:
            for way in ways(info, owners, shared):
                obstacle = standing.obstacle(way.uses)
                if obstacle is None and iterations + way.iterations > MAX_ITERATIONS:
                    obstacle = _iterations()
                if obstacle is None:
                    iterations += way.iterations
                    found.append(way)
                else:
                    obstacles.append(obstacle)
        except Unsupported as error:
            obstacles.append(_unsupported(error.name))
        except StructureRefused as error:
            obstacles.append(error.problem)
        except ValueError as error:
            obstacles.append(unreadable(error).problem)
    if len(found) > MAX_WAYS:
        raise DecryptRefused(
            problem(
                "limits.recipients",
                "{count} recipients may mean these keys, and {limit} are tried; give the "
                "certificates of the keys, too",
                count=str(len(found)),
                limit=str(MAX_WAYS),
            )
        )
    if not found:
        raise DecryptRefused(
            obstacles[0]
            if obstacles
            else problem("decrypt.no-key", "it is encrypted to others: no key here fits")
        )
    return found


def _open(
    cipher: ContentCipher, sealed: Enveloped, found: Sequence[Way], secret: bytes
) -> tuple[bytes, Way] | None:
    """Content and the way that led to it.

    Every way of PKCS#1 v1.5 is a key to try. All others tell by themselves whether they led to a
    key, and all are gone before the content is touched: together they give one key to try, the
    first that was right, or else a wrong one, whose result is thrown away. So a message costs the
    same whatever in it was wrong, and how often the content is decrypted is seen from outside.
    Content in CBC that a wrong key opens by chance (1 in 256) is garbage: where it does not begin
    like a MIME entity, the other keys are tried, too, and it is what is left.
    """
    trials: list[tuple[bytes, Way, bool]] = []
    right: tuple[bytes, Way] | None = None
    fallback = b""
    for way in found:
        fallback = _fallback(secret, way, cipher, sealed)
        if not way.tells:
            trials.append((_of_size(way, cipher.key_size, fallback), way, True))
            continue
        try:
            key = way.take(cipher.key_size)
        except CannotDecrypt:
            key = fallback
        else:
            right = right or (key, way)
    if any(way.tells for way in found):
        key, way = right or (fallback, found[0])
        trials.append((key, way, right is not None))
    spare: tuple[bytes, Way] | None = None
    for key, way, counts in trials:
        octets = unseal(cipher, key, sealed)
        if octets is None or not counts:
            continue
        if cipher.authenticated or len(trials) == 1 or _like_mime(octets):
            return octets, way
        spare = spare or (octets, way)
    return spare


def _of_size(way: Way, size: int, fallback: bytes) -> bytes:
    """What came out of PKCS#1 v1.5, or the fallback where that has another length.

    RFC 3218 §2.3.2 answers bad padding with a random key. A fresh one each time makes the outcome
    differ when the same message is sent again, which tells the attacker what the random key was to
    hide (F8): here the key follows from a secret and what came. The fallback is there before it is
    needed, and one is taken from two without a question in between.
    """
    try:
        octets = way.take(size)
    except CannotDecrypt:  # not a number below the modulus: to be seen without the key
        octets = b""
    return (fallback, octets)[len(octets) == size]


def _fallback(secret: bytes, way: Way, cipher: ContentCipher, sealed: Enveloped) -> bytes:
    """A key that nobody can foretell and that is the same for the same message."""
    name = f"{cipher.name} {cipher.bits} {way.transport}".encode()
    made = _keyed(secret).copy()
    made.update(name + b"\0" + way.wrapped)
    return made.digest()[: cipher.key_size]


# There is one secret, and a copy is made faster than OpenSSL finds HMAC and SHA-256 by their names.
@lru_cache(maxsize=4)
def _keyed(secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, _LABEL, "sha256")


def _like_mime(content: bytes) -> bool:
    """Whether it begins with the text that a MIME entity begins with."""
    return all(32 <= octet < 127 or octet in b"\t\r\n" for octet in content[:16])


class _Table:
    """What the dated table says at one moment, to one who may or may not read legacy."""

    def __init__(self, moment: datetime, allow_legacy: bool) -> None:
        self._moment = moment
        self._allow_legacy = allow_legacy

    def obstacle(self, uses: Sequence[Use]) -> Problem | None:
        """Why one of them must not be used, or None."""
        for operation, algorithm, bits in uses:
            verdict = judge(operation, algorithm, bits, self._moment)
            if not verdict.readable(self._allow_legacy):
                return problem(
                    "algorithm.refused",
                    "it is encrypted with {algorithm}, which is not allowed at this time "
                    "({source})",
                    algorithm=verdict.text,
                    source=verdict.source,
                )
        return None

    def check(self, *uses: Use) -> None:
        """Raises DecryptRefused where one must not be used."""
        found = self.obstacle(uses)
        if found is not None:
            raise DecryptRefused(found)

    def remarks(self, *uses: Use) -> list[Problem]:
        """What is to be said of those that were used."""
        said = []
        for operation, algorithm, bits in uses:
            verdict = judge(operation, algorithm, bits, self._moment)
            if verdict.standing is Standing.LEGACY:
                said.append(
                    problem(
                        "algorithm.legacy",
                        "{algorithm} is legacy: opened as old evidence only ({source})",
                        algorithm=verdict.text,
                        source=verdict.source,
                    )
                )
            elif verdict.standing is Standing.REMARK:
                said.append(
                    problem(
                        "algorithm.remark",
                        "{algorithm} will not be allowed for ever ({source})",
                        algorithm=verdict.text,
                        source=verdict.source,
                    )
                )
        return said


def _iterations() -> Problem:
    return problem(
        "limits.iterations",
        "its passwords are to be hashed more than {limit} times altogether",
        limit=str(MAX_ITERATIONS),
    )


def _failed() -> DecryptRefused:
    """The one failure of opening. Nothing may ever be added to it."""
    return DecryptRefused(problem("decrypt.failed", "it cannot be opened with these keys"))


def _unsupported(name: str) -> Problem:
    return problem(
        "algorithm.unsupported", "it is encrypted with {algorithm}, which is not supported here",
        algorithm=name,
    )  # fmt: skip
