"""One line per event of a mail, as JSON or text, on standard error.

Event names are stable snake_case codes. A line bears the archive id (or an incident id), never a
subject and never content.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from json import JSONEncoder
from typing import Any, TextIO, cast

import structlog

from gateway.logstream import LogStream
from gateway.metrics.events import count
from gateway.metrics.tally import Tally

log = structlog.get_logger()

# Made once: json.dumps with arguments makes an encoder anew for every line.
_ENCODE = JSONEncoder(ensure_ascii=False, default=str, separators=(", ", ": ")).encode


def _json(line: Any, **_options: Any) -> str:
    return _ENCODE(line)


def _printable(_logger: Any, _level: str, line: Any) -> Any:
    """For the text format: what strangers say (a reply, a subject DN) may begin no new line."""
    for name, value in line.items():
        if isinstance(value, str) and not value.isprintable() and name != "exception":
            line[name] = value.encode("unicode_escape").decode("ascii")
    return line


def _stamp(_logger: Any, level: str, line: Any) -> Any:
    line["level"] = level
    line["timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds")
    return line


def _counting(tally: Tally, least: int) -> structlog.typing.Processor:
    """Count every line, let through those of level `least` and above."""
    numbers = logging.getLevelNamesMapping()

    def process(_logger: Any, level: str, line: Any) -> Any:
        count(tally, line)
        if numbers[level.upper()] < least:
            raise structlog.DropEvent
        return line

    return process


def _is_aftermath(record: logging.LogRecord) -> bool:
    """Whether SQLAlchemy could not tidy up a cursor or a transaction of a database that has gone.

    That it has gone is raised as well, to who asked it something, and told from there.
    """
    error = record.exc_info[1] if record.exc_info else None
    of_database = type(error).__module__.partition(".")[0] in ("psycopg", "sqlalchemy")
    return record.name.startswith("sqlalchemy.") and error is not None and of_database


class _Libraries(logging.Handler):
    """What libraries say to the standard module, as lines like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if _is_aftermath(record):
            return
        try:
            text = record.getMessage()
        except (KeyError, TypeError, ValueError):  # its text and its arguments do not fit
            text = str(record.msg)
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say("library_fault", library=record.name, text=text, exc_info=record.exc_info)


def configure(*, json: bool, level: str, tally: Tally | None = None, again: bool = False) -> None:
    """Set up structlog for this process. level: a name of the logging module, lower case.

    tally: counts mail events by their lines, those below `level` too.
    again: this process will change its mind when its configuration is read anew.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    stream = LogStream(sys.stderr, as_json=json)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            *([] if tally is None else [_counting(tally, least)]),
            structlog.contextvars.merge_contextvars,
            _stamp,
            structlog.processors.format_exc_info,
            *([] if json else [_printable]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            least if tally is None else min(least, logging.INFO)
        ),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream)),
        cache_logger_on_first_use=not again,
    )
    # Libraries that use the standard module speak up from warnings only.
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()])
    # Its warnings are what it could not tidy up after an error that it raises as well.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
