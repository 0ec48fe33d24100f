"""How a process ends fast: Python takes all modules apart before it leaves, a tenth of the time of a small batch."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys


class QuickExit:
    """Ends the process when everything that runs at its end has run.

    Make it before anything else registers with `atexit`: what is registered first is called last.

    Example:
        quick_exit = QuickExit()
        ...
        quick_exit.code = 0  # from here on nothing that the modules do when they are taken apart is missed
    """

    def __init__(self) -> None:
        self.code: int | None = None
        """The exit code; None to leave as Python does."""
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads it, or there is none
                stream.flush()
        os._exit(self.code)
