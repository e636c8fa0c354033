"""Files that nobody on this project made, and what `sceau smime` has to say of each.

`expected` is written by hand from the text that comes with the file or from the RFC, never copied
from a run: a run that disagrees fails.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """Files of one kind, judged in one call.

    files: names or globs below the corpora. options: of the command; "@" begins a file below the
    corpora. expected: the status, then every code of a problem, in any order. content: what
    decryption must give, but for line ends: "@file" ("{stem}": name without suffix), else itself.
    own: the certificates in the message are its anchors, because those of the sender are not
    published. armour: what stands before "-----BEGIN" is cut off, as `openssl` does when it reads.
    """

    verb: str
    files: tuple[str, ...]
    options: tuple[str, ...]
    expected: str
    why: str
    content: str | None = None
    own: bool = False
    password: str | None = None
    armour: bool = False


def _at(day: str) -> tuple[str, ...]:
    return ("--at", f"{day}T00:00:00Z")


_OFF = ("--revocation", "off")
_LEGACY = "--allow-legacy"

_RFC = "rfc4134/rfc4134/"
_CARL = ("--anchor", f"@{_RFC}CarlRSASelf.cer", "--anchor", f"@{_RFC}CarlDSSSelf.cer")
_2003 = (*_CARL, *_OFF, *_at("2003-01-01"), _LEGACY)
_BOB = ("--key", f"@{_RFC}BobPrivRSAEncrypt.pri", "--cert", f"@{_RFC}BobRSASignByCarl.cer")

_RFC4134 = (
    Case(
        "verify",
        tuple(f"{_RFC}4.{number}.bin" for number in (1, 2, 4, 5, 7, 10)),
        _2003,
        "invalid identity.from-missing",
        "Signature, attributes and path are good; bare CMS has no From that a mail needs.",
    ),
    Case(
        "verify",
        (f"{_RFC}4.2.bin",),
        (*_CARL, *_OFF, *_at("2003-01-01")),
        "invalid algorithm.refused algorithm.key algorithm.signature identity.from-missing",
        "Without the switch SHA-1, in the mail and its certificate, and RSA of 1,024 bits are "
        "refused (RFC 8551 §2.1, §4.2).",
    ),
    Case(
        "verify",
        (f"{_RFC}4.3.bin",),
        _2003,
        "indeterminate signature.no-content",
        "Detached, and the content is in another file.",
    ),
    Case(
        "verify",
        (f"{_RFC}4.6.bin",),
        _2003,
        "invalid algorithm.key-unreadable identity.from-missing signature.unchecked",
        "Diane's certificate inherits DSS parameters (RFC 3279 §2.3.2), which we do not do: "
        "her signature is not checked, and one good signer of two is not enough.",
    ),
    Case(
        "verify",
        (f"{_RFC}4.8.eml", f"{_RFC}4.9.eml"),
        _2003,
        "invalid identity.from-mismatch",
        "Signature and path are good; From is @examples.com, the certificate @example.com.",
    ),
    Case(
        "verify",
        (f"{_RFC}4.11.bin",),
        _2003,
        "unsigned signature.no-signer",
        "Certificates-only (RFC 8551 §3.8).",
    ),
    Case(
        "decrypt",
        (f"{_RFC}5.1.bin", f"{_RFC}5.2.bin", f"{_RFC}5.3.eml"),
        (*_BOB, *_at("2003-01-01"), _LEGACY),
        "decrypted",
        "3DES and RC2 to Bob, RSA v1.5: gives ExContent.bin.",
        content=f"@{_RFC}ExContent.bin",
    ),
    Case(
        "decrypt",
        (f"{_RFC}5.1.bin", f"{_RFC}5.2.bin", f"{_RFC}5.3.eml"),
        _BOB,
        "refused algorithm.refused",
        "3DES and RC2 are not opened without the switch.",
    ),
    Case(
        "verify",
        (f"{_RFC}3.1.bin", f"{_RFC}3.2.bin", f"{_RFC}6.0.bin"),
        _2003,
        "unsigned structure.content-type",
        "Data and DigestedData: CMS, and no S/MIME type (RFC 8551 §2.4).",
    ),
    Case(
        "verify",
        (f"{_RFC}7.1.bin", f"{_RFC}7.2.bin"),
        _2003,
        "indeterminate structure.content-type",
        "EncryptedData has no recipient: no S/MIME type (RFC 8551 §2.4).",
    ),
)

_NSS = "nss-smime/tests/smime/interop-openssl/"
_FRAN = "This is a test message to Fran.\n"
_NSS_SMIME = (
    Case(
        "decrypt",
        (f"{_NSS}fran-*.env",),
        ("--key", f"@{_NSS}Fran.p12", "--key", f"@{_NSS}Fran-ec.p12", _LEGACY),
        "decrypted",
        "OAEP with hashes, MGFs and labels mixed, ECDH with SHA-1 to SHA-512: all must open.",
        content=_FRAN,
        password="nss",
    ),
    Case(
        "decrypt",
        (f"{_NSS}fran-oaep_ossl.env",),
        ("--key", f"@{_NSS}Fran.p12"),
        "refused algorithm.refused",
        "The one of the 17 with 3DES: not opened without the switch.",
        password="nss",
    ),
)

_OSSL = "openssl-cms/test/"
_CMS_DATA = f"{_OSSL}recipes/80-test_cms_data/"
_ROOT = ("--anchor", f"@{_OSSL}smime-certs/smroot.pem", *_OFF, *_at("2022-01-01"), _LEGACY)
_REISSUED = (
    " The root was made anew since, hence path.signature; bare CMS, hence identity.from-missing."
)
_OPENSSL = (
    Case(
        "verify",
        (f"{_CMS_DATA}bad_signtime_attr.cms",),
        _ROOT,
        "invalid attributes.unsigned path.signature identity.from-missing",
        "signingTime among the unsigned attributes (RFC 5652 §11.3)." + _REISSUED,
    ),
    Case(
        "verify",
        (f"{_CMS_DATA}ct_multiple_attr.cms",),
        _ROOT,
        "invalid attributes.repeated path.signature identity.from-missing",
        "contentType twice (RFC 5652 §11.1)." + _REISSUED,
    ),
    Case(
        "verify",
        (f"{_CMS_DATA}no_ct_attr.cms", f"{_CMS_DATA}no_md_attr.cms"),
        _ROOT,
        "invalid attributes.missing path.signature identity.from-missing",
        "Signed attributes without contentType or messageDigest (RFC 5652 §5.3)." + _REISSUED,
    ),
    Case(
        "verify",
        (f"{_CMS_DATA}pkcs7-md4.pem",),
        _ROOT,
        "invalid algorithm.unsupported path.extended-key-usage path.no-anchor "
        "identity.from-missing",
        "MD4 is not known at all, not even as old evidence; a made-up certificate.",
    ),
    Case(
        "decrypt",
        (f"{_CMS_DATA}ciphertext_from_1_1_1.cms",),
        (
            "--key",
            f"@{_OSSL}smime-certs/smec3.pem",
            "--cert",
            f"@{_OSSL}smime-certs/smec3.pem",
            _LEGACY,
        ),
        "decrypted",
        "Two recipients by ECDH with the 3DES wrap, as OpenSSL 1.1.1 wrote them.",
    ),
    Case(
        "verify",
        (f"{_OSSL}recipes/80-test_cmsapi_data/encryptedData.der",),
        _ROOT,
        "indeterminate structure.content-type",
        "EncryptedData has no recipient: no S/MIME type (RFC 8551 §2.4).",
    ),
    Case(
        "verify",
        (f"{_OSSL}smime-eml/SignedInvalidMappingFromanyPolicyTest7.eml",),
        (*_OFF, *_at("2022-01-01")),
        "invalid path.anchor-missing identity.no-address",
        "Of PKITS, without its anchor; the certificate has no address.",
    ),
    Case(
        "verify",
        (f"{_OSSL}d2i-tests/bad-cms.der",),
        _ROOT,
        "malformed structure.truncated",
        "OpenSSL's test of a structure that ends early.",
    ),
)

_HP = "header-protection/"
_HP_OPTIONS = ("--anchor", f"@{_HP}sample-ca.pem", *_OFF, *_at("2020-01-01"))
_HP_KEY = ("--key", f"@{_HP}bob.p12")
_HEADER_PROTECTION = (
    Case(
        "verify",
        (f"{_HP}smime-multipart-signed.eml", f"{_HP}smime-onepart-signed.eml"),
        _HP_OPTIONS,
        "valid",
        "Alice, signed by the sample CA.",
    ),
    Case(
        "verify",
        (f"{_HP}smime-sign+enc.eml", f"{_HP}smime-sign+enc+legacy-disp.eml"),
        (*_HP_OPTIONS, *_HP_KEY, _LEGACY),
        "valid",
        "Signed inside encrypted to Bob (3DES).",
        password="bob",
    ),
    Case(
        "verify",
        (f"{_HP}smime-enc+legacy-disp.eml",),
        (*_HP_OPTIONS, *_HP_KEY, _LEGACY),
        "unsigned",
        "Encrypted only: opened, and nobody signed it.",
        password="bob",
    ),
    Case(
        "decrypt",
        (f"{_HP}smime-*enc*.eml",),
        (*_HP_KEY, _LEGACY),
        "decrypted",
        "The .inner file beside each.",
        content=f"@{_HP}{{stem}}.inner",
        password="bob",
    ),
    Case(
        "verify",
        (f"{_HP}unfortunately-complex.eml",),
        _HP_OPTIONS,
        "unsigned",
        "PGP/MIME: no S/MIME signature.",
    ),
)

_RUST = "rustcrypto-cms/cms/tests/examples/"
_2023 = (*_OFF, *_at("2023-01-01"), _LEGACY)
_NO_KEY = "Every RecipientInfo is read; the key is not published."
_RUSTCRYPTO = (
    Case(
        "verify",
        (f"{_RUST}cms_ber.bin", f"{_RUST}cms_der.bin", f"{_RUST}sd.cms"),
        _2023,
        "invalid path.anchor-missing identity.from-missing",
        "Signature good, in BER of indefinite length as in DER; no anchor is published and bare "
        "CMS has no From.",
    ),
    Case(
        "verify",
        (f"{_RUST}scep_der.bin",),
        _2023,
        "invalid path.anchor-missing identity.from-missing identity.inner-from",
        "Signature good; the content is ciphertext of SCEP, whose bare CR and LF may hide a From.",
    ),
    Case(
        "verify",
        (f"{_RUST}compressed_data.bin",),
        _2023,
        "unsigned",
        "CompressedData (RFC 3274): opened, and nobody signed it.",
    ),
    Case(
        "verify",
        (f"{_RUST}enveloped_data_*.bin", f"{_RUST}kms_ciphertext_*.ber"),
        _2023,
        "indeterminate decrypt.no-key",
        "KTRI, KARI, KEKRI, PWRI, all together, and BER. " + _NO_KEY,
    ),
    Case(
        "verify",
        (f"{_RUST}*_kemri_*.der",),
        _2023,
        "indeterminate decrypt.no-key",
        "KEMRecipientInfo (RFC 9629) with ML-KEM of a draft. " + _NO_KEY,
    ),
    Case(
        "verify",
        (f"{_RUST}pkits.p7b", f"{_RUST}pkits_ee.p7b"),
        _2023,
        "unsigned signature.no-signer",
        "Certificates-only (RFC 8551 §3.8).",
    ),
    Case(
        "verify",
        (f"{_RUST}certData.bin", f"{_RUST}digested_data.bin"),
        _2023,
        "unsigned structure.content-type",
        "Data and DigestedData: CMS, and no S/MIME type (RFC 8551 §2.4).",
    ),
    Case(
        "verify",
        (f"{_RUST}encrypted_data.bin", f"{_RUST}keyEncryptedData.bin"),
        _2023,
        "indeterminate structure.content-type",
        "EncryptedData has no recipient: no S/MIME type (RFC 8551 §2.4).",
    ),
    Case(
        "verify",
        (f"{_RUST}apple_mdm_signature_der.bin", f"{_RUST}authroot.stl"),
        _2023,
        "malformed structure.content",
        "PKCS #7 of 1998: the content is no OCTET STRING (RFC 5652 §5.2.1); OpenSSL's CMS reader "
        "refuses it, too.",
    ),
    Case(
        "verify",
        (f"{_RUST}signer_info_explicit_attrs.bin",),
        _2023,
        "malformed structure.header",
        "A SignerInfo alone, without ContentInfo; its first octets look like no CMS.",
    ),
    Case(
        "verify",
        (f"{_RUST}signer_info_sequence_not_set.bin",),
        _2023,
        "malformed structure.asn1",
        "A SignerInfo alone, without ContentInfo, and its attributes a SEQUENCE.",
    ),
)

_MLDSA = "bc-tsp-ers/pkix/"
_POST_QUANTUM = tuple(
    Case(
        "verify",
        (f"{_MLDSA}cms/mldsa/SignedData_ML-DSA-{size}.pem",),
        ("--anchor", f"@{_MLDSA}cert/mldsa/ML-DSA-{size}.pem", *_OFF),
        "invalid identity.from-missing",
        "An example of RFC 9882 as a draft: signature and path are good; bare CMS has no From.",
        armour=True,
    )
    for size in (44, 65, 87)
)

_MIMEKIT = "mimekit/UnitTests/TestData/smime/"
_OWN = "The sender's CA is not published, so his certificate is trusted itself. "
_MAILS = (
    Case(
        "verify",
        ("pkijs/examples/SMIMEVerificationExample/TestSMIME.eml",),
        (*_OFF, *_at("2007-01-01"), _LEGACY),
        "valid",
        _OWN + "SHA-1.",
        own=True,
    ),
    Case(
        "verify",
        ("horde-smime/test/Horde/Crypt/fixtures/smime_signed_opaque.eml",),
        (*_OFF, *_at("2018-01-01"), _LEGACY),
        "valid",
        _OWN + "Opaque.",
        own=True,
    ),
    Case(
        "verify",
        (f"{_MIMEKIT}thunderbird-signed.txt",),
        (*_OFF, *_at("2013-11-03"), _LEGACY),
        "valid",
        _OWN + "SHA-1, by Thunderbird 24.",
        own=True,
    ),
    Case(
        "verify",
        (f"{_MIMEKIT}octet-stream-with-mixed-line-endings.dat",),
        (*_OFF, *_at("2020-04-23"), _LEGACY),
        "invalid path.anchor-missing identity.from-missing",
        "AS2 by GXS, SHA-1: signature good; no anchor is published, and a body alone has no From. "
        "OpenSSL cannot read it.",
    ),
)

CASES = (
    *_RFC4134, *_NSS_SMIME, *_OPENSSL, *_HEADER_PROTECTION, *_RUSTCRYPTO, *_POST_QUANTUM, *_MAILS
)  # fmt: skip

# Where every file has to stand in a case, or below among what is no message.
FOLDERS = (
    _RFC, _NSS, _CMS_DATA, f"{_OSSL}recipes/80-test_cmsapi_data/", f"{_OSSL}smime-eml/", _HP,
    _RUST, f"{_MLDSA}cms/", "pkijs/examples/SMIMEVerificationExample/",
    "horde-smime/test/Horde/Crypt/fixtures/", _MIMEKIT,
)  # fmt: skip

# Keys, certificates, CRLs, plain texts and databases.
NO_MESSAGES = (
    f"{_RFC}*.cer", f"{_RFC}*.crl", f"{_RFC}*.pri", f"{_RFC}ExContent.bin", f"{_RFC}rfc4134.txt",
    f"{_NSS}*.p12", f"{_HP}README.md", f"{_HP}SOURCE.txt", f"{_HP}*.p12", f"{_HP}*.pem",
    f"{_HP}*.inner", f"{_RUST}*key*.der", f"{_RUST}p256-*.der", f"{_RUST}rsa*", f"{_RUST}*.pem",
    f"{_RUST}*.crt", f"{_RUST}*.txt", f"{_RUST}*.pfx", f"{_RUST}sceptest_*", f"{_RUST}*.sd",
    "horde-smime/test/Horde/Crypt/fixtures/*.pem", f"{_MIMEKIT}*.pem", f"{_MIMEKIT}*.crt",
    f"{_MIMEKIT}*.key", f"{_MIMEKIT}*.pfx", f"{_MIMEKIT}*.db", f"{_MIMEKIT}*/*",
)  # fmt: skip
