"""What a person's certificate is worth to readers: whether a path leads to one of our anchors."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem
from pki.models import Purpose
from pki.path import Material, Revocation
from pki.verdict import judge

_REMEMBERED = 64


class PathJudge:
    """`pki.person_keys.PathCheck`. A revoked certificate is always refused; one without a path to
    an anchor when `strict`, else that is a remark: readers may trust what we do not list.
    """

    def __init__(self, material: Material, *, strict: bool) -> None:
        self._material = material
        self._strict = strict
        # People of one PKI bring the same chain: it is read once.
        self._with_chain: OrderedDict[tuple[bytes, ...], Material] = OrderedDict()

    def __call__(
        self, cert: ParsedCertificate, others: tuple[bytes, ...], address: str, moment: datetime
    ) -> tuple[Problem, ...]:
        """Remarks. Raises CertificateRefused."""
        chain = tuple(der for der in others if der != cert.der)
        try:
            judge(
                cert,
                address=address,
                purpose=Purpose.SIGN,
                moment=moment,
                material=self._with(chain),
                source="PKCS#12",
                revocation=Revocation.IF_AVAILABLE,
            )
        except (CertificateRefused, CannotJudge) as error:
            if self._strict or error.problem.code == "revocation.revoked":
                raise CertificateRefused(error.problem) from error
            return (error.problem,)
        return ()

    def _with(self, chain: tuple[bytes, ...]) -> Material:
        found = self._with_chain.get(chain)
        if found is None:
            own = self._material
            found = Material(
                [anchor for anchor, _ in own.anchors],
                [*(c for certs in own.intermediates.values() for c in certs), *_readable(chain)],
                [crl for crls in own.crls.values() for crl in crls],
                own.ocsp,
            )
            self._with_chain[chain] = found
            if len(self._with_chain) > _REMEMBERED:
                self._with_chain.popitem(last=False)
        return found


def _readable(chain: tuple[bytes, ...]) -> list[ParsedCertificate]:
    found = []
    for der in chain:
        try:
            found.append(ParsedCertificate(der))
        except CertificateRefused:
            continue  # then no path goes through it
    return found
