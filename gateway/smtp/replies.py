"""Every reply text an SMTP client of ours can see. Nothing else in the product words one.

Codes: RFC 5321 §4.2.3; enhanced codes: RFC 3463, required on all 2xx, 4xx, 5xx replies but the
greeting and HELO/EHLO (RFC 2034 §4). Names say what happened; the line is what is sent.
"""

from __future__ import annotations

import re

from gateway.database.room import is_full
from gateway.errors import Refusal

# 2yz, 3yz
HELP = "214 2.0.0 See RFC 5321; commands: {commands}"  # RFC 5321 §4.1.1.8
READY = "220 {hostname} ESMTP"  # greeting
TLS_GO_AHEAD = "220 2.0.0 Ready to start TLS"  # RFC 3207 §4
AUTH_DONE = "235 2.7.0 Authentication successful"  # RFC 4954 §6
BYE = "221 2.0.0 Bye"  # RFC 5321 §4.1.1.10
DONE = "250 2.0.0 OK"
SENDER_OK = "250 2.1.0 Sender OK"  # X.1.0 other address status
RECIPIENT_OK = "250 2.1.5 Recipient OK"  # X.1.5 destination address valid
ACCEPTED = "250 2.0.0 {id}"  # the promise of I1
CANNOT_VERIFY = "252 2.5.0 Cannot VRFY, but send the mail and see"  # RFC 5321 §3.5.3
SEND_DATA = "354 End data with <CR><LF>.<CR><LF>"

# 421: the connection ends (RFC 5321 §3.8)
TOO_MANY_CONNECTIONS = "421 4.3.2 Too many connections, try again later"  # X.3.2 not accepting
TOO_MANY_OF_ADDRESS = "421 4.7.0 Too many connections from your address, try again later"
MAKE_ROOM = "421 4.3.2 Others need this connection, try again later"
TOO_MANY_LARGE = "421 4.3.1 Too many large mails at once, try again later"  # X.3.1 system full
TOO_MANY_COMMANDS = "421 4.7.0 Too many commands and no mail"
SHUTTING_DOWN = "421 4.3.2 Service is stopping, try again later"
TIMEOUT = "421 4.4.2 Nothing heard for too long"  # X.4.2 bad connection
TOO_SLOW = "421 4.4.2 Transaction takes too long"
CANNOT_SERVE = "421 4.3.0 Cannot serve now, try again later (id {incident})"
NOT_HTTP = "421 4.7.0 This is SMTP, not HTTP"
TOO_MANY_ERRORS = "421 4.7.0 Too many errors"  # X.7.0 other security status

# 45z: our fault, or not now
INTERNAL = "451 4.3.0 Cannot process this now, try again later (id {incident})"
NO_STORAGE = "452 4.3.1 Insufficient system storage, try again later (id {incident})"  # X.3.1
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients, send the rest separately"  # X.5.3
TLS_UNAVAILABLE = "454 4.7.0 TLS not available"  # RFC 3207 §4

# 50z: the command
UNKNOWN_COMMAND = "500 5.5.1 Command not recognized"  # X.5.1 invalid command
LINE_TOO_LONG = "500 5.5.2 Line too long"  # X.5.2 syntax error
AUTH_LINE_TOO_LONG = "500 5.5.6 Authentication exchange line is too long"  # RFC 4954 §4
BAD_LINE_END = "500 5.5.2 Lines must end with <CR><LF>"  # RFC 5321 §2.3.8
BAD_CHARACTERS = "500 5.5.2 Control characters or invalid UTF-8 in command"
NO_ARGUMENT = "501 5.5.4 This command takes no argument"  # X.5.4 invalid arguments
NEED_NAME = "501 5.5.4 Syntax: {command} hostname"
NEED_VRFY = "501 5.5.4 Syntax: VRFY address"
MAIL_SYNTAX = "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]"
RCPT_SYNTAX = "501 5.5.4 Syntax: RCPT TO:<address> [parameters]"
BAD_SENDER = "501 5.1.7 Bad sender address syntax"  # X.1.7
BAD_RECIPIENT = "501 5.1.3 Bad recipient address syntax"  # X.1.3
BAD_PARAMETER = "501 5.5.4 Malformed parameter"
PARAMETER_TWICE = "501 5.5.4 Parameter given twice"
BAD_SIZE = "501 5.5.4 SIZE takes a number"  # RFC 1870 §4
BAD_BODY = "501 5.5.4 BODY takes 7BIT or 8BITMIME"  # RFC 6152 §3
BAD_RET = "501 5.5.4 RET takes FULL or HDRS"  # RFC 3461 §4.3
BAD_ENVID = "501 5.5.4 ENVID takes at most 100 printable characters as xtext"  # RFC 3461 §4.4
BAD_NOTIFY = (  # RFC 3461 §4.1
    "501 5.5.4 NOTIFY takes NEVER alone, or some of SUCCESS, FAILURE, DELAY, each once"
)
BAD_ORCPT = "501 5.5.4 ORCPT takes type;address as xtext"  # RFC 3461 §4.2
BAD_SMTPUTF8 = "501 5.5.4 SMTPUTF8 takes no value"  # RFC 6531 §3.4
AUTH_SYNTAX = "501 5.5.4 Syntax: AUTH mechanism [initial-response]"
AUTH_BASE64 = "501 5.5.2 Cannot decode this as BASE64"  # RFC 4954 §4
AUTH_CANCELLED = "501 5.7.0 Authentication cancelled"  # RFC 4954 §4
XCLIENT_SYNTAX = "501 5.5.4 Bad XCLIENT attribute"  # XCLIENT_README
NOT_IMPLEMENTED = "502 5.5.1 Command not implemented"
NEED_HELLO = "503 5.5.1 Send EHLO first"
NEED_MAIL = "503 5.5.1 Send MAIL first"
NEED_RCPT = "503 5.5.1 Send RCPT first"
NESTED_MAIL = "503 5.5.1 Sender already given"
TLS_ALREADY = "503 5.5.1 TLS already active"
AUTH_TWICE = "503 5.5.1 Already authenticated"  # RFC 4954 §4
AUTH_IN_MAIL = "503 5.5.1 AUTH is not possible during a mail transaction"  # RFC 4954 §4
XCLIENT_IN_MAIL = "503 5.5.1 Mail transaction in progress"  # XCLIENT_README
ONLY_QUIT = "503 5.5.1 No service here, send QUIT"  # RFC 5321 §3.1

