"""Recipients who can be refused at RCPT: mail must be encrypted and nothing could ever be found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from gateway.policy import Policy, never_encryptable
from pki.addresses import domain_of, in_domain
from pki.store import has_certificate_in

# A certificate that was imported a moment ago counts after this many seconds.
_FRESH = 5.0
_DOMAINS = 10_000


class Hopeless:
    """Asks local tables only, no network (design, step 1): a wrong answer costs a bounce."""

    def __init__(
        self,
        policy: Policy,
        directory_domains: Sequence[str],
        read: Callable[[], AbstractContextManager[sa.Connection]],
    ) -> None:
        self._policy = policy
        self._directory_domains = tuple(directory_domains)
        self._read = read
        self._stored: dict[tuple[str, bool], tuple[float, bool]] = {}

    def __call__(self, sender: str, recipient: str) -> bool:
        """Both canonical. True: refuse.

        sender: the envelope's. It proves nothing and decides nothing: the rule that counts goes by
        From, and by what stands in the mail, which nobody knows at RCPT. Refused is only whom no
        rule that may still apply would let the mail reach.
        """
        rule = self._policy.always_required(recipient)
        if rule is None:
            return False
        directory = any(in_domain(recipient, domain) for domain in self._directory_domains)
        # With an ML-KEM certificate alone, mail in two envelopes is held until the other one is
        # there; where one envelope is agreed, it is nobody's certificate (`settle`).
        beside = self._policy.two_envelopes_possible(recipient)
        stored = self._has_stored(domain_of(recipient), beside=beside)
        reason = never_encryptable(rule, recipient, directory=directory, stored_certificate=stored)
        return reason is not None

    def _has_stored(self, domain: str, *, beside: bool) -> bool:
        now, key = time.monotonic(), (domain, beside)
        asked, found = self._stored.get(key, (float("-inf"), False))
        if now - asked > _FRESH:
            if len(self._stored) > _DOMAINS:  # a client that invents domains must not fill memory
                self._stored.clear()
            with self._read() as conn:
                found = has_certificate_in(conn, domain, beside=beside)
            self._stored[key] = (now, found)
        return found
