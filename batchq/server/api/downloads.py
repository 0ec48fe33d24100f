"""Results and reports, made while they are sent: memory is bounded whatever their size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.render import report_csv, report_json
from batchq.app.report_html import report_html
from batchq.app.results import FORMS, JSONL, PARQUET, Wanted, items_of, text_of, write_table
from batchq.app.stages import check_stage
from batchq.app.stored import build_report
from batchq.app.text import report_text
from batchq.model import FAILED, SUCCESS
from batchq.server.api import params
from batchq.server.api.answers import folder_of, state_of
from batchq.server.problems import Problem
from batchq.server.streaming.flow import Download, Pipe
from batchq.store.home import BatchFolder
from batchq.store.reading import reading

MEDIA: Final = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
ENDINGS: Final = {"text": "txt"}
LAST_STAGE: Final = 2**31
REPORTS: Final = ("json", "text", "csv", "html")
SANDBOX: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page has its styles in itself, and runs nothing."""


async def results(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/results?format=&only=&with_input=&flatten=&raw=&as_input=&stage=."""
    params.only(request, "format", "only", "with_input", "flatten", "raw", "as_input", "stage")
    form = params.choice(request, "format", FORMS, JSONL) or JSONL
    wanted = Wanted(
        form=form,
        only=params.choice(request, "only", (FAILED, SUCCESS)),
        with_input=params.flag(request, "with_input"),
        flatten=params.flag(request, "flatten"),
        raw=params.flag(request, "raw"),
        stage=params.number(request, "stage", 0, 1, LAST_STAGE) or None,
    )
    as_input = params.flag(request, "as_input")
    folder = folder_of(request)
    what = "results"
    if as_input:
        _check_as_input(folder, wanted)
        what = "items"
    if wanted.stage is not None:
        _check_stage(folder, wanted, wanted.stage, as_input)
        what = f"stage-{wanted.stage}"

    def make(pipe: Pipe) -> None:
        with reading(folder.database) as reader:
            reader.before_page = pipe.check
            if wanted.form == PARQUET:
                write_table(pipe, reader, wanted)  # type: ignore[arg-type]  # all of BinaryIO that is used there
            else:
                _write(pipe, items_of(reader, wanted.only, _say_nothing) if as_input else text_of(reader, wanted))

    return _download(request, make, form, f"{folder.batch_id}-{what}")


async def report(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/report?format=&failures=&raw=."""
    params.only(request, "format", "failures", "raw")
    form = params.choice(request, "format", REPORTS, "json") or "json"
    most = params.number(request, "failures", 0, 0, 2**31) if "failures" in request.query_params else None
    raw = params.flag(request, "raw")
    if most is not None and form not in ("json", "html"):
        raise Problem(422, f"failures is of use with json and html only, not with {form}")
    folder = folder_of(request)

    def make(pipe: Pipe) -> None:
        if form == "csv":
            with reading(folder.database) as reader:
                reader.before_page = pipe.check
                _write(pipe, report_csv(reader.results(), raw))
        else:
            _write(pipe, _report(folder, form, most))

    headers = {"Content-Security-Policy": SANDBOX} if form == "html" else {}
    return _download(request, make, form, f"{folder.batch_id}-report", headers)


def _report(folder: BatchFolder, form: str, most: int | None) -> Iterable[str]:
    made = build_report(folder)
    if form == "html":
        return report_html(made, most)
    if form == "text":
        return [report_text(made)]
    if most is not None:
        made.failures = made.failures[:most]
    return report_json(made)


def _download(
    request: Request, make: Callable[[Pipe], None], form: str, name: str, headers: dict[str, str] | None = None
) -> Response:
    slots = state_of(request).load.downloads
    return Download(make, slots, MEDIA[form], f"{name}.{ENDINGS.get(form, form)}", headers)


def _write(pipe: Pipe, pieces: Iterable[str]) -> None:
    for piece in pieces:
        pipe.write(piece.encode("utf-8", "backslashreplace"))


def _check_as_input(folder: BatchFolder, wanted: Wanted) -> None:
    if wanted.form != JSONL or wanted.with_input or wanted.flatten:
        raise Problem(422, "as_input gives the items alone, as JSON lines: leave the other parameters but only out")
    with reading(folder.database) as reader:
        hidden = reader.row().spec.redact
    if hidden:
        raise Problem(
            403,
            f"the items of this batch have fields that are not shown: {', '.join(hidden)}",
            f"On the machine of the server: batchq results {folder.batch_id} --as-input",
        )


def _check_stage(folder: BatchFolder, wanted: Wanted, stage: int, as_input: bool) -> None:
    if as_input or wanted.only is not None:
        raise Problem(422, f"stage and {'as_input' if as_input else 'only'} exclude each other")
    with reading(folder.database) as reader:
        check_stage(reader.row().spec, stage)


def _say_nothing(_: str) -> None:
    """What is left out cannot be said within an input."""
