"""The sandbox in which Jinja templates run: it has no way out, and bounds on memory and time.

Templates are the user's own, so that the bounds are there for mistakes: they hold for what multiplies and for loops
within each other, not for a loop that doubles a text with ``~``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from jinja2.exceptions import SecurityError
from jinja2.filters import do_format
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_CHARACTERS: Final = 2**24
"""Of a text, and elements of a list."""
MOST_BITS: Final = 2**17
"""Of a number: written out it has 40,000 digits, which takes a tenth of a second."""
MOST_TURNS: Final = 1_000_000
"""Of all that ``range`` counts for an item; Jinja itself has a limit for each one of them."""
MOST_SECONDS: Final = 10.0
"""Of a processor, for the loops of one text: a million turns take less, while nothing else runs in this worker."""
LOOK_TURNS: Final = 100
"""The clock is asked after so many turns of all loops together: asking takes as long as a few of them."""
_WIDENING: Final = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_PERCENT: Final = re.compile(r"%(\([^)]*\))?[-#0 +]*(\*|\d{5,}|\d*\.(\*|\d{5,}))")
_BRACES: Final = re.compile(r"\{[^{}]*:[^{}]*(\{|\d{5,})")


class Sandbox(ImmutableSandboxedEnvironment):
    """Prefers a field of an item to the method of a dict: ``{{ order.items }}`` is a field if there is one.

    Args:
        options: of Jinja's environment.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(optimized=False, **options)  # else constants are worked out before any bound holds
        del self.globals["lipsum"]
        for name in ("center", "indent", "batch", "slice", "tojson"):
            self.filters[name] = _within_bounds(self.filters[name], values=2 if name == "tojson" else 1)
        self.filters["format"] = _formatted

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field, else what Jinja finds."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        if isinstance(obj, str):
            if attribute in _WIDENING:
                return _within_bounds(getattr(obj, attribute))
            if attribute in ("format", "format_map") and _BRACES.search(obj):
                raise SecurityError("format may not make texts wider than 9,999 characters")
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """What `left` and `right` give; raises `SecurityError` where that would be too large."""
        if operator == "%" and isinstance(left, str):
            _check_percent(left)
        elif operator == "*":
            _check_product(left, right)
        elif operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            check_size(len(left) + len(right))
        elif operator == "**" and type(left) is int and type(right) is int:
            _check_bits(left.bit_length() * max(0, right))
        return super().call_binop(context, operator, left, right)


def turns() -> Callable[..., range]:
    """A ``range`` of which all together may count so far, for one text.

    Example:
        >>> counted = turns()
        >>> list(counted(3))
        [0, 1, 2]
    """
    left = MOST_TURNS

    def counted(*bounds: int) -> range:
        nonlocal left
        numbers = range(*bounds)
        # Its own length may be more than a machine's number holds.
        left -= max(0, (numbers.stop - numbers.start) // numbers.step)
        if left < 0:
            raise SecurityError(f"range may count to {MOST_TURNS:,} in all, in the text for an item")
        return numbers

    return counted


def watch(clock: Callable[[], float] = time.thread_time) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """What loops go through instead of their values, so that those of one text have `MOST_SECONDS` together.

    Args:
        clock: seconds that this thread has worked: a batch that is suspended, or a machine that is busy, takes longer.

    Example:
        >>> watched = watch()
        >>> list(watched("ab"))
        ['a', 'b']
    """
    begun = clock()
    turns = 0

    def each(values: Iterator[Any]) -> Iterator[Any]:
        nonlocal turns
        for value in values:
            turns += 1
            if turns % LOOK_TURNS == 0 and clock() - begun > MOST_SECONDS:
                raise SecurityError(f"its loops take more than {MOST_SECONDS:g} s: is one within another?")
            yield value

    return lambda values: each(iter(values))


def check_size(size: int) -> None:
    """Raise `SecurityError` where a text has too many characters."""
    if size > MOST_CHARACTERS:
        raise SecurityError(f"a text of more than {MOST_CHARACTERS:,} characters would be made")


def _check_product(left: Any, right: Any) -> None:
    for times, value in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(value, (str, list, tuple)):
            check_size(len(value) * times)
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())


def _check_bits(bits: int) -> None:
    if bits > MOST_BITS:
        raise SecurityError("a number of more than 39,000 digits would be made")


def _within_bounds(function: Callable[..., Any], values: int = 0) -> Callable[..., Any]:
    """`function`, none of whose numbers makes a text too wide; the first arguments may be any `values`."""

    def checked(*arguments: Any, **named: Any) -> Any:
        for argument in (*arguments[values:], *named.values()):
            if isinstance(argument, int):
                check_size(argument)
        return function(*arguments, **named)

    # Jinja reads there what it is to hand over as well.
    checked.__dict__.update(getattr(function, "__dict__", {}))
    return checked


def _formatted(text: Any, *values: Any, **named: Any) -> str:
    _check_percent(str(text))
    return do_format(text, *values, **named)


def _check_percent(text: str) -> None:
    if _PERCENT.search(text):
        raise SecurityError("% may not make texts wider than 9,999 characters")
