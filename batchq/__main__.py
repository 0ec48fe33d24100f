"""``batchq`` and ``python -m batchq``: the command line, and what Ctrl-C does before that is loaded."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; exits with the codes that ``batchq --help`` lists."""
    try:
        from batchq.cli.run import main as run
    except KeyboardInterrupt:
        # A shell loop around us goes on unless we die of the very signal.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    run()


if __name__ == "__main__":
    main()
