"""A handler that has changed since the batch began: allowed, for that is how one mends a bug, and never silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from batchq.engine.logs import log_line
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder


def noting_change(before: BatchSpec, spec: BatchSpec) -> BatchSpec:
    """`spec`, with which a batch goes on, and in it the times at which its function was another than `before`.

    Args:
        before: the specification that is stored.
        spec: that which takes its place; its fingerprint is that of the function now.
    """
    same_source = spec.fingerprint == before.fingerprint
    # A batch that was made before there were fingerprints has none.
    is_same = same_source if before.fingerprint is not None else _named(spec) == _named(before)
    now = () if is_same else (time.time(),)
    return replace(spec, handler_changed=before.handler_changed + now)


def tell_change(folder: BatchFolder, before: BatchSpec, spec: BatchSpec, note: Callable[[str], None]) -> None:
    """Tell the user and the batch's log, where `noting_change` has noted one."""
    if len(spec.handler_changed) > len(before.handler_changed):
        functions = f"one of {', '.join(_named(spec))}" if spec.stages else spec.target
        message = f"{functions} has changed since the batch began; what is left runs as it is now"
        log_line(folder.log, "supervisor", message)
        note(message)


def _named(spec: BatchSpec) -> tuple[str, ...]:
    """What it runs, in the order of its stages."""
    return (spec.target, *spec.stages)
