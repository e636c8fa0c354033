"""OCSP responses that are there when a path is checked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from pki.certificate import ParsedCertificate
from pki.ocsp import OcspResponse


class KnownResponses(Protocol):
    """Where a path check finds responses. Never fetches: that has happened before, or has not."""

    def about(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> Sequence[OcspResponse]:
        """Responses that may speak of `cert`; whether they do is for `pki.ocsp_judge` to say."""
        ...


class ResponsesGiven:
    """A handful of responses, by serial number."""

    def __init__(self, responses: Iterable[OcspResponse] = ()) -> None:
        self._by_serial: dict[int, list[OcspResponse]] = {}
        for response in responses:
            for serial in {single.cert_id.serial for single in response.singles}:
                self._by_serial.setdefault(serial, []).append(response)

    def about(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> Sequence[OcspResponse]:
        """Those with its serial number."""
        return self._by_serial.get(cert.serial, ())


NO_RESPONSES: KnownResponses = ResponsesGiven()