AUTH_UNKNOWN = "504 5.5.4 Unrecognized authentication mechanism"  # RFC 4954 §4

# 53z, 55z: the mail
NEED_TLS = "530 5.7.0 Must issue a STARTTLS command first"  # RFC 3207 §4
AUTH_INVALID = "535 5.7.8 Authentication credentials invalid"  # RFC 4954 §6
AUTH_NEEDS_TLS = "538 5.7.11 Encryption required for requested authentication mechanism"
XCLIENT_FORBIDDEN = "550 5.7.0 Insufficient authorization"  # XCLIENT_README
TOO_LARGE = "552 5.3.4 Message exceeds the size limit of {limit} octets"  # RFC 1870 §6
NEED_SMTPUTF8 = "553 5.6.7 Address is not ASCII, SMTPUTF8 was not asked for"  # RFC 6531 §3.5
NO_SERVICE = "554 5.7.1 No SMTP service for this network"  # RFC 5321 §3.1
LOOP = "554 5.4.6 Too many Received fields, mail loop"  # RFC 5321 §6.3
BARE_CR = "550 5.6.0 Message has a bare CR; lines must end with <CR><LF>"  # RFC 5321 §2.3.8
BARE_LF = "550 5.6.0 Message has a bare LF; lines must end with <CR><LF>"
NUL = "550 5.6.0 Message has a NUL character"  # RFC 5322 §2.1: characters 1 to 127
DATA_LINE_TOO_LONG = "550 5.6.0 Message has a line of more than {limit} octets"
UNKNOWN_PARAMETER = "555 5.5.4 Parameter not recognized or not implemented"  # RFC 5321 §4.1.1.11

# RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets with code and CRLF.
_TEXT_LIMIT = 480
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]+")
_ENHANCED = re.compile(r"[45]\.\d{1,3}\.\d{1,3}\Z")


def refusal(line: str, **facts: object) -> Refusal:
    """The Refusal that becomes exactly the reply `line` (4xx or 5xx), with its places filled."""
    code, status, text = line.format(**facts).split(" ", 2)
    return Refusal(int(code), status, text)


def reply_for(error: BaseException, incident: str) -> str:
    """The reply for an error: a Refusal says its own; a full disk is 452, all else 451, both with
    the incident's id.

    A 5xx for a fault of ours would make the client bounce mail because a disk was slow, and
    the text of an exception names classes, hosts and rules: neither may reach a peer.
    """
    if isinstance(error, Refusal) and speaks_for_itself(error):
        text = _NOT_PRINTABLE.sub("?", " ".join(error.text.split()))[:_TEXT_LIMIT]
        return f"{error.code} {error.status} {text}"
    return (NO_STORAGE if is_full(error) else INTERNAL).format(incident=incident)


def speaks_for_itself(error: BaseException) -> bool:
    """Whether `error` is a Refusal with codes that refuse; if not, it is a fault of ours.

    A Refusal that says 2xx would be read as "accepted" by the client.
    """
    return (
        isinstance(error, Refusal)
        and 400 <= error.code <= 599
        and _ENHANCED.match(error.status) is not None
        and error.status[0] == str(error.code)[0]
    )
