"""Twists of what is known about revocation (RFC 5280 §5, §6.3)."""

from __future__ import annotations

from copy import copy

from cryptography import x509

from tests.judges.paths.model import DAY, NOW, Cert, CrlSpec, World
from tests.judges.paths.twist import Dice, Twist, ca_name, intermediates

_REASONS = ["keyCompromise", "superseded", "cessationOfOperation", "certificateHold", ""]
_POINT = x509.UniformResourceIdentifier("http://crl.example/one.crl")
_OTHER_POINT = x509.UniformResourceIdentifier("http://crl.example/two.crl")
_ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.3"), b"\x05\x00")


def revoked(world: World, dice: Dice) -> str:
    at = dice.rng.randrange(1, len(world.chain))
    crl = _crl(world, at)
    if crl is None:
        return ""
    crl.revoked[world.chain[at].serial] = (NOW - DAY, dice.rng.choice(_REASONS), None)
    return "revoked"


def others_revoked(world: World, dice: Dice) -> str:
    for cert in world.authorities:
        for crl in cert.crls:
            crl.revoked[dice.number() + 10_000] = (NOW - DAY, "superseded", None)
    return "others-revoked"


def absent(world: World, dice: Dice) -> str:
    dice.rng.choice(world.authorities).crls = []
    return "no-crl"


