"""Name constraints (RFC 5280 §4.2.1.10, RFC 9598 §6). Pure.

Stricter than the text in one point, because we believe e-mail addresses in the subject even beside
a subjectAltName (RFC 8550 §3): rfc822Name constraints hold for every address we would believe.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography import x509

from pki.addresses import SMTP_UTF8_MAILBOX, canonical, canonical_domain
from pki.certificate import ParsedCertificate
from pki.errors import AddressError, CertificateRefused, problem
from pki.names import name_key, name_text

# Names before subtrees, along one path. 100 kB of each make 10^8 comparisons, half a minute
# (CVE-2021-44533 and its kin); a CA of 500 domains and a certificate of 100 names make 50,000.
MAX_COMPARISONS = 100_000


@dataclass(frozen=True, slots=True)
class _Name:
    """A general name: form, comparable value, and text for people."""

    form: str
    value: object
    text: str


@dataclass(slots=True)
class NameConstraintState:
    """permitted_subtrees and excluded_subtrees of §6.1.2 (b), (c).

    permitted: one list per certificate that had constraints of a form; a name must be within each.
    """

    permitted: list[list[_Name]] = field(default_factory=list)
    excluded: list[_Name] = field(default_factory=list)
    _left: int = MAX_COMPARISONS

    def add(self, cert: ParsedCertificate) -> None:
        """§6.1.4 (g). Raises CertificateRefused (limits.names)."""
        constraints = cert.name_constraints
        if constraints is None:
            return
        subtrees = (constraints.permitted_subtrees, constraints.excluded_subtrees)
        self._spend(sum(len(some or ()) for some in subtrees), cert)
        if constraints.permitted_subtrees:
            self.permitted.append([_read(base) for base in constraints.permitted_subtrees])
        self.excluded += [_read(base) for base in constraints.excluded_subtrees or []]

    def violation(self, cert: ParsedCertificate) -> str:
        """§6.1.3 (b), (c): the first name outside, in words, or "".

        Raises CertificateRefused (limits.names).
        """
        if not self.permitted and not self.excluded:
            return ""
        trees = sum(map(len, self.permitted)) + len(self.excluded)
        self._spend((_name_count(cert) + 1) * trees, cert)
        for name in _names(cert):
            for subtrees in self.permitted:
                bases = [base for base in subtrees if base.form == name.form]
                if bases and not any(_within(name, base, doubt=False) for base in bases):
                    return name.text
            for base in self.excluded:
                if base.form == name.form and _within(name, base, doubt=True):
                    return name.text
        return ""

    def _spend(self, comparisons: int, cert: ParsedCertificate) -> None:
        self._left -= comparisons
        if self._left < 0:
            raise CertificateRefused(
                problem(
                    "limits.names",
                    "the names of {subject} and the name constraints above it are more than "
                    "{count} comparisons",
                    subject=cert.subject_text,
                    count=str(MAX_COMPARISONS),
                )
            )


def _name_count(cert: ParsedCertificate) -> int:
    return len(cert.san or ()) + len(cert.addresses.usable) + len(cert.addresses.malformed)


def _names(cert: ParsedCertificate) -> list[_Name]:
    names: list[_Name] = []
    if cert.subject:
        names.append(_Name("directory", cert.subject, cert.subject_text))
    # Addresses come from `cert.addresses`, in one form, from wherever they stand.
    names += [_read(name) for name in cert.san or () if not _is_mailbox(name)]
    texts = cert.addresses.usable + cert.addresses.malformed
    return names + [_Name("mailbox", text, ascii(text)[1:-1][:200]) for text in texts]


def _is_mailbox(name: x509.GeneralName) -> bool:
    return isinstance(name, x509.RFC822Name) or (
        isinstance(name, x509.OtherName) and name.type_id == SMTP_UTF8_MAILBOX
    )


def _read(name: x509.GeneralName) -> _Name:
    """Constraints apply to names of the same form only."""
    if isinstance(name, x509.DirectoryName):
        return _Name("directory", name_key(name.value), name_text(name.value))
    if isinstance(name, x509.OtherName):
        return _Name(f"other {name.type_id.dotted_string}", None, name.type_id.dotted_string)
    text = ascii(str(name.value))[1:-1][:200]
    if isinstance(name, x509.RFC822Name):
        return _Name("mailbox", name.value, text)
    if isinstance(name, x509.DNSName):
        return _Name("host", name.value, text)
    if isinstance(name, x509.UniformResourceIdentifier):
        return _Name("uri", name.value, text)
    if isinstance(name, x509.IPAddress):
        return _Name("ip", name.value, text)
    return _Name(type(name).__name__, None, text)


def _within(name: _Name, base: _Name, *, doubt: bool) -> bool:
    """Whether `name` lies in the subtree `base`. doubt: the answer where it cannot be told."""
    if name.form == "directory":
        assert isinstance(name.value, tuple)
        assert isinstance(base.value, tuple)
        return name.value[: len(base.value)] == base.value
    if name.form == "ip":
        return _ip_within(name.value, base.value, doubt=doubt)
    if not isinstance(name.value, str) or not isinstance(base.value, str):
        return doubt  # a form that is not processed: §4.2.1.10 "or reject the certificate"
    if name.form == "mailbox":
        return _mailbox_within(name.value, base.value, doubt=doubt)
    if name.form == "host":
        return _host_below(name.value, base.value.removeprefix("."), below=True)
    return _uri_within(name.value, base.value, doubt=doubt)


def _mailbox_within(address: str, base: str, *, doubt: bool) -> bool:
    """A mailbox, all of a host ("host"), or all hosts below a domain (".domain")."""
    try:
        found = canonical(address)
        if "@" in base:
            return found == canonical(base)
        domain = found.rpartition("@")[2]
        if base.startswith("."):
            return domain.endswith("." + canonical_domain(base[1:]))
        return domain == canonical_domain(base)
    except AddressError:
        return doubt


def _uri_within(uri: str, base: str, *, doubt: bool) -> bool:
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return doubt
    if not host or host.replace(".", "").isdigit() or ":" in host:
        return doubt  # §4.2.1.10: no host name in the URI: reject
    return _host_below(
        host, base.removeprefix("."), below=base.startswith("."), same=base[:1] != "."
    )


def _host_below(host: str, base: str, *, below: bool, same: bool = True) -> bool:
    host, base = host.lower().rstrip("."), base.lower().rstrip(".")
    if not base:
        return True
    return (same and host == base) or (below and host.endswith("." + base))


def _ip_within(address: object, base: object, *, doubt: bool) -> bool:
    if not isinstance(base, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return doubt
    if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return doubt
    return address.version == base.version and address in base
