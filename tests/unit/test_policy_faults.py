"""Every way a policy can be wrong, with file, line, rule and what would be right.

Each row: a policy, and all the messages it must give, "LINE KEY: message". The other rules of the
house are those of `config_files.GOOD`: its domains, routes and directories.
"""

# ruff: noqa: ISC004 - the last column of a row is one message

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.output import Output
from gateway.config import ConfigFaults, load, load_policy
from tests.unit.config_files import GOOD, write_good


def rules(*each: str) -> str:
    """[[policy.rules]] tables from "name: rest", the rest written as TOML with ; for new lines."""
    text = ""
    for one in each:
        name, _, rest = one.partition(": ")
        lines = "\n".join(part.strip() for part in rest.split(";") if part.strip())
        text += f'[[policy.rules]]\nname = "{name}"\n{lines}\n\n'
    return text


REQUIRED = 'encryption = "required"'
NEVER = 'encryption = "never"'
OPEN = 'encryption = "if-possible"; without_certificate = "send-signed"'
POLICE = '[[policy.domain."police.interior.example".rules]]\n'
ANNA = '[[policy.person."anna@interior.example".rules]]\n'

ROWS = [
    # -- what cannot be read
    (rules("a: " + REQUIRED + '; time = "Mon-Fri 8:00-19:00"'),
     '4 policy.rules[1].time: "Mon-Fri 8:00-19:00" is not a time: weekdays (mon tue wed thu fri '
     'sat sun), hours, zone (right would be: time = "mon-fri 08:00-19:00 Europe/Paris")'),
    (rules("a: " + REQUIRED + '; time = "mon 08:00-19:00 Europe/Pariss"'),
     "4 policy.rules[1].time: there is no time zone Europe/Pariss on this machine "
     '(right would be: time = "mon-fri 08:00-19:00 Europe/Paris")'),
    (rules("a: " + REQUIRED + '; header = "X-Class"'),
     '4 policy.rules[1].header: "X-Class" is not a header field and a pattern: "Name: text", with '
     '* for any text (right would be: header = "X-Classification: *restreint*")'),
    (rules("a: " + REQUIRED + '; subject_mark = "*secret*"'),
     '4 policy.rules[1].subject_mark: "*secret*" is not a mark: a text without stars, which is '
     'looked for as it is (right would be: subject_mark = "[confidentiel]")'),
    (rules("a: " + REQUIRED + '; sensitivity = "secret"'),
     '4 policy.rules[1].sensitivity: "secret" is not one of "personal", "private", '
     '"company-confidential" (right would be: sensitivity = ["private", "company-confidential"])'),
    (rules("a: " + REQUIRED + '; subject_marks = "x"'),
     "4 policy.rules[1].subject_marks: there is no such key; did you mean subject_mark?"),
    ('[policy]\nlists = 3\n', "2 policy.lists: this must be a table, written [policy.lists]"),
    ('[policy.lists]\npress = ["news.example"]\n\n'
     + rules('a: recipient = "list:press"; ' + NEVER),
     '2 policy.lists.press: "news.example" is not a pattern: "a@b.example", "@b.example", '
     '"*.b.example" or "*"'),
    ('[policy.lists]\npress = "nowhere.txt"\n',
     "2 policy.lists.press: there is no file DIR/nowhere.txt"),
    ('[policy.lists]\npress = "list.txt"\n',
     '2 policy.lists.press: DIR/list.txt:3: "news.example" is not a pattern: "a@b.example", '
     '"@b.example", "*.b.example" or "*"\n'
     "2 policy.lists.press: DIR/list.txt:5: @A.example stands in line 1 already"),
    ('[policy.lists]\npress = "empty.txt"\n',
     "2 policy.lists.press: DIR/empty.txt: there is no address in this file"),
    # -- what is missing
    (rules("a: sign = \"seal\""),
     '1 policy.rules[1].encryption: this key is missing (right would be: encryption = "required")'),
    (rules('a: action = "refuse"'),
     "1 policy.rules[1].text: a rule that refuses mail must tell the sender why "
     '(right would be: text = "mail of this kind goes through the registry")'),
    (rules('a: encryption = "if-possible"'),
     "1 policy.rules[1].without_certificate: this rule must say what happens when encryption is "
     'not possible (right would be: without_certificate = "send-signed")'),
    (rules("a: " + REQUIRED + '; recipient = "list:press"'),
     "4 policy.rules[1].recipient: there is no list press; there are: - "
     '(right would be: [policy.lists] with press = ["@news.example"])'),
    (rules("a: " + REQUIRED + '; route = "justise"'),
     "4 policy.rules[1].route: there is no route justise; there are: justice, onward"),
    # -- what contradicts itself
    (rules("a: " + REQUIRED + '; without_certificate = "send-signed"'),
     "4 policy.rules[1].without_certificate: mail that must be encrypted never leaves in clear "
     "text: required and send-signed contradict each other "
     '(right would be: without_certificate = "hold", or encryption = "if-possible")'),
    (rules('a: action = "refuse"; text = "no"; route = "justice"; ' + REQUIRED),
     "5 policy.rules[1].route: mail that this rule refuses never leaves, so this contradicts it "
     '(right would be: action = "hold")\n'
     "6 policy.rules[1].encryption: mail that this rule refuses never leaves, so this contradicts "
     'it (right would be: action = "hold")'),
    (rules("a: " + REQUIRED + '; text = "why"'),
     "4 policy.rules[1].text: nobody would read this text: it is for mail that a rule refuses or "
     'holds (right would be: action = "refuse")'),
    (rules("a: " + NEVER + '; crypto = "modern"'),
     '4 policy.rules[1].crypto: with encryption = "never" nothing is encrypted, so this says '
     "nothing"),
    (rules("a: " + NEVER + '; sign = "none"; request_receipt = true'),
     "5 policy.rules[1].request_receipt: a receipt is asked for inside a signature (RFC 2634), and "
     'this rule has none (right would be: sign = "seal")'),
    (rules("a: " + REQUIRED + '; sign = "none"'),
     "4 policy.rules[1].sign: encrypted mail is always signed inside, or nobody would notice "
     'tampering: none is only possible with encryption = "never" (right would be: sign = "seal")'),
    (rules("a: " + REQUIRED + '; recipient = "@justice.example"; tls = "opportunistic"'),
     "5 policy.rules[1].tls: the route justice demands more already, and a rule can only demand "
     'more than a route (right would be: tls = "verified")'),
    (rules("a: " + REQUIRED + '; recipient = "@x.example"; tls = "verified"'),
     "5 policy.rules[1].tls: verified TLS needs the CA that the next hop's certificate is checked "
     "against, and the route onward has none "
     '(right would be: ca = "anchors/mx-ca.crt" under [[routes]])'),
    # -- what never decides
    (rules("a: " + REQUIRED + '; larger_than = "2 MB"; smaller_than = "1 MB"'),
     "5 policy.rules[1].smaller_than: this rule never decides: no mail is larger and smaller than "
     'that (right would be: larger_than = "1 MB" with smaller_than = "10 MB")'),
    (rules("a: " + REQUIRED + '; larger_than = "50 MB"'),
     "4 policy.rules[1].larger_than: this rule never decides: mail of more than 50000000 bytes is "
     "not taken (listen.max_size)"),
    (rules("a: " + REQUIRED + '; sender = ["@justice.example", "*.police.interior.example"]'),
     "4 policy.rules[1].sender: this rule never decides: no sender is in one of our domains "
     "(interior.example, police.interior.example)"),
    (rules("wide: " + OPEN + '; recipient = "*.x.example"',
           "narrow: " + REQUIRED + '; recipient = "@a.x.example"; subject_mark = "[s]"'),
     "7 policy.rules[2]: this rule never decides: the rule wide stands before it and matches all "
     "its mail"),
    (rules('wide: header = "X-A: *"; ' + OPEN, 'narrow: header = "x-a: secret"; ' + REQUIRED),
     "7 policy.rules[2]: this rule never decides: the rule wide stands before it and matches all "
     "its mail"),
    (rules('wide: subject_mark = "[a"; ' + OPEN, 'narrow: subject_mark = "[A B]"; ' + REQUIRED),
     "7 policy.rules[2]: this rule never decides: the rule wide stands before it and matches all "
     "its mail"),
    (rules('wide: time = "mon-fri 08:00-18:00 UTC"; ' + OPEN,
           'narrow: time = ["mon 09:00-10:00 UTC", "fri 17:00-18:00 UTC"]; ' + REQUIRED),
     "7 policy.rules[2]: this rule never decides: the rule wide stands before it and matches all "
     "its mail"),
    (rules('wide: sender_group = ["a", "b"]; ' + OPEN, 'narrow: sender_group = "A"; ' + REQUIRED),
     "7 policy.rules[2]: this rule never decides: the rule wide stands before it and matches all "
     "its mail"),
    (rules("a: " + OPEN) + '[[policy.domain."x.example".rules]]\nname = "b"\n',
     '6 policy.domain."x.example": x.example is not one of our domains (interior.example, '
     "police.interior.example), and these rules are for senders"),
    (rules("a: " + OPEN) + '[[policy.person."a@x.example".rules]]\nname = "b"\n',
     '6 policy.person."a@x.example": a@x.example is not in one of our domains (interior.example, '
     "police.interior.example), and these rules are for senders"),
    (rules("a: " + OPEN) + POLICE + 'name = "b"\nsender = "@interior.example"\n',
     '8 policy.domain."police.interior.example".rules[1].sender: this rule never decides: the '
     "table is for senders of police.interior.example"),
    (rules("a: " + OPEN) + ANNA + 'name = "b"\nsender = "anna@interior.example"\n',
     '8 policy.person."anna@interior.example".rules[1].sender: this table is for mail of '
     "anna@interior.example alone: leave sender out"),
    (rules("a: " + REQUIRED + '; final = true; recipient = ["@x.example", "@y.example"]',
           "rest: " + OPEN) + ANNA + 'name = "b"\nrecipient = "@x.example"\n',
     '12 policy.person."anna@interior.example".rules[1]: this rule never decides: the rule a above '
     "it is final and matches all its mail"),
    (rules("a: " + REQUIRED + '; recipient = "@x.example"', "rest: " + OPEN)
     + POLICE + 'name = "b"\nrecipient = "a@x.example"\nencryption = "never"\n',
     '14 policy.domain."police.interior.example".rules[1].encryption: this never counts: the rule '
     "a of the organisation is stricter, and does not allow levels below to be weaker (right would "
     "be: a rule of the organisation for this mail with allow_weaker = true)"),
    # -- names
    (rules("a: " + OPEN) + POLICE + 'name = "a"\n',
     '7 policy.domain."police.interior.example".rules[1].name: another one is already called a'),
    (rules("default: " + OPEN),
     '2 policy.rules[1].name: "default" is the name of the built-in last rule '
     '(right would be: name = "everybody-else")'),
    # -- several at once
    (rules("a: " + REQUIRED + '; route = "nowhere"; recipient = "list:gone"', "b: sign = \"none\""),
     "4 policy.rules[1].route: there is no route nowhere; there are: justice, onward\n"
     "5 policy.rules[1].recipient: there is no list gone; there are: - "
     '(right would be: [policy.lists] with press = ["@news.example"])\n'
     "7 policy.rules[2].encryption: this key is missing "
     '(right would be: encryption = "required")'),
]  # fmt: skip

