"""``batchq status --watch``: on a terminal a screen that is drawn again in place, elsewhere a line each time."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from batchq.cli.console import Console
from batchq.config import check_number

if TYPE_CHECKING:
    from batchq.app.batches import Batches

SCREEN_SECONDS: Final = 1.0
LINE_SECONDS: Final = 10.0
LEAST_SECONDS: Final = 0.1
"""More often than that is a load for nothing: outcomes are committed twenty times a second at most."""


class Screen:
    """A text on the terminal that each `draw` replaces.

    Lines that are too long are cut by the terminal itself (it knows how wide each letter is), and what does not fit
    below is left out, so that the number of lines to go back is always known.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn = 0

    def draw(self, text: str) -> None:
        """Show `text` in the place of the one before."""
        from shutil import get_terminal_size

        lines = text.rstrip("\n").split("\n")[: max(1, get_terminal_size().lines - 1)]
        back = f"\033[{self._drawn}A" if self._drawn else ""
        drawn = "".join(f"{line}\033[K\n" for line in lines)
        self._drawn = len(lines)
        # No wrapping while it is drawn, and whatever is below it cleared.
        self._console.write([f"{back}\r\033[?7l{drawn}\033[J\033[?7h"])


def watch(console: Console, batches: Batches, batch_id: str | None, interval: float | None) -> int:
    """Show one batch, or all, until no process runs it any more; the exit code.

    Args:
        console: where to.
        batches: where they are.
        batch_id: None for all.
        interval: seconds between two looks; None for what fits the place where it is shown.

    Raises:
        UsageError: there is no such batch, or no such interval.
    """
    from batchq.app import watching

    on_screen = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not console.as_json
    if interval is None:
        interval = SCREEN_SECONDS if on_screen else LINE_SECONDS
    check_number("--interval", interval, least=LEAST_SECONDS)
    screen = Screen(console)
    if batch_id is None:
        place = batches.place()
        for found in batches.home_looks(interval):
            if console.as_json:
                console.write_json_line({"home": place, "batches": [each.to_dict() for each in found]})
            elif on_screen:
                screen.draw(watching.home_text(found, place))
            else:
                console.write(map(watching.look_line, found))
        return 0
    for look in batches.looks(batch_id, interval):
        if console.as_json:
            console.write_json_line(look.to_dict())
        elif on_screen:
            has_server = look.status.holder is None and batches.has_server()
            screen.draw(watching.look_text(look, console.command, has_server))
        else:
            console.write([watching.look_line(look.status)])
    return 0
