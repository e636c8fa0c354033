"""Real servers in front: Postfix with AUTH, nginx with XCLIENT, set up as docs/senders.md says."""

from __future__ import annotations

import base64
import re
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from gateway.demo.process import Program, free_port
from tests.corpora import ROOT
from tests.flows.senders_scene import CHECKED, FRONT, PASSWORDS, Senders
from tests.flows.way_out_scene import AMELIE, HUGO, JEANNE, mail, until
from tests.services.postfix import Postfix

pytestmark = pytest.mark.flow

SAMPLES = ROOT / "samples" / "senders"


class DovecotAuth(socketserver.StreamRequestHandler):
    """Dovecot's authentication protocol, as much of it as Postfix speaks for PLAIN."""

    def handle(self) -> None:
        self.wfile.write(
            b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"
        )
        for line in self.rfile:
            verb, number, *rest = line.decode().rstrip("\n").split("\t")
            if verb != "AUTH":
                continue
            response = next(part[5:] for part in rest if part.startswith("resp="))
            _, login, password = base64.b64decode(response).decode().split("\0")
            right = PASSWORDS.get(login) == password
            self.wfile.write(f"{'OK' if right else 'FAIL'}\t{number}\tuser={login}\n".encode())


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class AuthServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture(scope="module")
def postfix(senders: Senders) -> Iterator[Postfix]:
    """The files of samples/senders, with this machine's places in them."""
    options = dict(
        re.findall(r"^  -o (\w+)=(.*)$", (SAMPLES / "master.cf").read_text(), re.MULTILINE)
    )
    main = dict(re.findall(r"^(\w+) = (.*)$", (SAMPLES / "main.cf").read_text(), re.MULTILINE))
    assert options.pop("smtpd_tls_security_level") == "encrypt"  # nothing to verify here
    assert main.pop("smtpd_tls_auth_only") == "yes"
    with serving(AuthServer(("127.0.0.1", 0), DovecotAuth)) as port:
        server = Postfix(relayhost=f"[localhost]:{senders.port}", smtpd=options)
        logins = server.put("logins", f"{JEANNE} jeanne\n{HUGO} hugo\n".encode())
        ca = server.put("ca.pem", senders.scene.stage.world.tls_ca.read_bytes())
        main |= {
            "smtpd_sasl_path": f"inet:127.0.0.1:{port}",
            "smtpd_sender_login_maps": f"texthash:{logins}",
            "relayhost": f"[localhost]:{senders.port}",
            "smtp_tls_CAfile": str(ca),
            "smtp_bind_address": CHECKED,
            "smtp_host_lookup": "native",
            "myorigin": "interieur.example",
        }
        server.main |= main
        with server:
            yield server


