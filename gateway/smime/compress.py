"""CompressedData over a MIME entity (RFC 3274, RFC 8551 §3.6), written.

Never by default. Few mail programs open it; and under encryption the size of what is compressed
tells of its content: who can have text of his put beside a secret, and sees the sizes, learns it.
"""

from __future__ import annotations

import zlib

from gateway.mime.lines import all_crlf
from gateway.smime.algorithms import COMPRESSED_DATA, DATA, ZLIB
from gateway.smime.wrapping import pkcs7_mime
from pki import der_writing as der


def compress(entity: bytes) -> bytes:
    """application/pkcs7-mime; smime-type=compressed-data: the entity inside, octet for octet.

    What comes out is an entity again, to be signed or encrypted: compression comes before
    encryption, and before or after signing (RFC 8551 §3.6). It is 7-bit whatever went in.
    Raises ValueError for bare CR or LF: the content is canonical MIME (RFC 8551 §3.1.1).
    """
    if not all_crlf(entity):
        raise ValueError("the entity to compress has a CR or LF that is not part of a CRLF")
    compressed = zlib.compress(entity, zlib.Z_BEST_COMPRESSION)
    cms = der.sequence(
        der.oid(COMPRESSED_DATA),
        der.element(
            0xA0,
            der.sequence(
                der.integer(0),
                der.algorithm(ZLIB),
                der.sequence(der.oid(DATA), der.element(0xA0, der.octets(compressed))),
            ),
        ),
    )
    return pkcs7_mime("compressed-data", cms, name="smime.p7z")
