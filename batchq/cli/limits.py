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
def set_(console: Console, /, batch_id: str, priority: int | None, **options: Any) -> int:
    """Change the limits of a batch; one that runs feels it within a second.

    They are remembered across pause, crash and resume.

    \b
      batchq set batch-20261125-001 --concurrency 50
      batchq set batch-20261125-001 --rate 300/m --rate tokens=90k/m --timeout 60
      batchq set batch-20261125-001 --rate none --halt none
      batchq set batch-20261125-001 --priority 10
    """
    from dataclasses import asdict

    from batchq.app.limits import Changes
    from batchq.app.text import limits_words

    changes = Changes(**options)
    if changes == Changes() and priority is None:
        raise click.UsageError("nothing to change; say for example --concurrency 20")
    spec = console.batches().change(batch_id, changes, priority)
    if console.as_json:
        more = {} if priority is None else {"priority": priority}
        console.write_json({"batch_id": batch_id, "spec": asdict(spec.shown()), **more})
    else:
        console.say(f"{batch_id}: {limits_words(spec)}" + ("" if priority is None else f", priority {priority}"))
    return 0
