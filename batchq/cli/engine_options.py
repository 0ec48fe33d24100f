"""The options of `start` and `resume` that say where the workers run."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from batchq.cli.options import F, option, with_options
from batchq.spec import ENGINES, LOCAL

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


def settle_engine(options: dict[str, Any]) -> None:
    """Drop what a variable or a file says of the engine, where the command line says the other half of it otherwise."""
    source = click.get_current_context().get_parameter_source
    said = {name for name in ("engine", "scheduler") if source(name) is ParameterSource.COMMANDLINE}
    if said == {"engine"} and options["engine"] == LOCAL:
        options["scheduler"] = None
    elif said == {"scheduler"} and options["engine"] == LOCAL:
        options["engine"] = None