GOODS = [
    # Nothing may be said against these: each rule decides about some mail.
    rules('a: larger_than = "1 MB"; ' + OPEN, 'b: larger_than = "900 kB"; ' + REQUIRED),
    rules('a: time = "mon 08:00-09:00 UTC"; ' + OPEN, 'b: time = "mon 08:00-09:00 Europe/Paris"; '
          + REQUIRED),
    rules('a: header = "X-A: a*"; ' + OPEN, 'b: header = "X-A: *a"; ' + REQUIRED),
    rules('a: subject_start = "[a]"; ' + OPEN, 'b: subject_mark = "[a]"; ' + REQUIRED),
    rules('a: sender_group = "g"; ' + OPEN, 'b: recipient_group = "g"; ' + REQUIRED),
    rules('a: recipient = "@x.example"; subject_mark = "[m]"; final = true; ' + REQUIRED,
          "rest: " + OPEN) + ANNA + 'name = "b"\nrecipient = "@x.example"\nsign = "person"\n',
    rules('a: recipient = "a@x.example"; ' + OPEN,
          'b: recipient = "@x.example"; final = true; ' + REQUIRED, "rest: " + OPEN)
    + ANNA + 'name = "c"\nrecipient = "@x.example"\nencryption = "required"\n',
    rules('a: recipient = "@justice.example"; tls = "verified"; ' + REQUIRED),
    rules('a: action = "hold"; ' + REQUIRED),
    rules("a: " + REQUIRED + "; allow_weaker = true") + ANNA + 'name = "b"\n' + NEVER + "\n",
]  # fmt: skip


