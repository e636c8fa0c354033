"""Who may send as whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gateway.config import AuthDemand
from gateway.config.senders import OWN
from gateway.errors import SceauError
from gateway.passwords import secret
from gateway.senders.clients import ClientEntry, Clients
from gateway.senders.directory import LoginClient, LoginDirectory
from gateway.senders.logins import Groups, Logins
from gateway.senders.proofs import SenderProofs
from gateway.senders.rights import Relay, Rights, SenderRule
from gateway.senders.throttle import Limits, Throttle
from gateway.senders.users import UsersFile
from gateway.wiring.certificates import CertificateParts
from pki.anchors import load_certificates
from pki.certificate import ParsedCertificate


@dataclass
class SenderParts(CertificateParts):
    """And those that know senders."""

    @cached_property
    def relays(self) -> tuple[Relay, ...]:
        """Listed networks."""
        return tuple(
            Relay(each.name, each.networks, each.domains, each.xclient, each.from_is_envelope)
            for each in self.config.relays
        )

    @cached_property
    def rights(self) -> Rights:
        """From an identity to the addresses it may send as."""
        rules = [
            SenderRule(
                each.name,
                logins=each.login,
                groups=frozenset(each.group),
                clients=frozenset(each.client),
                own=OWN in each.addresses,
                patterns=tuple(pattern for pattern in each.addresses if pattern != OWN),
            )
            for each in self.config.senders
        ]
        required = self.config.listen.auth is AuthDemand.REQUIRED
        return Rights(self.relays, self.config.gateway.domains, rules, login_required=required)

    @cached_property
    def login_groups(self) -> Groups | None:
        """The same, where a sender rule asks for groups. Raises SceauError."""
        rule = next((each for each in self.config.senders if each.group), None)
        known = any(each.groups.base for each in self.config.pki.directories)
        if rule is not None and not known:
            raise SceauError(
                "the sender rule {name} names a group, and no directory tells who is in it",
                hint="name the addresses or logins, or configure a directory with groups",
                facts={"name": rule.name},
            )
        return self.groups if rule is not None else None

    @cached_property
    def clients(self) -> Clients:
        """Who may come with which certificate."""
        return Clients(
            [
                ClientEntry(
                    each.name,
                    tuple(ParsedCertificate(der) for der in load_certificates(each.ca)),
                    frozenset(each.certificates),
                    each.names,
                    each.unsafe_no_revocation,
                )
                for each in self.config.clients
            ]
        )

    @cached_property
    def login_directories(self) -> tuple[LoginClient, ...]:
        """LDAP servers that check passwords; connected when asked."""
        return tuple(
            LoginClient(
                LoginDirectory(
                    name=each.name,
                    urls=each.url,
                    base=each.base,
                    filter=each.filter,
                    login_attribute=each.login_attribute,
                    address_attributes=each.address_attributes,
                    starttls=each.starttls,
                    ca=each.ca,
                    bind_dn=each.bind_dn,
                    password=secret(each.password_file).decode() if each.password_file else "",
                    timeout=each.timeout,
                )
            )
            for each in self.config.auth.directories
        )

    @cached_property
    def proofs(self) -> SenderProofs | None:
        """Judges logins, certificates, and what front ends say; None where there are none."""
        auth = self.config.auth
        fronts = frozenset(relay.name for relay in self.relays if relay.xclient)
        if self.config.listen.auth is AuthDemand.NONE and not self.config.clients and not fronts:
            return None
        limits = Limits(auth.failures, auth.window, longest_wait=auth.longest_wait)
        logins = Logins(
            users=UsersFile(auth.users) if auth.users else None,
            directories=self.login_directories,
            throttle=Throttle(self.data_folder / "guessing", limits),
            groups=self.login_groups,
        )
        return SenderProofs(
            logins=logins,
            clients=self.clients,
            material=self.gate.around(lambda: self.trust.current().material),
            fronts=fronts,
            offers_auth=self.config.listen.auth is not AuthDemand.NONE
            and bool(auth.users or auth.directories),
        )
