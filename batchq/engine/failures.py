"""An exception, told as text: what is stored of a failed attempt.

Exceptions never cross a process and are never stored as objects: many cannot be unpickled.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from batchq.engine.fingerprint import fingerprint
from batchq.engine.tracebacks import format_error
from batchq.errors import CommandFailed, ItemTimeout
from batchq.model import Failure

TRACEBACK_HEAD: Final = 8_000
TRACEBACK_TAIL: Final = 16_000
"""Characters that are kept of a longer traceback: its end says what happened, its beginning how it came to that."""
ERROR_CHARS: Final = 10_000
LEAVES: Final = 5
"""Exceptions of a group that are named in its error."""
_OWN: Final = str(Path(__file__).parent.parent)

Clean = Callable[[str], str]
"""Makes of a text what may be kept of it."""


@functools.cache
def libraries() -> tuple[str, ...]:
    """How the paths of files begin that are no code of the user's; asked for late: few batches begin with a failure."""
    import sysconfig

    paths = sysconfig.get_paths()
    return (*{paths[key] for key in ("stdlib", "purelib", "platlib")}, "<frozen")


def describe(error: BaseException, with_traceback: bool = True, clean: Clean | None = None) -> Failure:
    """`error` as it is stored.

    Args:
        error: any exception.
        with_traceback: format its traceback, which takes longer than all the rest.
        clean: takes out of its texts what may not be kept.

    Example:
        >>> describe(KeyError("k")).error
        "KeyError('k')"
        >>> describe(ValueError("no key s3cret"), clean=lambda text: text.replace("s3cret", "[redacted]")).error
        'no key [redacted]'
    """
    name = _name(error)
    text = _text(error)
    trace = _trace_of(error) if with_traceback else ""
    if clean is not None:  # before anything is cut: of half a secret nothing would be found
        text, trace = clean(text), clean(trace)
    text = storable(text[:ERROR_CHARS])
    frame = "" if isinstance(error, ItemTimeout) else _last_own_frame(error.__traceback__)
    return Failure(name, text, storable(_shortened(trace)), fingerprint(name, frame, text), frame)


def plain_failure(name: str, error: str, alike: str) -> Failure:
    """A failure without an exception; those with the same `alike` are grouped."""
    return Failure(name, storable(error)[:ERROR_CHARS], "", fingerprint(name, "", alike), "")


def storable(text: str) -> str:
    """`text` without what a database column or a terminal cannot hold: half surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _name(error: BaseException) -> str:
    kind = type(error)
    # Ours are told by their bare name: it is what the documentation calls them.
    if kind.__module__ in ("builtins", "__main__", "batchq.errors"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    """What it says of itself; of a group also what it is a group of."""
    text = _said(error)
    leaves = list(_leaves(error))
    if not leaves:
        return text
    told = [f"{_name(leaf)}: {_said(leaf)}" for leaf in leaves[:LEAVES]]
    return f"{text}: {'; '.join(told)}" + ("; …" if len(leaves) > LEAVES else "")


def _said(error: BaseException) -> str:
    try:
        # Joined, because what __str__ returns may be of a class that lies about itself.
        text = "".join(("", str(error)))
        return "".join(("", repr(error))) if not text.strip() or isinstance(error, KeyError) else text
    except KeyboardInterrupt:
        raise
    except BaseException as second:  # an exception whose __str__ raises is still told
        return f"<{type(error).__name__}, whose text raises {type(second).__name__}>"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that are no groups in a group, however deep; none of an exception that is no group."""
    # By name: Python 3.10 has no groups, only the library that brings them.
    if not any(kind.__name__ == "BaseExceptionGroup" for kind in type(error).__mro__):
        return
    for member in getattr(error, "exceptions", ()):
        inner = list(_leaves(member))
        yield from inner or [member]


def _trace_of(error: BaseException) -> str:
    if isinstance(error, CommandFailed):
        return error.told
    return (isinstance(error, ItemTimeout) and error.told) or _traceback(error)


def _traceback(error: BaseException) -> str:
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_OWN):
        own = own.tb_next
    try:
        return format_error(error, own)
    except KeyboardInterrupt:
        raise
    except BaseException as second:  # likewise
        lines = [
            "Traceback (most recent call last):\n",
            *traceback.format_tb(own),
            f"{type(error).__name__}: its text raises {type(second).__name__}\n",
        ]
        return "".join(lines)


def _shortened(text: str) -> str:
    """A traceback with its middle left out, in whole lines where there are any."""
    if len(text) <= TRACEBACK_HEAD + TRACEBACK_TAIL:
        return text
    head = text[:TRACEBACK_HEAD]
    head = head[: head.rfind("\n") + 1] or head
    tail = text[-TRACEBACK_TAIL:]
    tail = tail[tail.find("\n", 0, TRACEBACK_TAIL // 2) + 1 :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}  … {left_out:,} characters left out …\n{tail}"


def _last_own_frame(trace: TracebackType | None) -> str:
    """Where the user's own code was last; else where a library was, and nothing of what is batchq's alone."""
    own = ""
    last = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_OWN):
            last = f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}"
            if not code.co_filename.startswith(libraries()):
                own = last
        trace = trace.tb_next
    return own or last
