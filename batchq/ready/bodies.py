"""The body of a request: the item as JSON, or a template.

In a template that is JSON, a field between quotes is written as a part of that text, and one outside of them as a
value: whatever the item has in it, what is sent is JSON.

    {"prompt": "Title for: {text}", "n": {n}, "tags": {tags}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus

from batchq.errors import UsageError
from batchq.ready.messages import says_json
from batchq.ready.secrecy import refuse_secrets, refuse_secrets_within
from batchq.ready.templates import IN_CAPITALS, Loose, Piece, Template, Variable, fields_of, text_of, value_of

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
TEXT: Final = "text/plain; charset=utf-8"
PLACE: Final = "{}"
"""Stands for what is filled in."""

_PAIR: Final = re.compile(r'"([^"\\\n]{1,100})"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
"""A field of what becomes JSON when Jinja has filled it."""


@dataclass(frozen=True)
class Body:
    """What is sent of an item.

    Attributes:
        template: None for the whole item as JSON.
        quoted: of a template that is JSON, for each of its pieces whether it stands between quotes; else None.
        is_form: it is what a form sends, ``name=value&…``.

    Example:
        >>> body = Body.of('{"text": "About {text}", "n": {n}}', "--body", "")
        >>> body.render({"text": 'a "b"', "n": [1]})
        (b'{"text": "About a \\\\"b\\\\"", "n": [1]}', 'application/json')
    """

    template: Template | None = None
    quoted: tuple[bool, ...] | None = None
    is_form: bool = False

    @classmethod
    def of(cls, text: str, option: str, content_type: str) -> Body:
        """Look at a template.

        Args:
            text: the template.
            option: where it was given.
            content_type: what the headers say that it is; empty where they say nothing.

        Raises:
            UsageError: its syntax is wrong, or it is no JSON although the headers say so.
        """
        is_form = content_type.partition(";")[0].strip().lower() == FORM
        template = Template.of(text, option, _in_form if is_form else text_of, IN_CAPITALS)
        pieces = template.pieces
        if is_form or not (pieces and isinstance(pieces[0], str) and pieces[0].lstrip()[:1] in ("{", "[", '"')):
            return cls(template, is_form=is_form)
        quoted = _quoted(pieces)
        sample = "".join(_example(piece, within) for piece, within in zip(pieces, quoted, strict=True))
        try:
            json.loads(sample)
        except ValueError as error:
            if says_json(content_type):
                reason = f"it is no JSON, although its Content-Type says so: {error}"
                raise UsageError(f"{option}: {reason}", "Fields may stand as values, or between quotes.") from None
            return cls(template)
        return cls(template, quoted)

    @property
    def has_secrets(self) -> bool:
        """Whether variables of the environment are in it."""
        return self.template is not None and bool(self.template.variables)

    def refuse_secrets(self) -> None:
        """Raise `UsageError` where a secret itself is written in it, instead of the name of a variable."""
        template = self.template
        if template is None:
            return
        if self.is_form:
            refuse_secrets(template.option, f"?{template.text}")
        else:
            refuse_secrets_within(template.option, self._fields(template))

    def _fields(self, template: Template) -> Iterator[tuple[str, str]]:
        """Names and values of what is JSON in it, with `PLACE` in the places of others."""
        if self.quoted is None:
            yield from _PAIR.findall(template.text)
            return
        found: list[tuple[str, Any]] = []
        marked = zip(template.pieces, self.quoted, strict=True)
        json.loads("".join(_marked(piece, within) for piece, within in marked), object_pairs_hook=found.extend)
        for name, value in found:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, (str, int, float)) and not isinstance(each, bool):
                    yield name, str(each)

    def render(self, item: Any, variables: Mapping[str, str] | None = None) -> tuple[bytes, str]:
        """The body for `item`, and what it is where the headers do not say that; raises as `Template.render`."""
        if self.template is None:
            return _encoded(json.dumps(item, ensure_ascii=False)), JSON
        if self.quoted is not None:
            pairs = zip(self.template.pieces, self.quoted, strict=True)
            made = "".join([self._in_json(piece, within, item, variables or {}) for piece, within in pairs])
            return _encoded(made), JSON
        if self.template.jinja is None:  # it would express them itself
            variables = {name: self.template.express(value) for name, value in (variables or {}).items()}
        made = self.template.render(item, variables)
        return _encoded(made), JSON if self.template.jinja is not None and _is_json(made) else TEXT

    def _in_json(self, piece: Piece, within: bool, item: Any, variables: Mapping[str, str]) -> str:
        if isinstance(piece, str) or self.template is None:
            return str(piece)
        if isinstance(piece, Loose) and within and piece.name not in fields_of(item):
            return piece.text
        is_field = not isinstance(piece, Variable)
        value = value_of(item, piece.name, self.template.option) if is_field else variables[piece.name]
        if not within:
            return json.dumps(value, ensure_ascii=False)
        return json.dumps(text_of(value), ensure_ascii=False)[1:-1]


def _quoted(pieces: Sequence[Piece]) -> tuple[bool, ...]:
    """Of each piece, whether it begins within quotes."""
    found = []
    within = escaped = False
    for piece in pieces:
        found.append(within)
        for letter in piece if isinstance(piece, str) else "":
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = within
            elif letter == '"':
                within = not within
    return tuple(found)


def _example(piece: Piece, within: bool) -> str:
    return piece if isinstance(piece, str) else "x" if within else "0"


def _marked(piece: Piece, within: bool) -> str:
    return piece if isinstance(piece, str) else PLACE if within else f'"{PLACE}"'


def _in_form(value: Any) -> str:
    return quote_plus("" if value is None else text_of(value), errors="backslashreplace")


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _encoded(text: str) -> bytes:
    # Half a character can stand in JSON as its number, and in nothing else.
    return text.encode("utf-8", "backslashreplace")
