"""Searching the full-text index. Answers with archive ids, never with text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import tantivy

from archive.errors import Problem, SearchError
from archive.fulltext import NAME_FIELDS, POSITION_ID, TEXT_FIELDS, open_index

FIELDS = (*TEXT_FIELDS, *NAME_FIELDS, "date", "time", "id")
_BOOSTS = {"subject": 2.0, "from": 1.5}
_MAX_QUERY = 2000  # characters
_MAX_LIMIT = 10_000
# The query grammar takes ' for a quotation mark; in French it stands inside words.
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_NO_FIELD = re.compile(r"Field does not exist: '(?P<name>.*)'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Hit:
    """A mail that was found. score: higher is better. time: when it came into the archive.

    date: of its Date field. unreadable: the mail could not be opened or parsed for the index.
    """

    archive_id: str
    score: float
    time: datetime | None
    date: datetime | None
    unreadable: bool


def search(
    index_dir: Path,
    query: str,
    limit: int = 20,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Hit]:
    """The best hits. All words must be there; accents, case and French endings do not count.

    query: words, "phrases", -excluded, OR, prefixes in a phrase ("rapport ann"*), and fields
        (subject: body: from: to: attachment: id: date: time:).
    since, until: aware; by the time the mail came in, until not included.
    Raises SearchError (the query), IndexUnusable (the index).
    """
    index = open_index(index_dir)
    parsed = _parse(index, query)
    position = tantivy.Query.term_query(index.schema, "id", POSITION_ID)
    clauses = [(tantivy.Occur.Must, parsed), (tantivy.Occur.MustNot, position)]
    if since is not None or until is not None:
        within = tantivy.Query.range_query(
            index.schema,
            "time",
            tantivy.FieldType.Date,
            lower_bound=None if since is None else since.astimezone(UTC),
            upper_bound=None if until is None else until.astimezone(UTC),
            include_upper=until is None,
        )
        clauses.append((tantivy.Occur.Must, within))
    searcher = index.searcher()
    try:
        found = searcher.search(
            tantivy.Query.boolean_query(clauses), limit=max(1, min(limit, _MAX_LIMIT))
        )
    except ValueError as error:
        raise _not_understood(query, str(error)) from error
    hits = []
    for score, address in found.hits:
        document = searcher.doc(address)
        hits.append(
            Hit(
                archive_id=document["id"][0],
                score=float(score),
                time=document.get_first("time"),
                date=document.get_first("date"),
                unreadable=bool(document.get_first("unreadable")),
            )
        )
    return hits


def _parse(index: tantivy.Index, query: str) -> tantivy.Query:
    if not query.strip():
        raise SearchError(Problem("search.empty", "nothing to search for was given"))
    if len(query) > _MAX_QUERY:
        raise SearchError(
            Problem(
                "search.too-long",
                "the query is longer than {most} characters",
                {"most": str(_MAX_QUERY)},
            )
        )
    try:
        return index.parse_query(
            _APOSTROPHE.sub("’", query),
            [*TEXT_FIELDS, *NAME_FIELDS],
            field_boosts=_BOOSTS,
            conjunction_by_default=True,
        )
    except (ValueError, UnicodeEncodeError) as error:
        no_field = _NO_FIELD.search(str(error))
        if no_field is not None:
            raise SearchError(
                Problem(
                    "search.no-such-field",
                    "{name} is not a field that can be searched; there are {fields}. "
                    "To search for a colon, put the words in quotation marks",
                    {"name": repr(no_field["name"])[:80], "fields": ", ".join(FIELDS)},
                )
            ) from error
        raise _not_understood(query, str(error)) from error


def _not_understood(query: str, why: str) -> SearchError:
    if "Only excluding terms" in why:
        return SearchError(
            Problem("search.only-excluded", "a query cannot consist of excluded words alone")
        )
    return SearchError(
        Problem(
            "search.not-understood",
            "the query cannot be understood: {query}. Check brackets and quotation marks, and "
            "put text with special characters in quotation marks",
            {"query": repr(query)[:200]},
        )
    )