def submit(port: int, login: str, content: bytes, mail_from: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("pc.example")
        client.login(login, PASSWORDS[login])
        for command in (f"MAIL FROM:<{mail_from}>", f"RCPT TO:<{AMELIE}>"):
            code, text = client.docmd(command)
            if code != 250:
                return code, text
        return client.data(content)


def test_postfix_checks_the_envelope_and_sceau_the_header(
    senders: Senders, postfix: Postfix
) -> None:
    content = mail("Par Postfix.", subject="par-postfix")
    assert submit(postfix.port, "jeanne", content, JEANNE)[0] == 250
    postfix.wait(lambda: "status=sent (250 2.0.0 " in postfix.log, "hand it over")
    archive_id = re.findall(r"status=sent \(250 2\.0\.0 (\S+)\)", postfix.log)[-1]
    assert senders.proof(archive_id) == {
        "method": "relay", "relay": "checked", "address": CHECKED, "rule": "relay-domains",
    }  # fmt: skip
    ((_, file),) = senders.scene.wait_arrived(archive_id)
    assert senders.scene.opened(file, AMELIE).signer == senders.scene.credential(JEANNE).der
    # the envelope is Postfix's to check
    assert submit(postfix.port, "jeanne", content, HUGO)[0] == 553


@pytest.mark.parametrize("mail_from", [JEANNE, ""])
def test_another_from_behind_a_right_envelope_gets_no_signature(
    senders: Senders, postfix: Postfix, mail_from: str
) -> None:
    seen = postfix.log.count("From must be the envelope's sender")
    assert submit(postfix.port, "jeanne", mail("Payez.", sender=HUGO), mail_from)[0] == 250
    postfix.wait(
        lambda: postfix.log.count("550 5.7.1 From must be the envelope's sender") > seen,
        "be refused",
    )
    if mail_from:  # and Postfix's notice of that is From MAILER-DAEMON, and comes through
        until(
            lambda: any(
                event["event"] == "accepted" and event["sender"] == "" and event["peer"] == CHECKED
                for event in senders.scene.house.events()
            ),
            20,
            lambda: postfix.log[-2000:],
        )


class NginxAuth(BaseHTTPRequestHandler):
    """What nginx asks before it lets somebody in (ngx_mail_auth_http_module)."""

    upstream = 0

    def do_GET(self) -> None:
        login, password = (unquote(self.headers[name]) for name in ("Auth-User", "Auth-Pass"))
        right = PASSWORDS.get(login) == password
        self.send_response(200)
        self.send_header("Auth-Status", "OK" if right else "Invalid login or password")
        self.send_header("Auth-Server", "127.0.0.1")
        self.send_header("Auth-Port", str(self.upstream))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def nginx(senders: Senders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real nginx, with samples/senders/nginx.conf."""
    folder: Path = tmp_path_factory.mktemp("nginx")
    NginxAuth.upstream = senders.port
    port = free_port()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), NginxAuth)) as auth:
        text = (SAMPLES / "nginx.conf").read_text()
        for old, new in (
            ("load_module modules/", "load_module /usr/lib/nginx/modules/"),
            ("127.0.0.1:9000", f"127.0.0.1:{auth}"),
            ("listen 587;", f"listen 127.0.0.1:{port};"),
            ("        starttls only;\n", ""),
            ("        ssl_certificate /etc/nginx/front.crt;\n", ""),
            ("        ssl_certificate_key /etc/nginx/front.key;\n", ""),
        ):
            assert old in text
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\npid {folder}/pid;\n"
            f"error_log {folder}/error.log;\n{text}"
        )
        program = Program(
            [
                "/usr/sbin/nginx",
                "-p",
                folder,
                "-c",
                folder / "nginx.conf",
                "-e",
                folder / "error.log",
            ],
            folder / "log",
        )
        try:
            program.wait_for_port(port)
            yield port
        finally:
            program.stop()


def test_nginx_says_who_has_logged_in(senders: Senders, nginx: int) -> None:
    assert FRONT == "127.0.0.1"  # where nginx connects from
    with smtplib.SMTP("127.0.0.1", nginx, source_address=("127.0.0.5", 0), timeout=60) as client:
        client.ehlo("poste.interieur.example")
        client.login("jeanne", PASSWORDS["jeanne"])
        assert client.docmd(f"MAIL FROM:<{HUGO}>")[0] == 550
        client.docmd("RSET")
        assert client.docmd(f"MAIL FROM:<{JEANNE}>")[0] == 250
        client.docmd(f"RCPT TO:<{AMELIE}>")
        assert client.data(mail("Payez.", sender=HUGO))[0] == 550
        client.docmd(f"MAIL FROM:<{JEANNE}>")
        client.docmd(f"RCPT TO:<{AMELIE}>")
        code, text = client.data(mail("Par nginx."))
    assert code == 250
    archive_id = text.decode().split()[1]
    assert senders.proof(archive_id) == {
        "method": "xclient", "relay": "front", "front": "xclient", "address": FRONT,
        "login": "jeanne", "rule": "own-address",
    }  # fmt: skip
    ((_, file),) = senders.scene.wait_arrived(archive_id)
    head = file.read_bytes().partition(b"\r\n\r\n")[0]
    assert b"from poste.interieur.example ([127.0.0.5])" in head.replace(b"\r\n\t", b" ")
