"""Templates: texts with places for the fields of an item.

    "{text}"                    a field of the item: a text as it is, all else as JSON
    "{author.name}, {tags.0}"   a field inside another one, an element of a list
    "{First Name}"              a field whose name is no word, where the item has it; else it is a text
    "{item}"                    the whole item, which is all there is of one that is no object
    "{{ text | upper }}"        with ``{{`` or ``{%`` somewhere, a Jinja template as well
    "Bearer ${KEY}"             in a header, an address, a body: a variable of the environment, see `ready.variables`

Braces around anything else stay as they are, since JSON is full of them.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from batchq.errors import MissingField, TemplateFailed, UsageError
from batchq.inputs.fields import ABSENT, look_up

ITEM: Final = "item"
"""The name of the whole item."""
FIELDS_SHOWN: Final = 20
"""Fields of an item that an error names."""
COMPARED: Final = 300
"""Fields of an item that a name is compared with, to find one that may be meant: that takes long."""
LONGEST_NAME: Final = 60
"""Characters of one that is compared, and that an error shows of one."""
JINJA_MISSING: Final = "Install it with: pip install 'batchq[http]' or 'batchq[llm]'."

_JINJA: Final = re.compile(r"\{\{|\{%")
_FIELD: Final = re.compile(r"\{(?P<field>[^\W\d][\w-]*(?:\.[\w-]+)*)\}")
_LOOSE: Final = re.compile(r"\{(?P<loose>[^\s{}\"](?:[^{}\"\n]*[^\s{}\"])?)\}")

ANY_NAME: Final = r"[A-Za-z_]\w*"
IN_CAPITALS: Final = r"[A-Z_][A-Z0-9_]*"
"""How variables are called, in texts in which ``${price}`` may be a dollar before a field."""

Express = Callable[[Any], str]
"""How a value stands in a text."""


class Field(NamedTuple):
    """The place of a field.

    Attributes:
        name: of the field; several with dots between them for one inside another.
    """

    name: str


class Loose(NamedTuple):
    """The place of a field of the item, where that has one of this name; else a text in braces.

    Attributes:
        name: of the field: ``First Name``.
    """

    name: str

    @property
    def text(self) -> str:
        """What stands there where it is no field."""
        return f"{{{self.name}}}"


class Variable(NamedTuple):
    """The place of a variable of the environment.

    Attributes:
        name: of the variable.
    """

    name: str


Piece: TypeAlias = str | Field | Loose | Variable


class Compiled(Protocol):
    """A template in a language of its own.

    Attributes:
        pieces: what it consists of, outside of what is in that language.
    """

    pieces: tuple[Piece, ...]

    def render(self, item: Any, variables: Mapping[str, str]) -> str:
        """The text for `item`."""


def text_of(value: Any) -> str:
    """A text as it is, everything else as JSON.

    Example:
        >>> text_of("tea"), text_of(True), text_of({"a": [1, None]})
        ('tea', 'true', '{"a": [1, null]}')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Template:
    """A text that is filled with the fields of an item.

    Attributes:
        text: as the user wrote it.
        option: where, for errors.
        pieces: what it consists of, where it is no Jinja template.
        variables: names of the variables of the environment that it wants.
        jinja: what Jinja has made of it, where it is a Jinja template.
        express: how each value stands in it.

    Example:
        >>> item = {"text": "Tea", "author": {"name": "Ann"}, "tags": ["hot", "dry"]}
        >>> Template.of("{text} by {author.name}: {tags}", "--body").render(item)
        'Tea by Ann: ["hot", "dry"]'
        >>> Template.of('{"first": "{tags.0}"}', "--body").render(item)
        '{"first": "hot"}'
    """

    text: str
    option: str
    pieces: tuple[Piece, ...]
    variables: tuple[str, ...] = ()
    jinja: Compiled | None = None
    express: Express = text_of

    @classmethod
    def of(cls, text: str, option: str, express: Express = text_of, variables: str = "") -> Template:
        """Look at a template.

        Args:
            text: the template.
            option: where it was given, for errors: ``--body``.
            express: how each value is to stand in it; raises ValueError, "is null", for one that cannot.
            variables: pattern of the names with which ``${KEY}`` is a variable of the environment; any other is a
                dollar before a field.

        Raises:
            UsageError: its syntax is wrong, or it is a Jinja template and Jinja is not installed.
        """
        if _JINJA.search(text) is None:
            pieces = pieces_of(text, variables, loose=True)
            return cls(text, option, pieces, _names(pieces), express=express)
        if importlib.util.find_spec("jinja2") is None:
            raise UsageError(f"{option}: {{{{ and {{% are Jinja's, which is not installed", JINJA_MISSING)
        from batchq.ready.jinja import Jinja

        jinja = Jinja(text, option, express, variables)
        return cls(text, option, (), _names(jinja.pieces), jinja, express)

    def render(self, item: Any, variables: Mapping[str, str] | None = None) -> str:
        """The text for `item`.

        Args:
            item: any value that JSON can hold.
            variables: the values of those that it wants.

        Raises:
            MissingField: the item has no such field.
            TemplateFailed: Jinja cannot fill it with this item.
        """
        known = variables or {}
        if self.jinja is not None:
            return self.jinja.render(item, known)
        return "".join([self._filled(piece, item, known) for piece in self.pieces])

    def left_in(self, item: Any) -> list[str]:
        """What stays in the text as it is, braces and all, since `item` has no field of that name."""
        pieces = self.pieces if self.jinja is None else self.jinja.pieces
        return [piece.text for piece in pieces if isinstance(piece, Loose) and piece.name not in fields_of(item)]

    def _filled(self, piece: Piece, item: Any, variables: Mapping[str, str]) -> str:
        if isinstance(piece, Field):
            value = value_of(item, piece.name, self.option)
            try:
                return self.express(value)
            except ValueError as error:
                raise TemplateFailed(self.option, f"the field {piece.name!r} {error}") from None
        if isinstance(piece, Loose):
            return self._filled(Field(piece.name), item, variables) if piece.name in fields_of(item) else piece.text
        return variables[piece.name] if isinstance(piece, Variable) else piece


