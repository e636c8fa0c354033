"""Numbers: counted by log lines, kept over restarts, read by Prometheus' own parser."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from archive.lag import Lag
from gateway import maillog
from gateway.alarms import CODES
from gateway.expiry_watch import Ends
from gateway.known import KnownCertificate
from gateway.metrics.gauges import Disk, Standing
from gateway.metrics.names import COUNTERS, HISTOGRAMS
from gateway.metrics.page import page
from gateway.metrics.server import serve_metrics
from gateway.metrics.tally import Tally, all_sums, saved, tally_file, timed
from gateway.neighbours import Absence
from gateway.queue.backlog import Backlog
from gateway.running import Process, Status
from gateway.signing_watch import People
from pki.errors import Problem
from pki.expiring import RecipientsEnding
from pki.ocsp_store import OcspStanding
from tests.corpora import ROOT
from tests.pki_maker import root

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULES = (ROOT / "samples" / "prometheus" / "sceau.rules.yml").read_text("utf-8")
MANUAL = (ROOT / "docs" / "metrics.md").read_text("utf-8")


def standing() -> Standing:
    certificate = root("House Root").der
    return Standing(
        moment=NOW,
        backlog=Backlog(
            waiting=3,
            in_work=1,
            queued=5,
            held=2,
            oldest=NOW - timedelta(seconds=90),
            reasons={"limits.poison": 1, "directory.timeout": 1},
        ),
        index=Lag(7, 2.5),
        crls={'CN="odd\\name"\n': NOW + timedelta(hours=3)},
        certificates=(KnownCertificate("seal", "interior.example", certificate),),
        disks=(Disk(Path("/data"), 10_000_000_000, 20_000_000_000),),
        status=Status(processes=[Process("worker", "worker-1", 7, ready=True, retiring=False)]),
        people=People(fit=5, ending=2, unfit=1, cannot_tell=3),
        ends=Ends(
            RecipientsEnding(9, 2, 3),
            OcspStanding(wanted=4, failing=1, ends=NOW + timedelta(hours=1)),
            {"CN=ca": timedelta(hours=2)},
        ),
        refused_seals={"interior.example": Problem("revocation.revoked", "revoked")},
    )


def full_page(accept: str = "") -> str:
    sums = Tally()
    sums.add("sceau_accepted", (), 5)
    sums.add("sceau_delivered", ("border",), 4)
    sums.observe("sceau_commit_seconds", 0.003)
    sums.observe("sceau_commit_seconds", 99.0)
    away = [Absence("next-hop", "all", "2026-11-21T11:59:00Z", "cannot connect")]
    return page(sums, standing(), {"crl-stale"}, accept, away)[0].decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_was_counted_and_what_is() -> None:
    found = samples(full_page())

    assert found["sceau_accepted_total", ()] == 5
    assert found["sceau_delivered_total", (("route", "border"),)] == 4
    assert found["sceau_commit_seconds_count", ()] == 2
    assert found["sceau_commit_seconds_sum", ()] == pytest.approx(99.003)
    assert found["sceau_commit_seconds_bucket", (("le", "0.005"),)] == 1
    assert found["sceau_commit_seconds_bucket", (("le", "0.0025"),)] == 0
    assert found["sceau_queue_messages", (("state", "waiting"),)] == 3
    assert found["sceau_held", (("reason", "limits.poison"),)] == 1
    assert found["sceau_queue_oldest_seconds", ()] == 90
    assert found["sceau_index_lag_entries", ()] == 7
    crl = (("issuer", 'CN="odd\\name"\n'),)
    assert found["sceau_crl_next_update_seconds", crl] == (NOW + timedelta(hours=3)).timestamp()
    assert found["sceau_process_up", (("role", "worker"),)] == 1
    assert found["sceau_process_up", (("role", "intake"),)] == 0
    persons = {
        state: found["sceau_persons", (("state", state),)]
        for state in ("fit", "ending", "refused", "cannot-tell")
    }
    assert persons == {"fit": 3, "ending": 2, "refused": 1, "cannot-tell": 3}
    assert found["sceau_recipients", (("state", "valid"),)] == 4
    assert found["sceau_recipients", (("state", "ending"),)] == 2
    assert found["sceau_ocsp_certificates", (("state", "failing"),)] == 1
    assert found["sceau_ocsp_next_update_seconds", ()] == (NOW + timedelta(hours=1)).timestamp()
    assert found["sceau_crl_grace_seconds", (("issuer", "CN=ca"),)] == 7200
    assert found["sceau_seal_refused", (("domain", "interior.example"),)] == 1
    assert found["sceau_alarm", (("code", "crl-stale"),)] == 1
    assert found["sceau_alarm", (("code", "poison-held"),)] == 0


def test_every_family_has_help_and_type_in_both_formats() -> None:
    plain = list(text_string_to_metric_families(full_page()))
    text = full_page("application/openmetrics-text; version=1.0.0")
    modern = list(openmetrics_families(text))

    assert {family.name for family in modern} == {family.name for family in plain}
    for family in plain:
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation, family.name


def test_a_database_that_does_not_answer_leaves_the_sums() -> None:
    found = samples(page(Tally(), None, (), "")[0].decode())

    assert found["sceau_standing_up", ()] == 0
    assert found["sceau_accepted_total", ()] == 0
    assert not any(name == "sceau_queue_messages" for name, _ in found)


def test_the_manual_names_every_metric_and_alarm_and_no_other() -> None:
    said = set(re.findall(r"`(sceau_\w+)`", MANUAL))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(full_page())
    }

    assert said == names
    assert set(re.findall(r"^\| `([a-z-]+)` \|", MANUAL, re.MULTILINE)) == set(CODES)


def test_the_alert_rules_use_metrics_that_exist() -> None:
    known = {name for name, _ in samples(full_page())} | {"sceau_process_deaths_total"}
    known |= {f"{name}_total" for name in COUNTERS}

    used = set(re.findall(r"sceau_\w+", "\n".join(re.findall(r"expr: (.*)", RULES))))

    assert len(used) >= 10
    assert used <= known


# -- sums -----------------------------------------------------------------------------------------


def test_sums_go_on_where_the_process_before_left_them(tmp_path: Path) -> None:
    file = tally_file(tmp_path, "worker-0")
    first = Tally(file)
    with saved(first):
        first.add("sceau_sealed", ("encrypted",), 3)
        first.observe("sceau_commit_seconds", 0.01)

    second = Tally(file)
    second.add("sceau_sealed", ("encrypted",))
    second.save()
    Tally(tally_file(tmp_path, "intake-0")).save()

    found = all_sums(tmp_path)
    assert found.counters["sceau_sealed", ("encrypted",)] == 4
    assert sum(found.buckets["sceau_commit_seconds"]) == 1


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"counters": [["x"]]}', "null", "\x00" * 9])
def test_a_file_that_a_power_cut_left_counts_for_nothing(tmp_path: Path, rubbish: str) -> None:
    file = tally_file(tmp_path, "worker-0")
    file.write_text(rubbish)

    tally = Tally(file)
    tally.add("sceau_accepted")
    tally.save()

    assert all_sums(tmp_path).counters == {("sceau_accepted", ()): 1}


def test_a_peer_that_invents_codes_does_not_fill_memory() -> None:
    tally = Tally()
    for number in range(10_000):
        tally.add("sceau_failed", (f"5.7.{number}",))

    assert len(tally.counters) <= 201
    assert tally.total("sceau_failed") == 10_000
    assert tally.counters["sceau_failed", ("other",)] > 9_000


def test_threads_lose_no_count() -> None:
    tally = Tally()

    def add() -> None:
        for _ in range(5_000):
            tally.add("sceau_accepted")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tally.total("sceau_accepted") == 20_000


def test_a_transaction_is_measured_and_its_fault_passed_on() -> None:
    from contextlib import nullcontext

    tally = Tally()
    with timed(lambda: nullcontext(7), tally)() as value:
        assert value == 7
    with pytest.raises(OSError), timed(lambda: nullcontext(7), tally)():
        raise OSError("full")

    assert sum(tally.buckets["sceau_commit_seconds"]) == 1
    assert set(tally.buckets) == set(HISTOGRAMS)


def test_lines_below_the_level_are_counted_and_not_written(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tally = Tally()
    maillog.configure(json=True, level="warning", tally=tally, again=True)
    log = structlog.get_logger()
    log.info("accepted", id="a", size=4000)
    log.info("delivered", id="a", route="border")
    log.warning("deferred", id="b", code="directory.timeout")
    log.debug("delivered", id="c", route="border")

    assert tally.counters == {
        ("sceau_accepted", ()): 1,
        ("sceau_accepted_bytes", ()): 4000,
        ("sceau_delivered", ("border",)): 1,
        ("sceau_deferred", ("directory.timeout",)): 1,
    }
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "deferred"


# -- the answer -----------------------------------------------------------------------------------


def test_get_metrics_is_answered_and_nothing_else() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stop = serve_metrics(listening, lambda accept: page(Tally(), standing(), (), accept))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("text/plain")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
        # A client that says nothing holds up nobody.
        with (
            socket.create_connection(("127.0.0.1", port)),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
        ):
            assert answer.status == 200
    finally:
        stop()
    assert samples(text)["sceau_queue_recipients", (("state", "held"),)] == 2
