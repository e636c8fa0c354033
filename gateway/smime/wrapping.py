"""CMS in MIME clothes (RFC 8551 §3.2, §3.5.3.2)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from gateway.mime.transfer import encode_base64

LARGE = 1 << 20  # octets from which on copies count more than calls
_PIECE = 1 << 18
_LINES = 57 * 4096  # octets that make whole lines of base64

_OPAQUE = b"""\
Content-Type: application/pkcs7-mime; smime-type=%b;\r
\tname="%b"\r
Content-Transfer-Encoding: base64\r
Content-Disposition: attachment; filename="%b"\r
\r
%b"""

_CLEAR = b"""\
Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r
\tmicalg=%b; boundary="%b"\r
\r
--%b\r
%b\r
--%b\r
Content-Type: application/pkcs7-signature; name="smime.p7s"\r
Content-Transfer-Encoding: base64\r
Content-Disposition: attachment; filename="smime.p7s"\r
\r
%b\r
--%b--\r
"""


def pkcs7_mime(smime_type: str, cms: bytes, *, name: str = "smime.p7m") -> bytes:
    """application/pkcs7-mime entity: "enveloped-data", "signed-data", …

    name: of the file, whose extension RFC 8551 §3.2.1 gives by type.
    """
    file = name.encode()
    return _OPAQUE % (smime_type.encode(), file, file, encode_base64(cms))


def pkcs7_mime_large(
    smime_type: str, cms: Iterable[bytes | memoryview], *, before: bytes = b""
) -> bytes:
    """The same of CMS in pieces, behind the octets `before`.

    The octets are those of `pkcs7_mime`; only the copies in between are missing, which for a mail
    of 50 MB come to several hundred MB.
    """
    out = io.BytesIO()
    out.write(before)
    out.write(pkcs7_mime(smime_type, b""))
    rest = b""
    for piece in _short(cms):
        rest += piece
        whole = len(rest) - len(rest) % _LINES
        if whole:
            with memoryview(rest) as view:
                out.write(encode_base64(view[:whole]))
            rest = rest[whole:]
    out.write(encode_base64(rest))
    return out.getvalue()


def _short(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        with memoryview(piece) as view:
            for at in range(0, len(view), _PIECE):
                yield view[at : at + _PIECE]


def multipart_signed(entity: bytes, cms: bytes, *, micalg: str, boundary: str) -> bytes:
    """multipart/signed with the entity octet for octet. The boundary must not occur in it."""
    mark = boundary.encode()
    return _CLEAR % (micalg.encode(), mark, mark, entity, mark, encode_base64(cms), mark)
