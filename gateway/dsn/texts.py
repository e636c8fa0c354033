"""What notices say to people: the form, one file a language (`english`, `french`).

The words are those that administrators and users search for; the codes beside them are RFC 3463's.
Paragraphs are filled to the width of a line when they are written.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dsn.model import Event


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. meanings: by enhanced code without its class; "" is any other.

    subjects, openings: by event. until: what follows the opening where the time is known.
    """

    from_name: str
    subjects: dict[Event, str]
    date_format: str
    greeting: str
    openings: dict[Event, str]
    until: dict[Event, str]
    reason: str
    said: str
    detail: str
    expired: str
    headers_only: str
    help: str
    archive_id: str
    message_id: str
    meanings: dict[str, str]

    def meaning(self, status: str) -> str:
        """What an enhanced code means, in words."""
        return self.meanings.get(status[2:], self.meanings[""])
