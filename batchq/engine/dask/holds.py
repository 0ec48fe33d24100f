"""Holds of a batch on both ends of a way: how long nothing may begin, told once to the side that does not know yet."""

from __future__ import annotations

from batchq.engine.board import Place


class Holds:
    """What the other side knows of the holds on a board, which go by the clock of their own machine.

    Args:
        place: of that board.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known = (0, 0)

    @property
    def has_new(self) -> bool:
        """Whether the other side does not know all of them."""
        return any(until > known for until, known in zip(self._place.held_until, self._known, strict=True))

    def take(self) -> tuple[float, float]:
        """Seconds from now on of those that it does not know, see `Place.hold_on`; it is told them now."""
        until = self._place.held_until
        seconds = self._place.seconds_held() if self.has_new else (0.0, 0.0)
        self._known = until
        return seconds

    def learn(self, seconds: tuple[float, float]) -> None:
        """The other side has told this."""
        if any(seconds):
            knew_all = not self.has_new
            self._place.hold_on(seconds)
            if knew_all:
                self._known = self._place.held_until
