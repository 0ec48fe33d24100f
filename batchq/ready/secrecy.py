"""Which headers and which parts of an address are secrets, as their names say; none of them may be stored."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from batchq.errors import UsageError

_TELLING: Final = re.compile(
    r".*(authorization|cookie|(api|access|secret|private|subscription|auth|app)key|token|secret|password|passwd|signature)"
    r"|auth|key|sig|pass|pwd|credentials?"
)
_PLACE: Final = re.compile(r"[{$]")


def says_secret(name: str) -> bool:
    """Whether the name of a header or of a field says that its value is a secret.

    Example:
        >>> [name for name in ("X-Api-Key", "access_token", "max_tokens", "keyword") if says_secret(name)]
        ['X-Api-Key', 'access_token']
    """
    return _TELLING.fullmatch(re.sub(r"[^a-z]", "", name.lower())) is not None


def refuse_secrets(option: str, rest: str) -> None:
    """Raise `UsageError` where the query of an address has a secret itself, instead of the name of a variable.

    Args:
        option: where the address was given.
        rest: of the address, from its path on.
    """
    for part in re.split("[&;]", rest.partition("#")[0].partition("?")[2]):
        name, _, value = part.partition("=")
        if value and _PLACE.search(name + value) is None and says_secret(name := unquote_plus(name)):
            raise UsageError(
                f"{option}: the value of {name} would be stored",
                f"Write the name of a variable of the environment, in single quotes: {name}=${{KEY}}.",
            )
