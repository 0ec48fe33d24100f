"""Named points that tests can wait on or die at. Idle in production: `reach` is then an empty function.

``BATCHQ_PROBE=point:count`` makes the first process that reaches `point` for the `count`-th time kill itself with
SIGKILL there, as a machine that fails at the worst moment would, and leave its pid in the file that
``BATCHQ_PROBE_WITNESS`` names; no later process does.  Points: ``before-commit``, ``committed``, ``claimed``,
``filling``, ``checkpoint``, ``taken-over``, ``written`` (to the file of --out), ``noted`` (that it was), ``owed`` (a
notification is about to be sent), ``sent`` (that it was is about to be noted).
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable


def _kill_at(setting: str, witness: str) -> Callable[[str], None]:
    point, _, wanted = setting.partition(":")
    counter = itertools.count(1)

    def reach(name: str) -> None:
        if name == point and next(counter) == int(wanted or 1) and _is_first(witness):
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def _is_first(witness: str) -> bool:
    try:
        descriptor = os.open(witness, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(descriptor, b"%d" % os.getpid())
    os.close(descriptor)
    return True


def _nothing(name: str) -> None:
    """Production: no point does anything."""


reach: Callable[[str], None] = (
    _kill_at(os.environ["BATCHQ_PROBE"], os.environ["BATCHQ_PROBE_WITNESS"])
    if "BATCHQ_PROBE" in os.environ
    else _nothing
)
"""Tell that the named point has been reached."""
