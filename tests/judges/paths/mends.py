"""What is put right in a world before it is signed once more: one thing that peers stumble over.

Each takes a world to which everything has been done, and makes good what its name says.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.judges.paths.keys import spare
from tests.judges.paths.model import DAY, NOW, Cert, CrlSpec, World
from tests.judges.paths.twists_policies import ANY

_ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
_BOTH = ("key_agreement", "key_encipherment")


def key_identifiers(world: World) -> None:
    """Everybody has one, and names that of the issuer."""
    for cert in _all(world):
        cert.skid, cert.akid = True, None


def usage_of_openssl(world: World) -> None:
    """The key of an elliptic curve that agrees may encipher, too."""
    world.leaf.usage = (*(world.leaf.usage or ()), "key_encipherment")


def usage_to_encrypt(world: World) -> None:
    """The leaf has a key that agrees, and may do all that anybody asks for."""
    world.leaf.key, world.leaf.usage = spare("p256"), _BOTH


def mail_for_any(world: World) -> None:
    """emailProtection stands beside anyExtendedKeyUsage."""
    for cert in _all(world):
        if cert.extended is not None and _ANY in cert.extended and _MAIL not in cert.extended:
            cert.extended = [*cert.extended, _MAIL]


def ends_later(world: World) -> None:
    """What ends now has one more second."""
    for cert in _all(world):
        if cert.end == NOW:
            cert.end = NOW + DAY / 86400


def address_in_names(world: World) -> None:
    """The address of the subject stands in subjectAltName, too."""
    found = [text for oid, text in world.leaf.subject_rdns if oid == NameOID.EMAIL_ADDRESS]
    world.leaf.names += [x509.RFC822Name(text) for text in found]


def one_case_of_letters(world: World) -> None:
    """Mailboxes are in lower case, in names, in constraints, and as the caller asks."""
    for cert in _all(world):
        for names in (cert.names, cert.permitted, cert.excluded):
            names[:] = [_lower(one) for one in names]
        cert.subject_rdns = [
            (oid, text.lower() if oid == NameOID.EMAIL_ADDRESS else text)
            for oid, text in cert.subject_rdns
        ]
    world.address = world.address.lower()


def harmless_anchors(world: World) -> None:
    """An anchor has no extension that nobody knows."""
    for anchor in world.anchors:
        anchor.extra = []


def anchors_for_all(world: World) -> None:
    """An anchor does not say what its certificates are for."""
    for anchor in world.anchors:
        anchor.extended = None


def self_signed_anchors(world: World) -> None:
    """Who is trusted has signed himself."""
    for anchor in world.anchors:
        anchor.issuer = anchor.issuer_rdns = anchor.made_by = anchor.akid = None


def silent_anchors(world: World) -> None:
    """An anchor says of itself that it is a CA, and nothing else."""
    for anchor in world.anchors:
        anchor.start, anchor.end = NOW - DAY, NOW + DAY
        anchor.ca, anchor.path_length = True, None
        anchor.usage, anchor.extended = ("key_cert_sign", "crl_sign"), None
        anchor.permitted, anchor.excluded, anchor.extra = [], [], []
        anchor.explicit = anchor.inhibit_mapping = anchor.inhibit_any = None
        anchor.digest = "sha256"


def long_keys(world: World) -> None:
    """No key of RSA 1024, and no old digest."""
    for cert in _all(world):
        if isinstance(cert.key, rsa.RSAPrivateKey) and cert.key.key_size < 2048:
            cert.key = spare("rsa")
        cert.digest = "sha256"
        for crl in cert.crls:
            crl.digest = "sha256"


def long_key_of_leaf(world: World) -> None:
    """The key of the leaf is not short."""
    world.leaf.key = spare("rsa")


def crl_signers_for_mail(world: World) -> None:
    """Who signs CRLs and no certificates may sign mail and be encrypted to."""
    for cert in world.apart:
        if cert.ca is False and cert.usage == ("crl_sign",):
            cert.usage = ("crl_sign", "digital_signature", "key_encipherment")


def whole_crls(world: World) -> None:
    """What CRLs of one issuer say, each for some reasons, one CRL says for all."""
    for cert in _all(world):
        parts = [crl for crl in cert.crls if crl.point and crl.point.only_some_reasons]
        if len(parts) > 1:
            whole, *rest = parts
            whole.point = None
            for part in rest:
                _take_in(whole, part)
            cert.crls = [crl for crl in cert.crls if crl not in rest]


def no_signers_apart(world: World) -> None:
    """Who has a good certificate to sign a CA's CRLs, and nothing else, leaves that to the CA."""
    listed = {serial for cert in _all(world) for crl in cert.crls for serial in crl.revoked}
    good = [
        cert
        for cert in world.apart
        if cert.ca is False and cert.usage == ("crl_sign",) and not cert.broken
        and cert.start <= NOW <= cert.end and cert.serial not in listed
    ]  # fmt: skip
    for cert in _all(world):
        mine = [one for one in good if one.issuer is cert and one.subject == cert.subject]
        for crl in cert.crls:
            if any(crl.made_by is one.key for one in mine):
                crl.made_by = None
        world.apart = [one for one in world.apart if one not in mine]


def policies_beside_mappings(world: World) -> None:
    """Who maps policies has some, so that openssl looks at him."""
    for cert in _all(world):
        if cert.mappings and not cert.policies:
            cert.policies = [ANY]


def no_crl_issuers(world: World) -> None:
    """No certificate names somebody else who signs CRLs."""
    for cert in _all(world):
        cert.points = [point for point in cert.points if point.crl_issuer is None]


def certificate_issuers_not_critical(world: World) -> None:
    """certificateIssuer of an entry may be ignored (RFC 5280 §5.3.3 forbids that)."""
    for cert in _all(world):
        for crl in cert.crls:
            crl.issuers_critical = False


def _take_in(whole: CrlSpec, part: CrlSpec) -> None:
    """One CRL is as bad as the worse of two: what is wrong with a part must not be mended."""
    whole.revoked = {**part.revoked, **whole.revoked}
    whole.start, whole.end = max(whole.start, part.start), min(whole.end, part.end)
    for mine, theirs in ((whole.extra, part.extra), (whole.entry_extra, part.entry_extra)):
        mine += [one for one in theirs if one not in mine]
    whole.made_by, whole.issuer = whole.made_by or part.made_by, whole.issuer or part.issuer
    whole.broken = whole.broken or part.broken
    whole.digest = min(whole.digest, part.digest)


def _all(world: World) -> list[Cert]:
    return [*world.chain, *world.apart]


def _lower(one: x509.GeneralName) -> x509.GeneralName:
    if isinstance(one, x509.RFC822Name) and "@" in one.value:
        return x509.RFC822Name(one.value.lower())
    return one
