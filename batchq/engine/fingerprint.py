"""What failures that look alike have in common: their message without what varies from one item to the next."""

from __future__ import annotations

import functools
import re
from typing import Final

LOOKED_AT: Final = 600
"""Characters of a message that are looked at: an error may carry a whole document."""
KEPT: Final = 200
"""Characters that tell two kinds apart, once what varies is gone."""
NAMES_OF_CODE: Final = frozenset(
    {"AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "TypeError", "UnboundLocalError"}
)
"""Errors whose quoted names are the program's, not the item's: two of them are two faults."""

_QUOTED: Final = (
    r"(?<!\w)(?:'(?:[^'\n\\]|\\.)*(?:'(?!\w)|\Z)"  # an apostrophe within a word opens nothing
    r'|"(?:[^"\n\\]|\\.)*(?:"|\Z)|`[^`\n]*`)'
    r"|“[^”\n]*”|„[^“”\n]*[“”]|‘[^’\n]*’|«[^»\n]*»|‹[^›\n]*›|「[^」\n]*」|『[^』\n]*』"  # noqa: RUF001
)
_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_VARYING: Final = (
    # Of an address all but the host.
    r"(?P<host>\b[a-z][a-z0-9+.-]{1,15}://[^\s/?#'\"<>@:]+(?::\d+)?(?=[/?#]))[^\s'\"<>]*(?<![:,.;)\]])"
    r"|(?P<code>\b(?i:HTTP|status|status[ _]code|code|errno|error|exit)(?:/\d(?:\.\d)?)?[ :=]{1,3}\d{1,3}\b)"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+"  # mail
    r"|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])"  # IPv6, times of day
    r"|(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?\b(?:\d{1,2} )?" + _MONTH + r"(?: \d{1,2})?,? \d{1,4}\b"
    r"|(?<![\w/])(?:[A-Za-z]:\\|\\\\|\.{0,2}/|~/)(?:[\w.@%+=~-]+[/\\])+[\w.@%+=~-]*"  # paths
    r"|\b[0-9a-fA-F]{16,}\b"
    r"|(?<![A-Za-z0-9_])[A-Za-z0-9_]*\d[A-Za-z0-9_]*"  # numbers, and ids such as idea-017 or req_5c2
)
_REPEATED: Final = r"#(?:[\s,;:.|/+-]*(?:and |or )?#)+"
"""A list of things that vary varies in its length too."""


@functools.cache
def patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What varies in a message, what varies in one of the program's own, and lists of these; compiled when needed."""
    return re.compile(f"{_VARYING}|{_QUOTED}"), re.compile(_VARYING), re.compile(_REPEATED)


def fingerprint(error_type: str, frame: str, text: str) -> str:
    """What is the same in all failures of a kind: type, place, and the message without its numbers, ids and names.

    The host of an address and a status (``HTTP 503``, ``exit code 137``) stay: they tell kinds apart.

    Args:
        error_type: as it is shown.
        frame: where it was raised; empty where that is not known.
        text: the message.

    Example:
        >>> fingerprint("ValueError", "a.py:3", "user 'Ann' (id 17) of https://api.example.org/v1/ann: HTTP 404")
        'ValueError|a.py:3|user # (id #) of https://api.example.org#: HTTP 404'
    """
    items, codes, repeated = patterns()
    varying = codes if error_type in NAMES_OF_CODE else items
    alike = repeated.sub("#", varying.sub(_hidden, text[:LOOKED_AT]))
    return f"{error_type}|{frame}|{alike[:KEPT]}"


def _hidden(found: re.Match[str]) -> str:
    if found["code"]:
        return found["code"]
    return (found["host"] or "") + "#"
