"""A command as the user wrote it, and the arguments that it has for an item.

Without a shell the text is taken apart once, before any item: whatever a field holds, it stays within its argument.
With one, the values are no part of the text that the shell reads; they are handed to it beside, as ``$1``, ``$2`` …

    convert {path} {id}.png   ──▶  "convert", "a b.jpg", "7.png"
    ls {path} | wc -l         ──▶  /bin/sh -c 'ls "${1}" | wc -l' batchq "a b.jpg"
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

from batchq.errors import TemplateFailed, UsageError
from batchq.ready.templates import ANY_NAME, Field, Piece, pieces_of, text_of, value_of

OPTION: Final = "--exec"
SHELL: Final = "/bin/sh"
SHELL_NAME: Final = "batchq"
"""``$0`` there, with which the shell begins its own messages."""
_SPECIAL: Final = re.compile(
    r"\\.|\$?\(\(|\$\(|\$\[|\[\[(?=\s)|(?<=\s)\]\]|\$\{[\w@*]+(?::(?![-+=?])|\[)|<<|['\"`()#}]", re.DOTALL
)
_CALCULATES: Final = frozenset({"((", "[", "[[", "${"})
"""Where a value would be taken for an expression, which in bash, the ``/bin/sh`` of many systems, can run commands."""
_CLOSED_BY: Final = {"'": "'", '"': '"', "`": "`", "(": ")", "((": ")", "[[": "]]", "${": "}"}
_ESCAPED: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.", re.DOTALL)
_ESCAPED_IN_QUOTES: Final = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED: Final = {"\n": "", "$": "$", "`": "`"}
"""What a shell makes of a backslash before them between double quotes, and `shlex` does not."""

Argument = bytes | tuple[Piece, ...]
"""One that is always the same, or the pieces of one."""


class CommandLine:
    """A command with places for the fields of an item.

    Args:
        text: as the user wrote it.
        shell: it is for the shell.

    Raises:
        UsageError: it has no words, a quote in it has no end, or a field stands where the shell would not have it.

    Example:
        >>> CommandLine("convert {path} {id}.png").arguments({"path": "a b.jpg", "id": 7})
        [b'convert', b'a b.jpg', b'7.png']
        >>> CommandLine("ls {path} | wc -l", shell=True).arguments({"path": "a; b"})
        [b'/bin/sh', b'-c', b'ls "${1}" | wc -l', b'batchq', b'a; b']
    """

    def __init__(self, text: str, shell: bool = False) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{OPTION}: it is not UTF-8") from None
        if "\0" in text or not text.strip():
            raise UsageError(f"{OPTION} needs a command")
        self._arguments: Sequence[Argument] = _of_shell(text) if shell else _of_words(text)

    @property
    def program(self) -> str | None:
        """What is to be run; None where that is a field of the item."""
        first = self._arguments[0]
        return first.decode() if isinstance(first, bytes) else None

    def arguments(self, item: Any) -> list[bytes]:
        """The arguments for an item, the program the first.

        Raises:
            TemplateFailed: the item has no such field, or its value cannot be an argument.
        """
        return [
            each if isinstance(each, bytes) else b"".join([_filled(piece, item) for piece in each])
            for each in self._arguments
        ]


def shown(arguments: Sequence[bytes]) -> str:
    """`arguments` as one would type them.

    Example:
        >>> shown([b"convert", b"a b.jpg"])
        "convert 'a b.jpg'"
    """
    return shlex.join(each.decode(errors="backslashreplace") for each in arguments)


def _filled(piece: Piece, item: Any) -> bytes:
    if not isinstance(piece, Field):
        return _literal(piece).encode()
    value = text_of(value_of(item, piece.name, OPTION))
    if "\0" in value:
        raise TemplateFailed(OPTION, f"field {piece.name!r} has a NUL character, which no argument can hold")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TemplateFailed(OPTION, f"field {piece.name!r} has half of a character") from None


def _literal(piece: Piece) -> str:
    """A text, or what looks like a variable, which is the shell's own business."""
    return piece if isinstance(piece, str) else f"${{{piece.name}}}"


