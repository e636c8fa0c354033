"""How much larger a mail may become, for room that is asked for before it is taken."""

from __future__ import annotations

# Tenths, for one envelope and for two.
_ROOM = 15, 20
_LEAVES = 14, 19


def room_for(size: int, *, two_envelopes: bool) -> int:
    """Octets that are asked for before a mail of up to `size` octets is taken.

    As much as an envelope of it, and some. Base64 in lines of 76 makes 78 octets out of 57: an
    envelope is 1.37 of what is in it, and two of them, one in the other, are 1.87 (a mail of 1 MB:
    1.876; one of 20 MB: 1.873).
    """
    return size * _ROOM[two_envelopes] // 10


def leaves_as(size: int, *, two_envelopes: bool) -> int:
    """Octets of what leaves of a large mail of `size` octets, header fields included."""
    return size * _LEAVES[two_envelopes] // 10
