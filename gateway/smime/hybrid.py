"""Two RecipientInfos side by side are no hybrid: whoever breaks the weaker one has the mail.

Post-quantum and classical protection are joined by nested envelopes (`gateway.smime.nested`), one
inside the other, so that both must be opened. A mail that one person can open by either key looks
as if it were protected against quantum computers, and is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.smime.algorithms import KeyManagement
from pki.addresses import certificate_addresses
from pki.models import CheckedCertificate


class FalseHybrid(ValueError):
    """One recipient would get the content key by ML-KEM and by a classical algorithm.

    who: his address, or the subject of his certificates.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        super().__init__(
            f"{who} would get the key by ML-KEM and by a classical algorithm: the weaker one "
            "would open the mail; nest two envelopes instead"
        )


def refuse_false_hybrid(recipients: Iterable[tuple[CheckedCertificate, KeyManagement]]) -> None:
    """Raises FalseHybrid where two certificates of one person are of the two kinds.

    They are of one person if they share an address: the one that a certificate was checked for, or
    one in it; and where one of them has no address, if their subjects are the same.
    """
    kem: list[CheckedCertificate] = []
    classical: list[CheckedCertificate] = []
    for certificate, by in recipients:
        (kem if by is KeyManagement.ML_KEM else classical).append(certificate)
    if not kem or not classical:
        return
    owners = [_owner(certificate) for certificate in classical]
    for certificate in kem:
        owner = _owner(certificate)
        for other in owners:
            if who := _shared(owner, other):
                raise FalseHybrid(who)


def without_partner(
    classical: Sequence[CheckedCertificate], kem: Sequence[CheckedCertificate]
) -> str | None:
    """Who has a certificate of one kind and none of the other, by the rule above.

    His address, or his subject where he has none; None where everybody has both.
    """
    inner, outer = [_owner(one) for one in classical], [_owner(one) for one in kem]
    for some, others in ((inner, outer), (outer, inner)):
        for owner in some:
            if not any(_shared(owner, other) for other in others):
                addresses, subject = owner
                return min(addresses, default=subject or "-")
    return None


_Owner = tuple[set[str], str]


def _shared(one: _Owner, other: _Owner) -> str:
    """By what two certificates are of one person; "" where they are not."""
    (addresses, subject), (others, other_subject) = one, other
    if both := addresses & others:
        return min(both)
    return subject if subject == other_subject and not (addresses and others) else ""


def _owner(checked: CheckedCertificate) -> _Owner:
    """Canonical addresses, and the subject as text."""
    addresses = {checked.address} if checked.address else set()
    addresses.update(certificate_addresses(checked.certificate))
    return addresses, checked.certificate.subject.rfc4514_string()
