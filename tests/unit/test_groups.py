"""Groups of an address: whose word counts, and that trouble is never "in no group"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pki.addresses import canonical
from pki.directory import Directory, GroupRules
from pki.errors import AddressError, CannotTellGroups, DirectoryTrouble, problem
from pki.groups import DirectoryGroups, Groups
from pki.ldap.client import Reply
from pki.ldap.session import Found, Search
from pki.ldap.wire import BASE_SCOPE, Entry

BASE = "ou=groups,dc=a"
MARIE = "marie@a.example"
RULES = GroupRules(base=BASE, member="", member_of="memberOf")


def person(*groups: str, name: str = "memberOf", mail: str = MARIE) -> Entry:
    values = tuple(group.encode() for group in groups)
    return Entry("uid=marie,dc=a", (("mail", (mail.encode(),)), (name, values)))


class FakeDirectory:
    """Answers with one person's entry, and with a group for each DN that is read."""

    def __init__(self, *people: Entry, domains: tuple[str, ...] = ("a.example",)) -> None:
        self.directory = Directory("ministry", ("ldaps://one",), "dc=a", domains)
        self.people = people
        self.read: list[str] = []
        self.down = self.referred = False

    def ask(self, search: Search, _deadline: float) -> Reply:
        if self.down:
            raise DirectoryTrouble(problem("directory.timeout", "away"))
        entries = self.people
        if search.scope == BASE_SCOPE:
            self.read.append(search.base)
            name = search.base.split(",")[0].partition("=")[2]
            entries = (Entry(search.base, (("cn", (name.encode(),)),)),)
        return Reply(Found(entries, self.referred), "ldaps://one")


def groups(*directories: FakeDirectory, clock: Callable[[], float] = lambda: 0.0) -> Groups:
    return Groups([DirectoryGroups(each, RULES) for each in directories], clock=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dn", "counts"),
    [
        ("cn=Staff,ou=groups,dc=a", True),
        ("CN=Staff , OU=Groups, DC=A", True),
        ("cn=Staff,ou=sub,ou=groups,dc=a", True),
        ("cn=Staff,ou=other,dc=a", False),
        ("cn=Staff,ou=xgroups,dc=a", False),
        ("cn=Staff,ou=evil\\,ou=groups,dc=a", False),
        ("cn=Staff,ou=groups,dc=a,dc=evil", False),
        ("", False),
    ],
)
def test_only_groups_below_the_base_count(dn: str, counts: bool) -> None:
    directory = FakeDirectory(person(dn))
    assert groups(directory).groups_of(MARIE) == ({"staff"} if counts else frozenset())
    assert directory.read == ([dn] if counts else [])


def test_an_entry_that_does_not_hold_the_address_gives_nothing() -> None:
    stranger = person(f"cn=boss,{BASE}", mail="mallory@a.example")
    assert groups(FakeDirectory(stranger)).groups_of(MARIE) == frozenset()


def test_groups_that_the_server_keeps_back_are_missing_and_that_is_said() -> None:
    """Active Directory gives 1,500 values and says so in the attribute's name alone."""
    part = person(f"cn=boss,{BASE}", name="memberOf;range=0-1499")
    with pytest.raises(CannotTellGroups):
        groups(FakeDirectory(part)).groups_of(MARIE)
    whole = person(f"cn=boss,{BASE}", name="memberOf;range=0-*")
    assert groups(FakeDirectory(whole)).groups_of(MARIE) == {"boss"}


def test_all_directories_of_the_domain_must_answer() -> None:
    one, two = FakeDirectory(person(f"cn=x,{BASE}")), FakeDirectory(person(f"cn=y,{BASE}"))
    other = FakeDirectory(domains=("b.example",))
    other.down = True
    assert groups(one, two, other).groups_of(MARIE) == {"x", "y"}
    two.down = True
    with pytest.raises(CannotTellGroups) as found:
        groups(one, two, other).groups_of(MARIE)
    assert found.value.problem.code == "directory.timeout"
    two.down, two.referred = False, True
    with pytest.raises(CannotTellGroups):
        groups(one, two, other).groups_of(MARIE)


def test_answers_are_kept_for_their_time_and_trouble_is_not() -> None:
    now = [0.0]
    directory = FakeDirectory(person(f"cn=x,{BASE}"))
    source = groups(directory, clock=lambda: now[0])
    assert source.groups_of(MARIE) == {"x"}
    directory.people = ()
    now[0] = 299.0
    assert source.groups_of(MARIE) == {"x"}
    now[0] = 300.0
    assert source.groups_of(MARIE) == frozenset()
    directory.people, directory.down = (person(f"cn=x,{BASE}"),), True
    assert source.groups_of(MARIE) == frozenset()
    now[0] = 600.0
    with pytest.raises(CannotTellGroups):
        source.groups_of(MARIE)
    directory.down = False
    assert source.groups_of(MARIE) == {"x"}


def test_an_address_has_one_form_or_none() -> None:
    source = groups(FakeDirectory(person(f"cn=x,{BASE}")))
    assert source.groups_of(canonical("Marie@A.example")) == {"x"}
    with pytest.raises(AddressError):
        source.groups_of("*")


def test_more_groups_than_are_taken() -> None:
    many = person(*(f"cn=g{number},{BASE}" for number in range(1001)))
    with pytest.raises(CannotTellGroups, match="more than 1000 groups"):
        groups(FakeDirectory(many)).groups_of(MARIE)
