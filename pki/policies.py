"""Certificate policies along a path: RFC 5280 §6.1 as RFC 9618 rewrote it. Pure.

RFC 9618's graph has one node per policy and depth, so its size is bounded by the path; the tree of
RFC 5280 could be made to grow exponentially by three hostile certificates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pki.certificate import ANY_POLICY, ParsedCertificate


@dataclass(eq=False, slots=True)
class _Node:
    """A policy at one depth. expected: expected_policy_set. parents: nodes one depth above."""

    policy: str
    expected: set[str]
    parents: list[_Node] = field(default_factory=list)
    children: int = 0


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """What the caller demands (RFC 5280 §6.1.1 (c), (e)–(g)). acceptable: empty = any policy."""

    acceptable: frozenset[str] = frozenset()
    require_explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


class PolicyState:
    """State variables of §6.1.2 that concern policies, and the steps that change them."""

    def __init__(self, inputs: PolicyInputs, path_length: int) -> None:
        self._acceptable = inputs.acceptable
        # (a) valid_policy_graph; None is NULL. _levels[i] holds the nodes of depth i.
        self._levels: list[dict[str, _Node]] | None = [
            {ANY_POLICY: _Node(ANY_POLICY, {ANY_POLICY})}
        ]
        # (d), (e), (f)
        self._explicit = 0 if inputs.require_explicit else path_length + 1
        self._inhibit_any = 0 if inputs.inhibit_any else path_length + 1
        self._mapping = 0 if inputs.inhibit_mapping else path_length + 1

    def process(self, cert: ParsedCertificate, *, last: bool) -> bool:
        """§6.1.3 (d)–(f). False: no policy is valid though one is required."""
        if cert.policies is None:
            self._levels = None  # (e)
        elif self._levels is not None:
            any_allowed = self._inhibit_any > 0 or (not last and cert.self_issued)
            self._extend(self._levels, cert.policies, any_allowed=any_allowed)
        return self._explicit > 0 or self._levels is not None  # (f)

    def _extend(
        self, levels: list[dict[str, _Node]], policies: frozenset[str], *, any_allowed: bool
    ) -> None:
        above = levels[-1]
        level: dict[str, _Node] = {}
        # By expected policy, or thousands of policies before thousands of nodes take seconds.
        expecting: dict[str, list[_Node]] = {}
        for node in above.values():
            for policy in node.expected:
                expecting.setdefault(policy, []).append(node)
        for policy in sorted(policies - {ANY_POLICY}):
            # (d)(1)(i)
            parents = expecting.get(policy, [])
            # (d)(1)(ii)
            if not parents and ANY_POLICY in above:
                parents = [above[ANY_POLICY]]
            if parents:
                level[policy] = _child(policy, parents)
        if ANY_POLICY in policies and any_allowed:  # (d)(2)
            for policy in sorted(expecting):
                if policy not in level:
                    level[policy] = _child(policy, expecting[policy])
        levels.append(level)
        self._prune()  # (d)(3)

    def prepare(self, cert: ParsedCertificate) -> bool:
        """§6.1.4 (a), (b), (h)–(j). False: a mapping from or to anyPolicy."""
        mappings: dict[str, set[str]] = {}
        for issuer_policy, subject_policy in cert.policy_mappings:
            if ANY_POLICY in (issuer_policy, subject_policy):
                return False  # (a)
            mappings.setdefault(issuer_policy, set()).add(subject_policy)
        if mappings and self._levels is not None:
            self._map(self._levels, mappings)  # (b)
        if not cert.self_issued:  # (h)
            self._explicit = max(self._explicit - 1, 0)
            self._mapping = max(self._mapping - 1, 0)
            self._inhibit_any = max(self._inhibit_any - 1, 0)
        constraints = cert.policy_constraints
        if constraints is not None:  # (i)
            if constraints.require_explicit_policy is not None:
                self._explicit = min(self._explicit, constraints.require_explicit_policy)
            if constraints.inhibit_policy_mapping is not None:
                self._mapping = min(self._mapping, constraints.inhibit_policy_mapping)
        if cert.inhibit_any_policy is not None:  # (j)
            self._inhibit_any = min(self._inhibit_any, cert.inhibit_any_policy)
        return True

    def _map(self, levels: list[dict[str, _Node]], mappings: dict[str, set[str]]) -> None:
        level = levels[-1]
        for policy, mapped in sorted(mappings.items()):
            node = level.get(policy)
            if self._mapping > 0:  # (b)(1)
                if node is not None:
                    node.expected = set(mapped)
                elif ANY_POLICY in level and len(levels) > 1:
                    parent = levels[-2].get(ANY_POLICY)
                    if parent is not None:
                        level[policy] = _child(policy, [parent])
                        level[policy].expected = set(mapped)
            elif node is not None:  # (b)(2)
                for parent in node.parents:
                    parent.children -= 1
                del level[policy]
        self._prune()

    def finish(self, cert: ParsedCertificate) -> frozenset[str] | None:
        """§6.1.5 (a), (b), (g): the user-constrained policy set, or None: the path fails."""
        self._explicit = max(self._explicit - 1, 0)  # (a)
        constraints = cert.policy_constraints
        if constraints is not None and constraints.require_explicit_policy == 0:
            self._explicit = 0  # (b)
        policies = self._user_constrained()  # (g)
        return policies if self._explicit > 0 or policies else None

    def _user_constrained(self) -> frozenset[str]:
        if self._levels is None:
            return frozenset()
        # Policies in the words of the anchor: nodes directly below anyPolicy.
        authority = {
            node.policy
            for level in self._levels[1:]
            for node in level.values()
            if node.policy != ANY_POLICY and [p.policy for p in node.parents] == [ANY_POLICY]
        }
        any_at_end = ANY_POLICY in self._levels[-1]
        if not self._acceptable or ANY_POLICY in self._acceptable:
            return frozenset(authority | ({ANY_POLICY} if any_at_end else set()))
        if any_at_end:
            return self._acceptable
        return frozenset(authority) & self._acceptable

    def _prune(self) -> None:
        """Remove nodes above the last level that have no children; NULL if none is left."""
        assert self._levels is not None
        for depth in range(len(self._levels) - 2, -1, -1):
            level = self._levels[depth]
            for policy in [policy for policy, node in level.items() if node.children == 0]:
                for parent in level[policy].parents:
                    parent.children -= 1
                del level[policy]
        if not self._levels[-1]:
            self._levels = None


def _child(policy: str, parents: Iterable[_Node]) -> _Node:
    node = _Node(policy, {policy}, list(parents))
    for parent in node.parents:
        parent.children += 1
    return node
