"""Why peers disagree with us: each disagreement is in one class, or the run fails.

A class says what the peer does, what the standard says, and by which facts a case is known to be
in it; then we and the peer are asked once more, without the thing that the class is about.
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


def class_of(one: Comparison, used: frozenset[str] = frozenset()) -> Class | None:
    """The first class that a disagreement is in.

    used: classes that have been made good already; what is left must be in another one.
    """
    for each in CLASSES.get(one.peer.name, ()):
        if each.key not in used and each.holds(one) and _proved(one, each, used):
            return each
    return None


def _proved(one: Comparison, known: Class, used: frozenset[str]) -> bool:
    asked = False
    for again in known.again(one):
        asked = True
        if one.ours.valid and not again.ours.valid:
            return False  # what was changed has changed our mind: it proves nothing about theirs
        if not again.agree and class_of(again, used | {known.key}) is None:
            return False
    return asked
