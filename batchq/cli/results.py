"""``results``: what came of each item, as a stream or a file. Loads no engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from batchq.cli.console import Console, common_options

if TYPE_CHECKING:
    from batchq.app.results import Wanted

STDOUT = "-"


@click.command()
@click.argument("batch_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--only", type=click.Choice(["failed", "success"]), help="Leave the others out.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "tsv", "parquet", "openai"]),
    help="Form of a row; parquet needs batchq[parquet]; openai is what a batch service writes, for batches of "
    "--llm-batch.  [default: by the name of --output, else jsonl]",
)
@click.option(
    "--stage",
    type=click.IntRange(min=1),
    metavar="N",
    help="What this stage of `start --then` has given, from 1, for each item that has come so far.",
)
@click.option("--with-input", is_flag=True, help="Add the item itself to each row.")
@click.option(
    "--flatten",
    is_flag=True,
    help="Parts of objects under names of their own: result.title, input.author.name. Tables are read twice for that.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write FILE (.jsonl, .csv, .tsv, also .gz, or .parquet) instead; an old one is replaced when all is written.",
)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="In the order in which they are recorded, and go on with what is still to come, until no process runs it.",
)
@click.option("--as-input", is_flag=True, help="Print the items alone, unchanged: JSON lines that `start` reads.")
@click.option(
    "--mixed", is_flag=True, help="Of several shards: also where they have run different functions, prompts or models."
)
@click.option("--raw", is_flag=True, help="Tables: leave texts that a spreadsheet would run as a formula as they are.")
@common_options
@click.pass_obj
def results(
    console: Console,
    /,
    batch_ids: tuple[str, ...],
    only: str | None,
    form: str | None,
    stage: int | None,
    with_input: bool,
    flatten: bool,
    output: str | None,
    follow: bool,
    as_input: bool,
    mixed: bool,
    raw: bool,
) -> int:
    """The outcome of each item, one a line, in the order of the input; also while the batch runs.

    A line has seq, id, line (of the input), status, result or error_type and error, attempts, and duration in
    seconds. With -f it also has run: an item that was run again by `batchq retry` comes once more.

    Of several batches that are shards of one input (`start --shard`), all results in the order of that input, of which
    seq is the place. A batch of another home is named by the path of its folder.

    \b
      batchq results batch-20261125-001 > titles.jsonl
      batchq results batch-20261125-001 --only failed | jq -r .error
      batchq results batch-20261125-001 --flatten --with-input -o titles.csv
      batchq results batch-20261125-001 --only failed --as-input > again.jsonl
      batchq results titles-1of3 titles-2of3 /mnt/other/titles-3of3 -o titles.csv
    """
    from batchq.app.openai_lines import OPENAI
    from batchq.app.results import JSONL, PARQUET, Wanted, form_of, whole_file

    output = None if output == STDOUT else output
    found, packed = form_of(output, JSONL if as_input else form) if output else (form or JSONL, False)
    _exclude(
        ("--as-input", as_input),
        ("--format " + str(form), as_input and form not in (None, JSONL)),
        ("--with-input", with_input and as_input),
        ("--flatten", flatten and as_input),
        ("--json", console.as_json and as_input),
        ("--follow", follow and as_input),
    )
    _exclude(
        ("--follow", follow),
        ("--output", output is not None and follow),
        ("--format parquet", found == PARQUET and follow),
        ("--flatten of a table", flatten and found != JSONL and follow),
        ("more than one ID", len(batch_ids) > 1),
    )
    _exclude(
        ("--stage", stage is not None),
        ("--only", only is not None),
        ("--follow", follow),
        ("--as-input", as_input),
    )
    _exclude(
        ("--json", console.as_json),
        ("a table in --output", output is not None and found != JSONL),
        ("--format parquet", found == PARQUET),
        ("--format openai", found == OPENAI),
    )
    _exclude(
        ("--format openai", found == OPENAI),
        ("--with-input", with_input),
        ("--flatten", flatten),
    )
    if found == OPENAI:
        console.only_here("--format openai is written where the batch is")
    if console.as_json:
        found = JSONL
    wanted = Wanted(found, only, with_input, flatten, raw, console.as_json, stage)
    if follow:
        for text in console.batches().follow_results(batch_ids[0], wanted):
            console.write([text])
        return 0
    asked = _Asked.of(console, batch_ids, mixed)
    if found == PARQUET:
        _write_table(console, asked, wanted, output)
        return 0
    pieces = asked.as_input(only, console.say) if as_input else asked.results(wanted)
    if output is None:
        console.write(pieces)
        return 0
    with whole_file(output, packed) as file:
        file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
    return 0


class _Asked(NamedTuple):
    """How to get at the results of what was named."""

    results: Callable[[Wanted], Iterable[str]]
    as_input: Callable[[str | None, Callable[[str], None]], Iterable[str]]
    write_table: Callable[[BinaryIO, Wanted], None]

    @classmethod
    def of(cls, console: Console, batch_ids: Sequence[str], mixed: bool) -> _Asked:
        """One batch, wherever it is, or the shards of one input, here."""
        if len(batch_ids) == 1:
            batches, one = console.batches(), batch_ids[0]
            return cls(
                lambda wanted: batches.results(one, wanted),
                lambda only, note: batches.as_input(one, only, note),
                lambda sink, wanted: batches.write_table(sink, one, wanted),
            )
        console.only_here("results of several batches are put together where they are")
        from batchq.app.shard_results import ShardResults

        shards = ShardResults(console.home(), batch_ids, console.say, mixed)
        return cls(shards.results, shards.as_input, shards.write_table)


def _write_table(console: Console, asked: _Asked, wanted: Wanted, output: str | None) -> None:
    """Parquet, which is no text."""
    if output is not None:
        from batchq.app.results import whole_file

        with whole_file(output, packed=False) as file:
            asked.write_table(file, wanted)
    elif sys.stdout.isatty():
        raise click.UsageError("Parquet is no text for a terminal; say --output FILE")
    else:
        console.write_bytes(lambda stream: asked.write_table(stream, wanted))


def _exclude(first: tuple[str, bool], *others: tuple[str, bool]) -> None:
    """Refuse what has no meaning together; each option stands with whether it was given."""
    for name, given in others:
        if first[1] and given:
            raise click.UsageError(f"{first[0]} and {name} exclude each other")
