"""``batchq set``: other limits for a batch, also while it runs."""

from __future__ import annotations

from typing import Any

import click

from batchq.cli.console import Console, common_options
from batchq.cli.limit_options import changed_limits


@click.command("set")
@click.argument("batch_id", metavar="ID")
@changed_limits
@common_options
@click.pass_obj
def set_(console: Console, /, batch_id: str, **options: Any) -> int:
    """Change the limits of a batch; one that runs feels it within a second.

    They are remembered across pause, crash and resume.

    \b
      batchq set batch-20261125-001 --concurrency 50
      batchq set batch-20261125-001 --rate 300/m --rate tokens=90k/m --timeout 60
      batchq set batch-20261125-001 --rate none --halt none
    """
    from dataclasses import asdict

    from batchq.app.limits import Changes, change_limits
    from batchq.app.text import limits_words

    changes = Changes(**options)
    if changes == Changes():
        raise click.UsageError(
            f"nothing to change; say for example --concurrency 20 (see {console.command('set', '--help')})"
        )
    spec = change_limits(console.home(), batch_id, changes)
    if console.as_json:
        console.write_json({"batch_id": batch_id, "spec": asdict(spec.shown())})
    else:
        console.say(f"{batch_id}: {limits_words(spec)}")
    return 0
