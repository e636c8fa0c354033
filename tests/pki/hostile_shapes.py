"""Certificates made to cost much: each shape is below what a mail may bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki_maker import DAY, NOW, dn, usage

MARIE = "marie@a.example"
POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")
POLICIES = x509.ObjectIdentifier("2.5.29.32")


@dataclass
class Shape:
    """What is judged: a leaf, what came along with it, what is trusted."""

    leaf: bytes
    others: list[bytes]
    anchor: bytes
    crls: list[bytes] = field(default_factory=list)
    revocation: bool = False
    moment: datetime = NOW


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The same name gives the same key."""
    return ec.generate_private_key(ec.SECP256R1())


def cert(
    subject: str,
    issuer: str,
    *,
    own: Any = None,
    by: Any = None,
    ca: bool = True,
    serial: int = 7,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    end: datetime = NOW + 100 * DAY,
) -> bytes:
    """A certificate; keys are those of the names unless given."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(subject))
        .issuer_name(dn(issuer))
        .public_key((own or key(subject)).public_key())
        .serial_number(serial)
        .not_valid_before(NOW - 100 * DAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), True)
    )
    if ca:
        builder = builder.add_extension(usage("key_cert_sign", "crl_sign"), True)
    elif not any(isinstance(one, x509.SubjectAlternativeName) for one, _ in more):
        builder = builder.add_extension(san(x509.RFC822Name(MARIE)), False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by or key(issuer), hashes.SHA256()).public_bytes(Encoding.DER)


def san(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def raw(oid: x509.ObjectIdentifier, *content: bytes) -> x509.UnrecognizedExtension:
    """An extension with content that no builder would make."""
    return x509.UnrecognizedExtension(oid, element(0x30, b"".join(content)))


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(octets)]) + octets + content


def oid(number: int) -> bytes:
    """1.3.6.1.4.1.(100,000 + number)"""
    number += 100_000
    arcs = bytes([number >> 14 | 128, number >> 7 & 127 | 128, number & 127])
    return element(6, b"\x2b\x06\x01\x04\x01" + arcs)


ROOT = "Root"


def _root() -> bytes:
    return cert(ROOT, ROOT)


def dead_ends() -> Shape:
    """12 names, each certified by each: 11! ways, none of them to an anchor."""
    names = [f"Cross {n}" for n in range(12)]
    others = [cert(one, other) for one in names for other in names if one != other]
    return Shape(cert("Marie", names[0], ca=False), others, _root())


def ways_that_fail() -> Shape:
    """10 storeys with two keys each, all open to the root; the leaf's own fault comes last."""
    others = [cert("S 0", ROOT, own=key(f"0/{k}"), serial=k + 1) for k in range(2)]
    for storey in range(1, 10):
        others += [
            cert(f"S {storey}", f"S {storey - 1}", own=key(f"{storey}/{k}"),
                 by=key(f"{storey - 1}/{by}"), serial=10 * k + by + 1)
            for k in range(2) for by in range(2)
        ]  # fmt: skip
    leaf = cert("Marie", "S 9", by=key("9/0"), ca=False, end=NOW - DAY)
    return Shape(leaf, others, _root())


def one_name() -> Shape:
    """10,000 CAs of one name with as many keys as a pool has; the right one is none of them."""
    made = cert("Issuing CA", ROOT, own=key("wrong"), serial=2**60)
    at = made.index((2**60).to_bytes(8, "big"))
    others = [made[:at] + (2**60 + n).to_bytes(8, "big") + made[at + 8 :] for n in range(10_000)]
    return Shape(cert("Marie", "Issuing CA", ca=False), others, _root())


def loops() -> Shape:
    """Three CAs certify each other in a ring, with several keys each."""
    ring = ["Ring 0", "Ring 1", "Ring 2"]
    others = [
        cert(name, ring[at - 1], own=key(f"{name}/{k}"), by=key(f"{ring[at - 1]}/{by}"),
             serial=10 * k + by + 1)
        for at, name in enumerate(ring) for k in range(4) for by in range(4)
    ]  # fmt: skip
    return Shape(cert("Marie", ring[0], by=key("Ring 0/0"), ca=False), others, _root())


def long_chain() -> Shape:
    """300 CAs, one below the other."""
    others = [cert(f"CA {n}", f"CA {n - 1}" if n else ROOT) for n in range(300)]
    return Shape(cert("Marie", "CA 299", ca=False), others, _root())


