"""Octets to text by the charset a mail claims, which is often a lie. Never raises."""

from __future__ import annotations

import codecs
from encodings.aliases import aliases

# Codecs that are no charset, or that cost quadratic time (idna, punycode).
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
    | {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
)
# What is labelled so is in practice the Windows superset (as browsers read it).
_SUPERSETS = {
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def _known() -> dict[str, str]:
    table = dict(aliases) | {module: module for module in set(aliases.values())}
    table |= {"utf_8": "utf_8", "utf_8_sig": "utf_8_sig", "koi8_u": "koi8_u", "koi8_t": "koi8_t"}
    table |= {"cp_850": "cp850", "x_mac_roman": "mac_roman", "unicode_1_1_utf_8": "utf_8"}
    return {name: module for name, module in table.items() if module not in _NO_CHARSETS}


# Looked up here first: Python would try to import a module for every unknown name a mail makes
# up, and remember each of them for ever.
_KNOWN = _known()


def decode(data: bytes, charset: str = "") -> str:
    """Text of `data`: as `charset` says, else as UTF-8, else as Windows-1252 with U+FFFD."""
    if not charset and data.isascii():
        return data.decode("ascii")
    name = charset.strip().strip("'\"").lower().replace("-", "_").replace(" ", "_")
    for candidate in (_KNOWN.get(name[:40], ""), "utf_8"):
        if candidate:
            try:
                return codecs.decode(data, _SUPERSETS.get(candidate, candidate))
            except (ValueError, OverflowError):
                continue
    return data.decode("cp1252", "replace")
