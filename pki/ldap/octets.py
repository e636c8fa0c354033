"""BER as LDAP restricts it (RFC 4511 §5.1): definite lengths only. Pure."""

from __future__ import annotations


class WireFault(Exception):
    """Octets that are no LDAP message. entry: it is one entry's fault, not the connection's."""

    def __init__(self, why: str, *, entry: bool = False) -> None:
        super().__init__(why)
        self.entry = entry


class TooMuch(Exception):
    """More than is taken. template: with places for {directory} and {limit}."""

    def __init__(self, template: str, limit: int) -> None:
        super().__init__(template)
        self.template = template
        self.limit = limit


class Reader:
    """Goes through the elements of a constructed one, in order. Every method raises WireFault."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = at
        self._end = len(data) if end is None else end

    def more(self) -> bool:
        """Whether there is another element."""
        return self._at < self._end

    def peek(self) -> int:
        """Identifier octet of the next element."""
        if self._at >= self._end:
            raise WireFault("an answer is cut short")
        return self._data[self._at]

    def inside(self, tag: int) -> Reader:
        """A reader for the content of the next element, which has this tag."""
        body, end = self._next(tag)
        return Reader(self._data, body, end)

    def octets(self, tag: int) -> bytes:
        """Content of the next element, which has this tag."""
        body, end = self._next(tag)
        return self._data[body:end]

    def integer(self, tag: int) -> int:
        """Value of the next element: INTEGER or ENUMERATED of at most 4 octets."""
        content = self.octets(tag)
        if not 1 <= len(content) <= 4:
            raise WireFault("an answer has an impossible number")
        return int.from_bytes(content, "big", signed=True)

    def _next(self, tag: int) -> tuple[int, int]:
        data, at = self._data, self._at
        if at + 2 > self._end:
            raise WireFault("an answer is cut short")
        if data[at] != tag:
            raise WireFault("an answer is not built as LDAP demands")
        length, body = data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or body + count > self._end:
                raise WireFault("an answer has an impossible length")
            length = int.from_bytes(data[body : body + count], "big")
            body += count
        if body + length > self._end:
            raise WireFault("an answer is cut short")
        self._at = body + length
        return body, self._at
