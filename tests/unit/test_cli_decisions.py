"""`sceau person` and `sceau pki anchor`: how people decide about trust, as they meet it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gateway import clock
from gateway.check.decisions import decisions
from gateway.check.finding import Finding, filled
from gateway.check.trust import anchors
from gateway.foureyes import effect
from gateway.wiring import Wiring
from tests.pki_maker import DAY, Authority, Issued, key, root
from tests.unit.cli_pki_house import House, Ran, sceau

PAUL = "paul@partner.example"


@dataclass
class Pen:
    """Somebody's certificate and key as files."""

    name: str
    issued: Issued
    certificate: Path
    key: Path

    @property
    def signs(self) -> tuple[str | Path, ...]:
        return "--as", self.certificate, "--key", self.key


def finding_text(finding: Finding) -> str:
    return f"{finding.text} {filled(finding.advice, finding.facts)}"


class Office(House):
    """A house with persons who decide, and a partner's CA that nobody knows yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.anna, self.bert = self.pen("Anna Keller"), self.pen("Bert Lang")
        self.partner = root("Partner Root", end=self.now + 900 * DAY)
        self.partner_file = self.write("partner.pem", self.partner.pem)

    def pen(self, name: str, **more: object) -> Pen:
        stem = name.split()[0].lower()
        own = key(f"pen {name}", "ec")
        issued = self.issue(name, f"{stem}@interior.example", subject_key=own, **more)
        return Pen(
            name,
            Issued(issued.cert, own),
            self.write(f"{stem}.crt", issued.pem),
            self.write(f"{stem}.key", Issued(issued.cert, own).key_pem),
        )

    def person(self, *arguments: str | Path) -> Ran:
        return sceau("person", *arguments, "--config", self.config)

    def enrolled(self) -> Office:
        """Anna and Bert have enrolled each other."""
        asked = self.person(
            "enrol", self.anna.certificate, self.bert.certificate, "--name", self.anna.name,
            "--name", self.bert.name, "--verified", "ID cards seen", *self.anna.signs, "--json",
        )  # fmt: skip
        assert asked.code == 0, asked.err
        done = self.person("approve", asked.json[0]["id"], *self.bert.signs)
        assert done.code == 0, done.err
        return self

    def propose(self, *more: str | Path, by: Pen | None = None, ca: Authority | None = None) -> Ran:
        ca = ca or self.partner
        file = self.write("proposed.pem", ca.pem)
        signs = (by or self.anna).signs if "--write" not in more else ()
        return self.run(
            "anchor", "propose", file, "--fingerprint", ca.sha256, "--name", "partner",
            "--purpose", "encrypt", "--domain", "partner.example", *signs, *more,
        )  # fmt: skip

    def check(self) -> str:
        """What `sceau check` says of decisions."""
        wiring = Wiring.from_file(self.config)
        found = [finding_text(one) for one in decisions(wiring, clock.now())]
        wiring.close()
        return "\n".join(found)

    def states(self) -> dict[str, str]:
        listed = self.run("anchor", "list", "--all", "--json")
        assert listed.code == 0, listed.err
        return {one["name"]: one["state"] for one in listed.json}

    def paul(self) -> Issued:
        """A recipient below the partner's root, stored, and the partner's CRL."""
        paul = self.issue("Paul", PAUL, authority=self.partner)
        stored = self.run("cert", "import", self.write("paul.pem", paul.pem))
        assert stored.code == 0, stored.err
        return paul

    def approve(self, *options: str | Path) -> Ran:
        """Sign the proposal that waits, by the id under which it is shown."""
        (shown,) = self.run("anchor", "approve", "partner", "--json").json
        return self.run("anchor", "approve", shown["id"], *options)

    def partner_crl(self) -> Path:
        crl = self.partner.crl(1, start=self.now - DAY, end=self.now + 7 * DAY)
        return self.write("partner.crl", crl)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path).enrolled()


def test_the_first_two_persons_enrol_each_other(tmp_path: Path) -> None:
    office = Office(tmp_path)
    assert office.person("list").out == ""
    office.enrolled()

    listed = office.person("list", "--json").json

    assert [(one["name"], one["state"], one["founder"]) for one in listed] == [
        ("Anna Keller", "active", True),
        ("Bert Lang", "active", True),
    ]
    shown = office.person("show", "Bert Lang")
    assert "one of the first persons" in shown.out
    assert "the first persons enrolled each other: Anna Keller, Bert Lang" in office.check()
    assert "pki.founders = [" in office.check()


def test_a_ca_is_introduced_by_two_and_taken_out_by_one(office: Office) -> None:
    """The walk of docs/pki.md."""
    paul = office.paul()
    assert office.run("cert", "find", PAUL, "--json").json[0]["status"] == "none"

    proposed = office.propose("--comment", "read out by phone")
    assert proposed.code == 0, proposed.err
    assert "it waits for another person" in proposed.out
    assert f"certificates wait for a CRL: 1 ({PAUL})" in proposed.out
    assert office.states() == {"house": "configured", "partner": "proposed"}
    assert office.run("cert", "find", PAUL, "--json").json[0]["status"] == "none"

    (before,) = office.run("anchor", "approve", "partner", "--json").json  # looked at, not signed
    assert before["changes"]["domains"] == ["partner.example"]
    assert before["effect"]["become_unknown"] == {"count": 1, "examples": [PAUL]}
    assert office.states()["partner"] == "proposed"

    approved = office.approve(*office.bert.signs)
    assert approved.code == 0, approved.err
    assert "done, signed by Anna Keller, Bert Lang" in approved.out
    assert office.states()["partner"] == "active"
    brought = office.run("crl", "import", office.partner_crl())
    assert brought.code == 0, brought.err
    (found,) = office.run("cert", "find", PAUL, "--json").json
    assert found["certificate"]["sha256"] == paul.sha256

    ended = office.run("anchor", "suspend", "partner", "--reason", "key stolen", *office.bert.signs)
    assert ended.code == 0, ended.err
    ended_at = clock.now().isoformat()
    assert f"certificates stop being usable: 1 ({PAUL})" in ended.out
    assert office.states()["partner"] == "suspended"
    (found,) = office.run("cert", "find", PAUL, "--json").json
    assert (found["status"], found["problems"][0]["code"]) == ("none", "path.anchor-suspended")
    questions = office.run("anchor", "questions", "--json").json
    assert [one["last"] < ended_at for one in questions] == [True]  # from before it was trusted

    told = office.run("anchor", "history", "partner", "--json").json
    assert [(one["act"], one["signed_by"]) for one in told] == [
        ("anchor.trust", ["Anna Keller"]),
        ("anchor.trust", ["Bert Lang"]),
        ("anchor.suspend", ["Bert Lang"]),
    ]


def test_trust_that_begins_later_shows_what_it_will_change(office: Office) -> None:
    """Else who waits an hour gets anything past the other person's eyes."""
    office.paul()
    begins = clock.now() + timedelta(hours=1)
    proposed = office.propose("--from", f"{begins:%Y-%m-%dT%H:%M:%SZ}")
    assert proposed.code == 0, proposed.err
    today, _, later = proposed.out.partition("when the trust begins:")
    assert "nothing changes" in today
    assert f"certificates wait for a CRL: 1 ({PAUL})" in later
    (looked,) = office.run("anchor", "approve", "partner", "--json").json
    assert looked["effect"]["become_unknown"]["count"] == 0
    assert looked["effect"]["begins"] == f"{begins:%Y-%m-%dT%H:%M:%S}.000000Z"
    assert looked["effect"]["later"]["become_unknown"] == {"count": 1, "examples": [PAUL]}