GROUPED = GOOD.replace(
    "[[pki.crls]]",
    '[pki.directories.groups]\nbase = "ou=groups,dc=justice,dc=example"\n\n[[pki.crls]]',
    1,
)


def faults_of(text: str, folder: Path) -> list[str]:
    base = load(write_good(folder, GROUPED))
    (folder / "list.txt").write_text("@a.example\n# comment\nnews.example # x\n\n@A.example\n")
    (folder / "empty.txt").write_text("# nobody\n\n")
    file = folder / "policy.toml"
    file.write_text(text, "utf-8")
    try:
        load_policy(file, base)
    except ConfigFaults as error:
        told = [str(fault).removeprefix(f"{file}:") for fault in error.faults]
        return [one.replace(str(folder), "DIR").replace(": ", " ", 1) for one in told]
    return []


@pytest.mark.parametrize(("text", "messages"), ROWS, ids=[row[1][:60] for row in ROWS])
def test_the_message_names_line_and_rule_and_what_would_be_right(
    text: str, messages: str, tmp_path: Path
) -> None:
    assert faults_of(text, tmp_path) == messages.split("\n")


@pytest.mark.parametrize("text", GOODS)
def test_nothing_is_said_against_rules_that_do_something(text: str, tmp_path: Path) -> None:
    assert faults_of(text, tmp_path) == []


