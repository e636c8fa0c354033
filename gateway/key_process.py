"""Keys in PKCS#11 tokens for a command that reads strangers' mail, in a process of their own.

The worker that takes the mail apart (`gateway.guard`) is a copy of the command: a token's session
does not survive that, and a token that whoever broke the parser could talk to as he likes would be
his. So a third process has logged in; it answers the one question that opening mail has, what is
behind a ciphertext, and parses nothing of the mail.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from gateway.guard import walls
from pki.decrypter import Asked, CannotDecrypt, Decrypter, KemCiphertext, Oaep, PeerKey
from pki.decrypter import RsaCiphertext as Rsa
from pki.errors import PkiError, PrivateKeyError, Problem, TokenTrouble
from pki.token_uri import TokenKeyName

_MOST = (
    65_536  # octets of a question or an answer; a label of OAEP may be as long as its sender likes
)


class DistantKey:
    """`pki.decrypter.Decrypter` for a key in the process at the other end. One thread at a time."""

    def __init__(self, ours: socket.socket, number: int, about: dict[str, Any]) -> None:
        self._ours = ours
        self._number = number
        self._certificate = None if about["certificate"] is None else _octets(about["certificate"])
        self._kind = (str(about["kind"][0]), int(about["kind"][1]))
        self._pkcs1 = bool(about["pkcs1"])

    def __repr__(self) -> str:
        return f"<DistantKey {self._kind[0]}>"

    @property
    def certificate(self) -> bytes | None:
        """DER of its certificate."""
        return self._certificate

    @property
    def kind(self) -> tuple[str, int]:
        """Name and size as in `pki.algorithms`."""
        return self._kind

    @property
    def pkcs1(self) -> bool:
        """Whether RSA PKCS#1 v1.5 may be tried with it."""
        return self._pkcs1

    def secret(self, asked: Asked) -> bytes:
        """See `Decrypter.secret`. Raises TokenTrouble, too."""
        question = json.dumps({"key": self._number, **_question(asked)}).encode()
        if len(question) > _MOST:
            raise CannotDecrypt
        try:
            self._ours.sendall(question)
            answer = json.loads(self._ours.recv(_MOST))
        except (OSError, ValueError):
            raise _gone() from None
        if "trouble" in answer:
            raise TokenTrouble(Problem(*answer["trouble"]))
        if "secret" not in answer:
            raise CannotDecrypt
        return _octets(answer["secret"])


def keys_apart(
    names: Sequence[TokenKeyName], certificates: Sequence[bytes]
) -> tuple[DistantKey, ...]:
    """The keys of these names, in a process that logs in and lives as long as this one.

    certificates: DER, of these keys or others. To be called while this process has no other
    threads. Raises PrivateKeyError, TokenTrouble, OSError.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 4 * _MOST)
    parent = os.getpid()
    if os.fork() == 0:
        ours.close()
        _child(theirs, parent, names, certificates)
    theirs.close()
    keys: list[DistantKey] = []
    while True:
        try:
            about = json.loads(ours.recv(_MOST))
        except (OSError, ValueError):
            raise _gone() from None
        if "problem" in about:
            kind = TokenTrouble if about["trouble"] else PrivateKeyError
            raise kind(Problem(*about["problem"]))
        if "ready" in about:
            return tuple(keys)
        keys.append(DistantKey(ours, len(keys), about))


def _child(
    theirs: socket.socket,
    parent: int,
    names: Sequence[TokenKeyName],
    certificates: Sequence[bytes],
) -> None:
    """Never returns."""
    try:
        walls.be_alone(parent)
        _serve(theirs, names, certificates)
    finally:
        os._exit(0)


def _serve(
    theirs: socket.socket, names: Sequence[TokenKeyName], certificates: Sequence[bytes]
) -> None:
    from pki.load_token import load_token_decrypters
    from pki.token_sessions import Tokens

    tokens = Tokens()
    keys: list[Decrypter] = []
    try:
        for name in names:
            for key in load_token_decrypters(tokens, name, certificates):
                certificate = None if key.certificate is None else _text(key.certificate)
                about = {"certificate": certificate, "kind": key.kind, "pkcs1": key.pkcs1}
                theirs.sendall(json.dumps(about).encode())
                keys.append(key)
    except PkiError as error:
        found = error.problem
        said = [found.code, found.template, found.facts]
        trouble = isinstance(error, TokenTrouble)
        theirs.sendall(json.dumps({"problem": said, "trouble": trouble}).encode())
        return
    theirs.sendall(b'{"ready": true}')
    while question := theirs.recv(_MOST):
        theirs.sendall(json.dumps(_answer(keys, question)).encode())


def _answer(keys: Sequence[Decrypter], question: bytes) -> dict[str, Any]:
    try:
        wanted = json.loads(question)
        return {"secret": _text(keys[int(wanted["key"])].secret(_asked(wanted)))}
    except TokenTrouble as error:
        found = error.problem
        return {"trouble": [found.code, found.template, found.facts]}
    except (CannotDecrypt, ValueError, TypeError, KeyError, IndexError):
        return {}


def _question(asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {"octets": _text(asked.octets)}
    match asked:
        case Rsa():
            found["kind"] = "rsa"
            if asked.oaep is not None:
                found["oaep"] = [asked.oaep.digest, asked.oaep.mask, _text(asked.oaep.label)]
        case PeerKey():
            found["kind"] = "peer"
        case KemCiphertext():
            found["kind"] = "kem"
    return found


def _asked(question: dict[str, Any]) -> Asked:
    octets = _octets(question["octets"])
    match question["kind"]:
        case "rsa":
            oaep = question.get("oaep")
            return Rsa(octets, None if oaep is None else Oaep(oaep[0], oaep[1], _octets(oaep[2])))
        case "peer":
            return PeerKey(octets)
    return KemCiphertext(octets)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _gone() -> TokenTrouble:
    return TokenTrouble(Problem("token.process", "the process that holds the token's keys is gone"))
