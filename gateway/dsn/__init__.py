"""Notices to senders: RFC 3461 §6, RFC 6522 (multipart/report), RFC 3464, RFC 6533. Pure.

What goes back is 7-bit whatever came in (but for a sender whose address is not ASCII, RFC 6533),
so that a notice never fails where the mail itself would not have.
"""

from gateway.dsn.compose import notice
from gateway.dsn.language import Languages
from gateway.dsn.model import About, Event, Report

__all__ = ["About", "Event", "Languages", "Report", "notice"]
