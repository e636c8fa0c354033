"""Large results of PostgreSQL: as octets, not as their hexadecimal text.

The driver asks for text unless it is told otherwise, and sealed content, the only thing that is
read through a cursor of the server's, would cross the connection at twice its size, to be written
as hexadecimal on one side and read on the other.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import Format


class OctetStream(psycopg.ServerCursor[Any]):
    """A server's cursor whose rows come in PostgreSQL's binary form.

    Other statements keep text: of some types of the server's own catalogue the driver knows no
    binary form, and would hand out octets.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.format = Format.BINARY
