"""Jinja templates, in a sandbox; with that, the only ones that import Jinja."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes, pass_context
from jinja2.runtime import Context
from jinja2.utils import missing as not_given

from batchq.errors import MissingField, TemplateFailed, UsageError
from batchq.ready.sandbox import Sandbox, check_size, turns, watch
from batchq.ready.templates import ITEM, Express, Field, Loose, Piece, Variable, fields_of, missing, pieces_of, value_of

_FIELD: Final = "_batchq_field"
_LOOSE: Final = "_batchq_loose"
_VARIABLE: Final = "_batchq_variable"
_ITEM: Final = "_batchq_item"
_VARIABLES: Final = "_batchq_variables"
_WATCHED: Final = "_batchq_watched"


class _NoField(UndefinedError):
    """Something that is not there was used."""

    def __init__(self, within: Any, name: Any, message: str | None = None) -> None:
        super().__init__(message)
        self.within = within
        self.name = name


class _Missing(StrictUndefined):
    """Remembers of what it is missing, for the error."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = not_given, name: Any = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name, functools.partial(_NoField, obj, name))  # type: ignore[arg-type]


class Jinja:
    """A Jinja template, in which fields in single braces work too, outside of what is Jinja's and of raw blocks.

    Args:
        text: the template.
        option: where it was given.
        express: how each value stands in it.
        variables: what ``${KEY}`` has to be called, as for `Template.of`.

    Raises:
        UsageError: its syntax is wrong.

    Example:
        >>> from batchq.ready.templates import text_of
        >>> item = {"text": "a", "author": {"name": "b"}}
        >>> Jinja("{{ text | upper }} by {author.name}", "--body", text_of).render(item)
        'A by b'
    """

    def __init__(self, text: str, option: str, express: Express, variables: str = "") -> None:
        self.pieces: tuple[Piece, ...] = ()
        self._option = option
        sandbox = Sandbox(
            undefined=_Missing,
            keep_trailing_newline=True,
            finalize=lambda value: value if isinstance(value, Undefined) else express(value),
        )
        sandbox.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": str}  # str tells what is missing
        sandbox.globals[_FIELD] = pass_context(functools.partial(_field, option))
        sandbox.globals[_LOOSE] = pass_context(functools.partial(_loose, option))
        sandbox.globals[_VARIABLE] = _variable
        try:
            tree = sandbox.parse(self._without_single_braces(sandbox, text, variables))
            _watch_loops(tree)
            made = sandbox.compile(tree)
        except TemplateSyntaxError as error:
            raise UsageError(
                f"{option}, line {error.lineno}: {error.message}", "{{ or {% make it a Jinja template."
            ) from None
        self._template = sandbox.template_class.from_code(sandbox, made, sandbox.make_globals(None))

    def render(self, item: Any, variables: Mapping[str, str] | None = None) -> str:
        """The text for `item`; raises `MissingField` or `TemplateFailed`."""
        try:
            own = {ITEM: item, _ITEM: item, _VARIABLES: variables or {}, _WATCHED: watch()}
            names = {"range": turns(), **fields_of(item), **own}
            parts: list[str] = []
            size = 0
            for part in self._template.generate(names):
                size += len(part)
                check_size(size)
                parts.append(part)
            return "".join(parts)
        except _NoField as error:
            if error.within is not_given:
                raise missing(item, str(error.name), self._option) from None
            if isinstance(error.within, dict):
                raise missing(error.within, str(error.name), self._option) from None
            raise TemplateFailed(self._option, str(error)) from None
        except MissingField as error:
            raise error.with_traceback(None) from None  # Jinja's own code says nothing
        except TemplateError as error:
            raise TemplateFailed(self._option, str(error)) from None
        except Exception as error:  # whatever its expressions raise: a sum of a text and a number
            raise TemplateFailed(self._option, f"{type(error).__name__}: {error}") from None

    def _without_single_braces(self, sandbox: Sandbox, text: str, variables: str) -> str:
        """`text` with the fields in single braces as Jinja's own expressions."""
        parts: list[str] = []
        is_raw = False
        for _, kind, value in sandbox.lex(text):
            if kind in ("raw_begin", "raw_end"):
                is_raw = kind == "raw_begin"
            if kind != "data" or is_raw:
                parts.append(value)
                continue
            pieces = pieces_of(value, variables, loose=True)
            self.pieces += pieces
            parts += [_expression(piece) for piece in pieces]
        return "".join(parts)


def _watch_loops(tree: nodes.Template) -> None:
    """Let all loops go through what is watched: ``{% for %}``, and ``loop(…)``, which begins one again within it."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _watched(loop.iter)  # type: ignore[arg-type]  # Jinja says no more of it than Node
    for call in list(tree.find_all(nodes.Call)):
        if isinstance(call.node, nodes.Name) and call.node.name == "loop":
            call.args = [_watched(argument) for argument in call.args]


def _watched(values: nodes.Expr) -> nodes.Expr:
    name = nodes.Name(_WATCHED, "load", lineno=values.lineno, environment=values.environment)
    return nodes.Call(name, [values], [], None, None, lineno=values.lineno, environment=values.environment)


def _field(option: str, context: Context, name: str) -> Any:
    return value_of(context.parent[_ITEM], name, option)


@pass_context
def _variable(context: Context, name: str) -> str:
    value: str = context.parent[_VARIABLES][name]
    return value


def _loose(option: str, context: Context, name: str) -> Any:
    return _field(option, context, name) if name in fields_of(context.parent[_ITEM]) else Loose(name).text


def _expression(piece: Piece) -> str:
    if isinstance(piece, Loose):
        return f"{{{{ {_LOOSE}({json.dumps(piece.name)}) }}}}"
    if isinstance(piece, Field):
        return f'{{{{ {_FIELD}("{piece.name}") }}}}'
    return f'{{{{ {_VARIABLE}("{piece.name}") }}}}' if isinstance(piece, Variable) else piece