def test_numbers_and_alarms_know_of_an_anchor_that_came_and_went(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that runs sees the end of a CA that was trusted after its start."""
    monkeypatch.setattr("gateway.metrics.gauges._FRESH", 0.0)
    monkeypatch.setattr("gateway.metrics.gauges._SHARE", 0)
    wiring = Wiring.from_file(office.config)

    def anchors() -> list[str]:
        wiring.trust.refresh()
        return [one.name for one in wiring.gauges.look().certificates if one.kind == "anchor"]

    assert anchors() == ["house"]
    request = office.propose("--json").json[0]["id"]
    assert office.run("anchor", "approve", request, *office.bert.signs).code == 0
    assert anchors() == ["house", "partner"]
    done = office.run("anchor", "suspend", "partner", "--reason", "a break-in", *office.anna.signs)
    assert done.code == 0, done.err
    assert anchors() == ["house"]
    wiring.close()


def test_one_person_activates_nothing(office: Office) -> None:
    office.propose()
    again = office.approve(*office.anna.signs)
    assert (again.code, again.out.count("done")) == (1, 0)
    assert "Anna Keller has signed this request already" in again.err
    stranger = office.pen("Mallory Strange")
    none = office.approve(*stranger.signs)
    assert none.code == 1
    assert "no enrolled person has the certificate that it names" in none.err
    assert office.states()["partner"] == "proposed"


def test_certificates_that_were_not_looked_at_are_told_of(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else "nothing changes" would be said of strangers behind the newest twenty thousand."""
    monkeypatch.setattr(effect, "MOST", 1)
    office.paul()
    for name in ("one", "two"):
        cert = office.issue(name, f"{name}@interior.example")
        assert office.run("cert", "import", office.write(f"{name}.pem", cert.pem)).code == 0
    office.propose()
    (shown,) = office.run("anchor", "approve", "partner", "--json").json
    assert (shown["effect"]["looked_at"], shown["effect"]["left_out"]) == (1, 2)


def test_what_is_signed_is_what_was_shown(office: Office) -> None:
    """One of two persons puts another request in the place of the one that the other has read."""
    office.propose()
    (read,) = office.run("anchor", "approve", "partner", "--json").json
    ended = office.run("anchor", "refuse", "partner", "--reason", "a slip", *office.anna.signs)
    assert ended.code == 0, ended.err
    evil = office.write("evil.crt", root("Evil CA").pem)
    for name in ("partner", read["id"]):
        proposed = office.run(
            "anchor", "propose", evil, "--fingerprint", root("Evil CA").sha256, "--name", name,
            "--purpose", "encrypt", "--domain", "*", *office.anna.signs,
        )  # fmt: skip
        assert proposed.code in (0, 1), proposed.err

    by_name = office.run("anchor", "approve", "partner", *office.bert.signs)
    by_id = office.run("anchor", "approve", read["id"], *office.bert.signs)

    assert by_name.code == 2
    assert "name the request by its id" in by_name.err
    assert by_id.code == 1
    assert "this request is done or refused" in by_id.err
    assert "active" not in office.states().values()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--until", "2020-01-01T00:00:00Z", "would end the trust before it begins"),
        ("--name", "Partner Root", "is no name for an anchor"),
        ("--policy", "1.2.three", "is not an object identifier"),
        ("--revocation", "grace 400d", "365 days at most"),
    ],
)
def test_terms_that_cannot_hold_are_not_signed(
    office: Office, option: str, value: str, told: str
) -> None:
    ran = office.propose(option, value)

    assert ran.code == 2
    assert told in ran.err
    assert office.states() == {"house": "configured"}