def fields_of(item: Any) -> Mapping[str, Any]:
    """The fields of an item; none where it is no object."""
    return item if isinstance(item, dict) else {}


def pieces_of(text: str, variables: str = "", loose: bool = False) -> tuple[Piece, ...]:
    """What a text consists of: texts, fields, and where there are such, variables.

    Args:
        text: the template.
        variables: as for `Template.of`.
        loose: a field may be called as no word is.

    Example:
        >>> pieces_of('{"n": {n}}')
        ('{"n": ', Field(name='n'), '}')
    """
    pieces: list[Piece] = []
    end = 0
    variable = rf"\$\{{(?P<variable>{variables})\}}|" if variables else ""
    for found in re.finditer(variable + _FIELD.pattern + (f"|{_LOOSE.pattern}" if loose else ""), text):
        named = found.groupdict()
        pieces.append(text[end : found.start()])
        if named["field"]:
            pieces.append(Field(named["field"]))
        else:
            pieces.append(Loose(named["loose"]) if named.get("loose") else Variable(named["variable"]))
        end = found.end()
    return tuple(piece for piece in [*pieces, text[end:]] if piece)


def _names(pieces: tuple[Piece, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(piece.name for piece in pieces if isinstance(piece, Variable)))


def value_of(item: Any, name: str, option: str) -> Any:
    """The field of `item` that a template names.

    Args:
        item: the item.
        name: of the field; ``item``, alone or before other names, is the whole item.
        option: where the template was given.

    Raises:
        MissingField: there is no such field.

    Example:
        >>> value_of({"tags": ["hot"]}, "tags.0", "--body"), value_of("tea", "item", "--body")
        ('hot', 'tea')
    """
    if name == ITEM:
        return item
    path = name.removeprefix(f"{ITEM}.")
    found = look_up(item, path) if isinstance(item, dict) or path != name else ABSENT
    if found is ABSENT and path != name:
        found = look_up(item, name)  # a field that is called item
    if found is ABSENT:
        raise missing(item, path, option)
    return found


def missing(item: Any, path: str, option: str) -> MissingField:
    """The error that tells of a field that `item` does not have, and of those that it has.

    Example:
        >>> str(missing({"author": {"name": "Ann"}}, "author.nmae", "--body"))
        "--body: item has no field 'author.nmae'; author has name. Did you mean author.name?"
    """
    within, before = item, ""
    rest = path
    while "." in rest:
        head, _, after = rest.partition(".")
        inner = look_up(within, head)
        if inner is ABSENT:
            break
        within, before, rest = inner, f"{before}{head}.", after
    if not isinstance(within, dict):
        if before:
            return MissingField(option, path, f"{before[:-1]} is {_kind(within)}")
        return MissingField(option, path, f"the item is {_kind(within)}, of which there is {{item}} only")
    fields = [str(field) for field in within]
    more = f" and {len(fields) - FIELDS_SHOWN} more" if len(fields) > FIELDS_SHOWN else ""
    compared = [field for field in fields[:COMPARED] if len(field) <= LONGEST_NAME]
    near = difflib.get_close_matches(rest[:LONGEST_NAME], compared, 1)
    names = (name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…" for name in fields[:FIELDS_SHOWN])
    has = f"{before[:-1] or 'it'} has {', '.join(names) or 'none'}{more}"
    return MissingField(option, path, has, before + near[0] if near else "")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "a text" if isinstance(value, str) else "a number"
