"""Which headers, parts of an address and fields of a body are secrets, as their names say; none may be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_plus

from batchq.errors import UsageError

_TELLING: Final = re.compile(
    r".*(authorization|cookie|(api|access|secret|private|subscription|auth|app)key|token|secret|password|passwd|signature)"
    r"|auth|key|sig|pass|pwd|credentials?"
)
_VAGUE: Final = re.compile(r".*(token|cookie|signature)|auth|key|sig|pass|credentials?")
"""Names that, in a body, are as often those of ordinary things: ``"key": "title"``, ``"stop_token": "END"``."""
_ORDINARY: Final = re.compile(r".{0,5}|.*\s.*|\D*\d{0,4}|[^A-Za-z]*", re.DOTALL)
"""What no machine has made for a secret: words, numbers, ``address2``, ``hmac-sha256``."""
_PLACE: Final = re.compile(r"[{$]")


def says_secret(name: str) -> bool:
    """Whether the name of a header or of a field says that its value is a secret.

    Example:
        >>> [name for name in ("X-Api-Key", "access_token", "max_tokens", "keyword") if says_secret(name)]
        ['X-Api-Key', 'access_token']
    """
    return _TELLING.fullmatch(_letters(name)) is not None


def refuse_secrets(option: str, rest: str) -> None:
    """Raise `UsageError` where the query of an address has a secret itself, instead of the name of a variable.

    Args:
        option: where the address was given.
        rest: of the address, from its path on.
    """
    for part in re.split("[&;]", rest.partition("#")[0].partition("?")[2]):
        name, _, value = part.partition("=")
        if value and _PLACE.search(name + value) is None and says_secret(name := unquote_plus(name)):
            raise _stored(option, name, f"{name}=${{KEY}}")


def refuse_secrets_within(option: str, fields: Iterable[tuple[str, str]]) -> None:
    """Raise `UsageError` where a field of a body has a secret itself, instead of the name of a variable.

    What is named as no secret alone is must look like one as well.

    Args:
        option: where the body was given.
        fields: names and values, as they are written in it.

    Example:
        >>> refuse_secrets_within("--body", [("key", "title"), ("token", "{token}"), ("stop_token", "END")])
        >>> refuse_secrets_within("--body", [("password", "hunter")])
        Traceback (most recent call last):
            ...
        batchq.errors.UsageError: --body: the value of password would be stored
    """
    for name, value in fields:
        if not value or _PLACE.search(name + value) or not says_secret(name):
            continue
        if not (_VAGUE.fullmatch(_letters(name)) and _ORDINARY.fullmatch(value)):
            raise _stored(option, name, f'"{name}": "${{KEY}}"')


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _stored(option: str, name: str, instead: str) -> UsageError:
    return UsageError(
        f"{option}: the value of {name} would be stored",
        f"Write the name of a variable of the environment, in single quotes: {instead}.",
    )
