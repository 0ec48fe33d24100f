"""An exception, told as text: what is stored of a failed attempt, and the fingerprint that groups it.

Exceptions never cross a process and are never stored as objects: many cannot be unpickled.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from batchq.errors import ItemTimeout
from batchq.model import Failure

TRACEBACK_CHARS: Final = 8000
"""The end of a traceback says what happened; a recursion's beginning may be huge."""
ERROR_CHARS: Final = 10_000
_OWN: Final = str(Path(__file__).parent.parent)
_LIBRARIES: Final = tuple({_OWN, *(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))})
_VARYING: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # UUID
    r"|0x[0-9a-fA-F]+|\b[0-9a-fA-F]{16,}\b"  # addresses, digests
    r"|\b\w*\d\w*\b"  # numbers, and ids such as idea-017 or req_5c2
)


def describe(error: BaseException, with_traceback: bool = True) -> Failure:
    """`error` as it is stored.

    Args:
        error: any exception.
        with_traceback: format its traceback, which takes longer than all the rest.

    Example:
        >>> describe(KeyError("k")).error
        "KeyError('k')"
    """
    kind = type(error)
    builtin = kind.__module__ in ("builtins", "__main__")
    # Ours are told by their bare name: it is what the documentation calls them.
    name = (
        kind.__qualname__ if builtin or kind.__module__ == "batchq.errors" else f"{kind.__module__}.{kind.__qualname__}"
    )
    text = storable(_text(error))[:ERROR_CHARS]
    frame = "" if isinstance(error, ItemTimeout) else _last_own_frame(error.__traceback__)
    trace = _traceback(error) if with_traceback else ""
    return Failure(name, text, trace, _fingerprint(name, frame, text), frame)


def plain_failure(name: str, error: str, alike: str) -> Failure:
    """A failure without an exception; those with the same `alike` are grouped."""
    return Failure(name, storable(error)[:ERROR_CHARS], "", _fingerprint(name, "", alike), "")


def storable(text: str) -> str:
    """`text` without what a database column or a terminal cannot hold: half surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        return repr(error) if not text.strip() or isinstance(error, KeyError) else text
    except Exception as second:  # an exception whose __str__ raises is still told
        return f"<{type(error).__name__}, whose text raises {type(second).__name__}>"


def _traceback(error: BaseException) -> str:
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_OWN):
        own = own.tb_next
    try:
        lines = traceback.format_exception(type(error), error, own)
    except Exception as second:  # likewise
        lines = [
            *traceback.format_tb(own),
            f"{type(error).__name__}: its text raises {type(second).__name__}\n",
        ]
    text = storable("".join(lines))
    return text if len(text) <= TRACEBACK_CHARS else "…" + text[-TRACEBACK_CHARS:]


def _last_own_frame(trace: TracebackType | None) -> str:
    own = ""
    last = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        last = f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}"
        if not code.co_filename.startswith(_LIBRARIES) and not code.co_filename.startswith("<frozen"):
            own = last
        trace = trace.tb_next
    return own or last


def _fingerprint(name: str, frame: str, text: str) -> str:
    return f"{name}|{frame}|{_VARYING.sub('#', text[:300])[:200]}"
