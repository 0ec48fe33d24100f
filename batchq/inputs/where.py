"""``--where``: a condition on a record, in a small part of Python's grammar that is evaluated here and never run.

price > 10 and lang in ("en", "de") and not user.blocked
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from batchq.errors import UsageError
from batchq.inputs.fields import ABSENT, look_up

LONGEST: Final = 10_000
"""Characters of an expression."""
RECORD: Final = "_"
"""The name of the record itself, for ``_["two words"]`` and for records that are no objects."""
WORDS: Final[Mapping[str, Any]] = MappingProxyType({"null": None, "true": True, "false": False})
HINT: Final = (
    "Comparisons, and, or, not, in, texts, numbers, true, false, null and fields can be used: "
    "price > 10 and lang in ('en', 'de') and not user.blocked"
)

Value = Callable[[Any], Any]
"""What a part of the expression amounts to, given the record."""

_ORDERS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = MappingProxyType(
    {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
)


_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_MOST_DIGITS: Final = 300
"""Python refuses to read very long ones."""


class Where:
    """Tells whether a record fulfils an expression.

    A field that a record does not have is null; what cannot be compared is neither smaller nor larger.

    Args:
        expression: see `HINT`.
        cells: fields are cells of a table, all of them texts: one that is compared with a number is read as one.
        name: of the setting, for messages.

    Raises:
        UsageError: it cannot be understood; names the column.

    Attributes:
        fields: the names in it, as dotted paths.

    Example:
        >>> cheap = Where("price < 10 and lang in ('en', 'de')")
        >>> cheap({"price": 5, "lang": "en"}), cheap({"lang": "en"}), sorted(cheap.fields)
        (True, False, ['lang', 'price'])
    """

    def __init__(self, expression: str, cells: bool = False, name: str = "--where") -> None:
        self._expression = expression
        self._name = name
        self._cells = cells
        self.fields: set[str] = set()
        if len(expression) > LONGEST:
            raise UsageError(f"{name}: an expression has {LONGEST:,} characters at most")
        try:
            tree = ast.parse(expression.strip(), mode="eval")
            self._value = self._compile(tree.body)
        except SyntaxError as error:
            column = error.offset or len(expression) + 1
            raise UsageError(f"{name}, column {column}: {error.msg} in {expression!r}", HINT) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise UsageError(f"{name}: {error}", HINT) from error

    def __call__(self, record: Any) -> bool:
        """Whether `record` fulfils it."""
        return bool(self._value(record))

    def _compile(self, node: ast.expr) -> Value:
        path = self._path(node)
        if path is not None:
            return self._field(path)
        if isinstance(node, ast.Name):
            word = WORDS[node.id]
            return lambda record: word
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, type(None))):
            constant = node.value
            return lambda record: constant
        if isinstance(node, (ast.List, ast.Tuple)):
            members = [self._compile(member) for member in node.elts]
            return lambda record: [member(record) for member in members]
        if isinstance(node, ast.BoolOp):
            parts = [self._compile(part) for part in node.values]
            join = all if isinstance(node.op, ast.And) else any
            return lambda record: join(part(record) for part in parts)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        raise self._refused(node)

    def _path(self, node: ast.expr) -> str | None:
        """The dotted path that a node names; None where it is no field. `RECORD` is the empty path."""
        if isinstance(node, ast.Name):
            if node.id in WORDS:
                return None
            return "" if node.id == RECORD else node.id
        if isinstance(node, ast.Attribute):
            inner, name = node.value, node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            inner, name = node.value, str(node.slice.value)
        else:
            return None
        head = self._path(inner)
        if head is None:
            raise self._refused(node)
        return f"{head}.{name}" if head else name

    def _field(self, path: str) -> Value:
        if not path:
            return lambda record: record
        self.fields.add(path)

        def field(record: Any) -> Any:
            found = look_up(record, path)
            return None if found is ABSENT else found

        return field

    def _unary(self, node: ast.UnaryOp) -> Value:
        operand = node.operand
        if isinstance(node.op, ast.Not):
            part = self._compile(operand)
            return lambda record: not part(record)
        if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant) and _is_number(operand.value):
            constant = -operand.value  # type: ignore[operator]
            return lambda record: constant
        raise self._refused(node)

    def _comparison(self, node: ast.Compare) -> Value:
        values = [self._compile(value) for value in (node.left, *node.comparators)]
        tests = [self._test(kind, node) for kind in node.ops]

        def compare(record: Any) -> bool:
            left = values[0](record)
            for test, value in zip(tests, values[1:], strict=True):
                right = value(record)
                if not test(left, right):
                    return False
                left = right
            return True

        return compare

    def _test(self, kind: ast.cmpop, node: ast.Compare) -> Callable[[Any, Any], bool]:
        order = _ORDERS.get(type(kind))
        if order is not None:
            return lambda left, right: _ordered(order, *self._alike(left, right))
        if isinstance(kind, (ast.Eq, ast.NotEq)):
            wanted = isinstance(kind, ast.Eq)
            return lambda left, right: _equal(*self._alike(left, right)) is wanted
        if isinstance(kind, (ast.In, ast.NotIn)):
            expected = isinstance(kind, ast.In)
            return lambda left, right: self._within(left, right) is expected
        raise self._refused(node)

    def _within(self, left: Any, right: Any) -> bool:
        if isinstance(right, str):
            return isinstance(left, str) and left in right
        if isinstance(right, dict):
            return isinstance(left, str) and left in right
        return isinstance(right, list) and any(_equal(*self._alike(left, member)) for member in right)

    def _alike(self, left: Any, right: Any) -> tuple[Any, Any]:
        if self._cells:
            if isinstance(left, str) and _is_number(right):
                return _number(left), right
            if isinstance(right, str) and _is_number(left):
                return left, _number(right)
        return left, right

    def _refused(self, node: ast.expr) -> UsageError:
        part = ast.get_source_segment(self._expression.strip(), node) or self._expression
        return UsageError(
            f"{self._name}, column {node.col_offset + 1}: {part!r} is nothing that a condition can hold", HINT
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(text: str) -> Any:
    """The number that a cell shows, digit by digit; other cells stay texts."""
    if _NUMBER.fullmatch(text) is None:
        return text
    digits = text.strip().lstrip("+-")
    return int(text) if digits.isdigit() and len(digits) <= _MOST_DIGITS else float(text)


def _equal(left: Any, right: Any) -> bool:
    # In Python true equals 1, which JSON tells apart.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(order: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    comparable = (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str))
    return comparable and order(left, right)
