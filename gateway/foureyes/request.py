"""What people are asked to sign: a request in its one canonical form (RFC 8785). Pure.

An approval is a signature over exactly these octets. They say what is to be done, to what, with
which terms, for which installation, until when, and hold a nonce: an approval can be used for
nothing else, nowhere else, and not a second time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from archive.entry import format_time, parse_time
from archive.errors import EntryMalformed
from gateway.foureyes.errors import ActRefused
from gateway.sortedjson import encode
from pki.errors import problem

TYPE = "sceau/request/1"  # no other thing that is signed here begins like that
LASTS = timedelta(days=30)
MAX_OCTETS = 1 << 20
# A founding act names a few people, and each certificate is read.
MAX_SUBJECTS = 16

_HASH = re.compile(r"[0-9a-f]{64}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_KEYS = {
    "act", "certificates", "changes", "expires", "nonce", "org", "origin", "subjects", "time",
    "type",
}  # fmt: skip


class Act(Enum):
    """What can be asked for."""

    FOUND = "person.found"
    ENROL = "person.enrol"
    RENEW = "person.renew"
    SUSPEND_PERSON = "person.suspend"
    RESUME_PERSON = "person.resume"
    TRUST = "anchor.trust"
    SUSPEND = "anchor.suspend"
    RESUME = "anchor.resume"
    REFUSE = "request.refuse"

    @property
    def quorum(self) -> int:
        """How many people must sign. What only takes trust away takes one: it must be quick."""
        return 1 if self in (Act.SUSPEND_PERSON, Act.SUSPEND, Act.REFUSE) else 2

    @property
    def brings_certificates(self) -> bool:
        """Whether its subjects are certificates that come along."""
        return self in (Act.FOUND, Act.ENROL, Act.RENEW, Act.TRUST)


# Objects, arrays, strings and integers; no fractions, null or booleans.
Value = str | int | list["Value"] | dict[str, "Value"]


@dataclass(frozen=True, slots=True)
class Request:
    """subjects: SHA-256, hex, of the certificates (`brings_certificates`), or the id of a person,
    an anchor or a request. changes: by act, see `gateway.foureyes.ledger`.
    """

    act: Act
    origin: str
    org: str
    subjects: tuple[str, ...]
    certificates: tuple[bytes, ...]
    changes: Mapping[str, Value]
    time: datetime
    expires: datetime
    nonce: str

    @property
    def octets(self) -> bytes:
        """The canonical form: what is signed. No newline."""
        return encode(
            {
                "act": self.act.value,
                "certificates": [base64.b64encode(der).decode() for der in self.certificates],
                "changes": self.changes,
                "expires": format_time(self.expires),
                "nonce": self.nonce,
                "org": self.org,
                "origin": self.origin,
                "subjects": list(self.subjects),
                "time": format_time(self.time),
                "type": TYPE,
            }
        ).encode()

    @property
    def sha256(self) -> str:
        """Names the request."""
        return hashlib.sha256(self.octets).hexdigest()

    def text(self, name: str) -> str:
        """One of the changes that is a text. Raises ActRefused."""
        value = self.changes.get(name)
        if not isinstance(value, str):
            raise malformed(name)
        return value


def make_request(
    act: Act,
    *,
    origin: str,
    org: str,
    moment: datetime,
    changes: Mapping[str, Value],
    certificates: tuple[bytes, ...] = (),
    subjects: tuple[str, ...] = (),
) -> Request:
    """A new request with a nonce of its own, good for `LASTS`.

    certificates: DER; their hashes are the subjects then.
    """
    hashes = tuple(hashlib.sha256(der).hexdigest() for der in certificates)
    return Request(
        act=act,
        origin=origin,
        org=org,
        subjects=hashes or subjects,
        certificates=certificates,
        changes=changes,
        time=moment,
        expires=moment + LASTS,
        nonce=secrets.token_hex(16),
    )


def read_request(octets: bytes) -> Request:
    """The request in `octets`, if they are exactly its canonical form.

    Anything else is refused: two forms of one request would be two things to sign, and what a
    person was shown might not be what counts. Raises ActRefused.
    """
    if len(octets) > MAX_OCTETS:
        raise malformed("size")
    try:
        found = json.loads(
            octets.decode("utf-8"), parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        raise malformed("JSON") from None
    if not isinstance(found, dict) or found.keys() != _KEYS or found["type"] != TYPE:
        raise malformed("keys")
    request = _read(found)
    try:
        same = request.octets == octets
    except UnicodeEncodeError:  # half of a surrogate pair
        same = False
    if not same:
        raise malformed("RFC 8785")
    return request


def _read(found: dict[str, object]) -> Request:
    subjects = _texts(found["subjects"], "subjects")
    carried = _texts(found["certificates"], "certificates")
    changes = found["changes"]
    if not subjects:
        raise malformed("subjects")
    if not isinstance(changes, dict) or not _plain(changes):
        raise malformed("changes")
    texts = {}
    for name in ("act", "expires", "nonce", "org", "origin", "time"):
        value = found[name]
        if not isinstance(value, str):
            raise malformed(name)
        texts[name] = value
    if not _NONCE.fullmatch(texts["nonce"]):
        raise malformed("nonce")
    try:
        request = Request(
            act=Act(texts["act"]),
            origin=texts["origin"],
            org=texts["org"],
            subjects=tuple(subjects),
            certificates=tuple(base64.b64decode(one, validate=True) for one in carried),
            changes=changes,
            time=parse_time(texts["time"]),
            expires=parse_time(texts["expires"]),
            nonce=texts["nonce"],
        )
    except (ValueError, EntryMalformed):
        raise malformed("act, certificates, time, expires") from None
    hashes = tuple(hashlib.sha256(der).hexdigest() for der in request.certificates)
    if request.act.brings_certificates and (
        hashes != request.subjects or len(set(hashes)) != len(hashes)
    ):
        raise malformed("subjects")
    if not request.act.brings_certificates and (hashes or len(subjects) != 1):
        raise malformed("subjects")
    if request.act is not Act.FOUND and len(subjects) != 1:
        raise malformed("subjects")
    return request


def malformed(what: str) -> ActRefused:
    """That a request is not one, and in what."""
    return ActRefused(
        problem(
            "structure.request", "this is not a request in its canonical form ({what})", what=what
        )
    )


def _texts(value: object, name: str) -> list[str]:
    if isinstance(value, list) and len(value) <= MAX_SUBJECTS:
        texts = [one for one in value if isinstance(one, str)]
        if len(texts) == len(value):
            return texts
    raise malformed(name)


def _plain(value: object, depth: int = 4) -> bool:
    if depth == 0:
        return False
    if isinstance(value, dict):
        return all(name.isascii() and _plain(one, depth - 1) for name, one in value.items())
    if isinstance(value, list):
        return all(_plain(one, depth - 1) for one in value)
    if isinstance(value, str):
        return value.isprintable()  # what a terminal shows is what was signed
    return type(value) is int and abs(value) < 2**53


def _no_number(_text: str) -> object:
    raise ValueError("only integers")
