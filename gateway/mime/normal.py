"""Normal forms of Unicode at a cost that grows with the text and no faster. Pure."""

from __future__ import annotations

import unicodedata
from typing import Literal


def each_normal(form: Literal["NFKC", "NFKD"], text: str) -> str:
    """Every character of `text` in its normal form (UAX #15), by itself.

    `unicodedata.normalize` also puts runs of combining marks in order, one by one past all those
    before it: a display name of 80 kB takes it 3 s, one of 800 kB five minutes, in which an intake
    answers nobody. Who looks for a character, or drops the marks, needs no order; two texts made
    by this function are alike where they were typed alike.
    """
    if text.isascii():
        return text
    return text.translate(
        {ord(one): unicodedata.normalize(form, one) for one in set(text) if not one.isascii()}
    )
