"""A CRL that has come from somewhere: read, checked, and made ready to be stored.

The signature comes first: what a known CA has not signed costs no more than its digest, however
large it is, and leaves no file behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pki.algorithms import judge_signature
from pki.anchors import HARD_FAIL, usable_until
from pki.certificate import signature_holds
from pki.crl import Crl, crl_der
from pki.crl_entries import Entry, header_octets, revoked_certificates
from pki.crl_folder import CrlFolder
from pki.crl_index import IndexDamagedError, IndexedEntries
from pki.crl_scan import Scan
from pki.der import algorithms_agree, element, length_is_der
from pki.errors import CrlRefused, Problem, problem
from pki.names import NameKey
from pki.path import Material
from pki.revocation import may_sign_crls

_MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Indexed:
    """What goes with a large CRL into the database: its octets, and the digest of its index."""

    der: bytes
    digest: str


class Unread:
    """Entries of a CRL of which only the head is looked at."""

    def find(self, serial: int, issuer: NameKey) -> Entry | None:
        """Nobody may ask."""
        raise RuntimeError("the entries of this CRL were not read")

    def __len__(self) -> int:
        raise RuntimeError("the entries of this CRL were not read")


def receive(
    data: bytes,
    source: str,
    *,
    material: Material,
    moment: datetime,
    folder: CrlFolder | None = None,
) -> tuple[Crl, Indexed | None]:
    """A CRL that may be stored (PEM or DER), and what goes with it if it is large.

    folder: where its index is written; without one, every CRL stands in memory.
    Raises CrlRefused, OSError.
    """
    der = crl_der(data)
    if folder is None or len(der) < folder.above:
        return check_crl(Crl(der, source), material, moment), None
    head, key = _signed_head(der, source, material)
    check_crl(head, material, moment)
    with folder.alone():
        digest = _make(der, head, key, folder)
    return _opened(head.sha256, digest, source, folder), Indexed(der, digest)


def open_indexed(
    sha256: str,
    digest: str,
    source: str,
    *,
    folder: CrlFolder,
    octets: Callable[[], bytes],
    material: Material,
) -> Crl:
    """A stored CRL by its index; made from its octets where it is not there as it should be.

    digest: of the index. That one process at a time makes it spares the others the work: they find
    it made. Raises CrlRefused, IndexDamagedError (what its octets give is not what the digest
    says), OSError.
    """
    if (entries := folder.open(sha256, digest)) is not None:
        return _crl(entries, sha256, source)
    with folder.alone():
        if (entries := folder.open(sha256, digest)) is not None:
            return _crl(entries, sha256, source)
        der = octets()
        head, key = _signed_head(der, source, material)
        _make(der, head, key, folder)
    return _opened(sha256, digest, source, folder)


def index_stored(der: bytes, *, material: Material, folder: CrlFolder) -> str:
    """Make the index of a CRL that is stored already; its digest. Raises CrlRefused, OSError."""
    head, key = _signed_head(der, "", material)
    with folder.alone():
        return _make(der, head, key, folder)


def unsigned_head(der: bytes, source: str) -> Crl:
    """A CRL without its entries, whose signature nobody has looked at. Raises CrlRefused."""
    sha256 = hashlib.sha256(der).hexdigest()
    return Crl.from_header(_header(der), Unread(), sha256=sha256, verified_keys=(), source=source)


def _signed_head(der: bytes, source: str, material: Material) -> tuple[Crl, str]:
    """A CRL without its entries, and the key, of those we know, that was seen to sign it."""
    header = _header(der)
    head = unsigned_head(der, source)
    sha256 = head.sha256
    if algorithms_agree(der):
        for signer in material.signers_named(head.issuer):
            if signature_holds(der, head.x509, signer.public_key):
                key = signer.key_sha256
                signed = Crl.from_header(
                    header, Unread(), sha256=sha256, verified_keys=(key,), source=source
                )
                return signed, key
    raise _not_signed(head, material)


def _make(der: bytes, head: Crl, key: str, folder: CrlFolder) -> str:
    scan = Scan(der, indirect=head.scope.indirect)
    return folder.write(scan, crl_sha256=head.sha256, key_sha256=key, header=_header(der))


def _opened(sha256: str, digest: str, source: str, folder: CrlFolder) -> Crl:
    entries = folder.open(sha256, digest)
    if entries is None:
        raise IndexDamagedError("what the octets give is not what the digest says")
    return _crl(entries, sha256, source)


def _crl(entries: IndexedEntries, sha256: str, source: str) -> Crl:
    return Crl.from_header(
        entries.header,
        entries,
        sha256=sha256,
        verified_keys=(entries.key_sha256,),
        source=source,
    )


def _header(der: bytes) -> bytes:
    """The head, of a bounded size: it is parsed before anybody knows who signed it, and 64 MB of
    names in it would be a gigabyte of objects.

    What frames it is read here and not by the strict parser: were anything behind the end, or a
    length written in another way, somebody on the way could make many of one CRL.
    """
    try:
        begin, _ = revoked_certificates(der)
        places = {0, element(der, 0)[0], begin} - {element(der, element(der, 0)[0])[1]}
        if element(der, 0)[1] != len(der) or not all(length_is_der(der, at) for at in places):
            raise ValueError("its frame is not as DER writes it")
        header = header_octets(der)
        if len(header) > _MAX_HEAD:
            raise ValueError(f"it has more than {_MAX_HEAD} octets beside its entries")
        return header
    except (ValueError, IndexError) as error:
        raise CrlRefused(
            problem(
                "structure.crl",
                "this is not a CRL that can be read: {detail}",
                detail=str(error)[:200],
            )
        ) from error


def check_crl(crl: Crl, material: Material, moment: datetime) -> Crl:
    """A CRL that may be stored: signed by a CA we know, and current, or in the grace of an anchor.

    Whether that anchor is the one above a certificate is judged with the certificate; a CRL that
    grace does not keep in use revokes nevertheless. Raises CrlRefused.
    """
    signers = material.signers_named(crl.issuer)
    if not any(may_sign_crls(signer) and crl.signed_by(signer) for signer in signers):
        raise _not_signed(crl, material)
    weak = judge_signature(crl.x509, moment)
    if weak is not None:
        raise CrlRefused(weak)
    if crl.this_update > moment:
        raise CrlRefused(
            problem(
                "revocation.crl-future",
                "the CRL of {issuer} is of {day}, which is in the future; is the clock right?",
                issuer=crl.issuer_text,
                day=crl.this_update.isoformat(),
            )
        )
    grace = max((anchor.grace for anchor, _ in material.anchors), default=HARD_FAIL)
    ended = _over(crl, moment)
    if ended is not None and usable_until(crl.next_update, grace) < moment:
        raise CrlRefused(ended)
    return crl


def check_renewed(crl: Crl, moment: datetime, *, new: bool) -> None:
    """Whether a source gave what was waited for. Raises CrlRefused.

    One that was here before and is past its nextUpdate is in use by grace, perhaps; a newer one is
    missing.
    """
    ended = _over(crl, moment)
    if not new and ended is not None:
        raise CrlRefused(ended)


def _over(crl: Crl, moment: datetime) -> Problem | None:
    """That it is past its nextUpdate, or None."""
    if crl.next_update >= moment:
        return None
    return problem(
        "revocation.stale",
        "the CRL of {issuer} was valid until {until} only",
        issuer=crl.issuer_text,
        until=crl.next_update.isoformat(),
    )


def _not_signed(crl: Crl, material: Material) -> CrlRefused:
    if not material.signers_named(crl.issuer):
        return CrlRefused(
            problem(
                "revocation.crl-issuer",
                "the CRL is of {issuer}, which is neither a trust anchor nor a known intermediate",
                issuer=crl.issuer_text,
            )
        )
    return CrlRefused(
        problem(
            "revocation.signature",
            "the CRL of {issuer} is not signed by a key that may sign it",
            issuer=crl.issuer_text,
        )
    )
