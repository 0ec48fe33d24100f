"""Fields of an item that logs and reports may not show: found by name or path, hidden, and taken out of texts.

Pure functions of JSON texts and values; imports ``errors`` only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

from batchq.errors import ConfigError

REDACTED: Final = "[redacted]"
SHORT: Final = 4
"""A value of fewer characters is replaced as a word only: within other words it would be found by chance."""
LONGEST_IN_ADDRESS: Final = 10_000
"""No server takes a longer one."""
_MARK: Final = "\ue000\ue001\ue000"
"""Stands for what is replaced until all is: a value may be a part of `REDACTED`."""


class Values(NamedTuple):
    """What is to be taken out of texts.

    Attributes:
        whole: wherever it stands.
        words: where it stands alone.
    """

    whole: tuple[str, ...]
    words: tuple[str, ...]


class Redaction:
    """Which fields are not to be shown.

    A name finds the field at any depth; a path with dots from the top, lists on the way passed through: the path
    ``messages.content`` finds it in each element of the list ``messages``.

    Args:
        fields: names and paths.

    Example:
        >>> Redaction(["key", "user.mail"]).hide_json('{"key": 1, "user": {"mail": "a@b.org", "name": "Ann"}}')
        '{"key": "[redacted]", "user": {"mail": "[redacted]", "name": "Ann"}}'
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = frozenset(fields)

    def __bool__(self) -> bool:
        return bool(self.fields)

    def found_in(self, value: Any) -> set[str]:
        """Those of the fields that `value` has."""
        return {field for _, _, field in self._places(value)}

    def hide(self, value: Any) -> Any:
        """`value`, made of JSON and changed in place, without the values of these fields."""
        for within, key, _ in list(self._places(value)):
            within[key] = REDACTED
        return value

    def hide_json(self, payload: str) -> str:
        """A payload, JSON text, without the values of these fields; itself where it has none of them."""
        if not self:
            return payload
        value = _parsed(payload)
        places = list(self._places(value))
        if not places:
            return payload
        for within, key, _ in places:
            within[key] = REDACTED
        try:
            return json.dumps(value, ensure_ascii=False)
        except RecursionError:  # nested so deeply that it can be read and not written
            return json.dumps(REDACTED)

    def cleaner(self, *payloads: str) -> Callable[[str], str]:
        """What takes the values that these fields have in payloads out of any text; see `values`.

        Example:
            >>> clean = Redaction(["key"]).cleaner('{"key": "s3cret", "n": 5}')
            >>> clean("5: no such key: s3cret")
            '5: no such key: [redacted]'
        """
        values = self.values(*payloads)
        return lambda text: without(text, [values])

    def values(self, *payloads: str) -> Values:
        """The values that these fields have in payloads, as they may stand in a text.

        That is as they are, as Python and JSON quote them, and as they stand in an address. What a function has made of
        a value otherwise is not among them, nor a part of it; true, false and null say too little to be looked for.
        """
        places = chain.from_iterable(self._places(_parsed(payload)) for payload in payloads)
        return _values(leaf for within, key, _ in places for leaf in _leaves(within[key]))

    def _places(self, value: Any) -> Iterator[tuple[dict[str, Any], str, str]]:
        """Each dict in `value` with a key of these fields, and which field that is."""
        fields = self.fields
        left = [("", value)]  # a stack: JSON may be nested more deeply than Python's calls
        while left:
            path, here = left.pop()
            if isinstance(here, list):
                left.extend((path, member) for member in here if isinstance(member, (dict, list)))
            elif isinstance(here, dict):
                for key, member in here.items():
                    place = f"{path}.{key}" if path else key
                    if key in fields or place in fields:
                        yield here, key, key if key in fields else place
                    elif isinstance(member, (dict, list)):
                        left.append((place, member))


def fields_of(texts: Sequence[str], name: str = "--redact") -> tuple[str, ...]:
    """The fields that are named, several in a text with commas between them.

    Args:
        texts: what was said.
        name: of the setting, for messages.

    Raises:
        ConfigError: one of them has no name.

    Example:
        >>> fields_of(["key, user.mail", "token"])
        ('key', 'user.mail', 'token')
    """
    fields = [field.strip() for text in texts for field in text.split(",")]
    if not all(fields):
        raise ConfigError(name, ",".join(texts), "names of fields with commas between them")
    return tuple(dict.fromkeys(fields))


def texts_as_values(texts: Iterable[str]) -> Values:
    """Texts, say keys of an API, as they may stand in other texts.

    Example:
        >>> without("key=a%2Fb%3D%3D", [texts_as_values(["a/b=="])])
        'key=[redacted]'
    """
    return _values(texts)


def without(text: str, values: Iterable[Values]) -> str:
    """`text` without these values.

    Example:
        >>> without("ann and anna", [Values(("anna",), ("ann",))])
        '[redacted] and [redacted]'
    """
    hits: list[tuple[str, bool]] = []
    for whole, words in values:
        hits += [(form, False) for form in whole if form in text]
        hits += [(form, True) for form in words if form in text]
    # The longest first: one may be a part of another, also of another item's.
    for form, is_word in sorted(hits, key=lambda hit: len(hit[0]), reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _MARK, text) if is_word else text.replace(form, _MARK)
    return text.replace(_MARK, REDACTED) if hits else text


def _values(leaves: Iterable[str | int | float]) -> Values:
    whole: set[str] = set()
    words: set[str] = set()
    for leaf in leaves:
        for form in _forms(leaf):
            (words if len(form) < SHORT or not isinstance(leaf, str) else whole).add(form)
    return Values(tuple(whole), tuple(words))


def _parsed(payload: str) -> Any:
    try:
        return json.loads(payload, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    """A number; as its text where it is too large for one, which JSON could not write."""
    number = float(text)
    return number if abs(number) != float("inf") else text


def _leaves(value: Any) -> Iterator[str | int | float]:
    left = [value]
    while left:
        here = left.pop()
        if isinstance(here, dict):
            left.extend(here.values())
        elif isinstance(here, list):
            left.extend(here)
        elif isinstance(here, (str, int, float)) and not isinstance(here, bool):
            yield here


def _forms(leaf: str | float) -> Iterator[str]:
    """How a value may stand in a text."""
    if not isinstance(leaf, str):
        yield str(leaf)
        return
    yield from _quoted(leaf)
    if (bare := leaf.strip()) != leaf:
        yield from _quoted(bare)
    # A traceback indents the lines of a text, in a group of exceptions: each is looked for by itself too.
    lines = leaf.splitlines()
    yield from (line.strip() for line in lines if len(lines) > 1 and len(line.strip()) >= SHORT)


def _quoted(text: str) -> Iterator[str]:
    """A text as it is, and as it is quoted."""
    if not text:
        return
    yield text
    yield repr(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    if len(text) <= LONGEST_IN_ADDRESS:
        yield quote(text, errors="backslashreplace")
        yield quote(text, safe="", errors="backslashreplace")
        yield quote_plus(text, errors="backslashreplace")
