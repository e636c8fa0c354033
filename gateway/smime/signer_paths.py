"""Paths of signers, remembered as long as nothing that they rest on can have changed."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.algorithms import TABLE
from pki.certificate import ParsedCertificate
from pki.models import Purpose
from pki.ocsp_known import ResponsesGiven
from pki.path import Material, Revocation, ValidPath, find_path
from pki.usage import anchor_problem

# Of one certificate some 20 kB, where no other remembers it.
_REMEMBERED = 512
_HOLDS = timedelta(minutes=10)
# When the dated table says something else than before.
_TURNS = sorted({moment for row in TABLE for moment in (row.start, row.end)})

_Key = tuple[str, tuple[str, ...], str, Revocation, bool]


@dataclass(frozen=True, slots=True)
class _Remembered:
    path: ValidPath
    since: datetime
    until: datetime


class SignerPaths:
    """Finds the path of a signer, and knows it again. Thread-safe.

    Only paths that hold are remembered, for one `Material` (which is made anew with each new CRL),
    from the moment they were found at, up to the first of: a certificate ends, a CRL wants its
    successor, the dated table turns, ten minutes. What is refused is judged anew each time: it
    costs its sender more than us, and nobody waits for it to stay so. Where OCSP responses may come
    at any time, each answer could be another one, and none is remembered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._material: Material | None = None
        self._known: OrderedDict[_Key, _Remembered] = OrderedDict()

    def find(
        self,
        cert: ParsedCertificate,
        material: Material,
        chain: Sequence[ParsedCertificate],
        *,
        address: str,
        moment: datetime,
        revocation: Revocation,
        allow_legacy: bool,
    ) -> ValidPath:
        """`pki.path.find_path` for mail from `address`.

        chain: CA certificates that came with the signature. Raises as `find_path`.
        """
        along = tuple(one.sha256 for one in chain)
        key = (cert.sha256, along, address, revocation, allow_legacy)
        lasting = revocation is Revocation.OFF or isinstance(material.ocsp, ResponsesGiven)
        with self._lock:
            known = self._known.get(key) if self._material is material else None
            if known is not None and known.since <= moment < known.until:
                self._known.move_to_end(key)
                return known.path
        path = find_path(
            cert,
            material.with_chain(chain),
            moment=moment,
            revocation=revocation,
            accept=lambda anchor: anchor_problem(anchor, address=address, purpose=Purpose.SIGN),
            allow_legacy=allow_legacy,
            for_mail=True,
        )
        if not lasting:
            return path
        turn = bisect_right(_TURNS, moment)
        until = min([path.until, moment + _HOLDS, *_TURNS[turn : turn + 1]])
        with self._lock:
            if self._material is not material:  # and is not kept alive with its CRLs
                self._material, self._known = material, OrderedDict()
            self._known[key] = _Remembered(path, moment, until)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return path
