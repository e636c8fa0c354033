"""Who signs as a person: live consent, a certificate that may sign now, the key unwrapped for a
while.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.serialization import load_der_private_key

from pki.addresses import canonical
from pki.certificate import ParsedCertificate
from pki.errors import PrivateKeyError, problem
from pki.kek import KekRing
from pki.keys import KeySigner, PrivateKey, usable_key
from pki.may_sign import MaySign, SigningVerdicts, Unfit
from pki.models import SignatureScheme, Signer
from pki.person_keys import bound_to, split_chain
from pki.tables import consents, person_keys
from pki.trust import Connect, Trust

_KEYS, _CONSENTS = person_keys.c, consents.c
# Made once: this runs for every mail that a person is to sign. A withdrawal is a state (see
# `pki.consents`); `given_at` keeps a consent from standing for a time before it.
_USABLE = (
    sa.select(_KEYS.id, _KEYS.certificate_sha256, _CONSENTS.entry_id)
    .join(
        consents,
        sa.and_(
            _CONSENTS.org == _KEYS.org,
            _CONSENTS.address == _KEYS.address,
            _CONSENTS.certificate_sha256 == _KEYS.certificate_sha256,
        ),
    )
    .where(
        _KEYS.org == sa.bindparam("of_org"),
        _KEYS.address == sa.bindparam("of_address"),
        _CONSENTS.withdrawn_at.is_(None),
        _CONSENTS.entry_id.is_not(None),
        _CONSENTS.given_at <= sa.bindparam("at", type_=_CONSENTS.given_at.type),
    )
    .order_by(_KEYS.added_at.desc(), _KEYS.id.desc(), _CONSENTS.id.desc())
)
_ROW = sa.select(person_keys).where(_KEYS.id == sa.bindparam("row"))


class ConsentedSigner:
    """`pki.models.Signer` of a person.

    consent: archive id of the consent that it rests on. checked: why its certificate may sign.
    """

    __slots__ = ("_signer", "checked", "consent")

    def __init__(self, signer: Signer, consent: str, checked: MaySign) -> None:
        self._signer = signer
        self.consent = consent
        self.checked = checked

    def __repr__(self) -> str:
        return f"<ConsentedSigner {self.consent}>"

    @property
    def certificate(self) -> bytes:
        """DER of the signer's certificate."""
        return self._signer.certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the intermediates, issuer of the signer first."""
        return self._signer.chain

    @property
    def kind(self) -> str:
        """ "rsa", "ec" or "ed25519"."""
        return self._signer.kind

    def sign(self, data: bytes, scheme: SignatureScheme, digest: str) -> bytes:
        """Signature over `data`. Raises ValueError if the key cannot do the scheme."""
        return self._signer.sign(data, scheme, digest)


@dataclass(slots=True)
class _Kept:
    """A certificate, parsed, and its key once it was wanted. since: monotonic seconds."""

    cert: ParsedCertificate
    signer: Signer
    since: float


class PersonSigners:
    """Persons' signers, unwrapped keys kept in memory: `keep` at most, each for `ttl`. Thread-safe.

    Consent, dates, path and revocation count anew every time: a withdrawal at once, a revocation
    as soon as the CRL is known. What is kept only saves unwrapping: with a token that is a round
    trip. keep=0 unwraps for every signature, so that the token sees (and can count, and can stop)
    each of them.

    trust: anchors, intermediates and CRLs as they are now.
    """

    def __init__(
        self,
        read: Connect,
        keks: KekRing,
        trust: Callable[[], Trust],
        *,
        keep: int = 1000,
        ttl: timedelta = timedelta(hours=1),
        org: str = "",
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._keks = keks
        self._trust = trust
        self._verdicts = SigningVerdicts()
        self._size = keep
        self._ttl = ttl.total_seconds()
        self._org = org
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()  # least used first

    def signer_for(self, address: str, moment: datetime) -> ConsentedSigner | Unfit | None:
        """The newest key with live consent whose certificate may sign; Unfit where there are such
        keys and none may (uncertain if of one of them nobody can tell); None where there is none.

        Raises AddressError; PrivateKeyError if a stored key cannot be unwrapped (another
        key-encryption key, or the row was changed), KekTrouble if the key-encryption key cannot
        be reached: that is trouble, not "no key".
        """
        address = canonical(address)
        trust = self._trust()
        unfit: list[Unfit] = []
        with self._read() as conn:
            for usable in _usable(conn, address, moment, self._org):
                name = (address, str(usable.certificate_sha256))
                kept = self._find(name)
                known = self._verdicts.remembered(name, moment, trust)
                if isinstance(known, Unfit):
                    unfit.append(known)
                    continue
                if kept is None:
                    row = conn.execute(_ROW, {"row": usable.id}).one()
                    cert, chain = ParsedCertificate(row.certificate), split_chain(row.chain)
                else:
                    cert, chain = kept.cert, kept.signer.chain
                found = known or self._verdicts.judge(name, cert, chain, moment=moment, trust=trust)
                if isinstance(found, Unfit):
                    unfit.append(found)
                    continue
                if kept is not None:
                    return ConsentedSigner(kept.signer, usable.entry_id, found)
                break
            else:
                return next((one for one in unfit if not one.certain), None) or next(
                    iter(unfit), None
                )
        # Outside the transaction: a token may take its time.
        signer = _unwrap(row, cert, address, self._keks, self._org)
        self._keep(name, _Kept(cert, signer, self._seconds()))
        return ConsentedSigner(signer, usable.entry_id, found)

    def _find(self, name: tuple[str, str]) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                return None
            if self._seconds() - kept.since >= self._ttl:
                self._drop_old()
                return None
            self._kept.move_to_end(name)
            return kept

    def _keep(self, name: tuple[str, str], kept: _Kept) -> None:
        with self._lock:
            self._drop_old()
            self._kept[name] = kept
            self._kept.move_to_end(name)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def _drop_old(self) -> None:
        # Looks at all of them, but only when a key has just been unwrapped or has become too old.
        end = self._seconds() - self._ttl
        for name in [name for name, kept in self._kept.items() if kept.since <= end]:
            del self._kept[name]


def _usable(conn: sa.Connection, address: str, moment: datetime, org: str) -> Sequence[Any]:
    """Row id, certificate and consent of keys with live consent, the newest key first."""
    arguments = {"of_org": org, "of_address": address, "at": moment}
    return conn.execute(_USABLE, arguments).all()


def _unwrap(
    row: sa.Row[tuple[object, ...]],
    cert: ParsedCertificate,
    address: str,
    keks: KekRing,
    org: str,
) -> Signer:
    key: PrivateKey | None = None
    try:
        associated = bound_to(org, address, row.certificate_sha256)
        plain = keks.unwrap(row.kek, row.nonce, row.wrapped, associated)
        # The key was checked when it was imported, and GCM says that it is the same.
        key = usable_key(
            address, load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        )
    except (InvalidTag, ValueError):
        key = None
    if key is None or cert.sha256 != row.certificate_sha256 or cert.public_key != key.public_key():
        raise PrivateKeyError(
            problem(
                "decrypt.person-key",
                "the stored key of {address} cannot be opened: it was wrapped by another "
                "key-encryption key ({kek}), or the row was changed",
                address=address,
                kek=str(row.kek),
            )
        )
    return KeySigner(key, cert.der, split_chain(row.chain))
