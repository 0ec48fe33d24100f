"""The options of `start` that say how INPUT is read, and which of its records become items."""

from __future__ import annotations

import click

from batchq.cli.options import F, option, with_options


def start_inputs(command: F) -> F:
    """How the input of a new batch is read."""
    return with_options(
        command,
        [
            option(
                "--input-format",
                type=click.Choice(["jsonl", "json", "csv", "tsv", "txt", "parquet", "arrow"]),
                help="Needed for standard input.  [default: by each file's name]",
            ),
            option("--limit", type=int, metavar="N", help="Read the first N records only: --limit 10 for a trial run."),
            option(
                "--strict",
                is_flag=True,
                help="Stop the batch at the first record that cannot be read; otherwise that record alone fails.",
            ),
            option(
                "--encoding",
                metavar="NAME",
                default="utf-8",
                show_default=True,
                help="Encoding of text: latin-1, cp1252, utf-16, shift_jis …",
            ),
            option(
                "--csv-types",
                is_flag=True,
                help="Cells of CSV and TSV become numbers, true, false and (empty) null where they look like it; "
                "007 stays a text.",
            ),
            option(
                "--max-item-size",
                metavar="SIZE",
                default="64M",
                show_default=True,
                help="A larger record fails, and the next one is read; at most 500M.",
            ),
            click.option(
                "--id-field",
                metavar="FIELD",
                help="The field that an item's id is taken from.  [default: id, idea_id or custom_id]",
            ),
            click.option(
                "--select",
                metavar="FIELD,…",
                default="",
                help="Hand these fields of a record to the function, and no others: id,user.name.",
            ),
            click.option(
                "--where",
                metavar="EXPR",
                help="Only records that fulfil it, such as: price > 10 and lang in ('en', 'de') and not user.blocked. "
                'A field that a record does not have is null; _["two words"] is a field of that name.',
            ),
            click.option(
                "--unique",
                metavar="FIELD",
                help="Leave out records whose FIELD an earlier one had (100 MB of memory a million values).",
            ),
            click.option("--skip", type=int, default=0, metavar="N", help="Leave out the first N records."),
            click.option(
                "--sample",
                type=int,
                metavar="N",
                help="N records drawn at random, in their order; the whole input is read before the first one runs.",
            ),
            click.option(
                "--shuffle",
                is_flag=True,
                help="Run the records in a random order; all of them are read into memory before the first one runs.",
            ),
            click.option(
                "--shard",
                metavar="K/N",
                help="Only every Nth of the records chosen, from the Kth on: one of N batches, perhaps on N machines. "
                "`batchq report ID ID …` makes one report of them.",
            ),
            click.option("--seed", type=int, metavar="N", help="The same N gives the same --sample and --shuffle."),
        ],
    )
