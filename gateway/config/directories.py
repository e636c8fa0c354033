"""What must hold between the keys of one `[[pki.directories]]`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.pki_sections import Directory, DirectoryGroups
from gateway.config.reader import Finding, KeyPath
from pki.directory import is_loopback


def check_directory(path: KeyPath, directory: Directory) -> Iterator[Finding]:
    """All findings for one directory that stands at `path`."""
    yield from _connections(path, directory)
    yield from _login(path, directory)
    yield from _groups((*path, "groups"), directory.groups)


def _wrong(path: KeyPath, template: str, example: str = "", **facts: str) -> Finding:
    return Finding(path, template, facts, example)


def _connections(path: KeyPath, directory: Directory) -> Iterator[Finding]:
    secure = [url for url in directory.url if url.startswith("ldaps:")]
    clear = [url for url in directory.url if not url.startswith("ldaps:")]
    if secure and directory.starttls:
        yield _wrong((*path, "starttls"), "ldaps:// is TLS from the start; starttls is for ldap://")
    exposed = [url for url in clear if not is_loopback(urlsplit(url).hostname or "")]
    if exposed and not directory.starttls and not directory.unsafe_plain:
        yield _wrong(
            (*path, "url"),
            "this connection would be in clear text, and anyone on the way could give us his "
            "own certificates",
            'url = "ldaps://ldap.justice.example", or starttls = true',
        )
    if directory.unsafe_plain and (directory.starttls or not clear):
        yield _wrong((*path, "unsafe_plain"), "unsafe_plain contradicts TLS")
    if (secure or directory.starttls) and directory.ca is None:
        yield _wrong(
            (*path, "ca"),
            "TLS needs the CA that the server's certificate is checked against; the system's "
            "roots are not trusted",
            'ca = "anchors/ldap-ca.crt"',
        )
    if directory.client_certificate is not None and clear and not directory.starttls:
        yield _wrong(
            (*path, "client_certificate"),
            "a client certificate is shown in TLS only, and one of the servers is asked without",
            'url = "ldaps://ldap.justice.example", or starttls = true',
        )


def _login(path: KeyPath, directory: Directory) -> Iterator[Finding]:
    if bool(directory.bind_dn) != (directory.password_file is not None):
        yield _wrong(
            (*path, "bind_dn"),
            "bind_dn and password_file go together",
            'bind_dn = "cn=sceau,dc=justice,dc=example" with password_file = "keys/ldap.password"',
        )
    if (directory.client_certificate is None) != (directory.client_key is None):
        yield _wrong(
            (*path, "client_key"),
            "client_certificate and client_key go together",
            'client_certificate = "keys/ldap-client.crt" with client_key = "keys/ldap-client.key"',
        )
    if directory.sasl_external and directory.client_certificate is None:
        yield _wrong(
            (*path, "sasl_external"),
            "SASL EXTERNAL logs in by a client certificate, and there is none",
            'client_certificate = "keys/ldap-client.crt" with client_key = "keys/ldap-client.key"',
        )
    if directory.sasl_external and directory.bind_dn:
        yield _wrong(
            (*path, "sasl_external"),
            "the login is by client certificate or by name and password, not by both",
            "sasl_external = true without bind_dn and password_file",
        )


def _groups(path: KeyPath, groups: DirectoryGroups) -> Iterator[Finding]:
    if not groups.base and groups != DirectoryGroups():
        yield _wrong(
            (*path, "base"),
            "no group is looked for without the place where groups lie",
            'base = "ou=groups,dc=justice,dc=example"',
        )
    if groups.base and not groups.member and not groups.member_of:
        yield _wrong(
            (*path, "member"),
            "nothing says who is in a group: neither member nor member_of",
            'member = "member"',
        )
