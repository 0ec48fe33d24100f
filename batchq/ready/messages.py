"""What is sent to a server, and what comes back; without the library that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchq.errors import BadAnswer


@dataclass(frozen=True)
class Request:
    """What is sent.

    Attributes:
        method: in capitals.
        url: of http or https; what has a meaning in an address is quoted in its parts.
        headers: by name.
        body: None for none.
        secret: names of headers, in small letters, that no other host may get when the answer is a redirect.
        secret_body: its body has a secret, and no other host may get that either.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    secret: frozenset[str] = frozenset()
    secret_body: bool = False


@dataclass(frozen=True)
class Answer:
    """What came back with a status below 400.

    Attributes:
        status: of the answer.
        headers: of the answer, by their names in any case.
        text: its body, without the values of secret variables; see `Variables.clean_answer`.

    Example:
        >>> Answer(200, {"content-type": "application/json; charset=utf-8"}, '{"title": "Tea"}').value()
        {'title': 'Tea'}
    """

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return says_json(self.headers.get("content-type", ""))

    def json(self) -> Any:
        """The value of the body; raises `BadAnswer` where that is no JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply, or a huge number"
            start = " ".join(self.text[:100].split())
            raise BadAnswer(f"HTTP {self.status}: the answer is no JSON: {reason}: {start}") from None

    def value(self) -> Any:
        """What the body says: the value of JSON, a text, None where it is empty; raises `BadAnswer`."""
        if not self.text.strip():
            return None
        return self.json() if self.is_json else self.text


def says_json(content_type: str) -> bool:
    """Whether a media type is one of JSON: application/json, application/problem+json and the like.

    Example:
        >>> says_json("application/json; charset=utf-8"), says_json("text/html")
        (True, False)
    """
    return content_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))
