"""Stored certificates with ML-KEM keys, in SQL: alone they are nothing to be written to by."""

from __future__ import annotations

import sqlalchemy as sa

# How such a key begins in DER (RFC 9935 §4): AlgorithmIdentifier without parameters, and the header
# of a BIT STRING. It may stand in an extension, too (X.509 subjectAltPublicKeyInfo, beside an RSA
# key): what hangs on the answer must bear that.
_BEGINNINGS = [bytes.fromhex(f"300b06096086480165030404{n:02x}0382") for n in (2, 3)]


def stands_alone(
    conn: sa.Connection, der: sa.ColumnElement[bytes] | sa.Column[bytes]
) -> sa.ColumnElement[bool]:
    """Whether the certificate in this column has another key than one of ML-KEM."""
    if conn.dialect.name == "postgresql":
        places = [sa.func.position(sa.literal(each).op("IN")(der)) for each in _BEGINNINGS]
    else:
        places = [sa.func.instr(der, sa.literal(each)) for each in _BEGINNINGS]
    return sa.and_(*(place == 0 for place in places))
