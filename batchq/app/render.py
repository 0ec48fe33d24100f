"""Reports and results as JSON and CSV, in pieces: a report is as large as it has to be, memory is not.

All JSON is strict and UTF-8.  In CSV, a text that a spreadsheet would run as a formula gets an apostrophe in front.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from batchq.app.report import BatchReport
from batchq.app.words import shorten
from batchq.store.rows import ResultRow

SCHEMA: Final = 1
"""Version of all JSON that batchq prints; it only ever grows."""
FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""A cell that begins so is run by some spreadsheet (full-width signs by those set to Japanese)."""
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SPECIAL: Final = re.compile(r'[,"\t\r\n]|^\s|\s$')
"""Cells that have to be quoted; `csv.writer` before Python 3.13 leaves a lone CR bare, and no reader takes that."""
REPORT_COLUMNS: Final = "idea_id,status,processing_time,attempts,error,result_summary,seq,line,error_type,result"
RESULT_COLUMNS: Final = "seq,id,line,status,result,error_type,error,attempts,duration"

_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


def json_text(value: Any) -> str:
    """`value` as indented, strict JSON with a line end, for people who look and programs that read."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2, default=str) + "\n"


def json_line(value: Any) -> str:
    """`value` as strict JSON on one line.

    Example:
        >>> json_line({"schema": 1})
        '{"schema": 1}\\n'
    """
    return _encode(value) + "\n"


def report_schema() -> str:
    """The JSON schema of what `report_json` writes.

    Example:
        >>> json.loads(report_schema())["properties"]["schema"]
        {'const': 1}
    """
    return Path(__file__).with_name("report.schema.json").read_text(encoding="utf-8")


def report_json(report: BatchReport) -> Iterator[str]:
    """The report as one JSON object, its failures one a line, read while it is written."""
    yield f'{{\n  "schema": {SCHEMA}'
    for each in fields(report):
        yield f',\n  "{each.name}": '
        if each.name == "failures":
            yield from _json_array(map(_encode, report.failures))
        else:
            yield json_text(getattr(report, each.name)).rstrip("\n").replace("\n", "\n  ")
    yield "\n}\n"


def report_csv(rows: Iterable[ResultRow], raw: bool = False) -> Iterator[str]:
    """One line per item with an outcome, in the order of the input; the original's columns come first.

    Args:
        rows: what `ReportReader.results` yields.
        raw: leave texts that a spreadsheet would run as they are.
    """
    yield REPORT_COLUMNS + "\n"
    for row in rows:
        result = plain(row.result)
        yield csv_line(
            (
                row.item_id,
                row.status,
                row.duration_us / 1e6,
                row.attempts,
                row.error,
                shorten(result) if isinstance(result, str) else result,
                row.seq,
                row.line,
                row.error_type,
                result,
            ),
            raw,
        )


def results_jsonl(rows: Iterable[ResultRow], with_schema: bool = False) -> Iterator[str]:
    """One JSON object a line; results and payloads are taken over as they were stored, never parsed.

    Args:
        rows: what `ReportReader.results` yields.
        with_schema: each line begins with the version of batchq's JSON.
    """
    schema = f'"schema": {SCHEMA}, ' if with_schema else ""
    for row in rows:
        outcome = (
            f'"result": {row.result}'
            if row.success
            else f'"error_type": {_encode(row.error_type)}, "error": {_encode(row.error)}'
        )
        payload = "" if row.payload is None else f', "input": {payload_of(row)}'
        run = "" if row.run is None else f'"run": {row.run}, '
        head = (
            f'{schema}"seq": {row.seq}, {run}"id": {_encode(row.item_id)}, "line": {row.line}, "status": "{row.status}"'
        )
        yield f'{{{head}, {outcome}, "attempts": {row.attempts}, "duration": {row.duration_us / 1e6}{payload}}}\n'


def results_csv(
    rows: Iterable[ResultRow],
    with_input: bool = False,
    raw: bool = False,
    separator: str = ",",
    with_run: bool = False,
    with_header: bool = True,
) -> Iterator[str]:
    """One line per item with an outcome; results that are no plain values stand there as JSON."""
    if with_header:
        yield csv_line(result_columns(with_input, with_run), raw, separator)
    for row in rows:
        yield csv_line(
            (
                row.seq,
                *([row.run] if with_run else []),
                row.item_id,
                row.line,
                row.status,
                plain(row.result),
                row.error_type,
                row.error,
                row.attempts,
                row.duration_us / 1e6,
                *([payload_of(row)] if with_input else []),
            ),
            raw,
            separator,
        )


def result_columns(with_input: bool = False, with_run: bool = False) -> list[str]:
    """The names of the columns of a table of results.

    Example:
        >>> result_columns()[:3], result_columns(with_run=True)[:3]
        (['seq', 'id', 'line'], ['seq', 'run', 'id'])
    """
    seq, *rest = RESULT_COLUMNS.split(",")
    return [seq, *(["run"] if with_run else []), *rest, *(["input"] if with_input else [])]


def payload_of(row: ResultRow) -> str:
    """The item of a row as it is shown with its outcome: JSON on one line.

    Example:
        >>> payload_of(ResultRow(1, "a", 1, 1, "1", None, None, 1, 0, 0, '{"n":\\n1}'))
        '{"n": 1}'
    """
    # Line ends stand between the tokens of an element of an array; within a string JSON has none.
    return (row.payload or "null").replace("\r", " ").replace("\n", " ")


def csv_line(cells: Iterable[object], raw: bool = False, separator: str = ",") -> str:
    """A line of CSV (or TSV), cells quoted where they need it and formulas neutralised unless `raw`.

    Example:
        >>> csv_line(["=1+1", -5, "-5", None, 'say "a, b"'])
        '\\'=1+1,-5,-5,,"say ""a, b""\"\\n'
    """
    return separator.join([_cell(cell, raw) for cell in cells]) + "\n"


def _cell(value: object, raw: bool) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    if not raw and value.startswith(FORMULA) and not NUMBER.fullmatch(value):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"' if SPECIAL.search(value) else value


def plain(result: str | None) -> str | None:
    """A stored result as the text of a cell: a string without its quotes, null as nothing, the rest as JSON."""
    if result is None or result == "null":
        return None
    if result.startswith('"'):
        text: str = json.loads(result)
        return text
    return result


def _json_array(texts: Iterable[str]) -> Iterator[str]:
    between = "["
    for text in texts:
        yield f"{between}\n    {text}"
        between = ","
    yield "[]" if between == "[" else "\n  ]"
