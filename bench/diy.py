"""The peer: what an administrator would build himself. Postfix with a content filter that calls
`openssl cms -sign | openssl cms -encrypt` for each mail; no archive, no look-up, one recipient.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.postfix import Postfix
from gateway.demo.pki import Credential

_MAIN = """\
dsf_destination_recipient_limit = 1
dsf_destination_concurrency_limit = 4
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o content_filter=dsf:dummy
127.0.0.1:{back} inet n - n - - smtpd
  -o content_filter= -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks
dsf unix - n n - 4 pipe
  flags=Rq user=nobody argv=/bin/sh {folder}/filter.sh ${{sender}} ${{recipient}}
"""

# The whole mail is the signed entity and the header fields are written anew: what is usual in
# such scripts. smtp-source (a C program of Postfix) hands the mail back; sendmail(1) would write
# it to the disk once more.
_FILTER = """\
#!/bin/sh
D=$(mktemp -d) || exit 75
trap 'rm -rf $D' EXIT
cat > $D/in || exit 75
SUBJECT=$(sed -n '/^$/q;s/^Subject: //p' $D/in | head -1)
openssl cms -sign -in $D/in -signer {folder}/signer.pem \\
    -inkey {folder}/signer.key -certfile {folder}/chain.pem -md sha256 |
  openssl cms -encrypt {algorithms} -from "$1" -to "$2" -subject "$SUBJECT" \\
    -out $D/out -recip {folder}/reader.pem {padding} || exit 75
[ -s $D/out ] || exit 75
/usr/sbin/smtp-source -F $D/out -f "$1" -t "$2" 127.0.0.1:{back} || exit 75
"""


class Diy(Postfix):
    """The peer as a system under test (see `bench.measure.System`).

    modern: AES-GCM, and OAEP for a reader with an RSA key; otherwise AES-CBC and PKCS #1 v1.5.
    """

    name = "postfix + openssl"

    def __init__(
        self,
        folder: Path,
        sink_port: int,
        *,
        signer: Credential,
        issuer: Credential,
        reader: Credential,
        modern: bool,
        rsa: bool,
    ) -> None:
        super().__init__(folder, "diy", sink_port, main=_MAIN, master=_MASTER)
        filled = _FILTER.format(
            folder=folder,
            back=self.back,
            algorithms="-aes-256-gcm" if modern else "-aes-256-cbc",
            padding="-keyopt rsa_padding_mode:oaep" if modern and rsa else "",
        )
        (folder / "filter.sh").write_text(filled)
        # The filter runs as nobody; these keys are worth nothing.
        for file, source in (
            ("signer.pem", signer.certificate_file),
            ("signer.key", signer.key_file),
            ("chain.pem", issuer.certificate_file),
            ("reader.pem", reader.certificate_file),
        ):
            shutil.copy(source, folder / file)
            (folder / file).chmod(0o644)
