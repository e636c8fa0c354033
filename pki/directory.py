"""A directory as the admin described it, and what of such a description is refused."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from pki.errors import DirectoryTrouble, problem

CERTIFICATE_ATTRIBUTES = (
    "userCertificate;binary",
    "userCertificate",
    "userSMIMECertificate;binary",
    "userSMIMECertificate",
)


class ServerOrder(Enum):
    """Which of several servers is asked first."""

    PREFERENCE = "preference"  # the first that is well, as they are listed
    ROUND_ROBIN = "round-robin"  # in turn


@dataclass(frozen=True, slots=True)
class GroupRules:
    """How groups are found. Membership is read from both sides that are named.

    base: where groups lie. object_class: what they are. member: attribute of a group with its
    members' DNs (member, uniqueMember) or uids (memberUid); "" for none. member_of: attribute of a
    person with DNs of groups below `base`; "" for none. name: attribute of a group with its name.
    nested: how many levels of groups in groups count. ttl: how long an answer is used again.
    """

    base: str
    object_class: str = "groupOfNames"
    member: str = "member"
    member_of: str = ""
    name: str = "cn"
    nested: int = 5
    ttl: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory as the admin described it: the same entries on one or several servers.

    urls: its servers, ldaps://, ldap:// or ldapi://, in order of preference.
    domains: address domains it is asked for (S20: no other look-up leaves); see
    `pki.addresses.in_domain`. ca_file: PEM; needed for ldaps:// and StartTLS, the system's CAs are
    not used. certificate_file, key_file: PEM of our TLS client certificate. external: log in by it
    (SASL EXTERNAL), over ldapi:// as the user this runs as. unsafe_plain: allow ldap:// without
    StartTLS to another machine.
    network_timeout: for connecting and logging in. operation_timeout: for one search.
    ignore_references: an answer that only refers to other servers means "nothing here", and not
        "cannot tell". For servers that add references to every answer (Active Directory, asked at
        its root).
    """

    name: str
    urls: tuple[str, ...]
    base: str
    domains: tuple[str, ...]
    order: ServerOrder = ServerOrder.PREFERENCE
    starttls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    external: bool = False
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    network_timeout: timedelta = timedelta(seconds=2)
    operation_timeout: timedelta = timedelta(seconds=3)
    connections: int = 4
    attributes: tuple[str, ...] = CERTIFICATE_ATTRIBUTES
    mail_attributes: tuple[str, ...] = ("mail",)
    unsafe_plain: bool = False
    ignore_references: bool = False
    groups: GroupRules | None = None

    @property
    def time_limit(self) -> float:
        """Seconds that one look-up may take, on however many servers."""
        return (self.network_timeout + self.operation_timeout).total_seconds()


def check_settings(directory: Directory) -> None:
    """Refuse what would not work or not be safe. Raises DirectoryTrouble."""
    why = ""
    if not directory.urls:
        why = "it has no server"
    elif not directory.attributes or not directory.mail_attributes:
        why = "it needs at least one certificate attribute and one mail attribute"
    elif directory.ca_file is not None and not directory.ca_file.is_file():
        why = "the file of its CA does not exist"
    elif (directory.certificate_file is None) != (directory.key_file is None):
        why = "a client certificate and its key go together"
    elif directory.external and (directory.bind_dn or directory.password):
        why = "it logs in by SASL EXTERNAL or by name and password, not by both"
    elif directory.bind_dn and not directory.password:
        # RFC 4513 §5.1.2: such a bind succeeds at many servers, as nobody.
        why = "a name without a password would log in as nobody"
    if why:
        raise _unusable(directory, why)
    for url in directory.urls:
        _check_server(directory, url)


def _check_server(directory: Directory, url: str) -> None:
    why = ""
    parts = urlsplit(url)
    secure = parts.scheme == "ldaps" or directory.starttls
    if parts.scheme not in ("ldap", "ldaps", "ldapi"):
        why = "its address must begin with ldaps://, ldap:// or ldapi://"
    elif parts.path.strip("/") or parts.query or parts.fragment:
        why = "its address must be scheme://host:port; the base has a setting of its own"
    elif parts.scheme != "ldap" and directory.starttls:
        why = "ldaps:// has TLS from the start; StartTLS is for ldap://"
    elif secure and directory.ca_file is None:
        why = "TLS needs the file of the CA that certifies the server"
    elif (
        parts.scheme == "ldap"
        and not directory.starttls
        and not directory.unsafe_plain
        and not is_loopback(parts.hostname or "")
    ):
        why = "ldap:// in clear is for this machine only; use ldaps:// or StartTLS"
    elif directory.external and parts.scheme != "ldapi" and directory.certificate_file is None:
        why = "SASL EXTERNAL needs a client certificate"
    elif directory.certificate_file is not None and not secure:
        why = "a client certificate is shown in TLS only"
    if why:
        raise _unusable(directory, why)


def _unusable(directory: Directory, why: str) -> DirectoryTrouble:
    return DirectoryTrouble(
        problem(
            "directory.settings",
            "the directory {directory} cannot be used: " + why,
            directory=directory.name,
        )
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
