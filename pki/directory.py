"""A directory as the admin described it, and what of such a description is refused."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pki.errors import DirectoryTrouble, problem


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory as the admin described it.

    domains: address domains it is asked for (S20: no other look-up leaves); see
    `pki.addresses.in_domain`. ca_file: PEM; needed for ldaps:// and StartTLS, the system's CAs are
    not used. unsafe_plain: allow ldap:// without StartTLS to another machine.
    ignore_references: an answer that only refers to other servers means "nothing here", and not
        "cannot tell". For servers that add references to every answer (Active Directory, asked at
        its root).
    """

    name: str
    url: str
    base: str
    domains: tuple[str, ...]
    starttls: bool = False
    ca_file: Path | None = None
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    network_timeout: timedelta = timedelta(seconds=2)
    operation_timeout: timedelta = timedelta(seconds=3)
    attributes: tuple[str, ...] = ("userCertificate;binary", "userCertificate")
    mail_attributes: tuple[str, ...] = ("mail",)
    unsafe_plain: bool = False
    ignore_references: bool = False


def check_settings(directory: Directory) -> None:
    """Refuse what would not work or not be safe. Raises DirectoryTrouble."""
    parts = urlsplit(directory.url)
    why = ""
    if parts.scheme not in ("ldap", "ldaps", "ldapi"):
        why = "its address must begin with ldaps://, ldap:// or ldapi://"
    elif parts.path.strip("/") or parts.query or parts.fragment:
        why = "its address must be scheme://host:port; the base has a setting of its own"
    elif parts.scheme == "ldaps" and directory.starttls:
        why = "ldaps:// has TLS from the start; StartTLS is for ldap://"
    elif (parts.scheme == "ldaps" or directory.starttls) and directory.ca_file is None:
        why = "TLS needs the file of the CA that certifies the server"
    elif directory.ca_file is not None and not directory.ca_file.is_file():
        why = "the file of its CA does not exist"
    elif (
        parts.scheme == "ldap"
        and not directory.starttls
        and not directory.unsafe_plain
        and not _is_loopback(parts.hostname or "")
    ):
        why = "ldap:// in clear is for this machine only; use ldaps:// or StartTLS"
    elif not directory.attributes or not directory.mail_attributes:
        why = "it needs at least one certificate attribute and one mail attribute"
    if why:
        raise DirectoryTrouble(
            problem(
                "directory.settings",
                "the directory {directory} cannot be used: " + why,
                directory=directory.name,
            )
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
