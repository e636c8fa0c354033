"""Asking directories for groups ahead of a decision: policy itself asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.policy import Membership
from pki.errors import PkiError, Problem
from pki.groups import GroupSource


def memberships(source: GroupSource | None, members: Iterable[str]) -> Mapping[str, Membership]:
    """The groups of each canonical address, or why nobody can tell. May block on the network.

    source: None where no directory tells of groups; then nobody can tell.
    """
    return {member: _groups(source, member) for member in members}


def _groups(source: GroupSource | None, member: str) -> Membership:
    if source is None:
        return Problem(
            "directory.no-groups", "no directory tells of the groups of {address}",
            {"address": member},
        )  # fmt: skip
    try:
        return source.groups_of(member)
    except PkiError as error:
        return error.problem
