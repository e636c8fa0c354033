"""From a mail that was verified to what `pki.harvest` takes. Pure."""

from __future__ import annotations

import hashlib

from gateway.mime.entity import split, with_crlf
from gateway.smime import algorithms
from gateway.smime.capabilities import SMIME_CAPABILITIES
from gateway.smime.cms import content_info
from gateway.smime.ess import facts
from gateway.smime.root import Broken, root_of
from gateway.smime.signed import read_signed
from gateway.smime.verdicts import Match, Role, SignerReport, Status, Verification
from pki.errors import StructureRefused
from pki.harvest import SignedMail


def signed_mail(data: bytes, found: Verification, source: str) -> SignedMail | None:
    """What a mail brings that is valid and signed by the person of its one From; else None.

    data: the mail. found: what `gateway.smime.layers.verify` said of it.
    """
    if found.status is not Status.VALID or len(found.authors) != 1:
        return None
    for signer in found.signers:
        # Not the domain's seal: its key is not this person's (RFC 3183).
        fits = signer.role is Role.PERSON and signer.from_matches is Match.EXACT
        if fits and signer.status is Status.VALID and signer.path is not None:
            chain = tuple(cert.der for cert in reversed(signer.path.certificates[:-1]))
            return SignedMail(
                address=found.authors[0],
                signer=signer.path.certificates[-1].der,
                others=tuple(dict.fromkeys((*_came_along(data), *chain))),
                capabilities=_capabilities(signer),
                source=source,
            )
    return None


def unknown_authority(data: bytes, found: Verification, source: str) -> SignedMail | None:
    """A mail of which nothing is wrong but that nobody knows who issued its signer's certificate.

    What is wrong in any other way is no question: anybody could put any certificate beside it.
    """
    if len(found.authors) != 1:
        return None
    along = {hashlib.sha256(der).hexdigest(): der for der in _came_along(data)}
    for signer in found.signers:
        der = along.get(signer.certificate_sha256 or "")
        if (
            der is not None
            and {one.code for one in signer.problems} == {"path.no-anchor"}
            and signer.role is Role.PERSON
            and signer.from_matches is Match.EXACT
        ):
            others = tuple(one for one in along.values() if one != der)
            return SignedMail(found.authors[0], der, others, (), source)
    return None


def _came_along(data: bytes) -> tuple[bytes, ...]:
    """Certificates in the outermost signature; none where encryption is around it."""
    root = root_of(split(with_crlf(data)))
    if root is None or isinstance(root, Broken):
        return ()
    try:
        info = content_info(root.cms)
        if info.type != algorithms.SIGNED_DATA:
            return ()
        return tuple(read_signed(info.content).certificates)
    except StructureRefused:
        return ()


def _capabilities(signer: SignerReport) -> tuple[str, ...]:
    for one in signer.attributes:
        if one.oid == SMIME_CAPABILITIES:
            said = facts(one.oid, one.values) or {}
            return tuple(str(each["oid"]) for each in said.get("capabilities", ()))
    return ()
