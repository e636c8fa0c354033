"""`sceau smime algorithms`: the dated table of algorithms, for people and for programs."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from datetime import UTC, datetime, timedelta

from gateway.cli.exits import DONE
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.i18n import message
from pki.algorithm_rows import EVER, NEVER
from pki.algorithms import TABLE, Operation, Row, Standing

_OPERATIONS = {
    Operation.ENCRYPT_TO: message("keys of recipients that mail is encrypted to"),
    Operation.ENCAPSULATE_TO: message(
        "keys of recipients for a second envelope around the first, where that is agreed"
    ),
    Operation.SIGN_WITH: message("keys of ours that sign"),
    Operation.VERIFY_SCHEME: message("kinds of signatures made by others"),
    Operation.VERIFY_KEY: message("keys of others that have signed"),
    Operation.VERIFY_DIGEST: message("digests in signatures of others"),
    Operation.DECRYPT: message("ciphers of mail that came"),
    Operation.UNWRAP: message("ways in which the key of a mail came"),
    Operation.DECRYPT_KEY: message("keys of ours that mail was encrypted to"),
}
_STANDINGS = {
    Standing.ALLOWED: message("allowed"),
    Standing.REMARK: message("allowed, remark"),
    Standing.LEGACY: message("legacy"),
    Standing.REFUSED: message("refused"),
}
_COLUMNS = 100  # a line has at most


def show_algorithms(args: Namespace) -> int:
    """`smime algorithms`."""
    output = output_of(args)
    moment = args.at or datetime.now(UTC)
    if output.as_json:
        for row in TABLE:
            output.record(_as_json(row, moment))
        return DONE
    output.say("Rows with * hold at {moment}.", moment=time_text(moment))
    for operation, meaning in _OPERATIONS.items():
        output.line("")
        output.line(f"{operation.value}: {output.text(meaning)}")
        _group(output, [row for row in TABLE if row.operation is operation], moment)
    output.line("")
    output.say("What has no row is refused.")
    output.say("Legacy is refused, too, but --allow-legacy reads it as old evidence.")
    return DONE


def _group(output: Output, rows: list[Row], moment: datetime) -> None:
    headings = ["", "algorithm", "bits from", "first day", "last day", "standing", "reference"]
    cells = [_cells(row, moment, output) for row in rows]
    taken = [output.text(heading) if heading else "" for heading in headings[:-1]]
    widths = [max(map(len, column)) for column in zip(taken, *cells, strict=True)]
    room = _COLUMNS - sum(widths) - 2 * len(widths)
    lines: list[tuple[str, ...]] = []
    for row, front in zip(rows, cells, strict=True):
        first, *rest = textwrap.wrap(output.text(row.source), room)
        lines.append((*front, first))
        lines += [("",) * len(front) + (more,) for more in rest]
    output.table(headings, lines)


def _cells(row: Row, moment: datetime, output: Output) -> tuple[str, ...]:
    return (
        "*" if _holds(row, moment) else "",
        row.algorithm,
        str(row.minimum) if row.minimum else "",
        "" if row.start == EVER else row.start.date().isoformat(),
        "" if row.end == NEVER else (row.end - timedelta(seconds=1)).date().isoformat(),
        output.text(_STANDINGS[row.standing]),
    )


def _holds(row: Row, moment: datetime) -> bool:
    return row.start <= moment < row.end


def _as_json(row: Row, moment: datetime) -> dict[str, object]:
    return {
        "operation": row.operation.value,
        "algorithm": row.algorithm,
        "bits": row.minimum or None,
        "from": None if row.start == EVER else time_json(row.start),
        "until": None if row.end == NEVER else time_json(row.end),
        "standing": row.standing.value,
        "holds": _holds(row, moment),
        "source": row.source,
    }
