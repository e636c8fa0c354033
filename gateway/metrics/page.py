"""What Prometheus reads, in its text formats."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.alarms import CODES
from gateway.metrics.gauges import Standing
from gateway.metrics.names import COUNTERS, HISTOGRAMS
from gateway.metrics.tally import Tally
from gateway.neighbours import KINDS, Absence
from gateway.serve import ROLES


def page(
    sums: Tally,
    standing: Standing | None,
    alarms: Collection[str],
    accept: str,
    away: Sequence[Absence] = (),
) -> tuple[bytes, str]:
    """The text and its media type. standing: None if it cannot be told: then sums alone.

    alarms: codes that are on. accept: the client's Accept field. away: who does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(lambda: _families(sums, standing, alarms, away)))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


class _Once(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def _families(
    sums: Tally, standing: Standing | None, alarms: Collection[str], away: Sequence[Absence]
) -> Iterator[Metric]:
    yield from _counters(sums)
    yield from _histograms(sums)
    up = GaugeMetricFamily("sceau_standing_up", "Whether queue, CRLs and disks could be looked at")
    up.add_metric([], float(standing is not None))
    yield up
    on = GaugeMetricFamily("sceau_alarm", "Alarms that are on (1) or off (0)", labels=["code"])
    for code in CODES:
        on.add_metric([code], float(code in alarms))
    yield on
    yield from _neighbours(away)
    if standing is not None:
        yield from _queue(standing)
        yield from _trust(standing)
        yield from _machine(standing)


def _neighbours(away: Sequence[Absence]) -> Iterator[Metric]:
    number = GaugeMetricFamily(
        "sceau_neighbours_away", "Neighbours that do not answer, by kind", labels=["kind"]
    )
    since = GaugeMetricFamily(
        "sceau_neighbour_away_since_seconds",
        "Since when a neighbour does not answer, Unix time",
        labels=["kind", "name"],
    )
    for kind in KINDS:
        number.add_metric([kind], sum(one.kind == kind for one in away))
    for one in away:
        since.add_metric([one.kind, one.name], datetime.fromisoformat(one.since).timestamp())
    yield number
    yield since


def _counters(sums: Tally) -> Iterator[Metric]:
    for name, (help_, labels) in COUNTERS.items():
        family = CounterMetricFamily(name, help_, labels=labels)
        if not labels:
            family.add_metric([], sums.counters.get((name, ()), 0))
        for (one, values), number in sorted(sums.counters.items()):
            if one == name and labels:
                family.add_metric(values, number)
        yield family


def _histograms(sums: Tally) -> Iterator[Metric]:
    for name, (help_, bounds) in HISTOGRAMS.items():
        counts = sums.buckets.get(name, [0] * (len(bounds) + 1))
        edges = [*map(str, bounds), "+Inf"]
        buckets = [(e, float(n)) for e, n in zip(edges, accumulate(counts), strict=True)]
        family = HistogramMetricFamily(name, help_)
        family.add_metric([], buckets=buckets, sum_value=sums.sums.get(name, 0.0))
        yield family


def _queue(standing: Standing) -> Iterator[Metric]:
    queue = standing.backlog
    messages = GaugeMetricFamily(
        "sceau_queue_messages", "Messages with something to do, by state", labels=["state"]
    )
    messages.add_metric(["waiting"], queue.waiting)
    messages.add_metric(["in-work"], queue.in_work)
    yield messages
    recipients = GaugeMetricFamily(
        "sceau_queue_recipients", "Recipients that are open, by state", labels=["state"]
    )
    recipients.add_metric(["queued"], queue.queued)
    recipients.add_metric(["held"], queue.held)
    yield recipients
    held = GaugeMetricFamily(
        "sceau_held", "Recipients that wait for a person, by problem code", labels=["reason"]
    )
    for code, number in sorted(queue.reasons.items()):
        held.add_metric([code], number)
    yield held
    age = 0.0 if queue.oldest is None else (standing.moment - queue.oldest).total_seconds()
    oldest = GaugeMetricFamily(
        "sceau_queue_oldest_seconds", "Age of the oldest message that is not held"
    )
    oldest.add_metric([], max(age, 0.0))
    yield oldest
    if standing.index is not None:
        entries = GaugeMetricFamily(
            "sceau_index_lag_entries", "Log entries that are not in the full-text index yet"
        )
        entries.add_metric([], standing.index.entries)
        yield entries
        seconds = GaugeMetricFamily("sceau_index_lag_seconds", "Age of the oldest of them")
        seconds.add_metric([], standing.index.seconds)
        yield seconds


def _trust(standing: Standing) -> Iterator[Metric]:
    crls = GaugeMetricFamily(
        "sceau_crl_next_update_seconds",
        "nextUpdate of the newest CRL of an issuer (Unix time)",
        labels=["issuer"],
    )
    for issuer, next_update in sorted(standing.crls.items()):
        crls.add_metric([issuer], next_update.timestamp())
    yield crls
    failures = GaugeMetricFamily(
        "sceau_crl_source_failures",
        "Fetches of a CRL source that failed one after the other",
        labels=["source"],
    )
    until = GaugeMetricFamily(
        "sceau_crl_source_next_update_seconds",
        "nextUpdate of the CRL that a source brought last (Unix time)",
        labels=["source"],
    )
    for source, fetch in sorted(standing.fetches.items()):
        failures.add_metric([source], fetch.failures)
        if fetch.next_update is not None:
            until.add_metric([source], fetch.next_update.timestamp())
    yield failures
    yield until
    expiry = GaugeMetricFamily(
        "sceau_certificate_expiry_seconds",
        "notAfter of a certificate that mail depends on (Unix time)",
        labels=["kind", "name"],
    )
    ends: dict[tuple[str, str], float] = {}
    for one in standing.certificates:  # two of one name: the first to end is what counts
        key = (one.kind, one.name)
        ends[key] = min(one.ends.timestamp(), ends.get(key, float("inf")))
    for key, at in ends.items():
        expiry.add_metric(key, at)
    yield expiry
    yield from _ends(standing)
    people = GaugeMetricFamily(
        "sceau_persons",
        "People who agreed to be signed for, by whether their certificates may sign now "
        "(ending: may, but for 7 days at most)",
        labels=["state"],
    )
    of = standing.people
    people.add_metric(["fit"], of.fit - of.ending)
    people.add_metric(["ending"], of.ending)
    people.add_metric(["refused"], of.unfit)
    people.add_metric(["cannot-tell"], of.cannot_tell)
    yield people
    seals = GaugeMetricFamily(
        "sceau_seal_refused",
        "Seals that must not sign now: their mail waits (1)",
        labels=["domain"],
    )
    for domain in standing.refused_seals:
        seals.add_metric([domain], 1)
    yield seals


def _ends(standing: Standing) -> Iterator[Metric]:
    grace = GaugeMetricFamily(
        "sceau_crl_grace_seconds",
        "How long after nextUpdate a CRL of an issuer may be used (its anchor's grace)",
        labels=["issuer"],
    )
    for issuer, allowed in sorted(standing.ends.grace.items()):
        grace.add_metric([issuer], allowed.total_seconds())
    yield grace
    recipients = GaugeMetricFamily(
        "sceau_recipients",
        "Recipients of the local store, by what is left of the last of their certificates",
        labels=["state"],
    )
    of = standing.ends.recipients
    recipients.add_metric(["valid"], of.known - of.ending - of.ended)
    recipients.add_metric(["ending"], of.ending)
    recipients.add_metric(["ended"], of.ended)
    yield recipients
    asked = GaugeMetricFamily(
        "sceau_ocsp_certificates",
        "Certificates that are asked about by OCSP: all, those whose last question failed, those "
        "without a response, those whose response is over",
        labels=["state"],
    )
    ocsp = standing.ends.ocsp
    for state, number in (
        ("wanted", ocsp.wanted),
        ("failing", ocsp.failing),
        ("missing", ocsp.missing),
        ("stale", ocsp.stale),
    ):
        asked.add_metric([state], number)
    yield asked
    first = GaugeMetricFamily(
        "sceau_ocsp_next_update_seconds",
        "nextUpdate of the OCSP response in use that ends first (Unix time)",
    )
    if ocsp.ends is not None:
        first.add_metric([], ocsp.ends.timestamp())
    yield first


def _machine(standing: Standing) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "sceau_disk_free_bytes", "Free octets of the file system of a folder", labels=["folder"]
    )
    size = GaugeMetricFamily(
        "sceau_disk_size_bytes", "Size of the file system of a folder", labels=["folder"]
    )
    for disk in standing.disks:
        free.add_metric([str(disk.folder)], disk.free)
        size.add_metric([str(disk.folder)], disk.size)
    yield free
    yield size
    up = GaugeMetricFamily("sceau_process_up", "Processes that are ready, by role", labels=["role"])
    processes = standing.status.processes if standing.status else []
    for role in ROLES:
        ready = [one for one in processes if one.role == role and one.ready and not one.retiring]
        up.add_metric([role], len(ready))
    yield up
