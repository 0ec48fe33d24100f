"""``batchq report``: what came of a batch, in words, as JSON, CSV or a page, printed or in a file of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import click

from batchq.cli.console import Console, common_options

FORMATS: Final = ("text", "json", "csv", "html")
ENDINGS: Final = {
    ".txt": "text",
    ".text": "text",
    ".json": "json",
    ".csv": "csv",
    ".html": "html",
    ".htm": "html",
}
"""What the name of a file says of its format."""


@click.command()
@click.argument("batch_ids", metavar="ID...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="text; json: one object; csv: one row per item that has an outcome; html: one page with charts.  "
    "[default: by the name of --output, else text]",
)
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE, which is replaced as a whole.")
@click.option(
    "--failures",
    type=click.IntRange(min=0),
    metavar="N",
    help="List the first N failed items in json and html.  [default: json all, html 100]",
)
@click.option("--raw", is_flag=True, help="CSV: leave texts that a spreadsheet would run as a formula as they are.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of --format json instead of a report.")
@common_options
@click.pass_obj
def report(
    console: Console,
    /,
    batch_ids: tuple[str, ...],
    form: str | None,
    output: str | None,
    failures: int | None,
    raw: bool,
    schema: bool,
) -> int:
    """What came of a batch: counts, times, what failed and why; also while it runs.

    Of several batches, such as the shards of one input (`start --shard`), all of that together, a line for each, and
    which shards are missing. A batch of another home is named by the path of its folder.

    \b
      batchq report batch-20261125-001
      batchq report titles-1of3 titles-2of3 /mnt/other/titles-3of3
      batchq report batch-20261125-001 -o report.html
      batchq report batch-20261125-001 --format csv > report.csv
    """
    if schema:
        if batch_ids or form not in (None, "json"):
            raise click.UsageError("--schema is about the JSON of every batch: leave ID and --format out")
        form, pieces = "json", _schema()
    elif not batch_ids:
        raise click.UsageError("Missing argument 'ID'.")
    else:
        form = _form(console, form, output)
        if failures is not None and form not in ("json", "html"):
            raise click.UsageError(f"--failures is of use with json and html only, not with {form}")
        one = len(batch_ids) == 1
        make = _pieces if one else _pieces_of_several
        pieces = make(console, batch_ids, form, failures, raw)
    if output is None or output == "-":
        console.write(pieces)
    else:
        _write(console, pieces, Path(output), form)
    return 0


def _form(console: Console, form: str | None, output: str | None) -> str:
    """What was asked for: --json is about what is printed, which with --output is not the report."""
    to_file = output is not None and output != "-"
    if console.as_json and not to_file:
        if form not in (None, "json"):
            raise click.UsageError(f"--json and --format {form} exclude each other")
        return "json"
    if form is not None:
        return form
    if not to_file:
        return "text"
    assert output is not None
    found = ENDINGS.get(Path(output).suffix.lower())
    if found is None:
        known = ", ".join(ENDINGS)
        raise click.UsageError(f"the name of {output} does not tell its format ({known}): say it with --format")
    return found


def _pieces(console: Console, batch_ids: Sequence[str], form: str, failures: int | None, raw: bool) -> Iterable[str]:
    batches, batch_id = console.batches(), batch_ids[0]
    if form == "csv":
        return batches.report_csv(batch_id, raw)
    if form == "json":
        return batches.report_json(batch_id, failures)
    if form == "html":
        from batchq.app.report_html import FAILURES, report_html

        made = batches.report(batch_id, FAILURES if failures is None else failures)
        return report_html(made, failures, _command(console, batch_ids))
    from batchq.app.text import report_text

    return [report_text(batches.report(batch_id, 0), _command(console, batch_ids))]


def _pieces_of_several(
    console: Console, batch_ids: Sequence[str], form: str, failures: int | None, raw: bool
) -> Iterable[str]:
    from batchq.app.several import merged_csv, merged_report

    batches = console.batches()
    if form == "csv":
        return merged_csv(batches, batch_ids, raw, console.say)
    if form == "json":
        from batchq.app.render import report_json

        return report_json(merged_report(batches, batch_ids, failures))
    if form == "html":
        from batchq.app.report_html import FAILURES, report_html

        made = merged_report(batches, batch_ids, FAILURES if failures is None else failures)
        return report_html(made, failures, _command(console, batch_ids))
    from batchq.app.text import report_text

    return [report_text(merged_report(batches, batch_ids, 0), _command(console, batch_ids))]


def _command(console: Console, batch_ids: Sequence[str]) -> Callable[..., str]:
    """Makes the commands to recommend: about a batch at a path, in the home in which that is."""
    from batchq.store.named import home_of, id_of, is_path

    paths = [each for each in batch_ids if is_path(each)]

    def command(verb: str, *words: str) -> str:
        found = [each for each in paths if each in words or (len(batch_ids) == 1 and id_of(each) in words)]
        if len(found) != 1 or sum(word in batch_ids for word in words) > 1:
            return console.command(verb, *words)
        path = found[0]
        own = [id_of(path) if word == path else word for word in words]
        return shlex.join(["batchq", verb, *own, "--home", str(home_of(path))])

    return command


def _schema() -> Iterable[str]:
    from batchq.app.render import report_schema

    return [report_schema()]


def _write(console: Console, pieces: Iterable[str], path: Path, form: str) -> None:
    from batchq.app.atomic import replaced

    size = 0
    with replaced(path) as stream:
        for piece in pieces:
            size += stream.write(piece.encode("utf-8", "backslashreplace"))
    if console.as_json:
        console.write_json({"output": str(path), "format": form, "bytes": size})
    else:
        console.say(f"wrote {path} ({size:,} bytes)")
