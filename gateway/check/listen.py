"""Where mail comes in: is it we who listen there, and with which certificate; and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from cryptography import x509

from gateway import running
from gateway.check.expiry import validity
from gateway.check.finding import Finding, error, good, warning
from gateway.errors import SceauError
from gateway.i18n import message
from gateway.known import parsed
from gateway.smtp.binding import bind_to
from gateway.wiring import Wiring

_NO_TLS = message("mail servers that check certificates hand in no more mail")


def listen(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """The port is ours or free, and the certificate fits."""
    settings = wiring.listen_settings
    facts = {"address": settings.address, "port": str(settings.port)}
    runs = running.read(wiring.run_folder) is not None
    place = _reachable(settings.address)
    said = asyncio.run(_greeting(place, settings.port)) if runs else ""
    if said[:4] in ("220 ", "554 ", "421 "):
        yield good("listen", "{address}:{port} takes mail", **facts)
    elif runs:
        yield error(
            "listen",
            "listen.silent",
            "the gateway runs, but {address}:{port} does not greet: {reason}",
            meaning="no mail comes in",
            advice="look for the process intake in the log",
            reason=said or "-",
            **facts,
        )
    else:
        yield _free(settings.address, settings.port, facts)
    certificate = next((one for one in wiring.certificates if one.kind == "listener"), None)
    if certificate is not None:
        yield validity(
            "listen", certificate.der, moment, meaning=_NO_TLS, ahead=wiring.ahead.listener
        )
        if not _names(parsed(certificate.der), settings.hostname):
            yield warning(
                "listen",
                "listen.name",
                "listen.tls_certificate is not for {name}",
                meaning=_NO_TLS,
                advice="ask for one whose subjectAltName has that name (gateway.hostname)",
                name=settings.hostname,
            )


def metrics(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Whether somebody answers Prometheus."""
    section = wiring.config.metrics
    if section.port is None:
        yield good("metrics", "nobody is answered: there is no metrics.port")
        return
    facts = {"address": str(section.address), "port": str(section.port)}
    if running.read(wiring.run_folder) is None:
        yield _free(str(section.address), section.port, facts, subject="metrics")
        return
    request = b"GET /metrics HTTP/1.0\r\n\r\n"
    place = _reachable(str(section.address))
    if "200" in asyncio.run(_greeting(place, section.port, request)):
        yield good("metrics", "http://{address}:{port}/metrics answers", **facts)
    else:
        yield error(
            "metrics",
            "metrics.silent",
            "http://{address}:{port}/metrics does not answer",
            meaning="nobody is warned by these numbers",
            advice="look for the process keeper in the log",
            **facts,
        )


def _free(address: str, port: int, facts: dict[str, str], subject: str = "listen") -> Finding:
    try:
        bind_to(address, port).close()
    except SceauError as fault:
        return error(
            subject,
            "listen.taken",
            fault.template,
            meaning="sceau serve does not start",
            advice=fault.hint_template,
            **fault.facts,
        )
    return warning(
        subject,
        "listen.nobody",
        "nothing listens on {address}:{port}",
        meaning="the gateway does not run; the mail servers in front keep the mail",
        advice="start sceau serve",
        **facts,
    )


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - not bound


async def _greeting(host: str, port: int, request: bytes = b"") -> str:
    """The first line that is said there; a reason where none is."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                line = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError) as fault:
        return str(fault) or type(fault).__name__
    return line.decode("ascii", "replace").strip()


def _names(certificate: x509.Certificate, hostname: str) -> bool:
    """RFC 6125 §6.4: a name, or one label of it replaced by "*"."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    wanted = {hostname.lower(), "*." + hostname.lower().partition(".")[2]}
    return any(name.lower() in wanted for name in found.get_values_for_type(x509.DNSName))
