"""The options of `start` and `resume` that say where the workers run."""

from __future__ import annotations

import click

from batchq.cli.options import F, option, with_options
from batchq.spec import ENGINES

ENGINE = (
    "local: processes of this machine; dask: a Dask cluster (pip install 'batchq[dask]'), without --scheduler "
    "one that is started here for this batch."
)


def start_engine(command: F) -> F:
    """Where the workers of a new batch run."""
    return with_options(
        command,
        [
            option("--engine", type=click.Choice(ENGINES), help=f"{ENGINE}  [default: local]"),
            option(
                "--scheduler",
                metavar="ADDRESS",
                help="Run the workers on the Dask cluster with this scheduler, such as tcp://10.0.0.5:8786; "
                "-w is then the number of its workers by default.",
            ),
        ],
    )


def resume_engine(command: F) -> F:
    """Where the workers of a batch that goes on run."""
    return with_options(
        command,
        [
            click.option("--engine", type=click.Choice(ENGINES), help="Run what is left there, see `start`."),
            click.option("--scheduler", metavar="ADDRESS", help="Run what is left on the Dask cluster there."),
        ],
    )
