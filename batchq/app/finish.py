"""Running the user's command when a batch has ended, or has stopped and waits for somebody."""

from __future__ import annotations

import logging
import os
import subprocess

from batchq.app.status import BatchStatus
from batchq.store.home import Home

log = logging.getLogger(__name__)


def run_on_finish(home: Home, status: BatchStatus, exit_code: int) -> int:
    """Run the batch's ``--on-finish`` by the shell; how that exited.

    It runs in the folder in which the batch was started, with the batch in ``BATCHQ_ID``, ``BATCHQ_STATE``,
    ``BATCHQ_REASON``, ``BATCHQ_TOTAL``, ``BATCHQ_SUCCESS``, ``BATCHQ_FAILED``, ``BATCHQ_EXIT_CODE`` and
    ``BATCHQ_HOME``. What it prints goes to stderr.

    Args:
        home: where the batch is.
        status: how it stands.
        exit_code: of the command that has run it.
    """
    tally = status.tally
    told = {
        "BATCHQ_HOME": home.path,
        "BATCHQ_ID": status.batch_id,
        "BATCHQ_STATE": status.state,
        "BATCHQ_REASON": status.reason or "",
        "BATCHQ_TOTAL": tally.items,
        "BATCHQ_SUCCESS": tally.success,
        "BATCHQ_FAILED": tally.failed,
        "BATCHQ_EXIT_CODE": exit_code,
    }
    cwd = status.spec.cwd if os.path.isdir(status.spec.cwd) else None
    environment = os.environ | {name: str(value) for name, value in told.items()}
    command = status.spec.on_finish or ""
    null = subprocess.DEVNULL
    done = subprocess.run(command, shell=True, cwd=cwd, env=environment, stdin=null, stdout=2, check=False)
    if done.returncode:
        log.warning("--on-finish exited with %d: %s", done.returncode, command)
    return done.returncode
