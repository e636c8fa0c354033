"""Which certificates and which reasons a CRL speaks for (RFC 5280 §4.2.1.13, §5.2.5). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from pki.certificate import ParsedCertificate
from pki.names import NameKey, name_key, rdn_key

# A name of a distribution point: ("uri", text) or ("directory", name).
PointName = tuple[str, str | NameKey]
Reasons = frozenset[x509.ReasonFlags]

# The special value all-reasons of §6.3.2 (a). The two that are left out have no bit in ReasonFlags.
ALL_REASONS: Reasons = frozenset(x509.ReasonFlags) - {
    x509.ReasonFlags.unspecified,
    x509.ReasonFlags.remove_from_crl,
}
NO_REASONS: Reasons = frozenset()


@dataclass(frozen=True, slots=True)
class IssuingScope:
    """issuingDistributionPoint of a CRL (§5.2.5). Without one the defaults hold: everything that
    the CRL's issuer has issued, for all reasons.

    points: None if the CRL belongs to no distribution point; reasons: onlySomeReasons.
    """

    points: frozenset[PointName] | None = None
    only_users: bool = False
    only_cas: bool = False
    reasons: Reasons | None = None
    indirect: bool = False


@dataclass(frozen=True, slots=True)
class _Point:
    """A DistributionPoint of a certificate (§4.2.1.13).

    names: of distributionPoint, or those of cRLIssuer if that stands alone. crl_issuers: empty if
    the certificate's issuer publishes the CRL itself.
    """

    names: frozenset[PointName]
    crl_issuers: frozenset[NameKey]
    reasons: Reasons


def read_scope(point: x509.IssuingDistributionPoint, issuer: NameKey) -> IssuingScope:
    """issuer: of the CRL; relative names are relative to it."""
    named = point.full_name is not None or point.relative_name is not None
    return IssuingScope(
        _names(point.full_name, point.relative_name, issuer) if named else None,
        point.only_contains_user_certs,
        point.only_contains_ca_certs,
        point.only_some_reasons,
        point.indirect_crl,
    )


class DistributionPoints:
    """Where the CRLs of a certificate are, read once for all CRLs that are looked at."""

    def __init__(self, cert: ParsedCertificate) -> None:
        self._issuer = cert.issuer
        self._is_ca = cert.is_ca
        self._points = _points(cert)

    @property
    def crl_issuers(self) -> tuple[NameKey, ...]:
        """Whose CRLs may speak for the certificate: its issuer's, and those of each cRLIssuer."""
        others = frozenset[NameKey]().union(*(point.crl_issuers for point in self._points))
        return (self._issuer, *(others - {self._issuer}))

    def reasons(self, scope: IssuingScope, issuer: NameKey) -> Reasons:
        """For which reasons a CRL of `issuer` speaks for the certificate; none: it does not.

        §6.3.3 (b) and (d), the union over all distribution points, since each of them is tried.
        """
        if (scope.only_users and self._is_ca) or (scope.only_cas and not self._is_ca):
            return NO_REASONS  # (b)(2)(ii), (iii); (iv) never gets here: `Crl` refuses it
        covered = NO_REASONS
        for point in self._points:
            if point.crl_issuers:  # (b)(1)
                if issuer not in point.crl_issuers or not scope.indirect:
                    continue
            elif issuer != self._issuer:
                continue
            if scope.points is not None and not scope.points & point.names:  # (b)(2)(i)
                continue
            some = ALL_REASONS if scope.reasons is None else scope.reasons
            covered |= point.reasons & some  # (d)
        return covered


def _points(cert: ParsedCertificate) -> list[_Point]:
    """The distribution points of a certificate, and the one that §6.3.3 tries at the end:

    "assuming a DP with both the reasons and the cRLIssuer fields omitted and a distribution point
    name of the certificate issuer".
    """
    points = []
    for point in cert.distribution_points or ():
        issuers = frozenset(
            name_key(name.value)
            for name in point.crl_issuer or ()
            if isinstance(name, x509.DirectoryName)
        )
        if point.crl_issuer and not issuers:
            continue  # §4.2.1.13: cRLIssuer holds an X.500 name; another names nobody we know
        if point.full_name is None and point.relative_name is None:
            names = frozenset[PointName](("directory", name) for name in issuers)
            if not issuers:
                continue  # §4.2.1.13: "MUST NOT consist of only the reasons field"
        else:
            # With a relative name there is exactly one cRLIssuer, if any.
            base = next(iter(issuers), cert.issuer)
            names = _names(point.full_name, point.relative_name, base)
        reasons = ALL_REASONS if point.reasons is None else point.reasons
        points.append(_Point(names, issuers, reasons))
    own = frozenset[PointName]({("directory", cert.issuer)})
    return [*points, _Point(own, frozenset(), ALL_REASONS)]


def _names(
    full_name: list[x509.GeneralName] | None,
    relative_name: x509.RelativeDistinguishedName | None,
    issuer: NameKey,
) -> frozenset[PointName]:
    """Names of a DistributionPointName, comparable."""
    if relative_name is not None:
        return frozenset({("directory", (*issuer, rdn_key(relative_name)))})
    names: set[PointName] = set()
    for name in full_name or ():
        if isinstance(name, x509.UniformResourceIdentifier):
            names.add(("uri", name.value))
        elif isinstance(name, x509.DirectoryName):
            names.add(("directory", name_key(name.value)))
    return frozenset(names)
