"""The signed attribute that asks a reader for a signed receipt (RFC 2634 §2.7)."""

from __future__ import annotations

from dataclasses import dataclass

from pki import der_writing as der

RECEIPT_REQUEST = "1.2.840.113549.1.9.16.2.1"

_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"  # RFC 9598 §3
# ReceiptsFrom ::= CHOICE { allOrFirstTier [0] IMPLICIT INTEGER … }: 0 is allReceipts. Everyone who
# gets this signature is asked, and only they: those who are not get a signature of their own.
_ALL_RECEIPTS = b"\x80\x01\x00"


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """Who is to hear that the mail was read.

    identifier: signedContentIdentifier, unlike that of any other signature; a receipt names it.
    to: addresses that receipts go to, at least one.
    """

    identifier: bytes
    to: tuple[str, ...]

    def value(self) -> bytes:
        """The attribute's value in DER. Raises ValueError for nobody to send receipts to."""
        if not self.to:
            raise ValueError("a receipt must go to somebody")
        # receiptsTo ::= SEQUENCE SIZE (1..ub-receiptsTo) OF GeneralNames
        names = (der.sequence(_general_name(address)) for address in self.to)
        return der.sequence(der.octets(self.identifier), _ALL_RECEIPTS, der.sequence(*names))


def _general_name(address: str) -> bytes:
    """rfc822Name [1], or for an address that is not ASCII a SmtpUTF8Mailbox (RFC 9598)."""
    if address.isascii():
        return der.element(0x81, address.encode())
    text = der.element(0x0C, address.encode())
    return der.element(0xA0, der.oid(_SMTP_UTF8_MAILBOX), der.element(0xA0, text))
