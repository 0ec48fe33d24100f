"""Tracebacks as text, as `traceback.format_exception` writes them, in a fraction of its time.

Python looks anew at the source of every line to find what to underline (measured: 430 µs for three frames), so that one
item in five that fails would cost more than all others.  The failures of a batch are alike: the lines of a stack are
kept.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Final

STACKS: Final = 256
"""Different stacks whose lines are kept: a batch has a few kinds of failures, or they all differ anyway."""
CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
GUESSED: Final = (NameError, AttributeError, ImportError)
"""Python may add which name was meant, which it finds in the frames themselves."""

Place = tuple[CodeType, int, int]
"""Where a frame is: its code, the instruction in it, and the line."""


class _Stack:
    """The lines of a stack, once somebody has written them."""

    text: str | None = None


def format_error(error: BaseException, own: TracebackType | None) -> str:
    """The text of an exception, with those that led to it.

    Args:
        error: any exception.
        own: the part of its traceback that is to be shown.

    Raises:
        Exception: whatever the exception's own methods raise.

    Example:
        >>> print(format_error(ValueError("bad"), None), end="")
        ValueError: bad
    """
    chain = list(_chain(error))
    if any(isinstance(each, GUESSED) or _is_group(each) for each, _ in chain):
        return "".join(traceback.format_exception(type(error), error, own))
    pieces: list[str] = []
    for each, message in reversed(chain):
        trace = own if each is error else each.__traceback__
        if trace is not None:
            pieces += ["Traceback (most recent call last):\n", _stack_text(trace)]
        pieces += traceback.format_exception_only(type(each), each)
        pieces.append(message)
    return "".join(pieces)


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """An exception and what led to it, the last first; each with what stands between it and the one before it here."""
    seen: set[int] = set()
    message = ""
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each, message
        if each.__cause__ is not None:
            each, message = each.__cause__, CAUSE
        else:
            each, message = None if each.__suppress_context__ else each.__context__, CONTEXT


def _stack_text(trace: TracebackType) -> str:
    stack = _stack_at(tuple(_places(trace)))
    if stack.text is None:
        stack.text = "".join(traceback.format_tb(trace))
    return stack.text


@functools.lru_cache(STACKS)
def _stack_at(places: tuple[Place, ...]) -> _Stack:
    return _Stack()


def _places(trace: TracebackType | None) -> Iterator[Place]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lasti, trace.tb_lineno
        trace = trace.tb_next


def _is_group(error: BaseException) -> bool:
    # By name: Python 3.10 has no groups, only the library that brings them.
    return any(kind.__name__ == "BaseExceptionGroup" for kind in type(error).__mro__)
