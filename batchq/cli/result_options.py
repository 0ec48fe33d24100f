"""The options of `start` that say what counts as a result, and where results are shown and written."""

from __future__ import annotations

import click

from batchq.cli.options import F, option, with_options
from batchq.config import NANS


def start_results(command: F) -> F:
    """What becomes of results."""
    return with_options(
        command,
        [
            option(
                "--fail-empty",
                is_flag=True,
                help='Count an empty result (null, "", [], {}) as a failure: an outage that the function swallows '
                "looks like that.",
            ),
            option(
                "--nan",
                type=click.Choice(NANS),
                default=NANS[0],
                show_default=True,
                help="NaN and infinities in a result, which JSON does not have: fail the item, or store null in "
                "their place.",
            ),
            click.option(
                "--redact",
                multiple=True,
                metavar="FIELD,…",
                help="Keep these fields of the items out of logs, errors and reports: a name, at any depth, or a "
                "path: user.mail. "
                "The function gets them. May be repeated.",
            ),
            click.option(
                "--out",
                metavar="FILE",
                help="Write each outcome to FILE (.jsonl, .csv or .tsv) as it is recorded; `resume` goes on with it.",
            ),
            click.option("--overwrite", is_flag=True, help="Replace what --out names, if it exists."),
        ],
    )
