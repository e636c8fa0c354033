"""The peer: what an administrator would build himself. Postfix with a content filter that calls
`openssl cms -sign | openssl cms -encrypt` for each mail; no archive, no look-up, one recipient.

Postfix runs from a folder on loopback ports; the system's own configuration is not touched. Its
master process has to be started by root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gateway.demo.pki import Credential
from gateway.demo.process import NotStartedError, free_port

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = diy.interieur.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtp_dns_support_level = disabled
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = 40000000
smtpd_client_connection_count_limit = 0
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
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
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
  openssl cms -encrypt -aes-256-cbc -from "$1" -to "$2" -subject "$SUBJECT" \\
    -out $D/out {folder}/reader.pem || exit 75
[ -s $D/out ] || exit 75
/usr/sbin/smtp-source -F $D/out -f "$1" -t "$2" 127.0.0.1:{back} || exit 75
"""


class Diy:
    """The peer as a system under test (see `bench.way_out.System`)."""

    name = "postfix + openssl"

    def __init__(
        self,
        folder: Path,
        sink_port: int,
        *,
        signer: Credential,
        issuer: Credential,
        reader: Credential,
    ) -> None:
        if os.geteuid() != 0:
            raise NotStartedError("the peer is a Postfix of its own, and root has to start it")
        self.port = free_port()
        self._etc = folder / "etc"
        for name in ("etc", "spool", "data"):
            (folder / name).mkdir(parents=True)
        shutil.chown(folder / "data", "postfix")
        # The filter runs as nobody and has to reach its files; these keys are worth nothing.
        for place in (folder, *folder.parents):
            if place.stat().st_uid == os.geteuid() and place.parent != place:
                place.chmod(place.stat().st_mode | 0o055)
        names = {"folder": folder, "sink": sink_port, "port": self.port, "back": free_port()}
        (self._etc / "main.cf").write_text(_MAIN.format(**names))
        (self._etc / "master.cf").write_text(_MASTER.format(**names))
        (folder / "filter.sh").write_text(_FILTER.format(**names))
        for file, source in (
            ("signer.pem", signer.certificate_file),
            ("signer.key", signer.key_file),
            ("chain.pem", issuer.certificate_file),
            ("reader.pem", reader.certificate_file),
        ):
            shutil.copy(source, folder / file)
            (folder / file).chmod(0o644)
        self._log = folder / "log"

    def start(self) -> None:
        """Start Postfix; returns when it listens."""
        self._postfix("start")

    def stop(self) -> None:
        """Stop it. The queue is empty by then, or the round has failed."""
        self._postfix("stop")

    def settle(self) -> float:
        """Nothing goes on after the last delivery."""
        return 0.0

    def complaints(self) -> str:
        """The end of its log, for a round that did not come to its end."""
        return self._log.read_text()[-2000:] if self._log.exists() else ""

    def _postfix(self, verb: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", self._etc, verb], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotStartedError(f"postfix {verb}: {done.stderr[-2000:]}{self.complaints()}")
