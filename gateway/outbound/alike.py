"""Who is sealed together, and who is alone because nobody may see him."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.mime.entity import Message
from gateway.mime.headers import HeaderAmbiguous, visible_recipients
from gateway.outbound.candidate import Candidate
from gateway.outbound.route import tls_of
from pki.addresses import canonical
from pki.errors import AddressError


def treated_alike(candidates: Sequence[Candidate], message: Message) -> list[list[Candidate]]:
    """Recipients sealed together (design, step 5). A blind one is always alone: nobody else's
    RecipientInfos may show him (threats S23). An unreadable header makes everyone blind; a copy is
    so even for somebody whom the header names: he is no recipient of the sender's.
    """
    visible = _visible(message)
    alike: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        copied = bool(candidate.recipient.copied_by)
        blind = copied or visible is None or candidate.address not in visible
        key = (
            candidate.clear is not None,
            candidate.cipher,
            candidate.outer is not None,
            candidate.signer and candidate.signer.certificate_sha256,
            candidate.route.name,
            tls_of(candidate.decision),
            candidate.decision.receipt,
            candidate.decision.header_protection,
            candidate.recipient.position if blind else None,
        )
        alike.setdefault(key, []).append(candidate)
    return list(alike.values())


def _visible(message: Message) -> set[str] | None:
    """Canonical addresses that a reader of the header sees; None when it cannot be told."""
    try:
        named = visible_recipients(message)
    except HeaderAmbiguous:
        return None
    visible = set()
    for address in named:
        try:
            visible.add(canonical(address))
        except AddressError:
            continue
    return visible
