"""What must hold between the tables that say who may send as whom."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.reader import Finding, KeyPath
from gateway.config.sections import Config
from gateway.config.senders import OWN, AuthDemand, AuthDirectory
from gateway.senders.rights import BUILT_IN
from pki.directory import is_loopback


def _wrong(path: KeyPath, template: str, example: str = "", **facts: str) -> Finding:
    return Finding(path, template, facts, example)


def offered(config: Config) -> Iterator[Finding]:
    """AUTH is possible, or everything it would take is absent."""
    auth, demand = config.auth, config.listen.auth
    backends = auth.users is not None or bool(auth.directories)
    if demand is not AuthDemand.NONE and config.listen.tls_certificate is None:
        yield _wrong(
            ("listen", "auth"),
            "passwords are taken over TLS only, and there is no tls_certificate",
            'tls_certificate = "keys/smtp.crt" with tls_key = "keys/smtp.key"',
        )
    if demand is AuthDemand.OFFERED and not backends:
        yield _wrong(
            ("listen", "auth"),
            "nobody could log in: there is neither auth.users nor [[auth.directories]]",
            '[auth] with users = "keys/users"',
        )
    if demand is AuthDemand.REQUIRED and not backends and not config.clients:
        yield _wrong(
            ("listen", "auth"),
            "nobody could prove who he is: there is neither auth.users, nor [[auth.directories]], "
            "nor [[clients]]",
            '[auth] with users = "keys/users"',
        )
    if demand is AuthDemand.NONE and backends:
        yield _wrong(
            ("listen", "auth"),
            "there are logins, but AUTH is not offered: nobody could use them",
            'auth = "offered"',
        )


def directories(config: Config) -> Iterator[Finding]:
    """Names once, TLS or loopback, name and password together."""
    names = [each.name for each in config.auth.directories]
    yield from _twice(("auth", "directories"), names)
    for number, directory in enumerate(config.auth.directories):
        yield from _directory(("auth", "directories", number), directory)


def _directory(path: KeyPath, directory: AuthDirectory) -> Iterator[Finding]:
    secure = directory.starttls
    for url in directory.url:
        if url.startswith("ldaps:"):
            secure = True
            if directory.starttls:
                yield _wrong(
                    (*path, "starttls"), "ldaps:// is TLS from the start; starttls is for ldap://"
                )
        elif not directory.starttls and not is_loopback(urlsplit(url).hostname or ""):
            # No exception for a "protected" wire, as [[pki.directories]] has: here go passwords.
            yield _wrong(
                (*path, "url"),
                "people's passwords would go over this connection in clear text",
                'url = "ldaps://ldap.interior.example", or starttls = true',
            )
    if secure and directory.ca is None:
        yield _wrong(
            (*path, "ca"),
            "TLS needs the CA that the server's certificate is checked against; the system's "
            "roots are not trusted",
            'ca = "anchors/ldap-ca.crt"',
        )
    if bool(directory.bind_dn) != (directory.password_file is not None):
        yield _wrong(
            (*path, "bind_dn"),
            "bind_dn and password_file go together",
            'bind_dn = "cn=sceau,dc=justice,dc=example" with password_file = "keys/ldap.password"',
        )


def clients(config: Config) -> Iterator[Finding]:
    """Each entry says whose certificates it means."""
    yield from _twice(("clients",), [each.name for each in config.clients])
    if config.clients and config.listen.tls_certificate is None:
        yield _wrong(
            ("clients", 0),
            "client certificates are shown over TLS only, and there is no tls_certificate",
            '[listen] with tls_certificate = "keys/smtp.crt"',
        )
    for number, client in enumerate(config.clients):
        if not client.certificates and not client.names:
            yield _wrong(
                ("clients", number),
                "which certificates of this CA are meant? name them by fingerprint or by name",
                'names = ["crm.interior.example"]',
            )
        if client.unsafe_no_revocation and not client.names:
            yield _wrong(
                ("clients", number, "unsafe_no_revocation"),
                "certificates named by fingerprint need no CRL anyway",
            )


def senders(config: Config) -> Iterator[Finding]:
    """Each rule is for somebody there can be, and gives only what is ours to give."""
    yield from _twice(("senders",), [each.name for each in config.senders])
    known = [each.name for each in config.clients]
    for number, rule in enumerate(config.senders):
        path: KeyPath = ("senders", number)
        if rule.name in BUILT_IN:
            yield _wrong(
                (*path, "name"), "{name} is the name of a built-in rule", 'name = "press"',
                name=rule.name,
            )  # fmt: skip
        if not (rule.login or rule.group or rule.client):
            yield _wrong(
                path, "for whom is this rule? it has neither login, nor group, nor client",
                'login = "anna"',
            )  # fmt: skip
        if rule.client and rule.login:
            yield _wrong(
                (*path, "client"),
                "nobody has both: who logs in is not known by his certificate; write two rules",
            )
        for name in rule.client:
            if name not in known:
                yield _wrong(
                    (*path, "client"),
                    "there is no [[clients]] entry {name}; there are: {names}",
                    name=name,
                    names=", ".join(known) or "-",
                )
        for pattern in rule.addresses:
            domain = pattern.text.rpartition("@")[2].removeprefix("*.")
            ours = config.gateway.domains
            below = pattern.text.startswith("*.") and any(d.endswith("." + domain) for d in ours)
            if pattern not in (OWN,) and pattern.text != "*" and domain not in ours and not below:
                yield _wrong(
                    (*path, "addresses"),
                    "{domain} is not one of our domains (gateway.domains)",
                    domain=domain,
                )


def _twice(table: KeyPath, names: list[str]) -> Iterator[Finding]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield _wrong(
                (*table, number, "name"), "another one is already called {name}", name=name
            )


SUBJECTS = (offered, directories, clients, senders)
