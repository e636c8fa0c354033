"""The part for programs: message/delivery-status (RFC 3464 §2), or its UTF-8 form (RFC 6533)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.dsn.encoding import date, folded, one_line, quoted_printable
from gateway.dsn.model import About, Event, Report
from gateway.smtp.notify import decode_xtext, original_address, seven_bit, typed_address

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\Z")
_DIAGNOSTIC = re.compile(r"[2-5][0-9][0-9](?: |\Z)")
_HOST = re.compile(r"([A-Za-z0-9._:-]+?)(?:\[.*\])?(?::[0-9]+)?\Z")
# RFC 6533 §3: what stands in a field as it is. Line ends and display controls were refused when
# the address was taken (`smtp.syntax.is_mailbox`); here they could only come from elsewhere.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_ANY_STATUS = {
    Event.FAILED: "5.0.0",
    Event.DELAYED: "4.0.0",
    Event.HELD: "4.7.0",
    Event.RELAYED: "2.0.0",
}


def status_part(
    event: Event, about: About, reports: Sequence[Report], *, reporting_mta: str
) -> bytes:
    """The whole part, with its own header."""
    utf8 = about.smtputf8 and any(
        not report.address.isascii() or _is_utf8(report.orcpt) for report in reports
    )
    lines = _about_message(about, reporting_mta)
    for report in reports:
        lines += ["", *_about_recipient(event, about, report, utf8=utf8)]
    text = "\r\n".join(folded(line) for line in lines) + "\r\n"
    if not utf8:
        return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii")
    return (
        b"Content-Type: message/global-delivery-status\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted_printable(text.encode())
    )


def _about_message(about: About, reporting_mta: str) -> list[str]:
    """RFC 3464 §2.2."""
    lines = []
    if about.envid:
        lines.append(f"Original-Envelope-Id: {one_line(decode_xtext(about.envid))}")
    lines.append(f"Reporting-MTA: dns; {reporting_mta}")
    if about.received_from:
        lines.append(f"Received-From-MTA: dns; {one_line(about.received_from)}")
    lines += [
        f"X-Sceau-Archive-Id: {about.archive_id}",
        f"Arrival-Date: {date(about.arrival)}",
    ]
    return lines


def _about_recipient(event: Event, about: About, report: Report, *, utf8: bool) -> list[str]:
    """RFC 3464 §2.3."""
    lines = []
    if report.orcpt:  # RFC 3461 §6.3 d: never one that we have made up
        lines.append(f"Original-Recipient: {_original(report.orcpt, utf8=utf8)}")
    lines += [
        f"Final-Recipient: {_address(report.address, utf8=utf8)}",
        f"Action: {event.action}",
        f"Status: {status_of(event, report)}",
    ]
    if host := host_of(report.remote_mta):
        lines.append(f"Remote-MTA: dns; {host}")
    said = one_line(report.said)
    if is_reply(said):  # RFC 3464 §2.3.6: only what an SMTP server has said
        lines.append(f"Diagnostic-Code: smtp; {said}")
    if report.last_attempt is not None:
        lines.append(f"Last-Attempt-Date: {date(report.last_attempt)}")
    lines.append(f"Final-Log-Id: {about.archive_id}")
    if report.until is not None and event.action == "delayed":  # RFC 3464 §2.3.9: only there
        lines.append(f"Will-Retry-Until: {date(report.until)}")
    return lines


def status_of(event: Event, report: Report) -> str:
    """The enhanced code: one of a class that fits the event.

    A failure may have one of class 4: what was temporary has lasted too long (RFC 3463 §3.1).
    """
    classes = {"failed": "45", "delayed": "4", "relayed": "2"}[event.action]
    fits = _STATUS.match(report.status) and report.status[0] in classes
    return report.status if fits else _ANY_STATUS[event]


def is_reply(said: str) -> bool:
    """Whether these are words of an SMTP server, not ours about it."""
    return _DIAGNOSTIC.match(said) is not None


def host_of(remote_mta: str) -> str:
    """The name in "name", "name:port" or "name[ip]:port"; "" if it is none."""
    match = _HOST.match(remote_mta)
    return match[1] if match else ""


def _is_utf8(orcpt: str) -> bool:
    return bool(orcpt) and not original_address(orcpt)[1].isascii()


def _address(address: str, *, utf8: bool) -> str:
    """RFC 3464 §2.3.2; RFC 6533 §3 for what is not ASCII."""
    if address.isascii():
        return f"rfc822; {one_line(address)}"
    if utf8:
        return f"utf-8; {_STEERING.sub('?', address)}"
    return typed_address(address).replace(";", "; ", 1)


def _original(orcpt: str, *, utf8: bool) -> str:
    kind, address = original_address(orcpt)
    if address.isascii():
        return f"{kind}; {one_line(address)}"
    if utf8:
        return f"{kind}; {_STEERING.sub('?', address)}"
    return seven_bit(orcpt).replace(";", "; ", 1)