def one_megabyte() -> Shape:
    """A certificate of 1 MB."""
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x" * 1_000_000)
    return Shape(cert("Marie", ROOT, ca=False, more=((padding, False),)), [], _root())


def _mails(count: int, domain: str) -> list[x509.GeneralName]:
    return [x509.RFC822Name(f"m{n}@{domain}") for n in range(count)]


def _marie_and(count: int, domain: str) -> x509.SubjectAlternativeName:
    return san(x509.RFC822Name(MARIE), *_mails(count, domain))


def mail_constraints() -> Shape:
    """4,000 mailboxes permitted, 4,000 others in the leaf: CVE-2021-44533's kind of product."""
    trees = x509.NameConstraints(_mails(4_000, "a.example"), None)
    ca = cert("Issuing CA", ROOT, more=((trees, True),))
    leaf = cert("Marie", "Issuing CA", ca=False, more=((_marie_and(4_000, "b.example"), False),))
    return Shape(leaf, [ca], _root())


def mail_exclusions() -> Shape:
    """The same with excluded subtrees: every name before every subtree, and all of them pass."""
    trees = x509.NameConstraints(None, _mails(4_000, "b.example"))
    ca = cert("Issuing CA", ROOT, more=((trees, True),))
    leaf = cert("Marie", "Issuing CA", ca=False, more=((_marie_and(4_000, "a.example"), False),))
    return Shape(leaf, [ca], _root())


def host_constraints() -> Shape:
    """The smallest that fit: 12,000 hosts before 12,000 subtrees, in each of five CAs."""
    trees = x509.NameConstraints(None, [x509.DNSName(f"{n:x}.b") for n in range(9_000)])
    others, above = [], ROOT
    for number in range(5):
        others.append(cert(f"CA {number}", above, more=((trees, True),)))
        above = f"CA {number}"
    hosts = [x509.DNSName(f"{n:x}.a") for n in range(9_000)]
    leaf = cert("Marie", above, ca=False, more=((san(x509.RFC822Name(MARIE), *hosts), False),))
    return Shape(leaf, others, _root())


def directory_constraints() -> Shape:
    """Names of many parts on both sides."""
    trees = [x509.DirectoryName(dn(f"x{n}")) for n in range(1_300)]
    ca = cert("Issuing CA", ROOT, more=((x509.NameConstraints(None, trees), True),))
    names = [x509.DirectoryName(dn(f"y{n}")) for n in range(1_300)]
    leaf = cert(
        "Marie", "Issuing CA", ca=False, more=((san(x509.RFC822Name(MARIE), *names), False),)
    )
    return Shape(leaf, [ca], _root())


def policies() -> Shape:
    """2,000 policies in each of ten CAs, mapped in a circle: RFC 9618's graph at its largest."""
    count = 2_000
    listed = raw(POLICIES, *(element(0x30, oid(n)) for n in range(count)))
    turned = raw(
        POLICY_MAPPINGS, *(element(0x30, oid(n) + oid((n * 7 + 1) % count)) for n in range(count))
    )
    return _policy_chain(10, listed, turned)


def policy_tree() -> Shape:
    """Each policy mapped to each: RFC 5280's tree has 45 nodes, 45², 45³ (RFC 9618 §1)."""
    count = 45
    listed = raw(POLICIES, *(element(0x30, oid(n)) for n in range(count)))
    all_to_all = raw(
        POLICY_MAPPINGS,
        *(element(0x30, oid(one) + oid(other)) for one in range(count) for other in range(count)),
    )
    return _policy_chain(10, listed, all_to_all)


def policies_twice_over() -> Shape:
    """anyPolicy and 4,000 policies that nobody above has."""
    anything = element(0x30, element(6, b"\x55\x1d\x20\x00"))
    listed = raw(POLICIES, *(element(0x30, oid(n)) for n in range(4_000)), anything)
    return _policy_chain(10, listed, None)


def _policy_chain(
    length: int, listed: x509.ExtensionType, mapped: x509.ExtensionType | None
) -> Shape:
    strict = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ((listed, False), (strict, True))
    if mapped is not None:
        more += ((mapped, True),)
    others, above = [], ROOT
    for number in range(length):
        others.append(cert(f"CA {number}", above, more=more))
        above = f"CA {number}"
    return Shape(cert("Marie", above, ca=False), others, _root())


