"""Recipients who can be refused at RCPT: mail must be encrypted and nothing could ever be found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from gateway.policy import Policy, never_encryptable
from pki.addresses import domain_of, in_domain
from pki.store import certificate_domains

# A certificate that was imported a moment ago counts after this many seconds.
_FRESH = 5.0


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
        self._stored: frozenset[str] = frozenset()
        self._asked = float("-inf")

    def __call__(self, sender: str, recipient: str) -> bool:
        """Both canonical. True: refuse."""
        if time.monotonic() - self._asked > _FRESH:
            with self._read() as conn:
                self._stored = frozenset(certificate_domains(conn))
            self._asked = time.monotonic()
        decision = self._policy.decide(sender, recipient)
        return (
            never_encryptable(
                decision,
                directory=any(in_domain(recipient, d) for d in self._directory_domains),
                stored_certificate=domain_of(recipient) in self._stored,
            )
            is not None
        )
