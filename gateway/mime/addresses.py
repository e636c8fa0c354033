"""One strict reading of address lists (RFC 5322 §3.4 with RFC 6532), or none.

What readers disagree about is refused and not interpreted, because a gateway that signs for the
address it read vouches for the address the next reader reads: source routes, white space or
comments inside an address, encoded words where an address stands, look-alike separators.
"""

from __future__ import annotations

import re
import unicodedata

from gateway.mime.words import decode_words

_TOKEN = re.compile(
    r"""(?P<gap>[ \t]++)
      | (?P<atom>[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]++)
      | (?P<special>[<>@,:;.])
      | (?P<quoted>"(?:[^"\\]|\\.)*+")
      | (?P<comment>\()
      | (?P<literal>\[[^\[\]\\]*+\])""",
    re.VERBOSE,
)
# What most fields hold: words, and one plain address in angle brackets or alone. Whatever matches
# is read the same way by the parser below; it only costs a tenth.
_PLAIN = re.compile(
    rb"(?:(?:[A-Za-z0-9_-]++[ ]?+)*<)?+"
    rb"(?P<local>[A-Za-z0-9_+-]++(?:\.[A-Za-z0-9_+-]++)*+)"
    rb"@(?P<domain>[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+)(?P<angle>>)?+"
)
_COMMENT = re.compile(r"\\.|[()]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_DOT_ATOM = re.compile(r"[^\s\"(),:;<>@\[\\\].\x00-\x20]+(?:\.[^\s\"(),:;<>@\[\\\].\x00-\x20]+)*")
_SEPARATORS = frozenset('@<>,;:"()[]\\ .')
_COMMENT_DEPTH = 16
_TOKEN_LIMIT = 200_000  # some 25,000 addresses
_LOCAL_OCTETS, _DOMAIN_OCTETS = 64, 255  # RFC 5321 §4.5.3.1

_Token = tuple[str, str, bool]  # kind, text, whether white space or a comment stands before it
_END: _Token = ("end", "", False)


class Malformed(ValueError):
    """An address list without exactly one reading.

    template: why, with places for `{field}` (its name) and `{text}` (what stands there).
    """

    def __init__(self, template: str, text: str = "") -> None:
        super().__init__(template)
        self.template = template
        self.text = text[:80]


def parse(value: bytes, *, groups: bool = True) -> list[str]:
    """Addr-specs of an unfolded address list in order. Raises Malformed.

    groups: they are opened; without, one is Malformed.

    A quoted local part that needs no quotes loses them; everything else is as it came. Empty list
    members and dots in display names are allowed (RFC 5322 §4.1, §4.4): they have one reading.
    """
    plain = _PLAIN.fullmatch(value)
    if (
        plain is not None
        and len(plain["local"]) <= _LOCAL_OCTETS
        and len(plain["domain"]) <= _DOMAIN_OCTETS
        and (plain["angle"] is not None) == (b"<" in value)
    ):
        return [value[plain.start("local") : plain.end("domain")].decode("ascii")]
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the header field {field} is neither ASCII nor UTF-8") from None
    if match := _CONTROL.search(text):
        raise Malformed(
            "the header field {field} contains the control character {text}",
            f"U+{ord(match[0]):04X}",
        )
    return _Parser(_tokens(text), groups=groups).addresses()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    gap = False
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Malformed(
                "the header field {field} cannot be read at “{text}”", text[at : at + 20]
            )
        kind = match.lastgroup or ""
        at = match.end()
        if kind == "comment":
            at = _comment_end(text, at)
            gap = True
        elif kind == "gap":
            gap = True
        else:
            tokens.append((kind, match[0], gap))
            gap = False
            if len(tokens) > _TOKEN_LIMIT:
                raise Malformed("the header field {field} is too long")
    return tokens


def _comment_end(text: str, at: int) -> int:
    depth = 1
    for match in _COMMENT.finditer(text, at):
        if match[0] == "(":
            depth += 1
            if depth > _COMMENT_DEPTH:
                raise Malformed("the header field {field} has comments nested too deeply")
        elif match[0] == ")":
            depth -= 1
            if not depth:
                return match.end()
    raise Malformed("the header field {field} has a comment without end")


class _Parser:
    """Recursive descent without recursion: an address list has two levels, list and group."""

    def __init__(self, tokens: list[_Token], *, groups: bool) -> None:
        self._tokens = tokens
        self._groups = groups
        self._at = 0
        self._found: list[str] = []

    def addresses(self) -> list[str]:
        in_group = False
        separated = True
        while (token := self._peek()) is not _END:
            if token[1] == "," and token[0] == "special":
                self._at += 1
                separated = True
            elif token[1] == ";" and token[0] == "special" and in_group:
                self._at += 1
                in_group, separated = False, False
            elif not separated:
                raise Malformed("the header field {field} has no comma before “{text}”", token[1])
            elif self._mailbox_or_group(in_group):
                in_group, separated = True, True
            else:
                separated = False
        if in_group:
            raise Malformed("the header field {field} has a group without end")
        return self._found

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _mailbox_or_group(self, in_group: bool) -> bool:
        """Read one mailbox, or the name of a group up to its colon (then True)."""
        start = self._at
        while (token := self._peek())[0] in ("atom", "quoted") or token[1] == ".":
            self._at += 1
        words = self._tokens[start : self._at]
        match self._peek()[1] if self._peek()[0] == "special" else "":
            case "<":
                _check_phrase(words)
                self._at += 1
                self._angle()
            case ":":
                if in_group or not words:
                    raise Malformed("the header field {field} has a colon where none belongs")
                if not self._groups:
                    raise Malformed(
                        "the header field {field} names a group; it must be a person's address"
                    )
                _check_phrase(words)
                self._at += 1
                return True
            case "@":
                self._at = start
                self._addr_spec()
            case _:
                raise Malformed(
                    "the header field {field} has “{text}” where an address belongs",
                    _text(words, token),
                )
        return False

    def _angle(self) -> None:
        if self._peek()[1] == "@":
            raise Malformed(
                "the header field {field} has a source route, which readers treat differently"
            )
        self._addr_spec()
        if self._peek()[1] != ">":
            raise Malformed(
                "the header field {field} has “{text}” inside angle brackets", self._peek()[1]
            )
        self._at += 1

    def _addr_spec(self) -> None:
        first = self._at
        local = self._local_part()
        if self._peek()[1] != "@":
            raise Malformed(
                "the header field {field} has “{text}” where an address belongs",
                self._peek()[1] or local,
            )
        self._at += 1
        if self._peek()[0] == "literal":
            domain = self._peek()[1]
            self._at += 1
        else:
            domain = self._dot_atom()
        if any(gap for _, _, gap in self._tokens[first + 1 : self._at]):
            raise Malformed(
                "the header field {field} has white space or a comment inside an address, "
                "which readers treat differently"
            )
        if len(local.encode()) > _LOCAL_OCTETS or len(domain.encode()) > _DOMAIN_OCTETS:
            raise Malformed("the header field {field} has an address that is too long")
        _check_characters(local, quoted=local.startswith('"'))
        _check_characters(domain, quoted=domain.startswith("["))
        self._found.append(f"{local}@{domain}")

    def _local_part(self) -> str:
        kind, text, _ = self._peek()
        if kind != "quoted":
            return self._dot_atom()
        self._at += 1
        content = re.sub(r"\\(.)", r"\1", text[1:-1])
        if _DOT_ATOM.fullmatch(content):
            return content
        return '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'

    def _dot_atom(self) -> str:
        start = self._at
        while True:
            kind, text, _ = self._peek()
            if kind != "atom":
                raise Malformed(
                    "the header field {field} has “{text}” where an address belongs",
                    text or "an end",
                )
            self._at += 1
            if self._peek()[1] != "." or self._peek()[0] != "special":
                return "".join(text for _, text, _ in self._tokens[start : self._at])
            self._at += 1


def _text(words: list[_Token], then: _Token) -> str:
    return " ".join(text for _, text, _ in [*words, then]).strip() or "an end"


def _check_phrase(words: list[_Token]) -> None:
    """A display name whose decoding would put control characters before a reader is an attack."""
    phrase = " ".join(text for _, text, _ in words)
    if "=?" in phrase and _CONTROL.search(decode_words(phrase.encode())):
        raise Malformed("the header field {field} hides control characters in a display name")


def _check_characters(part: str, *, quoted: bool) -> None:
    if "=?" in part:
        # RFC 2047 §5 forbids encoded words here; readers that decode them see another address.
        raise Malformed(
            "the header field {field} has an encoded word inside the address “{text}”", part
        )
    if part.isascii():
        return
    if any(unicodedata.category(char)[0] in "CZ" for char in part if char != " "):
        raise Malformed(
            "the header field {field} has invisible characters inside the address “{text}”", part
        )
    # U+FF20, U+3002…: some software maps them to @ and dots before it splits the address.
    if not _SEPARATORS.isdisjoint(set(unicodedata.normalize("NFKC", part)) - set(part)):
        raise Malformed(
            "the header field {field} has look-alike separators inside the address “{text}”", part
        )
    if not quoted and "。" in part:
        raise Malformed(
            "the header field {field} has look-alike separators inside the address “{text}”", part
        )