def _policy_bytes(*content: bytes) -> Shape:
    ca = cert("Issuing CA", ROOT, more=((raw(POLICY_MAPPINGS, *content), True),))
    return Shape(cert("Marie", "Issuing CA", ca=False), [ca], _root())


def long_oid() -> Shape:
    """An object identifier of 40,000 octets in a policy mapping: quadratic in asn1crypto."""
    long = element(6, b"\x2b" + b"\x86\x81" * 20_000 + b"\x01")
    return _policy_bytes(element(0x30, long + long))


def long_oid_of_arcs() -> Shape:
    """The same with 40,000 arcs."""
    long = element(6, b"\x2b" + b"\x01" * 40_000)
    return _policy_bytes(element(0x30, long + long))


def nested() -> Shape:
    """20,000 SEQUENCEs one in the other where two policies should stand."""
    inner = b""
    for _ in range(20_000):
        inner = element(0x30, inner)
    return _policy_bytes(inner)


def nested_address() -> Shape:
    """SmtpUTF8Mailbox as a string of strings of strings."""
    value = element(0x0C, MARIE.encode())
    for _ in range(15_000):
        value = element(0x2C, value)
    name = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), value)
    return Shape(cert("Marie", ROOT, ca=False, more=((san(name), False),)), [], _root())


def nested_capabilities() -> Shape:
    """SMIMECapabilities of 20,000 levels."""
    inner = b""
    for _ in range(20_000):
        inner = element(0x30, inner)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113549.1.9.15"), inner)
    foreign = cert("Marie", "Nobody", ca=False, more=((extension, False),))
    return Shape(foreign, [], _root())


def long_capability() -> Shape:
    """SMIMECapabilities with an object identifier of 80,000 octets."""
    long = element(0x30, element(0x30, element(6, b"\x2b" + b"\x86\x81" * 40_000 + b"\x01")))
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113549.1.9.15"), long)
    foreign = cert("Marie", "Nobody", ca=False, more=((extension, False),))
    return Shape(foreign, [], _root())


def many_addresses() -> Shape:
    """5,000 addresses, none of them hers."""
    names = san(*_mails(5_000, "b.example"))
    return Shape(cert("Marie", "Nobody", ca=False, more=((names, False),)), [], _root())


@cache
def _slow_key() -> rsa.RSAPublicKey:
    """RSA of 16,384 bits, the most that OpenSSL takes; nobody needs its other half."""
    return rsa.RSAPublicNumbers(65537, (1 << 16383) + 0x1B6F).public_key()


class _Public:
    """Looks like a private key to `cert`."""

    def __init__(self, public: Any) -> None:
        self._public = public

    def public_key(self) -> Any:
        return self._public


def slow_keys() -> Shape:
    """150 issuers of one name with RSA keys of 16,384 bits."""
    return _heavy(_slow_key())


def slow_exponents() -> Shape:
    """150 issuers with RSA keys of 3,072 bits and an exponent as long."""
    number = (1 << 3071) + 0x2F
    return _heavy(rsa.RSAPublicNumbers((1 << 3070) + 1, number).public_key())


def _heavy(public: rsa.RSAPublicKey) -> Shape:
    own = _Public(public)
    others = [cert("Issuing CA", ROOT, own=own, serial=n + 1) for n in range(150)]
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = cert("Marie", "Issuing CA", by=signer, ca=False)
    return Shape(_with_signature(made, (public.key_size + 7) // 8), others, _root())


def _with_signature(made: bytes, size: int) -> bytes:
    """The certificate with a signature of so many octets: else no library tries it."""
    parsed = x509.load_der_x509_certificate(made)
    tbs = parsed.tbs_certificate_bytes
    algorithm = element(0x30, bytes.fromhex("06092a864886f70d01010b0500"))
    signature = element(3, b"\0" + b"\x01" * size)
    return element(0x30, tbs + algorithm + signature)


SHAPES: dict[str, Callable[[], Shape]] = {
    make.__name__.replace("_", " "): make
    for make in (
        dead_ends, ways_that_fail, one_name, loops, long_chain, one_megabyte, mail_constraints,
        mail_exclusions, host_constraints, directory_constraints, policies, policy_tree,
        policies_twice_over, long_oid, long_oid_of_arcs, nested, nested_address,
        nested_capabilities, long_capability, many_addresses, slow_keys, slow_exponents,
    )
}  # fmt: skip
