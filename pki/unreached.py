"""What went wrong with a connection, in words for people."""

from __future__ import annotations

import errno
import ssl

from pki.reach import NoAddress, NoneReached
from pki.sentences import Sentence, sentence

_LONGEST = 200

# "[Errno 111] Connection refused" is the system's number and our language's name for it. What the
# system says is kept in English, since that is what people look for; the usual ones have a
# translation, and they are named here so that it is seen where one is missing.
_SYSTEM = {
    errno.ECONNREFUSED: sentence("Connection refused"),
    errno.ECONNRESET: sentence("Connection reset by peer"),
    errno.ECONNABORTED: sentence("Software caused connection abort"),
    errno.EPIPE: sentence("Broken pipe"),
    errno.ENETUNREACH: sentence("Network is unreachable"),
    errno.EHOSTUNREACH: sentence("No route to host"),
    errno.ENETDOWN: sentence("Network is down"),
    errno.EADDRNOTAVAIL: sentence("Cannot assign requested address"),
    errno.EAFNOSUPPORT: sentence("Address family not supported by protocol"),
    errno.EMFILE: sentence("Too many open files"),
    errno.ENFILE: sentence("Too many open files in system"),
    errno.EACCES: sentence("Permission denied"),
    errno.EPERM: sentence("Operation not permitted"),
    errno.ENOENT: sentence("No such file or directory"),
    errno.EISDIR: sentence("Is a directory"),
    errno.EFBIG: sentence("File too large"),
    errno.EIO: sentence("Input/output error"),
}

# OpenSSL's words, by X509_V_ERR_…; those that say what host was meant vary, and have our own.
_CERTIFICATE = {
    9: sentence("certificate is not yet valid"),
    10: sentence("certificate has expired"),
    18: sentence("self-signed certificate"),
    19: sentence("self-signed certificate in certificate chain"),
    20: sentence("unable to get local issuer certificate"),
    21: sentence("unable to verify the first certificate"),
    23: sentence("certificate revoked"),
    26: sentence("unsuitable certificate purpose"),
    62: sentence("it is for another host name"),
    64: sentence("it is for another IP address"),
}


def told(error: Exception) -> Sentence:
    """What went wrong with a connection: in words of ours, or of the system where ours lack."""
    if error.args and isinstance(error.args[0], Sentence):
        return error.args[0]
    if isinstance(error, NoneReached):
        return sentence(
            "none of its {count} addresses could be reached; one of them, {address}: {reason}",
            count=str(error.tried),
            address=error.named,
            reason=told(error.why),
        )
    if isinstance(error, NoAddress):
        return sentence("{host} has no address", host=error.host)
    if isinstance(error, TimeoutError):
        return sentence("no answer in time")
    if isinstance(error, ConnectionResetError) and not error.strerror:  # as http.client raises it
        return sentence("the server closed the connection")
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _CERTIFICATE.get(getattr(error, "verify_code", 0)) or _shown(error.verify_message)
        return sentence("its certificate is not believed: {reason}", reason=why)
    if isinstance(error, ssl.SSLError):
        return sentence("TLS failed ({detail})", detail=_shown(error.strerror or str(error)))
    if isinstance(error, OSError) and isinstance(error.strerror, Sentence):
        return error.strerror
    if isinstance(error, OSError) and error.strerror:
        return _SYSTEM.get(error.errno or 0) or Sentence(_shown(error.strerror))
    return Sentence(_shown(f"{type(error).__name__} {error}".strip()))


def _shown(text: str) -> str:
    """A stranger's words, in one line of ASCII."""
    return ascii(text)[1:-1][:_LONGEST]