def stale(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.start, crl.end = NOW - 9 * DAY, NOW - DAY / 86400
    return "stale-crl"


def future(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.start = NOW + DAY / 24
    return "future-crl"


def older_too(world: World, dice: Dice) -> str:
    """An older CRL is still about; one of the two says that the certificate is revoked."""
    at = dice.rng.randrange(1, len(world.chain))
    crl = _crl(world, at)
    if crl is None:
        return ""
    older = copy(crl)
    older.number, older.start = (crl.number or 10) - 1, NOW - 2 * DAY
    older.revoked = dict(crl.revoked)
    chosen, word = dice.rng.choice([(crl, "newer-revokes"), (older, "older-revokes")])
    why = dice.rng.choice(["keyCompromise", "certificateHold"])
    chosen.revoked[world.chain[at].serial] = (NOW - 3 * DAY, why, None)
    world.chain[at].issuer.crls.append(older)  # type: ignore[union-attr]
    return word


def forged(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    if dice.chance(0.5):
        crl.made_by = dice.pool.draw()
    else:
        crl.broken = True
    return "forged-crl"


def of_other_name(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Somebody else")])
    return "crl-of-other-name"


def old_digest(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.digest = "sha224"
    return "crl-sha224"


def critical(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.extra.append((_ODD, True))
    return "crl-critical"


def critical_entry(world: World, dice: Dice) -> str:
    crl = _any(world, dice)
    if crl is None:
        return ""
    crl.revoked[dice.number() + 10_000] = (NOW - DAY, "superseded", None)
    crl.entry_extra.append((_ODD, True))
    return "crl-entry-critical"


def scope(world: World, dice: Dice) -> str:
    """A CRL for users, for CAs, or for attribute certificates only."""
    crl = _any(world, dice)
    if crl is None:
        return ""
    kind = dice.rng.choice(["user", "ca", "attribute"])
    crl.point = _point(users=kind == "user", cas=kind == "ca", attributes=kind == "attribute")
    return f"crl-only-{kind}"


def both_scopes(world: World, dice: Dice) -> str:
    """The two halves together speak of everything."""
    cert = dice.rng.choice(world.authorities)
    if not cert.crls:
        return ""
    half = copy(cert.crls[0])
    half.revoked = dict(half.revoked)
    cert.crls[0].point, half.point = _point(users=True), _point(cas=True)
    cert.crls.append(half)
    return "crl-halves"


def named_point(world: World, dice: Dice) -> str:
    """A CRL of one distribution point; the certificate names it, another, or none."""
    at = dice.rng.randrange(1, len(world.chain))
    crl = _crl(world, at)
    if crl is None:
        return ""
    crl.point = _point(name=_POINT)
    kind = dice.rng.choice(["same", "other", "none"])
    if kind != "none":
        chosen = _POINT if kind == "same" else _OTHER_POINT
        world.chain[at].points = [x509.DistributionPoint([chosen], None, None, None)]
    return f"crl-point-{kind}"


def plain_point(world: World, dice: Dice) -> str:
    """The certificate names a point; the CRL is for everything."""
    at = dice.rng.randrange(1, len(world.chain))
    world.chain[at].points = [x509.DistributionPoint([_POINT], None, None, None)]
    return "point-and-complete-crl"


def own_signer(world: World, dice: Dice) -> str:
    """The CA signs CRLs with a key of its own, certified by itself (RFC 5280 §6.3.3 (f))."""
    cert = dice.rng.choice(world.authorities)
    if not cert.crls:
        return ""
    signer = Cert(list(cert.subject_rdns), dice.pool.draw(), dice.number(), cert)
    signer.ca, signer.usage = False, ("crl_sign",)
    kind = dice.rng.choice(["right", "right", "no-right", "expired", "revoked"])
    if kind == "no-right":
        signer.usage = ("digital_signature",)
    elif kind == "expired":
        signer.end = NOW - DAY
    own = CrlSpec()
    if kind == "revoked":
        own.revoked[signer.serial] = (NOW - DAY, "keyCompromise", None)
        cert.crls[0].revoked[signer.serial] = (NOW - DAY, "keyCompromise", None)
    cert.crls[0].made_by = signer.key
    world.apart.append(signer)
    return f"crl-signer-{kind}"


def reasons(world: World, dice: Dice) -> str:
    """CRLs for some reasons each; together all of them, or one is missing."""
    at = dice.rng.randrange(1, len(world.chain))
    crl = _crl(world, at)
    issuer = world.chain[at].issuer
    if crl is None or issuer is None:
        return ""
    flags = [one for one in x509.ReasonFlags if one.value not in ("unspecified", "removeFromCRL")]
    half = frozenset(dice.rng.sample(flags, k=4))
    other = copy(crl)
    other.revoked = dict(crl.revoked)
    crl.point = _point(reasons=half)
    if dice.chance(0.6):
        other.point = _point(reasons=frozenset(flags) - half)
        issuer.crls.append(other)
        return "crl-all-reasons"
    return "crl-some-reasons"


def delta(world: World, dice: Dice) -> str:
    """A complete CRL and a delta that brings news, or takes a hold back."""
    at = dice.rng.randrange(1, len(world.chain))
    crl, cert = _crl(world, at), world.chain[at]
    if crl is None or cert.issuer is None or crl.number is None:
        return ""
    news = CrlSpec(number=crl.number + 2, start=NOW - DAY / 24, base=crl.number)
    kind = dice.rng.choice(["quiet", "revokes", "removes", "stale", "later-base", "forged"])
    if kind in ("revokes", "stale", "later-base", "forged"):
        news.revoked[cert.serial] = (NOW - DAY / 2, "keyCompromise", None)
    if kind == "removes":
        crl.revoked[cert.serial] = (NOW - 3 * DAY, "certificateHold", None)
        news.revoked[cert.serial] = (NOW - DAY / 2, "removeFromCRL", None)
    elif kind == "stale":
        news.start, news.end = NOW - 2 * DAY, NOW - DAY / 2
    elif kind == "later-base":
        news.base = crl.number + 1
    elif kind == "forged":
        news.made_by = dice.pool.draw()
    where = x509.DistributionPoint([_OTHER_POINT], None, None, None)
    cert.freshest = [where]
    crl.extra.append((x509.FreshestCRL([where]), False))
    cert.issuer.crls.append(news)
    return f"delta-{kind}"


def indirect(world: World, dice: Dice) -> str:
    """Another authority below the same root speaks for the CA (RFC 5280 §5.2.5)."""
    at = dice.rng.randrange(1, len(world.chain))
    cert, root = world.chain[at], world.chain[0]
    if cert.issuer is None or not cert.issuer.crls:
        return ""
    speaker = Cert(ca_name("CRL Issuer"), dice.pool.draw(), dice.number(), root)  # type: ignore[arg-type]
    speaker.ca, speaker.usage = False, ("crl_sign",)
    speaker.policies = None
    place = [x509.DirectoryName(speaker.subject)]
    cert.points = [x509.DistributionPoint(place, None, None, place)]
    kind = dice.rng.choice(["quiet", "revokes", "revokes-other", "not-indirect", "no-issuer"])
    point = x509.IssuingDistributionPoint(
        place, None, False, False, None, kind != "not-indirect", False
    )
    spoken = CrlSpec(point=point)
    named = cert.issuer.subject
    if kind in ("revokes", "no-issuer"):
        spoken.revoked[cert.serial] = (NOW - DAY, "keyCompromise", None)
        if kind == "revokes":
            spoken.revoked[cert.serial] = (NOW - DAY, "keyCompromise", named)
    elif kind == "revokes-other":
        spoken.revoked[cert.serial] = (NOW - DAY, "keyCompromise", speaker.subject)
    speaker.crls = [spoken]
    world.apart.append(speaker)
    if cert.issuer in intermediates(world) or dice.chance(0.5):
        others = [one for one in world.chain[1:] if one.issuer is cert.issuer]
        if others == [cert]:
            cert.issuer.crls = [] if cert.issuer is not root else cert.issuer.crls
    return f"indirect-{kind}"


def not_asked(world: World, dice: Dice) -> str:
    """The caller does not ask about revocation."""
    world.revocation = False
    return "revocation-off"


def _point(
    *,
    users: bool = False,
    cas: bool = False,
    attributes: bool = False,
    name: x509.GeneralName | None = None,
    reasons: frozenset[x509.ReasonFlags] | None = None,
) -> x509.IssuingDistributionPoint:
    full = None if name is None else [name]
    return x509.IssuingDistributionPoint(full, None, users, cas, reasons, False, attributes)


def _crl(world: World, at: int) -> CrlSpec | None:
    """The first CRL of who issued chain[at]."""
    issuer = world.chain[at].issuer
    return issuer.crls[0] if issuer is not None and issuer.crls else None


def _any(world: World, dice: Dice) -> CrlSpec | None:
    found = [crl for cert in world.authorities for crl in cert.crls]
    return dice.rng.choice(found) if found else None


TWISTS: list[tuple[Twist, int]] = [
    (revoked, 8), (others_revoked, 4), (absent, 3), (stale, 3), (future, 2), (older_too, 4),
    (forged, 3), (of_other_name, 1), (old_digest, 1), (critical, 2), (critical_entry, 2),
    (scope, 4), (both_scopes, 2), (named_point, 4), (plain_point, 2), (own_signer, 5),
    (reasons, 4), (delta, 8), (indirect, 6), (not_asked, 4),
]  # fmt: skip
