"""``batchq doctor``: whether this machine and this home are fit for batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchq.cli.console import Console, complain, local_options, one_line
from batchq.cli.detach import is_child

if TYPE_CHECKING:
    from batchq.spec import BatchSpec


@click.command()
@local_options
@click.pass_obj
def doctor(console: Console, /) -> int:
    """Test whether batches can run here: Python, SQLite, locks, disk, limits, permissions. Changes nothing.

    Exits with 0 when they can (warnings included), with 2 when they cannot.

    \b
      batchq doctor
      batchq doctor --home /mnt/disk/batches
    """
    from batchq.app import doctor as surgery

    home = console.home()
    checks = list(surgery.examine(home))
    if console.as_json:
        console.write_json({"home": str(home.path), "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            console.write([f"{check.level:<8} {check.name:<12} {one_line(check.text)}\n"])
            if check.advice:
                console.write([f"{'':<21} {one_line(check.advice)}\n"])
    return 2 if any(check.level == surgery.FAULT for check in checks) else 0


def warn_of_descriptors(console: Console, spec: BatchSpec) -> None:
    """Say in a line that a batch asks for more slots than the limit of open files has room for."""
    from batchq.app import descriptors

    warning = descriptors.warning(spec.concurrency, spec.workers, descriptors.soft_limit())
    if warning:
        # A detached child is quiet, but still has the ear of the terminal here.
        (complain if is_child() else console.say)(warning)
