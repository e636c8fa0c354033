"""Notices in English."""

from __future__ import annotations

from gateway.dsn.model import Event
from gateway.dsn.texts import Texts

ENGLISH = Texts(
    from_name="Mail Delivery System",
    subjects={
        Event.FAILED: "Undeliverable: undelivered mail returned to sender (failed)",
        Event.DELAYED: "Delayed: mail not delivered yet, will be retried (warning)",
        Event.HELD: "Held for review: mail not sent yet (delayed)",
        Event.RELAYED: "Relayed: mail passed on (success)",
    },
    date_format="%Y-%m-%d %H:%M UTC",
    greeting="This is the mail gateway {host}.",
    openings={
        Event.FAILED: (
            "Your message, received on {date}, is undeliverable: it could not be delivered to the "
            "recipients below. Delivery has failed for good (permanent failure), it will not be "
            "tried again."
        ),
        Event.DELAYED: (
            "THIS IS A WARNING ONLY. YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN.\n\n"
            "Your message, received on {date}, has not been delivered yet to the recipients below "
            "(delayed, temporary failure)."
        ),
        Event.HELD: (
            "Your message, received on {date}, is held for review: it has not been sent yet to the "
            "recipients below and waits for a decision (delayed). You do not need to send it again."
        ),
        Event.RELAYED: (
            "Your message, received on {date}, has been relayed: the mail server below has taken "
            "it for the recipients below. That server sends no confirmations, so nobody will tell "
            "you when it is delivered, or read."
        ),
    },
    until={
        Event.DELAYED: "It will be retried until {date}. If it fails then, you will be told.",
        Event.HELD: "Without a decision by {date} it will come back as undeliverable.",
    },
    reason="Reason: {reason} ({status})",
    said="The mail server {host} said:",
    detail="Detail: {text}",
    expired="Given up: delivery time expired",
    headers_only=(
        "Your message had to be encrypted. For that reason its subject, its text and its "
        "attachments do not come back with this notice, only some header fields."
    ),
    help="If you need help, forward this notice to your administrator.",
    archive_id="Archive id: {id}",
    message_id="Message-ID: {id}",
    meanings={
        "": "the message was not accepted",
        "0.0": "the mail server gave no reason",
        "1.1": "unknown recipient, the address does not exist",
        "1.2": "unknown domain, the part of the address after the @ does not exist",
        "1.3": "the address is not valid",
        "1.10": "the domain of the recipient takes no mail",
        "2.1": "the mailbox is disabled",
        "2.2": "the mailbox is full, over quota",
        "2.3": "the message is too large for the mailbox",
        "3.0": "a fault of the mail system",
        "3.2": "the mail server is not accepting messages",
        "3.4": "the message is too large for the mail server",
        "4.1": "the mail server did not answer",
        "4.2": "the connection to the mail server was lost",
        "4.3": "a directory or name server did not answer",
        "4.4": "no route to the mail server",
        "4.6": "mail loop",
        "4.7": "delivery time expired, the mail server could not be reached for too long",
        "6.3": "the mail server does not take 8-bit data",
        "6.7": "the mail server does not take internationalised addresses (SMTPUTF8)",
        "7.0": "refused for security reasons",
        "7.1": "not allowed by policy",
        "7.4": "secure transport (TLS) is required and was not possible",
        "7.5": "encryption is required and was not possible, no usable certificate",
    },
)
