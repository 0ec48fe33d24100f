"""What `start` begins before the command line has loaded: the process of its first worker, which takes as long to load.

Imports nothing, so that all other commands lose nothing by it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batchq.engine.local import LocalEngine

WITH_A_VALUE: Final = frozenset({"--home", "--server", "--token-file"})
"""Options that may stand before the verb, and have a word behind them."""
NO_WORKER: Final = frozenset(
    {"-h", "--help", "--version", "-d", "--detach", "--queue", "--server", "--engine", "--scheduler"}
)
"""Whoever says one of these runs nothing in this process."""
NO_WORKER_IF_SET: Final = frozenset({"BATCHQ_SERVER", "BATCHQ_READY_FD", "BATCHQ_ENGINE", "BATCHQ_SCHEDULER"})
"""Likewise, or others may be to run it; a detached child has its output read to the end, which the new process would
hold open."""


def early_engine() -> LocalEngine | None:
    """An engine with a worker that is starting, where the command is sure to need one; else None."""
    if not needs_worker(sys.argv[1:], os.environ):
        return None
    from batchq.engine.local import LocalEngine

    return LocalEngine.warmed_up()


def needs_worker(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command runs a batch in this process, as far as one can tell without knowing its options.

    Args:
        arguments: of the command.
        environment: its variables.

    Example:
        >>> needs_worker(["--home", "status", "start", "ideas.jsonl"], {}), needs_worker(["start", "--help"], {})
        (True, False)
    """
    words = iter(arguments)
    verb = ""
    for word in words:
        if word in WITH_A_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            verb = word
            break
    said = {word.partition("=")[0] for word in arguments}
    return verb == "start" and not said & NO_WORKER and not NO_WORKER_IF_SET & environment.keys()
