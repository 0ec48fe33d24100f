"""What errors say, in the words of whoever reads it: options and commands, or fields and calls of the API.

raised, with options and commands ──▶ as_fields, as_calls ──▶ problem of the API ──▶ as_commands ──▶ `--server`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from batchq.app.request import StartRequest

ONLY_THERE: Final = frozenset({"priority", "error", "timed_out", "format", "only", "flatten", "raw"})
"""Fields of the API that are no options of `start`, and named as options of other commands."""
OTHER_NAMES: Final[Mapping[str, str]] = {"id": "batch_id", "item": "items"}
"""Options whose fields have another name."""
FIELDS: Final = frozenset(each.name for each in fields(StartRequest)) | ONLY_THERE
CALLS: Final[Mapping[str, tuple[str, str]]] = {
    "status": ("GET", ""),
    "results": ("GET", "/results"),
    "report": ("GET", "/report"),
    "log": ("GET", "/log"),
    "resume": ("POST", "/resume"),
    "pause": ("POST", "/pause"),
    "cancel": ("POST", "/cancel"),
    "retry": ("POST", "/retry"),
    "rm": ("DELETE", ""),
}
"""Commands for which there is a call: its method, and what follows the batch in its path."""
ROOT: Final = "/api/v1/batches"
ANY: Final = "/{batch_id}"

_OPTION: Final = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")
_COMMAND: Final = re.compile(rf"\bbatchq ({'|'.join(CALLS)})(?: ([A-Za-z0-9_][A-Za-z0-9._-]*))?(?=`|$)")
_CALL: Final = re.compile(rf"\b(GET|POST|DELETE) {ROOT}(/[^\s/`]+)?(/[a-z]+)?(?=`|$)")
_OWN: Final = re.compile(r"`batchq serve[^`]*`")
"""What the owner of a server does there: nobody calls it."""


def as_fields(text: str) -> str:
    """A message in which the options of the command are fields of the API.

    Example:
        >>> as_fields("larger than 64M (--max-item-size raises that limit)")
        'larger than 64M (max_item_size raises that limit)'
    """
    if "batchq " in text:  # that is about the command
        return text
    return _OPTION.sub(_field, text)


def as_calls(hint: str) -> str:
    """A hint for a caller of the API; empty where it advises what only the command can do.

    Example:
        >>> as_calls("`batchq resume b1` goes on with what is left of it; or choose another --id.")
        '`POST /api/v1/batches/b1/resume` goes on with what is left of it; or choose another batch_id.'
        >>> as_calls("Name another folder with --home.")
        ''
        >>> as_calls("`batchq serve --allow` allows it.")
        '`batchq serve --allow` allows it.'
    """
    if _OWN.search(hint):
        return hint
    said = _OPTION.sub(_field, _COMMAND.sub(_call, hint))
    return "" if "batchq " in said or _OPTION.search(said) else said


def as_commands(hint: str) -> str:
    """A hint of the API for who uses the command with --server.

    Example:
        >>> as_commands("`POST /api/v1/batches/b1/resume` goes on with it; or choose another batch_id.")
        '`batchq resume b1` goes on with it; or choose another --id.'
    """
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", _option, _CALL.sub(_command, hint))


def _field(found: re.Match[str]) -> str:
    name = OTHER_NAMES.get(found[1], found[1].replace("-", "_"))
    return name if name in FIELDS or found[1] in OTHER_NAMES else found[0]


def _option(found: re.Match[str]) -> str:
    name = next((option for option, field in OTHER_NAMES.items() if field == found[0]), found[0].replace("_", "-"))
    return f"--{name}" if found[0] in FIELDS else found[0]


def _call(found: re.Match[str]) -> str:
    verb, batch_id = found[1], found[2]
    method, rest = CALLS[verb]
    if batch_id is None and verb == "status":
        return f"{method} {ROOT}"
    return f"{method} {ROOT}{f'/{batch_id}' if batch_id else ANY}{rest}"


def _command(found: re.Match[str]) -> str:
    call = (found[1], found[3] or "")
    verb = next((verb for verb, each in CALLS.items() if each == call), None)
    if verb is None:
        return found[0]
    named = found[2] or ANY
    return f"batchq {verb}" + ("" if named == ANY else f" {named[1:]}")