def test_the_end_of_the_trust_is_told_of_as_that_of_a_certificate(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision for a year ends long before the root: `check`, alarms and metrics count to it."""
    ends = (clock.now() + 20 * DAY).replace(microsecond=0)
    asked = office.propose("--until", ends.isoformat(), "--json").json[0]["id"]
    assert office.run("anchor", "approve", asked, *office.bert.signs).code == 0
    shown = f"{ends:%Y-%m-%d %H:%M:%S} +00:00"
    assert shown in office.run("anchor", "list").out

    monkeypatch.setattr("gateway.metrics.gauges._FRESH", 0.0)
    wiring = Wiring.from_file(office.config)
    said = [
        finding_text(one) for one in anchors(wiring, clock.now()) if one.subject == "anchor partner"
    ]
    known = {one.name: one.ends for one in wiring.gauges.look().certificates}
    later = [one.code for one in anchors(wiring, ends + DAY) if one.subject == "anchor partner"]
    wiring.close()

    assert any("the trust in it ends on" in one for one in said)
    assert known["partner"] == ends
    assert "trust.ended" in later


def test_two_proposals_of_one_name_are_told_apart(office: Office) -> None:
    """A name that two requests have shows neither and refuses neither; what was refused stays in
    the history.
    """
    ids = [office.propose("--json").json[0]["id"] for _ in range(2)]

    for verb in (
        ("approve", "partner"),
        ("show", "partner"),
        ("refuse", "partner", "--reason", "not this one", *office.bert.signs),
    ):
        ran = office.run("anchor", *verb)
        assert ran.code == 2, verb
        assert all(one in ran.err for one in ids), verb

    refused = office.run("anchor", "refuse", ids[0], "--reason", "mistyped", *office.bert.signs)
    assert refused.code == 0, refused.err
    assert office.run("anchor", "approve", "partner", "--json").json[0]["id"] == ids[1]
    told = office.run("anchor", "history", "partner", "--json").json
    assert [one["act"] for one in told] == ["anchor.trust", "anchor.trust", "request.refuse"]


def test_a_wrong_fingerprint_is_not_even_proposed(office: Office) -> None:
    refused = office.run(
        "anchor", "propose", office.partner_file, "--fingerprint", "00" * 32, "--name", "partner",
        "--purpose", "encrypt", "--domain", "*", *office.anna.signs,
    )  # fmt: skip
    assert refused.code == 2
    assert "ask the CA which is right" in refused.err
    assert office.states() == {"house": "configured"}


def test_openssl_makes_the_signatures_elsewhere(office: Office) -> None:
    """A request leaves as a file, is signed where the keys are, and comes back."""

    def signed(pen: Pen, request: Path, *form: str) -> Path:
        out = request.with_suffix(f".{pen.certificate.stem}")
        subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-in", request, "-signer", pen.certificate,
             "-inkey", pen.key, "-out", out, *form],
            check=True, capture_output=True,
        )  # fmt: skip
        return out

    request = office.folder / "request.json"
    written = office.propose("--write", request)
    assert written.code == 0, written.err
    assert office.states() == {"house": "configured"}
    anna = signed(office.anna, request, "-outform", "DER")
    bert = signed(office.bert, request, "-outform", "PEM", "-nodetach")

    one = office.person("bring", request, anna)
    assert one.code == 0, one.err
    assert office.states()["partner"] == "proposed"
    twice = office.person("bring", request, anna)
    assert twice.code == 1
    two = office.person("bring", request, bert)

    assert two.code == 0, two.err
    assert office.states()["partner"] == "active"


def test_a_request_that_was_edited_is_not_the_one_that_was_signed(office: Office) -> None:
    request, edited = office.folder / "request.json", office.folder / "edited.json"
    office.propose("--write", request)
    signature = office.folder / "signature"
    subprocess.run(
        ["openssl", "cms", "-sign", "-binary", "-in", request, "-signer", office.anna.certificate,
         "-inkey", office.anna.key, "-out", signature, "-outform", "DER"],
        check=True, capture_output=True,
    )  # fmt: skip
    edited.write_bytes(request.read_bytes().replace(b'["partner.example"]', b"[]"))

    refused = office.person("bring", edited, signature)

    assert refused.code == 1
    assert "it is about other octets than those of the request" in refused.err
    assert office.states() == {"house": "configured"}


def test_a_revoked_certificate_approves_nothing(office: Office) -> None:
    office.propose()
    office.ca.revoked[office.bert.issued.cert.serial_number] = (office.now - DAY, "keyCompromise")
    office.publish(2)
    assert office.run("crl", "refresh").code == 0

    refused = office.approve(*office.bert.signs)

    assert refused.code == 1
    assert "revoked" in refused.err
    assert office.states()["partner"] == "proposed"
    assert "persons who can approve something: 1; it takes two" in office.check()


def test_a_third_person_is_enrolled_renewed_suspended(office: Office) -> None:
    carla = office.pen("Carla Roux")
    asked = office.person(
        "enrol", carla.certificate, "--name", carla.name, "--verified", "badge", *office.anna.signs,
        "--json",
    )  # fmt: skip
    assert asked.json[0]["state"] == "proposed"
    waiting = office.person("requests").out
    assert "enrol a person" in waiting
    assert "Carla Roux" in waiting
    office.person("approve", asked.json[0]["id"], *office.bert.signs)
    office.propose(by=carla)

    out = office.person("suspend", "Carla Roux", "--reason", "left us", *office.bert.signs)

    assert out.code == 0, out.err
    carla_now = office.person("show", "Carla Roux", "--json").json[0]
    assert (carla_now["state"], carla_now["suspended_why"]) == ("suspended", "left us")
    office.approve(*office.bert.signs)
    assert office.states()["partner"] == "proposed"  # what Carla signed does not count any more
    no = office.run(
        "anchor", "refuse", "partner", "--reason", "by nobody of us", *office.bert.signs
    )
    assert no.code == 0, no.err
    assert office.states()["partner"] == "refused"


@pytest.mark.parametrize("form", ["pem", "p7c"])
def test_a_list_of_roots_only_makes_proposals(office: Office, form: str) -> None:
    other = root("Other Root", kind="ec", end=office.now + 900 * DAY)
    both: list[x509.Certificate] = [office.partner.cert, other.cert]
    data = (
        office.partner.pem + other.pem
        if form == "pem"
        else pkcs7.serialize_certificates(both, Encoding.DER)
    )
    file = office.write(f"roots.{form}", data)
    terms = ("--purpose", "encrypt", "--domain", "partner.example", *office.anna.signs)

    listed = office.run("anchor", "import", file, "--json").json
    assert {one["sha256"] for one in listed} == {office.partner.sha256, other.sha256}
    assert office.states() == {"house": "configured"}
    office.run("anchor", "import", file, "--choose", office.partner.sha256, *terms)
    assert sorted(office.states().values()) == ["configured", "proposed"]
    done = office.run("anchor", "import", file, "--all", *terms)

    assert done.code == 0, done.err
    assert sorted(office.states().values()) == ["configured", "proposed", "proposed"]
    unknown = office.run("anchor", "import", file, "--choose", "00" * 32, *terms)
    assert unknown.code == 1


def test_the_systems_roots_are_listed_and_not_trusted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = office.write("bundle.crt", office.partner.pem)
    monkeypatch.setattr("os.environ", {**__import__("os").environ, "SSL_CERT_FILE": str(bundle)})
    monkeypatch.setattr("pki.systemroots._BUNDLES", (str(bundle),))

    listed = office.run("anchor", "import-system")

    assert office.partner.sha256 in listed.out
    assert "None of these is trusted" in listed.err
    assert office.states() == {"house": "configured"}


def test_an_unknown_authority_becomes_a_question(office: Office) -> None:
    office.paul()
    office.run("cert", "find", PAUL)
    office.run("cert", "find", PAUL)

    (asked,) = office.run("anchor", "questions", "--json").json
    assert "Partner Root" in asked["authority"]
    assert (asked["address"], asked["place"], asked["times"]) == (PAUL, "store", 2)
    assert office.states() == {"house": "configured"}
    shown = office.run("anchor", "questions", str(asked["number"]))
    assert PAUL in shown.out
    assert "authorities were met that nobody knows: 1" in office.check()

    done = office.run("anchor", "dismiss", str(asked["number"]), "--reason", "a test CA")
    assert done.code == 0, done.err
    office.run("cert", "find", PAUL)
    assert office.run("anchor", "questions").out == ""
    assert office.run("anchor", "questions", "--all", "--json").json[0]["why"] == "a test CA"


def test_with_four_eyes_an_anchor_in_the_file_is_a_fault(office: Office) -> None:
    text = office.config.read_text("utf-8")
    office.config.write_text(text.replace("four_eyes = false", "four_eyes = true"), "utf-8")

    refused = office.run("anchor", "list")

    assert refused.code == 2
    assert "who may write this file must not decide alone whom to trust" in refused.err
    text = office.config.read_text("utf-8")
    start = text.rindex("[[pki.anchors]]")
    office.config.write_text(text[:start] + text[text.index("[[pki.crls]]", start) :], "utf-8")
    assert office.run("anchor", "list").code == 0
    assert "a trust anchor takes the approval of two persons" in office.check()


def signed_mail(office: Office, who: Issued, text: str = "Bonjour.\r\n") -> Path:
    """A mail from Paul, signed by openssl, with the root that issued his certificate beside it."""
    office.write("body", b"Content-Type: text/plain\r\n\r\n" + text.encode())
    office.write("who.crt", who.pem)
    office.write("who.key", who.key_pem)
    subprocess.run(
        ["openssl", "smime", "-sign", "-in", office.folder / "body", "-signer", "who.crt",
         "-inkey", "who.key", "-certfile", office.partner_file, "-from", PAUL,
         "-to", "anna@interior.example", "-subject", "essai", "-out", "mail.eml"],
        check=True, capture_output=True, cwd=office.folder,
    )  # fmt: skip
    return office.folder / "mail.eml"


def test_an_unknown_authority_met_in_mail_becomes_a_question(office: Office) -> None:
    mail = signed_mail(office, office.issue("Paul", PAUL, authority=office.partner))

    office.run("cert", "harvest", mail)

    (asked,) = office.run("anchor", "questions", "--json").json
    assert (asked["place"], asked["address"]) == ("mail", PAUL)
    assert asked["above_sha256"] == [office.partner.sha256]
    out = office.folder / "from-mail.pem"
    office.run("anchor", "questions", str(asked["number"]), "--out", out)
    assert x509.load_pem_x509_certificate(out.read_bytes()) == office.partner.cert
    assert office.states() == {"house": "configured"}


@pytest.mark.parametrize("wrong", ["text", "From"])
def test_a_mail_that_is_wrong_otherwise_asks_nothing(office: Office, wrong: str) -> None:
    mail = signed_mail(office, office.issue("Paul", PAUL, authority=office.partner))
    other = {"text": (b"Bonjour.", b"Bonsoir."), "From": (b"From: paul", b"From: marie")}[wrong]
    mail.write_bytes(mail.read_bytes().replace(*other))

    office.run("cert", "harvest", mail)

    assert office.run("anchor", "questions", "--json").json == []
