"""What people see of the log's records: everything, and in words."""

from __future__ import annotations

import json

from gateway.cli.nested import block, field_lines
from gateway.cli.output import Output

_DECISION = {
    "algorithms-because": {"code": "crypto.readable-default", "text": "it is not known"},
    "certificate": {
        "path-sha256": ["aa", "bb"],
        "revocation": [{"number": "7", "source": "http://crl/a.crl"}],
        "subject": "CN=Bruno",
    },
    "outcome": "encrypted",
    "rule": "justice",
}


def test_a_decision_begins_with_outcome_and_rule_and_is_not_cut_off() -> None:
    long = {**_DECISION, "recipient": "b" * 300 + "@justice.example"}
    lines = list(field_lines("decision.000000", json.dumps(long), Output()))
    assert lines[:3] == ["decision.000000:", "  outcome: encrypted", "  rule: justice"]
    assert f"  recipient: {long['recipient']}" in lines
    assert "  algorithms-because: it is not known" in lines
    assert "    path-sha256: aa, bb" in lines
    assert "    - number: 7" in lines
    assert "      source: http://crl/a.crl" in lines


def test_a_reason_is_told_in_the_persons_language() -> None:
    reason = {
        "code": "directory.none",
        "template": "no certificate for {address} was found (looked in: {places})",
        "facts": {"address": "c@justice.example", "places": "store"},
    }
    (line,) = field_lines("reason", json.dumps(reason), Output(language="fr"))
    assert line.startswith("reason: aucun certificat trouvé pour c@justice.example (")


def test_a_strangers_words_are_never_taken_for_a_record() -> None:
    trap = '{"code":"x","template":"{gone}","facts":{"a":"b"}}'
    assert list(field_lines("queued-as", trap, Output())) == [f"queued-as: {trap}"]
    assert list(field_lines("reason", "{not json", Output())) == ["reason: {not json"]


def test_what_is_empty_stays_one_line() -> None:
    value: dict[str, object] = {"a": None, "b": {}, "c": [], "d": ""}
    assert list(block(value, Output())) == ["a: -", "b: -", "c:", "d:"]