def test_the_same_faults_are_found_in_a_whole_configuration(tmp_path: Path) -> None:
    wrong = GROUPED.replace('route = "justice"', 'sender_group = "x"\nlarger_than = "50 MB"')
    file = write_good(tmp_path, wrong)
    with pytest.raises(ConfigFaults) as caught:
        load(file)
    assert [fault.key for fault in caught.value.faults] == ["policy.rules[2].larger_than"]


def test_groups_need_a_directory(tmp_path: Path) -> None:
    begin, end = GOOD.index("[[pki.directories]]"), GOOD.index("[[pki.crls]]")
    text = (GOOD[:begin] + GOOD[end:]).replace('route = "justice"', 'sender_group = "x"')
    with pytest.raises(ConfigFaults) as caught:
        load(write_good(tmp_path, text))
    (fault,) = caught.value.faults
    assert fault.reason.startswith("no directory could tell who is in a group")


def test_a_fault_in_a_list_is_told_in_french_too(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("news.example\n")
    file = tmp_path / "policy.toml"
    file.write_text('[policy.lists]\npress = "list.txt"\n')
    with pytest.raises(ConfigFaults) as caught:
        load_policy(file, None)
    (fault,) = caught.value.faults
    text = Output("fr").text(fault.template, **fault.facts)
    assert text.startswith(f'{tmp_path}/list.txt:1 : "news.example" n’est pas un motif')
