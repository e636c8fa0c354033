"""What of a reason stays in the house: words that colleagues write for each other. Pure."""

from __future__ import annotations

from gateway.policy import HELD_BY_RULE
from pki.errors import Problem

HELD_BY_PERSON = "policy.held-by-person"


def for_sender(reason: Problem | None) -> Problem | None:
    """What the sender of a mail may read of why it waits or waited; None: nothing of it.

    Who took his mail out and for which inquiry is not for him, nor is the text of a rule that
    holds it: both are there for whoever looks at the mail (docs/policy.md, "Hold, refuse").
    """
    if reason is None or reason.code == HELD_BY_PERSON:
        return None
    if reason.code == HELD_BY_RULE:
        facts = {"rule": reason.facts["rule"], "text": ""}
        return Problem(HELD_BY_RULE, "rule {rule} wants a person to look at this mail first", facts)
    return reason
