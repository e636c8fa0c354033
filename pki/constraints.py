"""Name constraints (RFC 5280 §4.2.1.10, RFC 9598 §6). Pure.

Stricter than the text in one point, because we believe e-mail addresses in the subject even beside
a subjectAltName (RFC 8550 §3): rfc822Name constraints hold for every address we would believe.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography import x509

from pki import ber
from pki.addresses import SMTP_UTF8_MAILBOX, canonical, canonical_domain
from pki.certificate import ParsedCertificate
from pki.der import extension_value
from pki.errors import AddressError, CertificateRefused, problem
from pki.names import name_key, name_text

# Names of one path times constraints on them. Two certificates of 100 kB, one full of names and
# one full of constraints, would ask for a hundred million comparisons.
MAX_COMPARISONS = 50_000

_NAME_CONSTRAINTS = bytes.fromhex("0603551d1e")


@dataclass(frozen=True, slots=True)
class _Name:
    """A general name: its form and its comparable value."""

    form: str
    value: object
    general: x509.GeneralName | None = None

    @property
    def text(self) -> str:
        """For people."""
        if isinstance(self.general, x509.DirectoryName):
            return name_text(self.general.value)
        if isinstance(self.general, x509.OtherName):
            return self.general.type_id.dotted_string
        if isinstance(self.general, x509.RegisteredID):
            return self.general.value.dotted_string
        value = self.value if self.general is None else self.general.value
        return ascii(str(value))[1:-1][:200]


@dataclass(slots=True)
class NameConstraintState:
    """permitted_subtrees and excluded_subtrees of §6.1.2 (b), (c).

    permitted: for each certificate that had some its bases by form; a name must be within one of
    its form of each. excluded: bases by form.
    """

    permitted: list[dict[str, list[_Name]]] = field(default_factory=list)
    excluded: dict[str, list[_Name]] = field(default_factory=dict)
    _compared: int = 0

    def add(self, cert: ParsedCertificate) -> None:
        """§6.1.4 (g)."""
        constraints = cert.name_constraints
        if constraints is None:
            return
        ranged = _ranged(cert)
        if constraints.permitted_subtrees:
            self.permitted.append({})
            for number, name in enumerate(constraints.permitted_subtrees):
                base = _base(name, comparable=not ranged(0, number))
                self.permitted[-1].setdefault(base.form, []).append(base)
        for number, name in enumerate(constraints.excluded_subtrees or ()):
            base = _base(name, comparable=not ranged(1, number))
            self.excluded.setdefault(base.form, []).append(base)

    def violation(self, cert: ParsedCertificate) -> str:
        """§6.1.3 (b), (c): the first name outside, in words, or "".

        Raises CertificateRefused (limits.names).
        """
        if not self.permitted and not self.excluded:
            return ""
        for name in _names(cert):
            for subtrees in self.permitted:
                bases = subtrees.get(name.form, [])
                self._count(len(bases), cert)
                if bases and not any(_within(name, base, doubt=False) for base in bases):
                    return name.text
            bases = self.excluded.get(name.form, [])
            self._count(len(bases), cert)
            if any(_within(name, base, doubt=True) for base in bases):
                return name.text
        return ""

    def _count(self, more: int, cert: ParsedCertificate) -> None:
        self._compared += more
        if self._compared > MAX_COMPARISONS:
            raise CertificateRefused(
                problem(
                    "limits.names",
                    "the names of {subject} would have to be compared more than {limit} times with "
                    "what its issuers may certify",
                    subject=cert.subject_text,
                    limit=str(MAX_COMPARISONS),
                )
            )


def _base(name: x509.GeneralName, *, comparable: bool) -> _Name:
    base = _read(name)
    return base if comparable else _Name(base.form, None, name)


def _ranged(cert: ParsedCertificate) -> Callable[[int, int], bool]:
    """Whether a subtree has minimum or maximum, which `cryptography` passes over.

    It is asked with 0 and n for the n-th permitted one, with 1 and n for the n-th excluded one.
    §4.2.1.10: names of such a form must be rejected.
    """
    value = extension_value(cert.der, _NAME_CONSTRAINTS)
    found = set()
    try:
        for subtrees in ber.read(value, max_elements=100_000) if value else ():
            for number, subtree in enumerate(subtrees):
                if len(subtree.children) > 1:
                    found.add((subtrees.tag & 1, number))
    except ValueError:
        return lambda _kind, _number: True  # nested too deep in a name: nothing can be compared
    return lambda kind, number: (kind, number) in found


def _names(cert: ParsedCertificate) -> list[_Name]:
    names: list[_Name] = []
    if cert.subject:
        names.append(_Name("directory", cert.subject, x509.DirectoryName(cert.x509.subject)))
    # Addresses come from `cert.addresses`, in one form, from wherever they stand.
    names += [_read(name) for name in cert.san or () if not _is_mailbox(name)]
    texts = cert.addresses.usable + cert.addresses.malformed
    return names + [_Name("mailbox", text) for text in texts]


def _is_mailbox(name: x509.GeneralName) -> bool:
    return isinstance(name, x509.RFC822Name) or (
        isinstance(name, x509.OtherName) and name.type_id == SMTP_UTF8_MAILBOX
    )


def _read(name: x509.GeneralName) -> _Name:
    """Constraints apply to names of the same form only. value: None if it cannot be compared."""
    if isinstance(name, x509.DirectoryName):
        return _Name("directory", name_key(name.value), name)
    if isinstance(name, x509.OtherName):
        if name.type_id == SMTP_UTF8_MAILBOX:
            # RFC 9598 §6: rfc822Name constrains these; a constraint of this form has no meaning,
            # so no address can be said to be within, nor outside.
            return _Name("mailbox", None, name)
        return _Name(f"other {name.type_id.dotted_string}", None, name)
    if isinstance(name, x509.RFC822Name):
        return _Name("mailbox", name.value, name)
    if isinstance(name, x509.DNSName):
        return _Name("host", name.value, name)
    if isinstance(name, x509.UniformResourceIdentifier):
        return _Name("uri", name.value, name)
    if isinstance(name, x509.IPAddress):
        return _Name("ip", name.value, name)
    return _Name(type(name).__name__, None, name)


def _within(name: _Name, base: _Name, *, doubt: bool) -> bool:
    """Whether `name` lies in the subtree `base`. doubt: the answer where it cannot be told."""
    if base.value is None:
        return doubt
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
        return _dns_within(name.value, base.value, doubt=doubt)
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


def _dns_within(host: str, base: str, *, doubt: bool) -> bool:
    """§4.2.1.10: "any DNS name that can be constructed by simply adding zero or more labels".

    A leading dot, which the RFC does not know here, is read as "one or more" where it permits and
    as "zero or more" where it excludes. A wildcard stands for names below it, too.
    """
    if (
        doubt
        and host.startswith("*.")
        and _host_below(base.removeprefix("."), host[2:], below=True)
    ):
        return True
    same = doubt or not base.startswith(".")
    return _host_below(host, base.removeprefix("."), below=True, same=same)


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
