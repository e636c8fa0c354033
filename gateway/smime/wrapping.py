"""CMS in MIME clothes (RFC 8551 §3.2, §3.5.3.2)."""

from __future__ import annotations

from gateway.mime.transfer import encode_base64

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


def multipart_signed(entity: bytes, cms: bytes, *, micalg: str, boundary: str) -> bytes:
    """multipart/signed with the entity octet for octet. The boundary must not occur in it."""
    mark = boundary.encode()
    return _CLEAR % (micalg.encode(), mark, mark, entity, mark, encode_base64(cms), mark)
