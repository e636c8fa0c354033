"""The connection under an LDAP session: TCP, StartTLS, TLS, each within a deadline.

Not left to libldap: built with GnuTLS, as on Debian, it ignores every time limit during the TLS
handshake, so a server that is frozen there would hold a worker for ever, at full CPU. Here Python's
`ssl` makes the TLS connection; where libldap is used, it is given one end of a socket pair behind
it.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from pki.der import element
from pki.reach import addresses_within, reach, resolve, seconds_left
from pki.sentences import sentence

# ExtendedRequest, message 1, requestName 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.12, §4.14.1)
_STARTTLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_EXTENDED_RESPONSE = 0x78
_LONGEST_ANSWER = 4096
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """How the other side is checked, and who we are to it.

    ca_file: PEM of the CAs that may certify the server; the system's are not used.
    certificate_file, key_file: PEM of our own, where the server asks for one; the key is not
    encrypted.
    """

    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError among it) for files that cannot be used."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate_file is not None:
            # Without a password here OpenSSL would ask for that of an encrypted key at the
            # terminal, and wait.
            context.load_cert_chain(self.certificate_file, self.key_file, password="")
        return context


def open_channel(
    host: str, port: int, *, ca_file: Path | None, starttls: bool, deadline: float
) -> socket.socket:
    """A connected, blocking socket that speaks LDAP in clear to this process only.

    ca_file: PEM of the CAs that may certify the server; None: no TLS. deadline: monotonic seconds.
    Raises OSError (TimeoutError, ssl.SSLError and ConnectionError among it).
    """
    tls = None if ca_file is None else Tls(ca_file)
    server = connect(host, port, tls=tls, starttls=starttls, deadline=deadline)
    if not isinstance(server, ssl.SSLSocket):
        server.settimeout(None)
        return server
    inner, outer = socket.socketpair()
    threading.Thread(target=_relay, args=(server, inner), name="ldap-tls", daemon=True).start()
    return outer


def connect(
    host: str, port: int, *, tls: Tls | None, starttls: bool, deadline: float
) -> socket.socket:
    """A connection to a server, TLS up where `tls` is given.

    deadline: monotonic seconds. Raises OSError (TimeoutError, ssl.SSLError and ConnectionError
    among it).
    """
    context = None if tls is None else tls.context()
    # All of them: the name is the administrator's, and behind it may stand every domain controller.
    addresses = addresses_within(resolve, host, port, deadline)
    server = reach(addresses, port, deadline, most=len(addresses))
    try:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            return server
        if starttls:
            _start_tls(server, deadline)
        server.settimeout(seconds_left(deadline))
        return context.wrap_socket(server, server_hostname=host)
    except BaseException:
        server.close()
        raise


def _start_tls(server: socket.socket, deadline: float) -> None:
    server.settimeout(seconds_left(deadline))
    server.sendall(_STARTTLS)
    answer = bytearray()
    while True:
        server.settimeout(seconds_left(deadline))
        block = server.recv(_LONGEST_ANSWER)
        if not block or len(answer) > _LONGEST_ANSWER:
            raise ConnectionError(sentence("the server did not answer StartTLS"))
        answer += block
        try:
            content, end = element(bytes(answer), 0)
        except ValueError:
            continue  # more is to come
        break
    # What comes in clear after the answer was put there by somebody between us (as in
    # CVE-2011-0411); it must not be read as if it had come through TLS.
    if len(answer) != end:
        raise ConnectionError(sentence("the server sent more than its answer to StartTLS"))
    _, operation = element(bytes(answer), content)  # messageID
    if answer[operation] != _EXTENDED_RESPONSE:
        raise ConnectionError(sentence("the server did not answer StartTLS"))
    start, _ = element(bytes(answer), operation)
    result, after = element(bytes(answer), start)  # resultCode ENUMERATED
    if answer[result:after] != b"\0":
        raise ConnectionError(sentence("the server does not offer StartTLS"))


def _relay(tls: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until one side closes. One thread: an SSL object allows no two."""
    to_server, to_client = bytearray(), bytearray()
    with tls, inner:
        tls.setblocking(False)
        inner.setblocking(False)
        try:
            while True:
                if not tls.pending():
                    _wait(tls, inner, bool(to_server), bool(to_client))
                if not _receive(tls, to_client) or not _receive(inner, to_server):
                    return
                _send(tls, to_server)
                _send(inner, to_client)
        except (OSError, ValueError):
            return  # libldap sees that the connection is gone


def _wait(tls: socket.socket, inner: socket.socket, server: bool, client: bool) -> None:
    poll = select.poll()
    poll.register(tls, select.POLLIN | (select.POLLOUT if server else 0))
    poll.register(inner, select.POLLIN | (select.POLLOUT if client else 0))
    poll.poll()


def _receive(source: socket.socket, into: bytearray) -> bool:
    """Read what is there. False: the other side has closed."""
    try:
        block = source.recv(_BLOCK)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return True
    into += block
    return bool(block)


def _send(target: socket.socket, waiting: bytearray) -> None:
    while waiting:
        try:
            sent = target.send(waiting)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        del waiting[:sent]
