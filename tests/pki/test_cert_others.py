"""`sceau pki cert` with lists, other keys, signed mail, domains: what a person sees."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from dataclasses import dataclass
from math import gcd, prod
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa

from archive.models import log_entries
from gateway import clock
from gateway.installation import Installation
from gateway.queue.jobs import NewMessage, problem_to_json
from gateway.queue.models import recipients
from gateway.queue.states import State
from gateway.queue.store.enqueue import enqueue
from gateway.wiring import Wiring
from pki.errors import problem
from pki.models import CannotTell, Certified
from pki.weak_keys import SMALL_FACTORS
from tests.pki_maker import DAY, Issued, key
from tests.unit.cli_pki_house import USUAL, House
from tests.unit.test_finder import FakeDirectory

PAUL, MARIE = "paul@justice.example", "marie@justice.example"


@pytest.fixture
def house(tmp_path: Path) -> House:
    found = House(tmp_path)
    done = found.run("crl", "refresh")
    assert done.code == 0, done.err
    return found


def ldif_of(*people: tuple[str, Issued]) -> bytes:
    return "\n".join(
        f"dn: cn={number}\nmail: {address}\nuserCertificate;binary:: "
        f"{base64.b64encode(one.der).decode()}\n"
        for number, (address, one) in enumerate(people)
    ).encode()


def rule(house: House, **settings: str) -> None:
    lines = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
    house.configure(f'\n[[pki.recipients]]\ndomains = ["justice.example"]\n{lines}\n')


def found(house: House, address: str) -> dict[str, object]:
    (record,) = house.run("cert", "find", address, "--json").json
    return dict(record)


def mail(house: House, who: Issued, address: str, *options: str) -> Path:
    """A signed mail, made by openssl."""
    house.write("text", b"Content-Type: text/plain\r\n\r\nBonjour.\r\n")
    house.write("who.pem", who.pem)
    house.write("who.key", who.key_pem)
    path = house.folder / f"{who.sha256[:8]}.eml"
    subprocess.run(
        ["openssl", "cms", "-sign", "-in", house.folder / "text", "-signer",
         house.folder / "who.pem", "-inkey", house.folder / "who.key", "-from", address, "-to",
         "anna@interior.example", "-subject", "Bonjour", "-out", path, *options],
        check=True,
    )  # fmt: skip
    return path


# -- lists ---------------------------------------------------------------------------------------


def test_an_ldif_is_taken_and_its_bad_entries_are_named(house: House) -> None:
    paul, marie = house.issue("Paul", PAUL), house.issue("Marie", MARIE)
    file = house.write("users.ldif", ldif_of((PAUL, paul), (PAUL, marie), (MARIE, marie)))

    done = house.run("cert", "import", file)

    assert done.code == 1
    assert done.err == (
        f"entry 2 of users.ldif: certificate for {MARIE} does not contain mail attribute {PAUL}\n"
    )
    assert done.out.startswith(f"{file}: 2 stored, 0 known already, 1 refused, 0 wait")
    assert found(house, PAUL)["status"] == found(house, MARIE)["status"] == "found"
    bad, sums = house.run("cert", "import", file, "--json").json
    assert (bad["entry"], bad["problems"][0]["code"]) == (2, "identity.address")
    assert (sums["stored"], sums["known"], sums["refused"]) == (0, 2, 1)


def test_a_csv_of_files_and_base64(house: House) -> None:
    house.write("paul.crt", house.issue("Paul", PAUL).der)
    marie = base64.b64encode(house.issue("Marie", MARIE).der).decode()
    file = house.write(
        "list.csv", f"Mail;Certificat\n{PAUL};paul.crt\n{MARIE};{marie}\nx@y;no\n".encode()
    )

    done = house.run("cert", "import", file)

    assert done.code == 1
    assert "entry 3 of list.csv: it cannot be read" in done.err
    assert "2 stored" in done.out


def test_what_was_dismissed_does_not_wait_again(house: House) -> None:
    rule(house, key_change="hold")
    house.run("cert", "import", house.write("1.pem", house.issue("Paul", PAUL).pem))
    other = house.issue("Paul", PAUL, subject_key=key("other paul", USUAL))
    file = house.write("2.pem", other.pem)
    assert house.run("cert", "import", file).code == 1
    assert house.run("cert", "dismiss", other.sha256, "--reason", "not his").code == 0

    for more in ([], ["--dry-run"]):
        (again,) = house.run("cert", "import", file, "--json", *more).json
        assert (again["imported"], again["problems"][0]["code"]) == ([], "identity.dismissed")
    told = house.run("cert", "import", file)
    assert told.code == 1
    assert "waits" not in told.out
    assert house.run("cert", "suggestions").out.strip() == ""

    assert house.run("cert", "import", file, "--accept-changes").code == 0
    assert other.sha256 in house.run("cert", "list", "--json").out


def test_no_more_wait_than_a_person_is_asked_about(house: House) -> None:
    rule(house, key_change="hold")
    house.run("cert", "import", house.write("1.pem", house.issue("Paul", PAUL).pem))
    codes = []
    for number in range(9):
        other = house.issue("Paul", PAUL, kind="ec", subject_key=key(f"paul {number}", "ec"))
        (done,) = house.run("cert", "import", house.write("o.pem", other.pem), "--json").json
        codes.append([one["code"] for one in done["problems"]])
    assert codes == [[]] * 8 + [["limits.suggestions"]]


def test_a_list_without_its_columns_is_told_to_programs_too(house: House) -> None:
    done = house.run("cert", "import", house.write("list.csv", b"a;b\n1;2\n"), "--json")
    assert done.code == 2
    (told,) = done.json
    assert told["problems"][0]["code"] == "structure.csv"
    assert "does not name the columns" in told["problems"][0]["text"]


def test_a_dry_run_stores_nothing(house: House) -> None:
    file = house.write("users.ldif", ldif_of((PAUL, house.issue("Paul", PAUL))))
    assert house.run("cert", "import", file, "--dry-run").code == 0
    assert house.run("cert", "list").out == ""


# -- other keys ----------------------------------------------------------------------------------


def test_another_key_waits_for_a_person_and_mail_is_freed(house: House) -> None:
    rule(house, key_change="hold")
    first = house.issue("Paul", PAUL)
    other = house.issue(
        "Paul", PAUL, subject_key=key("other paul", USUAL), start=house.now - DAY / 2
    )
    house.run("cert", "import", house.write("1.pem", first.pem))
    file = house.write("2.pem", other.pem)

    done = house.run("cert", "import", file)

    assert done.code == 1
    assert f"{file}: waits for a person: {PAUL}" in done.out
    assert "has another key than those known so far" in done.err
    (waits,) = house.run("cert", "suggestions", "--json").json
    assert (waits["address"], waits["sha256"]) == (PAUL, other.sha256)
    assert found(house, PAUL)["certificate"]["sha256"] == first.sha256  # type: ignore[index]

    _hold(house, "aa" * 16, PAUL, "identity.key-changed")
    _hold(house, "bb" * 16, PAUL, "policy.held-by-rule")
    accepted = house.run("cert", "accept", PAUL, "--reason", "called him", "--json")
    assert (accepted.code, accepted.json[0]["released"]) == (0, ["aa" * 16])
    assert found(house, PAUL)["certificate"]["sha256"] == other.sha256  # type: ignore[index]
    assert house.run("cert", "accept", PAUL).code == 1  # nothing waits any more


def test_a_dismissed_key_is_not_used_and_nobody_is_asked_again(house: House) -> None:
    rule(house, key_change="hold")
    house.run("cert", "import", house.write("1.pem", house.issue("Paul", PAUL).pem))
    other = house.issue("Paul", PAUL, subject_key=key("other paul", USUAL))
    file = house.write("2.pem", other.pem)
    house.run("cert", "import", file)

    assert house.run("cert", "dismiss", other.sha256).code == 0
    assert house.run("cert", "import", file).code == 1
    assert house.run("cert", "suggestions", "--json").json == []
    assert other.sha256 not in house.run("cert", "list").out


def test_who_imports_may_accept_the_changes_at_once(house: House) -> None:
    rule(house, key_change="hold")
    house.run("cert", "import", house.write("1.pem", house.issue("Paul", PAUL).pem))
    other = house.issue("Paul", PAUL, subject_key=key("other paul", USUAL))
    done = house.run("cert", "import", house.write("2.pem", other.pem), "--accept-changes")
    assert done.code == 0
    assert other.sha256 in house.run("cert", "list").out


def _hold(house: House, archive_id: str, address: str, code: str) -> None:
    installation = Installation.from_file(house.config)
    message = NewMessage(
        archive_id=archive_id, org="interior", kind="mail", sender="anna@interior.example",
        author="anna@interior.example", parameters={}, sha256="00" * 32, size=1, accepted_at=0,
        expires_at=2**60, recipients=(address,),
    )  # fmt: skip
    with installation.database.write() as conn:
        enqueue(conn, [message])
        conn.execute(
            sa.update(recipients)
            .where(recipients.c.archive_id == archive_id)
            .values(state=str(State.HELD), reason=problem_to_json(problem(code, "it waits")))
        )
    installation.close()


# -- signed mail ---------------------------------------------------------------------------------


def test_signed_mail_suggests_and_a_person_accepts(house: House) -> None:
    paul = house.issue("Paul", PAUL)
    file = mail(house, paul, PAUL)

    done = house.run("cert", "harvest", file)

    assert (done.code, done.out) == (0, f"{file}: {PAUL}: waits for a person: {paul.sha256}\n")
    assert found(house, PAUL)["status"] == "none"  # nothing is used that nobody accepted
    again = house.run("cert", "harvest", file, "--json").json[0]
    assert again["certificates"][0]["outcome"] == "known"
    assert house.run("cert", "accept", paul.sha256).code == 0
    record = found(house, PAUL)
    assert record["certificate"]["sha256"] == paul.sha256  # type: ignore[index]
    # openssl says AES-256 first, and no AES-GCM: it is believed, for he signed it.
    assert record["encryption"]["cipher"] == "aes-256-cbc"  # type: ignore[index]
    assert house.run("cert", "harvest", file, "--json").json[0]["certificates"][0][
        "outcome"
    ] == "known"  # fmt: skip


def test_signed_mail_is_believed_where_the_policy_says_so(house: House) -> None:
    rule(house, harvest="accept")
    paul = house.issue("Paul", PAUL)
    assert house.run("cert", "harvest", mail(house, paul, PAUL)).code == 0
    assert found(house, PAUL)["certificate"]["sha256"] == paul.sha256  # type: ignore[index]


def test_with_accept_another_key_still_waits_where_keys_are_held(house: House) -> None:
    rule(house, harvest="accept", key_change="hold")
    house.run("cert", "harvest", mail(house, house.issue("Paul", PAUL), PAUL))
    other = house.issue("Paul", PAUL, subject_key=key("other paul", USUAL))
    (record,) = house.run("cert", "harvest", mail(house, other, PAUL), "--json").json
    assert record["certificates"][0]["outcome"] == "suggested"
    (waits,) = house.run("cert", "suggestions", "--json").json
    assert waits["code"] == "identity.key-changed"


@pytest.mark.parametrize("case", ["other From", "broken", "unknown CA", "off"])
def test_nothing_is_gathered_from_what_is_not_valid(house: House, case: str) -> None:
    from tests.pki_maker import root

    if case == "off":
        rule(house, harvest="off")
    who = house.issue("Paul", PAUL)
    if case == "unknown CA":
        who = house.issue("Paul", PAUL, authority=root("Stranger", end=house.now + 90 * DAY))
    file = mail(house, who, MARIE if case == "other From" else PAUL)
    if case == "broken":
        file.write_bytes(file.read_bytes().replace(b"Bonjour.", b"Bonsoir."))

    done = house.run("cert", "harvest", file, "--json")

    assert done.json[0]["certificates"] == []
    assert house.run("cert", "suggestions", "--json").json == []


# -- domains -------------------------------------------------------------------------------------


def test_a_certificate_of_a_domain_is_used_for_who_has_none(house: House) -> None:
    paul = house.issue("Paul", PAUL)
    house.run("cert", "import", house.write("paul.pem", paul.pem))
    gateway = house.issue("Gateway", "domain-confidentiality-authority@justice.example")
    file = house.write("gateway.pem", gateway.pem)

    assert house.run("cert", "import", "--domain", "Justice.example", file).code == 0

    record = found(house, MARIE)
    assert record["certificate"]["sha256"] == gateway.sha256  # type: ignore[index]
    assert record["certificate"]["domain"] == "justice.example"  # type: ignore[index]
    assert record["looked_in"] == ["store", "store (@justice.example)"]
    assert found(house, PAUL)["certificate"]["sha256"] == paul.sha256  # type: ignore[index]
    assert found(house, "a@sub.justice.example")["status"] == "none"
    said = house.run("cert", "find", MARIE).out
    assert "it is pinned for the whole domain justice.example" in said


@pytest.mark.parametrize(("use", "whose"), [("preferred", "gateway"), ("off", "nobody")])
def test_the_policy_says_how_it_is_used(house: House, use: str, whose: str) -> None:
    house.configure(
        '\n[[policy.partners]]\ndomains = ["justice.example"]\ncrypto = "modern"\n'
        f'domain_certificate = "{use}"\n'
    )
    gateway = house.issue("Gateway", "gateway@justice.example")
    house.run("cert", "import", house.write("paul.pem", house.issue("Paul", PAUL).pem))
    house.run("cert", "import", "--domain", "justice.example", house.write("g.pem", gateway.pem))

    if whose == "gateway":
        assert found(house, PAUL)["certificate"]["sha256"] == gateway.sha256  # type: ignore[index]
    else:
        assert found(house, MARIE)["status"] == "none"


def test_a_certificate_of_another_domain_is_not_pinned(house: House) -> None:
    file = house.write("g.pem", house.issue("Gateway", "gateway@interior.example").pem)
    done = house.run("cert", "import", "--domain", "justice.example", file)
    assert done.code == 1
    assert "neither an address nor a name of the domain justice.example" in done.err


# -- shared primes -------------------------------------------------------------------------------


def test_keys_that_share_a_prime_are_found_and_refused(house: House) -> None:
    one, two = (rsa.generate_private_key(65537, 3072).private_numbers() for _ in range(2))
    assert isinstance(one, rsa.RSAPrivateNumbers)
    people = {}
    for name, p, q in (("Paul", one.p, one.q), ("Marie", one.p, two.q)):
        numbers = rsa.RSAPublicNumbers(65537, p * q)

        class Half:
            def __init__(self, public: rsa.RSAPublicKey) -> None:
                self._public = public

            def public_key(self) -> rsa.RSAPublicKey:
                return self._public

        address = f"{name.lower()}@justice.example"
        people[address] = house.issue(name, address, subject_key=Half(numbers.public_key()))
    good = [house.issue(f"P{n}", f"p{n}@justice.example", subject_key=key(f"p{n}", USUAL))
            for n in range(3)]  # fmt: skip
    file = house.write("all.pem", b"".join(p.pem for p in (*people.values(), *good)))
    assert house.run("cert", "import", file).code == 0
    assert found(house, PAUL)["status"] == "found"

    done = house.run("cert", "audit", "--json")

    assert done.code == 1
    *keys, sums = done.json
    assert sums == {"keys": 5, "shared": 2, "newly_refused": 2}
    assert {tuple(each["addresses"]) for each in keys} == {(PAUL,), (MARIE,)}
    record = found(house, PAUL)
    assert record["status"] == "none"
    assert record["problems"][0]["code"] == "algorithm.shared-prime"  # type: ignore[index]
    assert found(house, "p1@justice.example")["status"] == "found"
    assert house.run("cert", "audit", "--json").json[-1]["newly_refused"] == 0


@dataclass(frozen=True)
class Public:
    """The half of a key that a CA sees."""

    modulus: int

    def public_key(self) -> rsa.RSAPublicKey:
        return rsa.RSAPublicNumbers(65537, self.modulus).public_key()


def test_several_processes_find_the_same_shared_primes(house: House) -> None:
    dice = random.Random(3)
    prime = rsa.generate_private_key(65537, 3072).private_numbers().p
    moduli: list[int] = []
    while len(moduli) < 40:
        bits = 1536 if len(moduli) in (1, 37) else 3072
        one = dice.getrandbits(bits) | 3 << (bits - 2) | 1  # two, so that a product has 3072 bits
        if gcd(one, SMALL_FACTORS * prod(moduli)) == 1:
            moduli.append(one if bits == 3072 else one * prime)
    people = [
        house.issue(f"P{n}", f"p{n}@justice.example", subject_key=Public(modulus))
        for n, modulus in enumerate(moduli)
    ]
    file = house.write("all.pem", b"".join(person.pem for person in people))
    assert house.run("cert", "import", file).code == 0

    several = house.run("cert", "audit", "--jobs", "2", "--dry-run", "--json")
    alone = house.run("cert", "audit", "--dry-run", "--json")

    assert several.code == 1, several.err
    *keys, sums = several.json
    assert sums == {"keys": 40, "shared": 2, "newly_refused": 0}
    assert [each["addresses"] for each in keys] == [["p1@justice.example"], ["p37@justice.example"]]
    assert several.out == alone.out


# -- the gateway itself --------------------------------------------------------------------------


def test_the_gateway_remembers_keys_and_logs_their_change(house: House) -> None:
    """A directory swaps Paul's key: the worker's finder holds it, and the log says so."""
    rule(house, key_change="hold")
    wiring = Wiring.from_file(house.config)
    wiring.works = True  # as `sceau serve` does; a command that looks remembers nothing
    directory = FakeDirectory(domains=("justice.example",))
    wiring.directories = (directory,)  # type: ignore[assignment,misc]
    first = house.issue("Paul", PAUL)
    other = house.issue("Paul", PAUL, subject_key=key("other paul", USUAL))
    seen = []
    for served in ([first], [other], [other]):
        directory.entries[PAUL] = served
        wiring.finder.forget()
        seen.append(wiring.finder.find(PAUL, moment=clock.now()))
        wiring.appender.append([])  # what was submitted before is committed then
    wiring.appender.close()
    with wiring.database.read() as conn:
        kinds = [json.loads(row.entry)["kind"] for row in conn.execute(sa.select(log_entries))]
    wiring.close()

    assert [type(one) for one in seen] == [Certified, CannotTell, CannotTell]
    assert kinds.count("recipient-key-changed") == 1
    (waits,) = house.run("cert", "suggestions", "--json").json
    assert (waits["kind"], waits["sha256"]) == ("directory", other.sha256)
    # A look of a person changes nothing, and says what the gateway would do.
    house.run("cert", "accept", PAUL)
    assert house.run("cert", "suggestions").out == ""
