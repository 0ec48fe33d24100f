"""``batchq`` and ``python -m batchq``: the command line, and what Ctrl-C does before that is loaded."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from batchq.cli.early import early_engine
from batchq.leaving import QuickExit


def main() -> NoReturn:
    """Run the command line; exits with the codes that ``batchq --help`` lists."""
    _open_streams()
    quick_exit = QuickExit()
    try:
        engine = early_engine()
        from batchq.cli.run import run
    except KeyboardInterrupt:
        # A shell loop around us goes on unless we die of the very signal.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    quick_exit.code = code = run(engine=engine)
    sys.exit(code)


def _open_streams() -> None:
    """Give closed standard streams (``>&-``) to the void: else the next file that is opened would take their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                while os.open(os.devnull, os.O_RDWR) < number:  # takes the lowest number that is free
                    pass
                os.set_inheritable(number, True)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


if __name__ == "__main__":
    main()
