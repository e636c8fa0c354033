"""What signing asks of trust, as tests need it that are about something else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pki.crl import read_crl
from pki.may_sign import MaySign
from pki.models import Signer
from pki.path import Material
from pki.trust import Trust
from tests.pki_maker import NOW, Authority


def any_seal(_seal: Signer, _domain: str, moment: datetime) -> MaySign:
    """A seal that nothing is wrong with."""
    return MaySign("test root", moment, ())


def trusting(*authorities: Authority) -> Callable[[], Trust]:
    """These CAs are trusted, and each has a CRL of now."""
    crls = [read_crl(authority.crl()) for authority in authorities]
    trust = Trust(Material([each.anchor() for each in authorities], (), crls), (1, 0, "", 0))
    return lambda: trust


FIT = MaySign("test root", NOW, ())
