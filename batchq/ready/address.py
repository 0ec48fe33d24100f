"""What ``--http`` says: a method, and an address with fields in its path and its query."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from batchq.errors import TemplateFailed, UsageError
from batchq.ready.templates import ANY_NAME, Template, text_of
from batchq.ready.variables import Variables

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXAMPLE: Final = "Write it as 'POST https://host/path/{id}'."
OPTION: Final = "--http"

_METHOD: Final = re.compile(r"\s*([A-Za-z]+)\s+(?=\S)")
_HOST: Final = re.compile(r"(https?://[^/?#{}$\s]+)(.*)", re.IGNORECASE | re.DOTALL)
_PLACES: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$?\{[^{}]*\}", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """Where a request goes.

    Attributes:
        host: the scheme and the host, which are the same for each item.
        rest: path and query; every value is quoted, so that it stays one part of them.
        parts: of the path as it is written, with something in each place of a field.

    Example:
        >>> _, address = method_and_address("POST https://example.org/notes/{id}?q={q}")
        >>> address.render({"id": "a/b", "q": "salt & pepper"}, Variables({}))
        'https://example.org/notes/a%2Fb?q=salt%20%26%20pepper'
    """

    host: str
    rest: Template
    parts: tuple[str, ...]

    def render(self, item: Any, variables: Mapping[str, str]) -> str:
        """The address for `item`.

        Args:
            item: any value that JSON can hold.
            variables: the values of those that it wants.

        Raises:
            MissingField: the item has no such field.
            TemplateFailed: a field is empty, or has dots alone, so that the path would be another one.
        """
        if self.rest.jinja is None:  # it quotes them itself
            variables = {name: quote(value, safe="") for name, value in variables.items()}
        rest = self.rest.render(item, variables)
        if rest and rest[0] not in "/?#":
            rest = f"/{rest}"
        path = re.split(r"[?#]", rest, maxsplit=1)[0]
        for index, part in enumerate(path.split("/")):
            if part in (".", ".."):
                raise TemplateFailed(OPTION, f"a part of the path is {part!r}, and the address would be another one")
            if not part and index < len(self.parts) and self.parts[index]:
                raise TemplateFailed(OPTION, "a part of the path is empty, and the address would be another one")
        return self.host + rest

    def shown(self, item: Any, variables: Variables) -> str:
        """The same with the names of the variables in the place of their values."""
        marks = {name: f"\ue000{index}\ue000" for index, name in enumerate(variables)}
        text = self.render(item, marks)
        for name, mark in marks.items():
            text = text.replace(quote(mark, safe=""), f"${{{name}}}")
        return text


def method_and_address(text: str) -> tuple[str, Address]:
    """What ``--http`` says.

    Raises:
        UsageError: there is no such method, it is no http or https address, or its host is not the same for each item.

    Example:
        >>> method, address = method_and_address("https://example.org/notes")
        >>> method, address.host
        ('GET', 'https://example.org')
    """
    named = _METHOD.match(text)
    method = named[1].upper() if named else "GET"
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, 1)
        raise UsageError(f"{OPTION}: there is no method {method}", f"Did you mean {near[0]}?" if near else EXAMPLE)
    url = text[named.end() if named else 0 :].strip()
    found = _HOST.fullmatch(url)
    if found is None or found[2][:1] not in ("", "/", "?", "#"):
        if re.match(r"https?://[^/?#]*[{$]", url, re.IGNORECASE):
            reason = "fields may stand in its path and its query, not in its host"
            raise UsageError(f"{OPTION}: {reason}", "Each host would get what is meant for the others: one batch each.")
        raise UsageError(f"{OPTION}: it names no http or https address", EXAMPLE)
    host, rest = found[1], found[2]
    if "@" in host:
        hint = "Send --header 'Authorization: Basic ${BASIC}' with a variable of the environment instead."
        raise UsageError(f"{OPTION}: a user and a password in the address would be stored", hint)
    try:
        parts = urlsplit(host)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if not usable:
        raise UsageError(f"{OPTION}: {host} names no host", EXAMPLE)
    skeleton = tuple(re.split(r"[?#]", _PLACES.sub("x", rest), maxsplit=1)[0].split("/"))
    if "." in skeleton or ".." in skeleton:
        raise UsageError(f"{OPTION}: a path with . or .. in it", "Write the path that is meant.")
    return method, Address(host, Template.of(rest, OPTION, _in_address, variables=ANY_NAME), skeleton)


def _in_address(value: Any) -> str:
    if value is None:
        raise ValueError("is null")
    try:
        return quote(text_of(value), safe="")
    except UnicodeEncodeError:
        raise ValueError("has half a character") from None
