"""Asking an OCSP responder (RFC 6960 §4.1, Appendix A.1) and accepting its answer."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from pki.certificate import ParsedCertificate
from pki.errors import OcspRefused
from pki.fetch import FetchRules, Post, fetch, is_allowed
from pki.ocsp import MAX_OCTETS, OcspResponse
from pki.ocsp_id import SHA1, SHA256
from pki.ocsp_judge import OcspStatement, accept_answer
from pki.ocsp_request import NONCE_OCTETS, request

_MEDIA_TYPE = "application/ocsp-request"
_ANSWER_TYPE = "application/ocsp-response"
_LONGEST_GET = 255  # RFC 5019 §5: URL and request together; longer ones go by POST

Get = Callable[[str, FetchRules, Post | None], bytes]


@dataclass(frozen=True, slots=True)
class Responder:
    """Where to ask about what one CA issued. issuer: that CA's certificate.

    nonce: ask with one, by POST. Without: by GET, so that caches and responders that sign ahead
    can serve it (RFC 5019).
    """

    issuer: ParsedCertificate
    url: str
    nonce: bool = True


@dataclass(frozen=True, slots=True)
class OcspRules:
    """responders: those of the configuration; they go before what certificates name."""

    fetch: FetchRules
    responders: Sequence[Responder] = ()

    def within(self, longest: timedelta) -> OcspRules:
        """The same with less time for one question."""
        limit = min(self.fetch.time_limit, longest)
        return replace(self, fetch=replace(self.fetch, time_limit=limit))


def fetched(url: str, rules: FetchRules, post: Post | None) -> bytes:
    """An answer over the network, within `pki.fetch`'s rules. Raises FetchTrouble."""
    limited = replace(rules, max_bytes=min(rules.max_bytes, MAX_OCTETS))
    return fetch(url, limited, post=post, media_type=_ANSWER_TYPE)


def responder_for(
    cert: ParsedCertificate, issuer: ParsedCertificate, rules: OcspRules
) -> Responder | None:
    """Who is asked about `cert`; None where nobody may be.

    The caller has found a path from an anchor to `cert`: the address in a certificate that nobody
    vouches for would be an address that an attacker chose (threat L8). Its host must be listed
    all the same.
    """
    for one in rules.responders:
        if one.issuer.subject == issuer.subject and one.issuer.spki == issuer.spki:
            return one
    for url in _named(cert):
        if is_allowed(url, rules.fetch):
            return Responder(issuer, url)
    return None


def ask(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    responder: Responder,
    *,
    rules: FetchRules,
    moment: datetime,
    signers: Sequence[ParsedCertificate] = (),
    get: Get = fetched,
) -> OcspStatement:
    """Ask, and accept the answer or not. Whether a delegated responder is itself revoked is asked
    when the statement is used, not here.

    A responder that knows SHA-1 in a CertID only (RFC 5019 §2.1.1) is asked once more with that.
    Raises FetchTrouble, OcspRefused.
    """
    try:
        said = _ask(cert, issuer, responder, SHA256, rules, moment, signers, get)
    except OcspRefused as refused:
        if refused.problem.code not in ("revocation.ocsp-status", "revocation.ocsp-other"):
            raise
        return _ask(cert, issuer, responder, SHA1, rules, moment, signers, get)
    if said.single.status != "unknown":
        return said
    return _ask(cert, issuer, responder, SHA1, rules, moment, signers, get)


def _ask(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    responder: Responder,
    algorithm: str,
    rules: FetchRules,
    moment: datetime,
    signers: Sequence[ParsedCertificate],
    get: Get,
) -> OcspStatement:
    nonce = secrets.token_bytes(NONCE_OCTETS) if responder.nonce else None
    question = request(cert, issuer, nonce=nonce, algorithm=algorithm)
    url, post = responder.url, Post(question, _MEDIA_TYPE)
    short = f"{url.rstrip('/')}/{quote(base64.b64encode(question), safe='')}"
    if nonce is None and len(short) <= _LONGEST_GET:
        answer = get(short, rules, None)
    else:
        answer = get(url, rules, post)
    return accept_answer(
        OcspResponse(answer, url),
        cert,
        issuer,
        moment=moment,
        nonce=nonce,
        signers=signers,
        vouched=lambda _: True,
    )


def _named(cert: ParsedCertificate) -> list[str]:
    """Responders in authorityInfoAccess (RFC 5280 §4.2.2.1), the first few."""
    for extension in cert.x509.extensions:
        if isinstance(extension.value, x509.AuthorityInformationAccess):
            return [
                one.access_location.value
                for one in extension.value
                if one.access_method == AuthorityInformationAccessOID.OCSP
                and isinstance(one.access_location, x509.UniformResourceIdentifier)
            ][:3]
    return []
