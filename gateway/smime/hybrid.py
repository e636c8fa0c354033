"""Two RecipientInfos side by side are no hybrid: whoever breaks the weaker one has the mail.

Post-quantum and classical protection are joined by nested envelopes, one inside the other, so that
both must be opened. A mail that one person can open by either key looks as if it were protected
against quantum computers, and is not.
"""

from __future__ import annotations

from collections.abc import Iterable

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
        addresses, subject = _owner(certificate)
        for others, other_subject in owners:
            shared = addresses & others
            if shared:
                raise FalseHybrid(min(shared))
            if subject and subject == other_subject and not (addresses and others):
                raise FalseHybrid(subject)


def _owner(checked: CheckedCertificate) -> tuple[set[str], str]:
    """Canonical addresses, and the subject as text."""
    addresses = {checked.address} if checked.address else set()
    addresses.update(certificate_addresses(checked.certificate))
    return addresses, checked.certificate.subject.rfc4514_string()
