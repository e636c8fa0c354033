"""What is in a certificate or CRL, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.cli.output import Output, time_json, time_text
from gateway.i18n import message
from pki.algorithms import describe_key

if TYPE_CHECKING:
    from pki.certificate import ParsedCertificate
    from pki.crl import Crl
    from pki.crl_scope import IssuingScope
    from pki.models import RevocationEvidence

# Names of RFC 5280 §4.2.1.3 and §4.2.1.12; other usages are shown as OIDs.
_KEY_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}
_EXTENDED_USAGES = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}

_LABELS = {
    "subject": message("subject"),
    "issuer": message("issuer"),
    "serial": message("serial number"),
    "not_before": message("valid from"),
    "not_after": message("valid until"),
    "emails": message("mail addresses"),
    "malformed_emails": message("malformed addresses"),
    "key": message("key"),
    "ca": message("may issue certificates"),
    "path_length": message("longest path below it"),
    "key_usage": message("key usage"),
    "extended_key_usage": message("extended key usage"),
    "policies": message("policies"),
    "crl_urls": message("its CRLs"),
    "unknown_critical": message("unknown critical extensions"),
    "capabilities": message("S/MIME capabilities"),
    "number": message("number"),
    "base": message("completes no."),
    "this_update": message("issued"),
    "next_update": message("next one by"),
    "revoked": message("revoked certificates"),
    "only_for": message("only for"),
    "indirect": message("for other CAs, too"),
    "freshest": message("its delta CRLs"),
    "sha256": message("fingerprint (SHA-256)"),
}

Facts = Mapping[str, object]


def certificate_facts(cert: ParsedCertificate) -> dict[str, object]:
    """What is in a certificate; None or an empty list for what is not. Times are aware."""
    algorithm, bits = describe_key(cert.public_key)
    usage = cert.key_usage
    return {
        "sha256": cert.sha256,
        "subject": cert.subject_text,
        "issuer": cert.issuer_text,
        "serial": f"{cert.serial:x}",
        "not_before": cert.not_before,
        "not_after": cert.not_after,
        "emails": list(cert.addresses.usable),
        "malformed_emails": list(cert.addresses.malformed),
        "key": f"{algorithm} {bits or ''}".rstrip() if cert.public_key is not None else None,
        "ca": cert.is_ca,
        "path_length": cert.basic.path_length if cert.basic else None,
        "key_usage": None
        if usage is None
        else [name for field, name in _KEY_USAGES.items() if getattr(usage, field)],
        "extended_key_usage": None
        if cert.extended_key_usage is None
        else [_EXTENDED_USAGES.get(one, one.dotted_string) for one in cert.extended_key_usage],
        "policies": sorted(cert.policies or ()),
        "crl_urls": _urls(cert),
        "unknown_critical": list(cert.unknown_critical),
        "capabilities": list(cert.capabilities),
        "beside_only": cert.encapsulates,
    }


def crl_facts(crl: Crl) -> dict[str, object]:
    """What is in a CRL. revoked: how many certificates it lists; only_for: its scope.

    base: of a delta CRL, the number of the complete one that it completes.
    """
    return {
        "sha256": crl.sha256,
        "issuer": crl.issuer_text,
        "number": crl.number,
        "base": crl.base_number,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
        "revoked": len(crl.entries),
        "only_for": only_for(crl.scope),
        "indirect": crl.scope.indirect,
        "freshest": list(crl.freshest),
    }


def only_for(scope: IssuingScope) -> list[str]:
    """What a CRL is limited to: kinds of certificates, reasons, distribution points."""
    limits = ["onlyContainsUserCerts"] * scope.only_users
    limits += ["onlyContainsCACerts"] * scope.only_cas
    limits += sorted(reason.value for reason in scope.reasons or ())
    limits += sorted(
        name if isinstance(name, str) else ", ".join(value for rdn in name for _, value in rdn)
        for _, name in scope.points or ()
    )
    return limits


def facts_json(facts: Facts) -> dict[str, object]:
    """The same for programs: times as RFC 3339."""
    return {
        name: time_json(value) if isinstance(value, datetime) else value
        for name, value in facts.items()
    }


def print_facts(facts: Facts, output: Output, *, indent: str = "  ") -> None:
    """A line for each fact that says something, names aligned, in the person's language."""
    shown = {
        output.text(_LABELS.get(name, "")): _value(value, output)
        for name, value in facts.items()
        if name in _LABELS and value is not None and value != []
    }
    width = max(map(len, shown), default=0)
    for label, value in shown.items():
        output.line(f"{indent}{label:<{width}}  {value}")
    if facts.get("beside_only"):
        print_beside_only(output, indent=indent)


def print_beside_only(output: Output, *, indent: str = "  ") -> None:
    """What a valid certificate with an ML-KEM key is not good for."""
    said = output.text(
        "its ML-KEM key is for a second envelope alone: mail is never encrypted to it without a "
        "certificate with an RSA or elliptic key"
    )
    output.line(indent + said)


def validity_note(cert: ParsedCertificate, moment: datetime, output: Output) -> str:
    """ "(expired)", "(not valid yet)" or "", in the person's language."""
    if moment > cert.not_after:
        return output.text("(expired)")
    return output.text("(not valid yet)") if moment < cert.not_before else ""


def evidence_json(evidence: RevocationEvidence) -> dict[str, object]:
    """Which CRL or OCSP response spoke for one certificate, for programs."""
    return {
        "kind": evidence.kind,
        "subject": evidence.subject,
        "issuer": evidence.issuer,
        "number": evidence.number,
        "this_update": time_json(evidence.this_update),
        "next_update": time_json(evidence.next_update),
        "sha256": evidence.sha256,
        "source": evidence.source,
        "responder": evidence.responder or None,
        "produced_at": time_json(evidence.produced_at) if evidence.produced_at else None,
    }


def print_evidence(found: Iterable[RevocationEvidence], output: Output) -> None:
    """Which CRLs and OCSP responses spoke for the certificates of a path, for people."""
    for each in found:
        if each.kind == "ocsp":
            output.say(
                "  not revoked: {subject}, says the OCSP responder {responder} ({produced}), "
                "until {until}",
                subject=each.subject,
                responder=each.responder,
                produced=time_text(each.produced_at) if each.produced_at else "-",
                until=time_text(each.next_update),
            )
            continue
        output.say(
            "  not revoked: {subject}, says CRL no. {number} of {issuer}, until {until}",
            subject=each.subject,
            number="-" if each.number is None else str(each.number),
            issuer=each.issuer,
            until=time_text(each.next_update),
        )


def _value(value: object, output: Output) -> str:
    if isinstance(value, bool):
        return output.text("yes") if value else output.text("no")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return time_text(value)
    return str(value)


def _urls(cert: ParsedCertificate) -> list[str]:
    return [
        name.value
        for point in cert.distribution_points or ()
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]
