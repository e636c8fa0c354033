"""Trust, certificates of others and keys of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from gateway import clock, failpoint
from gateway.directories import make_client, make_groups
from gateway.errors import CannotTell, SceauError
from gateway.foureyes.desk import house_of
from gateway.foureyes.trust import Decided
from gateway.keks import new_tokens, open_keks
from gateway.key_changes import rule_of
from gateway.key_memory import KeyMemory
from gateway.ocsp import OcspRounds, ocsp_rules
from gateway.seal_check import SealCheck
from gateway.seal_keys import open_seal
from gateway.signers import Signers
from gateway.succession import Seals, succeeding
from gateway.unknown import Unknown
from gateway.wiring.archive import ArchiveParts
from pki.anchors import Anchor, load_anchor, load_certificates
from pki.crl_folder import CrlFolder
from pki.errors import PkiError, TokenTrouble
from pki.fetch import FetchRules
from pki.finder import CertificateFinder
from pki.groups import GroupSource
from pki.keeper import CrlSource
from pki.key_watch import KeyWatch
from pki.ldap import DirectoryClient
from pki.models import Signer
from pki.ocsp_asker import OcspAsker, StoredResponses
from pki.persons import KekRing, PersonSigners
from pki.recipient_keys import Sighting
from pki.trust import StoredTrust

if TYPE_CHECKING:
    from pki.token_sessions import Tokens  # PKCS#11 is loaded where a token is configured


@dataclass
class CertificateParts(ArchiveParts):
    """And those that know certificates."""

    @cached_property
    def anchors(self) -> tuple[Anchor, ...]:
        """The trust anchors of the configuration, fingerprints checked."""
        return tuple(
            load_anchor(
                each.certificate,
                name=each.name,
                fingerprint=each.sha256,
                purposes=frozenset(each.purposes),
                domains=() if each.domains == ("*",) else each.domains,
                grace=each.revocation,
                comment=each.comment,
                sources=each.revocation_sources,
            )
            for each in self.config.pki.anchors
        )

    @cached_property
    def trust(self) -> StoredTrust:
        """Anchors, intermediates, and the CRLs of the database."""
        intermediates = [
            der for path in self.config.pki.intermediates for der in load_certificates(path)
        ]
        read = failpoint.ahead("find.crls-asked", self.database.read)
        return StoredTrust(
            read,
            anchors=self.anchors,
            intermediates=intermediates,
            folder=self.crl_folder,
            decided=self.decided,
            ocsp=self.stored_responses,
            any_usage=self.config.pki.any_extended_key_usage,
        )

    @cached_property
    def crl_folder(self) -> CrlFolder:
        """Where this machine keeps the indexes of large CRLs."""
        return CrlFolder(self.data_folder / "crls")

    @cached_property
    def decided(self) -> Decided:
        """The anchors that two persons approved."""
        return Decided(house_of(self.config))

    @cached_property
    def stored_responses(self) -> StoredResponses:
        """OCSP responses of the database."""
        return StoredResponses(self.database.read)

    @cached_property
    def ocsp(self) -> OcspAsker:
        """Asks OCSP responders."""
        rules = ocsp_rules(self.config.pki, self.fetch_rules)
        return OcspAsker(self.database.read, self.database.write, rules)

    @cached_property
    def ocsp_rounds(self) -> OcspRounds:
        """Asks them ahead of need."""
        return OcspRounds(self.ocsp, self.stored_responses, self.trust.current, self.neighbours)

    @cached_property
    def directories(self) -> tuple[DirectoryClient, ...]:
        """Clients of the configured directories; connected when first asked."""
        return tuple(make_client(each, self.neighbours) for each in self.config.pki.directories)

    @cached_property
    def groups(self) -> GroupSource:
        """Says which groups an address is in; its answers are kept for minutes."""
        return make_groups(self.directories)

    @cached_property
    def finder(self) -> CertificateFinder:
        """Finds and checks recipients' certificates."""
        policy = self.config.policy.policy()
        return CertificateFinder(
            read=self.database.read,
            trust=self.trust,
            directories=self.directories,
            keys=KeyWatch(lambda address: rule_of(self.config, address), self._keys_noticed),
            domain_use=policy.domain_certificate_of,
            second_wanted=policy.two_envelopes,
            found_ttl=self.config.pki.found_ttl,
            missing_ttl=self.config.pki.not_found_ttl,
            unknown=Unknown(self.database.write_beside, clock.now),
            ocsp=self.ocsp,
        )

    def _keys_noticed(self, sightings: Sequence[Sighting]) -> None:
        """Keys are remembered by processes that use them; a command that looks changes nothing."""
        if self.works:
            self._key_memory.note(sightings)

    @cached_property
    def _key_memory(self) -> KeyMemory:
        return KeyMemory(
            self.database.read,
            self.appender.submit,
            rule=lambda address: rule_of(self.config, address),
            now=self.belief.now,
            org=self.config.gateway.organisation,
        )

    @cached_property
    def crl_sources(self) -> tuple[CrlSource, ...]:
        """Where CRLs come from."""
        return tuple(
            CrlSource(each.url or str(each.file), each.url or str(each.file), each.every)
            for each in self.config.pki.crls
        )

    @cached_property
    def fetch_rules(self) -> FetchRules:
        """Where the keeper may go on the network."""
        fetch = self.config.pki.fetch
        return FetchRules(
            hosts=frozenset(fetch.allow),
            private=fetch.allow_private,
            max_bytes=fetch.max_size,
            time_limit=fetch.timeout,
            ca=fetch.ca,
        )

    @cached_property
    def tokens(self) -> Callable[[], Tokens]:
        """Gives the PKCS#11 tokens in use."""
        return new_tokens()

    @cached_property
    def keks(self) -> KekRing:
        """Unwrap persons' keys."""
        return open_keks(self.config.pki, self.tokens)

    @cached_property
    def seals(self) -> Seals:
        """The organisation's signers by domain."""
        seals: list[tuple[str, datetime | None, Signer]] = []
        for number, each in enumerate(self.config.seals, 1):
            try:
                signer = open_seal(each, self.tokens)
            except TokenTrouble as error:
                # Nothing in the configuration is wrong for sure: the token may be back tomorrow.
                raise CannotTell(error.problem.template, facts=error.problem.facts) from error
            except PkiError as error:
                raise SceauError(
                    "seals[{number}]: " + error.problem.template,
                    hint="see key, certificate and password_file there",
                    facts={**error.problem.facts, "number": str(number)},
                ) from error
            seals += ((domain, each.signs_from, signer) for domain in each.domains)
        return succeeding(seals)

    @cached_property
    def signers(self) -> Signers:
        """Who signs."""
        persons = PersonSigners(
            self.database.read,
            self.keks,
            self.trust.current,
            keep=self.config.pki.person_keys_kept,
            ttl=self.config.pki.person_keys_ttl,
        )
        return Signers(self.seals, persons, SealCheck(self.trust.current))
