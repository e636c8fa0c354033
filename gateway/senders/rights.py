"""From an identity to the addresses it may send as. Pure.

Rules only give, none takes away, and what no rule gives is refused: reading them in order always
ends at the one that allowed a mail, and its name stands in the archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from gateway.errors import Refusal
from gateway.mail import Identity, Peer
from gateway.policy.patterns import Pattern

OWN_ADDRESS = "own-address"
RELAY_DOMAINS = "relay-domains"
BUILT_IN = (OWN_ADDRESS, RELAY_DOMAINS)

# Who writes notices (RFC 3464) with the null sender, when From is bound to the envelope.
_NOTICE_WRITERS = frozenset({"mailer-daemon", "postmaster"})


@dataclass(frozen=True, slots=True)
class Relay:
    """A network whose machines vouch for the senders of some domains.

    xclient: it may say XCLIENT. from_is_envelope: it has checked the envelope's sender only
    (Postfix: smtpd_sender_login_maps), so From must be that address.
    """

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    domains: tuple[str, ...]
    xclient: bool = False
    from_is_envelope: bool = False


@dataclass(frozen=True, slots=True)
class SenderRule:
    """Gives those it is for the right to some addresses.

    logins: names, "*" in them stands for any characters. groups: lower case. clients: names of
    [[clients]] entries. Each list that is not empty must fit. own: his own addresses.
    """

    name: str
    logins: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    own: bool = False
    patterns: tuple[Pattern, ...] = ()
    _login: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """A rule for nobody in particular would be a rule for everybody. Raises ValueError."""
        if not (self.logins or self.groups or self.clients):
            raise ValueError(f"the sender rule {self.name} is for nobody")
        terms = (".*".join(map(re.escape, one.split("*"))) for one in self.logins)
        object.__setattr__(self, "_login", re.compile("|".join(terms), re.DOTALL))

    def fits(self, identity: Identity) -> bool:
        """Whether this rule is for him."""
        certificate = identity.method == "client-certificate"
        if self.logins:
            assert self._login is not None
            # A certificate's entry is not a login: a rule for one must not fit the other.
            if certificate or self._login.fullmatch(identity.name) is None:
                return False
        if self.clients and not (certificate and identity.name in self.clients):
            return False
        return not self.groups or not self.groups.isdisjoint(identity.groups)

    def gives(self, identity: Identity, address: str) -> bool:
        """Whether it gives the right to this canonical address."""
        if self.own and address in identity.addresses:
            return True
        return any(pattern.matches(address) for pattern in self.patterns)


class NotYours(Refusal):
    """550 5.7.1: proved who he is, and may not send as this address. reason: for the log."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(550, "5.7.1", text)
        self.reason = reason


class Rights:
    """All rights of an installation.

    domains: ours; nobody may send as anything else, whatever a directory or a rule says.
    login_required: a relay's network alone proves nothing.
    """

    def __init__(
        self,
        relays: Iterable[Relay],
        domains: Iterable[str],
        rules: Sequence[SenderRule] = (),
        *,
        login_required: bool = False,
    ) -> None:
        self._relays = {relay.name: relay for relay in relays}
        self._domains = frozenset(domains)
        self._rules = tuple(rules)
        self._login_required = login_required

    def grant(self, peer: Peer, address: str, *, envelope: str | None = None) -> str:
        """The name of the rule by which `peer` may send as `address` (canonical).

        envelope: canonical MAIL FROM ("" the null sender) when a header field is asked about, None
        when it is asked about itself.
        Raises Refusal: 530 where nothing was proved, NotYours where it does not give the right.
        """
        domain = address.rpartition("@")[2]
        if peer.identity is None:
            return self._by_network(peer, address, domain, envelope)
        if domain not in self._domains:
            raise NotYours("this address is not in a domain of this gateway", "foreign domain")
        self._vouched_by_front(peer, domain)
        for rule in self._rules:
            if rule.fits(peer.identity) and rule.gives(peer.identity, address):
                return rule.name
        if address in peer.identity.addresses:
            return OWN_ADDRESS
        raise NotYours("you may not send as this address", "no rule gives it")

    def proved(self, peer: Peer) -> None:
        """Refuse a peer who has not proved anything that could give a right. Raises Refusal."""
        if peer.identity is None and (self._login_required or peer.relay not in self._relays):
            raise Refusal(530, "5.7.0", "Authentication required")  # RFC 4954 §6

    def _by_network(self, peer: Peer, address: str, domain: str, envelope: str | None) -> str:
        self.proved(peer)
        relay = self._relays[peer.relay]
        if domain not in relay.domains or domain not in self._domains:
            raise NotYours("this host may not send for that sender's domain", "relay's domains")
        self._vouched_by_front(peer, domain)
        if relay.from_is_envelope and envelope is not None and address != envelope:
            local = address.rpartition("@")[0]
            if envelope or local not in _NOTICE_WRITERS:
                raise NotYours("From must be the envelope's sender", "from is not the envelope's")
        return RELAY_DOMAINS

    def _vouched_by_front(self, peer: Peer, domain: str) -> None:
        """What a front end says by XCLIENT never reaches further than its own domains."""
        if peer.via and domain not in self._relays[peer.via].domains:
            raise NotYours("this host may not send for that sender's domain", "front's domains")
