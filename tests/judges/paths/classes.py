"""Why peers disagree with us: each disagreement is in one class, or the run fails.

A class says what the peer does, what the standard says, and by which facts a case is known to be
in it. A fact is something found in the case or asked of the peer once more, never "it is so".
"""

from __future__ import annotations

from tests.judges.paths.classes_both import BOTH
from tests.judges.paths.classes_bouncy_castle import BOUNCY_CASTLE
from tests.judges.paths.classes_openssl import OPENSSL
from tests.judges.paths.compare import Comparison
from tests.judges.paths.disagreement import Class

# By the name of the peer; the first that holds is the one.
CLASSES: dict[str, tuple[Class, ...]] = {
    "openssl": BOTH + OPENSSL,
    "Bouncy Castle": BOTH + BOUNCY_CASTLE,
}


def class_of(one: Comparison) -> Class | None:
    """The first class that a disagreement is in."""
    for each in CLASSES.get(one.peer.name, ()):
        if each.holds(one) and (not each.alone or _known_alone(one)):
            return each
    return None


def _known_alone(one: Comparison) -> bool:
    if one.alone.agree:
        return True
    rest = class_of(one.alone)
    return rest is not None and not rest.alone