def _argument(pieces: tuple[Piece, ...]) -> Argument:
    if any(isinstance(piece, Field) for piece in pieces):
        return pieces
    return "".join(map(_literal, pieces)).encode()


def _of_words(text: str) -> list[Argument]:
    try:
        words = shlex.split(_ESCAPED.sub(_as_shell, text))
    except ValueError as error:
        raise UsageError(f"{OPTION}: {str(error).lower()} in: {text}", "With --shell the text is a shell's.") from None
    if not words:
        raise UsageError(f"{OPTION} needs a command")
    return [_argument(pieces_of(word, variables=ANY_NAME)) for word in words]


def _as_shell(found: re.Match[str]) -> str:
    text = found[0]
    if text == "\\\n":
        return ""  # the command goes on in the next line
    if text[0] != '"':
        return text
    return _ESCAPED_IN_QUOTES.sub(lambda each: _UNESCAPED.get(each[1], each[0]), text)


def _of_shell(text: str) -> list[Argument]:
    place = _Place()
    script: list[str] = []
    values: list[Argument] = []
    for piece in pieces_of(text, variables=ANY_NAME):
        if not isinstance(piece, Field):
            literal = _literal(piece)
            script.append(literal)
            place.read(literal)
            continue
        if (why := place.refuses) is not None:
            raise UsageError(
                f"{OPTION}: {{{piece.name}}} stands {why}, where the shell would not have its value",
                "Put it outside: batchq quotes each value by itself.",
            )
        values.append((piece,))
        reference = f"${{{len(values)}}}"
        script.append(reference if place.is_quoted else f'"{reference}"')
        place.read("x")
    return [SHELL.encode(), b"-c", "".join(script).encode(), SHELL_NAME.encode(), *values]


class _Place:
    """Where in a shell's text one is, as far as it matters for a value.

    A value can never become a part of the text, wherever it stands.  What is found out here is whether the shell would
    use it as it is.
    """

    def __init__(self) -> None:
        self._within: list[str] = []
        self._comment = self._document = self._escaping = False
        self._before = "\n"

    @property
    def is_quoted(self) -> bool:
        """Whether it is between double quotes."""
        return self._within[-1:] == ['"']

    @property
    def refuses(self) -> str | None:
        """Why no value can stand here; None where one can."""
        if self._within[-1:] == ["'"]:
            return "between single quotes"
        if self._escaping:
            return "after a backslash"
        if not _CALCULATES.isdisjoint(self._within):
            return "in an arithmetic expression ($(( )), or (( )), [[ ]], $[ ], ${V:N} of bash)"
        if self._comment:
            return "in a comment"
        return "in or after a here-document" if self._document else None

    def read(self, text: str) -> None:
        """Go on over a piece of the text."""
        end = 0
        for mark in self._marks(text):
            before = text[end : mark.start()]
            end = mark.end()
            if "\n" in before:
                self._comment = False
            if not self._comment:
                self._pass(mark[0], (before or self._before)[-1])
            self._before = mark[0][-1]
        rest = text[end:]
        self._comment &= "\n" not in rest
        self._escaping = rest.endswith("\\")
        self._before = (rest or self._before)[-1]

    def _marks(self, text: str) -> Iterator[re.Match[str]]:
        position = 0
        while True:
            # Between single quotes nothing means anything but the next one.
            pattern = re.compile("'") if self._within[-1:] == ["'"] else _SPECIAL
            found = pattern.search(text, position)
            if found is None:
                return
            yield found
            position = found.end()

    def _pass(self, mark: str, before: str) -> None:
        within = self._within
        inner = within[-1] if within else ""
        if mark == _CLOSED_BY.get(inner):
            within.pop()
            if inner == "((":
                within.append("(")  # its second one is still to come
        elif inner == '"':
            if mark[0] in "$`":
                within.append(_opened(mark))
        elif mark[0] in "'\"`([$":
            within.append(_opened(mark))
        elif mark == "#":
            self._comment = not before.strip() or before in ";&|("
        elif mark == "<<" and inner != "((":
            self._document = True


def _opened(mark: str) -> str:
    return "${" if mark.startswith("${") else mark.lstrip("$")
